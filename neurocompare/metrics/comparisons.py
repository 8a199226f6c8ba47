"""How similar two RDMs are: one condensed RDM with each of several, all in ``scipy.spatial.distance.pdist`` order."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from neurocompare.metrics.kendall import tau_a_with_each

# ``(model (pairs,), rows (subjects, pairs)) -> (subjects,)``
Comparison = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cosine(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosine of the angle between two vectors."""
    return rows @ a / np.sqrt((a @ a) * np.einsum("kp,kp->k", rows, rows))


def pearson(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pearson correlation."""
    return cosine(a - a.mean(), rows - rows.mean(1, keepdims=True))


def spearman(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman rank correlation, ties at their mean rank."""
    return pearson(rankdata(a), rankdata(rows, axis=1))


tau_a = tau_a_with_each


def whitened_cosine(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cosine after whitening by the covariance that dissimilarities have for sharing stimuli (Diedrichsen et al. 2020).

    Where noise of stimuli is independent, ``d^T V^-1 d'`` of squared distances is up to a factor the inner product of
    the second moments ``G = -1/2 H D H`` (arXiv:2007.02789, sect. 3.5), so nothing need be inverted; it equals linear CKA.
    """
    return cosine(second_moment(a[None])[0], second_moment(rows))


def whitened_correlation(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pearson correlation after the same whitening: what equal dissimilarities share is taken out."""
    without = _without_constant(second_moment(np.vstack([a, rows])), len(a))
    return cosine(without[0], without[1:])


def second_moment(rdms: np.ndarray) -> np.ndarray:
    """``-1/2 H D H`` of squared distances, flat, ``(k, n * n)``."""
    halves = square(-0.5 * rdms)
    means = halves.mean(1)
    return (halves - means[:, None] - means[:, :, None] + means.mean(1)[:, None, None]).reshape(len(rdms), -1)


def square(rdms: np.ndarray) -> np.ndarray:
    """Condensed to square, ``(k, n, n)``."""
    n = stimuli_of(rdms.shape[1])
    squares = np.zeros((len(rdms), n, n))
    first, second = np.triu_indices(n, 1)
    squares[:, first, second] = squares[:, second, first] = rdms
    return squares


def _without_constant(moments: np.ndarray, pairs: int) -> np.ndarray:
    """Less the part along the second moment of equal distances."""
    equal = second_moment(np.ones((1, pairs)))[0]
    return moments - np.outer(moments @ equal / (equal @ equal), equal)


def stimuli_of(pairs: int) -> int:
    """How many stimuli have so many pairs."""
    return (1 + math.isqrt(1 + 8 * pairs)) // 2
