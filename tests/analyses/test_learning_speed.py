"""Learning speeds of a linear perceptron against theory; the shape of what the second part computes."""

from __future__ import annotations

import numpy as np
import pytest

from analyses import learning_speed
from neurocompare.rules import RULES


@pytest.mark.parametrize("name", learning_speed.PERTURBED)
def test_an_example_shrinks_the_distance_as_theory_says(name):
    """Within four standard errors; that those are small enough to tell the rules apart is tested too."""
    shrinkage, error = learning_speed.contraction(learning_speed.perceptron(name, steps=50, replicates=60))
    assert shrinkage == pytest.approx(learning_speed.best_rate(name), abs=4 * error)
    others = [learning_speed.best_rate(other) for other in learning_speed.PERTURBED if other != name]
    assert all(abs(other - shrinkage) > 2 * error for other in others)


@pytest.mark.slow
def test_the_closed_forms_hold_within_five_percent():
    for name in learning_speed.PERTURBED:
        shrinkage, _ = learning_speed.contraction(learning_speed.perceptron(name, steps=200, replicates=600))
        assert shrinkage == pytest.approx(learning_speed.best_rate(name), rel=0.05), name


def test_the_spectrum_of_a_few_rules(tmp_path):
    names = ["backprop", "node_perturbation", "genetic_algorithm"]
    dataset = learning_speed.compute(names, steps=60, examples=5, replicates=2)
    assert dataset["loss"].shape == (3, 60)
    assert list(dataset["rule"].values) == names
    backprop = dataset.sel(rule="backprop")
    assert float(backprop["loss"][-5:].mean()) < 0.5 * float(backprop["loss"][0])
    np.testing.assert_allclose(backprop["angle"], 0, atol=0.1)  # single precision
    assert (dataset["angle"].sel(rule="node_perturbation") > 45).all()
    assert dataset["angle"].sel(rule="genetic_algorithm").isnull().all()
    assert set(dataset["rate"].values / [RULES[name].learning_rate for name in names]) <= {1 / 3, 1.0, 3.0}
    text = " ".join(t.get_text() for axis in learning_speed.plot(dataset).axes for t in [*axis.texts, axis.title])
    assert "NP" in text
    assert "no update of this kind" in text
