"""Where a file is looked for, what a bad one leads to, and what happens with a bad network."""

from __future__ import annotations

import logging
import re
import time

import pytest
from tiny_sources import sha256

from data_loaders import _download, _files
from data_loaders._files import DataFile, locate
from neurocompare.errors import DataUnavailable

CONTENT = bytes(range(256)) * 4000  # about 1 MB, so that it comes in several blocks


def a_file(url: str | None = None, content: bytes = CONTENT, known: bool = True) -> DataFile:
    return DataFile("set/a.bin", sha256(content) if known else None, url)


def put(root, content: bytes = CONTENT, name: str = "set/a.bin"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def source(server, cache):
    """The server as public source of the file; returns the file."""
    server.files["/a.bin"] = CONTENT
    return a_file(f"{server.url}/a.bin")


def test_the_cache_comes_before_the_mirror_and_the_mirror_before_the_source(server, cache, mirror, source):
    assert locate(source) == cache / "set/a.bin"
    assert len(server.requests) == 1
    (cache / "set/a.bin").unlink()
    in_mirror = put(mirror)
    assert locate(source) == in_mirror
    assert not (cache / "set/a.bin").exists(), "a mirror folder's file is used in place"
    in_cache = put(cache)
    assert locate(source) == in_cache
    assert len(server.requests) == 1


def test_a_download_is_verified_and_asked_for_once(server, cache, source):
    assert locate(source).read_bytes() == CONTENT
    assert locate(source) == cache / "set/a.bin"
    assert server.requests == [("/a.bin", None)]
    assert [path.name for path in (cache / "set").iterdir()] == ["a.bin"]


def test_an_http_mirror_serves_the_layout_of_a_mirror_folder(server, cache, monkeypatch):
    server.files["/base/set/a.bin"] = CONTENT
    monkeypatch.setenv("NEUROCOMPARE_MIRROR", f"{server.url}/base/")
    assert locate(a_file()) == cache / "set/a.bin"


def test_a_bad_cached_file_is_removed_and_fetched_again(server, cache, source, caplog):
    put(cache, b"bad")
    assert locate(source).read_bytes() == CONTENT
    assert sha256(b"bad") in caplog.text


def test_a_bad_cached_file_that_cannot_be_replaced_is_removed_and_named(cache):
    path = put(cache, b"bad")
    with pytest.raises(DataUnavailable, match=f"{sha256(b'bad')}, expected {sha256(CONTENT)}, removed.*MIRROR"):
        locate(a_file())
    assert not path.exists()


def test_a_bad_file_in_a_mirror_folder_is_an_error_and_stays(server, mirror, source):
    path = put(mirror, b"bad")
    with pytest.raises(DataUnavailable, match=f"bad file in the mirror.*{sha256(b'bad')}, expected {sha256(CONTENT)}"):
        locate(source)
    assert path.read_bytes() == b"bad"
    assert not server.requests, "a broken mirror must not go unseen"


def test_a_bad_download_is_removed_and_names_both_sums(server, cache, source):
    server.files["/a.bin"] = b"bad"
    with pytest.raises(DataUnavailable, match=f"{sha256(b'bad')}, expected {sha256(CONTENT)}, removed"):
        locate(source)
    assert list((cache / "set").iterdir()) == []


def test_a_file_in_no_place_says_what_went_wrong_in_each(server, mirror, dead_url):
    with pytest.raises(DataUnavailable) as caught:
        locate(a_file(f"{dead_url}/a.bin"))
    message = str(caught.value)
    for part in ("set/a.bin is needed", "cache: ", f"mirror: {mirror}", f"source: {dead_url}/a.bin: cannot connect"):
        assert part in message
    assert "set NEUROCOMPARE_MIRROR to a folder" in message
    assert "\n" not in message
    assert len(message) < 700


def test_a_missing_page_names_the_status(server, cache):
    with pytest.raises(DataUnavailable, match=r"a\.bin: HTTP 404"):
        locate(a_file(f"{server.url}/a.bin"))


def test_alternatives_are_tried_in_order(server, cache, source):
    other = DataFile("set/other.bin", sha256(b"other"), None)
    assert locate(other, source) == cache / "set/a.bin"
    with pytest.raises(DataUnavailable, match=r"set/other.bin or set/third.bin is needed"):
        locate(other, DataFile("set/third.bin", None, None))


def test_an_unreachable_host_is_tried_once(cache, dead_url, monkeypatch):
    calls = []
    get = _download.requests.get
    monkeypatch.setattr(_download.requests, "get", lambda *a, **k: calls.append(a) or get(*a, **k))
    start = time.perf_counter()
    for _ in range(20):
        with pytest.raises(DataUnavailable, match="cannot connect"):
            locate(a_file(f"{dead_url}/a.bin"))
    assert len(calls) == 1
    assert time.perf_counter() - start < 5


def test_a_partial_download_is_resumed(server, cache, source):
    put(cache, CONTENT[:1000], "set/a.bin.part")
    assert locate(source).read_bytes() == CONTENT
    assert server.requests == [("/a.bin", "bytes=1000-")]
    assert not (cache / "set/a.bin.part").exists()


def test_a_server_without_ranges_starts_over(server, cache, source):
    server.ranges = False
    put(cache, b"x" * (len(CONTENT) + 5), "set/a.bin.part")  # longer than the file, so a leftover tail would show
    assert locate(source).read_bytes() == CONTENT


def test_a_whole_but_unverified_partial_starts_over(server, cache, source):
    put(cache, b"x" * len(CONTENT), "set/a.bin.part")
    assert locate(source).read_bytes() == CONTENT
    assert server.requests == [("/a.bin", f"bytes={len(CONTENT)}-"), ("/a.bin", None)]


def test_a_range_that_starts_elsewhere_is_refused(server, cache, source):
    server.lie = 7
    put(cache, CONTENT[:1000], "set/a.bin.part")
    with pytest.raises(DataUnavailable, match="asked for the bytes from 1000, but the answer is 'bytes 1007-"):
        locate(source)


def test_a_connection_that_breaks_off_is_taken_up_again(server, cache, source):
    server.cut = 1 << 18
    assert locate(source).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, *(f"bytes={k << 18}-" for k in (1, 2, 3))]


