"""How much of what can be explained of IT and V4 do models explain (Lillicrap et al. 2020, Fig. 2a)?

Cadieu et al. 2014 (PLoS Comput Biol 10:e1003963), Fig. 6A: each multi-unit's response is predicted from a model by ridge
regression, fitted on 80 % of the images and judged on the rest, ten times over; the explained variance is divided by what
the site's own noise leaves to explain, and its median over sites is averaged over splits. Networks trained by backprop on
many photographs came far ahead of models of V1, V2 and HMAX, and as far as V4 does. Here the same is asked of small networks
that other rules trained.

Where the authors' archive can be had, IT and V4 are those of the paper with its ten splits; elsewhere the protocol is run on
macaque V4 of Cowley et al. 2023 with random splits, and the published numbers, which are of IT, stand beside without being
comparable number by number. Two more of the paper's comparisons need labels, so they are made with the archive alone, at the
last layer before the readout, as published: kernel analysis (its eqs. 2-4, here with 8 widths and 3 splits of 80 %, a
fortieth of the work) and the similarity of dissimilarities between objects' mean responses (Spearman), without a ceiling.

Other than in the paper, which took each model's top layer, explained variance is reported for the layer that does best on
the images to fit on, by half of those, so that no layer is chosen by what judges it. A V2-like model is shown as published
only: this package has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from analyses._results import write
from analyses.cadieu_figures import plot, words
from analyses.cadieu_models import PRETRAINED, PRETRAINED_LAYERS, Entry, Panel, entries, panel_of, pretrained_or_reason
from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.metrics import METRICS, Encoding
from neurocompare.metrics.ceiling import split_half_ceiling, split_half_reliability
from neurocompare.metrics.decoding import KernelAnalysis
from neurocompare.metrics.distances import correlation_distance
from neurocompare.metrics.encoding import squared_where_positive
from neurocompare.metrics.kernel_analysis import LeaveOneOut
from neurocompare.metrics.presets import CADIEU_2014
from neurocompare.metrics.splits import Given, Shuffled, Split, Splitter
from neurocompare.model import Model
from neurocompare.networks import LayeredNet
from neurocompare.probe import probe
from neurocompare.representation import Representation

KERNEL = KernelAnalysis(
    "kernel_analysis_loo",
    "kernel analysis of categories (1 - area under leave-one-out error)",
    splits=Shuffled(n_splits=3, test_size=0.2),
    curve=LeaveOneOut(widths=tuple(np.logspace(-1, 1, 8).tolist())),
)
OBJECTS = METRICS["rsa_spearman"]
Value = float | str | np.ndarray
DIMS = {
    "explained": ("region", "model", "seed", "split"),
    "raw": ("region", "model", "seed", "split"),
    "layer": ("region", "model", "seed"),
    "objects": ("region", "model", "seed"),
    "kernel": ("model", "seed"),
    "accuracy": ("model", "seed"),
    "top": ("model", "seed"),
}


@dataclass(frozen=True)
class Target:
    """A region as the protocol sees it.

    Attributes:
        benchmark: the recording.
        responses: averaged over repetitions, ``(stimuli, sites)``.
        splits: of the stimuli.
        choices: of each split's stimuli to fit on, halves to choose a layer by.
        reliability: of each site's mean response, ``(sites,)``; NaN where there are no repetitions.
    """

    benchmark: Benchmark
    responses: xr.DataArray
    splits: list[Split]
    choices: list[Split]
    reliability: np.ndarray

    @property
    def explainable(self) -> np.ndarray:
        """Sites of which something can be explained."""
        return ~(self.reliability <= 0)

    def medians(self, r2: np.ndarray) -> np.ndarray:
        """Over sites, of explained variance over what can be explained where that is known, ``(splits,)``."""
        known = self.explainable & np.isfinite(self.reliability)
        return np.median(r2[:, known] / self.reliability[known] if known.any() else r2, axis=1)


def target_of(benchmark: Benchmark) -> Target:
    """The splits that come with the data, or else ten random ones of 80/20; halves within what they fit on."""
    data = benchmark.grouped_data
    responses = assembly.average_repetitions(data)
    own = any(str(name).startswith("train_") for name in responses.coords)
    splitter: Splitter = Given() if own else Shuffled(n_splits=10, test_size=0.2)
    splits, choices = splitter(responses), []
    for number, (train, _) in enumerate(splits):
        ((first, second),) = Shuffled(n_splits=1, test_size=0.5, seed=number)(responses.isel(presentation=train))
        choices.append((train[first], train[second]))
    has_ceiling = np.isfinite(split_half_ceiling(data, n_splits=1).value)
    reliability = split_half_reliability(data) if has_ceiling else np.full(responses.sizes["neuroid"], np.nan)
    return Target(benchmark, responses, splits, choices, reliability)


def explained(
    represented: Mapping[str, Representation], target: Target, protocol: Encoding = CADIEU_2014
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """By the layer chosen for each split: the median over sites of explained variance, over explainable and as it is.

    Args:
        represented: by layer, over the target's stimuli.
        target: what is predicted.
        protocol: predicts.
    Returns:
        ``(splits,)`` twice, the former NaN where the noise is not known; the layers, one for each split.
    """
    names = list(represented)
    held_out, fitted = zip(*(_both(protocol, represented[name], target) for name in names), strict=True)
    best = np.stack([target.medians(r2) for r2 in fitted]).argmax(0)
    chosen = np.stack(held_out)[best, np.arange(len(best))]  # (splits, sites)
    raw = np.median(chosen, axis=1)
    known = np.isfinite(target.reliability).any()
    return target.medians(chosen) if known else np.full(len(raw), np.nan), raw, [names[layer] for layer in best]


def _both(protocol: Encoding, layer: Representation, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Explained variance per split and site: of stimuli held out, and of half of those to fit on by the other half."""
    values = target.responses.values
    selected = layer.select([str(s) for s in target.responses["stimulus_id"].values])
    outcomes = []
    for parts in (target.splits, target.choices):
        predictions = protocol.predictor(selected, values, parts)
        r2 = [squared_where_positive(p, values[test]) for (_, test), p in zip(parts, predictions, strict=True)]
        outcomes.append(np.nan_to_num(np.stack(r2)))
    return outcomes[0], outcomes[1]


