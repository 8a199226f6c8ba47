"""Locating one file of a dataset: the user's cache, then a mirror, then the public source, always verified.

The cache and a mirror have one layout, ``<dataset>/<file>``, so a copy of the cache serves as a mirror. A mirror
folder's file is used in place. Environment: ``NEUROCOMPARE_CACHE`` (a folder) and ``NEUROCOMPARE_MIRROR`` (a folder
or an http(s) base URL).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pooch

from data_loaders._download import download
from neurocompare.errors import DataUnavailable
from neurocompare.files import sha256_of, write_text

log = logging.getLogger(__name__)

SHA1_DIGITS = 40


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset.

    Attributes:
        path: relative to the cache and to a mirror's root, with forward slashes.
        sha256: 64 hex digits, or None where the source publishes none and none was recorded for this project.
        url: the public source, or None where only a mirror has it.
        sha1: 40 hex digits, where the source publishes only that: it tells damage, not forgery.
    """

    path: str
    sha256: str | None
    url: str | None
    sha1: str | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The algorithm and the published sum; None where there is none."""
        if self.sha256 is not None:
            return "sha256", self.sha256
        return None if self.sha1 is None else ("sha1", self.sha1)


def read_checksums(dataset: str, base_url: str | None) -> dict[str, DataFile]:
    """The files of a dataset by their path below its folder, from ``checksums/<dataset>.txt``.

    A line is ``path sha256 [url]``, as in a pooch registry, or has a sha1 in the sha256's place; without its own url a
    file is at ``base_url`` + path below the dataset's folder.
    """
    files = {}
    for line in (Path(__file__).parent / "checksums" / f"{dataset}.txt").read_text("utf-8").splitlines():
        path, digits, *own = line.split()
        below = path.removeprefix(f"{dataset}/")
        url = own[0] if own else base_url and base_url + below
        is_sha1 = len(digits) == SHA1_DIGITS
        files[below] = DataFile(path, None if is_sha1 else digits, url, digits if is_sha1 else None)
    return files


def cache_root() -> Path:
    """The folder that downloads go to."""
    return Path(os.environ.get("NEUROCOMPARE_CACHE") or pooch.os_cache("neurocompare"))


def mirror() -> str | None:
    """The mirror as named by the environment, if one is."""
    return os.environ.get("NEUROCOMPARE_MIRROR") or None


def mirror_path(file: DataFile) -> Path | None:
    """Where a mirror folder would have the file; None where the mirror is not a folder or none is named."""
    root = mirror()
    return None if root is None or _is_url(root) else Path(root) / file.path


def mirror_url(file: DataFile) -> str | None:
    """Where an http mirror would have the file."""
    root = mirror()
    return f"{root.rstrip('/')}/{file.path}" if root is not None and _is_url(root) else None


def _is_url(root: str) -> bool:
    return root.startswith(("http://", "https://"))


def locate(*alternatives: DataFile) -> Path:
    """A verified local copy of the first of ``alternatives`` that can be had, downloaded where need be.

    Raises:
        DataUnavailable: a mirror folder's file is not what it should be, or no place could give the file; the
            message says what went wrong in each.
    """
    tried: list[str] = []
    for file in alternatives:
        found = _in_cache(file, tried) or _in_mirror(file, tried) or _at_source(file, tried)
        if found is not None:
            return found
    wanted = " or ".join(file.path for file in alternatives)
    raise DataUnavailable(
        f"{wanted} is needed, but no place could give it ({'; '.join(tried)}); "
        f"set NEUROCOMPARE_MIRROR to a folder that holds it, or connect to the network"
    )


def _in_cache(file: DataFile, tried: list[str]) -> Path | None:
    path = cache_root() / file.path
    if not path.is_file():
        tried.append(f"cache: {path} is not there")
        return None
    fault = mismatch(path, file)
    if fault is None:
        return _accept(path, file)
    path.unlink(missing_ok=True)
    log.warning("removed a bad file from the cache: %s", fault)
    tried.append(f"cache: {fault}, removed")
    return None


def _in_mirror(file: DataFile, tried: list[str]) -> Path | None:
    if url := mirror_url(file):
        return _fetch("mirror", url, file, tried)
    path = mirror_path(file)
    if path is None:
        tried.append("mirror: NEUROCOMPARE_MIRROR is not set")
        return None
    if not path.is_file():
        tried.append(f"mirror: {path} is not there")
        return None
    if fault := mismatch(path, file):  # not ours to remove, and passing it over would hide a broken mirror
        raise DataUnavailable(f"a bad file in the mirror: {fault}; copy it there again, or unset NEUROCOMPARE_MIRROR")
    return _accept(path, file)


def _at_source(file: DataFile, tried: list[str]) -> Path | None:
    if file.url is None:
        tried.append(f"source: none is known for {file.path}")
        return None
    return _fetch("source", file.url, file, tried)


def _fetch(place: str, url: str, file: DataFile, tried: list[str]) -> Path | None:
    target = cache_root() / file.path
    part = target.with_name(target.name + ".part")
    try:
        download(url, part, resume=file.checksum is not None)
    except (DataUnavailable, OSError) as error:  # OSError: the cache cannot be written
        tried.append(f"{place}: {error}")
        return None
    if fault := mismatch(part, file, name=url):
        part.unlink(missing_ok=True)
        tried.append(f"{place}: {fault}, removed")
        return None
    os.replace(part, target)
    return _accept(target, file)


def mismatch(path: Path, file: DataFile, *, name: str | None = None) -> str | None:
    """What is wrong with the file at ``path``, naming both sums; None where it is what it should be."""
    kind, expected = file.checksum or ("sha256", recorded_sum(cache_root() / file.path))
    if expected is None or (found := pooch.file_hash(path, alg=kind)) == expected:
        return None
    hint = (
        ""
        if file.checksum
        else f" (recorded at the first download; to accept new content delete {_sum_path(cache_root() / file.path)})"
    )
    return f"{name or path} has {kind} {found}, expected {expected}{hint}"


def _accept(path: Path, file: DataFile) -> Path:
    recorded = cache_root() / file.path
    if file.checksum is None and recorded_sum(recorded) is None:
        record_sum(recorded, sha256_of(path))
        log.warning(
            "%s has no published sha256: the sum of this first copy is recorded in %s", file.path, _sum_path(recorded)
        )
    return path


def _sum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def recorded_sum(path: Path) -> str | None:
    """The sha256 recorded beside a file of the cache, if one is."""
    beside = _sum_path(path)
    return beside.read_text("utf-8").strip() if beside.is_file() else None


def record_sum(path: Path, sha256: str) -> None:
    """Record the sha256 of a file of the cache beside it."""
    write_text(_sum_path(path), sha256 + "\n")
