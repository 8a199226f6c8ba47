"""Environmental sounds of 5 s (Piczak 2015): ESC-10 in its original ogg files, and ESC-50 from a user's folder.

The clips come in five folds; clips cut from one recording share a fold, so a split by fold does not leak. The checksums list
20 of the 40 clips of each of the ten classes (folds 1 to 3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from data_loaders._files import DataFile, locate, read_checksums
from data_loaders.sounds import checked_folder, sound_set, stimulus_table
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.stimuli import StimulusSet

SOURCE = "https://raw.githubusercontent.com/karolpiczak/ESC-10/553c8f1743b9dba6b282e1323c3ca8fa76923448/"
CITATION = (
    "Piczak 2015, ESC: dataset for environmental sound classification, ACM Multimedia, doi:10.1145/2733373.2806390"
)
LICENCE = "CC BY 3.0, each clip CC0 or CC BY as listed by the source (ESC-50 as a whole: CC BY-NC 3.0)"
RATE = 44_100
COLUMNS = ("filename", "fold", "category", "esc10")


def _files() -> dict[str, DataFile]:
    """The checksums' paths are percent-encoded, since those of the source have blanks."""
    encoded = read_checksums("esc10", SOURCE)
    return {unquote(name): replace(file, path=unquote(file.path)) for name, file in encoded.items()}


FILES = _files()


def esc_sounds(*, test_fold: int = 3) -> StimulusSet:
    """ESC-10, ids as the files' names (``"1-100032-A"``: fold, source recording, take), sorted by class and name.

    Args:
        test_fold: the fold whose clips have ``"test"`` in the column ``split``, the others have ``"train"``.
    Returns:
        The table's columns are ``category`` (``"Dog bark"``), ``fold`` (int) and ``split``.
    Raises:
        InputError: no such fold.
        DataUnavailable: a file cannot be had, or its name is not ``NNN - CLASS/FOLD-*.ogg``.
    """
    sounds = {}
    categories, folds = [], []
    for name in sorted(FILES):
        match = re.fullmatch(r"\d+ - ([^/]+)/((\d)-[^/]+)\.ogg", name)
        if match is None:
            raise DataUnavailable(f"esc10 has clips named 'NNN - CLASS/FOLD-*.ogg', but got {name!r}")
        sounds[match.group(2)] = locate(FILES[name])
        categories.append(match.group(1))
        folds.append(int(match.group(3)))
    return _esc("esc10", sounds, categories, folds, test_fold)


def esc_folder(path: str | Path, *, esc10: bool = False, test_fold: int = 5) -> StimulusSet:
    """ESC-50 as unpacked by a user: ``meta/esc50.csv`` and ``audio/*.wav``.

    Clips are opened as they are, those cut off at full scale too (the dataset has some).

    Args:
        path: of the folder that holds ``meta`` and ``audio``.
        esc10: only the clips of the ten classes of ESC-10.
        test_fold: as for ``esc_sounds``.
    Returns:
        The table's columns are ``category`` (``"dog"``), ``fold`` (int) and ``split``.
    Raises:
        DataUnavailable: no such folder, or a file is missing.
        InputError: no such fold.
    """
    folder = checked_folder(path)
    meta = _meta(folder / "meta" / "esc50.csv")
    meta = meta[meta["esc10"].astype(bool)] if esc10 else meta
    sounds = {Path(name).stem: folder / "audio" / name for name in meta["filename"].map(str)}
    for file in sounds.values():
        if not file.is_file():
            raise DataUnavailable(
                f"{folder} should hold all {len(sounds)} clips, but {file} is not there; unpack it again"
            )
    return _esc("esc10" if esc10 else "esc50", sounds, meta["category"].tolist(), meta["fold"].tolist(), test_fold)


def _meta(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataUnavailable(
            f"ESC-50 needs {path}, but it is not there; pass the folder that holds 'meta' and 'audio'"
        )
    meta = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in meta.columns]:
        raise DataUnavailable(f"{path} needs the columns {', '.join(COLUMNS)}, but lacks {', '.join(missing)}")
    return meta


def _esc(
    name: str, sounds: Mapping[str, Path | bytes], categories: list[str], folds: list[int], test_fold: int
) -> StimulusSet:
    if test_fold not in folds:
        raise InputError(f"{name} has the folds {sorted(set(folds))} here, but test_fold is {test_fold}")
    split = ["test" if fold == test_fold else "train" for fold in folds]
    table = stimulus_table(sounds, {"category": categories, "fold": folds, "split": split})
    return sound_set(name, sounds, table, rate=RATE)
