"""Running independent tasks, in this process or on several.

A small network gains nothing from a second thread within one step; a second process doubles what gets done. So each worker
process has one thread.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


def completed(task: Callable[[T], R], waves: Sequence[Sequence[T]], workers: int = 1) -> Iterator[R]:
    """Yield each result as it is ready; a wave begins when the one before it is done.

    With one worker, which is this process, results come in order. With more, processes are started afresh, so the calling
    script needs the usual ``if __name__ == "__main__":``.

    Args:
        task: picklable where there is more than one worker; its first error ends the whole, and what was not begun is
            not done.
        waves: of items, one argument each.
        workers: processes at most.
    """
    workers = min(workers, max(map(len, waves), default=0))
    if workers <= 1:
        yield from (task(item) for wave in waves for item in wave)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        try:
            for wave in waves:
                for future in as_completed([pool.submit(task, item) for item in wave]):
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
