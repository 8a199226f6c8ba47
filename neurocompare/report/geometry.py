"""How the brain and each layer of the trained networks arrange the same stimuli.

A study keeps scores and weights, not representations, so its networks are probed again where the stimuli can be had: the
first seed of each rule, and the same network untrained. Stimuli are placed by classical multidimensional scaling
(Torgerson 1952) of dissimilarities taken as squared distances, which ``1 - Pearson r`` is up to a factor. RDMs are placed by
the same of ``2 (1 - rho)``, the squared distance between their standardised ranks, whose correlation is ``rho``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.controls import CONTROLS
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, data_for
from neurocompare.metrics.distances import correlation_distance
from neurocompare.metrics.rsa import neural_rdms
from neurocompare.model import Given, Model
from neurocompare.networks import build
from neurocompare.probe import probe
from neurocompare.representation import double_centred
from neurocompare.study import Study
from neurocompare.train import RECORD, Run

MOST_STIMULI = 96  # an RDM of more is not legible


@dataclass(frozen=True)
class Geometry:
    """RDMs over one set of stimuli.

    Attributes:
        stimuli: name of the set.
        ids: of the stimuli shown, those with one label beside each other.
        labels: of each; empty strings where there are none.
        total: stimuli in the set.
        brain: condensed RDMs, mean over subjects, by benchmark.
        layers: condensed RDMs, by model and layer.
        without: of layers that have none, why.
    """

    stimuli: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    total: int
    brain: Mapping[str, np.ndarray]
    layers: Mapping[tuple[str, str], np.ndarray]
    without: Sequence[str] = ()


def geometries(study: Study, benchmarks: Iterable[Benchmark]) -> list[Geometry]:
    """The RDMs of benchmarks and of a study's networks, one for each set of stimuli.

    Args:
        study: whose runs are looked at.
        benchmarks: with their stimuli at hand.
    """
    together: dict[str, list[Benchmark]] = {}
    for benchmark in benchmarks:
        together.setdefault(benchmark.stimuli.fingerprint, []).append(benchmark)
    models = networks(study) if together else {}
    return [_geometry(group, models) for group in together.values()]


def networks(study: Study) -> dict[str, Model | Given]:
    """The networks of a study's first seed that have been trained, by rule, and the same one untrained."""
    found: dict[str, Model | Given] = {}
    seed = study.spec.seeds[0]
    folders = {name: study.folder / "runs" / f"{name}-seed{seed}" for name in study.spec.rules}
    runs = {name: Run.load(folder) for name, folder in folders.items() if (folder / RECORD).is_file()}
    for name, run in runs.items():
        found[name] = run.model()
    for run in list(runs.values())[:1]:
        found["untrained"] = CONTROLS["untrained"].make(build(run.net.spec), run.preprocess, seed)
    return found


def layer_rdms(
    models: Mapping[str, Model | Given], benchmark: Benchmark, ids: Sequence[str]
) -> tuple[dict[tuple[str, str], np.ndarray], list[str]]:
    """Correlation-distance RDMs of the layers of models over some of a benchmark's stimuli.

    Returns:
        Condensed, by model and layer; and, of layers in which they are undefined, why.
    """
    found, without = {}, []
    for name, model in models.items():
        for layer, representation in probe(model, replace(benchmark.stimuli, ids=tuple(ids))).items():
            try:
                found[name, layer] = correlation_distance(representation)
            except InputError as reason:
                without.append(f"{name}: {reason}")
    return found, without


def brain_rdm(benchmark: Benchmark, ids: Sequence[str]) -> np.ndarray:
    """The benchmark's RDM over some of its stimuli, condensed: the mean over subjects, or that over all neuroids."""
    data = data_for(METRICS["rsa_spearman"], benchmark.data)
    place = {stimulus: row for row, stimulus in enumerate(assembly.stimulus_ids(data))}
    rows = [place[stimulus] for stimulus in ids]
    square = squareform(neural_rdms(data).mean("subject").values, checks=False)
    return squareform(square[np.ix_(rows, rows)], checks=False)


def shown_stimuli(benchmark: Benchmark) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stimuli to show, at most ``MOST_STIMULI`` taken evenly from all, sorted by label; and their labels."""
    ids = assembly.stimulus_ids(benchmark.data)
    labels = assembly.stimulus_coord(benchmark.data, "label") or [""] * len(ids)
    by_label = sorted(range(len(ids)), key=labels.__getitem__)
    rows = [
        by_label[k] for k in np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MOST_STIMULI)).round().astype(int))
    ]
    return tuple(ids[row] for row in rows), tuple(labels[row] for row in rows)


def classical_scaling(squared: np.ndarray) -> tuple[np.ndarray, float]:
    """Points in the plane whose distances are as near as can be to those given (Torgerson 1952).

    Args:
        squared: distances, squared, condensed.
    Returns:
        Points ``(n, 2)``, each axis signed such that its farthest point is on the positive side; and the share of the whole
        (of the eigenvalues' absolute sum) that the two axes hold.
    """
    values, vectors = np.linalg.eigh(-0.5 * double_centred(squareform(squared, checks=False)))
    points = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
    points *= np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1, 1)
    return points, float(np.maximum(values[-2:], 0).sum() / np.abs(values).sum())


def rank_correlations(rdms: np.ndarray) -> np.ndarray:
    """Spearman's rho between the rows of ``(rdms, pairs)``."""
    return np.corrcoef(rankdata(rdms, axis=1))


def _geometry(benchmarks: Sequence[Benchmark], models: Mapping[str, Model | Given]) -> Geometry:
    first = benchmarks[0]
    ids, labels = shown_stimuli(first)
    layers, without = layer_rdms(models, first, ids)
    brain = {benchmark.name: brain_rdm(benchmark, ids) for benchmark in benchmarks}
    return Geometry(first.stimuli.name, ids, labels, len(first.stimuli), brain, layers, without)
