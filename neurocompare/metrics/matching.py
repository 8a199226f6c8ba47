"""Soft matching of single units (Khosla & Williams 2024, arXiv:2311.09466).

Units of two systems are matched one to one where they are equally many; otherwise each is shared out among several. Unlike
CKA or Procrustes, which any rotation of features leaves alone, this asks whether single features are tuned as single
neuroids are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog

from neurocompare.errors import InputError
from neurocompare.representation import Representation


@dataclass(frozen=True)
class SoftMatching:
    """The largest mean correlation ``sum_ij T_ij r_ij`` that a soft matching of units reaches.

    ``T`` shares out ``1 / p`` from each unit on one side and ``1 / q`` to each on the other. Units are centred and scaled to
    unit length over stimuli, so the squared distance of the paper is twice what this lacks of 1. The sign counts: a
    unit tuned oppositely is no match. Units that respond to every stimulus alike have no tuning and are left out.

    Attributes:
        most: units of a side that are matched; of more, so many are drawn at random. Matching 1000 with 50 takes .2 s, with
            999 it takes 4 s and 1.1 GB, in proportion to ``p q`` and more.
        seed: of that draw.
        signed: False takes the size of correlations, for units whose sign is arbitrary. Not part of the paper.
    """

    most: int = 1000
    seed: int = 0
    signed: bool = True

    def __call__(self, first: Representation, second: Representation) -> float:
        """Between -1 and 1.

        Raises:
            InputError: features are not held, or the stimuli differ.
        """
        check_same_stimuli(first, second)
        correlations = self._tuning(first).T @ self._tuning(second)
        return matched(correlations if self.signed else np.abs(correlations))

    def _tuning(self, representation: Representation) -> np.ndarray:
        """Tuning curves of the units that take part, centred and of unit length, ``(n, units)``."""
        features = representation.features
        if features is None:
            raise InputError("soft matching needs features: probe with keep_features=True")
        low, high = features.min(0), features.max(0)
        rounding = 1e-6 * np.maximum(np.abs(low), np.abs(high))  # features are held in single precision
        tuned = np.flatnonzero(high - low > rounding)
        if not tuned.size:
            raise InputError(f"layer {representation.layer!r} responds to every stimulus alike: nothing can be matched")
        if tuned.size > self.most:
            tuned = np.sort(np.random.default_rng(self.seed).choice(tuned, self.most, replace=False))
        curves = features[:, tuned].astype(np.float64)
        curves -= curves.mean(0)
        return curves / np.sqrt(np.square(curves).sum(0))


def check_same_stimuli(first: Representation, second: Representation) -> None:
    """Raise ``InputError`` where two representations are not over the same stimuli in the same order."""
    if first.ids != second.ids:
        raise InputError(
            f"layers {first.layer!r} and {second.layer!r} can only be compared over the same stimuli in the same order; "
            "select(ids) of both makes them so"
        )


def matched(similarity: np.ndarray) -> float:
    """``max_T sum_ij T_ij s_ij`` over ``T >= 0`` with rows that sum to ``1 / p`` and columns to ``1 / q``.

    Equally many units have a permutation among the best ``T`` (Birkhoff), so they are assigned; others are transported by
    the simplex method. Supplies are whole numbers there (``q`` and ``p``), so that its tolerances are small beside them.

    Args:
        similarity: ``(p, q)``.
    """
    p, q = similarity.shape
    if p == q:
        return float(similarity[linear_sum_assignment(similarity, maximize=True)].mean())
    rows = sparse.kron(sparse.eye_array(p), np.ones((1, q)))
    columns = sparse.kron(np.ones((1, p)), sparse.eye_array(q))
    found = linprog(
        -similarity.ravel(),
        A_eq=sparse.vstack([rows, columns], format="csc"),
        b_eq=np.repeat([float(q), float(p)], [p, q]),
        method="highs-ds",
        options={"presolve": False, "dual_feasibility_tolerance": 1e-10},  # presolving takes up to 200 times as long
    )
    if not found.success:
        raise InputError(f"{p} and {q} units could not be matched: {found.message}")
    return float(-found.fun / (p * q))