def test_what_came_before_a_final_break_is_kept_for_the_next_call(server, cache, source):
    server.ranges, server.cut = False, 1 << 18
    with pytest.raises(DataUnavailable, match="broke off"):
        locate(source)
    assert (cache / "set/a.bin.part").read_bytes() == CONTENT[: 1 << 18]
    server.ranges, server.cut, server.requests = True, None, []
    assert locate(source).read_bytes() == CONTENT
    assert server.requests == [("/a.bin", f"bytes={1 << 18}-")]


@pytest.mark.parametrize("ranges", [True, False])
def test_stale_bytes_never_mix_with_new_ones(server, cache, source, ranges):
    server.ranges, server.cut = ranges, 1 << 18
    part = put(cache, b"x" * len(CONTENT), "set/a.bin.part")
    with pytest.raises(DataUnavailable, match="broke off"):
        locate(source)
    assert part.read_bytes() == CONTENT[: 1 << 18]


def test_a_file_without_published_sum_is_recorded_and_then_held_to_it(server, cache, caplog):
    server.files["/a.bin"] = CONTENT
    file = a_file(f"{server.url}/a.bin", known=False)
    with caplog.at_level(logging.WARNING):
        path = locate(file)
    assert "no published sha256" in caplog.text
    record = cache / "set/a.bin.sha256"
    assert record.read_text() == sha256(CONTENT) + "\n"
    path.unlink()
    server.files["/a.bin"] = b"new"
    with pytest.raises(
        DataUnavailable, match=f"{sha256(b'new')}, expected {sha256(CONTENT)}.*delete {re.escape(str(record))}"
    ):
        locate(file)
    record.unlink()
    assert locate(file).read_bytes() == b"new"


def test_a_file_without_published_sum_is_not_resumed(server, cache):
    server.files["/a.bin"] = CONTENT
    put(cache, b"old" * 100, "set/a.bin.part")
    assert locate(a_file(f"{server.url}/a.bin", known=False)).read_bytes() == CONTENT


def test_checksum_lines_may_carry_their_own_url(tmp_path, monkeypatch):
    (tmp_path / "checksums").mkdir()
    (tmp_path / "checksums" / "set.txt").write_text("set/a.bin 00\nset/b/c.bin 11 http://elsewhere/c\n")
    monkeypatch.setattr(_files, "__file__", str(tmp_path / "_files.py"))
    assert _files.read_checksums("set", "http://base/") == {
        "a.bin": DataFile("set/a.bin", "00", "http://base/a.bin"),
        "b/c.bin": DataFile("set/b/c.bin", "11", "http://elsewhere/c"),
    }
