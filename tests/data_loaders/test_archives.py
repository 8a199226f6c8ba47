"""What an archive can do to who reads it: lead out of its folder, be a link, swell, lie about a size, or be damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import tar_of, zip_of

from data_loaders._archives import members
from neurocompare.errors import DataUnavailable

CONTENTS = {f"data/{name}.bin": np.random.default_rng(i).bytes(1500) for i, name in enumerate("abc")}
MAKERS = {
    "x.zip": zip_of,
    "x.tar": tar_of,
    "x.tar.gz": lambda files: tar_of(files, "gz"),
    "x.tar.bz2": lambda files: tar_of(files, "bz2"),
    "x.tar.xz": lambda files: tar_of(files, "xz"),
}
COMPRESS = {"x.tar.gz": gzip.compress, "x.tar.bz2": bz2.compress, "x.tar.xz": lzma.compress}
MB = 1 << 20
BIG = 24 * MB
OF_XZ = 8 * MB  # that it works in, whatever it unpacks


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """A working folder below others, in all of which a test finds in the end what it put there itself."""
    here = tmp_path / "one" / "two" / "three"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    yield here
    assert sorted(tmp_path.rglob("*")) == sorted([here.parents[1], here.parents[0], here, *here.glob("x.*")])


def written(name: str, content: bytes) -> Path:
    path = Path(name).absolute()
    path.write_bytes(content)
    return path


def refused(path: Path, message: str, **limits: int) -> None:
    with pytest.raises(DataUnavailable, match=message):
        list(members(path, **limits))


def tar_with(entry: tarfile.TarInfo, compress=bytes) -> bytes:
    """A tar of one header, then nothing but its end."""
    return compress(entry.tobuf() + bytes(2 * tarfile.BLOCKSIZE))


def entry_of(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, target
    return entry


def peak_while(path: Path, message: str, **limits: int) -> int:
    """The most bytes in memory while a file is refused."""
    tracemalloc.start()
    try:
        refused(path, message, **limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", MAKERS)
def test_what_was_packed_is_what_comes_in_its_order(name):
    path = written(name, MAKERS[name](CONTENTS))
    assert list(members(path)) == list(CONTENTS.items())
    assert [found for found, _ in members(path, lambda member: "b" in Path(member).name[0])] == ["data/b.bin"]
    assert list(members(path, lambda member: False)) == []


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_folders_are_passed_over_even_the_archives_own(name):
    files = zip_of({"./": b"", "data/": b"", "data/a": b"1", "data/..b": b"2", "c:": b""} | {"data/c: d": b"3"})
    if name == "x.tar":
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for folder in (".", "./data"):
                archive.addfile(entry_of(folder, kind=tarfile.DIRTYPE))
            archive.addfile(entry_of("data/a", size=1), io.BytesIO(b"1"))
        assert list(members(written(name, stream.getvalue()))) == [("data/a", b"1")]
    else:
        refused(written(name, files), r"below its own folder, but has 'c:'")


OUTSIDE = (
    "../a",
    "data/../../a",
    "/etc/a",
    "C:/a",
    "c:a",
    "\\a",
    "..\\a",
    "data\\..\\..\\a",
    "\\\\host\\share\\a",
    "a/..",
)


@pytest.mark.parametrize("member", OUTSIDE)
@pytest.mark.parametrize("name", MAKERS)
def test_a_name_that_leads_out_is_refused_wanted_or_not(name, member):
    path = written(name, MAKERS[name]({"data/a": b"1", member: b"2"}))
    with pytest.raises(
        DataUnavailable, match=r"^x\.\S+ should have members below its own folder, but has.*it is not read"
    ):
        list(members(path, lambda found: found == "data/a"))


def test_a_folder_that_leads_out_is_refused_too():
    refused(written("x.zip", zip_of({"../": b""})), "below its own folder")
    refused(written("x.tar", tar_with(entry_of("../a", kind=tarfile.DIRTYPE))), "below its own folder")


KINDS = {
    "symlink": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "pipe": tarfile.FIFOTYPE,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["b", "/etc/passwd"])
def test_a_tar_with_what_is_no_file_is_refused(kind, target):
    content = tar_with(entry_of("a", kind=KINDS[kind], target=target), gzip.compress)
    refused(written("x.tar.gz", content), "should hold plain files, but 'a' is a link, a device")


def test_a_tar_with_a_file_of_holes_is_refused(inside):
    """One block of data and a terabyte of holes, as GNU tar writes it."""
    header = bytearray(entry_of("a", size=512, kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\x0000000001000\x00"  # offset and size of the only piece
    header[483:495] = tarfile.itn(1 << 40, 12, tarfile.GNU_FORMAT)  # the size with holes
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    refused(written("x.tar", bytes(header) + bytes(3 * 512)), "'a' is a link, a device or a file with holes")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666])
def test_a_zip_with_what_is_no_file_is_refused(mode):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        entry = zipfile.ZipInfo("data/a")
        entry.external_attr = mode << 16
        archive.writestr(entry, "/etc/passwd")
    refused(written("x.zip", stream.getvalue()), "should hold plain files, but 'data/a' is a link")


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_in_a_tar_is_refused_before_it_is_unpacked(name):
    content = tar_of({"data/a": b"1", "data/b": bytes(BIG)}, name.split(".")[-1])
    assert len(content) < MB / 8
    path = written(name, content)
    assert peak_while(path, f"should unpack to {MB} bytes at most, but has 2", most=MB) < OF_XZ + 2 * MB
    with pytest.raises(DataUnavailable, match="should unpack to"):
        list(members(path, lambda found: found == "data/a", most=MB))


@pytest.mark.parametrize("name", COMPRESS)
def test_a_size_alone_is_refused_though_no_byte_of_the_member_is_there(name):
    path = written(name, tar_with(entry_of("a", size=1 << 50), COMPRESS[name]))
    assert peak_while(path, "a should have 1073741824 bytes at most, but has 1125899906842624") < OF_XZ + MB
    with pytest.raises(DataUnavailable, match="should unpack to 4294967296 bytes at most, but has 11258"):
        list(members(path, lambda found: False))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_bomb_in_a_header_that_tarfile_reads_by_itself_is_refused(kind):
    content = gzip.compress(entry_of("a", size=BIG, kind=kind).tobuf() + bytes(BIG))
    path = written("x.tar.gz", content)
    assert peak_while(path, "should unpack to", most=MB) < OF_XZ + 2 * MB
    assert peak_while(path, "one of its headers should have", largest=MB) < OF_XZ + 2 * MB


@pytest.mark.parametrize("size", [-1, -512, -(1 << 40)])
def test_a_negative_size_is_damage(size):
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        header = bytearray(entry_of("a", kind=kind).tobuf(tarfile.GNU_FORMAT))
        header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
        path = written("x.tar.gz", gzip.compress(bytes(header) + bytes(BIG)))
        assert peak_while(path, "should be a tar archive, but is not or is damaged") < OF_XZ + 2 * MB


def test_a_bomb_behind_the_end_of_a_tar_is_refused():
    path = written("x.tar.gz", gzip.compress(tar_of(CONTENTS) + bytes(BIG)))
    assert peak_while(path, "should unpack to", most=MB) < OF_XZ + 2 * MB


def test_a_bomb_in_a_zip_is_refused_before_it_is_unpacked():
    path = written("x.zip", deflated({"a": b"1", "b": bytes(BIG)}))
    assert peak_while(path, f"should unpack to {MB} bytes at most, but has {BIG + 1} or more", most=MB) < MB


def test_the_bound_is_for_all_members_together_and_an_archive_may_have_what_it_has():
    files = {name: bytes(MB // 2 - 10_000) for name in "abc"}
    for name, content in {"x.zip": deflated(files), "x.tar.gz": tar_of(files, "gz")}.items():
        path = written(name, content)
        assert len(list(members(path, most=2 * MB))) == 3
        refused(path, "should unpack to", most=MB)
    for name in ("x.zip", "x.tar"):  # not compressed
        assert len(list(members(written(name, MAKERS[name](files)), most=MB))) == 3


def test_a_large_member_is_refused_where_it_is_wanted():
    for name, make in MAKERS.items():
        path = written(name, make({"data/a": bytes(1001), "data/b": bytes(1000)}))
        assert list(members(path, lambda found: "b" in found, largest=1000)) == [("data/b", bytes(1000))]
        refused(path, "data/a should have 1000 bytes at most, but has 1001", largest=1000)


def deflated(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_size(content: bytes, size: int) -> bytes:
    """A zip of one member of which both headers claim another size."""
    changed = bytearray(content)
    struct.pack_into("<L", changed, content.index(b"PK\x03\x04") + 22, size)
    struct.pack_into("<L", changed, content.index(b"PK\x01\x02") + 24, size)
    return bytes(changed)


@pytest.mark.parametrize("claimed", [0, 10, MB])
def test_a_zip_that_claims_less_than_it_has_is_damaged_and_not_unpacked(claimed):
    path = written("x.zip", with_size(deflated({"a": bytes(BIG)}), claimed))
    assert peak_while(path, "should be a zip archive, but is not or is damaged") < 4 * MB


def test_a_zip_that_claims_more_than_it_has_is_damaged():
    path = written("x.zip", with_size(deflated({"a": b"1" * 100}), 101))
    refused(path, "damaged .*'a' should have 101 bytes, but has 100")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_by_a_method_that_knows_no_bound_is_refused(method):
    path = written("x.zip", with_size(deflated({"a": bytes(BIG)}, method), 10))
    assert peak_while(path, "'a' is compressed in a way that cannot be unpacked within a bound") < MB


def test_a_zip_with_a_password_is_refused():
    content = bytearray(deflated({"a": b"1"}))
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + offset] |= 1
    refused(written("x.zip", bytes(content)), "password required")


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_that_ends_early_gives_no_part_for_the_whole(name):
    content = MAKERS[name](CONTENTS)
    end = len(content.rstrip(b"\0")) if name == "x.tar" else len(content)  # zeros fill up a tar
    for length in (*range(1, end, 97), end - 1, end):
        path = written(name, content[:length])
        if length == len(content):
            assert dict(members(path)) == CONTENTS
        else:
            refused(
                path, r"should be a (zip|tar) archive, but is not or is damaged \(.+\); delete it to fetch it again"
            )


@pytest.mark.parametrize("name", MAKERS)
def test_a_flipped_bit_is_an_error_or_changes_nothing_that_a_checksum_covers(name):
    content, rng = MAKERS[name](CONTENTS), np.random.default_rng(0)
    for position in rng.integers(0, len(content) - 1024 * (name == "x.tar"), 400):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        try:
            found = dict(members(written(name, bytes(changed))))
        except DataUnavailable:
            continue
        # A plain tar has no checksum of contents, and that of a header is the only guard of names.
        assert found == CONTENTS or (name == "x.tar" and list(found) == list(CONTENTS)), position


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100, b"PK", b"PK\x03\x04" * 99])
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_what_is_no_archive_is_named(name, content):
    kind = "zip" if name == "x.zip" else "tar"
    refused(written(name, content), rf"{name} should be a {kind} archive, but is not or is damaged")


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00"])
def test_a_compression_in_name_only_is_refused(magic):
    refused(written("x.tar.gz", magic + b"and then no more"), "should be a tar archive, but is not")


def test_a_compressed_file_that_holds_no_tar_is_refused():
    for name, compress in COMPRESS.items():
        refused(written(name, compress(b"no tar" * 1000)), "should be a tar archive, but is not")


def test_an_archive_of_nothing_has_no_members():
    for name, make in MAKERS.items():
        assert list(members(written(name, make({})))) == []


def test_a_file_that_cannot_be_opened_is_the_disks_fault():
    with pytest.raises(FileNotFoundError):
        list(members(Path("nowhere.zip")))
