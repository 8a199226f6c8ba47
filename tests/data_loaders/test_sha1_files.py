"""Files whose source publishes a sha1 and no sha256."""

from __future__ import annotations

import hashlib
import re

import pytest

from data_loaders import _files
from data_loaders._files import DataFile, locate
from neurocompare.errors import DataUnavailable

CONTENT = bytes(range(256)) * 4000
SHA1 = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture
def file(server, cache):
    server.files["/a.bin"] = CONTENT
    return DataFile("set/a.bin", None, f"{server.url}/a.bin", SHA1)


def test_the_sum_compared_is_that_of_the_standard(tmp_path):
    """FIPS 180's own example, so that the algorithm is SHA-1 and no other."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert _files.mismatch(path, DataFile("abc", None, None, "a9993e364706816aba3e25717850c26c9cd0d89d")) is None
    assert "has sha1" in str(_files.mismatch(path, DataFile("abc", None, None, "0" * 40)))


def test_a_download_is_verified_resumed_and_not_recorded(server, cache, file, caplog):
    part = cache / "set/a.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert locate(file).read_bytes() == CONTENT
    assert server.requests == [("/a.bin", "bytes=1000-")]
    assert [path.name for path in (cache / "set").iterdir()] == ["a.bin"]
    assert not caplog.text


def test_other_content_is_removed_and_both_sums_are_named(server, cache, file):
    server.files["/a.bin"] = b"other"
    found = hashlib.sha1(b"other").hexdigest()
    with pytest.raises(DataUnavailable, match=f"has sha1 {found}, expected {SHA1}, removed"):
        locate(file)
    assert not list((cache / "set").iterdir())


def test_a_bad_copy_in_the_cache_is_fetched_again(server, cache, file):
    place = cache / "set/a.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"damaged")
    assert locate(file).read_bytes() == CONTENT


def test_a_bad_copy_in_a_mirror_is_an_error(mirror, file):
    place = mirror / "set/a.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"damaged")
    with pytest.raises(DataUnavailable, match=f"bad file in the mirror: {re.escape(str(place))} has sha1"):
        locate(file)


def test_a_sha256_goes_first(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert _files.mismatch(path, DataFile("a.bin", sha256, None, "0" * 40)) is None
    assert "has sha256" in str(_files.mismatch(path, DataFile("a.bin", "0" * 64, None, SHA1)))


def test_checksum_files_tell_the_sums_apart_by_their_length(tmp_path, monkeypatch):
    (tmp_path / "checksums").mkdir()
    (tmp_path / "checksums" / "set.txt").write_text(f"set/a.bin {SHA1}\nset/b.bin {'1' * 64} http://elsewhere/b\n")
    monkeypatch.setattr(_files, "__file__", str(tmp_path / "_files.py"))
    assert _files.read_checksums("set", "http://base/") == {
        "a.bin": DataFile("set/a.bin", None, "http://base/a.bin", SHA1),
        "b.bin": DataFile("set/b.bin", "1" * 64, "http://elsewhere/b"),
    }
