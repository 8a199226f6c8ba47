"""Permutation nulls by enumeration, by the metric itself, and by how often they err."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from problems import rdms, responses
from scipy.spatial.distance import squareform

from neurocompare.assembly import with_stimulus_coord
from neurocompare.errors import InputError
from neurocompare.inference import Null, nulls, permutation_null
from neurocompare.inference.nulls import permutations
from neurocompare.metrics import METRICS
from neurocompare.metrics.rsa import RSA_METRICS
from neurocompare.representation import Representation

N = 36
IDS = [f"s{i:03d}" for i in range(N)]


def layer(n=N, seed=0, data=None):
    """Noise, or noise on top of the data."""
    x = np.random.default_rng(seed).standard_normal((n, 9))
    if data is not None:
        x[:, : data.sizes["neuroid"]] += data.values[:n]
    return Representation.from_features("layer", IDS[:n], x)


def relabelled(representation, order):
    """The response to the stimulus at ``order[place]`` takes the name of the one at ``place``."""
    names = [""] * len(order)
    for place, source in enumerate(order):
        names[source] = IDS[place]
    return replace(representation, ids=tuple(names))


@pytest.mark.parametrize("metric", [*RSA_METRICS, METRICS["ridge"]], ids=lambda metric: metric.name)
def test_is_the_score_of_a_relabelled_layer(metric):
    data = responses(N, 6, 3) if metric.name in ("ridge", "rsa_crossnobis") else rdms(N, 3, levels=6)
    found = permutation_null(metric, layer(), data, n_permutations=4, seed=5)
    moved = [relabelled(layer(), order) for order in permutations(data, 4, 5)]
    expected = [metric.aggregate(metric.score(one, data))[0] for one in moved]
    np.testing.assert_allclose(found.samples, expected, atol=1e-12)
    assert found.observed == metric.aggregate(metric.score(layer(), data))[0]


def test_blocks_change_nothing(monkeypatch):
    data, metric = rdms(N), METRICS["rsa_spearman"]
    whole = permutation_null(metric, layer(), data, n_permutations=7).samples
    monkeypatch.setattr(nulls, "BLOCK", 1500)
    np.testing.assert_allclose(permutation_null(metric, layer(), data, n_permutations=7).samples, whole, rtol=1e-12)


def test_permutations_are_uniform():
    """All 24 orders of four stimuli, each within four standard errors of as often as the others."""
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for order in permutations(rdms(4), 4800, seed=0):
        counts[tuple(order)] += 1
    assert max(abs(count - 200) for count in counts.values()) < 4 * 200**0.5


def test_null_by_enumeration():
    """The mean over all orders of five stimuli, and p as the share of orders that score as high."""
    data, metric = rdms(5, 2), METRICS["rsa_pearson"]
    model = squareform(metric.model_rdm(layer(5), data))
    every = np.array([
        metric.comparison(squareform(model[np.ix_(order, order)]), data.values).mean()
        for order in map(list, itertools.permutations(range(5)))
    ])  # fmt: skip
    found = permutation_null(metric, layer(5), data, n_permutations=4000)
    assert found.samples.mean() == pytest.approx(every.mean(), abs=4 * every.std() / 4000**0.5)
    share = np.mean(every >= found.observed - 1e-12)
    assert found.p == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5 + 1 / 4000)


def test_p_counts_what_is_observed_among_the_permutations():
    assert Null(0.5, np.array([0.1, 0.5, 0.7])).p == 3 / 4
    assert Null(0.9, np.array([0.1, 0.5, 0.7])).p == 1 / 4


def test_p_errs_as_often_as_it_says():
    """Layers that have nothing to do with the data: p <= k / 20 has probability k / 20 for 19 permutations."""
    metric, data = METRICS["rsa_cosine"], rdms(10, 3)
    p = np.array([permutation_null(metric, layer(10, k), data, n_permutations=19, seed=k).p for k in range(1000)])
    for level in (0.05, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 1000) ** 0.5)


@pytest.mark.parametrize("name", ["rsa_tau_a", "ridge"])
def test_a_layer_that_follows_the_data_is_beyond_chance(name):
    data = responses(N, 6, 2)
    assert permutation_null(METRICS[name], layer(data=data), data, n_permutations=39).p == 1 / 40


def test_equal_stimuli_move_together():
    contents = {i: f"c{min(k // 2, 10)}" for k, i in enumerate(IDS[:24])}  # ten pairs, and four that are equal
    data = with_stimulus_coord(rdms(24), "content", contents)
    orders = permutations(data, 50)
    assert (np.sort(orders, axis=1) == np.arange(24)).all()
    assert (orders[:, :20:2] + 1 == orders[:, 1:20:2]).all()
    assert (orders[:, 20:] == np.arange(20, 24)).all()
    assert len({tuple(order) for order in orders}) > 40


def test_a_null_needs_a_permutation():
    with pytest.raises(InputError, match="one permutation or more, got 0"):
        permutation_null(METRICS["rsa_cosine"], layer(), rdms(N), n_permutations=0)
