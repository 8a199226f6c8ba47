"""What a score would be if the layer's responses had nothing to do with which stimulus was shown.

The stimuli of the layer are permuted against the data's. Everything else about either stays as it is: dimensionality,
distribution of distances, noise.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics import comparisons
from neurocompare.metrics.base import Metric
from neurocompare.metrics.rsa import RSA
from neurocompare.representation import Representation

BLOCK = 1 << 21  # dissimilarities that are held at once


@dataclass(frozen=True)
class Null:
    """A score beside what permutations give.

    Attributes:
        observed: the aggregated score.
        samples: the same for each permutation, ``(n_permutations,)``.
    """

    observed: float
    samples: np.ndarray

    @property
    def p(self) -> float:
        """``(1 + permutations that score as high) / (1 + permutations)`` (Phipson & Smyth 2010, eq. 2)."""
        as_high = self.samples >= self.observed - 1e-12 * max(1.0, abs(self.observed))
        return float((1 + as_high.sum()) / (1 + len(self.samples)))


def permutation_null(
    metric: Metric, representation: Representation, data: xr.DataArray, *, n_permutations: int = 1000, seed: int = 0
) -> Null:
    """Score a layer whose stimuli are permuted.

    RDMs are permuted as they are; for any other metric each permutation costs one score. Stimuli of equal content (coord
    ``content``) move together, to where as many are equal.

    Args:
        metric: scores.
        representation: of the layer.
        data: responses or RDMs; ``Benchmark.grouped_data`` knows equal stimuli.
        n_permutations: how many; p is at least one over this plus one.
        seed: of the permutations.
    Raises:
        InputError: fewer than one permutation; or as the metric.
    """
    if n_permutations < 1:
        raise InputError(f"a null needs one permutation or more, got {n_permutations}")
    orders = permutations(data, n_permutations, seed)
    observed = metric.aggregate(metric.score(representation, data))[0]
    if isinstance(metric, RSA):
        return Null(observed, _of_rdms(metric, representation, data, orders))
    ids = assembly.stimulus_ids(data)
    samples = []
    for order in orders:
        moved = replace(representation.select([ids[k] for k in order]), ids=tuple(ids))
        samples.append(metric.aggregate(metric.score(moved, data))[0])
    return Null(observed, np.array(samples))


def permutations(data: xr.DataArray, n_permutations: int, seed: int = 0) -> np.ndarray:
    """Which stimulus's response takes each stimulus's place, ``(n_permutations, stimuli)``, in ``stimulus_ids`` order."""
    ids = assembly.stimulus_ids(data)
    members = defaultdict(list)
    for place, content in enumerate(assembly.contents(data)):
        members[content].append(place)
    by_size = defaultdict(list)
    for places in members.values():
        by_size[len(places)].append(places)
    generator, orders = np.random.default_rng(seed), np.empty((n_permutations, len(ids)), int)
    for equal in map(np.array, by_size.values()):  # (contents, as many stimuli of each)
        for order in orders:
            order[equal] = equal[generator.permutation(len(equal))]
    return orders


def _of_rdms(metric: RSA, representation: Representation, data: xr.DataArray, orders: np.ndarray) -> np.ndarray:
    """Mean similarity to the subjects' RDMs for each order of the layer's, a block of orders at a time."""
    comparison, model = metric.comparison, metric.model_rdm(representation, data)
    subjects = metric.compared_rdms(data).values
    if comparison is comparisons.spearman:  # an order of stimuli moves ranks, so they are had once
        comparison, model, subjects = comparisons.pearson, rankdata(model), rankdata(subjects, axis=1)
    square = comparisons.square(model[None])[0]
    first, second = np.triu_indices(len(square), 1)
    step = max(1, BLOCK // len(first))
    samples = []
    for start in range(0, len(orders), step):
        some = orders[start : start + step]
        moved = square[some[:, first], some[:, second]]
        samples.append(np.mean([comparison(subject, moved) for subject in subjects], axis=0))
    return np.concatenate(samples)
