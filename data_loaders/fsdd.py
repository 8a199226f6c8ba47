"""Free Spoken Digit Dataset (Jackson et al.): ten spoken digits by six speakers, 8 kHz, of various lengths.

Upstream keeps the recordings with the indices 0-4 of each speaker and digit for testing. The checksums list the indices 0-19
of its 0-49.
"""

from __future__ import annotations

import re

from data_loaders._files import locate, read_checksums
from data_loaders.sounds import sound_set, stimulus_table
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/Jakobovski/free-spoken-digit-dataset/26eb9aaf76e81b692f806f9140c2d2777410d7a1/"
)
FILES = read_checksums("fsdd", SOURCE)
CITATION = "Jackson et al. 2018, Free Spoken Digit Dataset v1.0.8, doi:10.5281/zenodo.1342401"
LICENCE = "CC BY-SA 4.0"
RATE = 8_000
TEST_INDICES = range(5)


def fsdd_sounds() -> StimulusSet:
    """The recordings, ``"0_george_0"`` and on, sorted by digit, speaker and index.

    The table's columns are ``digit`` (int), ``speaker``, ``index`` (int) and ``split`` (``"train"`` or ``"test"``).

    Raises:
        DataUnavailable: a file cannot be had, or its name is not ``{digit}_{speaker}_{index}.wav``.
    """
    parts = sorted(_parts(name) for name in FILES)
    sounds = {
        f"{digit}_{speaker}_{index}": locate(FILES[f"recordings/{digit}_{speaker}_{index}.wav"])
        for digit, speaker, index in parts
    }
    digits, speakers, indices = (list(column) for column in zip(*parts, strict=True))
    columns = {
        "digit": digits,
        "speaker": speakers,
        "index": indices,
        "split": ["test" if index in TEST_INDICES else "train" for index in indices],
    }
    return sound_set("fsdd", sounds, stimulus_table(sounds, columns), rate=RATE)


def _parts(name: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"recordings/(\d)_([^_]+)_(\d+)\.wav", name)
    if match is None:
        raise DataUnavailable(f"fsdd has recordings named DIGIT_SPEAKER_INDEX.wav, but got {name}")
    return int(match.group(1)), match.group(2), int(match.group(3))
