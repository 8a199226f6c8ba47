"""Sounds as stimuli: samples with their rate, and the checks that a sound must pass before anything is computed from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from neurocompare.errors import InputError

# Of full scale; so many samples in a row at an extreme that high are a recording cut off there, not a peak that touched it.
FULL_SCALE = 0.999
CLIPPED_RUN = 8


@dataclass(frozen=True)
class Sound:
    """One channel of sound.

    Attributes:
        samples: ``(n,)`` float32, full scale at -1 and 1, read-only.
        rate: samples per second.
    Raises:
        InputError: there is nothing to hear (no samples, or all alike), a sample is not finite, or more than one channel.
    """

    samples: np.ndarray
    rate: int

    def __post_init__(self) -> None:
        samples = np.array(self.samples, dtype=np.float32)
        if samples.ndim != 1:
            raise InputError(f"a sound needs one channel, samples of shape (n,), but got {samples.shape}; mix it down")
        if self.rate <= 0:
            raise InputError(f"a sound needs a sampling rate above 0 Hz, but got {self.rate}")
        if not samples.size:
            raise InputError("a sound needs samples, but has none: the file is empty")
        if not np.isfinite(samples).all():
            raise InputError(f"samples of a sound must be finite, but {(~np.isfinite(samples)).sum()} are not")
        if np.ptp(samples) == 0:
            raise InputError(f"a sound needs samples that vary, but all {samples.size} are {samples[0]:g}: silence")
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The samples, so that a sound goes where an array does."""
        return np.array(self.samples, dtype=dtype) if copy or dtype else self.samples

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.size / self.rate

    @property
    def level(self) -> float:
        """Root mean square, with full scale at 1."""
        return float(np.sqrt(np.square(self.samples, dtype=np.float64).mean()))

    def at_rate(self, rate: int) -> Sound:
        """The same sound at another sampling rate: polyphase resampling, antialiased (scipy's Kaiser window)."""
        if rate == self.rate:
            return self
        shared = math.gcd(rate, self.rate)
        return Sound(resample_poly(self.samples.astype(np.float64), rate // shared, self.rate // shared), rate)

    def at_level(self, level: float) -> Sound:
        """The same sound scaled to a root mean square of ``level``; it may then exceed full scale."""
        return Sound(self.samples * np.float32(level / self.level), self.rate)

    def lasting(self, seconds: float) -> Sound:
        """The first ``seconds``, or the whole with silence after it."""
        n = round(seconds * self.rate)
        return Sound(np.pad(self.samples[:n], (0, max(0, n - self.samples.size))), self.rate)


def check_not_clipped(sound: Sound, name: str) -> None:
    """Raise ``InputError`` for a recording cut off at full scale: its spectrum is that of the cutting, too."""
    samples = sound.samples
    for extreme in (samples.max(), samples.min()):
        if abs(extreme) < FULL_SCALE:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (samples == extreme).astype(np.int8), [0]])))
        runs = edges[1::2] - edges[::2]
        if runs.size and runs.max() >= CLIPPED_RUN:
            raise InputError(
                f"{name} is clipped: {runs.max()} samples in a row are at its extreme, full scale (at {sound.rate} Hz; "
                f"{CLIPPED_RUN} or more count); record it again at a lower level, or leave it out"
            )
