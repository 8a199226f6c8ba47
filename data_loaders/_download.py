"""Fetching one URL into a file, resuming what an earlier attempt left behind."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import requests

from neurocompare.errors import DataUnavailable

TIMEOUT = (5.0, 30.0)  # seconds to connect, so that a machine without a network fails fast; seconds without a byte

BLOCK = 1 << 14  # bytes; a break loses what a block lacks to be whole

# Hosts that could not be reached, with the reason: a dataset of a hundred files must not wait a hundred timeouts.
unreachable: dict[str, str] = {}


def download(url: str, part: Path, *, resume: bool = True) -> None:
    """Fetch ``url`` into ``part``, continuing after the bytes that are there already.

    A connection that breaks off is taken up again for as long as each attempt brings new bytes; what has come
    stays in ``part`` for the next call.

    Args:
        url: http or https.
        part: where the bytes go; its folder is made.
        resume: False starts over, for content whose sum is unknown (a blend of two versions would go unseen).
    Raises:
        DataUnavailable: the host cannot be reached, refuses, or broke off without sending anything new.
    """
    host = urlsplit(url).netloc
    if host in unreachable:
        raise DataUnavailable(f"{url}: {unreachable[host]}")
    part.parent.mkdir(parents=True, exist_ok=True)
    if not resume:
        part.unlink(missing_ok=True)
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(url, host, part, before)
        except requests.RequestException as error:
            after = part.stat().st_size if part.exists() else 0
            if after <= before or host in unreachable:
                raise DataUnavailable(f"{url}: {_reason(error)}") from error


def _attempt(url: str, host: str, part: Path, offset: int) -> None:
    """One request; raises ``requests.RequestException`` where it did not bring the whole rest."""
    # Without "identity" a server may compress on the way, and offsets would count compressed bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.ConnectionError as error:
        unreachable[host] = _reason(error)
        raise
    with response:
        if offset and response.status_code == requests.codes.requested_range_not_satisfiable:
            # What is there is longer than what the server has, or complete but never verified.
            part.unlink(missing_ok=True)
            return _attempt(url, host, part, 0)
        response.raise_for_status()
        start = _start(response, offset)
        if start < offset:
            part.unlink()  # what is there is not part of this answer
        _write(response, part, start)


def _start(response: requests.Response, offset: int) -> int:
    """The offset at which the answer's bytes begin: 0 unless the server honoured the range."""
    if response.status_code != requests.codes.partial_content:
        return 0
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if sent is None or int(sent.group(1)) != offset:
        got = response.headers.get("Content-Range", "no Content-Range")
        raise requests.RequestException(f"asked for the bytes from {offset}, but the answer is {got!r}")
    return offset


def _write(response: requests.Response, part: Path, start: int) -> None:
    # Written in place, not truncated first: another process may be fetching the same bytes into the same places.
    part.touch()
    with part.open("r+b") as stream:
        stream.seek(start)
        for block in response.iter_content(BLOCK):
            stream.write(block)
        received = stream.tell() - start
        announced = response.headers.get("Content-Length")
        if announced is not None and received < int(announced):  # urllib3 1 takes a short body for a whole one
            raise requests.ConnectionError(f"broke off after {received} of {announced} bytes")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {TIMEOUT[0]:g} s"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    kind = "broke off" if isinstance(error, requests.exceptions.ChunkedEncodingError) else "cannot connect"
    if type(error) in (requests.RequestException, requests.ConnectionError) and not _is_nested(error):
        return str(error)
    return f"{kind} ({type(error).__name__})"


def _is_nested(error: requests.RequestException) -> bool:
    """Whether the message is a whole chain of urllib3 errors, too long for one line."""
    return bool(error.args) and isinstance(error.args[0], Exception)
