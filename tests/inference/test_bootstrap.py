"""The bootstrap over subjects and stimuli against rsatoolbox, closed forms and simulated experiments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rsatoolbox
import scipy.stats
from problems import rdms, responses
from rsatoolbox.util.inference_util import _dual_bootstrap
from scipy.spatial.distance import pdist

from neurocompare.errors import InputError
from neurocompare.inference import bootstrap, bootstrap_layers
from neurocompare.inference.bootstrap import corrected, draws
from neurocompare.inference.resampled import COMPARISONS
from neurocompare.metrics import METRICS
from neurocompare.metrics.rsa import RSA_METRICS
from neurocompare.representation import Representation


def problem(n=12, models=3, subjects=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((models, n * (n - 1) // 2))
    return x, 2 * rng.random((subjects, x.shape[1])) + x[0] + 0.5 * x[1]


def test_samples_are_the_toolboxs_for_the_same_draws():
    models, subjects = problem()
    found = bootstrap(models, subjects, "spearman", n_samples=20, seed=3)
    generator = np.random.default_rng(3)
    of_subjects, of_stimuli = draws(6, 20, generator), draws(12, 20, generator)
    for sample, drawn, people in zip(found.samples, of_stimuli, of_subjects, strict=True):
        rows = np.repeat(np.arange(12), drawn)
        a = rsatoolbox.rdm.RDMs(models).subsample_pattern("index", rows)
        b = rsatoolbox.rdm.RDMs(subjects).subsample("index", np.repeat(np.arange(6), people))
        expected = rsatoolbox.rdm.compare(a, b.subsample_pattern("index", rows), "spearman").mean(1)
        np.testing.assert_allclose(sample, expected, atol=1e-10)


@pytest.mark.parametrize("name", ["cosine", pytest.param("spearman", marks=pytest.mark.slow)])
def test_agrees_with_the_toolboxs_own_draws(name):
    """Within the toolbox's Monte Carlo error.

    A standard error from 500 samples is known to about 3 %, and the correction adds three of them up; a mean is known to the
    samples' standard deviation over the root of 500.
    """
    models, subjects = problem(15)
    found = bootstrap(models, subjects, name, n_samples=5000)
    fixed = [rsatoolbox.model.ModelFixed(str(k), rsatoolbox.rdm.RDMs(rdm[None])) for k, rdm in enumerate(models)]
    np.random.seed(0)  # noqa: NPY002  rsatoolbox draws from the global generator
    toolbox = rsatoolbox.inference.eval_dual_bootstrap(fixed, rsatoolbox.rdm.RDMs(subjects), method=name, N=500)
    np.testing.assert_allclose(found.standard_error, np.sqrt(toolbox.model_var), rtol=0.15)
    upper = np.triu_indices(3, 1)
    np.testing.assert_allclose(found.difference_error[upper], np.sqrt(toolbox.diff_var), rtol=0.15)
    both = toolbox.evaluations[:, :, 0, 0, 0]
    assert (np.abs(found.mean - both.mean(0)) < 4 * both.std(0) / 500**0.5).all()
    assert found.dof == toolbox.dof == 5


def test_the_correction_is_the_toolboxs_below_its_bound():
    rng = np.random.default_rng(0)
    subject, stimulus = rng.random((2, 200)) + 0.5
    both = subject + stimulus + rng.random(200)
    theirs = _dual_bootstrap(np.stack([both, subject, stimulus]), 8, 15)
    below = theirs < both
    assert 20 < below.sum() < 200
    np.testing.assert_allclose(corrected(subject, stimulus, both, 8, 15)[below], theirs[below], rtol=1e-12)


@pytest.mark.parametrize(("n_subjects", "n_stimuli"), [(3, 40), (10, 6)])
def test_the_correction_is_exact_where_effects_add_up(n_subjects, n_stimuli):
    """A mean over subjects x stimuli of independent effects of subject, stimulus and cell: all expectations are known."""
    of_subject, of_stimulus, of_cell = 0.7, 1.3, 5.0
    cell = of_cell / (n_subjects * n_stimuli)
    s, t = (n_subjects - 1) / n_subjects, (n_stimuli - 1) / n_stimuli
    subject = s * (of_subject / n_subjects + cell)
    stimulus = t * (of_stimulus / n_stimuli + cell)
    truth = of_subject / n_subjects + of_stimulus / n_stimuli + cell
    found = corrected(subject, stimulus, subject + stimulus + s * t * cell, n_subjects, n_stimuli)
    assert found == pytest.approx(truth, rel=1e-12)


def test_the_correction_stays_between_one_factor_and_their_sum():
    subject, stimulus = np.full(2, 0.4), np.full(2, 0.1)
    low, high = corrected(subject, stimulus, np.array([9.0, 0.2]), 5, 11)
    assert low == pytest.approx(0.5)
    assert high == pytest.approx(0.5 + 0.11)


def test_covariance_by_drawing_subjects_too():
    """What subjects add is had in closed form; here they are drawn, many times over."""
    models, subjects = problem(15, seed=1)
    found = bootstrap(models, subjects, n_samples=400, seed=2)
    generator = np.random.default_rng(2)
    draws(6, 400, generator)
    similarity = COMPARISONS["cosine"](models, subjects, draws(15, 400, generator))
    whole = COMPARISONS["cosine"](models, subjects, np.ones((1, 15), int))[0]
    of_subjects = draws(6, 100_000, np.random.default_rng(0)) / 6
    which = np.arange(100_000) % 400
    samples = [of_subjects @ whole.T, similarity.mean(2), np.einsum("nms,ns->nm", similarity[which], of_subjects)]
    contrast = np.array([[1, 0, 0], [0, 1, 0], [1, -1, 0], [0, 1, -1]]).T
    expected = corrected(*((x @ contrast).var(0) for x in samples), 6, 15)
    np.testing.assert_allclose(np.einsum("mk,ml,lk->k", contrast, found.covariance, contrast), expected, rtol=0.05)


def test_subjects_alone_give_the_interval_of_a_mean():
    models, subjects = problem()
    found = bootstrap(models, subjects, factors=["subject"], n_samples=20_000)
    each = np.stack([COMPARISONS["cosine"].plain(model, subjects) for model in models])
    np.testing.assert_allclose(found.standard_error, scipy.stats.sem(each, axis=1), rtol=1e-12)
    expected = scipy.stats.t.interval(0.9, 5, loc=each.mean(1), scale=scipy.stats.sem(each, axis=1))
    np.testing.assert_allclose(found.interval(0.9), np.transpose(expected), rtol=1e-12)
    np.testing.assert_allclose(found.samples.std(0), found.standard_error * (5 / 6) ** 0.5, rtol=0.03)
    paired = scipy.stats.ttest_rel(each[0], each[1])
    assert found.difference_p()[0, 1] == pytest.approx(paired.pvalue)
    low, high = paired.confidence_interval(0.9)
    np.testing.assert_allclose(found.difference_interval(0.9)[0, 1], [low, high], rtol=1e-9)


def test_stimuli_alone_where_there_is_one_subject():
    models, subjects = problem()
    found = bootstrap(models, subjects[:1], n_samples=300)
    assert found.factors == ("stimulus",)
    assert found.dof == 11
    np.testing.assert_allclose(found.standard_error**2, found.samples.var(0, ddof=1) * 12 / 11, rtol=1e-12)


@pytest.mark.parametrize(
    ("factors", "dof"), [(None, 5), (("stimulus", "subject"), 5), (["subject"], 5), (["stimulus"], 11)]
)
def test_degrees_of_freedom(factors, dof):
    found = bootstrap(*problem(), n_samples=50, factors=factors)
    assert found.dof == dof
    assert found.factors == tuple(f for f in ("subject", "stimulus") if f in (factors or ("subject", "stimulus")))
    assert found.samples.shape == (50, 3)


def test_a_model_does_not_differ_from_itself():
    models, subjects = problem()
    found = bootstrap(models[[0, 0, 1]], subjects, "pearson", n_samples=200)
    assert found.difference[0, 1] == 0
    assert found.difference_error[0, 1] == pytest.approx(0, abs=1e-8)
    assert found.difference_p()[0, 1] == found.difference_p()[2, 2] == 1
    assert 0 < found.difference_p()[0, 2] < 1
    np.testing.assert_allclose(found.difference, -found.difference.T)


def test_equal_seeds_give_equal_samples():
    first, again, other = (bootstrap(*problem(), n_samples=20, seed=seed).samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def representation(n, seed=0):
    return Representation.from_features(
        "x", [f"s{i:03d}" for i in range(n)], np.random.default_rng(seed).standard_normal((n, 9))
    )


def experiment(rng, n_subjects, n):
    """Two models each hold half of what the subjects do, who weight features each in their own way."""
    x = rng.standard_normal((n, 20))
    models = [pdist(half, "sqeuclidean") for half in (x[:, :10], x[:, 10:])]
    seen = [x * (1 + rng.random(20)) + rng.standard_normal(x.shape) for _ in range(n_subjects)]
    return np.stack(models), np.stack([pdist(y, "sqeuclidean") for y in seen])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_subjects", "n"), [("cosine", 8, 20), ("pearson", 5, 30)])
def test_intervals_cover_new_subjects_and_stimuli(name, n_subjects, n):
    """Nominally 95 %, and conservative: pairs lost to copies make samples vary more than experiments do."""
    rng = np.random.default_rng(0)
    found = [bootstrap(*experiment(rng, n_subjects, n), name, n_samples=100) for _ in range(300)]
    values = np.stack([one.value for one in found])
    intervals = np.stack([one.interval() for one in found])
    truth = values.mean(0)
    covered = ((intervals[..., 0] < truth) & (truth < intervals[..., 1])).mean()
    assert 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5 < covered < 0.999
    ratio = np.mean([np.diagonal(one.covariance) for one in found], axis=0) / values.var(0, ddof=1)
    assert (ratio > 0.8).all()
    assert (ratio < 1.7).all()


@pytest.mark.parametrize("metric", RSA_METRICS, ids=lambda metric: metric.name)
def test_layers_under_each_rsa_metric(metric):
    data = responses(14, 6, 3) if metric.crossvalidated else rdms(14, 4)
    layers = [representation(14, seed) for seed in range(2)]
    found = bootstrap_layers(metric, layers, data, n_samples=30)
    expected = [metric.aggregate(metric.score(layer, data))[0] for layer in layers]
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    assert found.factors == (("stimulus",) if metric.group or metric.crossvalidated else ("subject", "stimulus"))


ALL = np.random.default_rng(0).random((5, 15))
WRONG = [
    ({"comparison": "cosin"}, "unknown comparison 'cosin'; did you mean 'cosine'"),
    ({"factors": ["subjects"]}, "unknown factor 'subjects'; did you mean 'subject'"),
    ({"factors": []}, "name one or both"),
    ({"factors": ["subject"], "subject_rdms": ALL[:1]}, "resampling subjects needs two or more"),
    ({"model_rdms": ALL[:, :10]}, r"but got \(\(5, 10\), \(5, 15\)\)"),
    ({"model_rdms": ALL[0]}, r"but got \(\(15,\), \(5, 15\)\)"),
    ({"model_rdms": ALL[:, :3], "subject_rdms": ALL[:, :3]}, "4 stimuli or more, got 3 pairs"),
    ({"model_rdms": ALL[:, :14], "subject_rdms": ALL[:, :14]}, "got 14 pairs"),
    ({"model_rdms": np.ones((1, 15))}, "RDM of model 0 is constant"),
    ({"subject_rdms": np.where(ALL[2, 3] == ALL, np.nan, ALL)}, "RDM of subject 2 is constant or not finite"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_what_cannot_be_resampled_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        bootstrap(**{"model_rdms": ALL, "subject_rdms": ALL, **settings})


def test_a_comparison_that_samples_leave_undefined_is_refused():
    """One stimulus apart from the others, which are all alike: a sample without it holds nothing."""
    lonely = np.r_[np.ones(5), np.zeros(10)][None]
    with pytest.raises(InputError, match="defined in 0 of 1 samples, too few"):
        bootstrap(lonely, ALL, "pearson", n_samples=1, seed=3)


def test_a_metric_with_another_comparison_is_refused():
    odd = replace(METRICS["rsa_cosine"], comparison=lambda a, rows: rows @ a)
    with pytest.raises(InputError, match="has no bootstrap"):
        bootstrap_layers(odd, [representation(6)], rdms(6, 2))
