"""A small recovery from training to figures, and sentences that say what the numbers are."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from analyses import recovery_figures, rule_recovery
from neurocompare.recovery import UNTRAINED

TINY = replace(
    rule_recovery.PANELS["quick"],
    items=200,
    network={"architecture": "convnet", "channels": [8], "hidden": [16]},
    epochs=1,
    rules=("backprop", "hebbian", UNTRAINED),
)
CASES = {
    "simulated.units": rule_recovery.Case("conv1", ("ridge", "rsa_pearson"), (3, 30), (30, 60), images=60),
    "simulated.rdm": rule_recovery.Case("fc1", ("rsa_pearson",), (5, 20), (20, 60), voxels=30, units=3, images=60),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A panel and cases that are small enough for a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rule_recovery.PANELS, "quick", TINY)
        patch.setitem(rule_recovery.CASES, "quick", CASES)
        patch.setattr(rule_recovery, "RELIABILITIES", (0.2, 1.0))
        patch.setattr(rule_recovery, "MOST_SITES", 10)
        patch.setattr(rule_recovery, "REPLICATES", 1)
        patch.setattr(rule_recovery, "_dataset", functools.cache(rule_recovery._dataset.__wrapped__))
        patch.setattr(rule_recovery, "_prepared", functools.cache(rule_recovery._prepared.__wrapped__))
        folder = tmp_path_factory.mktemp("recovery")
        dataset = rule_recovery.compute(quick=True, folder=folder)
        patch.setattr(rule_recovery.figures, "save", functools.partial(rule_recovery.figures.save, formats=("png",)))
        patch.setattr(rule_recovery, "compute", lambda quick, folder, first_seed: dataset)
        paths = rule_recovery.main(folder, quick=True)
    return paths, xr.load_dataset(folder / "rule_recovery.nc", engine="scipy"), dataset


def test_everything_is_written(found):
    paths, dataset, computed = found
    assert {path.suffix for path in paths} == {".nc", ".png"}
    for name, variable in computed.data_vars.items():
        np.testing.assert_array_equal(dataset[name].values.astype(variable.dtype), variable.values, err_msg=str(name))


def test_each_benchmark_metric_and_kind_has_a_matrix_and_curves(found):
    _, dataset, _ = found
    pairs = [(name, metric) for name, case in CASES.items() for metric in case.metrics]
    for dim, kinds in (("matrix", ("generating layer", "best layer")), ("curve", ("reliability", "sites", "stimuli"))):
        coords = zip(*(dataset[f"{dim}_{part}"].values for part in ("benchmark", "metric", "what")), strict=True)
        assert sorted(coords) == sorted((*pair, kind) for pair in pairs for kind in kinds)
    np.testing.assert_allclose(dataset["rate"].sum("chosen"), 1)
    assert dataset.attrs["chance"] == pytest.approx(1 / 3)
    assert dataset["networks"].values.ravel().tolist() == [3] * dataset["networks"].size


def part(dataset, dim, **what):
    """The one matrix or curve of which something is so."""
    fits = np.all([dataset[f"{dim}_{name}"].values == value for name, value in what.items()], axis=0)
    (place,) = np.flatnonzero(fits)
    return dataset.isel({dim: place})


def test_curves_are_along_what_they_say(found):
    _, dataset, _ = found
    units, rdms = (functools.partial(part, dataset, "curve", benchmark=name) for name in CASES)

    def x(one):
        return one["curve_x"].dropna("step").values

    assert x(units(metric="rsa_pearson", what="sites")).tolist() == [3, 30]
    assert x(units(metric="ridge", what="sites")).tolist() == [3]
    assert x(units(metric="ridge", what="stimuli")).tolist() == [30, 60]
    assert x(units(metric="ridge", what="reliability")) == pytest.approx([0.2, 1.0])
    ceilings = x(rdms(metric="rsa_pearson", what="reliability"))
    assert 0 < ceilings[0] < ceilings[1] < 1
    real = [float(rdms(metric="rsa_pearson", what=what)["real"]) for what in ("sites", "stimuli", "reliability")]
    assert real == [30, 60, float(dataset["ceiling"].sel(benchmark="simulated.rdm"))]


def test_a_curve_passes_through_the_matrix(found):
    """All stimuli and the real noise: the curve's last value is the matrix's."""
    _, dataset, _ = found
    what = {"benchmark": "simulated.rdm", "metric": "rsa_pearson"}
    end = part(dataset, "curve", what="stimuli", **what)["curve_recovery"].dropna("step").isel(step=-1)
    np.testing.assert_allclose(end, part(dataset, "matrix", what="generating layer", **what)["recovery"])


def test_sentences_say_the_numbers(found):
    _, dataset, _ = found
    lines = recovery_figures.words(dataset)
    one = part(dataset, "matrix", benchmark="simulated.units", metric="ridge", what="generating layer")
    one = one.sel(chosen_by="highest score")
    low, rate, high = (100 * float(one[name]) for name in ("recovery_low", "recovery", "recovery_high"))
    start = (
        f"  ridge picks the generating rule in {rate:.0f} % [{low:.0f}, {high:.0f}] of brains by the highest score, "
    )
    assert any(line.startswith(start) for line in lines)
    assert (
        "with the sites, stimuli and noise of simulated.units (50 sites, 60 stimuli, reliability 0.80; chance 33.3 %):"
        in lines
    )
    assert any("noise ceiling up to" in line for line in lines)
    assert any("(5 subjects, 30 sites, 60 stimuli, lower noise ceiling 0.61;" in line for line in lines)


@pytest.mark.parametrize(
    ("rates", "sentence"), [([0.2, 0.9], "from sites of 30 on"), ([0.9, 0.5], "not reached with sites up to 30 (50 %)")]
)
def test_where_rules_are_told_apart(found, rates, sentence):
    _, dataset, _ = found
    one = part(dataset, "curve", benchmark="simulated.units", metric="rsa_pearson", what="sites")
    one = one.sel(chosen_by="highest score").isel(step=[0, 1])
    assert recovery_figures._reached("sites", one.assign(curve_recovery=("step", rates))) == sentence


def test_the_most_frequent_mistake_is_named(found):
    _, dataset, _ = found
    one = part(dataset, "matrix", benchmark="simulated.units", metric="ridge", what="best layer")
    one = one.sel(chosen_by="highest score").copy(deep=True)
    one["rate"].values[:] = [[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [0.0, 0.4, 0.6]]
    one["pairwise"].values[:] = [[0.5, 0.6, 0.7], [0.8, 0.5, 0.9], [1.0, 0.2, 0.5]]
    expected = "untrained is taken for Hebb in 40 %; ahead of another rule in 70 % of pairs"
    assert recovery_figures._mistaken(one) == expected


def test_figures_have_all_numbers_and_axes(found):
    _, dataset, _ = found
    figure = recovery_figures.plot(dataset)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 2 * 3  # kinds of evidence, pairs of benchmark and metric
    rate = part(dataset, "matrix", benchmark="simulated.units", metric="ridge", what="generating layer")
    expected = [f"{100 * value:.0f}" for value in rate["rate"].sel(chosen_by="highest score").values.ravel()]
    assert [text.get_text() for text in shown[0].texts] == expected
    curves = recovery_figures.plot_curves(dataset)
    assert all(axis.get_xlabel() for axis in curves.axes)
    assert {axis.get_xlabel() for axis in curves.axes} >= {"sites", "stimuli", "voxels of each subject"}


def test_without_recordings_there_are_simulated_benchmarks(monkeypatch, capsys):
    def nothing(name):
        raise rule_recovery.DataUnavailable(f"no {name} here")

    monkeypatch.setattr(rule_recovery, "load_benchmark", nothing)
    assert rule_recovery.size_of(False) == "offline"
    assert "no cowley2023.V4 here" in capsys.readouterr().out
    assert rule_recovery.size_of(True) == "quick"
