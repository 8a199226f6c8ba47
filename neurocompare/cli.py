"""The command line: parse, call, save."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from analyses import ANALYSES
from data_loaders import BENCHMARKS, LOADERS, inventory, load_benchmark, load_dataset
from neurocompare import export as exports
from neurocompare import parallel, zoo
from neurocompare import plot as figures
from neurocompare import report as reports
from neurocompare.controls import CONTROLS
from neurocompare.errors import DataUnavailable, InputError, unknown_name
from neurocompare.files import atomic
from neurocompare.hearing import trainable
from neurocompare.inference import chosen_by_other_seeds, contrasts
from neurocompare.lock import holder
from neurocompare.metrics import METRICS
from neurocompare.model import Model
from neurocompare.networks import build
from neurocompare.recovery import Experiment, plan
from neurocompare.rules import RULES
from neurocompare.rules.costs import COSTS
from neurocompare.score import Score, score
from neurocompare.spec import builtin_spec, read_spec
from neurocompare.study import Study, open_study
from neurocompare.terminal import (
    Bars,
    console,
    notes,
    show_contrasts,
    show_failures,
    show_logs,
    show_paths,
    show_rows,
    show_score,
    show_status,
    show_study,
)
from neurocompare.train import RECORD, Run, train

HELP = "Does it matter, for matching the brain, how a network learned?"
SIMULATED = (
    "Running on a simulated brain instead (digits, photographs, a known generating network): "
    "this shows that the tool works and says nothing about brains."
)
_GO_ON = "then run the same command again; nothing that was finished is lost"
WAYS_OUT = {
    errno.ENOSPC: f": the disk is full; make room, {_GO_ON}",
    errno.EDQUOT: f": the quota is used up; make room, {_GO_ON}",
    errno.EROFS: ": the folder may only be read; choose another with -o",
    errno.EACCES: ": the folder may not be written to; choose another with -o, or ask for the right",
}
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)
data_app = typer.Typer(no_args_is_help=True, help="Find, fetch and verify data files.")
app.add_typer(data_app, name="data")
Folder = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="rules, controls, benchmarks, datasets, metrics, models or analyses")],
) -> None:
    """List what there is."""
    kinds: dict[str, Callable[[], Iterable[tuple[str, ...]]]] = {
        "rules": lambda: (
            (n, r.family, r.feedback, str(r.needs), f"{COSTS[n]:.1f}", r.reference) for n, r in RULES.items()
        ),
        "controls": lambda: ((n, c.description) for n, c in CONTROLS.items()),
        "benchmarks": lambda: ((n,) for n in BENCHMARKS),
        "datasets": lambda: ((n,) for n in LOADERS),
        "metrics": lambda: ((n, m.label, f"normalized by {m.formula}") for n, m in METRICS.items()),
        "models": lambda: zoo.model_sources().items(),
        "analyses": lambda: ((n,) for n in ANALYSES),
    }
    if what not in kinds:
        raise unknown_name("list", what, kinds)
    header = ("rule", "family", "feedback", "needs", "cost", "reference") if what == "rules" else ()
    show_rows(kinds[what](), header)
    if what == "rules":
        console.print("cost: time of a learning step over that of backprop, measured; see neurocompare/rules/costs.py")


@data_app.command("where")
def data_where(datasets: Annotated[list[str] | None, typer.Argument(help="All by default.")] = None) -> None:
    """Say where each file of a dataset is."""
    _show_files(inventory.where(datasets or ()))


@data_app.command("verify")
def data_verify(datasets: Annotated[list[str] | None, typer.Argument(help="All by default.")] = None) -> None:
    """Compare each file that is here with its sha256."""
    with Bars() as bars:
        states = inventory.verify(datasets or (), bars.track)
    _show_files([state for state in states if not state.is_here or state.fault])
    faults = [state for state in states if state.fault]
    if faults:
        raise DataUnavailable(f"{len(faults)} of {len(states)} files are damaged, first: {faults[0].fault}")
    console.print(
        f"{sum(state.is_here for state in states)} of {len(states)} files are here, and are as they should be."
    )


@data_app.command("fetch")
def data_fetch(datasets: Annotated[list[str] | None, typer.Argument(help="All by default.")] = None) -> None:
    """Download what is not here."""
    with Bars() as bars:
        states = inventory.fetch(datasets or (), bars.track)
    console.print(f"{len(states)} files are here.")


def _show_files(states: Iterable[inventory.FileState]) -> None:
    show_rows(((s.dataset, s.path, s.place, s.location) for s in states), ("dataset", "file", "place", "location"))


@app.command("train")
def train_(
    out: Folder,
    rule: Annotated[str, typer.Option(help="A rule; see `list rules`.")] = "backprop",
    dataset: Annotated[str, typer.Option(help="A dataset; see `list datasets`.")] = "cifar10_jpeg",
    architecture: Annotated[str, typer.Option(help="convnet or mlp.")] = "convnet",
    epochs: int = 5,
    batch_size: int = 128,
    learning_rate: Annotated[float | None, typer.Option(help="The rule's own by default.")] = None,
    seed: int = 0,
    every: Annotated[int, typer.Option(help="Steps between checkpoints, from which the same command goes on.")] = 500,
    snapshots: Annotated[
        list[int] | None, typer.Option("--snapshot", help="Keep the network after so many steps, too; repeatable.")
    ] = None,
) -> None:
    """Train one network under one rule, and keep it in a run folder; with torchrun, in several processes."""
    parallel.start()
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    if (out / RECORD).exists():
        raise InputError(f"{out} already holds a run; choose another folder with -o, or delete that one")
    data = trainable(load_dataset(dataset))
    shape = {"input_shape": list(data.input_shape), "n_classes": data.n_outputs}
    net = build({"architecture": architecture, **shape, "seed": seed})
    fitted = RULES[rule].for_net(net, seed=seed)
    with Bars() as bars:
        run = train(net, fitted, data, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
                    checkpoint=out / "checkpoint", every=every, snapshots=snapshots or (), track=bars.track)  # fmt: skip
    run.save(out)
    if parallel.is_main():
        console.print(f"{rule} on {dataset}: test accuracy {run.record['test_accuracy']:.3f}; kept in {out}")


@app.command("score")
def score_(
    target: Annotated[
        str, typer.Argument(help="A run folder, a model of torchvision or timm by name, or path/to/file.py:function.")
    ],
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="See `list benchmarks`.")] = "cowley2023.V4",
    metric: Annotated[str | None, typer.Option("--metric", "-m", help="The benchmark's own by default.")] = None,
    layers: Annotated[
        list[str] | None, typer.Option("--layers", "-l", help="Names or globs, repeatable; all by default.")
    ] = None,
    memory: Annotated[int, typer.Option(help="MiB that probing may take.")] = 1024,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A state dict for the model: a file of torch.save, or .safetensors.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Input size in pixels; the model's own, or 224, by default.")] = None,
    mean: Annotated[
        str | None, typer.Option(help="r,g,b from 0 to 1, taken from the input; ImageNet's for a model from a file.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="r,g,b: what the input is divided by then; likewise.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Do not download weights.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for netCDF, CSV and figure.")] = None,
) -> None:
    """Score every layer of a model on a benchmark."""
    data = load_benchmark(benchmark)
    inputs = {"side": side, "mean": _numbers("--mean", mean), "std": _numbers("--std", std)}
    model = _model(target, checkpoint, inputs, random_weights)
    layers = None if layers == ["all"] else layers
    with Bars() as bars:
        scored = score(model, data, metric, layers=layers, memory=memory * 2**20, track=bars.track)
    show_score(scored)
    if out is not None:
        scored.save(out / "score.nc")
        scored.table().to_csv(out / "scores.csv", index=False)
        show_paths([out / "score.nc", out / "scores.csv", *figures.save(figures.by_layer(scored), out / "by_layer")])


def _model(target: str, checkpoint: Path | None, inputs: dict[str, Any], random_weights: bool) -> Model:
    if (Path(target) / RECORD).is_file():
        if checkpoint or random_weights or any(value is not None for value in inputs.values()):
            raise InputError(
                f"{target} is a run folder, which holds weights and preprocessing; leave out --checkpoint, --side, "
                "--mean, --std and --random-weights"
            )
        return Run.load(Path(target)).model()
    if checkpoint and random_weights:
        raise InputError("--checkpoint gives weights and --random-weights takes none; leave out one of them")
    if ".py:" in target:
        model = zoo.load_file(target, checkpoint=checkpoint)
    elif (
        Path(target).exists() or target.endswith(".py") or ("/" in target and target.split("/")[0] not in zoo.LIBRARIES)
    ):
        raise InputError(
            f"{target!r} is neither a run folder (it has no {RECORD}) nor path/to/file.py:function; "
            "weights go with the function that makes their network: path/to/file.py:function --checkpoint FILE"
        )
    else:
        model = zoo.load_model(target, pretrained=not random_weights, checkpoint=checkpoint)
    return zoo.with_preprocess(model, **inputs)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(map(float, text.split(",")))
    except ValueError as error:
        raise InputError(f"{option} needs numbers with commas between, as .5,.5,.5; there came {text!r}") from error


@app.command()
def run(
    out: Folder,
    study: Annotated[Path | None, typer.Argument(help="A study file (TOML); the built-in study by default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One epoch, at most 5,000 items, two seeds.")] = False,
    modality: Annotated[str, typer.Option(help="Of the built-in study: image or sound.")] = "image",
    workers: Annotated[int, typer.Option(min=0, help="Processes; one per core by default.")] = 0,
    scheduler: Annotated[str | None, typer.Option(help="Of a Dask cluster, such as tcp://host:8786.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
) -> None:
    """Run a study, or go on with it: train, probe, score, tabulate, plot."""
    workers = workers or os.cpu_count() or 1
    with Bars() as bars:
        chosen = _study(study, out, quick, modality)
        table = chosen.run(bars.track, workers, scheduler=scheduler, retry=retry)
    show_study(table)
    if all(name.startswith("simulated.") for name in chosen.spec.benchmarks):
        console.print("[bold yellow]These scores are of a simulated brain and say nothing about brains.[/]")
    show_paths([out / "scores.parquet", out / "scores.csv", *_figures(table, out)])
    if show_failures(chosen.status()):
        console.print(f"see `neurocompare status {out}`; try them again with --retry", soft_wrap=True)
        raise typer.Exit(1)


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="A study's folder.")]) -> None:
    """Say how far a study is: what is done, what is being worked on, what failed and why, and how long it will take."""
    study = open_study(folder)
    show_status(study.status(), holder(folder), study.seconds_left())


BUILT_IN = {"image": "first_light", "sound": "hearing"}  # the studies that come with the package, by modality


def _study(path: Path | None, out: Path, quick: bool, modality: str) -> Study:
    if modality not in BUILT_IN:
        raise unknown_name("modality", modality, BUILT_IN)
    spec = builtin_spec(BUILT_IN[modality]) if path is None else read_spec(path)
    study = Study(spec.quick() if quick else spec, out)
    try:
        study.prepare()
        return study
    except DataUnavailable as error:
        if path is not None or modality != "image":
            raise
        notes.print(f"[bold yellow]The recordings of the built-in study cannot be had[/]: {error}", highlight=False)
        notes.print(f"[bold yellow]{SIMULATED}[/]", highlight=False)
    offline = builtin_spec("offline")
    return Study(offline.quick() if quick else offline, out)


@app.command("plot")
def plot_(folder: Annotated[Path, typer.Argument(help="A study's folder, or a score's netCDF file.")]) -> None:
    """Draw the figures of a study, or of one score."""
    if folder.suffix == ".nc":
        show_paths(figures.save(figures.by_layer(Score.load(folder)), folder.with_suffix("")))
    else:
        show_paths(_figures(open_study(folder).table(), folder))


@app.command("report")
def report_(
    folder: Annotated[Path, typer.Argument(help="A study's folder, finished or in part.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; report.html in the folder by default.")
    ] = None,
    representations: Annotated[bool, typer.Option(help="Probe the trained networks again for their RDMs.")] = True,
) -> None:
    """Write a study's report: one HTML page that needs nothing else."""
    show_paths([reports.write(open_study(folder), out or folder / "report.html", representations=representations)])


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    out: Folder,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", help=f"{', '.join(exports.KINDS)}; repeatable, all by default."),
    ] = None,
) -> None:
    """Write a study's results for other tools: tables, figures at journal widths, recordings, RDMs."""
    show_paths(exports.export(open_study(folder), out, kinds or ()))


