"""Ceilings from repetitions, where the reliability is known; and the formulas that use them."""

from __future__ import annotations

import numpy as np
import pytest
from problems import rdms, responses

from neurocompare.assembly import response_assembly
from neurocompare.metrics import FORMULAS, METRICS
from neurocompare.metrics.ceiling import (
    session_reliability,
    shared_repetition_ceiling,
    spearman_brown,
    split_half_ceiling,
    split_half_reliability,
)


def simulated(n, neuroids, repetitions, noise, seed=0):
    return responses(n, neuroids, repetitions, noise=noise, seed=seed)


def test_identical_repetitions_are_perfectly_reliable():
    data = simulated(20, 5, 4, noise=0.0)
    np.testing.assert_allclose(split_half_reliability(data), 1, rtol=1e-12)
    ceiling = split_half_ceiling(data)
    assert [ceiling.value, ceiling.lower, ceiling.upper] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("repetitions", [2, 4, 10])
@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_reliability_of_known_noise_is_recovered(repetitions, noise):
    """The mean of k presentations has reliability ``s / (s + noise^2 / k)``; Spearman-Brown takes halves to k."""
    data = simulated(400, 60, repetitions, noise)
    found = split_half_reliability(data)
    expected = 1 / (1 + noise**2 / repetitions)
    standard_error = found.std(ddof=1) / len(found) ** 0.5
    assert standard_error < 0.02
    assert found.mean() == pytest.approx(expected, abs=4 * standard_error + 0.005)  # r is biased by O(1 / stimuli)


def test_a_true_model_reaches_the_square_root_of_the_reliability():
    """So the band, in units of the raw correlation, is where a perfect model lies."""
    data = simulated(2000, 40, 2, noise=1.0)
    signal = np.random.default_rng(0).standard_normal((2000, 40))  # as problems.responses draws it
    mean = data.values.reshape(2, 2000, 40).mean(0)
    r = np.median([np.corrcoef(signal[:, i], mean[:, i])[0, 1] for i in range(40)])
    ceiling = split_half_ceiling(data)
    assert ceiling.lower - 0.01 <= r <= ceiling.upper + 0.01
    assert ceiling.lower <= ceiling.value**0.5 <= ceiling.upper
    assert FORMULAS["r2_over_ceiling"](r, ceiling.value) == pytest.approx(1, abs=0.03)


def test_halves_are_of_each_stimulus_own_repetitions():
    """Stimuli with unequal numbers of repetitions, in any order; those shown once take no part."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((30, 4))
    counts = np.array([1] * 5 + [2] * 10 + [3] * 10 + [6] * 5)
    rows = rng.permutation(np.repeat(np.arange(30), counts))
    values = signal[rows].copy()
    values[rows < 5] += 100 * rng.standard_normal(((rows < 5).sum(), 4))  # shown once, and wild
    data = response_assembly(
        values, [f"s{i}" for i in rows], neuroid_ids=list("abcd"), region="r", subjects="s", units="u"
    )
    np.testing.assert_allclose(split_half_reliability(data), 1, rtol=1e-12)


def test_reliability_does_not_depend_on_the_number_of_halvings_but_for_noise():
    data = simulated(300, 20, 6, noise=1.0)
    few, many = (split_half_reliability(data, n_splits=n).mean() for n in (3, 30))
    assert few == pytest.approx(many, abs=0.01)
    np.testing.assert_array_equal(split_half_reliability(data, seed=4), split_half_reliability(data, seed=4))
    assert not np.array_equal(split_half_reliability(data, seed=4), split_half_reliability(data, seed=5))


@pytest.mark.parametrize("data", [responses(20, 3, 1), rdms(5)], ids=["one repetition", "RDMs"])
def test_without_repetitions_there_is_no_ceiling_and_it_says_why(data):
    ceiling = METRICS["ridge"].ceiling(data)
    assert np.isnan([ceiling.value, ceiling.lower, ceiling.upper]).all()
    assert ceiling.method.startswith("not estimable: a split-half ceiling needs repetitions of at least 3 stimuli")


def test_formulas_by_hand():
    assert FORMULAS["r2_over_ceiling"](0.6, 0.9) == pytest.approx(0.4)
    assert FORMULAS["r2_over_ceiling"](-0.6, 0.9) == 0
    assert FORMULAS["r_over_ceiling"](0.3, 0.6) == pytest.approx(0.5)
    assert FORMULAS["r_over_ceiling"](-0.3, 0.6) == pytest.approx(-0.5)
    assert FORMULAS["r_over_ceiling_squared"](0.3, 0.6) == pytest.approx(0.25)
    assert FORMULAS["r_over_ceiling_squared"](-0.3, 0.6) == 0
    assert FORMULAS["noise_corrected_r2"](0.2, 0.8 * 0.5) == pytest.approx(0.5)


def test_spearman_brown_by_hand():
    assert spearman_brown(0.5, 2) == pytest.approx(2 * 0.5 / 1.5)
    assert spearman_brown(0.5, 3) == pytest.approx(3 * 0.5 / 2)


def test_three_sessions_give_the_reliability_of_their_mean():
    """``s / (s + noise^2 / 3)`` where it is known; with three sessions the formula is ``3r / (1 + 2r)``."""
    sessions = simulated(3000, 20, 3, noise=1.0).values.reshape(3, 3000, 20)
    found = session_reliability(sessions)
    assert found.mean() == pytest.approx(0.75, abs=0.01)
    r = np.median([[np.corrcoef(sessions[a, :, 0], sessions[b, :, 0])[0, 1]] for a, b in ((0, 1), (0, 2), (1, 2))])
    assert found[0] == pytest.approx(3 * r / (1 + 2 * r))


def test_internal_consistency_of_identical_repetitions_is_one():
    ceiling = shared_repetition_ceiling(simulated(20, 5, 4, noise=0.0))
    assert [ceiling.value, ceiling.lower, ceiling.upper] == pytest.approx([1, 1, 1])
    assert "10 splits of 4 repetitions" in ceiling.method
    assert np.isnan(shared_repetition_ceiling(simulated(20, 5, 1, noise=0.0)).value)


def test_internal_consistency_of_known_noise():
    ceiling = shared_repetition_ceiling(simulated(2000, 40, 4, noise=1.0))
    assert ceiling.value == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("name", FORMULAS)
def test_nothing_is_normalized_by_a_ceiling_that_is_not_known(name):
    assert np.isnan(FORMULAS[name](0.5, float("nan")))
    assert np.isnan(FORMULAS[name](-0.5, float("nan")))


@pytest.mark.parametrize("name", FORMULAS)
def test_a_score_that_is_not_known_stays_so(name):
    assert np.isnan(FORMULAS[name](float("nan"), 0.8))