def by_object(layer: Representation, objects: Mapping[str, str]) -> Representation:
    """Mean activity for each object, from the Gram matrix of its images."""
    names = list(dict.fromkeys(objects[stimulus] for stimulus in layer.ids))
    mean = np.array([[objects[stimulus] == name for stimulus in layer.ids] for name in names], dtype=float)
    mean /= mean.sum(1, keepdims=True)
    return replace(
        layer, ids=tuple(names), gram=mean @ layer.gram @ mean.T, sums=mean @ layer.sums, features=None, shape=None
    )


def object_similarity(layer: Representation, target: Target, objects: Mapping[str, str]) -> float:
    """Spearman's rho between dissimilarities of objects' mean activity and of their mean responses."""
    ids = [str(s) for s in target.responses["stimulus_id"].values]
    sites = by_object(Representation.from_features("sites", ids, target.responses.values), objects)
    rdm = assembly.rdm_assembly(
        correlation_distance(sites)[None], sites.ids, subjects=["sites"], measure="1 - Pearson r"
    )
    return OBJECTS.aggregate(OBJECTS.score(by_object(layer, objects), rdm))[0]


def compute(quick: bool = False, panel: Panel | None = None, first_seed: int = 0) -> xr.Dataset:
    """Train, probe and score.

    Args:
        quick: digits and simulated responses, in less than a minute.
        panel: what is compared, if not that of ``panel_of``.
        first_seed: is added to the seeds.
    Returns:
        ``explained (region, model, seed, split)``, the median over sites of explained over explainable variance, and ``raw``
        of explained variance; ``layer`` that was chosen most often, ``top`` that was asked about labels, and ``accuracy``;
        where stimuli have labels, ``kernel (model, seed)`` and ``objects (region, model, seed)``; ``reliability``, its
        median over sites, ``sites``, and ``unexplainable`` ones that are left out, ``(region,)``. NaN where there is no such
        seed, or a region would be compared with itself. In ``attrs`` what was compared, and what is missing.
    """
    panel = panel or panel_of(quick)
    panel = replace(panel, seeds=tuple(first_seed + seed for seed in panel.seeds))
    targets = [target_of(benchmark) for benchmark in panel.regions]
    rows: dict[str, list[tuple[tuple[int, ...], Value]]] = {}
    models: list[str] = []
    for entry in entries(panel):
        if entry.name not in models:
            models.append(entry.name)
        here = models.index(entry.name), panel.seeds.index(entry.seed) if entry.seed in panel.seeds else 0
        for name, region, value in measured(entry, targets):
            rows.setdefault(name, []).append(((*region, *here), value))
    return _assembled(panel, targets, models, rows)


