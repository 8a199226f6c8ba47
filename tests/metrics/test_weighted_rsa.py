"""Weighted RSA against scipy's non-negative least squares on the pairs written out, and on mixtures with known weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import responses
from scipy.optimize import nnls
from scipy.spatial.distance import squareform

from neurocompare import assembly
from neurocompare.assembly import rdm_assembly
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.distances import correlation_distance
from neurocompare.metrics.joint import Joint
from neurocompare.metrics.weighted_rsa import WEIGHTED_RSA, WeightedRSA, held_out_rdm, non_negative
from neurocompare.representation import Representation

N = 40
IDS = [f"s{i:03d}" for i in range(N)]
PAIRS = N * (N - 1) // 2
FIRST, SECOND = np.triu_indices(N, 1)


def layers(count=3, n=N, *, seed=0):
    """Layers that know nothing of each other."""
    rng = np.random.default_rng(seed)
    return {
        f"layer {k}": Representation.from_features(f"layer {k}", IDS[:n], 10.0**k * rng.standard_normal((n, 20)))
        for k in range(count)
    }


def layer_rdms(representations):
    return np.stack([correlation_distance(layer) for layer in representations.values()])


def data_of(rdms, n=N):
    return rdm_assembly(
        np.atleast_2d(rdms), IDS[:n], subjects=[f"S{k}" for k in range(len(np.atleast_2d(rdms)))], measure="d"
    )


def noisy(target, subjects=3, noise=0.3, seed=1):
    return target + noise * np.random.default_rng(seed).standard_normal((subjects, target.size))


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_non_negative_least_squares_is_that_of_scipy_on_all_rows(seed, dependent):
    rng = np.random.default_rng(seed)
    a = rng.random((200, 6))
    if dependent:
        a[:, 3] = 2 * a[:, 1] + a[:, 2]
    b = a @ [1.0, -2.0, 0.5, 0.0, 3.0, -0.1] + rng.standard_normal(200)
    found, expected = non_negative(a.T @ a, a.T @ b), nnls(a, b)[0]
    assert (expected == 0).any()  # the bound matters
    assert (found >= 0).all()
    np.testing.assert_allclose(a @ found, a @ expected, atol=1e-9)
    if not dependent:
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_weights_of_a_mixture_are_recovered():
    representations = layers()
    rdms = layer_rdms(representations)
    target = rdms.T @ [2.0, 0.0, 0.5]
    found = WEIGHTED_RSA.weights(representations, data_of(target))
    np.testing.assert_allclose(found.values, [2.0, 0.0, 0.5], atol=1e-9)
    assert found["layer"].values.tolist() == list(representations)
    np.testing.assert_allclose(held_out_rdm(rdms, target, np.arange(N), 1 / 12, 1), target, atol=1e-9)
    np.testing.assert_allclose(WEIGHTED_RSA.score_together(representations, data_of(target)).values, 1)


def test_no_layer_is_lost_for_the_scale_of_its_distances():
    rdms, scales = layer_rdms(layers()), np.array([1e-9, 1.0, 1e9])
    target = rdms.T @ [2.0, 0.0, 0.5]
    found = held_out_rdm(rdms * scales[:, None], target, np.arange(N), 1 / 12, 1)
    np.testing.assert_allclose(found, target, atol=1e-9)
    scaled = rdms * scales[:, None]
    weights = non_negative(scaled @ scaled.T, scaled @ target)
    np.testing.assert_allclose(weights * scales, [2.0, 0.0, 0.5], atol=1e-9)


def by_scipy(rdms, target, groups, held_out, seed):
    """The same stimuli held out, each fit on its pairs written out."""
    generator = np.random.default_rng(seed)
    n_groups, predictions = groups.max() + 1, [[] for _ in range(PAIRS)]
    n_folds = n_groups // max(2, round(n_groups * held_out))
    while not all(predictions):
        fold = (generator.permutation(n_groups) % n_folds)[groups]
        for number in range(n_folds):
            out = fold == number
            train = ~out[FIRST] & ~out[SECOND]
            weights = nnls(rdms[:, train].T, target[train])[0]
            for pair in np.flatnonzero(out[FIRST] & out[SECOND]):
                predictions[pair].append(weights @ rdms[:, pair])
    return np.array([np.mean(values) for values in predictions])


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize("held_out", [1 / 12, 1 / 4])
def test_every_fit_is_that_of_scipy_on_the_pairs_of_the_other_stimuli(held_out, twins):
    rdms = layer_rdms(layers())
    target = noisy(rdms.T @ [2.0, 0.0, 0.5])[0]
    groups = np.arange(N) // (2 if twins else 1)
    found = held_out_rdm(rdms, target, groups, held_out, 3)
    np.testing.assert_allclose(found, by_scipy(rdms, target, groups, held_out, 3), rtol=1e-8)


def test_a_pair_is_predicted_without_any_distance_to_its_stimuli():
    rdms = layer_rdms(layers())
    target = noisy(rdms.sum(0))[0]
    changed = squareform(target)
    changed[[3, 17]] *= 5
    changed[:, [3, 17]] *= 5
    before, after = (
        squareform(held_out_rdm(rdms, values, np.arange(N), 1 / 12, 1), checks=False)
        for values in (target, squareform(changed, checks=False))
    )
    assert before[3, 17] == pytest.approx(after[3, 17], rel=1e-9)
    assert before[3, 18] != pytest.approx(after[3, 18], rel=1e-3)


def predicted_by(metric, representations, data):
    """What the metric compares with the data."""
    seen = []

    def look(found, rows):
        seen.append(found)
        return np.zeros(len(rows))

    replace(metric, rsa=replace(metric.rsa, comparison=look)).score_together(representations, data)
    return squareform(seen[0], checks=False)


def test_weights_are_fitted_to_the_mean_over_subjects():
    representations = layers()
    rdms = layer_rdms(representations)
    data = data_of(rdms + noisy(rdms[0]))  # each subject follows a layer of its own
    expected = held_out_rdm(rdms, data.values.mean(0), np.arange(N), 1 / 12, 1)
    found = squareform(predicted_by(WEIGHTED_RSA, representations, data), checks=False)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(
        WEIGHTED_RSA.weights(representations, data).values, nnls(rdms.T, data.values.mean(0))[0], rtol=1e-8
    )


@pytest.mark.parametrize("known", [False, True])
def test_equal_pictures_are_held_out_together(known):
    """0 and 1 are one picture, 2 and 3 another: no distance to any of the four may help to predict that of 0 and 2."""
    representations = layers()
    changed = squareform(noisy(layer_rdms(representations).sum(0))[0])
    data = [data_of(squareform(changed, checks=False))]
    changed[:4] *= 5
    changed[:, :4] *= 5
    data.append(data_of(squareform(changed, checks=False)))
    if known:
        contents = {s: f"picture {i // 2}" for i, s in enumerate(IDS)}
        data = [assembly.with_stimulus_coord(each, "content", contents) for each in data]
    before, after = (predicted_by(WEIGHTED_RSA, representations, each)[0, 2] for each in data)
    assert (before == pytest.approx(after, rel=1e-9)) == known


def test_a_mixture_is_matched_better_than_by_any_layer():
    representations = layers()
    data = data_of(noisy(layer_rdms(representations).T @ [1.0, 0.7, 0.5]))
    together = WEIGHTED_RSA.aggregate(WEIGHTED_RSA.score_together(representations, data))[0]
    plain = METRICS["rsa_tau_a"]
    alone = [plain.aggregate(plain.score(layer, data))[0] for layer in representations.values()]
    assert together > max(alone) + 0.05


def test_one_layer_alone_is_plain_rsa_but_for_the_scatter_of_its_weight():
    representations = layers(1)
    data = data_of(noisy(layer_rdms(representations)[0], noise=0.1))
    found = WEIGHTED_RSA.score_together(representations, data)
    expected = METRICS["rsa_tau_a"].score(representations["layer 0"], data)
    np.testing.assert_allclose(found.values, expected.values, atol=0.02)
    assert found["subject"].values.tolist() == ["S0", "S1", "S2"]


def test_unrelated_layers_are_not_fitted_to_noise():
    data = data_of(np.random.default_rng(5).random((4, PAIRS)))
    value, _ = WEIGHTED_RSA.aggregate(WEIGHTED_RSA.score_together(layers(10), data))
    assert abs(value) < 0.08


def test_order_and_scale_do_not_matter():
    representations = layers()
    data = data_of(noisy(layer_rdms(representations).T @ [1.0, 0.7, 0.5]))
    expected = WEIGHTED_RSA.score_together(representations, data).values
    order = np.random.default_rng(0).permutation(N)
    shuffled = {
        name: replace(
            layer.select([IDS[i] for i in order]),
            layer=name,
            gram=1e6 * layer.gram[np.ix_(order, order)],
            sums=1e3 * layer.sums[order],
        )
        for name, layer in reversed(representations.items())
    }
    np.testing.assert_allclose(WEIGHTED_RSA.score_together(shuffled, data).values, expected, atol=1e-9)
    squares = np.stack([squareform(row) for row in data.values])[:, order][:, :, order]
    ids = [IDS[i] for i in order]
    reordered = rdm_assembly(
        np.stack([squareform(s, checks=False) for s in squares]), ids, subjects=["S0", "S1", "S2"], measure="d"
    )
    np.testing.assert_allclose(WEIGHTED_RSA.score_together(representations, reordered).values, expected, atol=1e-9)


def test_layers_without_an_rdm_take_no_part():
    representations = layers()
    data = data_of(noisy(layer_rdms(representations).sum(0)))
    expected = WEIGHTED_RSA.score_together(representations, data)
    assert expected.attrs["layers"] == "layer 0, layer 1, layer 2"
    dead = Representation.from_features("dead", IDS, np.ones((N, 5)))
    found = WEIGHTED_RSA.score_together({"dead": dead, **representations}, data)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.attrs == expected.attrs
    with pytest.raises(InputError, match=r"no layer can take part: correlation distance needs responses that vary"):
        WEIGHTED_RSA.score_together({"dead": dead}, data)


def test_a_missing_stimulus_is_no_reason_to_leave_a_layer_out():
    representations = layers(2)
    representations["short"] = representations["layer 0"].select(IDS[:-1])
    data = data_of(layer_rdms(layers(1))[0])
    with pytest.raises(InputError, match=r"probed with 39 stimuli, but 1 others .*'s039'"):
        WEIGHTED_RSA.score_together(representations, data)


def test_too_few_stimuli_are_refused():
    representations = layers(2, 5)
    data = data_of(layer_rdms(representations)[0], 5)
    with pytest.raises(InputError, match=r"fitted to other stimuli need 6 different stimuli or more, not 5"):
        WEIGHTED_RSA.score_together(representations, data)
    six = layers(2, 6)
    assert np.isfinite(WEIGHTED_RSA.score_together(six, data_of(layer_rdms(six)[0], 6)).values).all()


def test_data_that_no_weights_fit_are_refused():
    representations = layers(2)
    with pytest.raises(InputError, match=r"weighted_rsa: the data's distances go along with no layer's"):
        WEIGHTED_RSA.score_together(representations, data_of(-layer_rdms(representations).sum(0)))


def test_ceiling_aggregate_and_formula_are_those_of_the_rsa():
    plain = METRICS["rsa_tau_a"]
    representations = layers()
    data = data_of(noisy(layer_rdms(representations).sum(0)))
    raw, ceiling = WEIGHTED_RSA.score_together(representations, data), WEIGHTED_RSA.ceiling(data)
    assert ceiling == plain.ceiling(data)
    assert WEIGHTED_RSA.aggregate(raw) == plain.aggregate(raw)
    assert WEIGHTED_RSA.normalize(raw, ceiling) == pytest.approx(raw.values.mean() / ceiling.value)
    assert WEIGHTED_RSA.formula == plain.formula
    assert isinstance(WEIGHTED_RSA, Joint)
    assert not isinstance(plain, Joint)


def test_the_rsa_is_a_setting():
    representations = layers()
    data = data_of(noisy(layer_rdms(representations).sum(0)))
    for name in ("rsa_pearson", "rsa_tau_a_group"):
        found = WeightedRSA("mine", "", METRICS[name]).score_together(representations, data)
        assert (
            found["subject"].values.tolist()
            == METRICS[name].score(representations["layer 0"], data)["subject"].values.tolist()
        )
        assert found.values.mean() > 0.5
    one = WEIGHTED_RSA.score_together(layers(), responses(N))  # responses give one RDM
    assert one.shape == (1,)
