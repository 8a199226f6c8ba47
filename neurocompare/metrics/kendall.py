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

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], int]
# Counts are kept as prefix sums within groups, groups of groups, and so on, packed into words of 64 bits: 8 counts of 8 bits
# on the lowest levels, then 4 of 16 bits; so neither counting nor dropping has a branch. The shifts lead from a place to its
# word on each level. What is beyond them all is counted in blocks.
SHIFTS = (3, 6, 8, 10, 12, 14, 16)
BYTES = 2  # levels of 8 bits
BLOCK = 16


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
    n, order = len(a), np.argsort(a, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(a[order]) != 0])  # of equal values, among places
    sizes = np.diff(np.r_[starts, n])
    # By element: its place, how many are smaller, and how many are not greater.
    places = np.empty((n, 3), np.int32)
    places[order] = np.stack([np.arange(n), np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)], 1)
    levels = np.cumsum([0, *((n >> shift) + 1 for shift in SHIFTS)])

    def net(row: np.ndarray) -> int:
        words, blocks = np.zeros(levels[-1], np.uint64), np.zeros((n >> BLOCK) + 1, np.int64)
        return _compiled()(row, np.argsort(row), places, words, levels, blocks)

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:  # sorting and counting let other threads run
        return np.asarray(list(pool.map(net, rows))) / (n * (n - 1) / 2)


def _by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """scipy gives tau-b, which divides by the pairs untied in each vector; multiplying that out again leaves tau-a."""
    total = len(a) * (len(a) - 1) / 2
    untied = [total - (counts * (counts - 1) / 2).sum() for counts in map(_tie_counts, (a, b))]
    return float(kendalltau(a, b).statistic * np.sqrt(untied[0] * untied[1]) / total)


def _tie_counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(float)


@functools.cache
def _compiled() -> Kernel:
    """Concordant less discordant pairs, compiled at its first use.

    Its arguments are a row and the order of its values; ``places`` of elements; and zeros to count in: words, where each
    level begins among them, and blocks.
    """
    dropped_below, drop = numba.njit(_dropped_below), numba.njit(_drop)

    def net(
        row: np.ndarray,
        order: np.ndarray,
        places: np.ndarray,
        words: np.ndarray,
        levels: np.ndarray,
        blocks: np.ndarray,
    ) -> int:
        n, found, first = len(row), 0, 0
        while first < n:
            element, end = order[first], first + 1
            while end < n and row[order[end]] == row[element]:
                end += 1
            if end == first + 1 and places[element, 2] == places[element, 1] + 1:  # unlike all others, in both vectors
                found += 2 * drop(words, levels, blocks, places[element, 0]) - first
                first = end
                continue
            for i in range(first, end):  # equal values count neither way: first all are counted, then dropped
                smaller = dropped_below(words, levels, blocks, places[order[i], 1])
                not_greater = dropped_below(words, levels, blocks, places[order[i], 2])
                found += smaller - (first - not_greater)
            for i in range(first, end):
                drop(words, levels, blocks, places[order[i], 0])
            first = end
        return found

    return numba.njit(nogil=True)(net)


def _dropped_below(words: np.ndarray, levels: np.ndarray, blocks: np.ndarray, place: int) -> int:
    """How many elements were dropped below a place."""
    count, own = blocks[place >> BLOCK], np.int64(place)
    for level in range(BYTES):
        word = words[levels[level] + (own >> 3)] >> np.uint64((own & 7) << 3)
        count += np.int64(word & np.uint64(0xFF))
        own >>= 3
    for level in range(BYTES, len(SHIFTS)):
        word = words[levels[level] + (own >> 2)] >> np.uint64((own & 3) << 4)
        count += np.int64(word & np.uint64(0xFFFF))
        own >>= 2
    return count


def _drop(words: np.ndarray, levels: np.ndarray, blocks: np.ndarray, place: int) -> int:
    """Add one to every count of what is below later places, to those of a word at once; returns ``_dropped_below``."""
    own, count = np.int64(place), blocks[place >> BLOCK]
    for level in range(BYTES):
        shift, own = np.uint64((own & 7) << 3), own >> 3
        word = words[levels[level] + own]
        count += np.int64((word >> shift) & np.uint64(0xFF))
        words[levels[level] + own] = word + (np.uint64(0x0101010101010101) << shift << np.uint64(8))
    for level in range(BYTES, len(SHIFTS)):
        shift, own = np.uint64((own & 3) << 4), own >> 2
        word = words[levels[level] + own]
        count += np.int64((word >> shift) & np.uint64(0xFFFF))
        words[levels[level] + own] = word + (np.uint64(0x0001000100010001) << shift << np.uint64(16))
    for block in range((place >> BLOCK) + 1, len(blocks)):
        blocks[block] += 1
    return count
