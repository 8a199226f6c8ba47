"""Study files, stimuli and patterns of layers made up at random are accepted and whole, or refused by a clean error."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from fuzzing import EXTREME, ID, LOOK, NET, PLAIN, VALUES, accepted, fuzz, same
from hypothesis import strategies as st
from PIL import Image
from written_study import LAYERS

from data_loaders import load_benchmark
from neurocompare import baselines, plot
from neurocompare.controls import CONTROLS
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, Ceiling
from neurocompare.model import Given, Model
from neurocompare.probe import probe
from neurocompare.representation import Representation
from neurocompare.score import score_layers
from neurocompare.spec import StudySpec, read_spec
from neurocompare.stimuli import StimulusSet

STUDY = """name = "x"
dataset = "digits"
rules = ["backprop"]
seeds = [0, 1]
[network]
architecture = "convnet"
channels = [4, 8]
[training]
epochs = 1
learning_rate = {backprop = 0.1}
[rule_settings.node_perturbation]
directions = 2
[benchmarks]
"simulated.rdm" = ["rsa_spearman"]
"""
NUMBERS = st.lists(st.integers(0, 9) | EXTREME, max_size=4)
NAMES = st.lists(st.sampled_from(["backprop", "", "pixels", "é"]) | st.text(max_size=4), max_size=3)
KEYS = {
    "name": st.text(max_size=9), "dataset": st.text(max_size=9), "modality": st.sampled_from(["image", "sound", "smell"]),
    "rules": NAMES, "controls": NAMES, "regions": st.booleans() | PLAIN, "seeds": NUMBERS,
    "network": st.dictionaries(st.text(max_size=6), VALUES, max_size=3),
    "training": st.fixed_dictionaries({}, optional={
        "epochs": st.integers(-1, 9) | EXTREME, "batch_size": PLAIN, "items": st.integers() | PLAIN, "test_items": PLAIN,
        "snapshots": NUMBERS, "learning_rate": st.dictionaries(st.text(max_size=4), st.floats() | PLAIN, max_size=2),
        "epoch": PLAIN,
    }),
    "rule_settings": st.dictionaries(st.text(max_size=4), VALUES, max_size=2),
    "benchmarks": st.dictionaries(st.text(max_size=8), NAMES, max_size=3),
}  # fmt: skip


def toml_of(value: Any) -> str:
    """As TOML writes it, tables inline."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
        case float() if not math.isfinite(value):
            return "nan" if math.isnan(value) else f"{'-' * (value < 0)}inf"
        case datetime.date():
            return value.isoformat()
        case list():
            return "[" + ", ".join(map(toml_of, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{toml_of(k)} = {toml_of(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def read(content: str | bytes, folder: Path) -> StudySpec:
    path = folder / "study.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_spec(path)


def keeps_promises(spec: StudySpec) -> None:
    assert same(StudySpec.model_validate(spec.model_dump()), spec)
    json.dumps(spec.model_dump(mode="json"))  # as a study's folder keeps it
    assert all(0 <= seed < 2**31 for seed in spec.seeds) and spec.seeds and spec.benchmarks
    rates = spec.training.learning_rate.values()
    assert all(0 < rate < math.inf for rate in rates) and min(spec.training.epochs, spec.training.batch_size) >= 1
    quick = spec.quick()
    assert same(StudySpec.model_validate(quick.model_dump()), quick)
    assert len(quick.seeds) <= 2 and 1 <= (quick.training.items or 0) <= 5000 and quick.training.epochs == 1


@fuzz(100, st.binary(max_size=200))
def test_random_bytes_are_no_study(tmp_path, content):
    keeps_promises(accepted(lambda: read(content, tmp_path)))


@fuzz(
    300,
    st.lists(st.tuples(st.integers(0, len(STUDY)), st.integers(0, 12), st.binary(max_size=4)), min_size=1, max_size=3),
)
def test_a_study_with_parts_replaced_is_read_or_refused(tmp_path, edits):
    content = STUDY.encode()
    for position, length, new in edits:
        content = content[:position] + new + content[position + length :]
    keeps_promises(accepted(lambda: read(content, tmp_path)))


@fuzz(
    150,
    st.fixed_dictionaries({}, optional=KEYS),
    st.sampled_from(sorted(KEYS)),
    st.none() | st.tuples(st.text(max_size=9) | st.sampled_from(sorted(KEYS)), VALUES),
)
def test_any_value_of_any_key_is_read_or_refused(tmp_path, drawn, spared, odd):
    """All keys are good but some: so many are accepted."""
    content: dict[str, Any] = {
        "name": "x",
        "dataset": "digits",
        "seeds": [0],
        "benchmarks": {"simulated.rdm": ["ridge"]},
    }
    content |= {key: value for key, value in drawn.items() if key != spared}
    content |= dict([odd]) if odd else {}
    keeps_promises(
        accepted(lambda: read("\n".join(f"{toml_of(k)} = {toml_of(v)}" for k, v in content.items()), tmp_path))
    )


@pytest.mark.parametrize(
    "line",
    [
        "seeds = [" + "1" * 5000 + "]", "seeds = " + "[" * 20_000, "seeds = " + "[" * 900 + "]" * 900,
        "seeds" + ".a" * 2000 + " = 1", "a" + ".a" * 2000 + " = 1", "seeds = [-1]", "seeds = [2147483648]",
        "seeds = [0]\ntraining.learning_rate.backprop = inf", "seeds = [0]\nnetwork" + ".a" * 2000 + " = 1",
    ],
    ids=lambda line: line[:16],
)  # fmt: skip
def test_what_no_study_needs_is_refused_however_large_or_deep(tmp_path, line):
    with pytest.raises(InputError, match="study"):
        read(f'name = "x"\ndataset = "digits"\n{line}\n[benchmarks]\n"simulated.rdm" = ["ridge"]\n', tmp_path)


PIXELS = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
MODEL = Model("net", NET, tuple(NET.layers), LOOK)
FOREIGN = {"\ud800", "caf\udce9"}  # the latter is how Python reads a name that is not UTF-8
ANY_ID = ID | st.sampled_from(sorted(FOREIGN)) | st.integers() | st.none()


@fuzz(150, st.lists(ANY_ID, max_size=5), st.text(max_size=4), st.data())
def test_stimuli_are_refused_or_can_be_probed_and_told_apart(ids, name, data):
    labels = data.draw(st.lists(PLAIN, min_size=len(ids), max_size=len(ids)))
    index = data.draw(st.just(ids) | st.permutations(ids))
    table = (
        pd.DataFrame({"label": labels}, index) if FOREIGN.isdisjoint(ids) else pd.DataFrame()
    )  # pandas refuses those
    stimuli = accepted(lambda: StimulusSet(name, tuple(ids), lambda stimulus: PIXELS, table))
    assert len(set(stimuli.ids)) == len(stimuli) > 0
    assert stimuli.fingerprint != StimulusSet(name, (*stimuli.ids, "more"), stimuli.open).fingerprint
    found = probe(MODEL, stimuli)
    assert {representation.ids for representation in found.values()} == {tuple(ids)}
    labels = accepted(lambda: baselines.category_labels(("label",)).represent(stimuli))["label"]
    np.testing.assert_array_equal(np.diagonal(labels.gram), np.ones(len(ids)))


@fuzz(100, st.lists(ID.filter(lambda name: "\0" not in name), min_size=1, max_size=4, unique=True), st.data())
def test_a_table_with_other_rows_gives_labels_of_the_same_stimuli_or_says_what_is_missing(ids, data):
    index = data.draw(st.lists(st.sampled_from([*ids, "other"]), max_size=5))
    table = pd.DataFrame({"label": [f"of {name}" for name in index]}, index=index)
    stimuli = accepted(lambda: StimulusSet("x", tuple(ids), lambda stimulus: PIXELS, table))
    labels = accepted(lambda: baselines.category_labels(("label",)).represent(stimuli))["label"]
    assert set(ids) <= set(index)
    np.testing.assert_array_equal(labels.gram, np.eye(len(ids)))  # each has a label of its own
    assert CONTROLS["category"].make(NET, LOOK, 0).represent(stimuli)["labels"].ids == tuple(ids)


# Layers by pattern

CHARACTERS = st.text("abc*?[]!-^\\.1 é", max_size=6) | st.sampled_from(["a[1]", "[ab]", "b[!c]"])
PATTERNS = st.lists(
    st.sampled_from([*LAYERS, "*", "conv*", "[!c]*", "fc[0-9]", "[z-a]", "[", ""]) | CHARACTERS, max_size=3
)
TWO = StimulusSet("two", ("a", "b"), {"a": PIXELS, "b": PIXELS.rotate(90)}.__getitem__)


@fuzz(150, PATTERNS)
def test_patterns_choose_layers_in_order_or_are_refused(patterns):
    found = accepted(lambda: probe(MODEL, TWO, patterns))
    assert found and list(found) == [layer for layer in MODEL.net.layers if layer in found]
    if "*" in patterns:
        assert list(found) == list(MODEL.layers)


@fuzz(200, st.lists(CHARACTERS, min_size=1, max_size=4, unique=True), PATTERNS, st.data())
def test_a_layers_own_name_always_chooses_it(names, patterns, data):
    represented = {name: Representation.from_features(name, TWO.ids, np.eye(2)) for name in names}
    model = Given("given", lambda stimuli: represented)
    one = data.draw(st.sampled_from(names))
    assert one in probe(model, TWO, [one])
    found = accepted(lambda: probe(model, TWO, [*patterns, one]))
    assert one in found and list(found) == [name for name in names if name in found]
    accepted(lambda: probe(model, TWO, patterns))


@fuzz(
    100,
    st.lists(CHARACTERS.filter(lambda name: name and "." not in name), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_a_submodules_own_name_always_chooses_it(names, data):
    net = torch.nn.Sequential()
    for name in names:
        net.add_module(name, torch.nn.Identity())
    one = data.draw(st.sampled_from(names))
    assert one in Model("net", net, tuple(names), LOOK).choose([one])


# Names in figures

HOSTILE = ("<script>alert(1)</script>", "]]><script>", "--><a href='javascript:alert(2)'>", '"/><script>')


def test_no_name_becomes_code_in_a_figure(tmp_path):
    model, layer, other, name = HOSTILE
    brain = load_benchmark("simulated.rdm")
    features = np.random.default_rng(0).standard_normal((len(brain.stimuli), 3))
    found = {key: Representation.from_features(key, brain.stimuli.ids, features) for key in (layer, other)}
    unknown = Ceiling(math.nan, math.nan, math.nan, "none")
    scored = score_layers({"model": model, "seed": 0}, found, brain, METRICS["rsa_spearman"], unknown)
    (path,) = plot.save(plot.by_layer(scored.table().assign(benchmark=name)), tmp_path / "figure", ["svg"])
    elements = list(ElementTree.parse(path).iter())
    assert {element.tag.partition("}")[2] for element in elements}.isdisjoint({"script", "a"})
    words = [element.text for element in elements if element.text]
    assert all(any(given in word for word in words) for given in HOSTILE)
