"""Could these benchmarks tell learning rules apart, if the brain were one of the networks?

Brains are simulated from networks that each rule trained, with the sites, stimuli and noise of real benchmarks; networks of
all rules with other seeds are scored on them; and it is counted how often the right rule is chosen. Han, Poggio & Cheung
2023 (ICML; arXiv:2302.06677) asked this of architectures, and found that the best score often is not that of the right one.

What comes out is what such a benchmark can do at best: candidates have the brain's architecture, training images and
number of updates, sites are random units with independent Gaussian noise, and rules differ in how much they learned as well
as in how. A rule that is not recovered here cannot be told from a real recording by that metric; one that is recovered here
still might not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from analyses._results import kept_run, write
from analyses.recovery_figures import BEST, FACTORS, KNOWN, plot, plot_curves, words
from data_loaders import load_benchmark, load_cifar10_jpeg
from data_loaders.installed import load_digits_dataset
from neurocompare import plot as figures
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable
from neurocompare.execute import completed
from neurocompare.metrics import METRICS, Encoding, Metric
from neurocompare.metrics.ceiling import spearman_brown
from neurocompare.metrics.splits import Shuffled
from neurocompare.recovery import (
    SMALL_NET,
    UNTRAINED,
    Experiment,
    Network,
    confusions,
    held_out_images,
    hidden_layers,
    like,
    lower_ceiling,
    matched,
    power,
    recovery_scores,
    trained,
)
from neurocompare.recovery.planned import OF_RDMS, OF_RESPONSES
from neurocompare.train import Run

# Regressions take most of the time. All their splits are used where the layer is known; elsewhere there are two, and fewer
# sites. Each brain is simulated once for them, and several times for other metrics.
FEW_SPLITS, MOST_SITES, REPLICATES = 2, 100, 3
RELIABILITIES = (0.1, 0.2, 0.4, 0.8, 1.0)  # of mean responses; of subjects' sites


@dataclass(frozen=True)
class Panel:
    """Networks to train: each rule with each seed.

    Attributes:
        load: the data.
        items: so many to train on.
        network: for ``networks.build``.
        epochs: of training, in batches of 64.
        rules, seeds: keys of ``RULES`` or ``"untrained"``.
    """

    load: Callable[[], Dataset]
    items: int
    network: Mapping[str, Any]
    epochs: int
    rules: tuple[str, ...]
    seeds: tuple[int, ...]

    def entries(self, first_seed: int = 0) -> list[tuple[str, int]]:
        """Rule and seed of each network; ``first_seed`` is added to the seeds."""
        return [(rule, first_seed + seed) for seed in self.seeds for rule in self.rules]


@dataclass(frozen=True)
class Case:
    """A benchmark to simulate.

    Attributes:
        layer: that generates.
        metrics: keys of ``METRICS``.
        sites, stimuli: along curves.
        voxels: of each subject where the data are RDMs, which do not say; ``units`` go into each.
        images: test images that stand in for the benchmark's stimuli; 0 to use those.
    """

    layer: str
    metrics: tuple[str, ...]
    sites: tuple[int, ...]
    stimuli: tuple[int, ...]
    voxels: int | None = None
    units: int = 1
    images: int = 0


RULES_OF_PANEL = (
    "backprop",
    "equilibrium_propagation",
    "difference_target_propagation",
    "feedback_alignment",
    "direct_feedback_alignment",
    "node_perturbation",
    "hebbian",
    UNTRAINED,
)
PANELS = {
    "full": Panel(
        load_cifar10_jpeg,
        10_000,
        {"architecture": "convnet", "channels": [16, 32, 64], "hidden": [128]},
        epochs=5,
        rules=RULES_OF_PANEL,
        seeds=(0, 1, 2, 3, 4),
    ),
    "offline": Panel(load_digits_dataset, 1437, SMALL_NET, epochs=10, rules=RULES_OF_PANEL, seeds=(0, 1, 2, 3, 4)),
    "quick": Panel(
        load_digits_dataset,
        800,
        {"architecture": "convnet", "channels": [16, 32], "hidden": [64]},
        epochs=5,
        rules=("backprop", "feedback_alignment", "hebbian", UNTRAINED),
        seeds=(0, 1, 2),
    ),
}
CASES: dict[str, dict[str, Case]] = {
    "full": {
        "cowley2023.V4": Case("conv2", OF_RESPONSES, (5, 10, 20, 50, 100, 200, 1000), (40, 80, 160, 320, 640)),
        # Kriegeskorte et al. 2008: 316 voxels of each subject.
        "kriegeskorte2008.hIT": Case("fc1", OF_RDMS, (10, 30, 100, 316, 1000), (20, 40, 60, 92), voxels=316, units=20),
    },
    "offline": {
        "simulated.units": Case("conv2", OF_RESPONSES, (5, 10, 20, 50, 100), (40, 80, 120, 200), images=200),
        "simulated.rdm": Case("fc1", OF_RDMS, (5, 10, 30, 100), (40, 80, 120, 200), voxels=30, units=20, images=200),
    },
    "quick": {
        "simulated.units": Case("conv2", ("ridge", "rsa_spearman"), (5, 50), (40, 100), images=100),
        "simulated.rdm": Case("fc1", ("rsa_spearman",), (5, 30), (40, 100), voxels=30, units=20, images=100),
    },
}


def size_of(quick: bool) -> str:
    """Which of ``PANELS`` and ``CASES`` can be had."""
    if quick:
        return "quick"
    try:
        for name in CASES["full"]:
            load_benchmark(name)
        _dataset("full")
    except DataUnavailable as error:
        print(f"simulated benchmarks and digits instead of recordings and CIFAR-10: {error}")
        return "offline"
    return "full"


@cache
def _dataset(size: str) -> Dataset:
    return PANELS[size].load().first(PANELS[size].items)


def _train(size: str, folder: Path, entry: tuple[str, int]) -> tuple[str, int, float]:
    """Train a network, unless the folder has it; its rule, seed and test accuracy."""
    panel = PANELS[size]
    run = kept_run(
        folder / f"{entry[0]}-seed{entry[1]}",
        lambda: trained(_dataset(size), *entry, network=panel.network, epochs=panel.epochs),
    )
    return *entry, run.record["test_accuracy"]


@cache
def _prepared(
    size: str, folder: Path, first_seed: int, name: str
) -> tuple[dict[tuple[str, int], Network], Experiment, float]:
    """All networks on a benchmark's stimuli, the experiment behind it, and its real noise ceiling."""
    case, benchmark = CASES[size][name], load_benchmark(name)
    stimuli = held_out_images(_dataset(size), case.images) if case.images else benchmark.stimuli.in_memory()
    runs = {entry: Run.load(folder / f"{entry[0]}-seed{entry[1]}") for entry in PANELS[size].entries(first_seed)}
    networks = {entry: hidden_layers(run.model(entry[0]), stimuli, case.layer) for entry, run in runs.items()}
    experiment = replace(like(benchmark, sites=case.voxels, mixing=case.units), stimuli=len(stimuli))
    if not experiment.subjects:
        return networks, experiment, experiment.ceiling
    lower = METRICS["rsa_spearman"].ceiling(benchmark.data).lower
    return networks, matched(experiment, _one_of_each_rule(networks, case.layer), lower), lower


