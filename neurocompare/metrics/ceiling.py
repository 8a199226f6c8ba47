"""Noise ceilings from repeated measurements, and the named formulas that divide by a ceiling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from neurocompare import assembly
from neurocompare.metrics.base import Ceiling, no_ceiling, pearson_columns


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
        corrected.append(2 * r / (1 + r))
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
    picks = np.random.default_rng(seed).integers(root.size, size=(2000, root.size))
    lower, upper = np.quantile(np.median(root[picks], axis=1), [0.025, 0.975])
    method = (
        f"split halves of repetitions, {n_splits} random halvings, Spearman-Brown; median of {root.size} neuroids; "
        "band: square root, 95 % interval over neuroids"
    )
    return Ceiling(float(np.median(reliability)), float(lower), float(upper), method)


def r2_over_ceiling(raw: float, ceiling: float) -> float:
    """``r^2 / c``: explained over explainable variance (Brain-Score since 2026-01); a negative ``r`` explains nothing."""
    return max(raw, 0.0) ** 2 / ceiling


def r_over_ceiling(raw: float, ceiling: float) -> float:
    """``r / c``."""
    return raw / ceiling


FORMULAS: dict[str, Callable[[float, float], float]] = {
    "r2_over_ceiling": r2_over_ceiling,
    "r_over_ceiling": r_over_ceiling,
}
