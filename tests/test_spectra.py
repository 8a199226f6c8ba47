"""Spectra given to representations, against the singular value decomposition of the features themselves."""

from __future__ import annotations

import numpy as np
import pytest

from neurocompare.errors import InputError
from neurocompare.metrics.distances import correlation_distance
from neurocompare.representation import Representation
from neurocompare.spectra import with_spectrum_of

IDS = [f"s{k}" for k in range(20)]


def features(seed: int, width: int, slope: float) -> np.ndarray:
    """Features with means, whose variances fall off with an exponent."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((20, width)) * np.arange(1, width + 1.0) ** -slope + rng.random(width)


def direct(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The features with the singular values of the others, by the textbook."""
    u, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    wanted = np.linalg.svd(other - other.mean(0), compute_uv=False)
    n = 19  # components that 20 stimuli can have
    wanted = wanted[:n] * np.sqrt((s[:n] ** 2).sum() / (wanted[:n] ** 2).sum())
    return x.mean(0) + (u[:, :n] * wanted) @ vt[:n]


def represent(x: np.ndarray) -> Representation:
    return Representation.from_features("layer", IDS, x)


def test_gram_matrix_sums_and_distances_are_those_of_changed_features():
    x, other = features(0, 50, 0.2), features(1, 80, 1.0)
    found = with_spectrum_of(represent(x), represent(other))
    expected = represent(direct(x, other))
    np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(correlation_distance(found), correlation_distance(expected), rtol=1e-8)


def test_dimensionality_is_the_others_and_variance_its_own():
    x, other = represent(features(0, 50, 0.2)), represent(features(1, 80, 1.0))
    assert x.effective_dimensionality > 2 * other.effective_dimensionality
    found = with_spectrum_of(x, other)
    assert found.effective_dimensionality == pytest.approx(other.effective_dimensionality, rel=1e-9)
    centring = np.eye(20) - 1 / 20
    assert np.trace(centring @ found.gram) == pytest.approx(np.trace(centring @ x.gram), rel=1e-9)


def test_its_own_spectrum_changes_nothing():
    x = represent(features(0, 50, 0.5))
    found = with_spectrum_of(x, x)
    np.testing.assert_allclose(found.gram, x.gram, rtol=1e-9)
    np.testing.assert_allclose(found.sums, x.sums, rtol=1e-9)


def test_components_that_one_lacks_end_without_variance():
    narrow, wide = represent(features(0, 5, 0.1)), represent(features(1, 80, 0.1))
    for found in (with_spectrum_of(narrow, wide), with_spectrum_of(wide, narrow)):
        centring = np.eye(20) - 1 / 20
        values = np.linalg.eigvalsh(centring @ found.gram @ centring)
        assert (values > 1e-8 * values.max()).sum() == 5


def test_what_cannot_be_matched_is_refused():
    x = represent(features(0, 50, 0.2))
    with pytest.raises(InputError, match="over the same stimuli"):
        with_spectrum_of(x, x.select(IDS[:10]))
    flat = Representation.from_features("dead", IDS, np.ones((20, 3)))
    with pytest.raises(InputError, match="'dead' does not vary"):
        with_spectrum_of(x, flat)
