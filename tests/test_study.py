"""A study end to end on data that ship with the packages: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from neurocompare.controls import CONTROLS
from neurocompare.errors import InputError
from neurocompare.score import Score, score
from neurocompare.spec import StudySpec, builtin_spec, read_spec
from neurocompare.study import Entry, Study, open_study
from neurocompare.study import models as study_models
from neurocompare.study import scores as study_scores

TINY = """
name = "tiny"
dataset = "digits"
rules = ["feedback_alignment", "node_perturbation"]
controls = ["untrained", "permuted_weights", "shuffled_labels", "pixels"]
seeds = [0, 1]
[network]
architecture = "convnet"
channels = [4, 8]
hidden = [12]
[training]
epochs = 1
batch_size = 32
items = 256
[rule_settings.node_perturbation]
directions = 2
[benchmarks]
"simulated.rdm" = ["rsa_spearman"]
"simulated.units" = ["ridge", "rsa_spearman"]
"""


@pytest.fixture(scope="module")
def tiny_spec(tmp_path_factory) -> StudySpec:
    path = tmp_path_factory.mktemp("spec") / "tiny.toml"
    path.write_text(TINY)
    return read_spec(path)


@pytest.fixture(scope="module")
def finished(tiny_spec, tmp_path_factory) -> tuple[Study, pd.DataFrame]:
    study = Study(tiny_spec, tmp_path_factory.mktemp("study"))
    return study, study.run()


def test_the_table_has_a_row_for_every_cell_and_layer(finished):
    _, table = finished
    cells = 3  # benchmark and metric
    layers = {"feedback_alignment": 4, "node_perturbation": 4, "untrained": 4, "permuted_weights": 4}
    layers |= {"shuffled_labels": 4, "pixels": 1}
    seeds = {name: 1 if name == "pixels" else 2 for name in layers}
    expected = {name: cells * layers[name] * seeds[name] for name in layers}
    expected |= {"simulated.units": 1, "simulated.rdm": 2}  # each scored on the other's metrics
    assert table.groupby("model").size().to_dict() == expected
    assert table["raw"].notna().all()
    assert table.loc[table["model"] == "feedback_alignment", "task_accuracy"].notna().all()


def test_parquet_and_csv_hold_the_table(finished):
    study, table = finished
    pd.testing.assert_frame_equal(pd.read_parquet(study.folder / "scores.parquet"), table)
    text = pd.read_csv(study.folder / "scores.csv", keep_default_na=False, na_values=[""])
    assert list(text.columns) == list(table.columns)
    assert text["raw"].tolist() == pytest.approx(table["raw"].tolist(), abs=1e-15)


def test_every_score_is_a_netcdf_with_full_provenance(finished):
    study, _ = finished
    paths = sorted((study.folder / "scores").rglob("*.nc"))
    assert len(paths) == 3 * (5 * 2 + 1) + 3
    attrs = Score.load(study.folder / "scores/simulated.units/ridge/feedback_alignment-seed1.nc").data.attrs
    provenance = json.loads(attrs["provenance"])
    assert provenance["model"]["training"]["rule"] == "feedback_alignment"
    assert provenance["model"]["seed"] == 1
    assert len(provenance["model"]["weights_sha256"]) == 64
    assert provenance["model"]["preprocess"]["height"] == 8
    assert provenance["metric"]["splits"]["seed"] == 1
    assert provenance["metric"]["splits"]["n_splits"] == 10
    assert len(provenance["benchmark"]["sha256"]) == 64
    assert "torch" in provenance["versions"]


def test_a_finished_study_is_not_done_again_and_its_table_is_identical(finished, monkeypatch):
    study, table = finished
    for module, names in (
        (study_models, ("train", "load_dataset", "load_benchmark")),
        (study_scores, ("probe", "score_layers")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, _must_not_be_called(name))
    pd.testing.assert_frame_equal(Study(study.spec, study.folder).run(), table)


def test_an_interrupted_study_goes_on_to_the_same_table(tiny_spec, finished, tmp_path, monkeypatch):
    done = []
    original = study_scores.score_layers

    def fails_at_the_tenth(*args, **kwargs):
        if len(done) == 10:
            raise KeyboardInterrupt
        done.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(study_scores, "score_layers", fails_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        Study(tiny_spec, tmp_path).run()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "scores").rglob("*.nc")}
    assert len(written) == 10
    monkeypatch.setattr(study_scores, "score_layers", original)
    pd.testing.assert_frame_equal(Study(tiny_spec, tmp_path).run(), finished[1])
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_permuted_weights_come_from_backprop_even_where_the_study_does_not_list_it(finished):
    study, table = finished
    assert "backprop" not in table["model"].unique()
    assert (study.folder / "runs" / "backprop-seed0" / "run.json").is_file()


def test_shuffled_labels_are_learnt_by_backprop_in_a_run_of_their_own(finished):
    study, _ = finished
    record = json.loads((study.folder / "runs" / "shuffled_labels-seed1" / "run.json").read_text())
    assert record["rule"] == "backprop"
    assert record["dataset"] == "digits, labels shuffled"
    right = json.loads((study.folder / "runs" / "backprop-seed1" / "run.json").read_text())
    assert record["test_accuracy"] < right["test_accuracy"]


def test_a_folder_with_another_study_is_refused_and_nothing_is_lost(finished, tiny_spec):
    study, table = finished
    other = Study(tiny_spec.model_copy(update={"seeds": (7,)}), study.folder)
    with pytest.raises(InputError, match=r"already holds another study \('tiny'; they differ in seeds\)"):
        other.run()
    pd.testing.assert_frame_equal(open_study(study.folder).table(), table)


def test_a_folder_without_a_study_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="holds no study; make one with `neurocompare run"):
        open_study(tmp_path)


def test_a_damaged_run_is_named_with_both_sums_and_trained_again(tiny_spec, tmp_path, caplog):
    spec = tiny_spec.model_copy(update={"rules": ("backprop",), "controls": (), "seeds": (0,)})
    table = Study(spec, tmp_path).run()
    weights = tmp_path / "runs" / "backprop-seed0" / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "scores" / "simulated.rdm" / "rsa_spearman" / "backprop-seed0.nc").unlink()
    pd.testing.assert_frame_equal(Study(spec, tmp_path).run(), table)
    assert re.search(r"weights.pt is not what was written: expected sha256 \w{64}, found \w{64}", caplog.text)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:-9] + bytes([raw[-9] ^ 16]) + raw[-8:]]
)
def test_a_truncated_or_flipped_score_is_detected_and_computed_again(tiny_spec, tmp_path, caplog, damage):
    spec = tiny_spec.model_copy(update={"rules": ("backprop",), "controls": (), "seeds": (0,)})
    table = Study(spec, tmp_path).run()
    cell = tmp_path / "scores" / "simulated.units" / "ridge" / "backprop-seed0.nc"
    whole = cell.read_bytes()
    cell.write_bytes(damage(whole))
    with pytest.raises(InputError, match=r"backprop-seed0.nc is not a readable score: .*; delete it"):
        open_study(tmp_path).table()
    pd.testing.assert_frame_equal(Study(spec, tmp_path).run(), table)
    assert "it is computed again" in caplog.text
    assert len(cell.read_bytes()) == len(whole)


def test_what_fails_stops_nothing_else_and_is_tried_again_when_asked(tiny_spec, finished, tmp_path, monkeypatch):
    original = study_models.train

    def breaks_for_one(net, rule, *args, **kwargs):
        if rule.name == "node_perturbation" and kwargs["seed"] == 1:
            raise RuntimeError("the dog ate\nit")
        return original(net, rule, *args, **kwargs)

    monkeypatch.setattr(study_models, "train", breaks_for_one)
    _, whole = finished
    table = Study(tiny_spec, tmp_path).run()
    lost = (whole["model"] == "node_perturbation") & (whole["seed"] == 1)
    pd.testing.assert_frame_equal(table, whole[~lost].reset_index(drop=True))
    status = open_study(tmp_path).status()
    assert status["state"].value_counts().to_dict() == {"done": 3 * (5 * 2 + 1) + 3 - 3, "failed": 3}
    failed = status[status["state"] == "failed"]
    assert set(failed["model"]) == {"node_perturbation"}
    assert set(failed["reason"]) == {"RuntimeError: the dog ate it"}
    monkeypatch.setattr(study_models, "train", original)
    pd.testing.assert_frame_equal(Study(tiny_spec, tmp_path).run(), table)  # not by itself
    pd.testing.assert_frame_equal(Study(tiny_spec, tmp_path).run(retry=True), whole)
    assert set(open_study(tmp_path).status()["state"]) == {"done"}


def test_where_all_fail_the_first_reason_is_told(tiny_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(study_scores, "probe", _must_not_be_called("probe"))
    with pytest.raises(InputError, match=r"holds no scores yet; 36 failed, the first for AssertionError: .*probe"):
        Study(tiny_spec, tmp_path).run()


def test_a_full_disk_ends_the_study_and_loses_nothing(tiny_spec, finished, tmp_path, monkeypatch):
    import errno

    import xarray as xr

    original, written = xr.Dataset.to_netcdf, []

    def full_after_ten(self, path, *args, **kwargs):
        original(self, path, *args, **kwargs)
        if len(written) >= 10:
            path.write_bytes(path.read_bytes()[:100])  # what got through before there was no more room
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full_after_ten)
    with pytest.raises(OSError, match="No space left on device"):
        Study(tiny_spec, tmp_path).run()
    assert set(open_study(tmp_path).status()["state"]) == {"done", "planned"}
    assert all(Score.load(path) for path in (tmp_path / "scores").rglob("*") if path.is_file())
    monkeypatch.setattr(xr.Dataset, "to_netcdf", original)
    pd.testing.assert_frame_equal(Study(tiny_spec, tmp_path).run(), finished[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('rules = ["feedback', 'rulez = ["feedback'), r"unknown key 'rulez'; did you mean 'rules'"),
        (("epochs = 1", "epoch = 1"), r"unknown key 'epoch'; did you mean 'epochs'"),
        (("epochs = 1", "epochs = 0"), r"training.epochs: Input should be greater than or equal to 1"),
        (("epochs = 1", 'epochs = "many"'), r"training.epochs: Input should be a valid integer"),
        (('"feedback_alignment"', '"feedback_alignmnet"'), r"unknown rule .* did you mean 'feedback_alignment'"),
        (('"pixels"', '"pixel"'), r"unknown control 'pixel'; did you mean 'pixels'"),
        (("simulated.rdm", "simulated.rdms"), r"unknown benchmark 'simulated.rdms'; did you mean 'simulated.rdm'"),
        (('["rsa_spearman"]', '["rsa_spearmen"]'), r"unknown metric 'rsa_spearmen'; did you mean 'rsa_spearman'"),
        (('"digits"', '"digit"'), r"unknown dataset 'digit'; did you mean 'digits'"),
        (("rule_settings.node_", "rule_settings.mode_"), r"unknown rule 'mode_perturbation'"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), r"seeds must differ"),
        (("seeds = [0, 1]", "seeds = []"), r"seeds: .* at least 1 item"),
        (("seeds = [0, 1]", "seeds = [0, 1"), r"cannot read the study .*tiny.toml"),
    ],
)
def test_a_mistake_in_a_study_file_is_named_with_the_way_out(tmp_path, change, message):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        Study(read_spec(path), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("channels = ", "chanels = "), "architecture 'convnet' cannot be built"),
        (('"convnet"', '"convet"'), "unknown architecture 'convet'; did you mean 'convnet'"),
        (
            ("directions = 2", "direction = 2"),
            "unknown setting of NodePerturbation 'direction'; did you mean 'directions'",
        ),
    ],
)
def test_a_mistake_that_only_building_shows_is_named_too(tmp_path, change, message):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(InputError, match=message):
        Study(read_spec(path), tmp_path / "out").run()


def test_the_builtin_studies_are_valid_and_hold_what_they_promise():
    first, offline = builtin_spec("first_light"), builtin_spec("offline")
    rules = ("backprop", "feedback_alignment", "direct_feedback_alignment", "node_perturbation")
    for spec in (first, offline):
        assert spec.rules == rules
        assert spec.all_controls == tuple(n for n, c in CONTROLS.items() if c.of != "sound")
        assert spec.regions
        assert len(spec.seeds) >= 3
    assert first.quick().training.items == 5000
    assert first.quick() != first


def _must_not_be_called(name):
    def refuse(*args, **kwargs):
        raise AssertionError(f"{name} was called")

    return refuse


def test_networks_are_scored_along_training(tiny_spec, finished, tmp_path):
    training = tiny_spec.training.model_copy(update={"snapshots": (2, 5)})
    spec = tiny_spec.model_copy(update={"training": training, "controls": ("untrained",)})
    study = Study(spec, tmp_path)
    table = study.run()
    final = finished[1].set_index(["benchmark", "metric", "model", "seed", "layer"])["raw"]
    own = table.set_index(["benchmark", "metric", "model", "seed", "layer"])["raw"]
    pd.testing.assert_series_equal(own, final.loc[own.index])  # a look on the way does not change what comes out
    learning = pd.read_parquet(tmp_path / "learning.parquet")
    assert learning.groupby("step").size().to_dict() == dict.fromkeys((2, 5, 8), 2 * 2 * 4 * 3)
    last = learning[learning["step"] == 8].set_index(["benchmark", "metric", "model", "seed", "layer"])["raw"]
    pd.testing.assert_series_equal(last, own.loc[last.index])
    run = study.models.trained(Entry("feedback_alignment", 1))
    benchmark = study.models.benchmarks["simulated.rdm"]
    expected = score(run.at(5).model(), benchmark, "rsa_spearman").table()
    chosen = learning.query(
        "step == 5 and model == 'feedback_alignment' and seed == 1 and benchmark == 'simulated.rdm'"
    )
    assert chosen["raw"].tolist() == pytest.approx(expected["raw"].tolist(), abs=1e-12)
    assert (chosen["task_accuracy"] == run.at(5).record["test_accuracy"]).all()
    status = study.status()
    assert len(status) == len(study.all_planned) == 3 * (2 * 2 * 3 + 2) + 3
    assert set(status["state"]) == {"done"}


def test_a_snapshot_that_lacks_is_scored_without_training_again(tiny_spec, tmp_path, monkeypatch):
    training = tiny_spec.training.model_copy(update={"snapshots": (3,)})
    spec = tiny_spec.model_copy(update={"training": training, "controls": (), "rules": ("feedback_alignment",)})
    Study(spec, tmp_path).run()
    before = pd.read_parquet(tmp_path / "learning.parquet")
    (path,) = (tmp_path / "scores" / "simulated.rdm" / "rsa_spearman").glob("*-seed0-step3.nc")
    path.unlink()
    monkeypatch.setattr(study_models, "train", _must_not_be_called("train"))
    Study(spec, tmp_path).run()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "learning.parquet"), before)
    assert path.is_file()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"name": "x"}', b"[" * 100_000])
def test_a_damaged_study_file_is_named(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.json is damaged"):
        open_study(tmp_path)
