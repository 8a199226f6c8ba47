"""RDMs, their comparisons and noise ceilings against rsatoolbox, scipy and enumeration."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from oracles import tau_a_by_enumeration, toolbox_ceiling, toolbox_comparison, toolbox_crossnobis, toolbox_rdm
from problems import rdms, responses
from scipy.spatial.distance import pdist

from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, comparisons
from neurocompare.metrics.distances import (
    correlation_distance,
    cosine_distance,
    crossnobis_distance,
    euclidean_distance,
    repetitions,
    squared_euclidean_distance,
)
from neurocompare.metrics.rsa import RSA_METRICS, neural_rdms
from neurocompare.representation import Representation

COMPARISONS = {
    "tau-a": comparisons.tau_a,
    "spearman": comparisons.spearman,
    "corr": comparisons.pearson,
    "cosine": comparisons.cosine,
    "cosine_cov": comparisons.whitened_cosine,
    "corr_cov": comparisons.whitened_correlation,
}
TOOLBOX = {
    "rsa_tau_a": "tau-a",
    "rsa_spearman": "spearman",
    "rsa_pearson": "corr",
    "rsa_cosine": "cosine",
    "rsa_whitened_cosine": "cosine_cov",
    "rsa_whitened_correlation": "corr_cov",
}
PLAIN = [METRICS[name] for name in TOOLBOX]


def compared(method, a, b):
    return float(COMPARISONS[method](a, b[None])[0])


def representation(x):
    return Representation.from_features("layer", [f"s{i:03d}" for i in range(len(x))], x)


def vectors(seed, *, tied):
    """Two dissimilarity vectors that share a part."""
    rng = np.random.default_rng(seed)
    shared = rng.random(45)
    pair = [shared + rng.random(45) for _ in range(2)]
    return [np.ceil(3 * v) for v in pair] if tied else pair


@pytest.mark.parametrize(
    ("distance", "method"), [(correlation_distance, "correlation"), (squared_euclidean_distance, "euclidean")]
)
@pytest.mark.parametrize("width", [3, 40])
def test_rdms_are_the_toolboxs(distance, method, width):
    x = np.random.default_rng(0).standard_normal((11, width)) + 2
    np.testing.assert_allclose(distance(representation(x)), toolbox_rdm(x, method), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", COMPARISONS)
def test_comparisons_are_the_toolboxs(method, tied):
    for seed in range(5):
        a, b = vectors(seed, tied=tied)
        assert compared(method, a, b) == pytest.approx(toolbox_comparison(a, b, method), abs=1e-10)


@pytest.mark.parametrize("tied", [False, True])
def test_tau_a_by_enumeration_of_pairs(tied):
    for seed in range(5):
        a, b = vectors(seed, tied=tied)
        assert compared("tau-a", a, b) == pytest.approx(tau_a_by_enumeration(a, b), abs=1e-12)


def test_ties_count_against_tau_a():
    assert compared("tau-a", np.arange(6.0), np.arange(6.0)) == pytest.approx(1)
    # Of 15 pairs, two groups of three ties leave 9: all concordant.
    assert compared("tau-a", np.arange(6.0), np.array([0.0, 0, 0, 1, 1, 1])) == pytest.approx(9 / 15)


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("name", TOOLBOX)
def test_noise_ceilings_are_the_toolboxs(name, levels):
    data = rdms(8, 5, levels=levels)
    ceiling = METRICS[name].ceiling(data)
    lower, upper = toolbox_ceiling(data, TOOLBOX[name])
    assert ceiling.lower == pytest.approx(lower, abs=1e-10)
    assert ceiling.upper == pytest.approx(upper, abs=1e-10)
    assert ceiling.value == ceiling.upper
    assert 0 < ceiling.lower < ceiling.upper < 1


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric.name)
def test_scores_are_comparisons_with_each_subject(metric):
    data = rdms(10, 4)
    x = np.random.default_rng(3).standard_normal((10, 20))
    scores = metric.score(representation(x), data)
    expected = [toolbox_comparison(toolbox_rdm(x, "correlation"), row, TOOLBOX[metric.name]) for row in data.values]
    np.testing.assert_allclose(scores, expected, atol=1e-10)
    assert list(scores["subject"].values) == ["A", "B", "C", "D"]
    mean, error = metric.aggregate(scores)
    assert mean == pytest.approx(np.mean(expected))
    assert error == pytest.approx(np.std(expected, ddof=1) / 2)


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric.name)
def test_a_subjects_own_rdm_scores_one(metric):
    data = rdms(10, 1)
    (own,) = metric.comparison(data.values[0], data.values)
    assert own == pytest.approx(1, abs=1e-12)
    ceiling = metric.ceiling(data)
    assert np.isnan([ceiling.value, ceiling.lower, ceiling.upper]).all()
    assert "needs two subjects or more" in ceiling.method


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric.name)
def test_equal_subjects_have_a_ceiling_of_one(metric):
    data = rdms(10, 3)
    data.values[1:] = data.values[0]
    ceiling = metric.ceiling(data)
    assert [ceiling.lower, ceiling.upper] == pytest.approx([1, 1])


def test_responses_become_one_rdm_over_their_mean():
    data = responses(12, 6, 3)
    mean = data.values.reshape(3, 12, 6).mean(0)
    found = neural_rdms(data)
    np.testing.assert_allclose(found.values[0], toolbox_rdm(mean, "correlation"), rtol=1e-9)
    assert found["subject"].values.tolist() == ["all neuroids"]
    for metric in PLAIN:
        assert float(metric.score(representation(mean), data)[0]) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
def test_a_stimulus_that_drives_all_features_alike_has_no_correlation_distance(offset):
    x = np.random.default_rng(0).standard_normal((5, 30)).astype(np.float32).astype(float)
    x[2] = 0.1 + offset
    with pytest.raises(InputError, match=r"1 of 5 stimuli are constant \(first: 's002'\)"):
        correlation_distance(representation(x))


def test_a_silent_stimulus_has_no_cosine_distance():
    x = np.ones((4, 3))
    x[1] = 0
    with pytest.raises(InputError, match=r"1 of 4 stimuli drive no feature \(first: 's001'\)"):
        cosine_distance(representation(x))


@pytest.mark.parametrize("metric", RSA_METRICS, ids=lambda metric: metric.name)
def test_a_layer_that_holds_all_stimuli_equally_far_apart_is_refused(metric):
    with pytest.raises(InputError, match="equally far apart"):
        metric.score(representation(np.eye(8)), responses(8, 5, 2) if metric.crossvalidated else rdms(8))


PUBLISHED = [
    ("kriegeskorte2008.hIT", "rsa_spearman", 0.372, 0.666),
    ("kriegeskorte2008.hIT", "rsa_tau_a", 0.254, 0.477),
    ("kriegeskorte2008.hIT", "rsa_pearson", 0.394, 0.680),
    ("cichy2014.IT", "rsa_spearman", 0.453, 0.542),
    ("cichy2014.IT", "rsa_tau_a", 0.316, 0.384),
    ("cichy2014.EVC", "rsa_spearman", 0.242, 0.392),
    ("cichy2014.EVC", "rsa_tau_a", 0.164, 0.268),
]


def real_benchmark(name, folder):
    if not (Path(os.environ.get("NEUROCOMPARE_MIRROR", "")) / folder).is_dir():
        pytest.skip(f"NEUROCOMPARE_MIRROR names no folder that holds {folder}")
    from data_loaders import load_benchmark

    return load_benchmark(name)


@pytest.mark.parametrize(("name", "metric", "lower", "upper"), PUBLISHED)
def test_ceilings_of_real_recordings(name, metric, lower, upper):
    """As measured on these files by other code (the mirror's README, three digits)."""
    ceiling = METRICS[metric].ceiling(real_benchmark(name, name.split(".")[0]).data)
    assert ceiling.lower == pytest.approx(lower, abs=5.1e-4)
    assert ceiling.upper == pytest.approx(upper, abs=5.1e-4)


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric.name)
def test_one_rdm_of_real_recordings_has_no_ceiling(metric):
    ceiling = metric.ceiling(real_benchmark("kriegeskorte2008.mIT", "kriegeskorte2008").data)
    assert np.isnan(ceiling.value)
    assert "needs two subjects or more" in ceiling.method


