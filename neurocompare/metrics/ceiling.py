"""Noise ceilings from repeated measurements, and the named formulas that divide by a ceiling."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import xarray as xr
from sklearn.model_selection import ShuffleSplit

from neurocompare import assembly
from neurocompare.metrics.base import NAN, Ceiling, Metric, no_ceiling, pearson_columns


def split_half_reliability(data: xr.DataArray, *, n_splits: int = 10, seed: int = 1) -> np.ndarray:
    """Correlation between halves of the repetitions, corrected to the full number (Spearman-Brown), per neuroid.

    In each of ``n_splits`` random halvings of each stimulus's own repetitions, the two half means are correlated over
    stimuli (Pearson r) and corrected to ``2 r / (1 + r)``; the mean over halvings is returned. Stimuli shown once take
    no part.

    Args:
        data: ``presentation x neuroid`` with repetitions.
    Returns:
        ``(neuroids,)``.
    """
    rows = np.unique(data["stimulus_id"].values, return_inverse=True)[1]
    repeated = np.bincount(rows)[rows] > 1
    values, rows = data.values[repeated], np.unique(rows[repeated], return_inverse=True)[1]
    generator = np.random.default_rng(seed)
    corrected = []
    for _ in range(n_splits):
        first, second = (assembly.group_means(values[half], rows[half]) for half in _halves(rows, generator))
        r = pearson_columns(first, second)
        corrected.append(spearman_brown(r, 2))
    return np.mean(corrected, axis=0)


def _halves(rows: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Presentations of a random half of each stimulus's repetitions, and of the other half (odd ones out go second)."""
    shuffled = generator.permutation(len(rows))
    order = shuffled[np.argsort(rows[shuffled], kind="stable")]  # by stimulus, in random order within each
    counts = np.bincount(rows)
    position = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    in_first = position < np.repeat(counts // 2, counts)
    return order[in_first], order[~in_first]


def split_half_ceiling(data: xr.DataArray, *, n_splits: int = 10, seed: int = 1) -> Ceiling:
    """The ceiling of a median correlation with repetition-averaged responses.

    ``value`` is the median reliability ``c`` over neuroids. A perfect model of the noise-free response correlates with
    the average by ``sqrt(c)``, so that is where the band lies: the median of ``sqrt(c)`` with its 95 % interval over
    resampled neuroids.
    """
    if assembly.is_rdms(data) or (np.unique(data["stimulus_id"].values, return_counts=True)[1] > 1).sum() < 3:
        return no_ceiling("a split-half ceiling needs repetitions of at least 3 stimuli, the data have none")
    reliability = split_half_reliability(data, n_splits=n_splits, seed=seed)
    root = np.sqrt(np.maximum(reliability, 0))
    lower, upper = median_interval(root, seed)
    method = (
        f"split halves of repetitions, {n_splits} random halvings, Spearman-Brown; median of {root.size} neuroids; "
        "band: square root, 95 % interval over neuroids"
    )
    return Ceiling(float(np.median(reliability)), lower, upper, method)


def median_interval(values: np.ndarray, seed: int = 1) -> tuple[float, float]:
    """The 95 % interval of a median over 2,000 bootstrap samples of the values."""
    picks = np.random.default_rng(seed).integers(values.size, size=(2000, values.size))
    lower, upper = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(lower), float(upper)


def shared_repetition_ceiling(data: xr.DataArray, *, n_splits: int = 10, seed: int = 1) -> Ceiling:
    """Brain-Score's internal consistency: the repetition numbers, the same for all stimuli, are halved.

    As ``split_half_ceiling`` but for what is shuffled: in each of ``n_splits`` splits half of the distinct values of
    ``repetition``, so that all stimuli of one half were shown in the same runs; the mean over splits of the corrected r,
    then the median over neuroids.
    """
    if assembly.is_rdms(data) or len(np.unique(data["repetition"].values)) < 2:
        return no_ceiling("internal consistency needs two repetitions or more, the data have none")
    numbers = np.unique(data["repetition"].values)
    corrected = []
    for first, _ in ShuffleSplit(n_splits, train_size=0.5, random_state=seed).split(numbers):
        in_first = np.isin(data["repetition"].values, numbers[first])
        halves = [data.isel(presentation=np.flatnonzero(half)) for half in (in_first, ~in_first)]
        in_second = set(assembly.stimulus_ids(halves[1]))
        shared = [stimulus for stimulus in assembly.stimulus_ids(halves[0]) if stimulus in in_second]
        means = [_mean_responses(half, shared) for half in halves]
        r = pearson_columns(*means)
        corrected.append(spearman_brown(r, 2))
    value = float(np.median(np.mean(corrected, axis=0)))
    root = max(value, 0.0) ** 0.5
    return Ceiling(
        value, root, root, f"Brain-Score internal consistency, {n_splits} splits of {len(numbers)} repetitions"
    )


def _mean_responses(data: xr.DataArray, ids: list[str]) -> np.ndarray:
    mean = assembly.average_repetitions(data)
    place = {str(s): row for row, s in enumerate(mean["stimulus_id"].values)}
    return mean.values[[place[s] for s in ids]]


def spearman_brown(r: np.ndarray, times: float) -> np.ndarray:
    """The reliability of a measurement ``times`` as long, ``k r / (1 + (k - 1) r)``: ``2r/(1+r)``, ``3r/(1+2r)``."""
    return times * r / (1 + (times - 1) * r)


def session_reliability(sessions: np.ndarray) -> np.ndarray:
    """Of the mean over sessions, from the median correlation between pairs of them (Spearman-Brown), per neuroid.

    Args:
        sessions: ``(sessions, stimuli, neuroids)``; with three sessions this is ``3r/(1+2r)``. A median that is not positive
            is returned as it is: there is no reliability to extrapolate, and the formula has a pole below zero.
    """
    r = np.median([pearson_columns(a, b) for a, b in itertools.combinations(sessions, 2)], axis=0)
    return np.where(r > 0, spearman_brown(np.maximum(r, 0), len(sessions)), r)


def halves_ceiling(
    similarity: Callable[[np.ndarray, np.ndarray], float], data: xr.DataArray, *, n_splits: int = 10, seed: int = 1
) -> Ceiling:
    """Of a similarity between whole sets of responses: between the means over halves of the repetitions.

    The lower bound compares the halves with each other; the upper one compares each with the mean of all repetitions, of
    which it is part. A half is noisier than the mean of all, so the true ceiling may lie above the lower bound, and normally
    does.

    Args:
        similarity: of two ``(stimuli, neuroids)`` arrays.
        data: responses with repetitions.
    """
    _, rows, counts = np.unique(data["stimulus_id"].values, return_inverse=True, return_counts=True)
    if (counts > 1).sum() < 3:
        return no_ceiling("a ceiling from halves needs repetitions of at least 3 stimuli, the data have none")
    repeated = counts[rows] > 1
    values, rows = data.values[repeated], np.unique(rows[repeated], return_inverse=True)[1]
    whole, generator = assembly.group_means(values, rows), np.random.default_rng(seed)
    lower, upper = [], []
    for _ in range(n_splits):
        halves = [assembly.group_means(values[half], rows[half]) for half in _halves(rows, generator)]
        lower.append(similarity(*halves))
        upper += [similarity(half, whole) for half in halves]
    method = f"halves of repetitions against each other (lower) and against all (upper), {n_splits} random halvings"
    return Ceiling(float(np.mean(upper)), float(np.mean(lower)), float(np.mean(upper)), method)


def r2_over_ceiling(raw: float, ceiling: float) -> float:
    """``r^2 / c``: explained over explainable variance (Brain-Score since 2026-01); a negative ``r`` explains nothing."""
    return max(raw, 0.0) ** 2 / ceiling if not np.isnan(raw) else NAN


def r_over_ceiling(raw: float, ceiling: float) -> float:
    """``r / c``."""
    return raw / ceiling


def r_over_ceiling_squared(raw: float, ceiling: float) -> float:
    """``(r / c)^2`` (Brain-Score before 2026-01, after Yamins et al. 2014); a negative ``r`` explains nothing."""
    return (max(raw, 0.0) / ceiling) ** 2 if not np.isnan(raw) else NAN


def noise_corrected_r2(r2: float, reliability: float) -> float:
    """``r^2 / (r_v r^_v)``: reliabilities of the data and of what is predicted (Tuckute et al. 2023; Kell et al. 2018).

    Args:
        r2: explained variance.
        reliability: the product of both.
    """
    return r2 / reliability


FORMULAS: dict[str, Callable[[float, float], float]] = {
    "r2_over_ceiling": r2_over_ceiling,
    "r_over_ceiling": r_over_ceiling,
    "r_over_ceiling_squared": r_over_ceiling_squared,
    "noise_corrected_r2": noise_corrected_r2,
    "cc_norm": r_over_ceiling,
}


def by_formula(metric: Metric, raw: xr.DataArray, ceiling: Ceiling) -> float:
    """The metric's aggregated score by its own formula."""
    return FORMULAS[metric.formula](metric.aggregate(raw)[0], ceiling.value)