def _one_of_each_rule(networks: Mapping[tuple[str, int], Network], layer: str) -> list[Any]:
    first = min(seed for _, seed in networks)
    return [network[layer] for (_, seed), network in networks.items() if seed == first]


@dataclass(frozen=True)
class Task:
    """One thing to find out: ``what`` is a kind of confusion matrix, or what varies along a curve."""

    benchmark: str
    metric: str
    what: str


def _tasks(size: str) -> list[Task]:
    named = [(name, metric) for name, case in CASES[size].items() for metric in case.metrics]
    return [Task(*pair, what) for pair in named for what in (KNOWN, BEST, *FACTORS)]


def _longest_first(size: str) -> list[Task]:
    return sorted(_tasks(size), key=lambda task: not isinstance(METRICS[task.metric], Encoding))


def _found(size: str, folder: Path, first_seed: int, task: Task) -> tuple[Task, xr.Dataset]:
    networks, experiment, _ = _prepared(size, folder, first_seed, task.benchmark)
    case, metric = CASES[size][task.benchmark], METRICS[task.metric]
    if isinstance(metric, Encoding) and task.what != KNOWN:
        metric = replace(metric, splits=Shuffled(FEW_SPLITS))
    if task.what in FACTORS:
        return task, _curve(networks, experiment, metric, case, task.what)
    scores = recovery_scores(
        networks, experiment, metric, layer=case.layer, known_layer=task.what == KNOWN, replicates=_replicates(metric)
    )
    return task, confusions(scores)


def _replicates(metric: Metric) -> int:
    return 1 if isinstance(metric, Encoding) else REPLICATES


