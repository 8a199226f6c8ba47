"""Labelled data to train a network on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurocompare.errors import InputError
from neurocompare.stimuli import ImagePreprocess


@dataclass(frozen=True)
class Split:
    """Inputs ``(n, channels, height, width)`` as uint8 and labels ``(n,)`` as int64."""

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
class Dataset:
    """A classification task.

    Attributes:
        name: of the dataset.
        train, test: disjoint splits.
        classes: the class names; labels index them.
        preprocess: how any other image becomes an input like these, with the training split's mean and std.
        citation, licence: as the source states them.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    preprocess: ImagePreprocess
    citation: str
    licence: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(channels, height, width)`` of one input."""
        return self.train.inputs.shape[1:]

    def first(self, n: int) -> Dataset:
        """The same task with at most ``n`` items in either split."""
        return replace(self, train=self.train.first(n), test=self.test.first(n))


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
