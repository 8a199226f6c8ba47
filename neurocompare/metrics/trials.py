"""The best correlation with measured responses over time that noisy trials allow: CC_half, CC_max and CC_norm.

A perfect model of what a stimulus causes correlates with the mean of ``N`` trials by

    CC_max = sqrt(SP / (SP + NP / N)),

``SP`` the power of the signal and ``NP`` that of the noise of a trial. Their ratio shows in the correlation ``CC_half``
between the means of two halves of the trials: with ``N / 2`` trials in each,

    CC_max = sqrt(2 / (1 + sqrt(1 / CC_half^2))).

A model's own correlation over this is ``CC_norm`` (Hsu, Borst & Theunissen 2004, Network 15:91; Schoppe et al. 2016, Front.
Comput. Neurosci. 10:10).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import xarray as xr

from neurocompare import assembly
from neurocompare.metrics.base import NAN, Ceiling, no_ceiling
from neurocompare.metrics.ceiling import median_interval
from neurocompare.metrics.distances import repetitions
from neurocompare.metrics.splits import Split


@dataclass(frozen=True)
class Halvings:
    """Ways to part trials into halves; of an odd number the second half has one more.

    Attributes:
        most: all ways where there are no more than these, otherwise so many at random.
        seed: of the draw.
    """

    most: int = 1000
    seed: int = 1

    def masks(self, trials: int) -> np.ndarray:
        """Which trials are in the first half, bool ``(halvings, trials)``."""
        first, masks = trials // 2, np.zeros((min(self.count(trials), self.most), trials), dtype=bool)
        if self.count(trials) <= self.most:
            # Halves of equal size have no order: the first trial is always in the first.
            fixed = 1 - trials % 2
            rest = itertools.combinations(range(fixed, trials), first - fixed)
            picks = np.array([(*range(fixed), *chosen) for chosen in rest])
        else:
            picks = np.random.default_rng(self.seed).random(masks.shape).argsort(1)[:, :first]
        np.put_along_axis(masks, picks, True, axis=1)
        return masks

    @staticmethod
    def count(trials: int) -> int:
        """How many ways there are."""
        return comb(trials, trials // 2) // (1 if trials % 2 else 2)

    def describe(self, trials: int) -> str:
        """Words for the method of a ceiling."""
        n = self.count(trials)
        return f"all {n:,} halvings" if n <= self.most else f"{self.most:,} of {n:,} halvings, seed {self.seed}"


def cc_half(trials: np.ndarray, halvings: Halvings = Halvings()) -> np.ndarray:
    """Pearson r over samples between the means of two halves of the trials, averaged over halvings.

    The covariances between trials hold all that is needed, so that a halving costs as little as there are trials.

    Args:
        trials: ``(neuroids, trials, samples)``, samples of all stimuli and time bins.
    Returns:
        ``(neuroids,)``; NaN where the mean of some half does not vary.
    """
    centred = trials - trials.mean(-1, keepdims=True)
    covariance = centred @ centred.swapaxes(1, 2)  # (neuroids, trials, trials)
    first = halvings.masks(trials.shape[1])
    first, second = first / first.sum(1, keepdims=True), ~first / (~first).sum(1, keepdims=True)
    across = (first @ covariance * second).sum(-1)  # (neuroids, halvings)
    within = [(half @ covariance * half).sum(-1) for half in (first, second)]
    power = within[0] * within[1]
    return (across / np.sqrt(np.where(power > 0, power, NAN))).mean(1)


def cc_max(half_correlation: np.ndarray, trials: int) -> np.ndarray:
    """The correlation of a perfect model with the mean of all trials.

    With ``n`` and ``m`` trials in the halves and ``x = NP / SP``, ``CC_half^2 = 1 / ((1 + x / n) (1 + x / m))``. This is
    solved for ``x``, and ``CC_max^2 = 1 / (1 + x / (n + m))``; for equal halves that is the formula above.

    Args:
        half_correlation: ``(neuroids,)``; 0 and less give NaN: nothing is known to be caused by the stimuli.
        trials: their number ``n + m``, in both halves.
    """
    half = np.where(half_correlation > 0, half_correlation, NAN)
    first, second = trials // 2, trials - trials // 2
    noise = (np.sqrt(trials**2 + 4 * first * second * (1 / half**2 - 1)) - trials) / 2
    return 1 / np.sqrt(1 + noise / trials)


def cc_max_of_splits(data: xr.DataArray, splits: Sequence[Split], halvings: Halvings) -> np.ndarray:
    """``CC_max`` over the stimuli, and their time bins, that each split is judged by: ``(splits, neuroids)``.

    Args:
        data: with repetitions.
        splits: of the distinct stimuli, in order of first appearance.
    Returns:
        all NaN where the stimuli of a split were not presented equally often, twice at least.
    """
    ids = np.asarray(assembly.stimulus_ids(data))
    return np.stack([_cc_max(_presentations(data, ids[test]), halvings) for _, test in splits])


def _presentations(data: xr.DataArray, ids: np.ndarray) -> xr.DataArray:
    return data.isel(presentation=np.flatnonzero(np.isin(data["stimulus_id"].values, ids)))


def _cc_max(data: xr.DataArray, halvings: Halvings) -> np.ndarray:
    numbers = _numbers(data)
    if len(numbers) > 1 or min(numbers) < 2:
        return np.full(data.sizes["neuroid"], NAN)
    trials = np.moveaxis(repetitions(data), 2, 0)  # (neuroids, trials, stimuli[, time bins])
    return cc_max(cc_half(trials.reshape(*trials.shape[:2], -1), halvings), trials.shape[1])


def _numbers(data: xr.DataArray) -> set[int]:
    """How often stimuli were presented."""
    return set(np.unique(data["stimulus_id"].values, return_counts=True)[1].tolist())


def trial_ceiling(data: xr.DataArray, splits: Sequence[Split], halvings: Halvings) -> Ceiling:
    """``CC_max`` on the stimuli to judge by: median over neuroids, mean over splits.

    Neuroids whose halves do not correlate above 0 have none and take no part. The band is the 95 % interval of the median
    over resampled neuroids.

    Args:
        data: with repetitions.
        splits: of the distinct stimuli, in order of first appearance.
    """
    ids = np.asarray(assembly.stimulus_ids(data))
    numbers = set[int]().union(*(_numbers(_presentations(data, ids[test])) for _, test in splits))
    if len(numbers) > 1 or min(numbers) < 2:
        return no_ceiling(
            "CC_max needs two repetitions or more of every stimulus to judge by, and equally many; the data have "
            + " or ".join(map(str, sorted(numbers)))
        )
    each = cc_max_of_splits(data, splits, halvings)
    known = each[:, np.isfinite(each).all(0)]
    if not known.size:
        return no_ceiling("the halves of the repetitions correlate above 0 for no neuroid")
    trials, without = numbers.pop(), each.shape[1] - known.shape[1]
    lower, upper = median_interval(known.mean(0), halvings.seed)
    method = (
        f"CC_max of {trials} repetitions of the stimuli to judge by, from CC_half over {halvings.describe(trials)}; median "
        f"of {known.shape[1]} neuroids"
        + (f" ({without} have none: their halves do not correlate above 0)" if without else "")
    )
    return Ceiling(float(np.median(known, axis=1).mean()), lower, upper, f"{method}; band: 95 % interval over neuroids")
