"""The protocols of papers, each against a plain loop in the paper's own order with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from problems import rdms, responses
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from neurocompare.assembly import with_stimulus_coord
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.noise_corrected import smallest_significant
from neurocompare.metrics.presets import TUCKUTE_2023
from neurocompare.representation import Representation

N = 40
IDS = [f"s{i:03d}" for i in range(N)]


def layer(x, ids=IDS):
    return Representation.from_features("layer", ids, x)


def features(data, width, *, seed=3):
    x = np.random.default_rng(seed).standard_normal((N, width)) + 1
    x[:, :6] += data.values[:N]
    return x


def correlations(a, b):
    """NaN for a column that a penalty has made constant but for rounding."""
    flat = (np.ptp(a, 0) < 1e-12) | (np.ptp(b, 0) < 1e-12)
    return np.array([np.nan if flat[i] else np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(a.shape[1])])


def test_brain_scores_order_of_operations_on_a_hand_made_assembly():
    """Averaged, sorted by id, split with labels in proportion, PLS, r per neuroid, median, mean; r^2 over the ceiling."""
    ordered = responses(N, 6, 4)
    shuffled = np.random.default_rng(0).permutation(ordered.sizes["presentation"])
    labels = {stimulus: "ab"[i % 2] for i, stimulus in enumerate(IDS)}
    data = with_stimulus_coord(ordered.isel(presentation=shuffled), "label", labels)
    x, y = features(ordered, 30), ordered.values.reshape(4, N, 6).mean(0)
    expected = []
    splits = StratifiedShuffleSplit(n_splits=10, train_size=0.9, random_state=1).split(IDS, [labels[s] for s in IDS])
    for train, test in splits:
        model = PLSRegression(25, scale=False, tol=1e-14, max_iter=50000).fit(x[train], y[train])
        expected.append(correlations(model.predict(x[test]), y[test]))
    metric = METRICS["brainscore"]
    raw = metric.score(layer(x), data)
    np.testing.assert_allclose(raw.values, expected, atol=2e-6)
    centre = np.mean(np.median(expected, 1))
    assert metric.aggregate(raw)[0] == pytest.approx(centre, abs=2e-6)

    halves = []
    for first, second in ShuffleSplit(10, train_size=0.5, random_state=1).split(np.arange(4)):
        of = ordered.values.reshape(4, N, 6)
        r = correlations(of[first].mean(0), of[second].mean(0))
        halves.append(2 * r / (1 + r))
    ceiling = metric.ceiling(data)
    assert ceiling.value == pytest.approx(np.median(np.mean(halves, 0)), abs=1e-12)
    assert metric.normalize(raw, ceiling) == pytest.approx(centre**2 / ceiling.value, abs=1e-5)


def test_cadieus_splits_come_with_the_data():
    data = responses(N, 6, 2)
    x, y = features(data, 60), data.values.reshape(2, N, 6).mean(0)
    rows = np.arange(2 * N) % N
    masks = {f"train_{k}": ("presentation", rows % 5 != k) for k in (0, 3)}
    raw = METRICS["cadieu2014"].score(layer(x), data.assign_coords(masks))
    for k, found in zip((0, 3), raw.values, strict=True):
        train, test = np.flatnonzero(np.arange(N) % 5 != k), np.flatnonzero(np.arange(N) % 5 == k)
        centred = x[train] - x[train].mean(0)
        penalties = np.logspace(-3, 4, 15) * (centred**2).sum() / len(train)
        model = RidgeCV(penalties, alpha_per_target=True).fit(x[train], y[train])
        np.testing.assert_allclose(found, correlations(model.predict(x[test]), y[test]), atol=1e-7)
    with pytest.raises(InputError, match="this protocol uses the splits that come with its data"):
        METRICS["cadieu2014"].score(layer(x), data)


@pytest.fixture(scope="module")
def three_sessions():
    data = responses(N, 6, 3, noise=0.8)
    x = features(data, 12)
    return data, x, TUCKUTE_2023.score(layer(x), data)


def brown(sessions):
    pairs = [correlations(sessions[a], sessions[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    r = np.median(pairs, 0)
    return np.where(r > 0, 3 * r / (1 + 2 * r), r)


def test_tuckutes_variance_and_both_reliabilities(three_sessions):
    data, x, raw = three_sessions
    sessions = data.values.reshape(3, N, 6)
    penalties = np.logspace(-50, 49, 100)
    floor = smallest_significant(20)
    for split, (train, test) in enumerate(ShuffleSplit(10, test_size=20, random_state=1).split(x)):
        predicted = []
        for y in (sessions.mean(0), *sessions):
            centred = x[train] - x[train].mean(0)
            grid = np.maximum(penalties, 1e-12 * (centred**2).sum() / len(train))
            model = RidgeCV(np.unique(grid), alpha_per_target=True).fit(x[train], y[train])
            predicted.append(model.predict(x[test]))
        r = correlations(predicted[0], sessions.mean(0)[test])
        np.testing.assert_allclose(raw.values[split], np.fmax(r, 0) ** 2, atol=1e-7)
        expected = np.fmax(brown(sessions[:, test]), floor) * np.fmax(brown(predicted[1:]), floor)
        # A penalty of 1e-12 of the eigenvalues leaves 1e-16 / 1e-12 of a prediction to rounding, in either solver.
        np.testing.assert_allclose(raw["reliability"].values[split], expected, rtol=1e-4)


def test_tuckutes_correction_is_by_neuroid_and_split(three_sessions):
    data, _, raw = three_sessions
    expected = np.median(np.median(raw.values / raw["reliability"].values, 0))
    ceiling = TUCKUTE_2023.ceiling(data)
    assert TUCKUTE_2023.normalize(raw, ceiling) == pytest.approx(expected)
    assert TUCKUTE_2023.aggregate(raw)[0] == pytest.approx(np.median(np.median(raw.values, 0)))
    assert ceiling.value == pytest.approx(np.median(brown(data.values.reshape(3, N, 6))))


def test_the_sounds_of_tuckute_are_split_into_83_and_82():
    data = responses(165, 2, 1)
    assert {(len(a), len(b)) for a, b in TUCKUTE_2023.encoding.splits(data)} == {(83, 82)}


def test_the_smallest_significant_correlations_are_the_published_ones():
    assert [round(smallest_significant(n), 3) for n in (83, 82)] == [0.182, 0.183]


def test_a_correction_without_repetitions_is_not_made():
    data = responses(N, 6, 1)
    raw = TUCKUTE_2023.score(layer(features(data, 12)), data)
    ceiling = TUCKUTE_2023.ceiling(data)
    assert np.isfinite(raw).all()
    assert np.isnan([TUCKUTE_2023.normalize(raw, ceiling), ceiling.value]).all()


def test_krks_scores_are_of_the_mean_rdm_and_the_ceiling_of_single_subjects():
    data = rdms(12, 4)
    x = layer(np.random.default_rng(0).standard_normal((12, 9)), [f"s{i:03d}" for i in range(12)])
    krk, single = METRICS["krk2014"], METRICS["rsa_tau_a"]
    np.testing.assert_array_equal(krk.score(x, data), METRICS["rsa_tau_a_group"].score(x, data))
    assert krk.ceiling(data).upper == single.ceiling(data).upper
    assert "of single subjects, while the score is of their mean" in krk.ceiling(data).method
