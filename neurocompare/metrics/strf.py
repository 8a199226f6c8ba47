"""Time-resolved ridge regression: each neuroid's response over time from a layer's features at lags before it.

    r_n(t) = b_n + sum over features c and lags k >= 0 of w_n(c, k) x_c(t - k)

With a cochleagram as the layer, ``w_n`` is the classical spectrotemporal receptive field (Aertsen & Johannesma 1981, Biol.
Cybern. 42:133; Theunissen, Sen & Doupe 2000, J. Neurosci. 20:2315). Predictions are judged by their correlation with the
mean over trials, beside the correlation that a perfect model would reach (see ``trials``).

A bin is predicted from no frame that is centred after its own centre. What a network mixes in from later, by filters that
reach both ways in time, is in its features all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from scipy.linalg import cho_factor, cho_solve
from sklearn.model_selection import GroupKFold

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, OverTime, averaged, no_ceiling, pearson_columns, standard_error
from neurocompare.metrics.lagged import Lagged, frames_of, history_weights, principal_axes
from neurocompare.metrics.splits import Given, Split, Splitter
from neurocompare.metrics.trials import Halvings, cc_max_of_splits, trial_ceiling
from neurocompare.representation import Representation


@dataclass(frozen=True)
class Fit:
    """Ridge regression with a penalty of its own for each target.

    Attributes:
        weights: ``(features, targets)``.
        x_mean, y_mean: of the rows that it was fitted on.
        penalty: the chosen one of each target, ``(targets,)``.
        errors: mean over folds of the mean squared error, ``(penalties, targets)``.
    """

    weights: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray
    penalty: np.ndarray
    errors: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """``(rows, targets)`` for ``(rows, features)``."""
        return (x - self.x_mean) @ self.weights + self.y_mean


@dataclass(frozen=True)
class Moments:
    """Sums over rows, of which ridge regression is made; those of several folds add up."""

    n: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Moments:
        """Of ``(rows, features)`` and ``(rows, targets)``."""
        return cls(len(x), x.sum(0), y.sum(0), x.T @ x, x.T @ y)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.x + other.x, self.y + other.y, self.xx + other.xx, self.xy + other.xy)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.x - other.x, self.y - other.y, self.xx - other.xx, self.xy - other.xy)

    def centred(self) -> tuple[np.ndarray, np.ndarray]:
        """``X^T X`` and ``X^T Y`` after the means over rows are removed."""
        mean = self.x / self.n
        return self.xx - np.outer(mean, self.x), self.xy - np.outer(mean, self.y)


def ridge_by_groups(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, penalties: np.ndarray, folds: int, *, relative: bool = True
) -> Fit:
    """Ridge regression, each target's penalty chosen by cross-validation that keeps groups of rows together.

    As scikit-learn's ``GridSearchCV(Ridge(), cv=GroupKFold(folds), scoring="neg_mean_squared_error")`` for each target, but
    ``X^T X`` is summed once for each fold, and a Cholesky factor of it serves all targets: for tens of penalties that takes
    less time than an eigendecomposition, which would serve all penalties, too.

    Args:
        x: ``(rows, features)``, about zero, so that no precision is lost where means are removed afterwards.
        y: ``(rows, targets)``.
        groups: of the rows, ``(rows,)``.
        penalties: candidates.
        folds: at most.
        relative: penalties are times the mean eigenvalue of ``X^T X``, so that they mean the same for any scale of ``x``.
    Raises:
        InputError: there is one group only, or ``x`` does not vary.
    """
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise InputError(f"cross-validation over recordings needs two to fit on, but there is {n_groups}; use more")
    parts = [held for _, held in GroupKFold(min(folds, n_groups)).split(x, groups=groups)]
    moments = [Moments.of(x[held], y[held]) for held in parts]
    total = sum(moments[1:], start=moments[0])
    xx, xy = total.centred()
    scale = float(np.trace(xx)) / len(xx)
    if not scale > 0:
        raise InputError("the features to fit on never change; choose other features")
    penalties = penalties * scale if relative else penalties
    errors = np.mean(
        [_errors(total - own, x[held], y[held], penalties) for own, held in zip(moments, parts, strict=True)], axis=0
    )
    best = errors.argmin(0)
    weights = np.empty_like(xy)
    for number in np.unique(best):
        weights[:, best == number] = _solve(xx, xy[:, best == number], penalties[number])
    return Fit(weights, total.x / total.n, total.y / total.n, penalties[best], errors)


def _errors(others: Moments, x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Mean squared errors on a fold of what is fitted on the others, ``(penalties, targets)``."""
    xx, xy = others.centred()
    weights = np.hstack([_solve(xx, xy, penalty) for penalty in penalties])
    predicted = ((x - others.x / others.n) @ weights).reshape(len(x), len(penalties), -1)
    return np.square(predicted - (y - others.y / others.n)[:, None]).mean(0)


