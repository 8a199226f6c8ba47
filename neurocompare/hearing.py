"""From labelled sounds to what networks are trained on: cochleagrams, normalised by those of the training split."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from neurocompare.cochleagram import CochleagramPreprocess
from neurocompare.dataset import Dataset, SoundTask, Split
from neurocompare.errors import InputError
from neurocompare.stimuli import batches

THREADS = 2  # a sound is short work for a Fourier transform: more threads gain little


def heard(task: SoundTask, preprocess: CochleagramPreprocess | None = None) -> Dataset:
    """A sound task as a dataset whose inputs are cochleagrams, float32 ``(n, 1, bands, frames)``.

    Args:
        task: what to learn.
        preprocess: from a sound to a cochleagram; mean and deviation over the training split are put into it.
    Raises:
        InputError: a sound that has no cochleagram.
    """
    plain = replace(preprocess or CochleagramPreprocess(task.seconds), mean=0.0, std=1.0)
    classes, tasks, codes = task.encoded()
    inputs = {name: _cochleagrams(task, ids, plain) for name, ids in (("train", task.train), ("test", task.test))}
    mean, std = (round(float(value), 6) for value in (inputs["train"].mean(), inputs["train"].std()))
    splits = {
        name: Split((made - np.float32(mean)) / np.float32(std), np.asarray([codes[i] for i in ids], np.int64))
        for (name, made), ids in zip(inputs.items(), (task.train, task.test), strict=True)
    }
    normalised = replace(plain, mean=mean, std=std)
    return Dataset(
        task.name, splits["train"], splits["test"], classes, normalised, task.citation, task.licence, tasks
    )  # fmt: skip


def trainable(data: Dataset | SoundTask) -> Dataset:
    """What ``train`` takes: a sound task is heard, anything else is as it is."""
    return heard(data) if isinstance(data, SoundTask) else data


def _cochleagrams(task: SoundTask, ids: Sequence[str], preprocess: CochleagramPreprocess) -> np.ndarray:
    if not ids:
        raise InputError(f"{task.name} has no sounds in one of its splits; both need some")
    loads = batches(replace(task.sounds, ids=tuple(ids)), preprocess, 1)
    with ThreadPoolExecutor(THREADS) as pool:
        return np.concatenate(list(pool.map(lambda load: load[1](), loads)))
