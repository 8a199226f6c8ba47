"""Sound stimuli from files in any format that libsndfile reads (wav, flac, ogg), and from a folder of one's own.

What a brain was played is taken as it was played. Only a user's own folder is refused where a recording is cut off at full
scale, since there it can still be mended. (Of the published sounds that these loaders read, none of the 165 of
``norman_haignere2015``, of the 1,200 of ``fsdd`` and of the 200 of ``esc10`` is.)
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import soundfile

from neurocompare.errors import DataUnavailable, InputError
from neurocompare.sounds import Sound, check_not_clipped
from neurocompare.stimuli import StimulusSet

SUFFIXES = (".wav", ".flac", ".ogg")


def read_sound(source: Path | bytes, *, name: str | None = None, rate: int | None = None) -> Sound:
    """One sound, its channels mixed down to their mean.

    Args:
        source: a file, or the content of one.
        name: what messages call it; a file's path by default.
        rate: the samples per second that it must have; any by default.
    Raises:
        DataUnavailable: it is not there, empty, no sound, silent, or has another sampling rate.
    """
    name = name or (str(source) if isinstance(source, Path) else "a sound")
    try:
        samples, found = soundfile.read(io.BytesIO(_content(source, name)), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataUnavailable(
            f"{name} cannot be decoded as sound ({error.error_string}); save it as wav, flac or ogg"
        ) from error
    if rate is not None and found != rate:
        raise DataUnavailable(f"{name} needs {rate} samples per second, but has {found}; resample it")
    try:
        return Sound(samples.mean(axis=1), found)
    except InputError as error:
        raise DataUnavailable(f"{name}: {error}") from error


def _content(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, Path) and not source.is_file():
        raise DataUnavailable(f"{name} is not there, or is no file")
    content = source.read_bytes() if isinstance(source, Path) else source
    if not content:
        raise DataUnavailable(f"{name} is empty (0 bytes); copy or record it again")
    return content


def sound_set(
    name: str, sounds: Mapping[str, Path | bytes], table: pd.DataFrame | None = None, *, rate: int | None = None
) -> StimulusSet:
    """A stimulus set of sound files, or of their contents, by id; decoded each time one is opened.

    Args:
        name: of the set.
        sounds: by id.
        table: what else is known of each sound, indexed by id.
        rate: the samples per second that each must have, checked when it is opened; any by default.
    """
    table = stimulus_table(sounds) if table is None else table
    return StimulusSet(name, tuple(sounds), functools.partial(_open, name, sounds, rate), table)


def _open(set_name: str, sounds: Mapping[str, Path | bytes], rate: int | None, stimulus_id: str) -> Sound:
    source = sounds[stimulus_id]
    name = str(source) if isinstance(source, Path) else f"sound {stimulus_id!r} of {set_name!r}"
    return read_sound(source, name=name, rate=rate)


def stimulus_table(ids: Iterable[str], columns: Mapping[str, list] | None = None) -> pd.DataFrame:
    """What is known of stimuli, one row for each id, in their order."""
    return pd.DataFrame(dict(columns or {}), index=pd.Index(list(ids), name="stimulus_id"))


def sound_folder(path: str | Path) -> StimulusSet:
    """A user's own sounds: every wav, flac and ogg file below a folder, each decoded once to check it.

    Args:
        path: of the folder. Names that begin with a dot are passed over.
    Returns:
        Ids are the paths below the folder without suffix (``"birds/crow"``), sorted.
    Raises:
        DataUnavailable: no such folder, no sounds in it, two with one id, or one that is empty, silent or no sound.
        InputError: a sound is cut off at full scale.
    """
    folder = checked_folder(path)
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise DataUnavailable(f"{folder} needs sounds ({', '.join(SUFFIXES)}), but has none in it or below it")
    sounds: dict[str, Path] = {}
    for file in files:
        stimulus_id = file.relative_to(folder).with_suffix("").as_posix()
        if stimulus_id in sounds:
            raise DataUnavailable(
                f"{sounds[stimulus_id]} and {file} differ only in their suffix, so they would share the id "
                f"{stimulus_id!r}; rename one"
            )
        check_not_clipped(read_sound(file), str(file))
        sounds[stimulus_id] = file
    return sound_set(folder.name, dict(sorted(sounds.items())))


def checked_folder(path: str | Path) -> Path:
    """The folder that a user named.

    Raises:
        DataUnavailable: there is none.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataUnavailable(
            f"{folder} should be a folder of sounds, but is {'a file' if folder.exists() else 'not there'}"
        )
    return folder
