"""Does it matter, for matching the brain, how a network learned?

The same network is trained under every rule that learns, and every layer is compared with every visual benchmark. What a
rule has over another may be no more than that it has learnt more of the task, or that its layers have more dimensions, so
each is contrasted with backprop three times: as it is, at the same task accuracy, and with backprop's spectrum. Scores are
followed along training, and with stimuli of lower resolution, by which such conclusions were turned round before
(arXiv:2604.16875).

A network's layer is the one that is best for the other seeds of its rule: no layer is chosen by the network that is scored.
Of controls without seeds it is the best one, in their favour.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import t as student

from analyses._results import write
from analyses.rules_vs_brain_figures import MATCHINGS, plot, plot_learning, plot_resolution, plot_scores, swept
from analyses.rules_vs_brain_studies import FEW_RULES, PARTS, Part, size_of
from analyses.rules_vs_brain_words import words
from neurocompare import plot as figures
from neurocompare.cells import Cell, Cells
from neurocompare.execute import completed
from neurocompare.files import write_text
from neurocompare.inference import accuracy_matched, chosen_by_other_seeds, contrasts, false_discoveries, over_seeds
from neurocompare.model import Given, Model
from neurocompare.probe import probe
from neurocompare.representation import Representation
from neurocompare.score import Score
from neurocompare.spec import StudySpec
from neurocompare.spectra import with_spectrum_of
from neurocompare.stimuli import StimulusSet
from neurocompare.study import Entry, Study
from neurocompare.study.models import Models
from neurocompare.study.scores import Scorer

REFERENCE = "backprop"
RAW, ACCURACY, SPECTRUM = MATCHINGS


def compute(
    quick: bool = False,
    *,
    folder: Path | None = None,
    workers: int = 0,
    first_seed: int = 0,
    sets: Iterable[str] | None = None,
) -> xr.Dataset:
    """Train, score, match and contrast: some hours of processor time.

    Args:
        quick: digits and a simulated brain, in less than a minute.
        folder: keeps everything finished, and has it the next time; a study's folder for each set of images in it.
        workers: processes; one per core by default, one where quick.
        first_seed: is added to the seeds; a folder keeps one set of them.
        sets: of images, such as ``tiny_imagenet40``, if not all.
    Returns:
        By set of images (``data``) and benchmark: ``score``, ``score_low``, ``score_high (model)`` at the chosen layer, with
        its ``dimensionality``; ``ceiling_lower``, ``ceiling_upper``; ``difference`` to backprop, ``low``, ``high``, ``p``,
        ``q``, ``q_of_t``, ``effect (rule, matching)``, with ``accuracy`` and ``accuracy_reference`` where that was matched;
        ``along`` and ``along_accuracy (rule, checkpoint)``; ``at_pixels`` with ``_low`` and ``_high (rule, pixels)``, 0 for
        the network's own resolution; ``other_seeds (rule, half)``, differences to backprop from either half of the
        seeds. ``task_accuracy (model)``. NaN where a model is not part of a set.
    """
    parts = PARTS[size_of(quick)]
    parts = {name: parts[name].with_seeds_from(first_seed) for name in sets or parts}
    workers = workers or (1 if quick else os.cpu_count() or 1)
    with TemporaryDirectory() as temporary:
        found = {name: _tables(part, (folder or Path(temporary)) / name, workers) for name, part in parts.items()}
    joined = xr.concat(
        [_dataset(tables) for tables in found.values()], pd.Index(list(found), name="data"), join="outer"
    )
    described = {
        f"{name}_{key}": value
        for name, part in parts.items()
        for key, value in {
            "items": found[name]["study"].attrs["items"],
            "steps": found[name]["study"].attrs["steps"],
            "seeds": len(part.spec.seeds),
            "pixels": found[name]["study"].attrs["pixels"],
        }.items()
    }
    return joined.assign_attrs(described)


def _tables(part: Part, folder: Path, workers: int) -> dict[str, pd.DataFrame]:
    """The study's scores, those along training, and those of its networks changed in one respect."""
    study = Study(part.spec, folder)
    final = study.run(workers=workers)
    learning = study.learning_table()
    data = study.models.dataset
    final.attrs = {"items": len(data.train), "steps": int(learning["step"].max()), "pixels": data.input_shape[-1]}
    networks = [entry for entry in study.entries if entry.name in part.spec.rules]
    todo = [(SPECTRUM, entry) for entry in networks if entry.name != REFERENCE]
    todo += [(str(pixels), entry) for pixels in part.pixels for entry in networks if entry.name in FEW_RULES]
    rows = list(completed(partial(_changed, part.spec, folder.absolute()), [todo], workers))
    changed = pd.concat(rows, ignore_index=True)
    return {"study": final, "learning": learning, "changed": changed}


