"""Kay & Yeatman 2017: a tiny file in its source's layout, and the real one, whose images tell their order."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
from tiny_sources import publish

from data_loaders import kay_yeatman2017, kriegeskorte2008
from data_loaders.kay_yeatman2017 import load_kay_yeatman2017
from neurocompare.errors import DataUnavailable
from neurocompare.metrics import METRICS

BEFORE, OBJECTS, AFTER = 3, 12, 2


def texts(file: h5py.File, name: str, items: list[str]) -> None:
    """A MATLAB cell of texts."""
    references = np.empty((len(items), 1), dtype=h5py.ref_dtype)
    for number, item in enumerate(items):
        codes = np.array([[ord(letter)] for letter in item], dtype=np.uint16)
        references[number, 0] = file.create_dataset(f"#refs#/{name}{number}", data=codes).ref
    file.create_dataset(name, data=references, dtype=h5py.ref_dtype)


def experiment(names: list[str], beta: np.ndarray, error: np.ndarray, stimuli: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        texts(file, "stimlabels", names)
        texts(file, "roilabels", ["VWFA", "FFA"])
        file["subjectbeta"], file["subjectbetase"] = beta[:, :, None], error[:, :, None]
        file["stimuli"] = stimuli[:, None].swapaxes(2, 3)  # MATLAB stores columns first
    return stream.getvalue()


@pytest.fixture
def tiny(mirror, monkeypatch):
    """Twelve objects among others, and what is recorded of them, by row of the file."""
    rng = np.random.default_rng(0)
    n = BEFORE + OBJECTS + AFTER
    beta, error = rng.standard_normal((n, 2)).astype(np.float32), rng.random((n, 2)).astype(np.float32)
    stimuli = rng.integers(0, 255, (n, 5, 7), dtype=np.uint8)
    names = ["BLANK", "FACE", "WORD", *(f"NIKO{k:02d}" for k in range(1, OBJECTS + 1)), "HOUSE", "NOISE"]

    def make(names=names):
        publish(mirror, monkeypatch, kay_yeatman2017, {"experiment2.mat": experiment(names, beta, error, stimuli)})
        return beta, error, stimuli

    return make


def test_rows_are_in_the_order_of_numbers_sorted_as_text(tiny):
    beta, error, stimuli = tiny()
    benchmark = load_kay_yeatman2017()
    in_file = [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9]
    assert benchmark.data["stimulus_id"].values.tolist() == [f"92images_{k:05d}" for k in range(1, 13)]
    for place, number in enumerate(in_file):
        one = benchmark.data[number - 1]
        np.testing.assert_array_equal(one, beta[BEFORE + place].astype(float))
        image = benchmark.stimuli.open(f"92images_{number:05d}")
        np.testing.assert_array_equal(np.asarray(image), stimuli[BEFORE + place])
    assert benchmark.data["neuroid_id"].values.tolist() == ["VWFA", "FFA"]
    objects = slice(BEFORE, BEFORE + OBJECTS)
    for region in range(2):
        values, errors = (part[objects, region].astype(float) for part in (beta, error))
        variance = sum((v - values.mean()) ** 2 for v in values) / (OBJECTS - 1)
        expected = 1 - sum(e * e for e in errors) / OBJECTS / variance
        assert float(benchmark.data["reliability"][region]) == pytest.approx(expected)


def test_other_stimuli_or_no_hdf5_are_refused(tiny, mirror, monkeypatch):
    tiny(["BLANK"] * (BEFORE + OBJECTS + AFTER))
    with pytest.raises(DataUnavailable, match=r"should have stimuli NIKO01, NIKO02, \.\.\. in order"):
        load_kay_yeatman2017()
    publish(mirror, monkeypatch, kay_yeatman2017, {"experiment2.mat": b"no HDF5"})
    with pytest.raises(DataUnavailable, match="should be experiment 2 as HDF5"):
        load_kay_yeatman2017()


def outline(image) -> np.ndarray:
    """What is within the object's bounding box, in grey, 32 x 32, standardised."""
    grey = image.convert("L")
    pixels = np.asarray(grey, int)
    apart = np.abs(pixels - pixels[0, 0]) > 6
    rows, columns = np.flatnonzero(apart.any(1)), np.flatnonzero(apart.any(0))
    box = grey.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).resize((32, 32))
    values = np.asarray(box, float).ravel()
    return (values - values.mean()) / values.std()


def test_the_real_images_are_those_of_kriegeskorte_by_id_and_upright(real_mirror):
    ours, theirs = load_kay_yeatman2017().stimuli, kriegeskorte2008.load_stimuli()
    assert ours.ids == theirs.ids
    similar = (
        np.stack([outline(ours.open(i)) for i in ours.ids]) @ np.stack([outline(theirs.open(i)) for i in theirs.ids]).T
    )
    assert (similar.argmax(1) == np.arange(92)).mean() > 0.9


def test_the_real_face_area_prefers_faces(real_mirror):
    """An independent sign of the order of rows: the flags are those of another paper."""
    benchmark = load_kay_yeatman2017()
    face = kriegeskorte2008.load_stimuli().table["face"].to_numpy()
    area = benchmark.data.values[:, benchmark.data["neuroid_id"].values.tolist().index("FFA")]
    separated = np.mean(area[face][:, None] > area[~face])  # area under the ROC curve
    assert separated > 0.95
    assert benchmark.data["reliability"].values == pytest.approx([0.213, 0.939], abs=1e-3)


def test_metrics_say_that_there_is_no_ceiling(real_mirror):
    benchmark = load_kay_yeatman2017()
    ceiling = METRICS[benchmark.metric].ceiling(benchmark.data)
    assert np.isnan(ceiling.value)
    assert "needs repetitions" in ceiling.method
