"""Explained variance, corrected for the noise of the responses and for that of what is predicted from them.

A prediction is fitted on noisy responses and is therefore noisy itself. Where responses were measured in several sessions,
both reliabilities can be had: of the responses to the held-out stimuli between sessions, and of the predictions of models
fitted on single sessions. Explained variance over the product of the two is what a noise-free fit would explain of
noise-free responses (Kell et al. 2018, Neuron 98:630; Tuckute et al. 2023, PLoS Biol 21:e3002366).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import t as student

from neurocompare import assembly
from neurocompare.metrics.base import NAN, Ceiling, no_ceiling, standard_error
from neurocompare.metrics.ceiling import FORMULAS, median_interval, session_reliability
from neurocompare.metrics.distances import repetitions
from neurocompare.metrics.encoding import Encoding, squared_where_positive
from neurocompare.representation import Representation


@dataclass(frozen=True)
class NoiseCorrected:
    """The explained variance of an encoding, and beside it what noise leaves to explain.

    Over splits and then over neuroids the median is taken.

    Attributes:
        encoding: how responses are predicted, and on which splits.
        formula: of the normalised score.
    """

    name: str
    label: str
    encoding: Encoding
    formula: str = "noise_corrected_r2"
    needs_features: bool = False

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """``r^2`` per split and neuroid, 0 where r is negative, with the coord ``reliability``.

        ``reliability``, ``(split, neuroid)``, is that of the responses times that of the predictions, each between sessions
        (repetitions), corrected for their number (Spearman-Brown), and raised to the smallest correlation that differs from
        zero (one-sided, 5 %): with the 82 or 83 sounds of Tuckute et al. their .182 and .183. NaN without repetitions.

        Raises:
            InputError: as the encoding.
        """
        selected, responses = self.encoding.prepared(representation, data)
        sessions = repetitions(data)[:, _order(responses, data)]
        targets = np.concatenate([responses.values, *sessions], 1)  # one decomposition serves all
        splits = self.encoding.splits(responses)
        width = responses.sizes["neuroid"]
        values, reliability = [], []
        predictions = self.encoding.predictor(selected, targets, splits)
        for (_, test), predicted in zip(splits, predictions, strict=True):
            values.append(squared_where_positive(predicted[:, :width], responses.values[test]))
            of_sessions = np.stack(np.split(predicted[:, width:], len(sessions), 1))
            reliability.append(_reliability(sessions[:, test]) * _reliability(of_sessions))
        raw = self.encoding.assembled(values, responses)
        return raw.assign_coords(reliability=(("split", "neuroid"), np.stack(reliability)))

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """Median over splits, then over neuroids; standard error over splits."""
        return _median(raw), standard_error(raw.median("neuroid").values)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """What the mean over sessions leaves to explain: its reliability between sessions, the median over neuroids."""
        if assembly.is_rdms(data) or np.unique(data["stimulus_id"].values, return_counts=True)[1].min() < 2:
            return no_ceiling("a reliability between sessions needs repetitions of every stimulus, the data have none")
        each = session_reliability(repetitions(data))
        lower, upper = median_interval(each)
        method = (
            f"between repetitions, Spearman-Brown; median of {each.size} neuroids; band: 95 % interval over neuroids"
        )
        return Ceiling(float(np.median(each)), lower, upper, method)

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """The formula for each split and neuroid, aggregated as the raw score."""
        if raw["reliability"].isnull().all():
            return NAN
        corrected = np.vectorize(FORMULAS[self.formula])(raw.values, raw["reliability"].values)
        return _median(raw.copy(data=corrected))


def _order(responses: xr.DataArray, data: xr.DataArray) -> list[int]:
    place = {stimulus: row for row, stimulus in enumerate(assembly.stimulus_ids(data))}
    return [place[str(stimulus)] for stimulus in responses["stimulus_id"].values]


def _reliability(sessions: np.ndarray) -> np.ndarray:
    """Of the mean over ``(sessions, stimuli, neuroids)``, raised to what cannot be told from chance."""
    n_sessions, n_stimuli, neuroids = sessions.shape
    if n_sessions < 2:
        return np.full(neuroids, NAN)
    return np.fmax(session_reliability(sessions), smallest_significant(n_stimuli))


def smallest_significant(n: int, level: float = 0.05) -> float:
    """The smallest Pearson correlation of ``n`` pairs that differs from zero, one-sided."""
    critical = student.ppf(1 - level, n - 2)
    return float(critical / np.sqrt(n - 2 + critical**2))


def _median(values: xr.DataArray) -> float:
    return float(values.median("split").median("neuroid"))
