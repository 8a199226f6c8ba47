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

from data_loaders import BENCHMARKS, LOADERS, can_model, load_benchmark, load_dataset
from neurocompare import __version__
from neurocompare.baselines import region
from neurocompare.benchmark import Benchmark
from neurocompare.cells import Cell, Cells
from neurocompare.controls import CONTROLS, the_task
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable, InputError, unknown_name
from neurocompare.execute import completed
from neurocompare.files import atomic, write_text
from neurocompare.hearing import trainable
from neurocompare.lock import holder, only_writer
from neurocompare.metrics import METRICS, Ceiling, Metric, OverTime, data_for
from neurocompare.model import Given, Model
from neurocompare.networks import LayeredNet, build
from neurocompare.probe import probe
from neurocompare.progress import Track, silent
from neurocompare.representation import Representation
from neurocompare.rules import RULES
from neurocompare.score import DamagedScore, Score, score_layers, undefined
from neurocompare.spec import StudySpec
from neurocompare.stimuli import StimulusSet
from neurocompare.train import RECORD, Run, train

REFERENCE = "backprop"  # the rule of the networks that controls are made of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One model of a study: a rule, a control or a region, with a seed unless there is only one such model."""

    name: str
    seed: int | None

    @property
    def label(self) -> str:
        """For file names."""
        return self.name if self.seed is None else f"{self.name}-seed{self.seed}"


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

    def cells_of(self, entry: Entry) -> list[Cell]:
        """The scores that an entry is to have; a region is no model of itself."""
        benchmarks = self._siblings(entry.name) if entry.name in self.spec.benchmarks else self.spec.benchmarks
        return [Cell(name, metric, entry.label) for name in benchmarks for metric in self.spec.benchmarks[name]]

    @property
    def all_cells(self) -> list[Cell]:
        """The scores of all entries, in the order of the table."""
        by_entry = {cell: None for entry in self.entries for cell in self.cells_of(entry)}
        places = {(b, m): k for k, (b, m) in enumerate((b, m) for b, ms in self.spec.benchmarks.items() for m in ms)}
        return sorted(by_entry, key=lambda cell: places[cell.benchmark, cell.metric])

    def missing(self, entry: Entry) -> list[Cell]:
        """The scores that are still to do."""
        return [cell for cell in self.cells_of(entry) if self.cells.is_open(cell)]

    def prepare(self) -> None:
        """Load whatever data the missing part needs and build a network, so that what is wrong shows before any work.

        Raises:
            DataUnavailable: some of it cannot be had.
            InputError: network or rules cannot be built as the study says.
        """
        if any(self.missing(entry) for entry in self.entries):
            _ = self.benchmarks
            net = self._net(self.spec.seeds[0])
            for rule in self.spec.rules:
                RULES[rule].for_net(net, seed=0, **self.spec.rule_settings.get(rule, {}))

    @cached_property
    def dataset(self) -> Dataset:
        """The training data."""
        data = trainable(load_dataset(self.spec.dataset))
        items = self.spec.training.items
        return data if items is None else data.first(items)

    @cached_property
    def benchmarks(self) -> dict[str, Benchmark]:
        """The benchmarks by name, stimuli decoded once."""
        return {name: load_benchmark(name).in_memory() for name in self.spec.benchmarks}

    def run(
        self, track: Track = silent, workers: int = 1, *, scheduler: str | None = None, retry: bool = False
    ) -> pd.DataFrame:
        """Do what is missing, write ``scores.parquet`` and ``scores.csv``, and return the table.

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
                for cell in self.all_cells:
                    self.cells.forgive(cell)
            self.prepare()
            self.claim()
            self._do(track, workers, scheduler)
            if self._remove_damaged():
                self._do(track, workers, scheduler)
            table = self.table()
            for suffix, write in (("parquet", _write_parquet), ("csv", _write_csv)):
                with atomic(self.folder / f"scores.{suffix}") as temporary:
                    write(table, temporary)
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
        for _ in track(done, f"study {self.spec.name!r}, models", sum(map(len, waves))):
            pass

    def complete(self, entry: Entry, track: Track = silent) -> None:
        """Train what an entry needs, and add the scores that it lacks; an entry that the study only refers to has none.

        An error is noted as the reason of what could not be done for it. Only where nothing can be written is it raised.
        """
        todo = self.missing(entry) if entry in self.entries else []
        with self.cells.running(entry.label):
            try:
                model = self._model(entry, track)
                self._score(model, entry, todo)
            except OSError:  # a full disk, a folder that may not be written: no other model would fare better
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, it is kept with its traceback)
                log.warning("%s failed: %s", entry.label, error)
                for cell in filter(self.cells.is_open, todo):
                    self.cells.fail(cell, error)

    def table(self) -> pd.DataFrame:
        """Every finished score, one row per layer.

        Raises:
            InputError: there is none yet, or a score is damaged.
        """
        tables = [self._row(cell) for cell in self._finished()]
        if not tables:
            reasons = [reason for cell in self.all_cells if (reason := self.cells.reason(cell))]
            why = f"; {len(reasons)} failed, the first for {reasons[0]}" if reasons else "; run the study first"
            raise InputError(f"{self.folder} holds no scores yet{why}")
        return pd.concat(tables, ignore_index=True)

    def status(self) -> pd.DataFrame:
        """How far it is: a row per score with ``model``, ``seed``, ``benchmark``, ``metric``, ``state`` and ``reason``.

        The state is done, failed, running or planned.
        """
        done, failed = self.cells.present()
        running = set(self.cells.at_work()) if holder(self.folder) else set()
        rows = []
        for entry in self.entries:
            for cell in self.cells_of(entry):
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
        left = len(self.all_cells) - len(done) - len(failed)
        return left * elapsed / fresh if fresh > 0 and elapsed > 0 else None  # a clock may have been set back

    def _finished(self) -> list[Cell]:
        present, _ = self.cells.present()
        return [cell for cell in self.all_cells if cell in present]

    def _row(self, cell: Cell) -> pd.DataFrame:
        """A score's part of the table; each file is read once."""
        if cell not in self._rows:
            self._rows[cell] = Score.load(self.cells.score(cell)).table()
        return self._rows[cell]

    @cached_property
    def _rows(self) -> dict[Cell, pd.DataFrame]:
        return {}

    def _remove_damaged(self) -> int:
        """Remove scores that are not what was written, to be computed again; returns how many."""
        damaged = 0
        for cell in self._finished():
            try:
                self._row(cell)
            except DamagedScore as error:
                log.warning("%s: it is computed again", error)
                self.cells.score(cell).unlink()
                damaged += 1
        return damaged

    @cached_property
    def _ceilings(self) -> dict[tuple[str, str], Ceiling]:
        return {}

    def _score(self, model: Model | Given, entry: Entry, todo: Iterable[Cell]) -> None:
        description = {**model.describe(), "seed": entry.seed}
        probed: dict[tuple[str, bool], dict[str, Representation] | InputError] = {}
        for cell in todo:
            benchmark, metric = self.benchmarks[cell.benchmark], METRICS[cell.metric]
            shown = (benchmark.stimuli.fingerprint, isinstance(metric, OverTime))
            if shown not in probed:  # regions of one experiment share their stimuli
                probed[shown] = self._probed(model, benchmark.stimuli, over_time=shown[1])
            key = (benchmark.name, metric.name)
            if key not in self._ceilings:
                self._ceilings[key] = metric.ceiling(data_for(metric, benchmark.data))
            layers = probed[shown]
            scored = self._scored(description, layers, benchmark, metric, self._ceilings[key])
            scored.save(self.cells.score(cell))

    @staticmethod
    def _scored(
        description: dict[str, Any],
        layers: dict[str, Representation] | InputError,
        benchmark: Benchmark,
        metric: Metric,
        ceiling: Ceiling,
    ) -> Score:
        try:
            if isinstance(layers, InputError):
                raise layers
            return score_layers(description, layers, benchmark, metric, ceiling)
        except InputError as reason:
            return undefined(description, benchmark, metric, str(reason), ceiling)

    def _probed(
        self, model: Model | Given, stimuli: StimulusSet, *, over_time: bool
    ) -> dict[str, Representation] | InputError:
        """The model's layers, or why it has none for these stimuli: some controls look for what not all stimuli have."""
        all_metrics = (METRICS[name] for names in self.spec.benchmarks.values() for name in names)
        keep = any(m.needs_features for m in all_metrics if isinstance(m, OverTime) == over_time)
        try:
            return probe(model, stimuli, keep_features=keep, average_time=not over_time)
        except InputError as reason:
            if isinstance(model, Model):
                raise
            return reason

    def _model(self, entry: Entry, track: Track) -> Model | Given:
        if entry.name in RULES:
            return self._trained(entry, track).model()
        if entry.name in self.spec.benchmarks:
            return region(self.benchmarks[entry.name], each_subject=False)
        control = CONTROLS[entry.name]
        seed = self.spec.seeds[0] if entry.seed is None else entry.seed
        if control.trained_on is None:
            net = self._net(seed)
        else:
            net = self._trained(Entry(REFERENCE if control.trained_on is the_task else entry.name, seed), track).net
        return control.make(net, self.dataset.preprocess, seed)

    def _net(self, seed: int) -> LayeredNet:
        shape, n_classes = list(self.dataset.input_shape), self.dataset.n_outputs
        return build({**self.spec.network, "input_shape": shape, "n_classes": n_classes, "seed": seed})

    def _trained(self, entry: Entry, track: Track) -> Run:
        folder = self.folder / "runs" / entry.label
        if (folder / RECORD).is_file():
            try:
                return Run.load(folder)
            except DataUnavailable as error:
                log.warning("%s: it is trained again", error)
        seed = self.spec.seeds[0] if entry.seed is None else entry.seed
        net, training = self._net(seed), self.spec.training
        name = entry.name if entry.name in RULES else REFERENCE
        task = CONTROLS[entry.name].trained_on if entry.name in CONTROLS else None
        run = train(
            net,
            RULES[name].for_net(net, seed=seed, **self.spec.rule_settings.get(name, {})),
            self.dataset if task is None else task(self.dataset, seed),
            epochs=training.epochs,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate.get(name),
            seed=seed,
            checkpoint=folder / "checkpoint",
            track=track,
        )
        run.save(folder)
        return run


def _complete(spec: StudySpec, folder: Path, entry: Entry) -> None:
    _study_of_this_process(spec.model_dump_json(), folder).complete(entry)


@cache
def _study_of_this_process(spec: str, folder: Path) -> Study:
    """A worker loads the data of its study once."""
    return Study(StudySpec.model_validate_json(spec), folder)


def open_study(folder: Path) -> Study:
    """The study that a folder holds.

    Raises:
        InputError: it holds none.
    """
    path = folder / "study.json"
    if not path.is_file():
        raise InputError(f"{folder} holds no study; make one with `neurocompare run -o {folder}`")
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Study(StudySpec.model_validate({k: v for k, v in content.items() if k != "neurocompare"}), folder)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False)
