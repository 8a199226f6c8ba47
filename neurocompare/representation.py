"""One layer's responses to a stimulus set, held as a Gram matrix.

Every metric here reads only ``X X^T`` over stimuli, the sum of each row of ``X`` and the number of features, so memory
does not grow with the width of the layer, and one small matrix serves ridge regression, RDMs, CKA and dimensionality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurocompare.errors import InputError


@dataclass(frozen=True)
class Representation:
    """Responses ``X`` (stimuli x features), reduced to what metrics read.

    Attributes:
        layer: its name.
        ids: the stimuli, one per row.
        gram: ``X X^T``, ``(n, n)``, float64, read-only.
        sums: ``X 1``, the sum over features for each stimulus, ``(n,)``.
        n_features: the width of ``X``.
        provenance: where it came from.
        features: ``X`` itself, for the few metrics that look at single features; None unless asked for.
        shape: of one stimulus's activity before it was flattened to a row of ``X``, where known; of layers of networks
            that look at sounds the last axis is time.
        device: where metrics should do what is heavy: "cpu", or "cuda" where the model was.
    """

    layer: str
    ids: tuple[str, ...]
    gram: np.ndarray
    sums: np.ndarray
    n_features: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    features: np.ndarray | None = field(default=None, repr=False)
    device: str = "cpu"
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.gram.shape != (n, n) or self.sums.shape != (n,):
            raise InputError(
                f"layer {self.layer!r}: {n} stimuli need a Gram matrix {(n, n)} and sums {(n,)}, "
                f"but got {self.gram.shape} and {self.sums.shape}"
            )
        diagonal = np.diagonal(self.gram)
        if not np.isfinite(diagonal).all():
            bad = np.flatnonzero(~np.isfinite(diagonal))
            raise InputError(
                f"layer {self.layer!r} gives activity that is not finite for {bad.size} of {n} stimuli "
                f"(first: {self.ids[bad[0]]!r}); check the weights and the preprocessing"
            )
        self.gram.setflags(write=False)
        self.sums.setflags(write=False)

    @classmethod
    def from_features(
        cls,
        layer: str,
        ids: Sequence[str],
        features: np.ndarray,
        provenance: Mapping[str, Any] | None = None,
        *,
        keep: bool = False,
    ) -> Representation:
        """The representation of responses at hand.

        Args:
            layer: its name.
            ids: one per row.
            features: ``(stimuli, ...)``; what follows the first axis is flattened.
            keep: keep them, too.
        """
        flat = features.reshape(len(features), -1)
        gram, sums = gram_and_sums(flat)
        kept = flat.copy() if keep else None
        ids, shape = tuple(map(str, ids)), features.shape[1:]
        return cls(layer, ids, gram, sums, flat.shape[1], provenance or {}, kept, shape=shape)

    def select(self, ids: Sequence[str]) -> Representation:
        """The same representation over some of its stimuli, in the order asked for.

        Raises:
            InputError: a stimulus that was not probed.
        """
        if tuple(ids) == self.ids:
            return self
        row = {stimulus: index for index, stimulus in enumerate(self.ids)}
        missing = [stimulus for stimulus in ids if stimulus not in row]
        if missing:
            raise InputError(
                f"layer {self.layer!r} was probed with {len(self.ids)} stimuli, but {len(missing)} others are asked "
                f"for (first: {missing[0]!r}); probe the benchmark's own stimuli"
            )
        rows = np.asarray([row[stimulus] for stimulus in ids])
        gram, sums = self.gram[np.ix_(rows, rows)], self.sums[rows]
        features = None if self.features is None else self.features[rows]
        return replace(self, ids=tuple(ids), gram=gram, sums=sums, features=features)

    @property
    def effective_dimensionality(self) -> float:
        """Participation ratio of the covariance spectrum, ``(sum l)^2 / sum l^2``; NaN where nothing varies."""
        centred = double_centred(self.gram)
        total, scale = np.trace(centred), np.trace(self.gram)
        return float(total**2 / np.square(centred).sum()) if total > 1e-12 * scale else float("nan")


def gram_and_sums(features: np.ndarray, slice_width: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """``X X^T`` and ``X 1`` in float64, a slice of features at a time.

    Args:
        features: ``(stimuli, features)``, any real dtype.
        slice_width: features converted to float64 at once.
    """
    n, width = features.shape
    gram, sums = np.zeros((n, n)), np.zeros(n)
    for start in range(0, width, slice_width):
        part = features[:, start : start + slice_width].astype(np.float64)
        gram += part @ part.T  # numpy recognises A @ A.T and computes one triangle
        sums += part.sum(1)
    return gram, sums


def side_by_side(name: str, layers: Sequence[Representation]) -> Representation:
    """Several layers' features over the same stimuli as those of one layer."""
    first = layers[0]
    gram, sums = sum(r.gram for r in layers), sum(r.sums for r in layers)
    width = sum(r.n_features for r in layers)
    return Representation(name, first.ids, np.asarray(gram), np.asarray(sums), width, first.provenance)


def double_centred(gram: np.ndarray) -> np.ndarray:
    """``H G H`` with ``H = I - 1 1^T / n``: the Gram matrix after each feature's mean is removed."""
    means = gram.mean(0)
    return gram - means - means[:, None] + means.mean()