def test_split_half_ceiling_of_real_recordings():
    ceiling = METRICS["ridge"].ceiling(real_benchmark("cowley2023.V4", "cowley2023").data)
    assert ceiling.value == pytest.approx(0.76, abs=5.1e-3)


@pytest.mark.parametrize("n_repetitions", [2, 4])
def test_crossnobis_distances_are_the_toolboxs(n_repetitions):
    """With its noise precision set to what ours scales by: the variance within stimuli, of each neuroid."""
    data = responses(9, 6, n_repetitions)
    values = repetitions(data)
    noise = np.square(values - values.mean(0)).sum((0, 1)) / ((n_repetitions - 1) * 9)
    expected = toolbox_crossnobis(values, np.diag(1 / noise))
    np.testing.assert_allclose(crossnobis_distance(data), expected, rtol=1e-9, atol=1e-12)


def test_crossnobis_distances_of_noise_alone_are_zero_on_average():
    data = responses(40, 50, 3, noise=1.0)
    data.values[:] = np.random.default_rng(0).standard_normal(data.shape)
    distances = crossnobis_distance(data)
    assert (distances < 0).mean() == pytest.approx(0.5, abs=0.1)
    assert abs(distances.mean()) < 4 * distances.std() / 40**0.5  # pairs share stimuli
    plain = squared_euclidean_distance(Representation.from_features("x", IDS_40, data.values[:40]))
    assert plain.min() > 0.5


