"""Partial least squares against ikpls and scikit-learn; one-to-one matching and least squares by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ikpls.numpy import PLS as IKPLS
from problems import responses
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import ShuffleSplit

from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.encoding import PLS, LeastSquares, OneToOne
from neurocompare.metrics.pls import pls_predictions
from neurocompare.representation import Representation


def problem(n, width, targets, *, seed=0):
    """Features far from zero, of unequal size, that share latent causes with the targets."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n, 12)) * np.logspace(0, -1, 12)
    x = causes @ rng.standard_normal((12, width)) + 0.2 * rng.standard_normal((n, width)) * rng.gamma(1, size=width) + 3
    y = causes @ rng.standard_normal((12, targets)) + 0.5 * rng.standard_normal((n, targets)) + 2
    return x, y


def splits_of(n, number=3):
    return list(ShuffleSplit(number, test_size=0.2, random_state=0).split(np.zeros(n)))


def represented(x):
    return Representation.from_features("layer", [f"s{i:03d}" for i in range(len(x))], x, keep=True)


SIZES = [(60, 30, 5), (50, 200, 3), (80, 400, 60), (40, 90, 1)]


@pytest.mark.parametrize(("n", "width", "targets"), SIZES)
def test_predictions_are_those_of_ikpls(n, width, targets):
    x, y = problem(n, width, targets)
    splits = splits_of(n)
    found = pls_predictions(x @ x.T, y, splits, 25)
    for (train, test), predicted in zip(splits, found, strict=True):
        reference = IKPLS(scale_X=False, scale_Y=False)
        reference.fit(x[train], y[train], 25)
        np.testing.assert_allclose(predicted, reference.predict(x[test], 25), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n", "width", "targets"), SIZES)
def test_predictions_are_those_of_scikit_learn_run_to_convergence(n, width, targets):
    """Its default tolerance stops short: predictions are then off by up to a percent."""
    x, y = problem(n, width, targets)
    splits = splits_of(n)
    for components in (1, 4, 10):
        found = pls_predictions(x @ x.T, y, splits, components)
        for (train, test), predicted in zip(splits, found, strict=True):
            reference = PLSRegression(components, scale=False, tol=1e-14, max_iter=100_000).fit(x[train], y[train])
            expected = reference.predict(x[test]).reshape(predicted.shape)
            np.testing.assert_allclose(predicted, expected, rtol=2e-6, atol=2e-6)


def test_with_every_component_it_is_least_squares():
    x, y = problem(60, 8, 3)
    splits = splits_of(60)
    found = pls_predictions(x @ x.T, y, splits, 8)
    for (train, test), predicted in zip(splits, found, strict=True):
        expected = LinearRegression().fit(x[train], y[train]).predict(x[test])
        np.testing.assert_allclose(predicted, expected, rtol=1e-7, atol=1e-8)


def test_a_layer_of_lower_rank_than_components_is_refused():
    x, y = problem(60, 4, 3)
    doubled = np.hstack([x, 2 * x])
    with pytest.raises(InputError, match="after 4 components nothing of the layer is left that covaries"):
        pls_predictions(doubled @ doubled.T, y, splits_of(60), 6)
    with pytest.raises(InputError, match=r"PLS with 25 components .* 'layer' has 4 features .* use ridge"):
        PLS()(represented(x), y, splits_of(60))
    few, targets = problem(30, 90, 3)
    with pytest.raises(InputError, match=r"has 90 features and 24 or more stimuli to fit on"):
        PLS()(represented(few), targets, splits_of(30))


@pytest.mark.parametrize("width", [6, 90])
def test_least_squares_are_scikit_learns(width):
    """Of the smallest norm, where features outnumber stimuli."""
    x, y = problem(50, width, 4)
    splits = splits_of(50)
    for (train, test), predicted in zip(splits, LeastSquares()(represented(x), y, splits), strict=True):
        expected = LinearRegression().fit(x[train], y[train]).predict(x[test])
        np.testing.assert_allclose(predicted, expected, rtol=1e-6, atol=1e-7)


def test_one_to_one_takes_the_feature_that_correlates_best_where_it_is_fitted():
    x, y = problem(50, 20, 4)
    x[:, 7] = -3 * y[:, 2] + 5
    x[:, 3] = 1.0  # constant
    splits = splits_of(50)
    for (train, test), predicted in zip(splits, OneToOne()(represented(x), y, splits), strict=True):
        for target in range(4):
            varying = [i for i in range(20) if i != 3]
            r = [abs(np.corrcoef(x[train, i], y[train, target])[0, 1]) for i in varying]
            best = varying[int(np.argmax(r))]
            line = np.polyfit(x[train, best], y[train, target], 1)
            np.testing.assert_allclose(predicted[:, target], np.polyval(line, x[test, best]), rtol=1e-8)
        np.testing.assert_allclose(predicted[:, 2], y[test, 2], rtol=1e-8)


def test_one_to_one_needs_features():
    x, _ = problem(40, 20, 4)
    without = Representation.from_features("layer", [f"s{i:03d}" for i in range(40)], x)
    with pytest.raises(InputError, match=r"needs features: probe with keep_features=True"):
        METRICS["one_to_one"].score(without, responses(40))