def _changed(spec: StudySpec, folder: Path, task: tuple[str, Entry]) -> pd.DataFrame:
    """Scores of one network changed in one respect, from the folder where it has them."""
    kind, entry = task
    cells = Cells(folder / "changed" / kind.replace(" ", "_"))
    mine = [Cell(name, metric, entry.label) for name, metrics in spec.benchmarks.items() for metric in metrics]
    if missing := [cell for cell in mine if cells.is_open(cell)]:
        models, scorer = _of_this_process(spec.model_dump_json(), folder)
        model = models.trained(entry).model()
        if kind == SPECTRUM:
            represent = _with_spectrum(model, models.trained(Entry(REFERENCE, entry.seed)).model())
        else:
            represent = _seeing(model, int(kind))
        changed = Given(model.name, represent, provenance={**model.provenance, "changed": kind})
        for cell, score in scorer.scores(changed, entry.seed, missing):
            score.save(cells.score(cell))
    return pd.concat([Score.load(cells.score(cell)).table() for cell in mine]).assign(kind=kind)


@cache
def _of_this_process(spec: str, folder: Path) -> tuple[Models, Scorer]:
    models = Models(StudySpec.model_validate_json(spec), folder)
    return models, Scorer(models.benchmarks, models.spec.benchmarks)


Represent = Callable[[StimulusSet], dict[str, Representation]]


def _with_spectrum(model: Model, reference: Model) -> Represent:
    """The layers of a network, with the spectra of another's."""

    def represent(stimuli: StimulusSet) -> dict[str, Representation]:
        own, others = probe(model, stimuli), probe(reference, stimuli)
        return {layer: with_spectrum_of(found, others[layer]) for layer, found in own.items()}

    return represent


def _seeing(model: Model, pixels: int) -> Represent:
    """The layers of a network that is shown images of so many pixels a side, enlarged to its own size."""

    def represent(stimuli: StimulusSet) -> dict[str, Representation]:
        def coarse(stimulus: str) -> Image.Image:
            return stimuli.open(stimulus).resize((pixels, pixels), Image.Resampling.BICUBIC)

        return probe(model, replace(stimuli, name=f"{stimuli.name}, {pixels} px", open=coarse))

    return represent


