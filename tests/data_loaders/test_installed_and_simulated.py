"""Data that needs no file: digits, photograph patches, and the simulated benchmarks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_sample_image

import data_loaders
from data_loaders.installed import load_digits_dataset, photo_patches
from data_loaders.simulated import (
    REPEATS,
    SIGNAL_TO_NOISE,
    UNITS,
    gabor_filters,
    generating_features,
    load_simulated_rdm,
    load_simulated_units,
)
from neurocompare.assembly import average_repetitions
from neurocompare.errors import InputError


def test_digits_are_all_there_once_and_each_class_in_proportion():
    dataset = load_digits_dataset()
    assert dataset.input_shape == (1, 8, 8)
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    both = np.concatenate([dataset.train.inputs, dataset.test.inputs]).reshape(-1, 64)
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    source = load_digits()
    found = np.column_stack([np.rint(both.astype(float) * 16 / 255), labels])
    expected = np.column_stack([source.data, source.target])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    assert np.ptp(np.bincount(dataset.test.labels)) <= 2
    assert both.max() == 255


def test_digits_follow_their_seed():
    first, same, other = load_digits_dataset(), load_digits_dataset(), load_digits_dataset(seed=1)
    np.testing.assert_array_equal(first.train.inputs, same.train.inputs)
    assert (first.train.labels != other.train.labels).any()
    assert len(set(first.train.labels[:50])) == 10, "the order is not by class"


def test_patches_are_upright_pieces_of_the_photographs_that_do_not_overlap():
    patches = photo_patches(200, size=48)
    covered = {name: np.zeros((427, 640), int) for name in ("china", "flower")}
    for stimulus_id in patches.ids:
        name, row, column = stimulus_id.split("-")
        place = np.s_[int(row[1:]) : int(row[1:]) + 48, int(column[1:]) : int(column[1:]) + 48]
        covered[name][place] += 1
        np.testing.assert_array_equal(patches.open(stimulus_id), load_sample_image(f"{name}.jpg")[place])
    assert max(counts.max() for counts in covered.values()) == 1
    assert len(patches) == 200


def test_patches_follow_their_seed_and_their_number_has_a_limit():
    assert photo_patches(50).ids == photo_patches(50).ids != photo_patches(50, seed=1).ids
    for n in (0, 209):
        with pytest.raises(InputError, match=f"have 208 patches of 48 pixels, but {n} were asked for"):
            photo_patches(n)


def test_the_filters_see_no_uniform_light_and_have_unit_norm():
    filters = gabor_filters().reshape(16, -1)
    np.testing.assert_allclose(filters.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=1), 1)
    assert np.abs(np.corrcoef(filters) - np.eye(16)).max() < 0.9, "the filters differ"


def test_the_simulated_noise_is_what_is_stated():
    ids, truth = generating_features()
    data = load_simulated_units().data
    np.testing.assert_allclose(truth.std(0), 1)
    np.testing.assert_array_equal(data["stimulus_id"].values[:200], ids)
    residual = data.values.reshape(REPEATS, 200, UNITS) - truth
    assert residual.var() == pytest.approx(1 / SIGNAL_TO_NOISE, rel=0.02)
    between = np.corrcoef(residual.reshape(REPEATS, -1))
    assert np.abs(between - np.eye(REPEATS)).max() < 0.05, "the repeats' noise is independent"


def test_the_generating_network_scores_at_the_known_ceiling():
    ids, truth = generating_features()
    mean = average_repetitions(load_simulated_units().data)
    assert mean["stimulus_id"].values.tolist() == list(ids)
    r = [np.corrcoef(truth[:, unit], mean.values[:, unit])[0, 1] for unit in range(UNITS)]
    reliability = REPEATS * SIGNAL_TO_NOISE / (REPEATS * SIGNAL_TO_NOISE + 1)
    assert np.mean(np.square(r)) == pytest.approx(reliability, abs=0.01)


def test_the_generating_network_fits_each_subject_as_well_as_the_other_subjects_do():
    _, truth = generating_features()
    rdms = load_simulated_rdm().data.values
    reference = pdist(truth, "correlation")
    for subject, rdm in enumerate(rdms):
        others = np.delete(rdms, subject, axis=0).mean(0)
        assert spearmanr(reference, rdm)[0] > spearmanr(others, rdm)[0] - 0.01
        assert spearmanr(reference, rdm)[0] > 0.4


@pytest.mark.parametrize("load", [load_simulated_units, load_simulated_rdm])
def test_simulations_follow_their_seed(load):
    np.testing.assert_array_equal(load().data.values, load().data.values)
    assert (load().data.values != load(seed=1).data.values).all()


@pytest.mark.parametrize("name", ["simulated.units", "simulated.rdm"])
def test_simulated_benchmarks_load_by_name(name):
    assert data_loaders.load_benchmark(name).name == name
