"""Labelled data to train a network on: one task or several, images or sounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from neurocompare.errors import InputError
from neurocompare.stimuli import ImagePreprocess, Preprocess, StimulusSet


@dataclass(frozen=True)
class Split:
    """Inputs ``(n, channels, height, width)`` and labels ``(n,)`` as int64.

    Inputs are images as uint8, or float32 that a network takes as they are.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels) or not len(self.labels):
            raise InputError(
                f"a split needs one label per input, but has {len(self.inputs)} inputs and {len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> Split:
        """The first ``n`` items (loaders shuffle, so this is a random sample)."""
        return Split(self.inputs[:n], self.labels[:n])


@dataclass(frozen=True)
class Tasks:
    """Several classifications by one network, whose outputs stand side by side.

    An item has one label, which stands for what it is in each task (a spoken word is also somebody's voice), so that
    whatever handles labels handles these.

    Attributes:
        names: of the tasks.
        sizes: classes of each.
        meanings: of each label, its class in each task; -1 in those in which it has none.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    meanings: tuple[tuple[int, ...], ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The first output of each task."""
        return tuple(sum(self.sizes[:k]) for k in range(len(self.sizes)))


@dataclass(frozen=True)
class Dataset:
    """A classification task, or several.

    Attributes:
        name: of the dataset.
        train, test: disjoint splits.
        classes: the class names; labels index them.
        preprocess: how any other stimulus becomes an input like these, with the training split's mean and std.
        citation, licence: as the source states them.
        tasks: where there are several, what the labels stand for.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    preprocess: Preprocess
    citation: str
    licence: str
    tasks: Tasks | None = None

    @property
    def n_outputs(self) -> int:
        """Output units of a network for it."""
        return len(self.classes) if self.tasks is None else sum(self.tasks.sizes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(channels, height, width)`` of one input."""
        return self.train.inputs.shape[1:]

    def first(self, n: int) -> Dataset:
        """The same task with at most ``n`` items in either split."""
        return replace(self, train=self.train.first(n), test=self.test.first(n))


@dataclass(frozen=True)
class SoundTask:
    """Sounds with labels, which become a ``Dataset`` through an ear: ``hearing.heard``.

    Attributes:
        name: of the dataset.
        sounds: those of both splits; none is much shorter or longer than ``seconds``.
        train, test: ids, disjoint.
        labels: by id, the class of a sound in each task in which it has one.
        seconds: of each sound that count.
        citation, licence: as the source states them.
    """

    name: str
    sounds: StimulusSet
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: Mapping[str, Mapping[str, str]]
    seconds: float
    citation: str
    licence: str

    def __post_init__(self) -> None:
        both = set(self.train) & set(self.test)
        if both:
            raise InputError(f"{self.name}: {len(both)} sounds are in both splits (first: {min(both)!r})")
        unlabelled = [i for i in (*self.train, *self.test) if not self.labels.get(i)]
        if unlabelled:
            raise InputError(f"{self.name}: {len(unlabelled)} sounds have no label (first: {unlabelled[0]!r})")

    def encoded(self) -> tuple[tuple[str, ...], Tasks | None, dict[str, int]]:
        """The classes, the tasks where there are several, and the label of each sound."""
        found = [self.labels[i] for i in (*self.train, *self.test)]
        names = tuple(dict.fromkeys(task for label in found for task in label))
        values = [sorted({label[task] for label in found if task in label}) for task in names]
        classes = dict(zip(names, values, strict=True))
        meanings = [tuple(v.index(label[t]) if t in label else -1 for t, v in classes.items()) for label in found]
        distinct = sorted(set(meanings))
        codes = dict(zip((*self.train, *self.test), map(distinct.index, meanings), strict=True))
        if len(names) == 1:
            return tuple(values[0]), None, codes
        tasks = Tasks(names, tuple(map(len, values)), tuple(distinct))
        named = (" ".join(v[k] for v, k in zip(values, meaning, strict=True) if k >= 0) for meaning in distinct)
        return tuple(named), tasks, codes


def image_dataset(
    name: str, train: Split, test: Split, classes: tuple[str, ...], *, citation: str, licence: str
) -> Dataset:
    """A ``Dataset`` of images whose preprocessing carries the training split's channel means and deviations."""
    channels, height, width = train.inputs.shape[1:]
    levels = np.arange(256) / 255
    counts = np.stack([np.bincount(train.inputs[:, c].ravel(), minlength=256) for c in range(channels)])
    mean = counts @ levels / counts.sum(1)
    std = np.sqrt(counts @ levels**2 / counts.sum(1) - mean**2)
    preprocess = ImagePreprocess(height, width, tuple(mean.round(6).tolist()), tuple(std.round(6).tolist()))
    return Dataset(name, train, test, classes, preprocess, citation, licence)
