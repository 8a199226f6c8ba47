"""Ridge regression in its dual form.

With ``K`` the Gram matrix of the training stimuli after each feature's mean is removed and ``K = U diag(s) U^T``, one
eigendecomposition gives the solution and the exact leave-one-out error for every penalty and every target (Golub, Heath &
Wahba 1979; Rifkin & Lippert 2007, sect. 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from neurocompare.metrics.device import Array


@dataclass(frozen=True)
class RidgeFit:
    """A dual ridge solution per target.

    Attributes:
        dual: ``(n, targets)``; a prediction is a centred kernel row times this.
        penalty: the chosen penalty of each target, ``(targets,)``.
        loo_error: mean squared leave-one-out error, ``(penalties, targets)``.
    """

    dual: Array
    penalty: Array
    loo_error: Array


@dataclass(frozen=True)
class Spectrum:
    """A centred kernel's eigenvectors, ``(n, n - 1)``, with their eigenvalues; the direction of the mean is left out."""

    values: Array
    vectors: Array


def spectrum(kernel: Array) -> Spectrum:
    """Of a double-centred Gram matrix of training stimuli, ``(n, n)``.

    The intercept is refitted for each left-out row, so its direction 1/sqrt(n), on which the centred kernel is null, has no
    part in the inverse. Its eigenvalue is lifted above all others (whose sum is the trace) and left out; subtracting its
    1 / (n penalty) afterwards would cancel up to all digits where features outnumber stimuli.
    """
    xp = array_namespace(kernel)
    values, vectors = xp.linalg.eigh(kernel + 2 * xp.linalg.trace(kernel) / kernel.shape[0])
    # Small ones are rounding; where they are zero, any penalty will do.
    return Spectrum(xp.clip(values[:-1], min=0), vectors[:, :-1])


def ridge_leave_one_out(decomposed: Spectrum, targets: Array, penalties: Array) -> RidgeFit:
    """Ridge with an unpenalised intercept, each target's penalty chosen by exact leave-one-out.

    Args:
        decomposed: of the kernel of the training stimuli.
        targets: centred, ``(n, targets)``.
        penalties: candidates, ``(penalties,)``, all positive.
    """
    xp = array_namespace(targets)
    vectors = decomposed.vectors
    projected = vectors.T @ targets
    weights = 1 / (decomposed.values + penalties[:, None])  # (penalties, n - 1)
    diagonal = weights @ (vectors**2).T
    errors = xp.stack(
        [
            xp.mean((vectors @ (w[:, None] * projected) / d[:, None]) ** 2, axis=0)
            for w, d in zip(weights, diagonal, strict=True)
        ]
    )
    best = xp.argmin(errors, axis=0)
    return RidgeFit(vectors @ (xp.take(weights, best, axis=0).T * projected), xp.take(penalties, best), errors)


def least_squares(decomposed: Spectrum, targets: Array, rank_tolerance: float) -> Array:
    """The dual coefficients of least squares with the smallest weights, ``(n, targets)``.

    Args:
        decomposed: of the kernel of the training stimuli.
        targets: centred, ``(n, targets)``.
        rank_tolerance: eigenvalues below this fraction of the largest count as zero.
    """
    xp = array_namespace(targets)
    values = decomposed.values
    kept = values > rank_tolerance * xp.max(values)
    inverse = xp.where(kept, 1 / xp.where(kept, values, xp.ones_like(values)), xp.zeros_like(values))
    return decomposed.vectors @ (inverse[:, None] * (decomposed.vectors.T @ targets))


def centred_kernel(gram: Array, train: np.ndarray, test: np.ndarray) -> Array:
    """Kernel of test against training stimuli after the training mean of each feature is removed, ``(test, train)``."""
    cross, within = gram[test][:, train], gram[train][:, train]
    return cross - cross.mean(1)[:, None] - within.mean(0) + within.mean()
