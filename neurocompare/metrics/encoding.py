"""Regression from a layer to each neuroid, judged on stimuli that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import xarray as xr

from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, averaged, pearson_columns, standard_error
from neurocompare.metrics.ceiling import by_formula, split_half_ceiling
from neurocompare.metrics.device import on_device, to_numpy
from neurocompare.metrics.pls import pls_predictions
from neurocompare.metrics.ridge import Spectrum, centred_kernel, least_squares, ridge_leave_one_out, spectrum
from neurocompare.metrics.splits import Shuffled, Split, Splitter
from neurocompare.representation import Representation, double_centred


class Predictor(Protocol):
    """From a layer to held-out predictions.

    Attributes:
        needs_features: it looks at single features.
    """

    @property
    def needs_features(self) -> bool: ...

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        """For each split, what is predicted for the rows that it holds out, ``(held out, targets)``.

        Raises:
            InputError: it is not defined for this layer.
        """
        ...


def dual_predictions(
    representation: Representation,
    targets: np.ndarray,
    splits: Sequence[Split],
    solve: Callable[[Spectrum, np.ndarray, float], np.ndarray],
) -> Iterable[np.ndarray]:
    """Held-out predictions of a kernel method.

    Args:
        representation: of the layer.
        targets: ``(stimuli, targets)``.
        splits: rows to fit on and rows to judge by.
        solve: ``(spectrum, centred targets, mean eigenvalue) -> dual coefficients``.
    """
    gram, targets = on_device(representation, representation.gram, targets)
    for train, test in splits:
        kernel = double_centred(gram[train][:, train])
        mean = targets[train].mean(0)
        dual = solve(spectrum(kernel), targets[train] - mean, float(kernel.trace()) / len(train))
        yield to_numpy(centred_kernel(gram, train, test) @ dual + mean)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression; each neuroid's penalty is chosen by leave-one-out on the training stimuli.

    Attributes:
        penalties: candidates.
        relative: they are times the mean eigenvalue of the training kernel, so that the grid means the same for any scale
            of features; otherwise as they are, but no less than double precision can tell from none.
    """

    penalties: tuple[float, ...] = field(default=tuple(np.logspace(-3, 4, 15).tolist()))
    relative: bool = True
    needs_features: bool = False

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        def solve(decomposed: Spectrum, centred: np.ndarray, scale: float) -> np.ndarray:
            grid = np.asarray(self.penalties)
            grid = grid * scale if self.relative else np.maximum(grid, 1e-12 * scale)
            return ridge_leave_one_out(decomposed, centred, *on_device(representation, grid)).dual

        return dual_predictions(representation, targets, splits, solve)


@dataclass(frozen=True)
class LeastSquares:
    """Ordinary least squares; the solution of smallest weights where features outnumber stimuli.

    Attributes:
        rank_tolerance: of the kernel's eigenvalues, beside the largest.
    """

    rank_tolerance: float = 1e-10
    needs_features: bool = False

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        def solve(decomposed: Spectrum, centred: np.ndarray, scale: float) -> np.ndarray:
            return least_squares(decomposed, centred, self.rank_tolerance)

        return dual_predictions(representation, targets, splits, solve)


@dataclass(frozen=True)
class PLS:
    """Partial least squares for all neuroids together; see ``pls``.

    Attributes:
        components: how many.
    """

    components: int = 25
    needs_features: bool = False

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        most = min(representation.n_features, min(len(train) for train, _ in splits) - 1)
        if self.components > most:
            raise InputError(
                f"PLS with {self.components} components needs as many dimensions, but layer {representation.layer!r} has "
                f"{representation.n_features} features and {most + 1} or more stimuli to fit on; use ridge, or fewer "
                "components"
            )
        (gram,) = on_device(representation, representation.gram)

        def product(columns: np.ndarray) -> np.ndarray:
            return to_numpy(gram @ on_device(representation, columns)[0])

        return pls_predictions(representation.gram, targets, splits, self.components, product)


