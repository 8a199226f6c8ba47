"""What is read from the Gram matrix is what the features themselves give."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import dimensionality_from_features
from scipy.spatial.distance import pdist
from sklearn.linear_model import Ridge

from neurocompare.errors import InputError
from neurocompare.metrics.distances import correlation_distance, cosine_distance, squared_euclidean_distance
from neurocompare.metrics.ridge import centred_kernel, ridge_leave_one_out, spectrum
from neurocompare.representation import Representation, double_centred, gram_and_sums

CLOSE = {"rtol": 1e-8, "atol": 0}
DISTANCES = {
    "correlation": (correlation_distance, lambda x: pdist(x, "correlation")),
    "cosine": (cosine_distance, lambda x: pdist(x, "cosine")),
    "squared euclidean": (squared_euclidean_distance, lambda x: pdist(x, "sqeuclidean") / x.shape[1]),
}


def features(n=12, width=50, offset=0.0, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).standard_normal((n, width)) + offset).astype(dtype)


def names(n):
    return [f"s{i}" for i in range(n)]


def representation(x):
    return Representation.from_features("layer", names(len(x)), x)


CASES = {
    "wide": features(width=300),
    "narrow": features(width=5),
    "single precision": features(dtype=np.float32),
    "single precision far from zero": features(offset=100.0, dtype=np.float32),
    "rectified": np.maximum(features(), 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_scipys(distance, case):
    from_gram, from_features = DISTANCES[distance]
    expected = from_features(CASES[case].astype(np.float64))
    # Far from zero, cosine distances are 1e-4 and less: what counts is the error beside the quantity 1 - d.
    atol = 1e-12 if distance == "cosine" else 0
    np.testing.assert_allclose(from_gram(representation(CASES[case])), expected, rtol=1e-8, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_effective_dimensionality_is_that_of_the_covariance_spectrum(case):
    expected = dimensionality_from_features(CASES[case].astype(np.float64))
    assert representation(CASES[case]).effective_dimensionality == pytest.approx(expected, rel=1e-8)


def test_effective_dimensionality_of_known_spectra():
    basis = np.linalg.qr(features(20, 20) - features(20, 20).mean(0))[0][:, :4]  # orthonormal, mean zero
    assert representation(basis).effective_dimensionality == pytest.approx(4)
    assert representation(basis[:, :1] + 3).effective_dimensionality == pytest.approx(1)
    scaled = basis * np.sqrt([3, 1, 0, 0])
    assert representation(scaled).effective_dimensionality == pytest.approx((3 + 1) ** 2 / (9 + 1))
    assert np.isnan(representation(np.full((5, 3), 0.7)).effective_dimensionality)
    assert np.isnan(representation(np.zeros((5, 3))).effective_dimensionality)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("penalty", [1e-2, 1.0, 100.0])
def test_ridge_predictions_are_those_of_the_primal_on_features(case, penalty):
    x = CASES[case].astype(np.float64)
    y = np.random.default_rng(1).standard_normal((len(x), 3))
    train, test = np.arange(9), np.arange(9, 12)
    gram = representation(CASES[case]).gram
    kernel = double_centred(gram[np.ix_(train, train)])
    fit = ridge_leave_one_out(spectrum(kernel), y[train] - y[train].mean(0), np.array([penalty]))
    found = centred_kernel(gram, train, test) @ fit.dual + y[train].mean(0)
    expected = Ridge(alpha=penalty, solver="svd").fit(x[train], y[train]).predict(x[test])
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_kernels_are_inner_products_of_centred_features():
    x = features(offset=3.0)
    train, test = np.array([0, 2, 5, 7, 8]), np.array([1, 3])
    inside, outside = x[train] - x[train].mean(0), x[test] - x[train].mean(0)
    gram = representation(x).gram
    np.testing.assert_allclose(double_centred(gram[np.ix_(train, train)]), inside @ inside.T, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(centred_kernel(gram, train, test), outside @ inside.T, rtol=1e-10, atol=1e-11)


def test_double_centring_in_closed_form():
    gram = features(6, 6) @ features(6, 6).T
    centring = np.eye(6) - np.full((6, 6), 1 / 6)
    np.testing.assert_allclose(double_centred(gram), centring @ gram @ centring, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("slice_width", [1, 7, 50, 4096])
def test_slices_add_up(slice_width):
    x = features(dtype=np.float32)
    gram, sums = gram_and_sums(x, slice_width)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(gram, wide @ wide.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sums, wide.sum(1), rtol=1e-12, atol=1e-12)
    assert gram.dtype == sums.dtype == np.float64


def test_features_with_more_axes_are_flattened():
    x = features(width=24)
    folded, flat = representation(x.reshape(12, 2, 3, 4)), representation(x)
    assert folded.n_features == flat.n_features == 24
    np.testing.assert_array_equal(folded.gram, flat.gram)


def test_select_takes_stimuli_in_the_order_asked_for():
    x = features()
    chosen = representation(x).select(["s7", "s0", "s3"])
    expected = Representation.from_features("layer", ["s7", "s0", "s3"], x[[7, 0, 3]])
    assert chosen.ids == expected.ids
    assert chosen.n_features == 50
    np.testing.assert_allclose(chosen.gram, expected.gram, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(chosen.sums, expected.sums, rtol=1e-12)


def test_a_stimulus_that_was_not_probed_is_named():
    with pytest.raises(InputError, match=r"probed with 12 stimuli, but 2 others .*first: 'new'"):
        representation(features()).select(["s1", "new", "newer"])


def test_arrays_are_frozen_and_the_features_are_left_alone():
    x = features()
    kept = x.copy()
    made = representation(x)
    for array in (made.gram, made.sums, made.select(["s1", "s2"]).gram):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    x[0] = 1  # the caller's own array stays the caller's
    np.testing.assert_allclose(made.gram, kept @ kept.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activity_that_is_not_finite_is_refused_with_its_stimulus(bad):
    x = features()
    x[4, 7] = bad
    with pytest.raises(InputError, match=r"not finite for 1 of 12 stimuli \(first: 's4'\)"):
        representation(x)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"3 stimuli need a Gram matrix \(3, 3\) .* got \(2, 2\)"):
        Representation("layer", ("a", "b", "c"), np.eye(2), np.zeros(3), 4)
    with pytest.raises(InputError, match=r"sums \(2,\), but got \(2, 2\) and \(3,\)"):
        Representation("layer", ("a", "b"), np.eye(2), np.zeros(3), 4)
