"""A study: rules and controls x seeds x layers x benchmarks x metrics, described by a small TOML file.

Everything finished lies in the study's folder (``runs/``, ``scores/``), written whole or not at all and checked when it is
read; running the same study again does only what is missing. What fails is noted (``failures/``) and stops nothing else. The
table is always collated from those files.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from data_loaders import BENCHMARKS, LOADERS, can_model
from neurocompare import __version__
from neurocompare.cells import Cell, Cells
from neurocompare.controls import CONTROLS, the_task
from neurocompare.errors import InputError, unknown_name
from neurocompare.execute import completed
from neurocompare.files import atomic, write_text
from neurocompare.lock import holder, only_writer
from neurocompare.metrics import METRICS
from neurocompare.progress import Track, silent
from neurocompare.rules import RULES
from neurocompare.spec import StudySpec
from neurocompare.study.models import REFERENCE, Entry, Models
from neurocompare.study.rows import Rows
from neurocompare.study.scores import Scorer

ROWS_AT_RISK = 100  # scores to be read again, at a hundredth of a second each, should the process be killed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """A study in a folder.

    Attributes:
        spec: what it consists of.
        folder: where it is kept.
    """

    spec: StudySpec
    folder: Path

    def __post_init__(self) -> None:
        """Check every name against its registry.

        Raises:
            InputError: an unknown name, with the nearest one; or a seed given twice.
        """
        groups: list[tuple[str, Any, Any]] = [
            ("dataset", [self.spec.dataset], LOADERS),
            ("rule", [*self.spec.rules, *self.spec.training.learning_rate, *self.spec.rule_settings], RULES),
            ("control", self.spec.all_controls, CONTROLS),
            ("benchmark", self.spec.benchmarks, BENCHMARKS),
            ("metric", [metric for metrics in self.spec.benchmarks.values() for metric in metrics], METRICS),
        ]
        for kind, names, known in groups:
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
        if len(set(self.spec.seeds)) != len(self.spec.seeds):
            raise InputError(f"seeds must differ, but are {list(self.spec.seeds)}")

    def claim(self) -> None:
        """Make the folder this study's.

        Raises:
            InputError: it holds another study, or the same one made by another version.
        """
        path = self.folder / "study.json"
        mine = {"neurocompare": __version__, **self.spec.model_dump(mode="json")}
        if path.is_file():
            theirs = json.loads(path.read_text(encoding="utf-8"))
            differing = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
            if differing:
                raise InputError(
                    f"{self.folder} already holds another study ({theirs.get('name')!r}; they differ in "
                    f"{', '.join(differing)}); choose another folder with -o, or delete that one"
                )
        else:
            write_text(path, json.dumps(mine, indent=1) + "\n")

    @cached_property
    def entries(self) -> list[Entry]:
        """Rules, then controls, each with its seeds; then regions."""
        names = [(name, True) for name in self.spec.rules]
        names += [(name, CONTROLS[name].seeded) for name in self.spec.all_controls]
        names += [(name, False) for name in self.spec.benchmarks if self._siblings(name)]
        return [Entry(n, s) for n, seeded in names for s in (self.spec.seeds if seeded else (None,))]

    def _siblings(self, region: str) -> list[str]:
        """The benchmarks of which a region is a model: other recordings with the same stimuli."""
        return [name for name in self.spec.benchmarks if can_model(region, name)] if self.spec.regions else []

    @property
    def cells(self) -> Cells:
        """What there is of its scores."""
        return Cells(self.folder)

    def cells_of(self, entry: Entry, step: int | None = None) -> list[Cell]:
        """The scores that an entry is to have after so many steps, or at the end; a region is no model of itself."""
        benchmarks = self._siblings(entry.name) if entry.name in self.spec.benchmarks else self.spec.benchmarks
        label = entry.label_at(step)
        return [Cell(name, metric, label) for name in benchmarks for metric in self.spec.benchmarks[name]]

    @property
    def all_cells(self) -> list[Cell]:
        """The scores of all entries when training is over, in the order of the table."""
        by_entry = {cell: None for entry in self.entries for cell in self.cells_of(entry)}
        places = {(b, m): k for k, (b, m) in enumerate((b, m) for b, ms in self.spec.benchmarks.items() for m in ms)}
        return sorted(by_entry, key=lambda cell: places[cell.benchmark, cell.metric])

    def _cells_at_all_steps(self, entry: Entry) -> list[Cell]:
        return [cell for step in self.models.steps(entry) for cell in self.cells_of(entry, step)]

    def missing(self, entry: Entry) -> list[Cell]:
        """The scores that are still to do."""
        return [cell for cell in self._cells_at_all_steps(entry) if self.cells.is_open(cell)]

    def prepare(self) -> None:
        """Load whatever data the missing part needs and build a network, so that what is wrong shows before any work.

        Raises:
            DataUnavailable: some of it cannot be had.
            InputError: network or rules cannot be built as the study says.
        """
        if any(self.missing(entry) for entry in self.entries):
            _ = self.models.benchmarks
            self.models.check()

    @cached_property
    def models(self) -> Models:
        """How its models come about."""
        return Models(self.spec, self.folder)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.models.benchmarks, self.spec.benchmarks)

    def run(
        self, track: Track = silent, workers: int = 1, *, scheduler: str | None = None, retry: bool = False
    ) -> pd.DataFrame:
        """Do what is missing, write ``scores.parquet`` and ``scores.csv``, and return the table.

        Where the study has snapshots, ``learning.parquet`` and ``learning.csv`` have the scores along training.

        Args:
            track: shows progress over models, and over training steps where there is one worker.
            workers: processes that share the models out.
            scheduler: of a Dask cluster, in place of those.
            retry: what failed before is tried again.
        Raises:
            InputError: the folder holds another study, another process works on it, data cannot be had, or all failed.
        """
        with only_writer(self.folder, finished=len(self.cells.present()[0])):
            if retry:
                for cell in self.all_planned:
                    self.cells.forgive(cell)
            self.prepare()
            self.claim()
            self._do(track, workers, scheduler)
            if self._remove_damaged():
                self._do(track, workers, scheduler)
            table = self.table()
            self._rows.store()
            _write(table, self.folder / "scores")
            if self.spec.training.snapshots:
                _write(self.learning_table(), self.folder / "learning")
        return table

    def _do(self, track: Track, workers: int, scheduler: str | None) -> None:
        todo = [entry for entry in self.entries if self.missing(entry)]
        controls = [entry for entry in todo if entry.name not in RULES]
        of_trained = [name for name, control in CONTROLS.items() if control.trained_on is the_task]
        references = [Entry(REFERENCE, entry.seed) for entry in controls if entry.name in of_trained]
        trained = list(dict.fromkeys([*(entry for entry in todo if entry.name in RULES), *references]))
        here = workers == 1 and scheduler is None
        task = partial(self.complete, track=track) if here else partial(_complete, self.spec, self.folder.absolute())
        waves = (trained, controls)  # controls may need trained networks
        done = completed(task, waves, workers, scheduler)
        for entry in track(done, f"study {self.spec.name!r}, models", sum(map(len, waves))):
            self._rows.check(filter(self.cells.is_done, self._cells_at_all_steps(entry)))
            self._rows.store(ROWS_AT_RISK)

    def complete(self, entry: Entry, track: Track = silent) -> Entry:
        """Train what an entry needs, and add the scores that it lacks; an entry that the study only refers to has none.

        An error is noted as the reason of what could not be done for it. Only where nothing can be written is it raised.
        """
        todo = self.missing(entry) if entry in self.entries else []
        with self.cells.running(entry.label):
            try:
                for label, model in self.models.of(entry, track):
                    mine = [cell for cell in todo if cell.label == label]
                    for cell, scored in self._scorer.scores(model, entry.seed, mine):
                        scored.save(self.cells.score(cell))
            except OSError:  # a full disk, a folder that may not be written: no other model would fare better
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, it is kept with its traceback)
                log.warning("%s failed: %s", entry.label, error)
                for cell in filter(self.cells.is_open, todo):
                    self.cells.fail(cell, error)
        return entry

    def table(self) -> pd.DataFrame:
        """Every finished score of networks whose training is over, and of other models, one row per layer.

        Raises:
            InputError: there is none yet, or a score is damaged.
        """
        finished = self._done(self.all_cells)
        if not finished:
            reasons = [reason for cell in self.all_cells if (reason := self.cells.reason(cell))]
            why = f"; {len(reasons)} failed, the first for {reasons[0]}" if reasons else "; run the study first"
            raise InputError(f"{self.folder} holds no scores yet{why}")
        return self._rows.of(finished).drop(columns="step")

    def learning_table(self) -> pd.DataFrame:
        """The scores of the rules' networks along training, with the column ``step``: how many were taken; it may be empty.

        Raises:
            InputError: a score is damaged.
        """
        entries = [entry for entry in self.entries if entry.name in self.spec.rules]
        rows = self._rows.of(self._done(cell for entry in entries for cell in self._cells_at_all_steps(entry)))
        return rows.astype({"step": int}) if len(rows) else rows

    def status(self) -> pd.DataFrame:
        """How far it is: a row per score with ``model``, ``seed``, ``benchmark``, ``metric``, ``state`` and ``reason``.

        The state is done, failed, running or planned. Networks along training count as well.
        """
        done, failed = self.cells.present()
        running = set(self.cells.at_work()) if holder(self.folder) else set()
        rows = []
        for entry in self.entries:
            for cell in self._cells_at_all_steps(entry):
                reason = self.cells.reason(cell) if cell in failed else None
                state = "running" if entry.label in running else "planned"
                state = "done" if cell in done else "failed" if cell in failed else state
                rows.append((entry.name, entry.seed, cell.benchmark, cell.metric, state, reason))
        return pd.DataFrame(rows, columns=["model", "seed", "benchmark", "metric", "state", "reason"])

    def seconds_left(self) -> float | None:
        """How long the process that works on it will take at its pace so far; None where there is none, or no pace yet."""
        worker = holder(self.folder)
        if worker is None:
            return None
        done, failed = self.cells.present()
        fresh, elapsed = len(done) - int(worker.get("finished", 0)), time.time() - float(worker["started"])
        left = len(self.all_planned) - len(done) - len(failed)
        return left * elapsed / fresh if fresh > 0 and elapsed > 0 else None  # a clock may have been set back

    @property
    def all_planned(self) -> list[Cell]:
        """All scores that it is to have, those along training, too."""
        return [cell for entry in self.entries for cell in self._cells_at_all_steps(entry)]

    def _done(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those that have a score, by one look at the folder."""
        present, _ = self.cells.present()
        return [cell for cell in cells if cell in present]

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.cells)

    def _remove_damaged(self) -> int:
        """Remove scores that are not what was written, to be computed again; returns how many."""
        damaged = self._rows.check(self._done(self.all_planned))
        for cell, error in damaged.items():
            log.warning("%s: it is computed again", error)
            self.cells.score(cell).unlink()
        return len(damaged)


def _complete(spec: StudySpec, folder: Path, entry: Entry) -> Entry:
    return _study_of_this_process(spec.model_dump_json(), folder).complete(entry)


@cache
def _study_of_this_process(spec: str, folder: Path) -> Study:
    """A worker loads the data of its study once."""
    return Study(StudySpec.model_validate_json(spec), folder)


def open_study(folder: Path) -> Study:
    """The study that a folder holds.

    Raises:
        InputError: it holds none, or ``study.json`` is damaged.
    """
    path = folder / "study.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no study; make one with `neurocompare run -o {folder}`")
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        spec = StudySpec.model_validate({k: v for k, v in content.items() if k != "neurocompare"})
    except (ValueError, AttributeError, RecursionError) as error:  # pydantic's errors are ValueErrors, too
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} is damaged: {reason}; write it anew from the study's file with `neurocompare run`"
        ) from error
    return Study(spec, folder)


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic(path.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)