def _solve(xx: np.ndarray, xy: np.ndarray, penalty: float) -> np.ndarray:
    penalised = xx.copy()
    penalised.flat[:: len(xx) + 1] += penalty
    return cho_solve(cho_factor(penalised, overwrite_a=True, check_finite=False), xy, check_finite=False)


@dataclass(frozen=True)
class _Recorded:
    """What a layer and neuroids did over the same stimuli.

    Attributes:
        frames: ``(stimuli, features, frames)``.
        seconds: that the frames cover evenly.
        responses: averaged over repetitions.
        clips: the recording that each stimulus was cut from, ``(stimuli,)``.
        splits: of the stimuli.
    """

    frames: np.ndarray
    seconds: float
    responses: xr.DataArray
    clips: np.ndarray
    splits: list[Split]

    @property
    def times(self) -> np.ndarray:
        """Centres of the time bins, in seconds from the stimulus's onset."""
        return (self.responses["time_bin_start"].values + self.responses["time_bin_end"].values) / 2

    def rows(self, stimuli: np.ndarray) -> np.ndarray:
        """Responses to some stimuli, ``(stimuli x time bins, neuroids)``."""
        return self.responses.values[stimuli].swapaxes(1, 2).reshape(-1, self.responses.sizes["neuroid"])


@dataclass(frozen=True)
class TimeResolved(OverTime):
    """Predicts every neuroid's response over time from a layer's features and their recent past.

    Repetitions are averaged first. A layer with more features per frame than ``components`` is reduced to its principal
    components over the stimuli to fit on. Stimuli with the same coord ``clip``, cut from one recording, stay together when
    the penalty is chosen. Pearson's r is over all bins of all stimuli to judge by; within a split the median over neuroids
    is taken, over splits the mean. All is computed on the processor, in double precision.

    Attributes:
        history: the longest lag, in seconds.
        step: between lags, in seconds.
        components: of a layer's features, at most.
        penalties: candidates, times the mean eigenvalue of the lagged features' scatter matrix.
        folds: of the stimuli to fit on, to choose the penalty of each neuroid.
        splits: which stimuli to fit on.
        halvings: of the repetitions, for CC_max.
        seed: of the principal components.
    """

    name: str
    label: str
    history: float = 0.2
    step: float = 0.01
    components: int = 50
    penalties: tuple[float, ...] = field(default=tuple(np.logspace(-4, 4, 9).tolist()))
    folds: int = 4
    splits: Splitter = field(default=Given())
    halvings: Halvings = field(default=Halvings())
    seed: int = 1
    formula: str = "cc_norm"
    needs_features: bool = True

    @property
    def lags(self) -> np.ndarray:
        """In seconds, from 0."""
        return self.step * np.arange(round(self.history / self.step) + 1)

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """CC_raw per split and neuroid, ``(split, neuroid)``, with CC_max as the coord ``cc_max``.

        Raises:
            InputError: the data or the layer have no time, the layer does not vary, or the splits part a recording.
        """
        recorded = self._recorded(representation, data)
        values = []
        for train, test in recorded.splits:
            lagged, fit = self._fit(recorded, train)
            values.append(pearson_columns(fit.predict(lagged(recorded.frames[test])), recorded.rows(test)))
        coords = {name: coord for name, coord in recorded.responses.coords.items() if coord.dims == ("neuroid",)}
        raw = xr.DataArray(np.stack(values), dims=("split", "neuroid"), coords=coords)
        return raw.assign_coords(cc_max=(raw.dims, cc_max_of_splits(data, recorded.splits, self.halvings)))

    def receptive_fields(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """What the regression has learnt: ``(split, neuroid, feature, lag)``, lags in seconds.

        Raises:
            InputError: as ``score``.
        """
        recorded, fields = self._recorded(representation, data), []
        for train, _ in recorded.splits:
            lagged, fit = self._fit(recorded, train)
            weights = fit.weights.reshape(len(self.lags), -1, fit.weights.shape[1])  # (lags, components, neuroids)
            fields.append(np.einsum("lcn,fc->nfl", weights, lagged.axes, optimize=True))
        coords = {"neuroid_id": recorded.responses["neuroid_id"], "lag": self.lags}
        return xr.DataArray(np.stack(fields), dims=("split", "neuroid", "feature", "lag"), coords=coords)

    def _recorded(self, representation: Representation, data: xr.DataArray) -> _Recorded:
        if not assembly.has_time(data):
            raise InputError(
                f"{self.name} needs responses over time (presentation x neuroid x time_bin), but these data have dims "
                f"{data.dims}; use another metric"
            )
        selected, responses = averaged(self.name, representation, data)
        frames, seconds = frames_of(selected)
        end = float(responses["time_bin_end"].values[-1])
        if end > seconds + self.history:
            raise InputError(
                f"responses last for {end:g} s, but layer {representation.layer!r} has heard {seconds:g} s; use a "
                "preprocessing that keeps more of the sound"
            )
        clips = np.asarray(assembly.stimulus_coord(data, "clip") or assembly.contents(data))
        splits = self.splits(responses)
        for train, test in splits:
            shared = set(clips[train].tolist()) & set(clips[test].tolist())
            if shared:
                raise InputError(
                    f"{min(shared)!r} is heard in stimuli to fit on and in stimuli to judge by; use splits that keep "
                    "recordings whole"
                )
        return _Recorded(frames, seconds, responses, clips, splits)

    def _fit(self, recorded: _Recorded, train: np.ndarray) -> tuple[Lagged, Fit]:
        frames = recorded.frames[train]
        if not np.ptp(frames, (0, 2)).any():
            raise InputError("the layer never changes during the stimuli to fit on; choose another layer")
        mean = frames.mean((0, 2), dtype=np.float64)
        axes = principal_axes(frames, mean, self.components, self.seed)
        history = history_weights(frames.shape[2], recorded.seconds, recorded.times, self.lags)
        lagged = Lagged(mean, axes, history, len(self.lags))
        groups = np.repeat(recorded.clips[train], len(recorded.times))
        x, y = lagged(frames), recorded.rows(train)
        return lagged, ridge_by_groups(x, y, groups, np.asarray(self.penalties), self.folds)

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """Median over neuroids within a split, mean over splits; standard error over splits."""
        medians = raw.median("neuroid").values
        return float(medians.mean()), standard_error(medians)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """CC_max on the stimuli to judge by."""
        if not assembly.has_time(data):
            return no_ceiling("CC_max needs responses over time, the data have none")
        return trial_ceiling(data, self.splits(assembly.average_repetitions(data)), self.halvings)

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """CC_norm, CC_raw over CC_max of each neuroid, aggregated as the raw score; neuroids without CC_max take no part."""
        return self.aggregate(raw / raw["cc_max"])[0]


STRF = TimeResolved("strf", "held-out prediction over time (Pearson's r)")
