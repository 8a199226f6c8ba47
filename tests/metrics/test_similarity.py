"""CKA, Procrustes and canonical correlation against explicit centring, enumeration, scipy and scikit-learn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import rdms, responses
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist, squareform
from sklearn.cross_decomposition import CCA as IterativeCCA

from neurocompare.errors import InputError
from neurocompare.metrics import similarity
from neurocompare.metrics.ceiling import halves_ceiling
from neurocompare.metrics.comparisons import whitened_cosine
from neurocompare.metrics.distances import squared_euclidean_distance
from neurocompare.metrics.similarity import (
    CCA,
    CKA,
    SIMILARITY_METRICS,
    angular_distance,
    components_kept,
    procrustes,
)
from neurocompare.representation import Representation

METRICS = {metric.name: metric for metric in SIMILARITY_METRICS}
OF_GRAMS = {name: metric.comparison for name, metric in METRICS.items() if not metric.needs_features}
WIDTHS = [(5, 8), (8, 90), (90, 70)]  # of both sides, for 40 stimuli


def layer(x, *, keep=False, name="layer"):
    return Representation.from_features(name, [f"s{i:03d}" for i in range(len(x))], x, keep=keep)


def pair(widths=(5, 8), n=40, *, seed=0):
    """Responses that share a part, with means that are not zero and variances that differ."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 3))
    return [
        (shared @ rng.standard_normal((3, p)) + rng.standard_normal((n, p))) * rng.gamma(2, size=p) + 3 for p in widths
    ]


def centred(x):
    return x - x.mean(0)


def unit(x):
    return centred(x) / np.linalg.norm(centred(x))


def rotation(p, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((p, p)))[0]


def cka_of_features(x, y):
    """Kornblith et al. 2019: ``|Y^T X|^2 / (|X^T X| |Y^T Y|)``, Frobenius norms."""
    x, y = centred(x), centred(y)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def hsic(k, other):
    """``tr(K H L H) / (n - 1)^2`` with the centring matrix written out."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ other @ h) / (n - 1) ** 2


def hsic_by_enumeration(k, other):
    """The U-statistic itself: the mean over ordered quadruples of different stimuli (Song et al. 2012)."""
    terms = [
        k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
        for i, j, q, r in itertools.permutations(range(len(k)), 4)
    ]
    return np.mean(terms)


def hsic_by_songs_formula(k, other):
    k, other = (a - np.diag(np.diag(a)) for a in (k, other))
    n, one = len(k), np.ones(len(k))
    total = one @ k @ one * (one @ other @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ other) + total - 2 / (n - 2) * one @ k @ other @ one) / (n * (n - 3))


def aligned(estimate, k, other):
    return estimate(k, other) / np.sqrt(estimate(k, k) * estimate(other, other))


def principal(x, components):
    return np.linalg.svd(centred(x), full_matrices=False)[0][:, :components]


@pytest.mark.parametrize("widths", WIDTHS)
def test_linear_cka_is_that_of_features(widths):
    x, y = pair(widths)
    assert CKA()(layer(x), layer(y)) == pytest.approx(cka_of_features(x, y), abs=1e-12)


@pytest.mark.parametrize("widths", WIDTHS)
def test_linear_cka_is_hsic_normalised(widths):
    x, y = pair(widths)
    assert CKA()(layer(x), layer(y)) == pytest.approx(aligned(hsic, x @ x.T, y @ y.T), abs=1e-12)


@pytest.mark.parametrize("widths", WIDTHS)
def test_linear_cka_is_the_whitened_cosine_of_squared_distances(widths):
    """Diedrichsen et al. 2020; stated in ``comparisons``."""
    x, y = map(layer, pair(widths))
    distances = [squared_euclidean_distance(side) for side in (x, y)]
    assert CKA()(x, y) == pytest.approx(float(whitened_cosine(distances[0], distances[1][None])[0]), abs=1e-12)


@pytest.mark.parametrize("fraction", [0.3, 0.5, 2.0])
def test_cka_of_a_gaussian_kernel_is_hsic_of_kernels_written_out(fraction):
    kernels = []
    for x in pair((5, 90)):
        distances = squareform(pdist(x))
        kernels.append(np.exp(-(distances**2) / (2 * fraction**2 * np.median(distances**2))))
    x, y = map(layer, pair((5, 90)))
    assert CKA(bandwidth=fraction)(x, y) == pytest.approx(aligned(hsic, *kernels), abs=1e-12)


def test_a_wide_gaussian_kernel_is_nearly_linear():
    """``exp(-d^2 / 2 s^2)`` is ``1 - d^2 / 2 s^2`` there, whose centred form is the linear kernel's (Alvarez 2022)."""
    x, y = map(layer, pair())
    assert CKA(bandwidth=100.0)(x, y) == pytest.approx(CKA()(x, y), abs=1e-4)
    assert abs(CKA(bandwidth=0.5)(x, y) - CKA()(x, y)) > 0.05