@app.command("contrasts")
def contrasts_(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    reference: Annotated[str, typer.Option(help="The model that the others are compared with.")] = "backprop",
    value: Annotated[str, typer.Option(help="raw, normalized, or another column of the scores.")] = "raw",
) -> None:
    """Compare rules with a reference within seeds: differences, intervals, permutation tests, effect sizes.

    Shown at the layer that is best for the other seeds of the same model; the file has every layer, too.
    """
    table = open_study(folder).table()
    chosen = contrasts(chosen_by_other_seeds(table, value), reference, value)
    show_contrasts(chosen)
    path = folder / f"contrasts_{value}_to_{reference}.csv"
    with atomic(path) as temporary:
        pd.concat([chosen, contrasts(table, reference, value)]).to_csv(temporary, index=False)
    show_paths([path])


@app.command()
def recover(
    sites: Annotated[int, typer.Option(help="Recorded sites.")],
    stimuli: Annotated[int, typer.Option(help="Stimuli shown.")],
    repeats: Annotated[int, typer.Option(help="Presentations of each.")] = 1,
    reliability: Annotated[
        float, typer.Option(help="Of one presentation: the share of variance that is signal.")
    ] = 0.3,
    dataset: Annotated[str, typer.Option(help="To train the networks on that stand for brains.")] = "digits",
) -> None:
    """Plan an experiment: could it tell learning rules apart, were the brain one of the networks that they train?"""
    data = trainable(load_dataset(dataset))
    with Bars() as bars:
        found = plan(data, Experiment(sites, stimuli, repeats, reliability), track=bars.track)
    rates = found[["recovery", "recovery_low", "recovery_high"]].to_dataframe().reset_index()
    named = [[str(v) for v in row[:-3]] + [f"{r:.0%}" for r in row[-3:]] for row in rates.itertuples(index=False)]
    show_rows(named, (*(c.replace("_", " ") for c in rates.columns[:-3]), "recovered", "from", "to"))
    console.print(
        f"chance {1 / found.sizes['rule']:.0%}; rules: {', '.join(map(str, found['rule'].values))}", soft_wrap=True
    )


@app.command()
def analysis(
    name: Annotated[str, typer.Argument(help="See `list analyses`.")],
    out: Folder,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, in seconds to a minute.")] = False,
    first_seed: Annotated[int, typer.Option(min=0, help="Networks have the seeds from this on.")] = 0,
) -> None:
    """Recompute a published result."""
    if name not in ANALYSES:
        raise unknown_name("analysis", name, ANALYSES)
    show_paths(ANALYSES[name](out, quick, first_seed))


def _figures(table: pd.DataFrame, folder: Path) -> list[Path]:
    return [
        *figures.save(figures.by_layer(table), folder / "figures" / "by_layer"),
        *figures.save(figures.by_rule(table), folder / "figures" / "by_rule"),
    ]


def main() -> None:
    """Entry point: an error that the user can mend is one line and exit code 2, never a traceback."""
    show_logs("neurocompare", "data_loaders")
    try:
        app()
    except BrokenPipeError:
        sys.exit(1)
    except (InputError, OSError) as error:  # OSError: a full disk, a folder that may not be written
        hint = WAYS_OUT.get(getattr(error, "errno", None) or 0, "")
        print("error:", " ".join(str(error).split()) + hint, file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    main()
