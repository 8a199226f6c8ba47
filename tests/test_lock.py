"""One writer per folder, whatever becomes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from neurocompare.errors import InputError
from neurocompare.lock import HOLDER, holder, only_writer

HOLD = """
import sys, time, pathlib
from neurocompare.lock import only_writer
with only_writer(pathlib.Path(sys.argv[1]), finished=3):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def another(tmp_path):
    """A process that holds the folder's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_refused_with_the_name_of_the_first(another, tmp_path):
    with (
        pytest.raises(InputError, match=rf"is being worked on by process {another.pid} of \S+ on \S+; wait"),
        only_writer(tmp_path),
    ):
        pass
    assert holder(tmp_path)["pid"] == another.pid
    assert holder(tmp_path)["finished"] == 3


def test_a_holder_that_was_killed_holds_nothing(another, tmp_path):
    another.kill()
    another.wait()
    assert (tmp_path / HOLDER).is_file()
    assert holder(tmp_path) is None
    with only_writer(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / HOLDER).is_file()


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyError), only_writer(tmp_path):
        raise KeyError
    assert holder(tmp_path) is None
    with only_writer(tmp_path):
        pass


def test_it_does_not_look_at_the_clock(another, tmp_path):
    """A clock that was set back, or files from the future, make nobody's lock stale."""
    for place in tmp_path.iterdir():
        os.utime(place, (time.time() + 1e6,) * 2)
    with pytest.raises(InputError, match="is being worked on"), only_writer(tmp_path):
        pass
