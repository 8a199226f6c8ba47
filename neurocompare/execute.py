"""Running independent tasks: in this process, on several, or on a Dask cluster.

A small network gains nothing from a second thread within one step; a second process doubles what gets done. So each worker
has one thread.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from neurocompare.errors import InputError

T = TypeVar("T")
R = TypeVar("R")
RETRIES = 2  # of a task whose Dask worker died


def completed(
    task: Callable[[T], R], waves: Sequence[Sequence[T]], workers: int = 1, scheduler: str | None = None
) -> Iterator[R]:
    """Yield each result as it is ready; a wave begins when the one before it is done.

    With one worker, which is this process, results come in order. With more, processes are started afresh, so the calling
    script needs the usual ``if __name__ == "__main__":``.

    Args:
        task: picklable where it is not for this process; its first error ends the whole, and what was not begun is not done.
        waves: of items, one argument each.
        workers: processes at most.
        scheduler: of a Dask cluster (``tcp://host:8786``), to use in place of processes of this machine.
    Raises:
        InputError: there is no such scheduler, or a worker died.
    """
    workers = min(workers, max(map(len, waves), default=0))
    if scheduler is not None:
        yield from _on_dask(task, waves, scheduler)
    elif workers <= 1:
        yield from (task(item) for wave in waves for item in wave)
    else:
        yield from _on_processes(task, waves, workers)


def _on_processes(task: Callable[[T], R], waves: Sequence[Sequence[T]], workers: int) -> Iterator[R]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        try:
            for wave in waves:
                for future in as_completed([pool.submit(task, item) for item in wave]):
                    yield future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a worker process died, perhaps for want of memory; run the same command again to go on, with fewer "
                "--workers if it happens again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _on_dask(task: Callable[[T], R], waves: Sequence[Sequence[T]], scheduler: str) -> Iterator[R]:
    try:
        import distributed
    except ImportError as error:
        raise InputError("a --scheduler needs Dask; install it with `pip install 'neurocompare[dask]'`") from error
    try:
        client = distributed.Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no Dask scheduler at {scheduler!r}: {error}; start one, see docs/cluster.md"
        ) from error
    with client:
        for wave in waves:
            futures = client.map(partial(_alone, task), list(wave), pure=False, retries=RETRIES)
            try:
                for future in distributed.as_completed(futures, loop=client.loop):
                    yield future.result()
            except distributed.KilledWorker as error:
                raise InputError(
                    f"a Dask worker died {RETRIES + 1} times over the same task, perhaps for want of memory: {error}; "
                    "run the same command again to go on"
                ) from error
            finally:
                client.cancel(futures)


def _alone(task: Callable[[T], R], item: T) -> R:
    _one_thread()
    return task(item)


def _one_thread() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
