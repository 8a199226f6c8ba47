"""Do networks that learnt to classify come to represent objects as inferior temporal cortex does, and does the rule matter?

Khaligh-Razavi & Kriegeskorte 2014 (PLoS Comput. Biol. 10:e1003915; Fig. 2b of Lillicrap et al. 2020) compared 37 models with
human and monkey IT on 96 object images: those that classified better resembled IT more, a network trained on ImageNet did
best and still not well enough, and weighting its layers helped. Here the same is asked, on 92 of the images, of one small
network trained on CIFAR-10 under several rules, of an ImageNet-trained one, and of what learnt nothing: filters, outlines,
and labels, one bit of which (animate or not) goes a long way.

A model's score is Kendall's tau-a of its correlation-distance RDM with that of each subject, averaged over subjects, as the
noise ceiling is; that with the mean RDM, which is what was published, is given beside it. The layer is chosen on stimuli
that it is not scored on. ImageNet's network has more images, more layers and more pixels: it says nothing of rules.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from analyses._results import write
from analyses.krk_figures import plot, table
from analyses.krk_models import (
    CHOSEN,
    PUBLISHED,
    SIZES,
    WEIGHTED,
    Key,
    Size,
    all_models,
    networks,
    represented,
)
from analyses.krk_words import words
from data_loaders import BENCHMARKS, can_model, load_benchmark
from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.inference import Bootstrap, bootstrap
from neurocompare.inference.layers import stimulus_folds
from neurocompare.metrics.comparisons import tau_a
from neurocompare.metrics.decoding import DECODING_METRICS, Decoding
from neurocompare.metrics.joint import of_each
from neurocompare.metrics.rsa import RSA_METRICS
from neurocompare.metrics.splits import Shuffled
from neurocompare.metrics.weighted_rsa import WEIGHTED_RSA, held_out_rdm
from neurocompare.representation import Representation

Seen = Mapping[Key, Mapping[str, Representation]]  # of each model, its layers
Row = tuple[str, str]  # a model, and a layer or how layers were joined
Found = dict[tuple[str, str, int], tuple[float, ...]]  # by row and seed
FOLDS = 12
TAU = next(metric for metric in RSA_METRICS if metric.name == "rsa_tau_a")
DECODING = next(metric for metric in DECODING_METRICS if isinstance(metric, Decoding))


def compute(quick: bool = False, *, folder: Path | None = None, workers: int = 1, first_seed: int = 0) -> xr.Dataset:
    """Train, look at the 92 images, compare.

    Args:
        quick: few networks, trained little, and human and monkey IT only.
        folder: keeps trained networks, and has them the next time.
        workers: processes to train in.
        first_seed: is added to the seeds.
    Returns:
        Of every layer, along ``entry`` (coords ``entry_model``, ``entry_layer``, ``entry_depth`` from 0 to 1): ``layer_tau``
        and ``layer_tau_group (benchmark, entry, seed)``, with each subject and with the mean RDM; ``share``, for how much of
        the stimuli it was the chosen one; ``decoding`` and ``dimensionality (entry, seed)``.
        Of every model, along ``point`` (``point_model``, ``point_how``: chosen layer or weighted layers): ``tau`` and
        ``tau_group (benchmark, point, seed)``; ``covariance (benchmark, point, other)`` over subjects and stimuli of ``tau``
        averaged over seeds, with ``dof (benchmark)`` degrees of freedom; layers are chosen and weighted
        once, not in each sample.
        ``accuracy (rule, seed)`` on the training task; ``lower``, ``upper``, ``subjects (benchmark)``; ``published (source,
        region)``. NaN where there is no such thing.
    Raises:
        DataUnavailable: the recordings or CIFAR-10 cannot be had; nothing simulated can stand in for them.
    """
    size = SIZES["quick" if quick else "full"]
    size = replace(size, seeds=tuple(first_seed + seed for seed in size.seeds))
    benchmarks = _benchmarks(size)
    with TemporaryDirectory() as temporary:
        kept = (folder or Path(temporary)) / f"networks_{'quick' if quick else 'full'}"
        runs = networks(size, kept, workers)
    models, without = all_models(size, runs)
    stimuli = {benchmark.stimuli.name: benchmark.stimuli for benchmark in benchmarks.values()}
    seen = {name: represented(models, shown) for name, shown in stimuli.items()}
    found = {name: _compared(one, seen[one.stimuli.name], size.samples) for name, one in benchmarks.items()}
    first = benchmarks[size.benchmarks[0]]
    of_first = seen[first.stimuli.name]
    dataset = _assembled(of_first, found, _labels(first, of_first, size.splits), size.seeds)
    ceilings = [TAU.ceiling(benchmark.data) for benchmark in benchmarks.values()]
    accuracy = [[runs[rule, seed].record["test_accuracy"] for seed in size.seeds] for rule in size.rules]
    return dataset.assign(
        accuracy=(("rule", "seed"), accuracy),
        lower=("benchmark", [ceiling.lower for ceiling in ceilings]),
        upper=("benchmark", [ceiling.upper for ceiling in ceilings]),
        subjects=("benchmark", [benchmark.data.sizes["subject"] for benchmark in benchmarks.values()]),
        published=(("source", "region"), np.array(list(PUBLISHED.values()))),
        rule=list(size.rules),
        source=list(PUBLISHED),
        region=["hIT", "mIT"],
    ).assign_attrs(
        trained_on="cifar10_jpeg", items=size.items, epochs=size.epochs, stimuli=len(first.stimuli),
        samples=size.samples, splits=size.splits, without_imagenet=without,
    )  # fmt: skip


def _benchmarks(size: Size) -> dict[str, Benchmark]:
    """The same objects under the same ids: what is known of them on grey holds of them on white."""
    loaded = {name: load_benchmark(name).in_memory() for name in size.benchmarks}
    known = loaded[size.benchmarks[0]].stimuli.table
    return {name: replace(b, stimuli=replace(b.stimuli, table=known)) for name, b in loaded.items()}


@dataclass(frozen=True)
class Compared:
    """Models and one benchmark.

    Attributes:
        layers: by model, layer and seed: tau-a with each subject (mean) and with the mean RDM, and ``share``.
        points: by model, how layers were joined, and seed: the same, without ``share``.
        bootstrap: of ``points``, in their order.
    """

    layers: Found
    points: Found
    bootstrap: Bootstrap


def _compared(benchmark: Benchmark, seen: Seen, samples: int) -> Compared:
    data = benchmark.grouped_data
    layers: Found = {}
    points: Found = {}
    rdms = []
    for (model, seed), represented_by in seen.items():
        if model in BENCHMARKS and not can_model(model, benchmark.name):
            continue
        of_layer = of_each(represented_by, data, lambda layer: TAU.model_rdm(layer, data))
        joined, share = _joined(np.stack(list(of_layer.values())), data)
        for (layer, rdm), often in zip(of_layer.items(), share, strict=True):
            layers[model, layer, seed] = (*_tau(rdm, data), float(often))
        for how, rdm in joined.items():
            points[model, how, seed] = _tau(rdm, data)
            rdms.append(rdm)
    return Compared(layers, points, bootstrap(np.stack(rdms), data.values, "tau_a", n_samples=samples))


def _tau(rdm: np.ndarray, data: xr.DataArray) -> tuple[float, float]:
    """With each subject's RDM, on average, and with their mean RDM."""
    return float(tau_a(rdm, data.values).mean()), float(tau_a(rdm, data.values.mean(0, keepdims=True))[0])


