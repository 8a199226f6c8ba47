"""Recordings in Brain-Score's layout, tiny: which numbers end up where, and what is said of files that do not fit."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from tiny_sources import publish, zip_of

from data_loaders import freemanziemba2013, majaj2015
from data_loaders.freemanziemba2013 import load_freemanziemba2013
from data_loaders.majaj2015 import load_majaj2015
from neurocompare.assembly import average_repetitions
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.metrics import METRICS
from neurocompare.representation import Representation

MAJAJ = ("assy_dicarlo_MajajHong2015_public.nc", "stimulus_hvm-public.csv", "stimulus_hvm-public.zip")
FREEMAN = (
    "assy_movshon_FreemanZiemba2013_public.nc",
    "stimulus_FreemanZiemba2013_aperture-public.csv",
    "stimulus_FreemanZiemba2013_aperture-public.zip",
)


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), level).save(stream, "PNG")
    return stream.getvalue()


@dataclass
class Recording:
    """``values[neuroid, time bin, stimulus, repetition]``, and how the files put it."""

    values: np.ndarray
    regions: list[str]
    bins: np.ndarray
    id_name: str = "image_id"
    neuroid: dict = field(default_factory=dict)
    presentation: dict = field(default_factory=dict)

    def netcdf(self, path, order: np.ndarray) -> bytes:
        *_, stimuli, repetitions = self.values.shape
        stimulus, repetition = (part.ravel()[order] for part in np.indices((stimuli, repetitions)))
        data = xr.DataArray(
            self.values[:, :, stimulus, repetition].transpose(0, 2, 1).astype(np.float32),
            dims=("neuroid", "presentation", "time_bin"),
            coords={
                "region": ("neuroid", np.array(self.regions, dtype=object)),
                **{name: ("neuroid", np.array(values, dtype=object)) for name, values in self.neuroid.items()},
                self.id_name: ("presentation", np.array([f"sha{s}" for s in stimulus], dtype=object)),
                "repetition": ("presentation", repetition),
                "time_bin_start": ("time_bin", self.bins[:, 0]),
                "time_bin_end": ("time_bin", self.bins[:, 1]),
            },
            name="some.identifier.public",
            attrs={"stimulus_set_identifier": "some"},
        )
        data.to_netcdf(path, engine="h5netcdf")
        return path.read_bytes()


def picture(stimulus: int) -> str:
    return f"{99 - stimulus}_{stimulus}.png"


def table(n: int, labels: dict[str, list[str]], id_name: str, file_name: str) -> bytes:
    """Images brighter by number, named in the opposite order; one stimulus has no responses."""
    rows = pd.DataFrame(
        {
            "id": range(1, n + 2),
            **{name: [*values, values[0]] for name, values in labels.items()},
            "size": np.linspace(1, 2, n + 1),
            file_name: [picture(s) for s in range(n + 1)],
            id_name: [f"sha{s}" for s in range(n + 1)],
        }
    )
    return rows.sample(frac=1, random_state=0).to_csv(index=False).encode()


def images(n: int, folder: str = "") -> bytes:
    return zip_of({folder + picture(s): png(5 * s) for s in range(n, -1, -1)} | {"notes.txt": b"x"})


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def majaj(rng, mirror, monkeypatch, tmp_path):
    """Four sites, six images of two objects, three repetitions, one time bin; returns the values."""
    recording = Recording(
        rng.standard_normal((4, 1, 6, 3)).astype(np.float32),
        ["IT", "V4", "IT", "V4"],
        np.array([[70, 170]]),
        neuroid={
            "neuroid_id": ["Chabo_1", "Tito_2", "Tito_3", "Chabo_4"],
            "animal": ["Chabo", "Tito", "Tito", "Chabo"],
        },
    )

    def make(change=lambda recording: None):
        change(recording)
        labels = {"category_name": ["Cars"] * 3 + ["Faces"] * 3, "object_name": ["astra"] * 3 + ["face0"] * 3}
        contents = (
            recording.netcdf(tmp_path / "a.nc", rng.permutation(recording.values[0, 0].size)),
            table(6, labels, "image_id", "image_file_name"),
            images(6, "stimuli/"),
        )
        publish(mirror, monkeypatch, majaj2015, dict(zip(MAJAJ, contents, strict=True)))
        return recording.values

    return make


def test_each_region_has_its_sites_and_each_presentation_its_stimulus_and_repetition(majaj):
    values = majaj()
    for region, sites in (("IT", [0, 2]), ("V4", [1, 3])):
        benchmark = load_majaj2015(region)
        assert benchmark.name == f"majaj2015.{region}"
        assert benchmark.data.dims == ("presentation", "neuroid")
        assert benchmark.data.shape == (18, 2)
        for row in benchmark.data:
            stimulus, repetition = int(str(row["stimulus_id"].values)[3:]), int(row["repetition"])
            np.testing.assert_array_equal(row, values[sites, 0, stimulus, repetition])
        assert set(benchmark.data["region"].values) == {region}
    assert load_majaj2015("IT").data["neuroid_id"].values.tolist() == ["Chabo_1", "Tito_3"]
    assert load_majaj2015("IT").data["subject"].values.tolist() == ["Chabo", "Tito"]


def test_images_go_with_their_ids_and_labels_are_what_splits_represent(majaj):
    majaj()
    benchmark = load_majaj2015("V4")
    stimuli = benchmark.stimuli
    assert sorted(stimuli.ids) == [f"sha{s}" for s in range(6)], "a stimulus without responses is left out"
    for stimulus in stimuli.ids:
        assert np.asarray(stimuli.open(stimulus)).max() == 5 * int(stimulus[3:])
    assert list(stimuli.table.columns) == ["category_name", "object_name"], "size is different for every image"
    assert stimuli.table.loc["sha4"].tolist() == ["Faces", "face0"]
    for row in benchmark.data:
        assert str(row["label"].values) == ("astra" if int(str(row["stimulus_id"].values)[3:]) < 3 else "face0")
    assert benchmark.metric == "brainscore"


def test_what_is_not_there_for_every_site_is_dropped_and_mentioned(majaj):
    def change(recording):
        recording.values[0, 0, 2, 1] = np.nan
        recording.values[2] = 1

    values = majaj(change)
    benchmark = load_majaj2015("IT")
    assert benchmark.data.shape == (17, 1)
    for row in benchmark.data:
        assert row.item() == values[0, 0, int(str(row["stimulus_id"].values)[3:]), int(row["repetition"])]
    dropped = "1 neuroids with a constant response, 1 presentations that some neuroid lacks"
    assert benchmark.data.attrs["dropped"] == dropped
    assert "dropped" not in load_majaj2015("V4").data.attrs


def test_newer_files_call_stimuli_by_their_newer_name(rng, mirror, monkeypatch, tmp_path):
    recording = Recording(rng.random((1, 1, 6, 1)), ["IT"], np.array([[70, 170]]), "stimulus_id", {"neuroid_id": ["a"]})
    labels = {"category_name": ["Cars"] * 6, "object_name": ["astra"] * 6}
    contents = (
        recording.netcdf(tmp_path / "a.nc", np.arange(6)),
        table(6, labels, "stimulus_id", "filename"),
        images(6),
    )
    publish(mirror, monkeypatch, majaj2015, dict(zip(MAJAJ, contents, strict=True)))
    benchmark = load_majaj2015("IT")
    assert benchmark.data["stimulus_id"].values.tolist() == [f"sha{s}" for s in range(6)]
    assert set(benchmark.data["subject"].values) == {"not stated"}


@pytest.fixture
def freeman(rng, mirror, monkeypatch, tmp_path):
    """Five cells, 60 textures of two types, four repetitions, 300 bins of 1 ms; returns the spikes."""
    spikes = rng.poisson(3 * rng.random((5, 1, 60, 1)) * np.ones((5, 300, 60, 4))).astype(float)
    start = np.arange(300)
    recording = Recording(
        spikes,
        ["V1", "V1", "V1", "V2", "V2"],
        np.stack([start, start + 1], 1),
        neuroid={"neuroid_id": [1, 2, 3, 4, 5]},
    )
    labels = {"texture_type": ["noise", "texture"] * 30, "texture_family": ["13", "18", "23", "30"] * 15}
    contents = (
        recording.netcdf(tmp_path / "a.nc", rng.permutation(240)),
        table(60, labels, "image_id", "image_file_name"),
        images(60),
    )
    publish(mirror, monkeypatch, freemanziemba2013, dict(zip(FREEMAN, contents, strict=True)))
    return spikes


def test_responses_are_means_from_50_to_200_ms(freeman):
    benchmark = load_freemanziemba2013("V2")
    assert benchmark.data.shape == (240, 2)
    assert benchmark.data["neuroid_id"].values.tolist() == ["4", "5"]
    for row in benchmark.data:
        stimulus, repetition = int(str(row["stimulus_id"].values)[3:]), int(row["repetition"])
        expected = [sum(freeman[cell, ms, stimulus, repetition] for ms in range(50, 200)) / 150 for cell in (3, 4)]
        np.testing.assert_allclose(row, expected)
    assert set(benchmark.data["label"].values) == {"noise", "texture"}
    assert list(benchmark.stimuli.table.columns) == ["texture_type", "texture_family"]


def test_the_default_metric_scores_it_with_a_ceiling(freeman):
    benchmark = load_freemanziemba2013("V1")
    metric, mean = METRICS[benchmark.metric], average_repetitions(benchmark.data)
    mixed = mean.values @ np.random.default_rng(0).standard_normal((3, 200))
    noise = 0.1 * np.random.default_rng(1).standard_normal(mixed.shape)
    layer = Representation.from_features("mixed", mean["stimulus_id"].values, mixed + noise)
    assert metric.aggregate(metric.score(layer, benchmark.data))[0] > 0.95
    assert 0.9 < metric.ceiling(benchmark.data).value <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.regions.__setitem__(slice(None), ["IT"] * 4), r"should have neuroids of V4, but has \['IT'\]"),
        (lambda r: setattr(r, "bins", np.array([[0, 170]])), "time bins of one length from 70 to 170 ms, but has 0"),
        (lambda r: setattr(r, "id_name", "picture"), r"lacks \['stimulus_id'\]"),
        (lambda r: r.neuroid.pop("neuroid_id"), r"lacks \['neuroid_id'\]"),
        (lambda r: r.values.__setitem__(slice(None), 0), "should hold responses of V4 that vary"),
        (lambda r: r.values.__setitem__(1, np.nan), "should hold responses of V4 that vary"),
    ],
)
def test_a_file_that_is_something_else_is_refused(majaj, change, message):
    majaj(change)
    with pytest.raises(DataUnavailable, match=message):
        load_majaj2015("V4")


def replaced(name: str, content: bytes, mirror, monkeypatch) -> None:
    contents = {other: (mirror / "majaj2015" / other).read_bytes() for other in MAJAJ}
    publish(mirror, monkeypatch, majaj2015, contents | {name: content})


@pytest.mark.parametrize(
    ("number", "content", "message"),
    [
        (0, b"no netCDF", "should be a netCDF4 file"),
        (1, b"image_id,filename\nsha0,a.png\n", "should have the columns"),
        (1, table(3, {"category_name": ["x"] * 3, "object_name": ["y"] * 3}, "image_id", "filename"), "lacks 'sha4'"),
        (2, images(4), r"should have 6 images, but lacks '94_5.png'"),
        (2, b"no zip", "should be a zip"),
    ],
)
def test_each_broken_file_is_named(majaj, mirror, monkeypatch, number, content, message):
    majaj()
    replaced(MAJAJ[number], content, mirror, monkeypatch)
    with pytest.raises(DataUnavailable, match=message) as caught:
        load_majaj2015("IT")
    assert MAJAJ[number] in str(caught.value)


@pytest.mark.parametrize(
    ("bins", "message"),
    [([[70, 100], [100, 170]], "but has 2 there"), ([[70, 100], [130, 160]], "but has 2 there")],
)
def test_time_bins_of_other_lengths_or_with_gaps_have_no_mean(rng, mirror, monkeypatch, tmp_path, bins, message):
    recording = Recording(rng.random((1, 2, 6, 1)), ["IT"], np.array(bins), neuroid={"neuroid_id": ["a"]})
    labels = {"category_name": ["Cars"] * 6, "object_name": ["astra"] * 6}
    contents = (
        recording.netcdf(tmp_path / "a.nc", np.arange(6)),
        table(6, labels, "image_id", "filename"),
        images(6),
    )
    publish(mirror, monkeypatch, majaj2015, dict(zip(MAJAJ, contents, strict=True)))
    with pytest.raises(DataUnavailable, match=message):
        load_majaj2015("IT")


def test_time_bins_may_come_in_any_order(rng, mirror, monkeypatch, tmp_path):
    values = rng.random((1, 3, 6, 1)).astype(np.float32)
    recording = Recording(values, ["IT"], np.array([[120, 170], [0, 50], [70, 120]]), neuroid={"neuroid_id": ["a"]})
    labels = {"category_name": ["Cars"] * 6, "object_name": ["astra"] * 6}
    contents = (
        recording.netcdf(tmp_path / "a.nc", np.arange(6)),
        table(6, labels, "image_id", "filename"),
        images(6),
    )
    publish(mirror, monkeypatch, majaj2015, dict(zip(MAJAJ, contents, strict=True)))
    expected = (values[0, 0, :, 0].astype(float) + values[0, 2, :, 0]) / 2
    np.testing.assert_allclose(load_majaj2015("IT").data.values[:, 0], expected, rtol=1e-6)


def test_regions_are_those_recorded():
    with pytest.raises(InputError, match="region of majaj2015 'AIP'; there are: IT, V4"):
        load_majaj2015("AIP")
    with pytest.raises(InputError, match="region of freemanziemba2013 'IT'; there are: V1, V2"):
        load_freemanziemba2013("IT")


def test_public_files_are_where_and_what_brain_score_says():
    older = majaj2015.OLDER
    assert older.checksum == majaj2015.FILES[MAJAJ[0]].checksum
    assert older.path == majaj2015.FILES[MAJAJ[0]].path
    for module, names in ((majaj2015, MAJAJ), (freemanziemba2013, FREEMAN)):
        assert set(module.FILES) == set(names)
        for file in module.FILES.values():
            assert file.checksum is not None and file.checksum[0] == "sha1"
            assert file.url is not None and file.url.startswith("https://brainscore-storage.s3.amazonaws.com/")
