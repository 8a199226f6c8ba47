"""Scores and runs whose files are odd or damaged come back as they were, or are refused by a clean error."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
import xarray as xr
from fuzzing import LOOK, NET, accepted, fuzz, same
from hypothesis import strategies as st
from written_study import describe, layers, training

from data_loaders import load_benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.metrics import METRICS
from neurocompare.rules import RULES
from neurocompare.score import DamagedScore, Score, score_layers
from neurocompare.study import Entry
from neurocompare.train import RECORD, WEIGHTS, Run

ENTRY = Entry("backprop", 0)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)  # netCDF fills up with zeros


@pytest.fixture(scope="module")
def benchmark():
    return load_benchmark("simulated.rdm")


@pytest.fixture(scope="module")
def represented(benchmark):
    return list(layers(ENTRY, benchmark).values())


@pytest.fixture(scope="module")
def ceiling(benchmark):
    return METRICS["rsa_spearman"].ceiling(benchmark.data)


@fuzz(
    60,
    st.integers() | st.none() | st.sampled_from([2**31 - 1, 2**31]),
    TEXT,
    st.lists(TEXT, max_size=3, unique=True),
    st.recursive(
        st.floats(allow_nan=False) | st.integers() | TEXT, lambda inner: st.dictionaries(TEXT, inner), max_leaves=3
    ),
)
def test_a_score_comes_back_as_it_was(tmp_path, benchmark, represented, ceiling, seed, name, layer_names, extra):
    description = {**describe(ENTRY), "model": name, "seed": seed, "extra": extra}
    named = dict(zip(layer_names, represented, strict=False))
    metric = METRICS["rsa_spearman"]
    scored = accepted(lambda: score_layers(description, named, benchmark, metric, ceiling))
    scored.save(tmp_path / "a.nc")
    read = Score.load(tmp_path / "a.nc")
    xr.testing.assert_identical(read.data, scored.data)
    pd.testing.assert_frame_equal(read.table(), scored.table())
    assert read.table()["layer"].tolist() == layer_names
    assert read.table()["seed"].tolist() == [pd.NA if seed is None else seed] * len(layer_names)


@pytest.fixture(scope="module")
def written(benchmark, represented, ceiling, tmp_path_factory):
    path = tmp_path_factory.mktemp("score") / "a.nc"
    named = {layer.layer: layer for layer in represented}
    score_layers(describe(ENTRY), named, benchmark, METRICS["rsa_spearman"], ceiling).save(path)
    return path.read_bytes(), Score.load(path)


@fuzz(300, st.data())
def test_a_damaged_score_is_refused_or_says_the_same(tmp_path, written, data):
    content, original = written
    changed = bytearray(content)
    header = st.integers(0, 400) | st.integers(0, len(content) - 1)  # what lies where stands first
    for position, value in data.draw(st.lists(st.tuples(header, st.integers(0, 255)), min_size=1, max_size=4)):
        changed[position] = value
    end = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    (tmp_path / "b.nc").write_bytes(changed[:end])
    try:
        read = Score.load(tmp_path / "b.nc")
    except DamagedScore as error:
        assert "it is computed again" in str(error)
        return
    pd.testing.assert_frame_equal(read.table(), original.table())
    assert read.data.attrs == original.data.attrs


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rule = RULES["backprop"].for_net(NET, seed=0)
    Run(NET, rule, LOOK, {**training("backprop", 0), "seed": 0}).save(folder)
    return folder


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@fuzz(300, st.data())
def test_a_run_whose_record_is_junk_is_refused_or_is_what_the_record_says(tmp_path, run_folder, data):
    record = json.loads((run_folder / RECORD).read_text())
    key = data.draw(
        st.sampled_from([*record, "network.architecture", "network.hidden", "preprocess.kind", "preprocess.mean"])
    )
    *path, last = key.split(".")
    inner = record[path[0]] if path else record
    inner[last] = data.draw(JSON)
    if data.draw(st.booleans()) and not path:
        del inner[last]
    content = json.dumps(data.draw(JSON) if data.draw(st.integers(0, 9)) == 0 else record).encode()
    place = data.draw(st.none() | st.integers(0, len(content) - 1))
    if place is not None:
        content = content[:place] + data.draw(st.binary(max_size=2)) + content[place + 1 :]
    (tmp_path / RECORD).write_bytes(content)
    (tmp_path / WEIGHTS).write_bytes((run_folder / WEIGHTS).read_bytes())
    run = accepted(lambda: Run.load(tmp_path))
    kept = {**json.loads(content)}
    assert same({k: kept[k] for k in run.record}, dict(run.record))
    for name, value in NET.state_dict().items():
        torch.testing.assert_close(run.net.state_dict()[name], value, rtol=0, atol=0)
    assert run.rule.name == kept["rule"]


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(DataUnavailable, match="holds no run"):
        Run.load(tmp_path)