@pytest.mark.parametrize("widths", [(2, 3), (3, 20)])
@pytest.mark.parametrize("n", [4, 5, 8])
def test_unbiased_cka_is_that_of_the_u_statistic(n, widths):
    x, y = pair(widths, n)
    found = CKA(unbiased=True)(layer(x), layer(y))
    assert found == pytest.approx(aligned(hsic_by_enumeration, x @ x.T, y @ y.T), abs=1e-10)
    assert found == pytest.approx(aligned(hsic_by_songs_formula, x @ x.T, y @ y.T), abs=1e-10)


def test_unbiased_cka_takes_a_gaussian_kernel_too():
    x, y = map(layer, pair((3, 4), 12))
    kernels = [similarity.gaussian_kernel(side.gram, 0.5, "layer") for side in (x, y)]
    found = CKA(bandwidth=0.5, unbiased=True)(x, y)
    assert found == pytest.approx(aligned(hsic_by_songs_formula, *kernels), abs=1e-12)


def test_unrelated_wide_layers_are_alike_only_by_the_biased_estimate():
    rng = np.random.default_rng(0)
    x, y = (layer(rng.standard_normal((1000, 10_000))) for _ in range(2))
    assert CKA()(x, y) > 0.9
    assert abs(CKA(unbiased=True)(x, y)) < 0.1


def test_the_unbiased_estimate_does_not_depend_on_width():
    """Of unrelated features, on average, it is 0; the biased one grows with their number."""
    found = [[CKA(unbiased=True)(*map(layer, pair_of(width, seed))) for seed in range(60)] for width in (3, 30, 300)]
    assert np.abs(np.mean(found, axis=1)).max() < 0.03
    biased = [np.mean([CKA()(*map(layer, pair_of(width, seed))) for seed in range(20)]) for width in (3, 30, 300)]
    assert biased[0] < 0.2 < biased[1] < 0.7 < biased[2]


def pair_of(width, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((40, width)) for _ in range(2)]


@pytest.mark.parametrize("widths", WIDTHS)
def test_procrustes_is_scipys(widths):
    """The narrower side is filled up with zeros, as a rotation needs equal widths."""
    x, y = (unit(side) for side in pair(widths))
    width = max(widths)
    x, y = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    rotated, total = orthogonal_procrustes(x, y)
    found = procrustes(*map(layer, pair(widths)))
    assert found == pytest.approx(total, abs=1e-10)
    assert 2 - 2 * found == pytest.approx(np.linalg.norm(x @ rotated - y) ** 2, abs=1e-10)


def test_procrustes_of_unrelated_directions_is_zero():
    basis = rotation(40)
    basis[:, 0] = 1
    basis = np.linalg.qr(basis)[0]  # all but the first are orthogonal to the mean
    x, y = basis[:, 1:6] @ rotation(5), basis[:, 6:14]
    assert procrustes(layer(x), layer(y)) < 1e-6
    both = procrustes(layer(x), layer(np.hstack([x, y[:, :5]])))
    assert both == pytest.approx(0.5**0.5, abs=1e-10)


def test_angular_distance_is_a_metric():
    layers = [layer(side) for seed in range(6) for side in pair((3 + seed, 60), 25, seed=seed)]
    distance = np.array([[angular_distance(a, b) for b in layers] for a in layers])
    np.testing.assert_allclose(distance, distance.T, atol=1e-7)
    np.testing.assert_allclose(np.diagonal(distance), 0, atol=1e-6)
    for i, j, k in itertools.permutations(range(len(layers)), 3):
        assert distance[i, k] <= distance[i, j] + distance[j, k] + 1e-9
    assert distance[distance > 1e-6].min() > 0.1
    assert distance.max() < np.pi / 2


def test_angular_distance_is_the_arccosine():
    x, y = map(layer, pair())
    assert np.cos(angular_distance(x, y)) == pytest.approx(procrustes(x, y), abs=1e-12)


