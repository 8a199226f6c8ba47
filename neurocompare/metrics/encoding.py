"""Regression from a layer to each neuroid, from the Gram matrix alone.

Ridge regression in its dual form: with ``K`` the Gram matrix of the training stimuli after each feature's mean is removed
and ``K = U diag(s) U^T``, one eigendecomposition gives the solution and the exact leave-one-out error for every penalty
and every neuroid (Golub, Heath & Wahba 1979; Rifkin & Lippert 2007, sect. 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import xarray as xr
from sklearn.model_selection import ShuffleSplit

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, pearson_columns, standard_error
from neurocompare.metrics.ceiling import split_half_ceiling
from neurocompare.representation import Representation, double_centred


@dataclass(frozen=True)
class RidgeFit:
    """A dual ridge solution per target.

    Attributes:
        dual: ``(n, targets)``; a prediction is a centred kernel row times this.
        penalty: the chosen penalty of each target, ``(targets,)``.
        loo_error: mean squared leave-one-out error, ``(penalties, targets)``.
    """

    dual: np.ndarray
    penalty: np.ndarray
    loo_error: np.ndarray


def ridge_leave_one_out(kernel: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> RidgeFit:
    """Ridge with an unpenalised intercept, each target's penalty chosen by exact leave-one-out.

    Args:
        kernel: double-centred Gram matrix of the training stimuli, ``(n, n)``.
        targets: centred, ``(n, targets)``.
        penalties: candidates, ``(penalties,)``, all positive.
    """
    # The intercept is refitted for each left-out row, so its direction 1/sqrt(n), on which the centred kernel is null,
    # has no part in the inverse. Its eigenvalue is lifted above all others (whose sum is the trace) and left out;
    # subtracting its 1 / (n penalty) afterwards would cancel up to all digits where features outnumber stimuli.
    lifted = kernel + 2 * np.trace(kernel) / len(kernel)
    eigenvalues, vectors = scipy.linalg.eigh(lifted, driver="evd", overwrite_a=True, check_finite=False)
    eigenvalues, vectors = np.maximum(eigenvalues[:-1], 0), vectors[:, :-1]  # tiny negatives are rounding
    projected = vectors.T @ targets
    weights = 1 / (eigenvalues + penalties[:, None])  # (penalties, n - 1)
    diagonal = weights @ (vectors**2).T
    dual = vectors @ (weights.T[:, :, None] * projected[:, None, :]).reshape(
        len(weights[0]), -1
    )  # all penalties at once
    residuals = dual.reshape(len(kernel), len(penalties), -1) / diagonal.T[:, :, None]
    errors = np.square(residuals).mean(0)
    best = errors.argmin(0)
    return RidgeFit(vectors @ (weights[best].T * projected), penalties[best], errors)


def centred_kernel(gram: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Kernel of test against training stimuli after the training mean of each feature is removed, ``(test, train)``."""
    cross, within = gram[np.ix_(test, train)], gram[np.ix_(train, train)]
    return cross - cross.mean(1, keepdims=True) - within.mean(0) + within.mean()


@dataclass(frozen=True)
class Ridge:
    """Ridge regression to every neuroid, scored by Pearson r on held-out stimuli.

    Repetitions are averaged, so a split never has one stimulus on both sides. The penalty of each neuroid is chosen by
    leave-one-out on the training stimuli, among ``penalties`` times the mean eigenvalue of the training kernel (so the
    grid means the same for any scale of features).

    Attributes:
        n_splits, test_size, seed: of the shuffle splits over stimuli.
        penalties: relative candidates.
    """

    name: str = "ridge"
    label: str = "held-out prediction (Pearson's r)"
    formula: str = "r2_over_ceiling"
    n_splits: int = 10
    test_size: float = 0.1
    seed: int = 1
    penalties: tuple[float, ...] = field(default=tuple(np.logspace(-3, 4, 15).tolist()))

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Pearson r per split and neuroid, ``(split, neuroid)``.

        Raises:
            InputError: the data are RDMs, there are too few stimuli, or the layer does not vary over stimuli.
        """
        if assembly.is_rdms(data):
            raise InputError(f"{self.name} needs responses of neuroids, but these data are RDMs; use an rsa_ metric")
        responses = assembly.average_repetitions(data)
        gram = representation.select([str(s) for s in responses["stimulus_id"].values]).gram
        if not np.trace(double_centred(gram)) > 1e-12 * np.trace(gram):
            raise InputError(
                f"layer {representation.layer!r} responds to every stimulus alike: nothing can be predicted"
            )
        values = [self._one_split(gram, responses.values, *split) for split in self._splits(len(gram))]
        coords = {name: coord for name, coord in responses.coords.items() if coord.dims == ("neuroid",)}
        return xr.DataArray(np.stack(values), dims=("split", "neuroid"), coords=coords)

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """Median over neuroids within a split, mean over splits; standard error over splits."""
        medians = raw.median("neuroid").values
        return float(medians.mean()), standard_error(medians)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """Split-half reliability over repetitions; see ``split_half_ceiling``."""
        return split_half_ceiling(data)

    def _splits(self, n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if n * self.test_size < 3:
            raise InputError(
                f"{self.name} holds out {self.test_size:.0%} of the stimuli and needs at least 3 of them for a "
                f"correlation, but there are {n} stimuli in all"
            )
        return ShuffleSplit(self.n_splits, test_size=self.test_size, random_state=self.seed).split(np.zeros(n))

    def _one_split(self, gram: np.ndarray, responses: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        kernel = double_centred(gram[np.ix_(train, train)])
        mean = responses[train].mean(0)
        penalties = np.asarray(self.penalties) * np.trace(kernel) / len(train)
        fit = ridge_leave_one_out(kernel, responses[train] - mean, penalties)
        return pearson_columns(centred_kernel(gram, train, test) @ fit.dual + mean, responses[test])