def contrasts_of(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every model with seeds less backprop, as it is, at the same accuracy and with the same spectrum."""
    final, learning, changed = tables["study"], tables["learning"], tables["changed"]
    others = changed[changed["kind"] == SPECTRUM].drop(columns="kind")
    equal = pd.concat([final[final["model"] == REFERENCE], others], ignore_index=True)
    steps = [chosen_by_other_seeds(part).assign(step=step) for step, part in learning.groupby("step")]
    found = {
        RAW: contrasts(chosen_by_other_seeds(final)),
        ACCURACY: accuracy_matched(pd.concat(steps, ignore_index=True)),
        SPECTRUM: contrasts(chosen_by_other_seeds(equal)),
    }
    found = {name: table.assign(matching=name, q_of_t=_q_of_t(table)) for name, table in found.items()}
    return pd.concat(found.values(), ignore_index=True)


def _q_of_t(table: pd.DataFrame) -> pd.Series:
    """Paired t tests, to which the intervals belong, with false discoveries controlled as for ``q``.

    The exact test behind ``q`` cannot come below 1/16 with five seeds, whatever they say.
    """
    freedom = table["n_seeds"].astype(float) - 1
    error = (table["high"] - table["low"]) / 2 / student.ppf(0.975, freedom)
    return false_discoveries(table.assign(p=2 * student.sf((table["difference"] / error).abs(), freedom)))


def _dataset(tables: Mapping[str, pd.DataFrame]) -> xr.Dataset:
    final, learning, changed = tables["study"], tables["learning"], tables["changed"]
    chosen = _chosen(final)
    scores = _over_seeds(chosen).set_index(["benchmark", "model"])[["mean", "low", "high"]]
    scores.columns = ["score", "score_low", "score_high"]
    more = chosen.groupby(["benchmark", "model"])["effective_dimensionality"].mean().rename("dimensionality")
    ceilings = final.groupby("benchmark")[["ceiling_lower", "ceiling_upper"]].first()
    contrast = contrasts_of(tables).rename(columns={"model": "rule"}).set_index(["benchmark", "rule", "matching"])
    kept = ["difference", "low", "high", "p", "q", "q_of_t", "effect", "accuracy", "accuracy_reference"]
    return xr.merge(
        [
            scores.join(more).to_xarray(),
            ceilings.to_xarray(),
            contrast[kept].to_xarray(),
            _along(learning),
            _coarse(changed, final),
            _halves(final),
            chosen.groupby("model")["task_accuracy"].mean().rename("task_accuracy").to_xarray(),
        ],
        join="outer",
    )


def _chosen(final: pd.DataFrame) -> pd.DataFrame:
    """A layer of each model: of one that has no seeds, so that none other could choose it, the best, in its favour."""
    found = chosen_by_other_seeds(final)
    single = final[final["seed"].isna()].dropna(subset="raw")
    best = single.loc[single.groupby(["benchmark", "model"])["raw"].idxmax()]
    return pd.concat([found[found["seed"].notna()], best], ignore_index=True)


def _over_seeds(chosen: pd.DataFrame) -> pd.DataFrame:
    """Of one layer per network, which need not be as deep for each seed."""
    return over_seeds(chosen.assign(depth=0))


def _along(learning: pd.DataFrame) -> xr.Dataset:
    """Means over seeds at each checkpoint, by their number: steps differ between sets of images."""
    number = {step: k for k, step in enumerate(sorted(learning["step"].unique()))}
    rows = [chosen_by_other_seeds(part).assign(checkpoint=number[step]) for step, part in learning.groupby("step")]
    keys = ["benchmark", "rule", "checkpoint"]
    grouped = pd.concat(rows).rename(columns={"model": "rule"}).groupby(keys)
    return grouped.agg(along=("raw", "mean"), along_accuracy=("task_accuracy", "mean")).to_xarray()


def _coarse(changed: pd.DataFrame, final: pd.DataFrame) -> xr.Dataset:
    """Scores with coarse stimuli; 0 pixels stand for the network's own resolution."""
    coarse = changed[changed["kind"] != SPECTRUM]
    own = final[final["model"].isin(FEW_RULES)].assign(kind="0")
    rows = []
    for kind, part in pd.concat([coarse, own]).groupby("kind"):
        rows.append(_over_seeds(chosen_by_other_seeds(part.drop(columns="kind"))).assign(pixels=int(str(kind))))
    table = pd.concat(rows).rename(columns={"model": "rule"}).set_index(["benchmark", "rule", "pixels"])
    names = {"mean": "at_pixels", "low": "at_pixels_low", "high": "at_pixels_high"}
    return table[list(names)].rename(columns=names).to_xarray()


def _halves(final: pd.DataFrame) -> xr.DataArray:
    """Differences to backprop from the first and from the other seeds."""
    seeds = sorted(final["seed"].dropna().unique())
    halves = (seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :])
    rows = []
    for half, chosen in enumerate(halves):
        part = final[final["seed"].isin(chosen)]
        found = contrasts(chosen_by_other_seeds(part) if len(chosen) > 1 else part)
        found = found.groupby(["benchmark", "model"], sort=False)["difference"].mean().reset_index()
        rows.append(found.rename(columns={"model": "rule", "difference": "other_seeds"}).assign(half=half))
    return pd.concat(rows).set_index(["benchmark", "rule", "half"])["other_seeds"].to_xarray()


def main(folder: Path, quick: bool = False, first_seed: int = 0, sets: Iterable[str] | None = None) -> list[Path]:
    """Compute, print what was found, and write netCDF, tables and figures into ``folder``; returns their paths.

    Args:
        folder: for results; also keeps the studies.
        quick, first_seed, sets: see ``compute``.
    """
    dataset = compute(quick, folder=folder, first_seed=first_seed, sets=sets)
    print("\n".join(words(dataset)))
    drawn: dict[str, Callable[[xr.Dataset], Figure]] = {"scores": plot_scores, "learning": plot_learning}
    if swept(dataset).sizes["data"]:
        drawn["resolution"] = plot_resolution
    paths = write("rules_vs_brain", dataset, plot(dataset), folder)
    for name, draw in drawn.items():
        paths += figures.save(draw(dataset), folder / f"rules_vs_brain_{name}")
    return [*paths, *_written_tables(dataset, folder)]


def _written_tables(dataset: xr.Dataset, folder: Path) -> Iterator[Path]:
    for name, variables in _TABLES.items():
        path = folder / f"rules_vs_brain_{name}.csv"
        write_text(path, _tidy(dataset, variables).to_csv(index=False, float_format="%.5g"))
        yield path


_TABLES = {
    "scores": ("score", "score_low", "score_high", "ceiling_lower", "ceiling_upper", "dimensionality", "task_accuracy"),
    "contrasts": ("difference", "low", "high", "p", "q", "q_of_t", "effect", "accuracy", "accuracy_reference"),
}


def _tidy(dataset: xr.Dataset, variables: Iterable[str]) -> pd.DataFrame:
    first, *_ = variables
    return dataset[list(variables)].to_dataframe().dropna(subset=first).reset_index()
