"""What networks learn to hear: spoken digits, who speaks, and everyday sounds, alone or all at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data_loaders import esc, fsdd
from neurocompare.dataset import SoundTask
from neurocompare.errors import InputError
from neurocompare.sounds import Sound
from neurocompare.stimuli import StimulusSet

SECONDS = 2.0  # of a sound that a network hears, as long as the sounds of the neural data
WORD, VOICE, NOISE = "word", "speaker", "everyday sound"
STARTS = (0, 1, 2, 3)  # of the parts of a clip of 5 s, in seconds

Labels = dict[str, dict[str, str]]


def load_spoken_words(seed: int = 0) -> SoundTask:
    """Which of ten digits is spoken (free spoken digit dataset), in an order shuffled by ``seed``.

    Raises:
        DataUnavailable: a recording cannot be had.
    """
    sounds, labels = _digits()
    return _task("spoken_words", [(sounds, _only(labels, WORD))], fsdd.CITATION, fsdd.LICENCE, seed)


def load_speakers(seed: int = 0) -> SoundTask:
    """Which of six people speaks (free spoken digit dataset); otherwise as ``load_spoken_words``."""
    sounds, labels = _digits()
    return _task("speakers", [(sounds, _only(labels, VOICE))], fsdd.CITATION, fsdd.LICENCE, seed)


def load_everyday_sounds(seed: int = 0) -> SoundTask:
    """Which of ten kinds a sound is (ESC-10), parts of 2 s of its clips; otherwise as ``load_spoken_words``.

    The test split is a fold that shares no source recording with the others.
    """
    return _task("everyday_sounds", [_everyday()], esc.CITATION, esc.LICENCE, seed)


def load_hearing(seed: int = 0) -> SoundTask:
    """All three tasks for one network: a spoken digit has a word and a speaker, an everyday sound its kind."""
    parts = [_digits(), _everyday()]
    return _task(
        "hearing", parts, f"{fsdd.CITATION}; {esc.CITATION}", f"{fsdd.LICENCE}; {esc.LICENCE}", seed
    )  # fmt: skip


def _digits() -> tuple[StimulusSet, Labels]:
    sounds = fsdd.fsdd_sounds()
    rows = zip(sounds.ids, sounds.table["digit"], sounds.table["speaker"], strict=True)
    return sounds, {i: {WORD: str(digit), VOICE: str(speaker)} for i, digit, speaker in rows}


def _only(labels: Mapping[str, Mapping[str, str]], task: str) -> Labels:
    return {i: {task: label[task]} for i, label in labels.items()}


def _everyday() -> tuple[StimulusSet, Labels]:
    """Parts of clips as sounds of their own, ``CLIP@SECOND``; parts in which nothing is heard are left out."""
    clips = esc.esc_sounds().in_memory()
    where = {f"{clip}@{start}": (clip, start) for clip in clips.ids for start in STARTS}

    def part(name: str) -> Sound:
        clip, start = where[name]
        sound = clips.open(clip)
        return Sound(sound.samples[start * sound.rate : round((start + SECONDS) * sound.rate)], sound.rate)

    def is_heard(name: str) -> bool:
        try:
            return bool(part(name).level > 0)
        except InputError:
            return False

    audible = tuple(filter(is_heard, where))
    rows = {name: clips.table.loc[where[name][0]] for name in audible}
    table = clips.table.loc[[where[name][0] for name in audible]].set_axis(list(audible))
    return StimulusSet(clips.name, audible, part, table), {n: {NOISE: str(row["category"])} for n, row in rows.items()}


def _task(name: str, parts: list[tuple[StimulusSet, Labels]], citation: str, licence: str, seed: int) -> SoundTask:
    """Of some sets of sounds, each with a column ``split`` in its table."""
    owner = {i: sounds for sounds, _ in parts for i in sounds.ids}
    labels = {i: label for _, found in parts for i, label in found.items()}
    rng = np.random.default_rng(seed)
    splits = {
        split: _shuffled([i for s, _ in parts for i in s.ids if s.table.loc[i, "split"] == split], rng)
        for split in ("train", "test")
    }
    sounds = StimulusSet(name, tuple(owner), lambda i: owner[i].open(i))
    return SoundTask(name, sounds, splits["train"], splits["test"], labels, SECONDS, citation, licence)


def _shuffled(ids: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(ids[k] for k in rng.permutation(len(ids)))