def _curve(
    networks: Mapping[tuple[str, int], Network], experiment: Experiment, metric: Metric, case: Case, factor: str
) -> xr.Dataset:
    """Recovery along ``step``, where ``x`` is the value of a factor: for reliability, the noise ceiling it gives."""
    values: tuple[float, ...] = {"sites": case.sites, "stimuli": case.stimuli}.get(factor, RELIABILITIES)
    if factor == "sites" and isinstance(metric, Encoding):
        values = tuple(value for value in values if value <= MOST_SITES)
    changed = values
    if factor == "reliability":  # of one presentation, which is what an experiment has
        changed = tuple(float(spearman_brown(np.asarray(v), 1 / experiment.repeats)) for v in values)
    found = power(
        networks, experiment, metric, vary=factor, values=changed, layer=case.layer, replicates=_replicates(metric)
    )
    if factor == "reliability" and experiment.subjects:
        layers = _one_of_each_rule(networks, case.layer)
        values = tuple(lower_ceiling(replace(experiment, reliability=r), layers) for r in changed)
    kept = found[["recovery", "recovery_low", "recovery_high"]].rename({factor: "step"})
    return kept.assign(x=("step", np.asarray(values, float)), step=np.arange(len(values)))


def compute(quick: bool = False, *, folder: Path | None = None, workers: int = 0, first_seed: int = 0) -> xr.Dataset:
    """Train, simulate, score, count: half an hour of processor time, so a quarter of an hour on two cores.

    Args:
        quick: digits and few networks, in less than a minute.
        folder: keeps trained networks, and has them the next time.
        workers: processes; one per core by default, one where quick.
        first_seed: is added to the seeds.
    Returns:
        ``rate``, ``low``, ``high``, ``pairwise (matrix, chosen_by, rule, chosen)``; ``recovery (matrix, chosen_by)`` with
        ``recovery_low`` and ``recovery_high``; ``curve_x (curve, step)`` and ``curve_recovery`` likewise,
        ``(curve, step, chosen_by)``; ``accuracy (rule, network)``. Of a matrix and a curve the coords say benchmark, metric
        and kind; ``real (curve)`` is the benchmark's own value.
    """
    size = size_of(quick)
    workers = workers or (1 if quick else os.cpu_count() or 1)
    with TemporaryDirectory() as temporary:
        runs = (folder or Path(temporary)) / f"runs_{size}"
        panel = PANELS[size]
        accuracies = list(completed(partial(_train, size, runs), [panel.entries(first_seed)], workers))
        results = dict(completed(partial(_found, size, runs, first_seed), [_longest_first(size)], workers))
        measured = {name: _prepared(size, runs, first_seed, name)[1:] for name in CASES[size]}
    found = {task: results[task] for task in _tasks(size)}
    accuracy = pd.DataFrame(accuracies, columns=["rule", "seed", "accuracy"]).pivot(index="rule", columns="seed")
    matrices = _side_by_side("matrix", {task: table for task, table in found.items() if task.what not in FACTORS})
    curves = _side_by_side("curve", {task: table for task, table in found.items() if task.what in FACTORS})
    both = matrices.assign({f"curve_{name}": variable for name, variable in curves.data_vars.items()})
    return both.assign(
        accuracy=(("rule", "network"), accuracy.loc[matrices["rule"].values].to_numpy()),
        real=("curve", [_real(*measured[one.benchmark], one.what) for one in found if one.what in FACTORS]),
        sites=("benchmark", [experiment.sites for experiment, _ in measured.values()]),
        stimuli=("benchmark", [experiment.stimuli for experiment, _ in measured.values()]),
        subjects=("benchmark", [experiment.subjects for experiment, _ in measured.values()]),
        ceiling=("benchmark", [ceiling for _, ceiling in measured.values()]),
        benchmark=list(measured),
    ).assign_attrs(trained_on=_dataset(size).name, items=len(_dataset(size).train), epochs=panel.epochs)


def _side_by_side(dim: str, tables: Mapping[Task, xr.Dataset]) -> xr.Dataset:
    """Along ``dim``, with what each is as coords."""
    coords = {
        f"{dim}_{part}": (dim, [getattr(task, part) for task in tables]) for part in ("benchmark", "metric", "what")
    }
    joined = xr.concat(list(tables.values()), dim, join="outer", combine_attrs="override")
    return joined.assign_coords(coords)


def _real(experiment: Experiment, ceiling: float, factor: str) -> float:
    """Where the benchmark itself is along a curve."""
    return ceiling if factor == "reliability" else float(getattr(experiment, factor))


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print what was found, and write netCDF and figures into ``folder``; returns their paths.

    Args:
        folder: for results; also keeps the trained networks.
        quick, first_seed: see ``compute``.
    """
    dataset = compute(quick, folder=folder, first_seed=first_seed)
    print("\n".join(words(dataset)))
    return [
        *write("rule_recovery", dataset, plot(dataset), folder),
        *figures.save(plot_curves(dataset), folder / "rule_recovery_curves"),
    ]
