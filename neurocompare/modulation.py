"""What can be had of a sound by filtering alone: its cochleagram, and how that is modulated in time and over frequency.

The spectrotemporal model of auditory cortex (Chi, Ru & Shamma 2005, J Acoust Soc Am 118:887) passes a cochleagram through
filters, each tuned to a rate in Hz, a scale in cycles per ERB, and a direction. With the power of what passes averaged over
time it is the baseline of Kell et al. 2018, Neuron 98:630, and Tuckute et al. 2023, PLoS Biol 21:e3002366. Rates, scales,
shapes, padding and front end are those of the latter, from its authors' public code (cochdnn).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from neurocompare.cochleagram import CochleagramPreprocess
from neurocompare.errors import InputError
from neurocompare.filter_banks import fixed
from neurocompare.model import Model
from neurocompare.stimuli import Preprocess

# Tuckute et al. 2023: in Hz, and in cycles per ERB.
RATES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SCALES = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
# The same paper's front end: 211 bands, each filter of 50 with three more in between, and the ends of the spectrum.
TUCKUTE_2023 = CochleagramPreprocess(density=4, ends=True)
# Transforms are so many times as long as a sound, and as a cochleagram is high; in between is silence.
TIMES_AS_LONG, TIMES_AS_HIGH = 3, 2


def rate_filters(rates: Sequence[float], frames: int, envelope_rate: float) -> Tensor:
    """Temporal filters, ``u^2 exp(-3.5 u) sin(2 pi u)`` with ``u`` the rate times the time (Chi et al. 2005).

    Each is as long as a sound, has zero mean and a largest gain of 1. The highest passes everything above it, too.

    Args:
        rates: above 0, Hz, rising.
        frames: of a sound.
        envelope_rate: frames per second.
    Returns:
        complex128 ``(rates, frequencies)``, of the frequencies from 0 up of a transform of three times as many frames.
    """
    periods = torch.tensor(rates, dtype=torch.float64)[:, None] * torch.arange(frames) / envelope_rate
    impulse = periods**2 * torch.exp(-3.5 * periods) * torch.sin(2 * torch.pi * periods)
    found = torch.fft.rfft(impulse - impulse.mean(1, keepdim=True), TIMES_AS_LONG * frames)
    found = found / found.abs().amax(1, keepdim=True)
    best = int(found[-1].abs().argmax())
    found[-1, best:] /= found[-1, best:].abs()
    return found


def scale_filters(scales: Sequence[float], bands: int, per_erb: float) -> Tensor:
    """Spectral filters, ``r exp(1 - r)`` with ``r`` the frequency over the scale, squared (Chi et al. 2005).

    The second derivative of a Gaussian, with zero phase. The highest passes everything above it, too.

    Args:
        scales: above 0, cycles per ERB, rising.
        bands: of a cochleagram.
        per_erb: bands in one ERB.
    Returns:
        float64 ``(scales, frequencies)``, of the frequencies from 0 up of a transform of twice as many bands.
    """
    height = TIMES_AS_HIGH * bands
    frequencies = torch.arange(height // 2 + 1, dtype=torch.float64) * per_erb / height
    found = (frequencies / torch.tensor(scales, dtype=torch.float64)[:, None]) ** 2
    found = found * torch.exp(1 - found)
    found[-1, frequencies >= scales[-1]] = 1
    return found


def _one_sided(filters: Tensor, length: int) -> Tensor:
    """Made to give analytic signals: every frequency twice but 0 and, where there is one, half the rate."""
    weights = torch.full((filters.shape[-1],), 2.0, dtype=torch.float64)
    weights[0] = 1
    if length % 2 == 0:
        weights[-1] = 1
    return filters * weights


class ModulationBank(nn.Module):
    """The power of a cochleagram's modulations; see ``spectrotemporal``.

    A filter in time and one over frequency, of which the parts that move one way are kept. With the analytic signals ``a``
    in time and ``k`` over frequency, ``(Re a Re k - Im a Im k) / 2`` moves down and ``(Re a Re k + Im a Im k) / 2`` up, and
    the two together are what the separable filter gives. Rate 0 is the mean over time, scale 0 the mean over bands, and
    these have no direction; as everything else here they see the cochleagram with silence around it, so that they are 1/3
    and 1/2 of the means over it. (Ridge regression minds: without, they outweigh the modulations.)

    Attributes:
        filters: the rate, in Hz, and the scale, in cycles per ERB, of each; a rate below 0 moves up in frequency.
    """

    def __init__(
        self,
        bands: int,
        frames: int,
        *,
        per_erb: float,
        envelope_rate: float,
        rates: Sequence[float] = RATES,
        scales: Sequence[float] = SCALES,
    ) -> None:
        super().__init__()
        _check("rates", "Hz", rates, envelope_rate / 2, "a higher rate of the envelope")
        _check("scales", "cycles per ERB", scales, per_erb / 2, "a higher density of filters")
        self.rates, self.scales = [r for r in rates if r > 0], [s for s in scales if s > 0]
        self.means = min(rates) == 0, min(scales) == 0
        self.filters = [f for rate in (*([0.0] * self.means[0]), *self.rates) for f in self._at(rate)]
        self.length = TIMES_AS_LONG * frames
        in_time = _one_sided(rate_filters(self.rates, frames, envelope_rate), self.length)
        self.in_time = fixed(torch.view_as_real(in_time))
        over_bands = _one_sided(scale_filters(self.scales, bands, per_erb), TIMES_AS_HIGH * bands)
        kernels = torch.fft.ifft(over_bands, TIMES_AS_HIGH * bands)
        # As matrices, (scale and band, band): there are few bands, so that products are faster than transforms.
        apart = torch.arange(bands)[:, None] - torch.arange(bands)
        matrices = kernels[:, apart].flatten(0, 1)
        self.real, self.imaginary = fixed(matrices.real), fixed(matrices.imag)

    def _at(self, rate: float) -> list[tuple[float, float]]:
        """The filters of one rate, in order."""
        moving = [(rate, s) for s in self.scales] + [(-rate, s) for s in self.scales if rate]
        return [(rate, 0.0)] * self.means[1] + moving

    def _filtered(self, cochleagram: Tensor) -> Iterator[Tensor]:
        """Of ``(bands, frames)``, for each rate what its filters give, ``(filters, bands, frames)``."""
        shape = len(self.scales), *cochleagram.shape
        if self.means[0]:
            mean = cochleagram.sum(-1, keepdim=True) / self.length
            over_bands = (self.real @ mean).unflatten(0, shape[:2])
            yield torch.cat([self._flat(mean), over_bands]).expand(-1, *cochleagram.shape)
        spectrum = torch.fft.rfft(cochleagram, self.length)
        for in_time in torch.view_as_complex(self.in_time):
            analytic = torch.fft.ifft(spectrum * in_time, self.length)[:, : cochleagram.shape[-1]]
            along, across = self.real @ analytic.real / 2, self.imaginary @ analytic.imag / 2
            yield torch.cat([self._flat(analytic.real), (along - across).view(shape), (along + across).view(shape)])

    def _flat(self, filtered: Tensor) -> Tensor:
        """The mean over bands, in every band: ``(1, bands, frames)``, or nothing where scale 0 is not asked for."""
        return (filtered.mean(0) / TIMES_AS_HIGH).expand(int(self.means[1]), *filtered.shape)

    def responses(self, cochleagrams: Tensor) -> Tensor:
        """From ``(batch, 1, bands, frames)`` to what every filter gives, ``(batch, filters, bands, frames)``."""
        return torch.stack([torch.cat(list(self._filtered(one))) for one in cochleagrams[:, 0]])

    def forward(self, cochleagrams: Tensor) -> Tensor:
        """From ``(batch, 1, bands, frames)`` to mean squares over time, ``(batch, filters, bands)``."""
        return torch.stack(
            [torch.cat([part.square().mean(-1) for part in self._filtered(one)]) for one in cochleagrams[:, 0]]
        )


class Root(nn.Module):
    """The square root: from mean squares to amplitudes."""

    def forward(self, power: Tensor) -> Tensor:
        """From anything to the same shape."""
        return power.sqrt()


def _check(name: str, unit: str, values: Sequence[float], bound: float, remedy: str) -> None:
    if not values or max(values) == 0 or min(values) < 0 or any(a >= b for a, b in itertools.pairwise(values)):
        raise InputError(f"modulation filters need rising {name}, 0 {unit} or more, not 0 alone, got {list(values)}")
    if max(values) >= bound:
        raise InputError(
            f"a cochleagram shows modulations below {bound:.3g} {unit}, but {name} up to {max(values):g} are asked for; "
            f"leave out the highest, or make cochleagrams with {remedy}"
        )


def spectrotemporal(
    preprocess: CochleagramPreprocess = TUCKUTE_2023,
    *,
    rates: Sequence[float] = RATES,
    scales: Sequence[float] = SCALES,
) -> Model:
    """Spectrotemporal filters: how strong a cochleagram's modulations are, by rate, scale and direction, in each band.

    ``spectrotemporal`` is the model of Tuckute et al. 2023: 111 filters in 211 bands, squares averaged over the sound, which
    begins out of silence. ``amplitude`` is the root of that, which a linear fit can make more of.

    Args:
        preprocess: makes the cochleagrams.
        rates: in time, Hz.
        scales: over frequency, cycles per ERB.
    Returns:
        A model with the layers ``spectrotemporal`` and ``amplitude``, a feature for each filter in each band.
    Raises:
        InputError: rates or scales that a cochleagram cannot show.
    """
    _, bands, frames = preprocess.shape
    per_erb, envelope_rate = preprocess.front_end.filters.per_erb, preprocess.envelope_rate
    bank = ModulationBank(bands, frames, per_erb=per_erb, envelope_rate=envelope_rate, rates=rates, scales=scales)
    # Flat, since what comes last is no time.
    return _model("spectrotemporal", preprocess, spectrotemporal=nn.Sequential(bank, nn.Flatten()), amplitude=Root())


def cochleagram_mean(preprocess: CochleagramPreprocess = TUCKUTE_2023) -> Model:
    """Spectrum of a sound: its cochleagram averaged over time, one number per band."""
    return _model(
        "cochleagram_mean", preprocess, cochleagram_mean=nn.Sequential(nn.AdaptiveAvgPool2d((None, 1)), nn.Flatten())
    )


def cochleagram(preprocess: Preprocess = TUCKUTE_2023) -> Model:
    """Cochleagram of a sound, ``(1, bands, frames)``."""
    return _model("cochleagram", preprocess, cochleagram=nn.Identity())


def _model(name: str, preprocess: Preprocess, **layers: nn.Module) -> Model:
    return Model(name, nn.Sequential(OrderedDict(layers)), tuple(layers), preprocess)
