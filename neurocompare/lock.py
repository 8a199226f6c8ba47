"""One writer per folder: a lock that the system drops when its holder dies, however it dies."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from neurocompare.errors import InputError
from neurocompare.files import write_text

LOCK, HOLDER = ".lock", ".holder.json"


@contextmanager
def only_writer(folder: Path, **notes: Any) -> Iterator[None]:
    """Hold a folder's lock.

    Args:
        folder: made where it is not there.
        notes: kept with the holder's name, for ``holder``.
    Raises:
        InputError: another process holds it; the message names that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = _read(folder)
        name = f"process {other['pid']} of {other['user']} on {other['host']}" if other else "another process"
        raise InputError(
            f"{folder} is being worked on by {name}; wait until it is done, stop it, or choose another folder with -o"
        ) from None
    try:
        me = {"host": socket.gethostname(), "pid": os.getpid(), "user": _user(), "started": time.time()}
        write_text(folder / HOLDER, json.dumps(me | notes) + "\n")
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder(folder: Path) -> dict[str, Any] | None:
    """Who holds a folder's lock, and what was noted with it; None where nobody does.

    A holder that died leaves its name, but not the lock.
    """
    if not (folder / LOCK).is_file():
        return None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _read(folder)
    except OSError:  # a folder that may only be read: nobody can be writing to it from here
        return None
    lock.release()
    return None


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / HOLDER).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):  # not written yet, or just removed
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
