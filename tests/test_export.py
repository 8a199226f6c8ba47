"""What is exported says the same as what it was made of, in the words of the tool that it is for."""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.spatial.distance import pdist
from written_study import LAYERS, SPEC, save_runs, written

from data_loaders import load_benchmark
from neurocompare import export, plot
from neurocompare.assembly import stimulus_ids, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.distances import correlation_distance
from neurocompare.probe import probe
from neurocompare.report.geometry import networks

ONE_SEED = SPEC.model_copy(update={"seeds": (0,), "controls": ("untrained",), "regions": False})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = written(tmp_path_factory.mktemp("study"), ONE_SEED)
    save_runs(study)
    return study


@pytest.fixture(scope="module")
def units() -> Benchmark:
    return load_benchmark("simulated.units")


@pytest.fixture(scope="module")
def rdms() -> Benchmark:
    return load_benchmark("simulated.rdm")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_comes_back_as_it_was(study, tmp_path, suffix):
    table = study.table()
    path = export.write_table(table, tmp_path / f"scores.{suffix}")
    if suffix == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(path), table)
    else:
        back = pd.read_csv(path, keep_default_na=False, na_values=[""])
        np.testing.assert_array_equal(back["raw"], table["raw"])
        assert list(back["layer"]) == list(table["layer"]) and list(back.columns) == list(table.columns)


def test_a_table_of_another_format_is_refused(study, tmp_path):
    with pytest.raises(InputError, match=r"written as \.csv or \.parquet, but 'scores\.xlsx' ends in '\.xlsx'"):
        export.write_table(study.table(), tmp_path / "scores.xlsx")


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", ["simulated.units", "simulated.rdm"])
def test_recordings_come_back_as_they_were(name, version, tmp_path):
    benchmark = load_benchmark(name)
    labels = {i: f"Begriff № {n % 3}" for n, i in enumerate(benchmark.stimuli.ids)}
    data = with_stimulus_coord(benchmark.data, "label", labels)
    if name == "simulated.units":
        data = data.assign_coords(train_0=("presentation", np.arange(len(data)) % 2 == 0))
    benchmark = Benchmark(name, data, benchmark.stimuli, benchmark.metric, benchmark.citation, benchmark.licence)
    path = export.write_assembly(benchmark, tmp_path / "data.nc", version)
    magic = path.read_bytes()[:8]
    assert magic.startswith(b"CDF" if version == 3 else b"\x89HDF")
    with xr.open_dataarray(path) as found:
        found = found.load()
    assert found.dims == data.dims and found.dtype == np.float64
    np.testing.assert_array_equal(found.values, data.values)
    assert set(found.coords) == set(data.coords)
    for coord in data.coords:
        assert [str(v) for v in found[coord].values] == [str(v) for v in data[coord].values]
    assert found.attrs["units"] == data.attrs["units"]
    assert found.attrs["citation"] == benchmark.citation and found.attrs["sha256"] == benchmark.fingerprint
    assert found.attrs["stimulus_set_identifier"] == benchmark.stimuli.name


def gather_indexes(data: xr.DataArray) -> xr.DataArray:
    """What Brain-Score's assemblies do with a file: all coords of a dim become the levels of one index."""
    levels = {dim: [n for n, c in data.coords.items() if c.dims == (dim,) and n != dim] for dim in data.dims}
    return data.set_index({dim: names for dim, names in levels.items() if names}, append=True)


@pytest.mark.parametrize("version", [3, 4])
def test_brain_score_finds_its_dims_and_selects_by_every_coord(units, version, tmp_path):
    path = export.write_assembly(units, tmp_path / "assy.nc", version)
    assembly = gather_indexes(xr.open_dataarray(path))
    assert set(assembly.dims) == {"presentation", "neuroid"}
    one = assembly.sel(stimulus_id=units.stimuli.ids[3], neuroid_id="unit07")
    rows = units.data["stimulus_id"].values == units.stimuli.ids[3]
    np.testing.assert_array_equal(np.sort(one.values.ravel()), np.sort(units.data.values[rows, 7]))
    assert len(assembly.sel(region="units")["neuroid"]) == 50


def test_another_version_of_netcdf_is_refused(units, tmp_path):
    with pytest.raises(InputError, match="in version 3 or 4, but 5 was asked for"):
        export.write_assembly(units, tmp_path / "x.nc", 5)


def test_rdms_are_those_of_rsatoolbox_with_their_names(rdms, tmp_path):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    from rsatoolbox.rdm.rdms import load_rdm

    path = export.write_rdms(export.brain_rdms(rdms), tmp_path / "brain.h5")
    found = load_rdm(str(path))
    np.testing.assert_array_equal(found.dissimilarities, rdms.data.values)
    assert list(found.pattern_descriptors["stimulus_id"]) == stimulus_ids(rdms.data)
    assert list(found.rdm_descriptors["subject"]) == [str(s) for s in rdms.data["subject"].values]
    assert found.dissimilarity_measure == "1 - Pearson r" and found.descriptors["benchmark"] == "simulated.rdm"
    first, second = found.subset("subject", "simulated 1"), found.subset("subject", "simulated 2")
    ours = METRICS["rsa_spearman"].comparison(rdms.data.values[0], rdms.data.values[1:2])
    np.testing.assert_allclose(rsatoolbox.rdm.compare(first, second, "spearman").ravel(), ours, atol=1e-10)


