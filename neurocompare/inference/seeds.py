"""Intervals over seeds. Seeds are a random factor: what is claimed of a rule must hold for networks not yet trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

MIN_SEEDS = 3


def seed_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean over seeds.

    Args:
        values: one per seed.
        confidence: of the interval.
    Returns:
        ``(low, high)``; NaN for fewer than three seeds, from which no useful interval can be had.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < MIN_SEEDS:
        return float("nan"), float("nan")
    half = student.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def over_seeds(table: pd.DataFrame, value: str = "raw") -> pd.DataFrame:
    """A score table reduced over seeds.

    Args:
        table: as ``Score.table`` makes it.
        value: the column to average.
    Returns:
        One row per benchmark, metric, model and layer (in order of first appearance) with ``mean``, ``low``, ``high``
        (``seed_interval``) and ``n_seeds``.
    """
    keys = ["benchmark", "metric", "model", "layer", "depth"]

    def reduce(values: pd.Series) -> pd.Series:
        low, high = seed_interval(values.to_numpy())
        return pd.Series({"mean": values.mean(), "low": low, "high": high, "n_seeds": len(values)})

    return table.groupby(keys, sort=False)[value].apply(reduce).unstack().reset_index()
