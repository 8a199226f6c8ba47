"""The models of a study: its rules' networks, kept in its folder, controls, and regions of other recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from data_loaders import load_benchmark, load_dataset
from neurocompare.baselines import region
from neurocompare.benchmark import Benchmark
from neurocompare.controls import CONTROLS, the_task
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable
from neurocompare.hearing import trainable
from neurocompare.model import Given, Model
from neurocompare.networks import LayeredNet, build
from neurocompare.progress import Track, silent
from neurocompare.rules import RULES
from neurocompare.spec import StudySpec
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

    def label_at(self, step: int | None) -> str:
        """The same for a rule's network as it was after so many steps; None for when training was over."""
        return self.label if step is None else f"{self.label}-step{step}"


@dataclass(frozen=True)
class Models:
    """How a study's models come about.

    Attributes:
        spec: of the study.
        folder: of the study; ``runs/`` in it keeps trained networks.
    """

    spec: StudySpec
    folder: Path

    @cached_property
    def dataset(self) -> Dataset:
        """The training data."""
        data = trainable(load_dataset(self.spec.dataset))
        items, test_items = self.spec.training.items, self.spec.training.test_items
        data = data if items is None else data.first(items)
        return data if test_items is None else replace(data, test=data.test.first(test_items))

    @cached_property
    def benchmarks(self) -> dict[str, Benchmark]:
        """The benchmarks by name, stimuli decoded once."""
        return {name: load_benchmark(name).in_memory() for name in self.spec.benchmarks}

    def check(self) -> None:
        """Build a network and each rule for it.

        Raises:
            InputError: they cannot be built as the study says.
        """
        net = self.net(self.spec.seeds[0])
        for rule in self.spec.rules:
            RULES[rule].for_net(net, seed=0, **self.spec.rule_settings.get(rule, {}))

    def net(self, seed: int) -> LayeredNet:
        """A network with its initial weights."""
        shape, n_classes = list(self.dataset.input_shape), self.dataset.n_outputs
        return build({**self.spec.network, "input_shape": shape, "n_classes": n_classes, "seed": seed})

    def steps(self, entry: Entry) -> tuple[int | None, ...]:
        """When an entry is scored: a rule's networks after each of the study's snapshots, too."""
        return (None, *self.spec.training.snapshots) if entry.name in self.spec.rules else (None,)

    def of(self, entry: Entry, track: Track = silent) -> Iterator[tuple[str, Model | Given]]:
        """The models of an entry, one for each of its ``steps``, with their labels; trained where they are not yet."""
        if entry.name not in RULES:
            yield entry.label, self._without_rule(entry, track)
            return
        run = self.trained(entry, track)
        for step in self.steps(entry):
            yield entry.label_at(step), (run if step is None else run.at(step)).model()

    def _without_rule(self, entry: Entry, track: Track) -> Model | Given:
        if entry.name in self.spec.benchmarks:
            return region(self.benchmarks[entry.name], each_subject=False)
        control = CONTROLS[entry.name]
        seed = self.spec.seeds[0] if entry.seed is None else entry.seed
        if control.trained_on is None:
            net = self.net(seed)
        else:
            net = self.trained(Entry(REFERENCE if control.trained_on is the_task else entry.name, seed), track).net
        return control.make(net, self.dataset.preprocess, seed)

    def trained(self, entry: Entry, track: Track = silent) -> Run:
        """The network of a rule, or that which a control is made of; kept, and read where it was."""
        folder = self.folder / "runs" / entry.label
        if (folder / RECORD).is_file():
            try:
                return Run.load(folder)
            except DataUnavailable as error:
                log.warning("%s: it is trained again", error)
        seed = self.spec.seeds[0] if entry.seed is None else entry.seed
        net, training = self.net(seed), self.spec.training
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
            snapshots=training.snapshots if entry.name in self.spec.rules else (),
            track=track,
        )
        run.save(folder)
        return run
