"""Features of a layer at lags before each time bin, few enough for a regression.

A layer that is wider than that is reduced to its principal components. All of them together are a rotation, under which
ridge regression does not change; what the first ones leave out is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd

from neurocompare.errors import InputError
from neurocompare.representation import Representation

PCA_FRAMES = 2000  # at most so many frames, evenly spaced, tell a layer's principal components


def history_weights(n_frames: int, seconds: float, times: np.ndarray, lags: np.ndarray) -> csr_array:
    """From a layer's frames to its features at each lag before each time, by linear interpolation.

    Frame ``k`` is centred at ``(k + 1/2) seconds / n_frames``. Frames centred after the time itself are not looked at: the
    last one before stands for them. Before the onset and after the end all weights are 0.

    Args:
        n_frames: that cover the sound evenly.
        seconds: how long the sound is.
        times: from its onset, in seconds.
        lags: in seconds, not negative.
    Returns:
        ``(times x lags, frames)``, lags fastest.
    """
    spacing = seconds / n_frames
    latest = np.floor(times / spacing - 0.5 + 1e-6)[:, None]  # last frame centred at a time or before; 1e-6: rounding
    wanted = times[:, None] - lags
    known = (wanted > -1e-9) & (wanted < seconds + 1e-9) & (latest >= 0)
    position = np.clip(wanted / spacing - 0.5, 0, n_frames - 1)
    lower = np.floor(position)
    upper = np.minimum(lower + 1, np.clip(latest, 0, n_frames - 1))
    share = (position - lower) * known
    rows = np.arange(known.size)
    return csr_array(
        (
            np.concatenate([(known - share).ravel(), share.ravel()]),
            (np.tile(rows, 2), np.concatenate([lower.ravel(), upper.ravel()]).astype(int)),
        ),
        shape=(known.size, n_frames),
    )


def principal_axes(frames: np.ndarray, mean: np.ndarray, most: int, seed: int) -> np.ndarray:
    """The first principal components of a layer's frames, orthonormal, ``(features, components)``.

    Args:
        frames: ``(stimuli, features, frames)``; ``PCA_FRAMES`` of them are looked at, evenly spaced.
        mean: of the features, which is removed.
        most: components; where there are no more features than these, nothing is left out and the axes are the features.
        seed: of the randomised decomposition (Halko, Martinsson & Tropp 2011, SIAM Rev. 53:217).
    """
    n, width, n_frames = frames.shape
    if width <= most:
        return np.eye(width)
    picks = np.arange(0, n * n_frames, -(-n * n_frames // PCA_FRAMES))
    sample = frames[picks // n_frames, :, picks % n_frames] - mean
    return randomized_svd(sample, min(most, *sample.shape), random_state=seed)[2].T


@dataclass(frozen=True)
class Lagged:
    """From a layer's frames to rows of features at lags, one for each stimulus and time bin.

    Where there is no sound yet, features are at their mean.

    Attributes:
        mean: of the features, ``(features,)``; it is removed.
        axes: onto which features are projected, ``(features, components)``.
        history: ``(time bins x lags, frames)``.
        n_lags: how many.
    """

    mean: np.ndarray
    axes: np.ndarray
    history: csr_array
    n_lags: int

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """``(stimuli x time bins, lags x components)`` for ``(stimuli, features, frames)``."""
        n_bins, n_components = self.history.shape[0] // self.n_lags, self.axes.shape[1]
        x = np.empty((len(frames), n_bins, self.n_lags * n_components))
        for row, of_stimulus in enumerate(frames):
            x[row] = (self.history @ ((of_stimulus.T - self.mean) @ self.axes)).reshape(n_bins, -1)
        return x.reshape(-1, x.shape[-1])


def frames_of(representation: Representation) -> tuple[np.ndarray, float]:
    """A layer's features by frame, ``(stimuli, features, frames)``, and the seconds that the frames cover evenly.

    Raises:
        InputError: the layer has no time axis, or its features were not kept.
    """
    shape, seconds = representation.shape or (), representation.provenance.get("seconds")
    if seconds is None or len(shape) < 2 or shape[-1] < 2:
        heard = "takes no sounds" if seconds is None else f"has activity of shape {shape}"
        raise InputError(
            f"layer {representation.layer!r} {heard}: regression over time needs a layer of a network for sounds whose last "
            "axis is time; choose another layer"
        )
    if representation.features is None:
        raise InputError("regression over time needs features: probe with keep_features=True")
    return representation.features.reshape(len(representation.ids), -1, shape[-1]), float(seconds)