def test_canonical_correlations_are_those_of_orthonormal_bases():
    """QR of all features (Bjorck & Golub 1973), and scikit-learn's iteration."""
    x, y = pair((4, 6), 60)
    bases = [np.linalg.qr(centred(side))[0] for side in (x, y)]
    expected = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    found = CCA(variance=1.0)(layer(x), layer(y))
    assert found == pytest.approx(expected.mean(), abs=1e-10)
    iterative = IterativeCCA(4, tol=1e-12, max_iter=100_000).fit(x, y)
    scores = iterative.transform(x, y)
    by_iteration = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(4)]
    assert found == pytest.approx(np.mean(by_iteration), abs=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_cca_keeps_the_components_that_hold_the_share(share):
    x, y = pair((12, 30), 400)
    kept = []
    for side in (x, y):
        variance = np.sort(np.linalg.eigvalsh(np.cov(side.T)))[::-1]
        kept.append(next(k for k in range(1, 99) if variance[:k].sum() >= share * variance.sum()))
    expected = np.linalg.svd(principal(x, kept[0]).T @ principal(y, kept[1]), compute_uv=False).mean()
    assert CCA(variance=share)(layer(x), layer(y)) == pytest.approx(expected, abs=1e-10)
    assert kept[0] < 12 and kept[1] < 30


def test_cca_keeps_no_more_components_than_a_share_of_stimuli():
    x, y = pair((90, 70))
    expected = np.linalg.svd(principal(x, 8).T @ principal(y, 8), compute_uv=False).mean()
    assert CCA()(layer(x), layer(y)) == pytest.approx(expected, abs=1e-10)


def test_cca_of_unrelated_wide_layers_is_bounded():
    """Without the bound both sides span all stimuli, and any two layers are the same."""
    rng = np.random.default_rng(0)
    x, y = (layer(rng.standard_normal((200, 1000))) for _ in range(2))
    assert CCA(variance=1.0, stimuli_each=1)(x, y) == pytest.approx(1, abs=1e-8)
    assert CCA(stimuli_each=1)(x, y) > 0.95
    assert CCA()(x, y) < 0.45
    assert CCA(stimuli_each=20)(x, y) < 0.25


@pytest.mark.parametrize(
    ("variances", "share", "most", "kept"),
    [
        ([8, 1, 1], 0.8, 3, 1),
        ([8, 1, 1], 0.81, 3, 3),  # the second and the third go together
        ([8, 1, 1], 0.81, 2, 1),
        ([5, 4, 1], 0.99, 2, 2),
        ([5, 4, 1, 0, 0], 1.0, 5, 3),
        ([1, 1, 1, 0], 0.5, 3, 3),
        ([1, 1, 1, 0], 0.5, 2, 0),
        ([3, 1 + 1e-13, 1, 1e-17], 0.76, 9, 3),
    ],
)
def test_equal_components_are_kept_together(variances, share, most, kept):
    assert components_kept(np.asarray(variances, dtype=float), share, most) == kept


@pytest.mark.parametrize("p", [5, 90])
@pytest.mark.parametrize("name", OF_GRAMS)
def test_rotation_reflection_scale_and_offset_do_not_matter(name, p):
    x, y = pair((p, 12))
    moved = -7.5 * x @ rotation(p) + np.arange(p)
    compare = OF_GRAMS[name]
    assert compare(layer(x), layer(moved)) == pytest.approx(1, abs=1e-9)
    assert compare(layer(moved), layer(y)) == pytest.approx(compare(layer(x), layer(y)), abs=1e-9)
    assert compare(layer(x), layer(y)) < 0.95


@pytest.mark.parametrize("widths", [(5, 12), (300, 250)])
@pytest.mark.parametrize("name", OF_GRAMS)
def test_means_far_from_zero_cost_little_precision(name, widths):
    """A hundred times the standard deviation: the Gram matrix is all but constant."""
    x, y = pair(widths, 200)
    expected = OF_GRAMS[name](layer(x), layer(y))
    assert OF_GRAMS[name](layer(x + 200), layer(y + 200)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", OF_GRAMS)
def test_similarity_is_symmetric(name, widths):
    x, y = map(layer, pair(widths))
    assert OF_GRAMS[name](x, y) == pytest.approx(OF_GRAMS[name](y, x), abs=1e-10)


@pytest.mark.parametrize("widths", [*WIDTHS, (40, 39)])
@pytest.mark.parametrize("name", OF_GRAMS)
def test_features_that_are_held_change_nothing(name, widths):
    x, y = pair(widths)
    found = [
        OF_GRAMS[name](layer(x, keep=first), layer(y, keep=second))
        for first in (True, False)
        for second in (True, False)
    ]
    np.testing.assert_allclose(found, found[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", OF_GRAMS)
def test_a_device_computes_the_same(name, monkeypatch):
    x, y = pair((90, 12))
    expected = OF_GRAMS[name](layer(x), layer(y, keep=True))
    seen = []

    def on_torch(representation, *arrays):
        seen.append(representation.layer)
        return [torch.from_numpy(np.array(array)) for array in arrays]

    monkeypatch.setattr(similarity, "on_device", on_torch)
    found = OF_GRAMS[name](layer(x, name="on the device"), layer(y, keep=True))
    assert found == pytest.approx(expected, abs=1e-12)
    assert set(seen) == {"on the device"}


@pytest.mark.parametrize("name", OF_GRAMS)
def test_layers_over_other_stimuli_are_refused(name):
    x, y = map(layer, pair())
    with pytest.raises(InputError, match=r"'layer' and 'layer' can only be compared over the same stimuli"):
        OF_GRAMS[name](x, y.select(y.ids[::-1]))


def test_what_holds_all_stimuli_equally_far_apart_has_no_unbiased_cka():
    with pytest.raises(InputError, match=r"layer 'one per stimulus' holds all stimuli equally far apart"):
        METRICS["cka_unbiased"].comparison(layer(np.eye(40) + 2, name="one per stimulus"), layer(pair()[0]))


def test_unbiased_cka_needs_four_stimuli():
    with pytest.raises(InputError, match=r"unbiased CKA needs 4 stimuli or more, but there are 3"):
        CKA(unbiased=True)(*map(layer, pair(n=3)))


def test_a_layer_with_few_different_responses_has_no_bandwidth():
    x = np.zeros((40, 3))
    x[0] = 1
    with pytest.raises(
        InputError, match=r"in layer 'layer' half of the pairs of stimuli or more are no distance apart"
    ):
        METRICS["cka_rbf"].comparison(layer(x), layer(pair()[0]))


def test_components_that_cannot_be_told_apart_are_refused():
    with pytest.raises(
        InputError, match=r"cca can keep 8 principal components of 40 stimuli, but in layer 'layer' more"
    ):
        METRICS["cca"].comparison(layer(np.eye(40)), layer(pair()[0]))


def test_cca_of_few_stimuli_is_refused():
    with pytest.raises(InputError, match=r"one component for each 5 stimuli, but there are 4"):
        METRICS["cca"].comparison(*map(layer, pair(n=4)))


@pytest.mark.parametrize("name", METRICS)
def test_the_score_is_that_with_mean_responses_of_all_neuroids(name):
    data = responses(40, 6, 2)
    x = np.random.default_rng(1).standard_normal((40, 9)) + data.values[:40, :1]
    raw = METRICS[name].score(layer(x, keep=True), data)
    expected = METRICS[name].comparison(layer(x, keep=True), layer(data.values.reshape(2, 40, 6).mean(0), keep=True))
    assert raw.dims == ("subject",)
    assert raw["subject"].values.tolist() == ["all neuroids"]
    assert raw.item() == pytest.approx(expected, abs=1e-12)
    value, error = METRICS[name].aggregate(raw)
    assert value == raw.item()
    assert np.isnan(error)


@pytest.mark.parametrize("name", METRICS)
def test_rdms_are_refused(name):
    x = layer(pair()[0], keep=True)
    with pytest.raises(InputError, match=rf"{name} needs responses of neuroids, but these data are RDMs"):
        METRICS[name].score(x, rdms(40, 2))
    assert METRICS[name].ceiling(rdms(40, 2)).method.startswith(f"not estimable: {name} needs responses of neuroids")


def test_the_ceiling_is_that_of_halves_of_the_repetitions():
    data = responses(40, 6, 5, noise=1.0)
    found, expected = METRICS["cka"].ceiling(data), halves_ceiling(cka_of_features, data)
    assert found.method == expected.method
    np.testing.assert_allclose([found.lower, found.upper], [expected.lower, expected.upper], atol=1e-12)
    assert found.value == found.upper


@pytest.mark.parametrize("name", METRICS)
def test_the_ceiling_falls_with_noise_and_normalizes(name):
    ceilings = [METRICS[name].ceiling(responses(60, 6, 4, noise=noise)) for noise in (0.0, 0.5, 2.0)]
    assert [c.value for c in ceilings[:1]] == pytest.approx([1], abs=1e-9)
    assert ceilings[0].lower > ceilings[1].lower > ceilings[2].lower
    assert all(c.lower < c.value for c in ceilings[1:])
    data = responses(60, 6, 4, noise=0.5)
    raw = METRICS[name].score(layer(pair((8, 5), 60)[0], keep=True), data)
    assert METRICS[name].normalize(raw, ceilings[1]) == pytest.approx(raw.item() / ceilings[1].value, rel=1e-12)


def test_a_ceiling_that_is_not_defined_says_why():
    few = responses(4, 6, 3)
    assert METRICS["cca"].ceiling(few).method == (
        "not estimable: cca keeps one component for each 5 stimuli, but there are 4; use cka"
    )


def test_a_population_that_never_changes_is_refused():
    """Noise that cancels between the repetitions."""
    data = responses(40, 6, 2)
    data.values[40:] = -data.values[:40]
    with pytest.raises(InputError, match=r"layer 'mean responses' responds to every stimulus alike"):
        METRICS["cka"].score(layer(pair()[0]), data)


def test_settings_are_part_of_the_metric():
    assert METRICS["cka_rbf"].comparison == CKA(bandwidth=0.5)
    assert METRICS["cca"].comparison == replace(CCA(), variance=0.99, stimuli_each=5)
