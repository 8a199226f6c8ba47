"""Banded ridge regression: all layers predict each neuroid together, each with a penalty of its own.

Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197:482; Dupré la Tour et al. 2022, NeuroImage 264:119728, whose package
``himalaya`` does the work (extra ``banded``). Plain ridge on joined layers penalises all alike, and one wide or strong layer
then drowns the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from sklearn.model_selection import KFold

from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, check_varies
from neurocompare.metrics.device import to_numpy
from neurocompare.metrics.encoding import Encoding, Ridge
from neurocompare.metrics.joint import Joint, of_each
from neurocompare.metrics.ridge import centred_kernel
from neurocompare.metrics.splits import Shuffled, Split, Splitter
from neurocompare.representation import Representation, double_centred


@dataclass(frozen=True)
class Bands:
    """Ridge regression on a weighted sum of the layers' linear kernels, weights and penalty chosen for each neuroid.

    Each kernel is centred and divided by its mean eigenvalue (over the stimuli to fit on), so that no layer counts for more
    because of its scale. Candidates for the weights, which sum to 1, are equal ones and random ones (Dirichlet,
    concentrations .1 and 1 in turn); the candidate and penalty of least squared error in cross-validation are taken.

    Attributes:
        penalties: candidates, as those of ``Ridge``.
        candidates: for the weights, how many.
        folds: of the cross-validation.
        seed: of candidates and folds.
        beside: the other layers.
    """

    penalties: tuple[float, ...] = Ridge().penalties
    candidates: int = 50
    folds: int = 5
    seed: int = 1
    beside: tuple[Representation, ...] = ()
    needs_features: bool = False

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        layers = (representation, *(layer.select(representation.ids) for layer in self.beside))
        for train, test in splits:
            within, across = zip(*(_kernels(layer.gram, train, test) for layer in layers), strict=True)
            mean = targets[train].mean(0)
            with _backend(representation.device):
                fitted = self.fit(np.stack(within), targets[train] - mean)
                predicted = to_numpy(fitted.predict(np.stack(across)))
            yield predicted + mean

    def fit(self, kernels: np.ndarray, targets: np.ndarray) -> Any:
        """himalaya's fitted ``MultipleKernelRidgeCV``.

        Args:
            kernels: ``(layers, n, n)``.
            targets: ``(n, targets)``.
        """
        alone = np.ones((1, 1)) if len(kernels) == 1 else self.candidates
        model = _himalaya().kernel_ridge.MultipleKernelRidgeCV(
            kernels="precomputed",
            solver="random_search",
            solver_params={
                "n_iter": alone,
                "alphas": np.asarray(self.penalties),
                "n_alphas_batch": 1,  # one penalty's (n, n) at a time
                "progress_bar": False,
            },
            fit_intercept=True,  # refitted in each fold
            cv=KFold(min(self.folds, len(targets)), shuffle=True, random_state=self.seed),
            random_state=self.seed,
        )
        with warnings.catch_warnings(), np.errstate(divide="ignore"):  # the logarithm of a weight of 0
            warnings.filterwarnings("ignore", "GPU backend", UserWarning)  # of double precision
            return model.fit(kernels, targets)


def _kernels(gram: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Among the stimuli to fit on, ``(train, train)``, and of the others with these, ``(test, train)``, on unit scale."""
    within, across = double_centred(gram[np.ix_(train, train)]), centred_kernel(gram, train, test)
    scale = np.trace(within) / len(train)
    varies = scale > 1e-12 * np.trace(gram) / len(gram)
    return (within / scale, across / scale) if varies else (0 * within, 0 * across)


def _himalaya() -> Any:
    try:
        import himalaya.backend
        import himalaya.kernel_ridge
    except ModuleNotFoundError as error:
        raise InputError(
            f"banded ridge regression needs the package {error.name!r}, which is not installed; "
            "pip install 'neurocompare[banded]'"
        ) from error
    return himalaya


@contextmanager
def _backend(device: str) -> Iterator[None]:
    """himalaya computes where the layer was, and afterwards where it did before: its backend is global."""
    backend = _himalaya().backend
    before = backend.get_backend().name
    backend.set_backend("torch_cuda" if device.startswith("cuda") else "numpy")
    try:
        yield
    finally:
        backend.set_backend(before)


@dataclass(frozen=True)
class BandedRidge(Joint):
    """Predicts every neuroid from all layers; splits, statistic, aggregate and ceiling are those of ``Encoding``.

    A layer that does not vary over stimuli takes no part.

    Attributes:
        predictor: how.
        splits: on which stimuli.
    """

    name: str
    label: str
    predictor: Bands = field(default=Bands())
    splits: Splitter = field(default=Shuffled())

    @property
    def formula(self) -> str:
        """That of the encoding."""
        return self._encoding().formula

    @property
    def needs_features(self) -> bool:
        """That of the predictor."""
        return self.predictor.needs_features

    def _encoding(self, beside: tuple[Representation, ...] = ()) -> Encoding:
        return Encoding(self.name, self.label, replace(self.predictor, beside=beside), splits=self.splits)

    def score_together(self, representations: Mapping[str, Representation], data: xr.DataArray) -> xr.DataArray:
        """The statistic per split and neuroid, ``(split, neuroid)``.

        Raises:
            InputError: as the encoding; no layer varies over stimuli, or himalaya is not installed.
        """
        layers = of_each(representations, data, _varying)
        first, *others = layers.values()
        return self._encoding(tuple(others)).score(first, data).assign_attrs(layers=", ".join(layers))

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """As the encoding."""
        return self._encoding().aggregate(raw)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """As the encoding."""
        return self._encoding().ceiling(data)

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """As the encoding."""
        return self._encoding().normalize(raw, ceiling)


def _varying(representation: Representation) -> Representation:
    check_varies(representation)
    return representation


BANDED_RIDGE = BandedRidge("banded_ridge", "held-out prediction from all layers (Pearson's r)")
