"""Kendall's tau-a of one vector with many, by sorting: ``O(n log n)`` each (Knight 1966, J. Am. Stat. Assoc. 61:436).

Where the optional package numba is installed the sort is compiled, and rows share out the processor's cores; otherwise
scipy does it. Both give the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.stats import kendalltau

try:
    import numba
except ImportError:  # an optional extra
    numba = None  # type: ignore[assignment]

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
RUN = 32  # elements that are sorted by insertion, before runs are merged


def tau_a_with_each(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Concordant less discordant pairs over all pairs, so that ties count against a model.

    Args:
        a: ``(n,)``.
        rows: ``(k, n)``.
    Returns:
        Of ``a`` with each row, ``(k,)``.
    """
    if numba is None:
        return np.asarray([_by_scipy(a, row) for row in rows])
    order = np.argsort(a, kind="stable")
    groups = np.flatnonzero(np.r_[True, np.diff(a[order]) != 0, True])  # where equal values begin, and the end
    return _compiled()(np.asarray(rows, dtype=np.float64), order, groups) / (len(a) * (len(a) - 1) / 2)


def _by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """scipy gives tau-b, which divides by the pairs untied in each vector; multiplying that out again leaves tau-a."""
    total = len(a) * (len(a) - 1) / 2
    untied = [total - (counts * (counts - 1) / 2).sum() for counts in map(_tie_counts, (a, b))]
    return float(kendalltau(a, b).statistic * np.sqrt(untied[0] * untied[1]) / total)


def _tie_counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(float)


@functools.cache
def _compiled() -> Kernel:
    """``(rows, order, groups) -> concordant less discordant pairs`` of each row, compiled at its first use."""
    tied_pairs, sort = numba.njit(_tied_pairs), numba.njit(_sort)

    def count(rows: np.ndarray, order: np.ndarray, groups: np.ndarray) -> np.ndarray:
        found = np.empty(len(rows), np.int64)
        for k in numba.prange(len(rows)):
            y, buffer = rows[k][order], np.empty(len(order))
            net = len(y) * (len(y) - 1) // 2
            for group in range(len(groups) - 1):
                first, end = groups[group], groups[group + 1]
                if end - first > 1:  # a group's pairs count neither way
                    sort(y[first:end], buffer)
                    net += tied_pairs(y[first:end]) - (end - first) * (end - first - 1) // 2
            net -= 2 * sort(y, buffer)
            found[k] = net - tied_pairs(y)
        return found

    return numba.njit(parallel=True)(count)


def _tied_pairs(ordered: np.ndarray) -> int:
    """Pairs of equal values."""
    pairs, run = 0, 0
    for i in range(1, len(ordered)):
        run = run + 1 if ordered[i] == ordered[i - 1] else 0
        pairs += run
    return pairs


def _sort(y: np.ndarray, buffer: np.ndarray) -> int:
    """Sort in place; returns how many pairs stood the wrong way round."""
    n, inversions = len(y), 0
    for start in range(0, n, RUN):
        for i in range(start + 1, min(start + RUN, n)):
            value, j = y[i], i
            while j > start and y[j - 1] > value:
                y[j] = y[j - 1]
                j -= 1
            y[j] = value
            inversions += i - j
    source, target, width = y, buffer, RUN
    while width < n:
        for start in range(0, n, 2 * width):
            left, middle, end = start, min(start + width, n), min(start + 2 * width, n)
            right = middle
            for place in range(start, end):
                if right >= end or (left < middle and source[left] <= source[right]):
                    target[place] = source[left]
                    left += 1
                else:
                    target[place] = source[right]
                    right += 1
                    inversions += middle - left
        source, target, width = target, source, 2 * width
    if width > RUN:
        y[:] = source[:n]
    return inversions
