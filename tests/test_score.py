"""A score travels whole: raw, ceiling, normalized, formula, provenance; and comes back from its file."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from problems import benchmark, image_model, images, preprocess, rdms, responses, responses_for, timed_model
from torch import nn

from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, RSA, Joint, OverTime
from neurocompare.metrics.splits import Shuffled
from neurocompare.model import Model
from neurocompare.probe import probe
from neurocompare.score import Score, describe_metric, resolve_metric, score, score_layers

COLUMNS = [
    *("model", "seed", "layer", "depth", "benchmark", "metric", "raw", "error"),
    *("ceiling", "ceiling_lower", "ceiling_upper", "normalized", "formula", "effective_dimensionality"),
    *("n_features", "n_stimuli", "n_units", "task_accuracy", "note"),
]


EACH_LAYER = [name for name, metric in METRICS.items() if not isinstance(metric, Joint)]
JOINT = [name for name in METRICS if name not in EACH_LAYER]


def data_for(metric, *, repetitions=2):
    takes_rdms = isinstance(METRICS[metric], RSA) and not METRICS[metric].crossvalidated
    return benchmark(rdms(40, 4) if takes_rdms else responses_for(metric, 40, repetitions), metric)


def model_for(metric):
    """One that has time, where the metric looks at that."""
    return timed_model() if isinstance(METRICS[metric], OverTime) else image_model()


def with_dead_layer(metric="ridge"):
    net = image_model().net
    with torch.no_grad():
        net.layers["fc1"].weight.zero_()
        net.layers["fc1"].bias.fill_(-1.0)
    return Model("half dead", net, ("conv1", "fc1"), model_for(metric).preprocess)


@pytest.mark.parametrize("metric", EACH_LAYER)
def test_the_table_holds_what_the_parts_give(metric):
    model, data = model_for(metric), data_for(metric)
    table = score(model, data).table()
    assert list(table.columns) == COLUMNS
    assert table["layer"].tolist() == list(model.layers)
    assert table["depth"].tolist() == [1, 2, 3, 4]
    chosen = METRICS[metric]
    ceiling = chosen.ceiling(data.data)
    refused = 0
    for layer, representation in probe(model, data.stimuli, keep_features=chosen.needs_features).items():
        row = table.set_index("layer").loc[layer]
        try:
            whole = chosen.score(representation, data.data)
            raw, error, normalized = *chosen.aggregate(whole), chosen.normalize(whole, ceiling)
        except InputError as reason:
            raw, error, normalized, refused = np.nan, np.nan, np.nan, refused + 1
            assert row["note"] == str(reason)
        found = row[["raw", "error", "normalized"]].astype(float)
        np.testing.assert_allclose(found, [raw, error, normalized], rtol=1e-12)
        assert row["effective_dimensionality"] == pytest.approx(representation.effective_dimensionality)
        assert row["n_features"] == representation.n_features
    # Layers of fewer than 25 features, which are also those without time.
    assert refused == (2 if metric in ("pls", "brainscore", "strf") else 0)
    constant = table.drop(columns=["layer", "depth", "raw", "error", "normalized", "effective_dimensionality", "note"])
    first = constant.drop(columns=["n_features", "task_accuracy"]).drop_duplicates()
    assert len(first) == 1
    values = first.iloc[0].to_dict()
    n_units = data.data.sizes["subject" if "pair" in data.data.dims else "neuroid"]
    found = [values.pop(key) for key in ("ceiling", "ceiling_lower", "ceiling_upper")]
    np.testing.assert_array_equal(found, [ceiling.value, ceiling.lower, ceiling.upper])
    assert values == {
        "model": "toy", "seed": 0, "benchmark": "simulated.area", "metric": metric, "formula": chosen.formula,
        "n_stimuli": 40, "n_units": n_units,
    }  # fmt: skip
    assert table["task_accuracy"].isna().all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_file_gives_back_the_same_score(tmp_path, metric):
    first = score(model_for(metric), data_for(metric))
    first.save(tmp_path / "deep" / "score.nc")
    again = Score.load(tmp_path / "deep" / "score.nc")
    xr.testing.assert_identical(again.data, first.data)
    assert again.table().equals(first.table())
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["score.nc"]


def test_nan_ceilings_notes_and_no_seed_survive_the_file(tmp_path):
    first = score(with_dead_layer(), data_for("ridge", repetitions=1))
    first.save(tmp_path / "score.nc")
    again = Score.load(tmp_path / "score.nc")
    xr.testing.assert_identical(again.data, first.data)
    table = again.table()
    assert table.equals(first.table())
    assert table["seed"].isna().all()
    assert table[["ceiling", "normalized"]].isna().all(axis=None)
    assert again.data.attrs["ceiling_method"].startswith("not estimable")


def test_a_damaged_file_is_refused(tmp_path):
    score(image_model(), data_for("ridge")).save(tmp_path / "score.nc")
    content = (tmp_path / "score.nc").read_bytes()
    for name, damaged in {"cut": content[: len(content) // 3], "text": b"no netCDF", "empty": b""}.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=r"is not a readable score: .*; delete it"):
            Score.load(tmp_path / name)


@pytest.mark.parametrize("metric", JOINT)
def test_a_joint_metric_has_one_row_for_all_layers(metric):
    model, data = image_model(), data_for(metric)
    found = score(model, data)
    layers = probe(model, data.stimuli)
    expected = METRICS[metric].score_together(layers, data.data)
    np.testing.assert_array_equal(found.data["raw"].sel(layer="all layers").values, expected.values)
    row = found.table().iloc[0]
    assert len(found.table()) == 1
    assert row["n_features"] == sum(layer.n_features for layer in layers.values())
    alone = score(with_dead_layer(), data, layers=["conv1"]).table()["raw"].item()
    assert score(with_dead_layer(), data).table()["raw"].item() == alone  # the dead layer takes no part


@pytest.mark.parametrize("metric", EACH_LAYER)
def test_a_dead_layer_gets_a_note_and_the_others_a_score(metric):
    data = data_for(metric)
    found = score(with_dead_layer(metric), data)
    table = found.table().set_index("layer")
    assert np.isnan(table.loc["fc1", ["raw", "error", "normalized", "effective_dimensionality"]].astype(float)).all()
    assert "'fc1'" in table.loc["fc1", "note"]
    assert np.isfinite(table.loc["conv1", "raw"])
    assert np.isfinite(table.loc["conv1", "normalized"]) == np.isfinite(table.loc["conv1", "ceiling"])
    assert table.loc["conv1", "note"] == ""
    assert found.data["raw"].sel(layer="fc1").isnull().all()
    alone = score(with_dead_layer(metric), data, layers=["conv1"]).table()
    assert alone["raw"].item() == table.loc["conv1", "raw"]


@pytest.mark.parametrize("metric", METRICS)
def test_where_every_layer_is_dead_the_reason_is_raised(metric):
    with pytest.raises(InputError, match=r"no layer can be scored on simulated\.area: .*'fc1'"):
        score(with_dead_layer(metric), data_for(metric), layers=["fc1"])


def test_ridge_on_rdms_is_refused():
    with pytest.raises(
        InputError, match=r"no layer can be scored on simulated\.area: ridge needs responses of neuroids"
    ):
        score(image_model(), data_for("rsa_pearson"), "ridge")


def test_the_benchmark_names_the_metric_where_none_is_asked_for():
    data = benchmark(responses(40), "rsa_cosine")
    assert score(image_model(), data).data.attrs["metric"] == "rsa_cosine"
    assert score(image_model(), data, "ridge").data.attrs["metric"] == "ridge"
    assert (
        score(image_model(), data, replace(METRICS["ridge"], splits=Shuffled(seed=3))).data.attrs["metric"] == "ridge"
    )
    with pytest.raises(InputError, match="unknown metric 'rsa_cosin'; did you mean 'rsa_cosine'"):
        score(image_model(), data, "rsa_cosin")
    assert resolve_metric("ridge") is METRICS["ridge"]


def test_provenance_says_everything():
    model, data = image_model(seed=2), data_for("ridge")
    metric = replace(METRICS["ridge"], splits=Shuffled(seed=9))
    provenance = json.loads(score(model, data, metric).data.attrs["provenance"])
    assert provenance["model"] == json.loads(json.dumps(model.describe()))
    assert provenance["metric"]["splits"] == {"kind": "Shuffled", "n_splits": 10, "test_size": 0.1, "seed": 9,
                                              "stratified": True}  # fmt: skip
    assert provenance["metric"]["predictor"]["kind"] == "Ridge"
    assert provenance["metric"]["predictor"]["penalties"] == pytest.approx(np.logspace(-3, 4, 15))
    assert provenance["benchmark"]["sha256"] == data.fingerprint
    assert provenance["benchmark"]["citation"] == "nobody"
    assert provenance["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_settings_are_plain_values(name):
    settings = json.loads(json.dumps(describe_metric(METRICS[name])))
    assert settings["name"] == name
    if name == "rsa_tau_a":
        assert settings["distance"] == "correlation_distance"


def test_a_known_ceiling_is_not_computed_again():
    model, data = image_model(), data_for("ridge")
    representations = probe(model, data.stimuli)
    known = METRICS["rsa_cosine"].ceiling(rdms(40, 4))
    found = score_layers(model.describe(), representations, data, METRICS["ridge"], known)
    assert found.data.attrs["ceiling"] == known.value


def test_a_perfect_model_of_simulated_data_comes_near_the_ceiling():
    """Neuroids that see the pixels through random weights: a linear model of the pixels explains what can be."""
    stimuli = images(300, side=4)
    x = np.stack([preprocess(4)(stimuli.open(i)).ravel() for i in stimuli.ids])
    signal = x @ np.random.default_rng(1).standard_normal((48, 6)) / 48**0.5
    data = responses(300, 6, 8, noise=0.0)
    data.values[:] = np.tile(signal, (8, 1)) + 0.5 * np.random.default_rng(2).standard_normal((2400, 6))
    net = nn.Sequential(OrderedDict(pixels=nn.Flatten(), one=nn.Linear(48, 1)))
    model = Model("m", net, ("pixels", "one"), preprocess(4))
    table = score(model, Benchmark("b.r", data, stimuli, "ridge", "c", "l")).table().set_index("layer")
    assert table.loc["pixels", "normalized"] == pytest.approx(1, abs=0.08)
    assert table.loc["one", "normalized"] < 0.3
