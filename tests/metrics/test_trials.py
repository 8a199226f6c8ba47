"""CC_half, CC_max and their ceiling, by enumeration and where signal and noise are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from neurocompare.assembly import response_assembly
from neurocompare.metrics.splits import Split
from neurocompare.metrics.trials import Halvings, cc_half, cc_max, cc_max_of_splits, trial_ceiling


def simulated(neuroids: int, trials: int, samples: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Signals of power 1 and trials with noise added, ``(neuroids, samples)`` and ``(neuroids, trials, samples)``."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((neuroids, samples))
    return signal, signal[:, None] + noise * rng.standard_normal((neuroids, trials, samples))


def unordered(masks: np.ndarray) -> set[frozenset[frozenset[int]]]:
    """The halvings as pairs of sets."""
    trials = range(masks.shape[1])
    return {frozenset({frozenset(np.flatnonzero(m)), frozenset(trials) - set(np.flatnonzero(m))}) for m in masks}


@pytest.mark.parametrize(("trials", "number"), [(2, 1), (3, 3), (4, 3), (5, 10), (6, 10), (10, 126)])
def test_all_halvings_are_there_once(trials, number):
    masks = Halvings(most=126).masks(trials)
    wanted = {
        frozenset({frozenset(half), frozenset(range(trials)) - frozenset(half)})
        for half in itertools.combinations(range(trials), trials // 2)
    }
    assert len(masks) == number == Halvings.count(trials)
    assert unordered(masks) == wanted
    assert (masks.sum(1) == trials // 2).all()
    assert Halvings(126).describe(trials) == f"all {number} halvings"


@pytest.mark.parametrize("trials", [20, 21])
def test_of_many_halvings_some_are_drawn(trials):
    masks = Halvings(most=500, seed=3).masks(trials)
    assert masks.shape == (500, trials)
    assert (masks.sum(1) == 10).all()
    assert len(unordered(masks)) > 490
    np.testing.assert_allclose(masks.mean(0), 10 / trials, atol=4 * 0.5 / 500**0.5)
    np.testing.assert_array_equal(masks, Halvings(500, 3).masks(trials))
    assert not np.array_equal(masks, Halvings(500, 4).masks(trials))
    assert Halvings(500, 3).describe(20) == "500 of 92,378 halvings, seed 3"


@pytest.mark.parametrize("trials", [2, 3, 4, 5])
def test_cc_half_by_enumeration(trials):
    measured = simulated(3, trials, 50, noise=1.0)[1] + 7
    expected = []
    for half in itertools.combinations(range(trials), trials // 2):
        rest = [k for k in range(trials) if k not in half]
        expected.append(
            [np.corrcoef(own[list(half)].mean(0), own[rest].mean(0))[0, 1] for own in measured]
        )  # each halving of an even number comes twice, which leaves the mean as it is
    np.testing.assert_allclose(cc_half(measured), np.mean(expected, axis=0), atol=1e-12)


def test_a_draw_of_halvings_comes_close_to_all():
    measured = simulated(40, 12, 100, noise=3.0)[1]
    every = cc_half(measured, Halvings(462))
    some = cc_half(measured, Halvings(200))
    assert np.abs(some - every).max() < 0.02
    assert np.abs(some - every).max() > 0


@pytest.mark.parametrize("trials", range(2, 13))
@pytest.mark.parametrize("noise", [0.3, 1.0, 5.0])
def test_cc_max_inverts_what_halves_of_known_noise_correlate_by(trials, noise):
    """No simulation: the correlation of halves with signal power 1 and a trial's noise power ``noise^2`` is known."""
    first, second = trials // 2, trials - trials // 2
    half = 1 / np.sqrt((1 + noise**2 / first) * (1 + noise**2 / second))
    assert cc_max(np.array([half]), trials)[0] == pytest.approx(1 / np.sqrt(1 + noise**2 / trials), rel=1e-12)


@pytest.mark.parametrize("half", [0.05, 0.5, 0.99, 1.0])
def test_for_equal_halves_cc_max_is_the_published_formula(half):
    assert cc_max(np.array([half]), 20)[0] == pytest.approx(np.sqrt(2 / (1 + np.sqrt(1 / half**2))), rel=1e-12)


@pytest.mark.parametrize("trials", [4, 5, 20])
@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_cc_max_is_what_a_perfect_model_reaches(trials, noise):
    signal, measured = simulated(30, trials, 4000, noise)
    found = cc_max(cc_half(measured), trials)
    standard_error = found.std(ddof=1) / 30**0.5
    assert standard_error < 0.005
    assert found.mean() == pytest.approx(np.sqrt(1 / (1 + noise**2 / trials)), abs=4 * standard_error + 1e-3)
    reached = [np.corrcoef(own, mean)[0, 1] for own, mean in zip(signal, measured.mean(1), strict=True)]
    assert found.mean() == pytest.approx(np.mean(reached), abs=4 * standard_error + 1e-3)


def test_cc_max_from_halves_agrees_with_the_one_from_signal_power():
    """Sahani & Linden 2003: ``SP = (Var(sum of trials) - sum of Var(trial)) / (N (N - 1))``, and ``CC_max^2`` is that
    over the variance of the mean. The second estimate is computed differently, but from the same trials.
    """
    trials = 8
    measured = simulated(10, trials, 3000, noise=2.0)[1]
    power = (measured.sum(1).var(1) - measured.var(2).sum(1)) / (trials * (trials - 1))
    expected = np.sqrt(power / measured.mean(1).var(1))
    np.testing.assert_allclose(cc_max(cc_half(measured), trials), expected, atol=2e-3)


