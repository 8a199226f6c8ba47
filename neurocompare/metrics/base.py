"""What a metric is, and what a ceiling is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.representation import Representation, double_centred

NAN = float("nan")


@dataclass(frozen=True)
class Ceiling:
    """The best score that the data's own noise allows.

    Attributes:
        value: what the metric's formula divides by; NaN where the data cannot give it.
        lower, upper: the band to draw, in units of the raw score.
        method: how it was estimated, or the reason why it could not be.
    """

    value: float
    lower: float
    upper: float
    method: str


def no_ceiling(reason: str) -> Ceiling:
    """A ceiling that cannot be estimated: NaN, never 1, with the reason."""
    return Ceiling(NAN, NAN, NAN, f"not estimable: {reason}")


class Metric(Protocol):
    """Compares one layer with one benchmark's data.

    Attributes:
        name: its key in ``METRICS``.
        label: of the raw score, for axes.
        formula: the name of the normalization, a key of ``FORMULAS``.
        needs_features: it looks at single features, which a probe must keep for it.
    """

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def formula(self) -> str: ...

    @property
    def needs_features(self) -> bool: ...

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Raw scores: ``(subject,)``, ``(split,)`` or ``(split, neuroid)``.

        Raises:
            InputError: the metric is not defined for this layer or these data.
        """
        ...

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """One number for a raw score, and its standard error."""
        ...

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """The ceiling of the aggregated score, from the data alone."""
        ...

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """The aggregated score by the metric's formula; NaN where there is no ceiling."""
        ...


class OverTime(ABC):
    """A metric that looks at responses over time; all others are given their mean over time bins. Else as ``Metric``."""

    @abstractmethod
    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Raw scores, from responses with time bins."""


def data_for(metric: object, data: xr.DataArray) -> xr.DataArray:
    """What a metric is to see of a benchmark's data."""
    return data if isinstance(metric, OverTime) else assembly.average_time(data)


def averaged(name: str, representation: Representation, data: xr.DataArray) -> tuple[Representation, xr.DataArray]:
    """Repetition-averaged responses, and the layer over the same stimuli in the same order.

    Raises:
        InputError: the data are RDMs, or the layer does not vary over stimuli.
    """
    if assembly.is_rdms(data):
        raise InputError(f"{name} needs responses of neuroids, but these data are RDMs; use an rsa_ metric")
    responses = assembly.average_repetitions(data)
    selected = representation.select([str(s) for s in responses["stimulus_id"].values])
    check_varies(selected)
    return selected, responses


def check_varies(representation: Representation) -> None:
    """Raise ``InputError`` where a layer responds to every stimulus alike."""
    gram = representation.gram
    if not np.trace(double_centred(gram)) > 1e-12 * np.trace(gram):
        raise InputError(f"layer {representation.layer!r} responds to every stimulus alike: nothing can be predicted")


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean (n - 1 in the variance); NaN for a single value."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else NAN


def pearson_columns(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r of each pair of columns, ``(columns,)``; NaN where a column is constant, up to rounding."""
    a, b = _standardised(a), _standardised(b)
    return (a * b).sum(0)


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and norm 1; NaN where it is constant: what its mean leaves of it is then rounding error."""
    centred = columns - columns.mean(0)
    norm = np.sqrt(np.square(centred).sum(0))
    return centred / np.where(norm > 1e-13 * np.sqrt(np.square(columns).sum(0)), norm, NAN)
