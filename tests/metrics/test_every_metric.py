"""What holds for every metric in ``METRICS``: a metric that registers later inherits all of it."""

from __future__ import annotations

import numpy as np
import pytest
from problems import rdms, responses, responses_for

from neurocompare.errors import InputError
from neurocompare.metrics import FORMULAS, METRICS
from neurocompare.metrics.base import no_ceiling
from neurocompare.representation import Representation

N = 40
IDS = [f"s{i:03d}" for i in range(N)]


def data_for(name):
    """Responses, as every metric here takes them."""
    return responses_for(name, N)


def features(seed=0, width=30):
    x = np.random.default_rng(seed).standard_normal((N, width))
    x[:, :6] += 2 * responses(N).values[:N]
    return x


def layer(x, ids=IDS):
    """Of a network for sounds, with three frames; only metrics over time look at that."""
    return Representation.from_features("layer", ids, x.reshape(len(x), -1, 3), {"seconds": 0.3}, keep=True)


def scored(name, x, ids=IDS):
    return METRICS[name].score(layer(x, ids), data_for(name)).values


@pytest.mark.parametrize("name", METRICS)
def test_is_registered_under_its_own_name_with_a_formula(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.label
    assert metric.formula in FORMULAS


@pytest.mark.parametrize("name", METRICS)
def test_scores_are_finite_and_repeat(name):
    first = scored(name, features())
    assert np.isfinite(first).all()
    assert (np.abs(first) <= 1).all()
    np.testing.assert_array_equal(first, scored(name, features()))


@pytest.mark.parametrize("name", METRICS)
def test_a_better_layer_scores_higher(name):
    metric = METRICS[name]
    data = data_for(name)
    rng = np.random.default_rng(1)
    signal = responses(N).values[:N]
    values = []
    for noise in (10.0, 1.0, 0.1):
        x = np.tile(signal, (1, 5))
        x = x + noise * rng.standard_normal(x.shape)
        values.append(metric.aggregate(metric.score(layer(x), data))[0])
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_stimuli_does_not_matter_but_their_ids_do(name):
    x = features()
    order = np.random.default_rng(5).permutation(N)
    permuted_ids = [IDS[i] for i in order]
    expected = scored(name, x)
    np.testing.assert_allclose(scored(name, x[order], permuted_ids), expected, atol=1e-10)
    assert not np.allclose(scored(name, x, permuted_ids), expected, atol=1e-2)


@pytest.mark.parametrize("factor", [1e-3, 1e3, -1.0])
@pytest.mark.parametrize("name", METRICS)
def test_scale_of_features_does_not_matter(name, factor):
    if name == "soft_matching" and factor < 0:
        pytest.skip("a unit and its negative are no match")
    np.testing.assert_allclose(scored(name, factor * features()), scored(name, features()), atol=1e-8)


@pytest.mark.parametrize("name", METRICS)
def test_order_of_features_does_not_matter(name):
    """Of frames it does matter, to metrics over time."""
    x = features()
    turned = x.reshape(N, -1, 3)[:, ::-1].reshape(N, -1)
    np.testing.assert_allclose(scored(name, turned), scored(name, x), atol=1e-8)


@pytest.mark.parametrize("name", METRICS)
def test_stimuli_beyond_the_datas_are_left_out(name):
    more = np.vstack([features(), np.full((3, 30), 7.0) + features(1)[:3]])
    np.testing.assert_allclose(scored(name, more, [*IDS, "x", "y", "z"]), scored(name, features()), atol=1e-10)


@pytest.mark.parametrize("name", METRICS)
def test_a_missing_stimulus_is_named(name):
    with pytest.raises(InputError, match=r"probed with 39 stimuli, but 1 others .*'s039'"):
        scored(name, features()[:-1], IDS[:-1])


@pytest.mark.parametrize("level", [0.0, 0.3, 1e5])
@pytest.mark.parametrize("name", METRICS)
def test_a_layer_that_never_changes_is_refused(name, level):
    with pytest.raises(InputError, match=r"every stimulus alike|stimuli are constant|equally far apart"):
        scored(name, np.full((N, 30), level))


@pytest.mark.parametrize("name", METRICS)
def test_a_layer_with_one_response_to_all_is_refused(name):
    """Features differ from each other, stimuli do not: as in a layer cut off from its input, biases only."""
    row = np.random.default_rng(0).standard_normal(30).astype(np.float32)
    with pytest.raises(InputError, match=r"every stimulus alike|equally far apart"):
        scored(name, np.tile(row, (N, 1)))


@pytest.mark.parametrize("name", METRICS)
def test_data_are_left_as_they_were(name):
    data = data_for(name)
    before = data.copy(deep=True)
    METRICS[name].score(layer(features()), data)
    METRICS[name].ceiling(data)
    assert data.identical(before)


@pytest.mark.parametrize("data", [responses(N, repetitions=1), rdms(N, 1)], ids=["responses", "RDM"])
@pytest.mark.parametrize("name", METRICS)
def test_data_measured_once_have_no_ceiling_but_a_reason(name, data):
    ceiling = METRICS[name].ceiling(data)
    assert np.isnan([ceiling.value, ceiling.lower, ceiling.upper]).all()
    assert ceiling.method.startswith("not estimable: ")


def test_no_ceiling_is_never_one():
    ceiling = no_ceiling("nobody measured twice")
    assert np.isnan([ceiling.value, ceiling.lower, ceiling.upper]).all()
    assert ceiling.method == "not estimable: nobody measured twice"
