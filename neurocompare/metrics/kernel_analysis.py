"""Kernel analysis: how simply labels can be read from a layer (Montavon, Braun & Müller 2011, JMLR 12:2563).

Labels are regressed on Gaussian kernels of the layer, and the error is followed while more complexity is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from neurocompare.metrics.device import Array, to_numpy
from neurocompare.representation import double_centred

# Eigenvalues below this part of the root of the sum of their squares are rounding: their squares add nothing to it.
NULL_SPACE = float(np.finfo(float).eps / 2) ** 0.5
# Eigenvalues closer than this part of the largest are one.
EQUAL = 1e-12

Width = Callable[[float], float]  # from a quantile to a squared distance


class Curve(Protocol):
    """The error of regressing labels on Gaussian kernels of a layer, against the complexity allowed."""

    def __call__(self, distances: Array, targets: Array, width: Width) -> np.ndarray:
        """Mean squared errors, where predicting nothing has error 1, ``(complexities,)``.

        Args:
            distances: squared, between stimuli, ``(n, n)``.
            targets: 1 where a stimulus has a label and 0 where not, less the mean, ``(n, labels)``.
            width: a quantile of the squared distances.
        """
        ...


@dataclass(frozen=True)
class LeadingComponents:
    """``e(d)``: what the ``d`` leading kernel principal components leave of the labels, for d from 0 to n.

    With eigenvectors ``v_i`` of the centred kernel, largest eigenvalue first, and centred labels ``T``,

        e(d) = |T - sum_{i <= d} v_i v_i^T T|^2 / |T|^2 = 1 - sum_{i <= d} |v_i^T T|^2 / |T|^2,

    the least over kernels ``exp(-|x - x'|^2 / s)``, s being a quantile of the squared distances, for each d. So in the
    code published with Cadieu et al. 2013 (arXiv:1301.3530), after Montavon et al. 2011. It is an error of fit, not of
    prediction, and comes to 0: a layer that has nothing to do with the labels scores one half
    or a little more, the fewer stimuli the more.

    Attributes:
        quantiles: of the squared distances of all ordered pairs, a stimulus with itself included, as published.
    """

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    def __call__(self, distances: Array, targets: Array, width: Width) -> np.ndarray:
        xp = array_namespace(distances)
        errors = []
        for quantile in self.quantiles:
            values, vectors = xp.linalg.eigh(double_centred(xp.exp(-distances / width(quantile))))
            explained = xp.sum((vectors.T @ targets) ** 2, axis=1) / xp.sum(targets**2)
            shares = _shared(to_numpy(values)[::-1], to_numpy(explained)[::-1])
            errors.append(1 - np.concatenate([[0], shares.cumsum()]))
        return np.min(errors, axis=0)


def _shared(values: np.ndarray, explained: np.ndarray) -> np.ndarray:
    """What each component explains: none where it is rounding, and alike where eigenvalues are equal.

    The basis of an eigenspace is arbitrary, and large ones occur: a layer of one-hot labels has no others.
    """
    explained = np.where(values > NULL_SPACE * np.sqrt(np.square(values).sum()), explained, 0)
    group = np.concatenate([[0], np.cumsum(values[:-1] - values[1:] > EQUAL * values[0])])
    return (np.bincount(group, explained) / np.bincount(group))[group]


@dataclass(frozen=True)
class LeaveOneOut:
    """``looe(l)``: the leave-one-out error of kernel ridge regression with penalty l; complexity is ``1 / l``.

    Cadieu et al. 2014, eqs. 2-4, for each label (one against the rest), averaged over labels:

        looe(l) = 1/n sum_i ( [(K + l I)^-1 y]_i / [(K + l I)^-1]_ii )^2 / var(y),   K = exp(-|x - x'|^2 / (2 sigma^2)),

    the least over widths for each l. A layer that has nothing to do with the labels scores about 0.

    Attributes:
        widths: candidates for sigma, times the median distance.
        penalties: as published.
    """

    widths: tuple[float, ...] = field(default=tuple(np.logspace(-1, 1, 32).tolist()))
    penalties: tuple[float, ...] = field(default=tuple(np.logspace(-4, 3, 56).tolist()))

    def __call__(self, distances: Array, targets: Array, width: Width) -> np.ndarray:
        xp = array_namespace(distances)
        penalties = xp.asarray(self.penalties, dtype=distances.dtype, device=distances.device)
        errors = []
        for factor in self.widths:
            values, vectors = xp.linalg.eigh(xp.exp(-distances / (2 * factor**2 * width(0.5))))
            weights = 1 / (xp.clip(values, min=0) + penalties[:, None])  # (penalties, n)
            diagonal = weights @ (vectors**2).T
            dual = vectors @ (weights[:, :, None] * (vectors.T @ targets))  # (penalties, n, labels)
            squared = xp.mean((dual / diagonal[:, :, None]) ** 2, axis=1) / xp.mean(targets**2, axis=0)
            errors.append(to_numpy(xp.mean(squared, axis=1)))
        return np.min(errors, axis=0)


def squared_distances(gram: np.ndarray) -> np.ndarray:
    """Between rows, from their Gram matrix, ``(n, n)``; exactly 0 where nothing but rounding is left."""
    centred = double_centred(gram)
    power = np.diagonal(centred)
    distances = power[:, None] + power - 2 * centred
    return np.where(distances > 1e-12 * np.diagonal(gram).max(), distances, 0)


def width_of(distances: np.ndarray) -> Width:
    """Quantiles of squared distances, a stimulus with itself included; where one is 0, the least that is not."""
    ordered = np.sort(distances, axis=None)
    least = np.min(distances, where=distances > 0, initial=ordered[-1] or 1.0)
    return lambda quantile: float(max(ordered[int(quantile * len(ordered))], least))