def test_the_rdm_of_responses_is_the_one_that_rsatoolbox_makes_of_them(units):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    data = rsatoolbox.data.Dataset(
        units.data.values, obs_descriptors={"stimulus_id": list(units.data["stimulus_id"].values)}
    )
    theirs = rsatoolbox.rdm.calc_rdm(data, "correlation", descriptor="stimulus_id")
    ours = export.brain_rdms(units)
    order = [list(ours.pattern_descriptors["stimulus_id"]).index(i) for i in theirs.pattern_descriptors["stimulus_id"]]
    reordered = ours.get_matrices()[0][np.ix_(order, order)]
    np.testing.assert_allclose(reordered, theirs.get_matrices()[0], atol=1e-10)


def test_rdms_of_networks_name_model_and_layer(study, units):
    pytest.importorskip("rsatoolbox")
    found = export.network_rdms(study, units)
    models = ["backprop", "feedback_alignment", "untrained"]
    assert list(found.rdm_descriptors["model"]) == [model for model in models for _ in LAYERS]
    assert list(found.rdm_descriptors["layer"]) == [*LAYERS] * 3
    expected = correlation_distance(probe(networks(study)["feedback_alignment"], units.stimuli)["fc1"])
    chosen = found.subset("model", "feedback_alignment").subset("layer", "fc1")
    np.testing.assert_allclose(chosen.dissimilarities[0], expected, atol=1e-12)


def test_a_study_without_runs_has_no_rdms_of_networks(tmp_path, units):
    assert (
        export.network_rdms(written(tmp_path, ONE_SEED.model_copy(update={"rules": (), "benchmarks": UNITS})), units)
        is None
    )


UNITS = {"simulated.units": ("rsa_pearson",)}


def test_without_rsatoolbox_the_way_out_is_named(rdms, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox.rdm", None)
    with pytest.raises(InputError, match=r"need rsatoolbox .*; pip install rsatoolbox"):
        export.brain_rdms(rdms)


@pytest.mark.parametrize(("width", "millimetres"), export.WIDTHS.items())
def test_a_figure_has_the_width_of_the_column_and_nothing_sticks_out(study, tmp_path, width, millimetres):
    table = study.table()
    part = table[table["benchmark"] == "simulated.rdm"] if width == "single" else table
    figure = export.at_width(plot.by_layer(part), millimetres)
    (path,) = plot.save(figure, tmp_path / "figure", ["pdf"])
    box = [float(x) for x in re.search(rb"/MediaBox \[([^]]+)\]", path.read_bytes())[1].split()]
    assert box[2] - box[0] == pytest.approx(millimetres / 25.4 * 72, abs=0.01)
    inside = figure.bbox.padded(1)
    for artist in (*figure.axes, *figure.legends):
        tight = artist.get_tightbbox()
        assert inside.x0 <= tight.x0 and tight.x1 <= inside.x1 and inside.y0 <= tight.y0 and tight.y1 <= inside.y1
    sizes = {text.get_fontsize() for axis in figure.axes for text in (axis.title, *axis.get_xticklabels())}
    assert max(sizes) <= 7 and min(sizes) >= 5


def test_a_study_is_exported_whole_or_by_kind(study, tmp_path):
    pytest.importorskip("rsatoolbox")
    paths = export.export(study, tmp_path, ["tables", "assemblies", "rdms"])
    assert {str(path.relative_to(tmp_path)) for path in paths} == {
        "scores.csv", "scores.parquet",
        "assemblies/simulated.rdm.netcdf3.nc", "assemblies/simulated.rdm.netcdf4.nc",
        "assemblies/simulated.units.netcdf3.nc", "assemblies/simulated.units.netcdf4.nc",
        "rdms/simulated.rdm.h5", "rdms/simulated.rdm.networks.h5",
        "rdms/simulated.units.h5", "rdms/simulated.units.networks.h5",
    }  # fmt: skip
    assert all(path.stat().st_size > 100 for path in paths)
    with pytest.raises(InputError, match="unknown kind of export 'table'; did you mean 'tables'"):
        export.export(study, tmp_path, ["table"])


@pytest.mark.slow
def test_figures_are_written_for_one_and_for_two_columns(study, tmp_path):
    names = {path.name for path in export.export(study, tmp_path, ["figures"])}
    assert names == {
        f"{kind}_{what}.{suffix}"
        for kind in ("by_layer", "by_rule")
        for what in ("simulated.rdm_rsa_spearman_89mm", "simulated.units_ridge_89mm", "part1_183mm")
        for suffix in ("pdf", "svg")
    }


def test_the_pdist_order_of_rsatoolbox_is_ours():
    pytest.importorskip("rsatoolbox")
    points = np.random.default_rng(0).standard_normal((5, 3))
    found = export.rdms(pdist(points)[None], list("abcde"), {"name": ["x"]}, "euclidean")
    assert found.get_matrices()[0][1, 3] == pytest.approx(np.linalg.norm(points[1] - points[3]))
