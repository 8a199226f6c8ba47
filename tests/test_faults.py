"""Whatever ends a study in the middle, the same command goes on to the same table."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurocompare.execute import completed
from neurocompare.lock import only_writer
from neurocompare.spec import read_spec
from neurocompare.study import Study, open_study

SPEC = """
name = "to be broken"
dataset = "digits"
rules = ["backprop", "feedback_alignment", "node_perturbation"]
controls = ["untrained", "permuted_weights", "pixels"]
seeds = [0, 1]
[network]
architecture = "mlp"
hidden = [12]
[training]
epochs = 1
batch_size = 32
items = 256
[benchmarks]
"simulated.rdm" = ["rsa_spearman"]
"simulated.units" = ["ridge", "rsa_spearman"]
"""
RUN = "from neurocompare.cli import main; main()"


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "broken.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def whole(spec_file, tmp_path_factory):
    return Study(read_spec(spec_file), tmp_path_factory.mktemp("whole")).run()


def command(spec_file: Path, folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-c", RUN, "run", str(spec_file), "-o", str(folder), *options]


def start(*args: str, **settings) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(args, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, **settings)  # fmt: skip


def n_finished(folder: Path) -> int:
    return len(list(folder.glob("scores/*/*/[!.]*.nc")))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_ten_times_it_goes_on_to_the_same_table(spec_file, whole, tmp_path, workers):
    """SIGKILL to the process and its workers at random moments, counted in finished scores so that work is under way."""
    rng = np.random.default_rng(int(workers))
    kills = 0
    while kills < 10:
        process = start(*command(spec_file, tmp_path, "--workers", workers))
        goal = n_finished(tmp_path) + int(rng.integers(1, 4))
        while process.poll() is None and n_finished(tmp_path) < goal:
            time.sleep(0.002)
        if process.poll() is None:
            time.sleep(float(rng.uniform(0, 0.05)))
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        process.stderr.close()
        if n_finished(tmp_path) == len(open_study(tmp_path).all_cells):  # begin again
            shutil.rmtree(tmp_path / "scores")
    pd.testing.assert_frame_equal(Study(read_spec(spec_file), tmp_path).run(), whole)
    assert set(open_study(tmp_path).status()["state"]) == {"done"}


@pytest.mark.slow
def test_killed_once_in_training_it_goes_on_to_the_same_table(spec_file, whole, tmp_path):
    process = start(*command(spec_file, tmp_path, "--workers", "1"))
    while process.poll() is None and not n_finished(tmp_path):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    status = open_study(tmp_path).status()
    assert {"done", "planned"} == set(status["state"])  # nobody is running it
    pd.testing.assert_frame_equal(Study(read_spec(spec_file), tmp_path).run(), whole)


def test_two_processes_on_one_study_the_second_is_refused(spec_file, tmp_path):
    with only_writer(tmp_path):
        process = start(*command(spec_file, tmp_path))
        _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert f"is being worked on by process {os.getpid()} of " in said


def small_file_system(folder: Path, options: str) -> None:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")


@pytest.mark.slow
def test_a_file_system_that_fills_up_ends_it_with_a_way_out(spec_file, whole, tmp_path):
    folder = tmp_path / "small"
    small_file_system(folder, "size=160k")
    try:
        process = start(*command(spec_file, folder, "--workers", "1"))
        _, said = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "the disk is full; make room, then run the same command again" in said
        assert "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)
        pd.testing.assert_frame_equal(Study(read_spec(spec_file), folder).run(), whole)
    finally:
        subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.slow
def test_a_study_that_may_only_be_read_can_be_read_and_says_what_to_do(spec_file, whole, tmp_path):
    folder = tmp_path / "fixed"
    small_file_system(folder, "size=50m")
    try:
        Study(read_spec(spec_file), folder).run()
        (folder / "scores" / "simulated.units" / "ridge" / "pixels.nc").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert len(open_study(folder).table()) == len(whole) - 1
        assert open_study(folder).status()["state"].value_counts()["planned"] == 1
        process = start(*command(spec_file, folder, "--workers", "1"))
        _, said = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "the folder may only be read; choose another with -o" in said
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def test_a_clock_that_was_set_back_changes_nothing(spec_file, whole, tmp_path):
    """Files from the future, as they look after it."""
    study = Study(read_spec(spec_file), tmp_path)
    study.run()
    cells = sorted(tmp_path.glob("scores/*/*/*.nc"))
    for path in tmp_path.rglob("*"):
        os.utime(path, (time.time() + 1e6,) * 2)
    for path in cells[::3]:
        path.unlink()
    pd.testing.assert_frame_equal(Study(read_spec(spec_file), tmp_path).run(), whole)
    assert open_study(tmp_path).seconds_left() is None


def die_the_first_time(marker: str) -> int:
    path = Path(marker)
    if not path.exists():
        path.write_text("was here")
        os.kill(os.getpid(), signal.SIGKILL)
    return 7


def test_a_dask_worker_that_is_killed_is_replaced(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        markers = [str(tmp_path / name) for name in "ab"]
        assert list(completed(die_the_first_time, [markers], scheduler=cluster.scheduler_address)) == [7, 7]


@pytest.mark.slow
def test_a_study_on_dask_whose_worker_is_killed_comes_to_the_same_table(spec_file, whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        process = start(*command(spec_file, tmp_path, "--scheduler", cluster.scheduler_address))
        while process.poll() is None and n_finished(tmp_path) < 3:
            time.sleep(0.01)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        process.communicate(timeout=300)
        assert process.returncode == 0
    pd.testing.assert_frame_equal(open_study(tmp_path).table(), whole)
