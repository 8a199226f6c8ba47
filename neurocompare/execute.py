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


def completed(task: Callable[[T], R], items: Sequence[T], workers: int = 1) -> Iterator[R]:
    """Yield each result as it is ready; in order with one worker, which is this process.

    With more, processes are started afresh, so the calling script needs the usual ``if __name__ == "__main__":``.

    Args:
        task: picklable where there is more than one worker; its first error ends the whole, and what was not begun is
            not done.
        items: one argument each.
        workers: processes at most.
    """
    if min(workers, len(items)) <= 1:
        yield from map(task, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer=_one_thread) as pool:
        futures = [pool.submit(task, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
