"""Speech Commands v2 (Warden 2018, arXiv:1804.03209) from a user's folder: single spoken words of about 1 s, 16 kHz.

It has one folder for each word with ``SPEAKER_nohash_N.wav``, where ``SPEAKER`` is a hash of who spoke, and the lists
``validation_list.txt`` and ``testing_list.txt``; a speaker is in one split only.
"""

from __future__ import annotations

import re
from pathlib import Path

from data_loaders.sounds import checked_folder, sound_set, stimulus_table
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

CITATION = "Warden 2018, Speech Commands: a dataset for limited-vocabulary speech recognition, arXiv:1804.03209"
LICENCE = "CC BY 4.0"
RATE = 16_000
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
NOISE = "_background_noise_"  # long recordings to mix in, no words


def speech_commands_folder(path: str | Path) -> StimulusSet:
    """The recordings below a user's folder, ids as ``"yes/0a7c2a8d_nohash_0"``, sorted.

    Sounds are decoded when opened, and as they are, those cut off at full scale too (volunteers recorded them).

    Args:
        path: of the folder that holds the words' folders and the two lists.
    Returns:
        The table's columns are ``word``, ``speaker`` and ``split`` (``"train"``, ``"validation"`` or ``"test"``).
    Raises:
        DataUnavailable: no such folder, a list is missing, there are no recordings, or one is named otherwise; opening a
            sound that does not have 16 kHz.
    """
    folder = checked_folder(path)
    listed = {name: split for file, split in LISTS.items() for name in _lines(folder / file)}
    files = sorted(file for file in folder.glob("*/*.wav") if file.parent.name != NOISE)
    if not files:
        raise DataUnavailable(f"{folder} should hold a folder of wav files for each word, but has none")
    sounds = {f"{file.parent.name}/{file.stem}": file for file in files}
    columns = {
        "word": [file.parent.name for file in files],
        "speaker": [_speaker(file) for file in files],
        "split": [listed.get(f"{stimulus_id}.wav", "train") for stimulus_id in sounds],
    }
    return sound_set("speech_commands", sounds, stimulus_table(sounds, columns), rate=RATE)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataUnavailable(
            f"Speech Commands needs {path}, but it is not there; without it test recordings would be trained on"
        )
    return path.read_text("utf-8").split()


def _speaker(file: Path) -> str:
    match = re.fullmatch(r"([0-9a-f]+)_nohash_\d+", file.stem)
    if match is None:
        raise DataUnavailable(f"{file} should be named SPEAKER_nohash_NUMBER.wav, or else its speaker is unknown")
    return match.group(1)
