"""Representations of equal dimensionality.

Scores rise with the effective dimensionality of a layer (Elmoznino & Bonner 2024, PLoS Comput Biol 20:e1011792), and rules
differ in that. Two layers are made equal in it by giving one the spectrum of the other: the variance along each of its
principal components becomes that of the other's component of the same rank, while the components, and what each stimulus is
on them, stay. With ``X = 1 mu^T + U S V^T`` the result is ``1 mu^T + U S' V^T``, that is ``A X`` with
``A = J + U S' S^-1 U^T`` and ``J = 1 1^T / n``: it needs the Gram matrix and the sums of ``X`` alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurocompare.errors import InputError
from neurocompare.representation import Representation, double_centred

NOTHING = 1e-10  # of the largest variance: below that a component is rounding


def with_spectrum_of(representation: Representation, other: Representation) -> Representation:
    """The representation with the spectrum of another, and its own total variance.

    Components that either lacks (of fewer units than stimuli, say) end without variance, so effective dimensionality is
    exactly the other's only where both have as many.

    Args:
        representation: over the stimuli of ``other``.
        other: whose spectrum is taken.
    Returns:
        Without features: components are not units.
    Raises:
        InputError: other stimuli, or a layer that does not vary.
    """
    if representation.ids != other.ids:
        raise InputError(
            f"spectra are matched over the same stimuli, but layer {representation.layer!r} has {len(representation.ids)} "
            f"and layer {other.layer!r} has {len(other.ids)} that are not those in that order"
        )
    own, vectors = _spectrum(representation)
    wanted, _ = _spectrum(other)
    n = min(len(own), len(wanted))
    own, wanted, vectors = own[:n], wanted[:n] * (own.sum() / wanted[:n].sum()), vectors[:, :n]
    change = (vectors * np.sqrt(wanted / own)) @ vectors.T + 1 / len(representation.ids)
    gram = change @ representation.gram @ change.T
    return replace(
        representation, gram=(gram + gram.T) / 2, sums=change @ representation.sums, features=None, shape=None
    )


def _spectrum(representation: Representation) -> tuple[np.ndarray, np.ndarray]:
    """Variances of the components, largest first, and their directions over stimuli, ``(n, components)``."""
    values, vectors = np.linalg.eigh(double_centred(representation.gram))
    values, vectors = values[::-1], vectors[:, ::-1]
    scale = max(values[0], np.trace(representation.gram) * NOTHING)
    kept = values > NOTHING * scale
    if not kept.any() or values[0] < NOTHING * np.trace(representation.gram):
        raise InputError(f"layer {representation.layer!r} does not vary over the stimuli, so it has no spectrum")
    return values[kept], vectors[:, kept]
