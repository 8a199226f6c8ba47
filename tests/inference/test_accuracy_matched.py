"""Comparison at matched accuracy, on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from neurocompare.errors import InputError
from neurocompare.inference import accuracy_matched, contrasts

STEPS = (10, 20, 40, 80)


def learning(rates: dict[str, float], offset: dict[str, float], seeds: int = 5, noise: float = 0.01) -> pd.DataFrame:
    """Accuracy is rate x step; the score is twice the accuracy, plus the model's offset and a little of each seed."""
    rng = np.random.default_rng(0)
    of_seed = {(model, seed): rng.normal(0, noise) for model in rates for seed in range(seeds)}
    rows = [
        {
            "model": model,
            "seed": seed,
            "step": step,
            "layer": layer,
            "benchmark": benchmark,
            "metric": "ridge",
            "task_accuracy": rates[model] * step,
            "raw": 2 * rates[model] * step + offset[model] + of_seed[model, seed],
        }
        for model in rates
        for seed in range(seeds)
        for step in STEPS
        for benchmark in ("one", "two")
        for layer in ("conv1", "fc1")
    ]
    return pd.DataFrame(rows)


def test_what_only_accuracy_brings_is_gone_and_what_the_rule_brings_stays():
    table = learning({"backprop": 0.01, "slow": 0.005, "worse": 0.0025}, {"backprop": 0.0, "slow": 0.0, "worse": -0.3})
    raw = contrasts(table[table["step"] == 80]).set_index(["benchmark", "layer", "model"])["difference"]
    found = accuracy_matched(table).set_index(["benchmark", "layer", "model"])
    for benchmark in ("one", "two"):
        for layer in ("conv1", "fc1"):
            assert raw[benchmark, layer, "slow"] == pytest.approx(2 * -0.4, abs=0.02)
            assert found.loc[(benchmark, layer, "slow"), "difference"] == pytest.approx(0, abs=0.02)
            assert found.loc[(benchmark, layer, "worse"), "difference"] == pytest.approx(-0.3, abs=0.02)
    slow, worse = found.loc[("one", "fc1", "slow")], found.loc[("one", "fc1", "worse")]
    assert (slow["step"], slow["step_reference"], slow["accuracy"], slow["accuracy_reference"]) == (80, 40, 0.4, 0.4)
    assert (worse["step"], worse["step_reference"], worse["accuracy"]) == (80, 20, 0.2)


def test_a_model_that_ends_above_the_reference_is_taken_on_its_way():
    found = accuracy_matched(learning({"backprop": 0.005, "fast": 0.01}, {"backprop": 0.0, "fast": 0.1}))
    assert found["difference"].to_numpy() == pytest.approx(np.full(4, 0.1), abs=0.02)
    assert set(found["step"]) == {40}
    assert set(found["step_reference"]) == {80}


def test_each_seed_is_matched_by_itself():
    table = learning({"backprop": 0.01, "slow": 0.005}, {"backprop": 0.0, "slow": 0.0}, noise=0.0)
    late = (table["model"] == "slow") & (table["seed"] == 0)
    table.loc[late, "task_accuracy"] /= 2
    found = accuracy_matched(table)
    assert found["step_reference"].unique() == pytest.approx((4 * 40 + 20) / 5)


def test_false_discoveries_are_counted_over_all_models_together():
    rates = {"backprop": 0.01, **{f"rule{k}": 0.005 for k in range(6)}}
    table = learning(rates, dict.fromkeys(rates, 0.0))
    found = accuracy_matched(table)
    assert len(found) == 24
    smallest = found["p"].min()
    assert found["q"].min() >= smallest
    np.testing.assert_allclose(found["q"], false_discovery_control(found["p"]))


def test_only_seeds_that_both_have_are_matched():
    table = learning({"backprop": 0.01, "slow": 0.005}, {"backprop": 0.0, "slow": 0.0})
    part = table[(table["model"] == "backprop") | (table["seed"] < 3)]
    assert set(accuracy_matched(part)["n_seeds"]) == {3}


def test_what_cannot_be_matched_is_said():
    table = learning({"backprop": 0.01, "slow": 0.005}, {"backprop": 0.0, "slow": 0.0})
    with pytest.raises(InputError, match="unknown column 'step'"):
        accuracy_matched(table.drop(columns="step"))
    with pytest.raises(InputError, match="unknown model 'backdrop'; did you mean 'backprop'"):
        accuracy_matched(table, "backdrop")
    with pytest.raises(InputError, match="slow has none"):
        accuracy_matched(table.assign(task_accuracy=table["task_accuracy"].where(table["model"] != "slow")))
    with pytest.raises(InputError, match="no model beside backprop"):
        accuracy_matched(table[table["model"] == "backprop"])
