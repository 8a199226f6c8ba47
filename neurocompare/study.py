"""A study: rules and controls x seeds x layers x benchmarks x metrics, described by a small TOML file.

Everything finished lies in the study's folder (``runs/``, ``scores/``), written whole or not at all; running the same study
again does only what is missing. The table is always collated from those files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from data_loaders import BENCHMARKS, LOADERS, load_benchmark, load_dataset
from neurocompare import __version__
from neurocompare.baselines import region
from neurocompare.benchmark import Benchmark
from neurocompare.controls import CONTROLS, the_task
from neurocompare.dataset import Dataset
from neurocompare.errors import InputError, unknown_name
from neurocompare.execute import completed
from neurocompare.files import atomic, write_text
from neurocompare.metrics import METRICS, Ceiling, Metric, data_for
from neurocompare.model import Given, Model
from neurocompare.networks import LayeredNet, build
from neurocompare.probe import probe
from neurocompare.progress import Track, silent
from neurocompare.representation import Representation
from neurocompare.rules import RULES
from neurocompare.score import Score, score_layers, undefined
from neurocompare.spec import StudySpec
from neurocompare.stimuli import StimulusSet
from neurocompare.train import RECORD, Run, train

REFERENCE = "backprop"  # the rule of the networks that controls are made of


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
            ("control", self.spec.controls, CONTROLS),
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
        names += [(name, CONTROLS[name].seeded) for name in self.spec.controls]
        names += [(name, False) for name in self.spec.benchmarks if self._siblings(name)]
        return [Entry(n, s) for n, seeded in names for s in (self.spec.seeds if seeded else (None,))]

    def _siblings(self, region: str) -> list[str]:
        """The other benchmarks of a region's dataset: it is a model of those."""
        dataset = region.partition(".")[0]
        others = [name for name in self.spec.benchmarks if name != region and name.partition(".")[0] == dataset]
        return others if self.spec.regions else []

    def cell(self, entry: Entry, benchmark: str, metric: str) -> Path:
        """Where one score is kept."""
        return self.folder / "scores" / benchmark / metric / f"{entry.label}.nc"

    def missing(self, entry: Entry) -> dict[str, list[str]]:
        """The scores that an entry still lacks: metrics by benchmark."""
        benchmarks = self._siblings(entry.name) if entry.name in self.spec.benchmarks else self.spec.benchmarks
        todo = {
            name: [metric for metric in self.spec.benchmarks[name] if not self.cell(entry, name, metric).is_file()]
            for name in benchmarks
        }
        return {benchmark: metrics for benchmark, metrics in todo.items() if metrics}

    def prepare(self) -> None:
        """Load whatever data the missing part needs, so that a lack of it shows before any work is done.

        Raises:
            DataUnavailable: some of it cannot be had.
        """
        if any(self.missing(entry) for entry in self.entries):
            _ = self.benchmarks, self.dataset

    @cached_property
    def dataset(self) -> Dataset:
        """The training data."""
        data = load_dataset(self.spec.dataset)
        items = self.spec.training.items
        return data if items is None else data.first(items)

    @cached_property
    def benchmarks(self) -> dict[str, Benchmark]:
        """The benchmarks by name, stimuli decoded once."""
        return {name: load_benchmark(name).in_memory() for name in self.spec.benchmarks}

    def run(self, track: Track = silent, workers: int = 1) -> pd.DataFrame:
        """Do what is missing, write ``scores.parquet`` and ``scores.csv``, and return the table.

        Args:
            track: shows progress over models, and over training steps where there is one worker.
            workers: processes that share the models out.
        Raises:
            InputError: the folder holds another study, or data cannot be had.
        """
        self.prepare()
        self.claim()
        todo = [entry for entry in self.entries if self.missing(entry)]
        controls = [entry for entry in todo if entry.name not in RULES]
        of_trained = [name for name, control in CONTROLS.items() if control.trained_on is the_task]
        references = [Entry(REFERENCE, entry.seed) for entry in controls if entry.name in of_trained]
        trained = list(dict.fromkeys([*(entry for entry in todo if entry.name in RULES), *references]))
        task = partial(self.complete, track=track) if workers == 1 else partial(_complete, self.spec, self.folder)
        waves = (trained, controls)  # controls may need trained networks
        done = completed(task, waves, workers)
        for _ in track(done, f"study {self.spec.name!r}, models", sum(map(len, waves))):
            pass
        table = self.table()
        for suffix, write in (("parquet", _write_parquet), ("csv", _write_csv)):
            with atomic(self.folder / f"scores.{suffix}") as temporary:
                write(table, temporary)
        return table

    def complete(self, entry: Entry, track: Track = silent) -> None:
        """Train what an entry needs, and add the scores that it lacks; an entry that the study only refers to has none."""
        model = self._model(entry, track)
        if entry in self.entries:
            self._score(model, entry)

    def table(self) -> pd.DataFrame:
        """Every finished score, one row per layer."""
        paths = list(self._finished())
        if not paths:
            raise InputError(f"{self.folder} holds no scores yet; run the study first")
        return pd.concat([Score.load(path).table() for path in paths], ignore_index=True)

    def _finished(self) -> Iterator[Path]:
        for benchmark, metrics in self.spec.benchmarks.items():
            for metric in metrics:
                yield from (p for e in self.entries if (p := self.cell(e, benchmark, metric)).is_file())

    @cached_property
    def _ceilings(self) -> dict[tuple[str, str], Ceiling]:
        return {}

    def _score(self, model: Model | Given, entry: Entry) -> None:
        description = {**model.describe(), "seed": entry.seed}
        probed: dict[str, dict[str, Representation] | InputError] = {}
        for name, metrics in self.missing(entry).items():
            benchmark = self.benchmarks[name]
            stimuli = benchmark.stimuli
            if stimuli.fingerprint not in probed:  # regions of one experiment share their stimuli
                probed[stimuli.fingerprint] = self._probed(model, stimuli)
            layers = probed[stimuli.fingerprint]
            for metric in (METRICS[m] for m in metrics):
                key = (name, metric.name)
                if key not in self._ceilings:
                    self._ceilings[key] = metric.ceiling(data_for(metric, benchmark.data))
                scored = self._scored(description, layers, benchmark, metric, self._ceilings[key])
                scored.save(self.cell(entry, name, metric.name))

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

    def _probed(self, model: Model | Given, stimuli: StimulusSet) -> dict[str, Representation] | InputError:
        """The model's layers, or why it has none for these stimuli: some controls look for what not all stimuli have."""
        keep = any(METRICS[m].needs_features for metrics in self.spec.benchmarks.values() for m in metrics)
        try:
            return probe(model, stimuli, keep_features=keep)
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
            return Run.load(folder)
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
