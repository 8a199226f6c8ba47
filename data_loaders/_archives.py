"""Reading what lies in a downloaded archive: into memory, never to a path that the archive names, and never without a bound.

A zip or a tar of a few kilobytes can unpack to petabytes, name a file above its own folder, or pretend that a link is a
file (CVE-2007-4559). No loader needs any of these, so what has one of them is not read at all. What an archive's headers
say is not believed: a bound holds for what is unpacked, and an archive that ends early or has another size is damaged.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import IO

from neurocompare.errors import DataUnavailable, InputError

MOST_BYTES = 4 << 30  # that one archive may unpack to
LARGEST_MEMBER = 1 << 30  # bytes that come into memory at once
# Modules, by the first bytes of what they compress.
COMPRESSIONS = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ": lzma}
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, struct.error),
    # A name in no encoding, a method that is unknown or needs a password, an early end, a checksum that is not met.
    *(ValueError, RuntimeError, EOFError, OSError),
)


def members(
    path: Path,
    wanted: Callable[[str], object] = lambda name: True,
    *,
    most: int = MOST_BYTES,
    largest: int = LARGEST_MEMBER,
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a zip or a tar that is wanted, in the archive's order.

    Args:
        path: of the archive; a tar may be compressed by gzip, bzip2 or xz.
        wanted: says by its name, as it stands in the archive, whether a file is.
        most: bytes that all its members, wanted or not, may have when unpacked (a tar's headers too), unless the
            archive itself has more.
        largest: bytes that a wanted member may have.
    Raises:
        DataUnavailable: it is neither zip nor tar or is damaged, has a member that is a link or a device or whose name
            leads out of the archive, or unpacks to more than ``most`` or ``largest``.
    """
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        limits = _Limits(path, max(most, path.stat().st_size), largest)
        read = _of_zip if start.startswith(b"PK") else _of_tar
        try:
            yield from read(file, start, wanted, limits)
        except InputError:  # a refusal, which is a ValueError too
            raise
        except DAMAGE as error:
            kind = "zip" if path.suffix == ".zip" else "tar"
            raise DataUnavailable(
                f"{path} should be a {kind} archive, but is not or is damaged ({error}); delete it to fetch it again"
            ) from error


class _Limits:
    """What an archive must keep to, or it is not read."""

    def __init__(self, path: Path, most: int, largest: int) -> None:
        self.path, self.most, self.largest = path, most, largest

    def total(self, size: int) -> None:
        if size > self.most:
            raise self._refused(f"unpack to {self.most} bytes at most, but has {size} or more")

    def member(self, name: str, size: int) -> None:
        if size > self.largest:
            raise DataUnavailable(
                f"{name} should have {self.largest} bytes at most, but has {size}; {self.path.name} is not read"
            )

    def inside(self, name: str) -> None:
        place = PureWindowsPath(name)  # divides at / and at \, and knows drives
        if place.drive or place.root or ".." in place.parts:
            raise self._refused(f"have members below its own folder, but has {name!r}")

    def plain(self, name: str, is_plain: bool) -> None:
        if not is_plain:
            raise self._refused(f"hold plain files, but {name!r} is a link, a device or a file with holes")

    def _refused(self, fault: str) -> DataUnavailable:
        return DataUnavailable(f"{self.path.name} should {fault}; it is not read")


def _of_zip(
    file: IO[bytes], start: bytes, wanted: Callable[[str], object], limits: _Limits
) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        limits.total(sum(entry.file_size for entry in archive.infolist()))
        for entry in archive.infolist():
            limits.inside(entry.filename)
            if entry.is_dir():
                continue
            mode = entry.external_attr >> 16  # of Unix, or 0
            limits.plain(entry.filename, mode & 0o170000 in (0, 0o100000))
            if wanted(entry.filename):
                limits.member(entry.filename, entry.file_size)
                yield entry.filename, _zipped(archive, entry)


def _zipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename!r} is compressed in a way that cannot be unpacked within a bound")
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size + 1)  # without a size it would unpack all first, whatever the header says
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename!r} should have {entry.file_size} bytes, but has {len(content)}")
    return content


def _of_tar(
    file: IO[bytes], start: bytes, wanted: Callable[[str], object], limits: _Limits
) -> Iterator[tuple[str, bytes]]:
    module = next((module for magic, module in COMPRESSIONS.items() if start.startswith(magic)), None)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(module.open(file)) if module else file
        stream = _Bounded(source, limits)
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))  # type: ignore[call-overload]
        for entry in archive:
            limits.inside(entry.name)
            if entry.isdir():
                continue
            limits.plain(entry.name, entry.isfile() and not entry.issparse())
            if entry.size < 0:
                raise tarfile.ReadError(f"{entry.name!r} has a negative size")
            if wanted(entry.name):
                limits.member(entry.name, entry.size)
                content = archive.extractfile(entry)
                assert content is not None  # as it is a file
                yield entry.name, content.read()
        stream.finish()


class _Bounded:
    """An unpacked tar as ``tarfile`` reads it, onwards only, to a bound that what a header claims cannot pass."""

    def __init__(self, source: IO[bytes], limits: _Limits) -> None:
        self.source, self.limits, self.last = source, limits, b""

    def tell(self) -> int:
        return self.source.tell()

    def seek(self, position: int) -> None:
        if position < self.tell():
            raise tarfile.StreamError("it leads back to what was read")
        self.limits.total(position)
        self.source.seek(position)

    def read(self, size: int) -> bytes:
        self.limits.total(self.tell() + size)
        self.limits.member("one of its headers", size - tarfile.BLOCKSIZE)  # read at once, as a member is
        self.last = self.source.read(size)
        return self.last

    def finish(self) -> None:
        """Read on to where the compression compares its checksum. ``tarfile`` takes whatever is no header for an end."""
        if self.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while self.source.read(tarfile.RECORDSIZE):
            self.limits.total(self.tell())