IDS_40 = [f"s{i:03d}" for i in range(40)]


def test_repetitions_are_those_that_every_stimulus_has():
    data = responses(5, 3, 3)
    order = np.random.default_rng(0).permutation(15)[:-1]  # one presentation is lost
    found = repetitions(data.isel(presentation=np.sort(order)))
    assert found.shape == (2, 5, 3)
    whole = repetitions(data)
    np.testing.assert_array_equal(whole.reshape(15, 3), data.values)
    with pytest.raises(InputError, match="two repetitions or more of every stimulus, but some was shown once"):
        crossnobis_distance(responses(5, 3, 1))


def test_crossnobis_needs_responses():
    with pytest.raises(InputError, match="rsa_crossnobis needs responses with repetitions, but these data are RDMs"):
        METRICS["rsa_crossnobis"].score(representation(np.random.default_rng(0).standard_normal((8, 3))), rdms(8))


def test_the_group_convention_compares_with_the_mean_rdm():
    data = rdms(10, 4)
    x = np.random.default_rng(3).standard_normal((10, 20))
    found = METRICS["rsa_tau_a_group"].score(representation(x), data)
    expected = toolbox_comparison(toolbox_rdm(x, "correlation"), data.values.mean(0), "tau-a")
    assert found.values.tolist() == pytest.approx([expected])
    assert found["subject"].values.tolist() == ["mean of 4"]
    ceiling = METRICS["rsa_tau_a_group"].ceiling(data)
    assert np.isnan(ceiling.value)
    assert "one of single subjects, and the score is of their mean" in ceiling.method


def test_a_single_feature_is_compared_by_its_differences():
    x = np.random.default_rng(0).standard_normal((8, 1))
    data = rdms(8, 2)
    found = METRICS["rsa_spearman"].score(representation(x), data).values
    expected = [toolbox_comparison(np.abs(pdist(x)), row, "spearman") for row in data.values]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(euclidean_distance(representation(x)), pdist(x))


def test_responses_have_a_ceiling_between_halves():
    """Where noise is slight the halves agree; where there is no signal the lower bound is about zero."""
    clean = METRICS["rsa_pearson"].ceiling(responses(30, 20, 4, noise=1e-3))
    assert clean.lower == pytest.approx(1, abs=1e-4)
    noisy = responses(30, 20, 4)
    noisy.values[:] = np.random.default_rng(0).standard_normal(noisy.shape)
    nothing = METRICS["rsa_pearson"].ceiling(noisy)
    assert abs(nothing.lower) < 0.1
    assert nothing.upper > 0.3  # it contains the half itself
    assert "halves of repetitions" in nothing.method


def test_whitening_is_linear_cka_of_centred_patterns():
    """Of squared euclidean distances (Diedrichsen et al. 2020)."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 5)), rng.standard_normal((12, 7))
    centred = [v - v.mean(0) for v in (x, y)]
    grams = [v @ v.T for v in centred]
    expected = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert compared("cosine_cov", pdist(x, "sqeuclidean"), pdist(y, "sqeuclidean")) == pytest.approx(expected)
