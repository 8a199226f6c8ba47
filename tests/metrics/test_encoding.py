"""Ridge regression and its leave-one-out against scikit-learn and against explicit refits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracles import leave_one_out_by_refits
from problems import rdms, responses
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import ShuffleSplit

from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.ridge import ridge_leave_one_out, spectrum
from neurocompare.metrics.splits import Shuffled
from neurocompare.representation import Representation, double_centred

PENALTIES = np.logspace(-2, 4, 13)


def problem(n, width, targets=4, *, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, width)) * rng.gamma(1, size=width) + 5
    noise = np.array([0.1, 1.0, 4.0, 20.0])[:targets]
    y = (x - 5) @ rng.standard_normal((width, targets)) + noise * width**0.5 * rng.standard_normal((n, targets)) + 2
    return x, y


def fitted(x, y, penalties=PENALTIES):
    return ridge_leave_one_out(spectrum(double_centred(x @ x.T)), y - y.mean(0), np.asarray(penalties))


@pytest.mark.parametrize(("n", "width"), [(30, 8), (20, 60), (25, 25)])
def test_leave_one_out_is_scikit_learns(n, width):
    x, y = problem(n, width)
    reference = RidgeCV(PENALTIES, fit_intercept=True, alpha_per_target=True, store_cv_results=True).fit(x, y)
    found = fitted(x, y)
    np.testing.assert_allclose(found.loo_error, reference.cv_results_.mean(0).T, rtol=1e-8)
    np.testing.assert_array_equal(found.penalty, reference.alpha_)
    assert len(set(found.penalty)) > 1  # targets of different noise do not all choose alike
    predictions = double_centred(x @ x.T) @ found.dual + y.mean(0)
    np.testing.assert_allclose(predictions, reference.predict(x), rtol=1e-8)


@pytest.mark.parametrize(("n", "width"), [(15, 4), (12, 40)])
@pytest.mark.parametrize("penalty", [1e-2, 1.0, 1e3])
def test_leave_one_out_is_n_refits(n, width, penalty):
    x, y = problem(n, width)
    expected = leave_one_out_by_refits(x, y, penalty)
    np.testing.assert_allclose(fitted(x, y, [penalty]).loo_error[0], expected, rtol=1e-8)


def test_weak_penalties_keep_their_precision():
    """Wide features far from zero, as of a rectified layer: an intercept handled by subtraction loses most digits."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 400)) + 100
    y = rng.standard_normal((40, 3))
    kernel = double_centred(x @ x.T)
    penalty = 1e-5 * np.trace(kernel) / len(x)
    expected = leave_one_out_by_refits(x - x.mean(0), y, penalty)
    found = ridge_leave_one_out(spectrum(kernel), y - y.mean(0), np.array([penalty])).loo_error[0]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("width", [5, 80])
def test_scores_are_those_of_a_plain_loop_with_scikit_learn(width):
    """The same splits, RidgeCV on features, Pearson r per neuroid."""
    data = responses(40, 6, 2)
    x = np.random.default_rng(4).standard_normal((40, width)) + 1
    x[:, :4] += data.values[:40, :4]
    y = data.values.reshape(2, 40, 6).mean(0)
    metric = METRICS["ridge"]
    expected = []
    for train, test in ShuffleSplit(10, test_size=0.1, random_state=1).split(x):
        centred = x[train] - x[train].mean(0)
        penalties = np.logspace(-3, 4, 15) * (centred**2).sum() / len(train)
        model = RidgeCV(penalties, alpha_per_target=True).fit(x[train], y[train])
        prediction = model.predict(x[test])
        expected.append([np.corrcoef(prediction[:, i], y[test, i])[0, 1] for i in range(6)])
    representation = Representation.from_features("layer", [f"s{i:03d}" for i in range(40)], x)
    scores = metric.score(representation, data)
    np.testing.assert_allclose(scores.values, expected, atol=1e-7)
    assert scores.dims == ("split", "neuroid")
    assert scores["neuroid_id"].values.tolist() == data["neuroid_id"].values.tolist()
    medians = np.median(expected, axis=1)
    value, error = metric.aggregate(scores)
    assert value == pytest.approx(medians.mean(), abs=1e-7)
    assert error == pytest.approx(medians.std(ddof=1) / 10**0.5, abs=1e-7)


def test_repetitions_are_averaged_before_the_splits():
    """A stimulus on both sides of a split would let noise be learnt: on pure noise nothing may be predicted."""
    data = responses(60, 30, 4)
    rng = np.random.default_rng(0)
    data.values[:] = np.tile(rng.standard_normal((60, 30)), (4, 1))  # the same "response" in each repetition
    unrelated = Representation.from_features("x", [f"s{i:03d}" for i in range(60)], rng.standard_normal((60, 200)))
    scores = METRICS["ridge"].score(unrelated, data)
    # 300 correlations over 6 held-out stimuli: each has a standard deviation of 1 / sqrt(5) around 0.
    assert abs(scores.values.mean()) < 4 * (1 / 5) ** 0.5 / 30**0.5


def test_features_that_hold_the_signal_predict_it():
    data = responses(60, 5, 2, noise=1e-3)
    representation = Representation.from_features("x", [f"s{i:03d}" for i in range(60)], data.values[:60])
    assert METRICS["ridge"].aggregate(METRICS["ridge"].score(representation, data))[0] > 0.999


def test_other_seeds_split_otherwise():
    data = responses(40)
    x = Representation.from_features("x", [f"s{i:03d}" for i in range(40)], data.values[:40])
    first, again, other = (
        replace(METRICS["ridge"], splits=Shuffled(seed=seed)).score(x, data).values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_rdms_have_no_neuroids_to_predict():
    x = Representation.from_features("x", [f"s{i:03d}" for i in range(40)], np.eye(40))
    with pytest.raises(InputError, match="needs responses of neuroids, but these data are RDMs"):
        METRICS["ridge"].score(x, rdms(40))


def test_too_few_stimuli_are_refused():
    data = responses(20)
    x = Representation.from_features("x", [f"s{i:03d}" for i in range(20)], data.values[:20])
    with pytest.raises(InputError, match=r"holds out 10% of 20 distinct stimuli leaves fewer than 3"):
        METRICS["ridge"].score(x, data)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
def test_a_layer_that_responds_to_every_stimulus_alike_is_refused(level):
    row = level * np.linspace(0.3, 1.1, 13)
    x = Representation.from_features("flat", [f"s{i:03d}" for i in range(40)], np.tile(row, (40, 1)))
    with pytest.raises(InputError, match="'flat' responds to every stimulus alike"):
        METRICS["ridge"].score(x, responses(40))