def test_identical_trials_allow_a_perfect_correlation():
    measured = simulated(4, 6, 40, noise=0.0)[1]
    np.testing.assert_allclose(cc_half(measured), 1, rtol=1e-12)
    np.testing.assert_allclose(cc_max(cc_half(measured), 6), 1, rtol=1e-12)


def test_without_correlated_halves_there_is_no_cc_max():
    assert np.isnan(cc_max(np.array([0.0, -0.2, np.nan]), 4)).all()
    silent = np.zeros((1, 4, 30))
    silent[0, 0, 3] = 1  # one spike: three of the halves' means do not vary
    assert np.isnan(cc_half(silent)).all()


def timed(trials: np.ndarray, order: np.ndarray | None = None):
    """Data from ``(repetitions, stimuli, neuroids, bins)``, rows in any order."""
    repetitions, stimuli, neuroids, bins = trials.shape
    order = np.arange(repetitions * stimuli) if order is None else order
    starts = 0.01 * np.arange(bins)
    return response_assembly(
        trials.reshape(-1, neuroids, bins)[order],
        np.array([f"s{k}" for k in range(stimuli)] * repetitions)[order].tolist(),
        repetitions=np.repeat(np.arange(repetitions), stimuli)[order].tolist(),
        neuroid_ids=[f"n{k}" for k in range(neuroids)],
        region="r",
        subjects="s",
        units="u",
        time_bins=np.column_stack([starts, starts + 0.01]),
    )


SPLITS: list[Split] = [(np.array([2, 3, 4]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3, 4]))]


def five_stimuli(noise: float = 1.0, neuroids: int = 7, seed: int = 0) -> np.ndarray:
    measured = simulated(neuroids, 4, 5 * 60, noise, seed)[1]
    return measured.reshape(neuroids, 4, 5, 60).transpose(1, 2, 0, 3)


def test_each_split_has_the_cc_max_of_its_own_stimuli():
    trials = five_stimuli()
    found = cc_max_of_splits(timed(trials), SPLITS, Halvings())
    for row, (_, test) in zip(found, SPLITS, strict=True):
        samples = trials[:, test].transpose(2, 0, 1, 3).reshape(7, 4, -1)
        np.testing.assert_allclose(row, cc_max(cc_half(samples), 4), rtol=1e-12)


def test_the_order_of_presentations_does_not_matter():
    trials = five_stimuli()
    order = np.arange(20).reshape(4, 5)
    order[1:] = np.random.default_rng(0).permuted(order[1:], axis=1)  # stimuli first appear in the same order
    mixed = timed(trials, order.ravel())
    np.testing.assert_allclose(
        cc_max_of_splits(mixed, SPLITS, Halvings()), cc_max_of_splits(timed(trials), SPLITS, Halvings()), rtol=1e-12
    )


def test_the_ceiling_is_the_median_over_neuroids_and_the_mean_over_splits():
    data = timed(five_stimuli())
    each = cc_max_of_splits(data, SPLITS, Halvings())
    ceiling = trial_ceiling(data, SPLITS, Halvings())
    assert ceiling.value == pytest.approx(np.median(each, axis=1).mean())
    assert ceiling.lower <= np.median(each.mean(0)) <= ceiling.upper
    assert ceiling.lower < ceiling.upper
    assert ceiling.method == (
        "CC_max of 4 repetitions of the stimuli to judge by, from CC_half over all 3 halvings; median of 7 neuroids; "
        "band: 95 % interval over neuroids"
    )


def test_neuroids_whose_halves_do_not_correlate_take_no_part_and_are_counted():
    trials = five_stimuli()
    alternating = np.array([1, -1, 1, -1])[:, None, None]
    trials[:, :, 2] = alternating * trials[0, :, 2]  # what one half says, the other takes back
    ceiling = trial_ceiling(timed(trials), SPLITS, Halvings())
    assert "median of 6 neuroids (1 have none: their halves do not correlate above 0)" in ceiling.method
    rest = trial_ceiling(timed(np.delete(trials, 2, axis=2)), SPLITS, Halvings())
    assert ceiling.value == pytest.approx(rest.value)


def test_noise_alone_has_no_ceiling():
    trials = five_stimuli()
    trials = np.array([1, -1, 1, -1])[:, None, None, None] * trials[0]
    ceiling = trial_ceiling(timed(trials), SPLITS, Halvings())
    assert np.isnan(ceiling.value)
    assert ceiling.method == "not estimable: the halves of the repetitions correlate above 0 for no neuroid"


def test_stimuli_must_be_repeated_and_equally_often():
    once = timed(five_stimuli()[:1])
    assert trial_ceiling(once, SPLITS, Halvings()).method.endswith("the data have 1")
    assert np.isnan(cc_max_of_splits(once, SPLITS, Halvings())).all()
    data = timed(five_stimuli()).isel(presentation=range(19))  # s4 is one short
    assert trial_ceiling(data, SPLITS, Halvings()).method.endswith("and equally many; the data have 3 or 4")
    found = cc_max_of_splits(data, SPLITS, Halvings())
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    assert np.isfinite(trial_ceiling(data, SPLITS[:1], Halvings()).value)
