"""What files each dataset has and where they are: the facts behind ``neurocompare data {fetch,verify,where}``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_loaders import (
    cadieu2014,
    cichy2014,
    cifar10_jpeg,
    cowley2023,
    esc,
    freemanziemba2013,
    fsdd,
    harper2016,
    kay_yeatman2017,
    kriegeskorte2008,
    majaj2015,
    norman_haignere2015,
    norman_haignere2022,
    tiny_imagenet40,
    tuckute2023,
)
from data_loaders._files import DataFile, cache_root, locate, mirror_path, mirror_url, mismatch
from neurocompare.errors import unknown_name
from neurocompare.progress import Track, silent


@dataclass(frozen=True)
class FileState:
    """Where one file is.

    Attributes:
        dataset: the group it belongs to.
        path: below a cache or mirror root.
        place: ``"cache"``, ``"mirror"``, ``"source"`` (not here yet) or ``"nowhere"``.
        location: the local path, or the URL that it would come from.
        fault: what is wrong with it, as ``verify`` found; None where nothing is, or where nobody looked.
    """

    dataset: str
    path: str
    place: str
    location: str
    fault: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether a local copy exists."""
        return self.place in ("cache", "mirror")


def groups() -> dict[str, list[tuple[DataFile, ...]]]:
    """The files of each dataset; each entry lists alternatives, of which one is enough."""
    return {
        "cadieu2014": [(file,) for file in cadieu2014.FILES.values()],
        "cichy2014": [(file,) for file in cichy2014.FILES.values()],
        "cifar10_jpeg": [tuple(cifar10_jpeg.FILES.values())],
        "cowley2023": [(file,) for file in cowley2023.FILES.values()],
        "esc10": [(file,) for file in esc.FILES.values()],
        "freemanziemba2013": [(file,) for file in freemanziemba2013.FILES.values()],
        "fsdd": [(file,) for file in fsdd.FILES.values()],
        "harper2016_ns1": [(f,) if f.url else (f, harper2016.RAW) for f in harper2016.FILES.values()],
        "kay_yeatman2017": [(file,) for file in kay_yeatman2017.FILES.values()],
        "kriegeskorte2008": [(file,) for file in kriegeskorte2008.FILES.values()],
        "majaj2015": [
            (file, majaj2015.OLDER) if name == majaj2015.RESPONSES else (file,)
            for name, file in majaj2015.FILES.items()
        ],
        "norman_haignere2015": [(file,) for file in norman_haignere2015.FILES.values()],
        "norman_haignere2022": [(file,) for file in norman_haignere2022.FILES.values()],
        "tiny_imagenet40": [tuple(tiny_imagenet40.FILES.values())],
        "tuckute2023": [(file,) for file in tuckute2023.FILES.values()],
    }


def _entries(names: Sequence[str]) -> list[tuple[str, tuple[DataFile, ...]]]:
    known = groups()
    for name in names:
        if name not in known:
            raise unknown_name("dataset with files", name, known)
    return [(name, files) for name in names or known for files in known[name]]


def _local(files: tuple[DataFile, ...]) -> Iterator[tuple[str, DataFile, Path]]:
    for file in files:
        for place, path in (("cache", cache_root() / file.path), ("mirror", mirror_path(file))):
            if path is not None and path.is_file():
                yield place, file, path


def _state(dataset: str, files: tuple[DataFile, ...], *, verified: bool) -> FileState:
    for place, file, path in _local(files):
        fault = mismatch(path, file) if verified else None
        return FileState(dataset, file.path, place, str(path), fault)
    for file in files:
        if url := mirror_url(file) or file.url:
            return FileState(dataset, file.path, "source", url)
    return FileState(dataset, files[0].path, "nowhere", "no source is known; set NEUROCOMPARE_MIRROR")


def where(names: Sequence[str] = ()) -> list[FileState]:
    """Where each file of the datasets (all by default) is, without opening or fetching it.

    Raises:
        InputError: a name that no dataset has.
    """
    return [_state(dataset, files, verified=False) for dataset, files in _entries(names)]


def verify(names: Sequence[str] = (), track: Track = silent) -> list[FileState]:
    """As ``where``, with the sha256 of each local file compared; nothing is fetched, changed or removed."""
    entries = _entries(names)
    return [_state(dataset, files, verified=True) for dataset, files in track(entries, "verifying", len(entries))]


def fetch(names: Sequence[str] = (), track: Track = silent) -> list[FileState]:
    """Have a verified local copy of each file; what a mirror folder holds stays there and is used in place.

    Raises:
        InputError: a name that no dataset has.
        DataUnavailable: a file cannot be had; those before it are kept.
    """
    entries = _entries(names)
    for _, files in track(entries, "fetching", len(entries)):
        locate(*files)
    return where(names)