def _joined(layers: np.ndarray, data: xr.DataArray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One RDM of all layers, by how they were joined, and the share of each in the chosen one."""
    mean = data.values.mean(0)
    chosen, share = chosen_rdm(layers, mean, fold_of(data, FOLDS))
    joined = {CHOSEN: chosen}
    if len(layers) > 1:
        groups = np.unique(assembly.contents(data), return_inverse=True)[1]
        weighted = held_out_rdm(layers, mean, groups, WEIGHTED_RSA.held_out, WEIGHTED_RSA.seed)
        joined |= {WEIGHTED: weighted} if np.ptp(weighted) > 0 else {}  # all weights are 0: nothing is predicted
    return joined, share


def fold_of(data: xr.DataArray, folds: int) -> np.ndarray:
    """The part that each stimulus belongs to, ``(stimuli,)``; equal stimuli are in one part."""
    part = {stimulus: number for number, ids in enumerate(stimulus_folds(data, folds)) for stimulus in ids}
    return np.array([part[stimulus] for stimulus in assembly.stimulus_ids(data)])


def chosen_rdm(layers: np.ndarray, target: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every distance from the layer that is best elsewhere: among the stimuli of neither stimulus's part.

    Distances become ranks within their layer, so that those of different layers can stand in one RDM: where one layer is
    always best its tau-a comes out unchanged.

    Args:
        layers: their RDMs, ``(layers, pairs)``.
        target: the RDM that chooses, by tau-a, ``(pairs,)``.
        fold: the part of each stimulus, from 0.
    Returns:
        The RDM, ``(pairs,)``, and the share of pairs that are from each layer, ``(layers,)``.
    """
    first, second = (fold[side] for side in np.triu_indices(len(fold), 1))
    source = np.empty(len(target), int)
    for one, other in itertools.combinations_with_replacement(range(fold.max() + 1), 2):
        elsewhere = ~np.isin(first, (one, other)) & ~np.isin(second, (one, other))
        within = (np.minimum(first, second) == one) & (np.maximum(first, second) == other)
        source[within] = tau_a(target[elsewhere], layers[:, elsewhere]).argmax()
    ranks = rankdata(layers, axis=1)
    return ranks[source, np.arange(len(target))], np.bincount(source, minlength=len(layers)) / len(target)


def _labels(benchmark: Benchmark, seen: Seen, splits: int) -> Found:
    """How well animate objects are told from inanimate ones (held out), and effective dimensionality, of each layer."""
    animate = {str(i): "animate" if flag else "inanimate" for i, flag in benchmark.stimuli.table["animate"].items()}
    data = assembly.with_stimulus_coord(benchmark.grouped_data, "label", animate)
    metric = replace(DECODING, splits=Shuffled(splits, test_size=0.2))
    found: Found = {}
    for (model, seed), layers in seen.items():
        for layer, representation in layers.items():
            try:
                accuracy = metric.aggregate(metric.score(representation, data))[0]
            except InputError:  # a layer that does not vary
                accuracy = np.nan
            found[model, layer, seed] = accuracy, representation.effective_dimensionality
    return found


def _assembled(
    seen: Seen,
    found: Mapping[str, Compared],
    labels: Found,
    seeds: Sequence[int],
) -> xr.Dataset:
    """Along ``entry`` and ``point``; see ``compute``."""
    entries = list(dict.fromkeys((model, layer) for (model, _), layers in seen.items() for layer in layers))
    points = list(dict.fromkeys((m, how) for one in found.values() for m, how, _ in one.points))
    depths = _depths(entries)
    layer_tau = np.stack([_array(one.layers, entries, seeds, 3) for one in found.values()])
    tau = np.stack([_array(one.points, points, seeds, 2) for one in found.values()])
    read = _array(labels, entries, seeds, 2)
    at_layer, at_point = ("benchmark", "entry", "seed"), ("benchmark", "point", "seed")
    covariance = np.stack([_over_seeds(one, points) for one in found.values()])
    return xr.Dataset(
        {
            "layer_tau": (at_layer, layer_tau[..., 0]),
            "layer_tau_group": (at_layer, layer_tau[..., 1]),
            "share": (at_layer, layer_tau[..., 2]),
            "decoding": (at_layer[1:], read[..., 0]),
            "dimensionality": (at_layer[1:], read[..., 1]),
            "tau": (at_point, tau[..., 0]),
            "tau_group": (at_point, tau[..., 1]),
            "covariance": (("benchmark", "point", "other"), covariance),
            "dof": ("benchmark", [one.bootstrap.dof for one in found.values()]),
        },
        coords={
            "benchmark": list(found),
            "seed": list(seeds),
            "entry_model": ("entry", [model for model, _ in entries]),
            "entry_layer": ("entry", [layer for _, layer in entries]),
            "entry_depth": ("entry", depths),
            "point_model": ("point", [model for model, _ in points]),
            "point_how": ("point", [how for _, how in points]),
        },
    )


def _depths(entries: Sequence[Row]) -> list[float]:
    """From 0, a model's first layer, to 1, its last; NaN where there is one."""
    of_model = {model: [layer for m, layer in entries if m == model] for model, _ in entries}
    return [
        of_model[model].index(layer) / (len(of_model[model]) - 1) if len(of_model[model]) > 1 else np.nan
        for model, layer in entries
    ]


def _array(
    found: Found,
    rows: Sequence[Row],
    seeds: Sequence[int],
    width: int,
) -> np.ndarray:
    """``(rows, seeds, width)``; NaN where nothing was found."""
    nothing = (np.nan,) * width
    return np.array([[found.get((*row, seed), nothing) for seed in seeds] for row in rows])


def _over_seeds(one: Compared, points: Sequence[Row]) -> np.ndarray:
    """The bootstrap's covariance of means over seeds, ``(points, points)``; NaN for points that there are none of."""
    member = np.array([[key[:2] == point for key in one.points] for point in points], float)
    n = member.sum(1, keepdims=True)
    weights = np.where(n > 0, member / np.maximum(n, 1), np.nan)
    return weights @ one.bootstrap.covariance @ weights.T


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print what was found beside what was published, and write netCDF and figure into ``folder``.

    Args:
        folder: for results; also keeps the trained networks.
        quick, first_seed: see ``compute``.
    Returns:
        The paths written.
    """
    start = time.perf_counter()
    dataset = compute(quick, folder=folder, first_seed=first_seed)
    print("\n".join([*table(dataset), *words(dataset)]))
    print(f"{time.perf_counter() - start:.0f} s")
    return write("khaligh_razavi2014", dataset, plot(dataset), folder)
