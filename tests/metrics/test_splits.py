"""Splits are over stimuli, keep twins together, represent labels, and are reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import responses
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.splits import Given, Shuffled
from neurocompare.representation import Representation

IDS = [f"s{i:03d}" for i in range(40)]


def averaged(n=40, **coords):
    data = responses(n, 3, 2)
    for name, values in coords.items():
        data = assembly.with_stimulus_coord(data, name, dict(zip(IDS, values, strict=True)))
    return assembly.average_repetitions(data)


def test_without_labels_they_are_scikit_learns_shuffle_splits():
    expected = list(ShuffleSplit(10, test_size=0.1, random_state=1).split(np.zeros(40)))
    for (train, test), (other_train, other_test) in zip(Shuffled()(averaged()), expected, strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(test, other_test)


def test_labels_are_represented_on_both_sides():
    labels = ["a"] * 30 + ["b"] * 10
    found = Shuffled(test_size=0.2)(averaged(label=labels))
    expected = StratifiedShuffleSplit(10, test_size=0.2, random_state=1).split(np.zeros(40), labels)
    for (train, test), (other_train, other_test) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(test, other_test)
        assert np.isin(test, np.arange(30, 40)).sum() == 2
    plain = Shuffled(test_size=0.2, stratified=False)(averaged(label=labels))
    assert len({np.isin(test, np.arange(30, 40)).sum() for _, test in plain}) > 1


def test_a_class_of_one_cannot_be_on_both_sides():
    with pytest.raises(InputError, match="cannot represent each label on both sides"):
        Shuffled()(averaged(label=["a"] * 39 + ["b"]))


def test_stimuli_of_equal_content_stay_together():
    contents = [str(i // 2) for i in range(40)]
    for train, test in Shuffled(test_size=0.2)(averaged(content=contents)):
        assert not {i // 2 for i in train} & {i // 2 for i in test}
        assert len(test) == 8
    assert any({i // 2 for i in train} & {i // 2 for i in test} for train, test in Shuffled(test_size=0.2)(averaged()))


def test_twins_on_both_sides_would_let_noise_be_learnt():
    """Every picture under two names with the same "response": nothing may be predicted of pure noise."""
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.standard_normal((20, 60)), 2, 0), np.repeat(rng.standard_normal((20, 8)), 2, 0)
    data = responses(40, 8, 1)
    data.values[:] = y
    layer = Representation.from_features("layer", IDS, x)
    contents = {name: str(i // 2) for i, name in enumerate(IDS)}
    metric = replace(METRICS["ridge"], splits=Shuffled(test_size=0.2))
    fooled = metric.aggregate(metric.score(layer, data))[0]
    grouped = assembly.with_stimulus_coord(data, "content", contents)
    honest = metric.score(layer, grouped)
    assert fooled > 0.8
    assert abs(float(honest.mean())) < 0.3


@pytest.mark.parametrize(("n", "size"), [(20, 0.1), (10, 8), (5, 0.5)])
def test_too_few_stimuli_are_refused(n, size):
    with pytest.raises(InputError, match=rf"of {n} distinct stimuli leaves fewer than 3 on one side"):
        Shuffled(test_size=size)(assembly.average_repetitions(responses(n, 3, 2)))


def test_twins_count_once():
    with pytest.raises(InputError, match="of 20 distinct stimuli"):
        Shuffled()(averaged(content=[str(i // 2) for i in range(40)]))


def test_given_splits_are_those_of_the_data():
    data = averaged()
    with pytest.raises(InputError, match="uses the splits that come with its data"):
        Given()(data)
    masks = np.random.default_rng(0).random((11, 40)) < 0.8
    data = data.assign_coords({f"train_{k}": ("presentation", mask) for k, mask in enumerate(masks)})
    for mask, (train, test) in zip(masks, Given()(data), strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(mask))
        np.testing.assert_array_equal(test, np.flatnonzero(~mask))
