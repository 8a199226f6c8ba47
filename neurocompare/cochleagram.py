"""Cochleagrams: the envelopes of what a sound has in each of many frequency bands, compressed as the ear compresses.

Half-cosine filters evenly spaced on the ERB scale (Glasberg & Moore 1990, Hear Res 47:103), the magnitude of each band's
analytic signal, low-pass and downsampling, and only then a power of 0.3: McDermott & Simoncelli 2011, Neuron 71:926, in
the order and with the low-pass of Tuckute et al. 2023, PLoS Biol 21:e3002366, and Feather et al. 2023, Nat Neurosci 26:2017
(their public code, chcochleagram). The filters have zero phase, so what a band gives begins slightly before the sound.

A band's part of the spectrum, moved down to 0 Hz, has an analytic signal of the same magnitude at every instant. So each
band is transformed back at a rate of a few times its own width, and not at that of the sound.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.sounds import Sound

# Glasberg & Moore 1990, eq. 3 and 4: ERB = 24.7 (4.37 f / 1000 + 1) = 24.7 + f / 9.265 Hz.
NARROWEST_HZ, Q = 24.7, 9.265
# Seconds of silence that part the sound's end from its beginning in the Fourier transform; at least twice the low-pass.
SILENCE = 0.25
# Rates at which a band is transformed back: over its width, and over the rate of the envelope at least.
OVER_WIDTH, OVER_ENVELOPE = 4, 10
# The low-pass: a sinc with its first zero after one frame, under a Kaiser window of 5 frames either way.
FRAMES_EITHER_WAY, KAISER_BETA = 5, 5.0
# Samples of all bands that are worked on at once: what a processor's cache holds.
AT_ONCE = 2**20
# Added before compression, with full scale at 1; the slope of a power below 1 has no bound at 0.
FLOOR = 1e-8


def erb_number(hertz: np.ndarray | float) -> np.ndarray:
    """How many equivalent rectangular bandwidths of human hearing lie below a frequency."""
    return Q * np.log1p(np.asarray(hertz) / (NARROWEST_HZ * Q))


def hertz_at(erb: np.ndarray | float) -> np.ndarray:
    """The inverse of ``erb_number``."""
    return NARROWEST_HZ * Q * np.expm1(np.asarray(erb) / Q)


@dataclass(frozen=True)
class ErbFilters:
    """Half-cosine filters that overlap by half, at ``density`` times the spacing at which they do so.

    The squared gains of all filters sum to 1 at any frequency from the centre of the first to that of the last (with a
    density above 1, of those ``density - 1`` further in).

    Attributes:
        n_bands: filters that tile the range.
        low, high: where the first begins and the last ends, Hz.
        density: filters for each of those, as wide but closer together; there are ``density * (n_bands + 1) - 1``.
        ends: ``density`` more on either side, which let everything through below ``low`` and above ``high``.
    """

    n_bands: int = 50
    low: float = 50.0
    high: float = 10_000.0
    density: int = 1
    ends: bool = False

    def __post_init__(self) -> None:
        if self.n_bands < 1 or self.density < 1:
            raise InputError(f"filters need one band and a density of 1 or more, got {self.n_bands} and {self.density}")
        if not 0 <= self.low < self.high:
            raise InputError(f"filters need frequencies with 0 <= low < high, but got {self.low} to {self.high} Hz")

    @property
    def per_erb(self) -> float:
        """Filters in one ERB."""
        return float(self.density * (self.n_bands + 1) / (erb_number(self.high) - erb_number(self.low)))

    @property
    def erb_centres(self) -> np.ndarray:
        """Where each filter has its maximum, on the ERB scale, ``(bands,)``; those at the ends where they begin to fall."""
        beyond = self.density if self.ends else 0
        steps = np.arange(1 - beyond, self.density * (self.n_bands + 1) + beyond)
        return erb_number(self.low) + steps / self.per_erb

    def __len__(self) -> int:
        return len(self.erb_centres)

    def gains(self, hertz: np.ndarray) -> np.ndarray:
        """Of each filter at each frequency, ``(bands, frequencies)``."""
        half_width = self.density / self.per_erb
        off = (erb_number(hertz) - self.erb_centres[:, None]) / half_width
        if self.ends:
            off[: self.density] = off[: self.density].clip(0)
            off[-self.density :] = off[-self.density :].clip(max=0)
        return np.where(np.abs(off) < 1, np.cos(np.pi / 2 * off), 0) / np.sqrt(self.density)


@dataclass(frozen=True)
class Bands:
    """Bands whose analytic signals are made at one rate.

    Attributes:
        rows: their numbers.
        bins: of the sound's spectrum, ``(bands, bins)``.
        weights: of those bins, ``(bands, bins)``; 0 where a band has fewer.
        step: samples of the sound in one at that rate.
        low_pass: ``(samples per frame, frames that one sample contributes to)``.
    """

    rows: list[int]
    bins: Tensor
    weights: Tensor
    step: int
    low_pass: Tensor


@functools.lru_cache(maxsize=16)
def _plan(filters: ErbFilters, rate: int, hop: int, samples: int) -> tuple[int, list[Bands]]:
    """The length of the Fourier transform, and the bands by the rate at which they are transformed back."""
    silence = max(round(SILENCE * rate), 2 * FRAMES_EITHER_WAY * hop)
    length = hop * int(next_fast_len(-(-(samples + silence) // hop)))
    gains = filters.gains(np.arange(length // 2 + 1) * rate / length)
    steps = [step for step in range(1, hop + 1) if hop % step == 0 and hop // step >= OVER_ENVELOPE] or [1]
    groups: dict[int, list[int]] = {}
    for row, width in enumerate((gains > 0).sum(1).tolist()):
        fitting = [step for step in steps if length / step >= OVER_WIDTH * width]
        groups.setdefault(max(fitting, default=1), []).append(row)
    return length, [_group(rows, gains[rows], step, hop, length) for step, rows in groups.items()]


def _group(rows: list[int], gains: np.ndarray, step: int, hop: int, length: int) -> Bands:
    first, width = (gains > 0).argmax(1)[:, None], (gains > 0).sum(1)[:, None]
    beyond_first = np.arange(max(1, width.max()))
    bins = np.minimum(first + beyond_first, gains.shape[1] - 1)
    # The analytic signal has each frequency twice but 0 and half the rate; an inverse transform divides by its length.
    twice = np.where((bins == 0) | (2 * bins == length), 1, 2)
    weights = np.where(beyond_first < width, np.take_along_axis(gains, bins, 1), 0) * twice / step
    return Bands(rows, torch.from_numpy(bins), torch.from_numpy(weights), step, _low_pass(hop // step))


def _low_pass(per_frame: int) -> Tensor:
    """The low-pass cut into frames, ``(samples per frame, frames)``; it is 0 where the last frame goes beyond its end."""
    half = FRAMES_EITHER_WAY * per_frame
    kernel = np.sinc(np.arange(-half, half + 1) / per_frame) * np.kaiser(2 * half + 1, KAISER_BETA) / per_frame
    return torch.from_numpy(np.pad(kernel, (0, per_frame - 1)).reshape(-1, per_frame).T.copy())


class Cochleagram(nn.Module):
    """From waveforms to compressed envelopes.

    Args:
        rate: of the sounds, samples per second.
        n_bands, low, high, density, ends: see ``ErbFilters``.
        envelope_rate: frames per second.
        compression: the power.
    Raises:
        InputError: ``high`` is above half the rate, or the rate is no multiple of the envelope's.
    """

    def __init__(
        self,
        *,
        rate: int = 20_000,
        n_bands: int = 50,
        low: float = 50.0,
        high: float = 10_000.0,
        envelope_rate: int = 200,
        compression: float = 0.3,
        density: int = 1,
        ends: bool = False,
    ) -> None:
        super().__init__()
        if high > rate / 2:
            raise InputError(
                f"a cochleagram up to {high:g} Hz needs sounds at {2 * high:g} Hz or more, but the rate is {rate} Hz; "
                "resample them (bands above what was recorded are then silent), or lower `high`"
            )
        if envelope_rate < 1 or rate % envelope_rate:
            raise InputError(f"the rate of sounds, {rate} Hz, must be a multiple of the envelope's, {envelope_rate} Hz")
        if compression <= 0:
            raise InputError(f"compression is a power above 0 (1 is none), but got {compression}")
        self.filters = ErbFilters(n_bands, low, high, density, ends)
        self.rate, self.envelope_rate, self.compression = rate, envelope_rate, compression

    @property
    def hop(self) -> int:
        """Samples of the sound per frame."""
        return self.rate // self.envelope_rate

    def frames(self, samples: int) -> int:
        """How many frames come of so many samples; frame ``i`` is centred on second ``i / envelope_rate``."""
        return -(-samples // self.hop)

    def magnitudes(self, waves: Tensor) -> Iterator[tuple[Bands, Tensor]]:
        """The analytic signals' magnitudes, some bands at a time.

        Args:
            waves: ``(batch, samples)``.
        Returns:
            Which bands, and theirs, ``(batch, bands, samples)``, with the silence after the sound.
        """
        length, groups = _plan(self.filters, self.rate, self.hop, waves.shape[-1])
        spectrum = torch.fft.rfft(waves, length)
        for bands in groups:
            own = spectrum[:, bands.bins.to(waves.device)] * bands.weights.to(waves)
            yield bands, torch.fft.ifft(own, length // bands.step).abs()

    def forward(self, waves: Tensor) -> Tensor:
        """From ``(batch, samples)`` to ``(batch, bands, frames)``, in the same precision; full scale is 1."""
        size = max(1, AT_ONCE // (len(self.filters) * self.frames(waves.shape[-1]) * OVER_ENVELOPE))
        envelopes = torch.cat([self._envelopes(part) for part in waves.split(size)])
        return (envelopes.clamp(min=0) + FLOOR) ** self.compression

    def _envelopes(self, waves: Tensor) -> Tensor:
        frames = self.frames(waves.shape[-1])
        envelopes = waves.new_empty(len(waves), len(self.filters), frames)
        for bands, magnitudes in self.magnitudes(waves):
            envelopes[:, bands.rows] = _downsampled(magnitudes, bands.low_pass.to(waves), frames)
        return envelopes


def _downsampled(magnitudes: Tensor, low_pass: Tensor, frames: int) -> Tensor:
    """Low-pass and take one sample per frame: each frame's samples times each part of the kernel, then a sum of those."""
    per_frame, parts = low_pass.shape
    # What a band gives before the sound is at the end of the silence.
    around = functional.pad(magnitudes, (FRAMES_EITHER_WAY * per_frame, 0), mode="circular")
    around = around[..., : (frames + parts - 1) * per_frame]
    products = around.unflatten(-1, (-1, per_frame)) @ low_pass
    return torch.stack([products[..., part : part + frames, part] for part in range(parts)]).sum(0)


