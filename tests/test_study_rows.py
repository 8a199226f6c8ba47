"""Rows of a study that are kept: the same as those of the scores, whatever happened to either."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from neurocompare.score import Score
from neurocompare.spec import StudySpec
from neurocompare.study import Study, open_study
from neurocompare.study import rows as study_rows
from neurocompare.study import study as study_module

SPEC = StudySpec(
    name="kept", dataset="digits", rules=("backprop", "feedback_alignment"), controls=("untrained", "pixels"), seeds=(0, 1),
    network={"architecture": "mlp", "hidden": [8]},
    training={"epochs": 1, "batch_size": 32, "items": 64, "snapshots": (1,)},
    benchmarks={"simulated.rdm": ("rsa_spearman",), "simulated.units": ("ridge",)},
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    Study(SPEC, folder).run()
    return folder


@pytest.fixture
def study(finished, tmp_path) -> Study:
    return Study(SPEC, shutil.copytree(finished, tmp_path / "study"))


def by_hand(study: Study) -> pd.DataFrame:
    """Every score read from its file."""
    return pd.concat([Score.load(study.cells.score(cell)).table() for cell in study.all_cells], ignore_index=True)


def refuse(*args, **kwargs):
    raise AssertionError("a score was read")


def test_rows_are_those_of_the_scores_and_no_score_is_read_twice(study, monkeypatch):
    expected, learning = by_hand(study), pd.read_parquet(study.folder / "learning.parquet")
    monkeypatch.setattr(Score, "load", refuse)
    again = open_study(study.folder)
    pd.testing.assert_frame_equal(again.table(), expected)
    pd.testing.assert_frame_equal(again.learning_table(), learning)
    pd.testing.assert_frame_equal(Study(SPEC, study.folder).run(), expected)


def test_a_score_that_changed_is_read_again_and_only_that(study, monkeypatch):
    first, other = study.cells.score(study.all_cells[0]), study.cells.score(study.all_cells[1])
    changed = Score.load(first)
    Score(changed.data.assign(value=changed.data["value"] + 1)).save(first)
    expected, original, read = by_hand(study), Score.load, []
    monkeypatch.setattr(Score, "load", lambda path: read.append(path) or original(path))
    pd.testing.assert_frame_equal(open_study(study.folder).table(), expected)
    pd.testing.assert_frame_equal(Study(SPEC, study.folder).run(), expected)
    assert read == [first, first] and other not in read  # the second kept what the first, which only read, could not


def test_a_score_that_was_deleted_is_not_in_the_table(study):
    expected = by_hand(study)
    cell = study.all_cells[0]
    gone = Score.load(study.cells.score(cell)).table()
    study.cells.score(cell).unlink()
    table = open_study(study.folder).table()
    pd.testing.assert_frame_equal(table, expected[len(gone) :].reset_index(drop=True))


@pytest.mark.parametrize("place", [0, 3, 70, 500, -1])
def test_kept_rows_that_are_damaged_are_not_believed(study, place):
    kept = study.folder / study_rows.KEPT
    content = bytearray(kept.read_bytes())
    content[place] ^= 1
    for damaged in (bytes(content), bytes(content[:place])):
        kept.write_bytes(damaged)
        pd.testing.assert_frame_equal(Study(SPEC, study.folder).run(), by_hand(study))


def test_rows_are_kept_while_a_study_goes_on(tmp_path, monkeypatch):
    """Should it be killed, what was read by then need not be read again."""

    def broken_off(self, entry, **kwargs):
        if entry.name == "untrained":
            raise KeyboardInterrupt
        return complete(self, entry, **kwargs)

    complete = Study.complete
    monkeypatch.setattr(study_module, "ROWS_AT_RISK", 5)
    monkeypatch.setattr(Study, "complete", broken_off)
    folder = tmp_path / "broken off"
    with pytest.raises(KeyboardInterrupt):
        Study(SPEC, folder).run()
    monkeypatch.undo()
    original, read = Score.load, []
    monkeypatch.setattr(Score, "load", lambda path: read.append(path) or original(path))
    assert set(open_study(folder).table()["model"]) == set(SPEC.rules)
    assert len(read) < 5 < len(SPEC.rules) * len(SPEC.seeds) * len(SPEC.benchmarks)


def test_kept_rows_of_another_version_are_not_believed(study, monkeypatch):
    expected, original, read = by_hand(study), Score.load, []
    monkeypatch.setattr(Score, "load", lambda path: read.append(path) or original(path))
    monkeypatch.setattr(study_rows, "__version__", "0.0.0")
    pd.testing.assert_frame_equal(open_study(study.folder).table(), expected)
    assert len(read) == len(study.all_cells)


def test_where_every_rule_fails_the_scores_along_training_are_an_empty_table(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr(study_module.Models, "trained", fails)
    spec = SPEC.model_copy(update={"controls": ("pixels",)})
    assert set(Study(spec, tmp_path).run()["model"]) == {"pixels", *spec.benchmarks}
    assert pd.read_parquet(tmp_path / "learning.parquet").empty