def measured(entry: Entry, targets: Sequence[Target]) -> Iterator[tuple[str, tuple[int, ...], Value]]:
    """What ``compute`` returns of one model: name, place of the region where there is one, value."""
    benchmark = targets[0].benchmark
    represented = probe(entry.model, benchmark.stimuli, PRETRAINED_LAYERS if entry.name == PRETRAINED else None)
    top, table = list(represented)[top_of(entry.model, len(represented))], benchmark.stimuli.table
    yield "accuracy", (), entry.accuracy
    yield "top", (), top
    if "category" in table:
        yield "kernel", (), KERNEL.aggregate(KERNEL.score(represented[top], benchmark.grouped_data))[0]
    for number, target in enumerate(targets):
        if target.benchmark.name == entry.name:
            continue
        over, raw, chosen = explained(represented, target)
        yield "explained", (number,), over
        yield "raw", (number,), raw
        yield "layer", (number,), max(chosen, key=chosen.count)
        if "object" in table:
            yield "objects", (number,), object_similarity(represented[top], target, dict(table["object"]))


def top_of(model: object, layers: int) -> int:
    """The last layer before the readout of a network of ours; the last of all others."""
    return layers - 2 if isinstance(model, Model) and isinstance(model.net, LayeredNet) else layers - 1


def _assembled(
    panel: Panel,
    targets: Sequence[Target],
    models: Sequence[str],
    rows: Mapping[str, list[tuple[tuple[int, ...], Value]]],
) -> xr.Dataset:
    sizes = {"region": len(targets), "model": len(models), "seed": len(panel.seeds), "split": len(targets[0].splits)}
    variables = {}
    for name, found in rows.items():
        shape = tuple(sizes[dim] for dim in DIMS[name])
        values = np.full(shape, "", dtype="U40") if isinstance(found[0][1], str) else np.full(shape, np.nan)
        for place, value in found:
            values[place] = value
        variables[name] = (DIMS[name], values)
    reliability = [np.median(t.reliability[t.explainable]) for t in targets]
    variables["reliability"] = (("region",), np.array(reliability))
    variables["sites"] = (("region",), np.array([t.reliability.size for t in targets]))
    variables["unexplainable"] = (("region",), np.array([int((~t.explainable).sum()) for t in targets]))
    missing = list(panel.missing)
    if panel.pretrained and PRETRAINED not in models:
        missing.append(str(pretrained_or_reason()))
    return xr.Dataset(
        variables,
        coords={"region": [t.benchmark.name for t in targets], "model": list(models), "seed": list(panel.seeds)},
        attrs={
            "stimuli": len(panel.regions[0].stimuli),
            "trained_on": panel.data.name,
            "items": len(panel.data.train),
            "epochs": panel.epochs,
            "splits": "the authors' ten" if any("train_0" in t.responses.coords for t in targets) else "ten random",
            "missing": " | ".join(missing),
        },
    )


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print, and write netCDF and figures into ``folder``; returns their paths."""
    start = time.perf_counter()
    dataset = compute(quick, first_seed=first_seed)
    print("\n".join(words(dataset)))
    print(f"{time.perf_counter() - start:.0f} s")
    return write("cadieu2014", dataset, plot(dataset), folder)
