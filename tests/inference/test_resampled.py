"""Comparisons from counts against rsatoolbox on RDMs that are really resampled, and against explicit least squares."""

from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox

from neurocompare.inference import resampled
from neurocompare.inference.resampled import COMPARISONS

TOOLBOX = {
    "cosine": "cosine",
    "pearson": "corr",
    "spearman": "spearman",
    "tau_a": "tau-a",
    "whitened_cosine": "cosine_cov",
    "whitened_correlation": "corr_cov",
}


def problem(n, *, tied=False, samples=5, seed=0):
    """RDMs of 3 models and 4 subjects, and draws."""
    rng = np.random.default_rng(seed)
    models = rng.random((3, n * (n - 1) // 2)) + 2
    subjects = rng.random((4, models.shape[1])) + models[0] / 3
    counts = rng.multinomial(n, np.full(n, 1 / n), size=samples)
    return (np.ceil(3 * models), np.ceil(3 * subjects), counts) if tied else (models, subjects, counts)


def by_toolbox(models, subjects, drawn, method):
    """Two RDMs at a time: of several, some constant, rsatoolbox 0.3.2 puts similarities in the wrong places."""
    rows = np.repeat(np.arange(len(drawn)), drawn)
    a, b = (
        [rsatoolbox.rdm.RDMs(x[None]).subsample_pattern("index", rows) for x in rdms] for rdms in (models, subjects)
    )
    return np.array([[rsatoolbox.rdm.compare(x, y, method=method)[0, 0] for y in b] for x in a])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n", [7, 20, pytest.param(92, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMPARISONS)
def test_samples_are_the_toolboxs(name, n, tied):
    models, subjects, counts = problem(n, tied=tied)
    found = COMPARISONS[name](models, subjects, counts)
    assert found.shape == (5, 3, 4)
    for sample, drawn in zip(found, counts, strict=True):
        expected = by_toolbox(models, subjects, drawn, TOOLBOX[name])
        np.testing.assert_allclose(np.nan_to_num(sample), expected, atol=1e-10)  # it calls undefined similarities 0
    assert np.isfinite(found).all() or (n == 7 and tied)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", COMPARISONS)
def test_each_stimulus_drawn_once_is_the_comparison_itself(name, tied):
    models, subjects, _ = problem(15, tied=tied)
    (found,) = COMPARISONS[name](models, subjects, np.ones((1, 15), int))
    expected = [COMPARISONS[name].plain(model, subjects) for model in models]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def left_by_least_squares(rdm, rows):
    """What is left of ``-D / 2`` after offsets of each draw, over the pairs that are there and the diagonal; weighted."""
    n = len(rows)
    first, second = np.triu_indices(n)
    there = (rows[first] != rows[second]) | (first == second)
    first, second = first[there], second[there]
    square = np.zeros((n, n))
    square[np.triu_indices(n, 1)] = rdm
    square += square.T
    design = np.zeros((len(first), n))
    np.add.at(design, (np.arange(len(first)), first), 1)
    np.add.at(design, (np.arange(len(first)), second), 1)
    root = np.sqrt(np.where(first == second, 1, 2))
    target = root * -0.5 * square[rows[first], rows[second]]
    return target - root[:, None] * design @ np.linalg.lstsq(root[:, None] * design, target, rcond=None)[0]


def test_whitening_where_the_toolbox_cannot():
    """rsatoolbox 0.3.2 raises an error for 100 conditions or more with missing pairs."""
    n = 104
    models, subjects, counts = problem(n, samples=1)
    left = [
        np.stack([left_by_least_squares(rdm, np.repeat(np.arange(n), counts[0])) for rdm in rdms])
        for rdms in (models, subjects)
    ]
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in left)
    found = COMPARISONS["whitened_cosine"](models, subjects, counts)[0]
    np.testing.assert_allclose(found, a @ b.T, atol=1e-10)


@pytest.mark.parametrize("name", COMPARISONS)
def test_blocks_change_nothing(name, monkeypatch):
    models, subjects, counts = problem(12, samples=7)
    whole = COMPARISONS[name](models, subjects, counts)
    monkeypatch.setattr(resampled, "BLOCK", 500)
    np.testing.assert_allclose(COMPARISONS[name](models, subjects, counts), whole, rtol=1e-12)


@pytest.mark.parametrize("name", ["pearson", "whitened_correlation", "spearman", "tau_a"])
def test_what_all_distances_share_does_not_matter(name):
    models, subjects, counts = problem(15)
    found = COMPARISONS[name](models + 1e5, subjects - 1e4, counts)
    np.testing.assert_allclose(found, COMPARISONS[name](models, subjects, counts), atol=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman", "whitened_correlation"])
def test_a_sample_in_which_an_rdm_is_constant_is_undefined(name):
    """The first six stimuli are one category in model 1, whose RDM is then constant."""
    models, subjects, _ = problem(12)
    category = np.arange(12) // 6
    models[1] = (category[:, None] != category)[np.triu_indices(12, 1)] + 0.1
    counts = np.array([[2] * 6 + [0] * 6, [1] * 12])
    found = COMPARISONS[name](models, subjects, counts)
    np.testing.assert_array_equal(np.isnan(found[0]), np.array([[False], [True], [False]]) & np.ones(4, bool))
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("name", COMPARISONS)
def test_fewer_than_three_stimuli_are_too_few(name):
    models, subjects, _ = problem(6)
    found = COMPARISONS[name](models, subjects, np.array([[4, 2, 0, 0, 0, 0], [3, 2, 1, 0, 0, 0]]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
