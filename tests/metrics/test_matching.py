"""Soft matching against every permutation, assignment of replicated units, and another solver."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog

from neurocompare.errors import InputError
from neurocompare.metrics.matching import SoftMatching, matched
from neurocompare.representation import Representation


def layer(x, *, keep=True, name="layer"):
    return Representation.from_features(name, [str(i) for i in range(len(x))], x, keep=keep)


def pair(p, q, n=30, *, seed=0):
    """Units that share a part, with means and scales of their own."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 3))
    return [
        (shared @ rng.standard_normal((3, k)) + rng.standard_normal((n, k))) * rng.gamma(2, size=k) + 3 for k in (p, q)
    ]


def correlations(x, y):
    return np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]


def soft(x, y, **settings):
    return SoftMatching(**settings)(layer(x), layer(y))


def by_replication(similarity):
    """The assignment of units repeated until both sides are equally many, which has the same optimum."""
    p, q = similarity.shape
    total = math.lcm(p, q)
    repeated = np.repeat(np.repeat(similarity, total // p, 0), total // q, 1)
    return repeated[linear_sum_assignment(-repeated)].mean()


def by_interior_points(similarity):
    """The transport problem as the paper states it, ``sum_j T_ij = 1 / p`` and ``sum_i T_ij = 1 / q``."""
    p, q = similarity.shape
    constraints = []
    for axis, k in ((0, p), (1, q)):
        for unit in range(k):
            held = np.zeros((p, q))
            np.moveaxis(held, axis, 0)[unit] = 1
            constraints.append(held.ravel())
    sums = np.repeat([1 / p, 1 / q], [p, q])
    return -linprog(-similarity.ravel(), A_eq=np.array(constraints), b_eq=sums, method="highs-ipm").fun


def test_equally_many_units_are_permuted():
    x, y = pair(5, 5)
    r = correlations(x, y)
    best = max(r[np.arange(5), list(order)].mean() for order in itertools.permutations(range(5)))
    assert soft(x, y) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(("p", "q"), [(1, 7), (3, 5), (6, 4), (8, 12), (100, 40), (30, 29)])
def test_other_numbers_are_transported(p, q):
    x, y = pair(p, q)
    expected = by_replication(correlations(x, y))
    assert soft(x, y) == pytest.approx(expected, abs=1e-10)
    assert by_interior_points(correlations(x, y)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_ties_are_solved_too(seed):
    similarity = np.random.default_rng(seed).integers(0, 3, (9, 6)).astype(float)
    assert matched(similarity) == pytest.approx(by_replication(similarity), abs=1e-10)


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize(("p", "q"), [(4, 4), (4, 6)])
def test_copies_of_all_units_change_nothing(p, q, copies):
    x, y = pair(p, q)
    assert soft(np.tile(x, (1, copies)), y) == pytest.approx(soft(x, y), abs=1e-10)


def test_it_is_half_the_squared_distance_of_unit_vectors_short_of_one():
    """Khosla & Williams 2024: the Wasserstein distance between clouds of tuning curves."""
    x, y = ((side - side.mean(0)) / np.linalg.norm(side - side.mean(0), axis=0) for side in pair(4, 6))
    squared = np.square(x[:, :, None] - y[:, None]).sum(0)
    assert 2 - 2 * soft(x, y) == pytest.approx(-by_replication(-squared), abs=1e-10)


def test_its_distance_is_a_metric():
    sides = [side for seed in range(5) for side in pair(3 + seed, 7, seed=seed)]
    distance = np.array([[np.sqrt(max(2 - 2 * soft(a, b), 0)) for b in sides] for a in sides])
    np.testing.assert_allclose(distance, distance.T, atol=1e-7)
    np.testing.assert_allclose(np.diagonal(distance), 0, atol=1e-7)
    for i, j, k in itertools.permutations(range(len(sides)), 3):
        assert distance[i, k] <= distance[i, j] + distance[j, k] + 1e-9


def test_the_order_scale_and_offset_of_units_do_not_matter_but_their_rotation_does():
    x, y = pair(6, 6)
    rng = np.random.default_rng(1)
    moved = (x * rng.gamma(2, size=6) + rng.standard_normal(6))[:, rng.permutation(6)]
    assert soft(x, moved) == pytest.approx(1, abs=1e-12)
    assert soft(moved, y) == pytest.approx(soft(x, y), abs=1e-12)
    assert soft(x, x @ np.linalg.qr(rng.standard_normal((6, 6)))[0]) < 0.9


def test_the_sign_of_a_unit_counts_unless_told_otherwise():
    x, y = pair(6, 4)
    assert soft(x, -x) < 0.9
    assert soft(x, -x, signed=False) == pytest.approx(1, abs=1e-12)
    assert soft(x, y, signed=False) == pytest.approx(by_replication(np.abs(correlations(x, y))), abs=1e-10)


def test_units_without_tuning_are_left_out():
    x, y = pair(5, 5)
    flat = np.full((30, 1), 0.1, np.float32)
    jittered = np.full((30, 1), 1e4) + 1e-4 * np.random.default_rng(0).standard_normal((30, 1))
    with_dead = np.hstack([np.zeros((30, 2)), x[:, :2], flat, x[:, 2:], jittered])
    assert soft(with_dead, y) == pytest.approx(soft(x, y), abs=1e-12)


def test_weakly_tuned_units_are_kept():
    x, y = pair(5, 5)
    weak = x.copy()
    weak[:, 2] *= 1e-12
    assert soft(weak, y) == pytest.approx(soft(x, y), abs=1e-10)


def test_of_more_units_than_the_limit_so_many_are_drawn():
    x, y = pair(50, 8)
    found = [soft(x, y, most=12, seed=seed) for seed in range(4)]
    assert found == [soft(x, y, most=12, seed=seed) for seed in range(4)]
    assert len(set(found)) == 4
    drawn = np.sort(np.random.default_rng(2).choice(50, 12, replace=False))
    assert found[2] == soft(x[:, drawn], y)
    both = soft(x, y, most=6)
    picks = [np.sort(np.random.default_rng(0).choice(k, 6, replace=False)) for k in (50, 8)]
    assert both == soft(x[:, picks[0]], y[:, picks[1]])
    assert soft(x, y, most=50) == soft(x, y)


def test_a_wide_layer_is_matched_in_little_time():
    """1000 of 3000 units: with presolving this would take half a minute."""
    x, y = pair(3000, 50, 60)
    drawn = np.random.default_rng(0).choice(3000, 1000, replace=False)
    assert soft(x, y) == pytest.approx(by_replication(correlations(x[:, drawn], y)), abs=1e-10)


def test_features_are_needed():
    x, y = pair(4, 5)
    with pytest.raises(InputError, match=r"soft matching needs features: probe with keep_features=True"):
        SoftMatching()(layer(x, keep=False), layer(y))


def test_a_layer_without_any_tuning_is_refused():
    x, y = pair(4, 5)
    with pytest.raises(InputError, match=r"layer 'dead' responds to every stimulus alike: nothing can be matched"):
        SoftMatching()(layer(np.ones_like(x), name="dead"), layer(y))


def test_layers_over_other_stimuli_are_refused():
    x, y = map(layer, pair(4, 5))
    with pytest.raises(InputError, match=r"can only be compared over the same stimuli in the same order"):
        SoftMatching()(x, y.select(y.ids[::-1]))
