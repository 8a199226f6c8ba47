"""Intervals over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from neurocompare.inference import over_seeds, seed_interval


@pytest.mark.parametrize("n", [3, 5, 12])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_the_interval_is_students(n, confidence):
    values = np.random.default_rng(n).standard_normal(n) + 2
    expected = scipy.stats.t.interval(confidence, n - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert seed_interval(values, confidence) == pytest.approx(expected, rel=1e-12)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).standard_normal((4000, 4)) + 1
    covered = np.mean([low <= 1 <= high for low, high in map(seed_interval, draws)])
    assert covered == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_seeds_give_no_interval(n):
    assert np.isnan(seed_interval(np.ones(n))).all()


def test_over_seeds_keeps_order_and_counts():
    rows = [
        {"benchmark": "b", "metric": "m", "model": model, "layer": layer, "depth": depth, "seed": seed, "raw": raw}
        for seed, shift in enumerate([0.0, 0.1, 0.5])
        for model in ("z", "a")
        for depth, (layer, raw) in enumerate([("late", 1 + shift), ("early", 2 - shift)], 1)
    ]
    table = over_seeds(pd.DataFrame(rows))
    assert table[["model", "layer"]].values.tolist() == [["z", "late"], ["z", "early"], ["a", "late"], ["a", "early"]]
    assert table["n_seeds"].tolist() == [3] * 4
    expected = seed_interval(np.array([1, 1.1, 1.5]))
    late = table.iloc[0]
    assert [late["mean"], late["low"], late["high"]] == pytest.approx([1.2, *expected])


def test_over_seeds_keeps_a_control_without_seed():
    row = {"benchmark": "b", "metric": "m", "model": "pixels", "layer": "pixels", "depth": 1, "seed": pd.NA, "raw": 0.3}
    table = over_seeds(pd.DataFrame([row]))
    assert table["mean"].tolist() == [0.3]
    assert np.isnan(table["low"][0])
