"""Cadieu et al. 2014 from a tiny archive in its source's layout."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_cadieu as tiny
from tiny_sources import mat, publish

from data_loaders import cadieu2014
from data_loaders.cadieu2014 import load_cadieu2014
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.ceiling import split_half_reliability
from neurocompare.representation import Representation

N = 28
IMAGES = [tiny.picture(9 * number) for number in range(N)]
PATHS = [tiny.path_of(content) for content in IMAGES]
KINDS = [tiny.CATEGORIES[number % 7] for number in range(N)]
FLAGS = tiny.splits(N)
LINES = tiny.meta(PATHS, KINDS, FLAGS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def publish_archive(mirror, monkeypatch):
    """Publishes the archive with IT as given, and V4 of two units."""

    def make(it: bytes, images=IMAGES) -> None:
        v4 = tiny.matrix(np.arange(2.0 * N).reshape(N, 2), LINES)
        content = tiny.archive({"IT_multiunits": it, "V4_multiunits": v4}, images)
        publish(mirror, monkeypatch, cadieu2014, {cadieu2014.ARCHIVE: content})

    return make


def test_rows_are_images_and_regions_are_not_confused(publish_archive, rng):
    features = rng.standard_normal((N, 3))
    publish_archive(tiny.matrix(features, LINES))
    it, v4 = load_cadieu2014("IT"), load_cadieu2014("V4")
    assert it.name == "cadieu2014.IT"
    np.testing.assert_array_equal(it.data.values, features)
    assert it.data["stimulus_id"].values.tolist() == PATHS
    assert v4.data.values[3].tolist() == [6, 7]
    assert v4.stimuli.ids == it.stimuli.ids == tuple(PATHS)
    assert [np.asarray(it.stimuli.open(i)).max() for i in PATHS] == [9 * number for number in range(N)]


def test_the_ten_splits_are_the_authors(publish_archive, rng):
    publish_archive(tiny.matrix(rng.standard_normal((N, 3)), LINES))
    benchmark = load_cadieu2014("IT")
    metric = METRICS[benchmark.metric]
    assert metric.name == "cadieu2014"
    layer = Representation.from_features("x", PATHS, rng.standard_normal((N, 5)))
    _, responses = metric.prepared(layer, benchmark.data)
    found = metric.splits(responses)
    assert len(found) == 10
    for split, (train, test) in enumerate(found):
        assert train.tolist() == np.flatnonzero(FLAGS[:, split]).tolist()
        assert test.tolist() == np.flatnonzero(FLAGS[:, split] == 0).tolist()
    assert metric.score(layer, benchmark.data).shape == (10, 3)


def test_without_trials_there_is_no_ceiling(publish_archive, rng):
    publish_archive(tiny.matrix(rng.standard_normal((N, 3)), LINES))
    ceiling = METRICS["cadieu2014"].ceiling(load_cadieu2014("IT").data)
    assert np.isnan(ceiling.value)
    assert "repetitions" in ceiling.method


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_trials_are_known_by_their_mean_whatever_their_name_and_axes(publish_archive, rng, axes):
    trials = rng.standard_normal((N, 3, 4))
    trials[5, :, 2:] = np.nan  # this image was shown twice
    features = np.nanmean(trials, 2)
    others = {"trials_of_some_name": trials.transpose(axes), "unrelated": rng.standard_normal((N, 3, 4))}
    publish_archive(tiny.matrix(features, LINES, **others))
    data = load_cadieu2014("IT").data
    assert data.shape == (4 * N - 2, 3)
    for row in data:
        image = PATHS.index(str(row["stimulus_id"].values))
        np.testing.assert_array_equal(row, trials[image, :, int(row["repetition"])])
        assert bool(row["train_4"]) == bool(FLAGS[image, 4])
    assert np.isfinite(split_half_reliability(data)).all()


def test_an_array_that_is_not_the_trials_is_not_taken_for_them(publish_archive, rng):
    publish_archive(tiny.matrix(rng.standard_normal((N, 3)), LINES, other=rng.standard_normal((N, 3, 4))))
    assert load_cadieu2014("IT").data.shape == (N, 3)


def test_categories_and_objects(publish_archive, rng, monkeypatch):
    monkeypatch.setattr(cadieu2014, "IMAGES_OF_AN_OBJECT", 2)
    publish_archive(tiny.matrix(rng.standard_normal((N, 3)), LINES))
    benchmark = load_cadieu2014("IT")
    table = benchmark.stimuli.table
    assert table["category"].tolist() == KINDS
    assert table["object"].tolist()[:8] == [f"{kind} 1" for kind in KINDS[:8]]
    assert table["object"].tolist()[14:16] == ["Animals 2", "Cars 2"]
    assert table["object"].nunique() == 14
    assert benchmark.data["label"].values.tolist() == KINDS


def test_constant_units_are_dropped_and_mentioned(publish_archive, rng):
    features = rng.standard_normal((N, 3))
    features[:, 1] = 2
    publish_archive(tiny.matrix(features, LINES))
    data = load_cadieu2014("IT").data
    assert data["neuroid_id"].values.tolist() == ["IT/multiunit000", "IT/multiunit002"]
    assert data.attrs["dropped"] == "1 units with a constant response"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no matrix", "should be a MATLAB file"),
        (mat(features=np.ones((N, 3))), "lacks meta"),
        (tiny.matrix(np.ones((N - 1, 3)), LINES), r"a row of features for each of 28 lines, not \(27, 3\)"),
        (tiny.matrix(np.ones((N, 3)), tiny.meta(PATHS, KINDS, FLAGS[:, :9])), "a category and 10 flags, but has"),
        (tiny.matrix(np.ones((N, 3)), tiny.meta(PATHS, KINDS, FLAGS + 1)), "a category and 10 flags, but has"),
    ],
)
def test_a_matrix_that_is_something_else_is_refused(publish_archive, content, message):
    publish_archive(content)
    with pytest.raises(DataUnavailable, match=message):
        load_cadieu2014("IT")


def test_a_missing_image_or_matrix_is_named(publish_archive, mirror, monkeypatch, rng):
    publish_archive(tiny.matrix(rng.standard_normal((N, 3)), LINES), IMAGES[1:])
    with pytest.raises(DataUnavailable, match=f"an image for each line, but lacks '{PATHS[0]}'"):
        load_cadieu2014("IT")
    publish(mirror, monkeypatch, cadieu2014, {cadieu2014.ARCHIVE: tiny.archive({}, IMAGES)})
    with pytest.raises(DataUnavailable, match=r"should hold NeuralData_V4_multiunits\.mat"):
        load_cadieu2014("V4")


def test_regions_are_those_recorded():
    with pytest.raises(InputError, match="region of cadieu2014 'A1'; there are: IT, V4"):
        load_cadieu2014("A1")
