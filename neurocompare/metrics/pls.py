"""Partial least squares regression from the Gram matrix, exactly, for many splits at once.

PLS2 (Wold; as ``sklearn.cross_decomposition.PLSRegression(scale=False)`` run to convergence): each component's weights are
the dominant left singular vector of ``X_k^T Y_k``, X and Y being deflated by the scores ``t`` of the components before it.
In kernel form (Lindgren, Geladi & Wold 1993, J. Chemom. 7:45), with ``K = X X^T`` and orthogonal scores, ``Y_k^T K_k Y_k =
Y_k^T K Y_k``: with q its dominant eigenvector the next score is ``K Y_k q`` made orthogonal to those before. Nothing as
large as K is ever deflated, and a component costs one product ``K t``, which all splits share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse.linalg import eigsh

from neurocompare.errors import InputError
from neurocompare.metrics.splits import Split

Product = Callable[[np.ndarray], np.ndarray]  # with the Gram matrix of all stimuli
LEFT = 1e-14  # of what covaried at first: less is rounding
SMALL = 40  # below this many targets a full eigendecomposition is quicker than Lanczos iterations


class Components:
    """The components of one split; held-out rows come along with those that are fitted on.

    Args:
        gram: of all stimuli, ``(n, n)``.
        driven: ``gram @ targets``, ``(n, targets)``.
        targets: of all stimuli, ``(n, targets)``.
        split: rows to fit on, rows to judge by.
        number: of components.
    """

    def __init__(self, gram: np.ndarray, driven: np.ndarray, targets: np.ndarray, split: Split, number: int) -> None:
        n, width = targets.shape
        train, held_out = split
        self.split, self.train = split, np.zeros(n, bool)
        self.train[train] = True
        self.mean = targets[train].mean(0)
        self.targets = np.where(self.train[:, None], targets - self.mean, 0)
        left_out = gram[:, held_out]
        drive = driven - left_out @ targets[held_out] - np.outer(gram.sum(1) - left_out.sum(1), self.mean)
        self.drive = self.centred(drive)  # K Y
        self.inner = self.targets.T @ self.drive  # Y_k^T K Y_k
        self.at_first = np.trace(self.inner)
        self.scores, self.sent = np.zeros((number, n)), np.zeros((number, n))  # t, K t
        self.loadings = np.zeros((number, width))  # Y^T t

    def centred(self, product: np.ndarray) -> np.ndarray:
        """A product with the Gram matrix as that with the kernel after the training mean of features is removed."""
        return product - product[self.train].mean(0)

    def find(self, k: int) -> np.ndarray:
        """Component ``k``; returns its score, of unit length, zero in held-out rows.

        Raises:
            InputError: nothing is left that covaries with the targets.
        """
        value, q = dominant_eigenvector(self.inner)
        if not value > LEFT * self.at_first:
            raise InputError(
                f"after {k} components nothing of the layer is left that covaries with the responses; use fewer components"
            )
        t = self.drive @ q - (self.loadings[:k] @ q) @ self.sent[:k]
        for _ in range(2):  # the second time for what rounding left of the first
            t -= (self.scores[:k] @ np.where(self.train, t, 0)) @ self.scores[:k]
        self.scores[k] = t / np.linalg.norm(t[self.train])
        score = np.where(self.train, self.scores[k], 0)
        self.loadings[k] = score @ self.targets
        return score

    def deflate(self, k: int, sent: np.ndarray) -> None:
        """Take component ``k`` out of ``inner``, given ``gram @ score``."""
        self.sent[k] = self.centred(sent)
        within = np.where(self.train, self.sent[k], 0)
        loading, score = self.loadings[k], np.where(self.train, self.scores[k], 0)
        covaries = within @ self.targets - (self.scores[:k] @ within) @ self.loadings[:k]  # t^T K Y_k
        crossed = np.outer(loading, covaries)
        self.inner -= crossed + crossed.T - (score @ within) * np.outer(loading, loading)

    def predict(self) -> np.ndarray:
        """Of the held-out rows, ``(held out, targets)``."""
        return self.mean + self.scores[:, self.split[1]].T @ self.loadings


def dominant_eigenvector(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest eigenvalue of a symmetric matrix, and its vector."""
    if len(matrix) < SMALL:
        values, vectors = np.linalg.eigh(matrix)
    else:
        values, vectors = eigsh(matrix, k=1, which="LA", v0=matrix[:, np.argmax(np.diagonal(matrix))])
    return float(values[-1]), vectors[:, -1]


def pls_predictions(
    gram: np.ndarray, targets: np.ndarray, splits: Sequence[Split], components: int, product: Product | None = None
) -> list[np.ndarray]:
    """Held-out predictions of every split.

    Args:
        gram: of all stimuli, ``(n, n)``.
        targets: ``(n, targets)``.
        splits: rows to fit on and rows to judge by.
        components: as many for every split.
        product: ``v -> gram @ v``, where that is done elsewhere.
    Returns:
        For each split ``(held out, targets)``.
    Raises:
        InputError: the layer has fewer components than asked for.
    """
    product = gram.__matmul__ if product is None else product
    driven = product(targets)
    fits = [Components(gram, driven, targets, split, components) for split in splits]
    for k in range(components):
        sent = product(np.stack([fit.find(k) for fit in fits], axis=1))
        for fit, column in zip(fits, sent.T, strict=True):
            fit.deflate(k, column)
    return [fit.predict() for fit in fits]