@dataclass(frozen=True)
class OneToOne:
    """Each neuroid is predicted by one feature: the one that correlates best with it, either way, where it is fitted.

    The strictest of mappings (Khosla & Williams 2024, arXiv:2311.09466, discuss it). Slope and intercept are fitted, so the
    score of a neuroid that a feature follows with the opposite sign is positive.
    """

    needs_features: bool = True

    def __call__(
        self, representation: Representation, targets: np.ndarray, splits: Sequence[Split]
    ) -> Iterable[np.ndarray]:
        if representation.features is None:
            raise InputError("one-to-one matching needs features: probe with keep_features=True")
        features = representation.features.astype(np.float64)
        for train, test in splits:
            x, y = features[train], targets[train]
            x_mean, y_mean = x.mean(0), y.mean(0)
            covariance = (x - x_mean).T @ (y - y_mean)  # (features, targets)
            power = np.square(x - x_mean).sum(0)
            with np.errstate(invalid="ignore", divide="ignore"):
                fit = np.where(power[:, None] > 1e-12 * power.max(), np.square(covariance) / power[:, None], -1)
            best = fit.argmax(0)
            slope = covariance[best, np.arange(len(best))] / power[best]
            yield y_mean + (features[test][:, best] - x_mean[best]) * slope


def squared_where_positive(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """``r^2`` of each neuroid, and 0 where r is negative or the prediction constant: neither explains anything."""
    r = pearson_columns(predicted, measured)
    return np.where(np.isnan(pearson_columns(measured, measured)), r, np.square(np.fmax(r, 0)))


@dataclass(frozen=True)
class Encoding:
    """Predicts every neuroid from a layer.

    Repetitions are averaged first. Within a split the median over neuroids is taken, over splits the mean.

    Attributes:
        predictor: how.
        splits: on which stimuli.
        statistic: of predictions and measurements, per neuroid.
        noise_ceiling: of the data.
        in_order_of_ids: stimuli are sorted by id before they are split, so that a seed means the same for any order.
    """

    name: str
    label: str
    predictor: Predictor
    formula: str = "r2_over_ceiling"
    splits: Splitter = field(default=Shuffled())
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray] = pearson_columns
    noise_ceiling: Callable[[xr.DataArray], Ceiling] = split_half_ceiling
    in_order_of_ids: bool = False

    @property
    def needs_features(self) -> bool:
        """That of the predictor."""
        return self.predictor.needs_features

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """The statistic per split and neuroid, ``(split, neuroid)``.

        Raises:
            InputError: the data are RDMs, there are too few stimuli, or the layer does not vary over stimuli.
        """
        selected, responses = self.prepared(representation, data)
        splits = self.splits(responses)
        predictions = self.predictor(selected, responses.values, splits)
        values = [
            self.statistic(predicted, responses.values[test])
            for (_, test), predicted in zip(splits, predictions, strict=True)
        ]
        return self.assembled(values, responses)

    def prepared(self, representation: Representation, data: xr.DataArray) -> tuple[Representation, xr.DataArray]:
        """Repetition-averaged responses in the order in which they are split, and the layer over the same stimuli."""
        return averaged(self.name, representation, self._ordered(data))

    @staticmethod
    def assembled(values: Sequence[np.ndarray], responses: xr.DataArray) -> xr.DataArray:
        """One row of values per split, ``(split, neuroid)``, with what is known of the neuroids."""
        coords = {name: coord for name, coord in responses.coords.items() if coord.dims == ("neuroid",)}
        return xr.DataArray(np.stack(values), dims=("split", "neuroid"), coords=coords)

    def _ordered(self, data: xr.DataArray) -> xr.DataArray:
        if not self.in_order_of_ids or "stimulus_id" not in data.coords:
            return data
        return data.isel(presentation=np.argsort(data["stimulus_id"].values, kind="stable"))

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """Median over neuroids within a split, mean over splits; standard error over splits."""
        medians = raw.median("neuroid").values
        return float(medians.mean()), standard_error(medians)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """From repetitions; see ``ceiling``."""
        return self.noise_ceiling(data)

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """By the formula."""
        return by_formula(self, raw, ceiling)


RIDGE = Encoding("ridge", "held-out prediction (Pearson's r)", Ridge())
PLS_25 = Encoding("pls", "held-out prediction by PLS (Pearson's r)", PLS())
LINEAR = Encoding("linear", "held-out prediction by least squares (Pearson's r)", LeastSquares())
ONE_TO_ONE = Encoding("one_to_one", "held-out prediction by single features (Pearson's r)", OneToOne())
ENCODING_METRICS = (RIDGE, PLS_25, LINEAR, ONE_TO_ONE)
