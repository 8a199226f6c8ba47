"""Kendall's tau-a of one vector with many, in ``O(n log n)`` each (Christensen 2005, Comput. Stat. 20:51; the idea of
counting while sorting is Knight's, 1966, J. Am. Stat. Assoc. 61:436).

Elements are taken in the order of one vector and dropped at their places in the order of the other; how many lie below a
place says how many pairs agree. Where the optional package numba is installed the counting is compiled, and rows share
out the processor's cores; otherwise scipy does it. Both give the same numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.stats import kendalltau

try:
    import numba
except ImportError:  # an optional extra
    numba = None  # type: ignore[assignment]

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray], int]


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
    starts = np.flatnonzero(np.r_[True, np.diff(a[order]) != 0])  # of equal values, among places
    sizes = np.diff(np.r_[starts, len(a)])
    # By element: its place, how many are smaller, and how many are not greater; small numbers stay in the cache.
    places = np.empty((len(a), 3), np.int32)
    places[order] = np.stack([np.arange(len(a)), np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)], 1)
    kind = np.int16 if len(a) < 2**15 else np.int32

    def net(row: np.ndarray) -> int:
        turn = np.argsort(row)
        return _compiled()(row[turn], places.take(turn, 0), np.zeros(len(a) + 1, kind))

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:  # sorting and counting let other threads run
        return np.asarray(list(pool.map(net, rows))) / (len(a) * (len(a) - 1) / 2)


def _by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """scipy gives tau-b, which divides by the pairs untied in each vector; multiplying that out again leaves tau-a."""
    total = len(a) * (len(a) - 1) / 2
    untied = [total - (counts * (counts - 1) / 2).sum() for counts in map(_tie_counts, (a, b))]
    return float(kendalltau(a, b).statistic * np.sqrt(untied[0] * untied[1]) / total)


def _tie_counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(float)


@functools.cache
def _compiled() -> Kernel:
    """``_net``, compiled at its first use."""
    return numba.njit(nogil=True)(_net)


def _net(values: np.ndarray, places: np.ndarray, tree: np.ndarray) -> int:
    """Concordant less discordant pairs; what was dropped is counted in a Fenwick tree (1994, Softw. Pract. Exp. 24:327).

    Args:
        values: ascending.
        places: of each value's element in the order of the other vector, from 0; how many elements have a smaller value
            there; and how many one that is not greater.
        tree: zeros, one more than there are elements.
    """
    n = len(values)  # entry k of the tree counts places from k less its lowest bit up to k, from 1
    net, first = 0, 0
    while first < n:
        end = first + 1
        while end < n and values[end] == values[first]:
            end += 1
        for i in range(first, end):  # elements of equal value count neither way: first all are counted, then dropped
            smaller, k = 0, places[i, 1]
            while k > 0:
                smaller += tree[k]
                k &= k - 1
            not_greater = smaller
            if places[i, 2] > places[i, 1] + 1:  # there are others like it; itself it has not been dropped yet
                not_greater, k = 0, places[i, 2]
                while k > 0:
                    not_greater += tree[k]
                    k &= k - 1
            net += smaller - (first - not_greater)
        for i in range(first, end):
            k = places[i, 0] + 1
            while k <= n:
                tree[k] += 1
                k += k & -k
        first = end
    return net