@dataclass(frozen=True)
class CochleagramPreprocess:
    """From a sound to its cochleagram, as the input of a network.

    The first ``seconds`` are taken, their mean is removed, they are resampled, and the level is set; only then does silence
    follow where there is less. So neither a gain nor an offset matters, and a short sound is as loud as a long one.

    Attributes:
        seconds: how much of a sound.
        level: root mean square, with full scale at 1; 0.1 as in Tuckute et al. 2023.
        mean, std: of cochleagrams, subtracted and divided by.
        rate, n_bands, low, high, envelope_rate, compression, density, ends: see ``Cochleagram``.
    """

    seconds: float = 2.0
    rate: int = 20_000
    n_bands: int = 50
    low: float = 50.0
    high: float = 10_000.0
    envelope_rate: int = 200
    compression: float = 0.3
    density: int = 1
    ends: bool = False
    level: float = 0.1
    mean: float = 0.0
    std: float = 1.0

    @functools.cached_property
    def front_end(self) -> Cochleagram:
        """What makes the cochleagrams."""
        own = ("rate", "n_bands", "low", "high", "envelope_rate", "compression", "density", "ends")
        return Cochleagram(**{name: getattr(self, name) for name in own})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a network's input: 1, bands, frames."""
        return 1, len(self.front_end.filters), self.front_end.frames(round(self.seconds * self.rate))

    def __call__(self, stimulus: Sound) -> np.ndarray:
        """The input for one sound, float32 ``(1, bands, frames)``.

        Raises:
            InputError: the stimulus is no sound, or silent for so long.
        """
        if not isinstance(stimulus, Sound):
            raise InputError(
                f"a cochleagram needs sounds, but got a {type(stimulus).__name__}; choose a benchmark with sounds, or a "
                "model of images"
            )
        heard = stimulus.samples[: round(self.seconds * stimulus.rate)].astype(np.float64)
        sound = Sound(heard - heard.mean(), stimulus.rate).at_rate(self.rate).at_level(self.level).lasting(self.seconds)
        with torch.inference_mode():
            made = self.front_end(torch.tensor(sound.samples)[None])
        return ((made - self.mean) / self.std).numpy()

    def describe(self) -> dict[str, Any]:
        """The settings, for provenance."""
        return {"kind": "cochleagram", **asdict(self)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> CochleagramPreprocess:
        """The preprocessing that ``describe`` described (after a round trip through JSON, too)."""
        return cls(**{name: value for name, value in description.items() if name != "kind"})
