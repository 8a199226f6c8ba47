"""Networks of fixed filters: a V1-like bank of Gabor functions, and a convnet of random filters.

Neither has learned anything. What they explain of a brain region is explained by filtering alone, and is no evidence for
a learning rule.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.model import Model
from neurocompare.stimuli import ImagePreprocess

# Half the amplitude at 2/3 and 4/3 of the preferred frequency: a bandwidth of one octave, in wavelengths.
OCTAVE = 3 / math.pi * math.sqrt(math.log(2) / 2)
# The normalisation pool's standard deviation over that of the filter's envelope.
POOL = 2


def gabor(
    wavelength: float,
    angle: float,
    phase: float,
    *,
    sigma: float,
    aspect: float = 1.0,
    size: int,
    zero_mean: bool = True,
) -> Tensor:
    """A Gabor function, ``exp(-(u^2 + (aspect v)^2) / 2 sigma^2) cos(2 pi u / wavelength - phase)``.

    Dayan & Abbott 2001, Theoretical Neuroscience, eq. 2.27, with 1 at the middle; ``u`` runs along the wave.

    Args:
        wavelength: pixels.
        angle: of ``u`` against the image's rows, radians, from rightwards (0) to downwards.
        phase: radians; 0 is even, pi / 2 is odd.
        sigma: of the envelope along ``u``, pixels.
        aspect: the envelope is ``1 / aspect`` times as long along ``v``.
        size: pixels on a side, odd.
        zero_mean: subtract the envelope times what makes the sum 0, so that uniform light does nothing.
    Returns:
        float64 ``(size, size)``.
    """
    half = size // 2
    y, x = torch.meshgrid(*[torch.arange(-half, half + 1, dtype=torch.float64)] * 2, indexing="ij")
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    envelope = torch.exp(-(u**2 + (aspect * v) ** 2) / (2 * sigma**2))
    carried = envelope * torch.cos(2 * math.pi * u / wavelength - phase)
    return carried - envelope * (carried.sum() / envelope.sum()) if zero_mean else carried


def fixed(value: Tensor) -> nn.Parameter:
    """A float32 parameter that no optimizer changes (a parameter, so that it says on which device the network is)."""
    return nn.Parameter(value.float(), requires_grad=False)


class Simple(nn.Module):
    """Half-rectified responses at four phases, a quarter of a cycle apart."""

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """From ``(batch, 2, ...)`` per scale to ``(batch, features)``."""
        return torch.cat([torch.cat([m, -m], 1).relu().flatten(1) for m in maps], 1)


class Complex(nn.Module):
    """The root of the energy, the sum of squares over a quadrature pair (Adelson & Bergen 1985)."""

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """From ``(batch, 2, ...)`` per scale to ``(batch, features)``."""
        return torch.cat([m.square().sum(1).sqrt().flatten(1) for m in maps], 1)


class V1Bank(nn.Module):
    """Gabor filters in quadrature with local divisive normalisation; see ``gabor_v1``.

    Attributes:
        filters: per scale ``(2 x orientations, 1, size, size)``, the even ones first.
    """

    def __init__(self, wavelengths: Sequence[float], orientations: int, semisaturation: float) -> None:
        super().__init__()
        self.wavelengths, self.semisaturation = tuple(wavelengths), semisaturation
        self.filters = nn.ParameterList([fixed(_quadrature_pairs(w, orientations)) for w in wavelengths])
        spread = POOL * OCTAVE * 2  # in steps between filters, of which there are two in a wavelength
        t = torch.arange(-math.ceil(3 * spread), math.ceil(3 * spread) + 1)
        window = torch.exp(-(t**2) / (2 * spread**2))
        self.window = fixed(window / window.sum())
        self.simple, self.complex = Simple(), Complex()

    def linear(self, x: Tensor) -> list[Tensor]:
        """What the filters give, ``(batch, 2, orientations, rows, columns)`` per scale; twice per wavelength."""
        maps = []
        for wavelength, kernels in zip(self.wavelengths, self.filters, strict=True):
            step, half = max(1, int(wavelength // 2)), kernels.shape[-1] // 2
            around = functional.pad(x, (half,) * 4, mode="replicate")[..., step // 2 :, step // 2 :]
            maps.append(functional.conv2d(around, kernels, stride=step).unflatten(1, (2, -1)))
        return maps

    def normalised(self, x: Tensor) -> list[Tensor]:
        """``L / sqrt(s^2 + pool)`` with the pool's energy summed over orientations, averaged under a Gaussian window."""
        return [m / (self.semisaturation**2 + self._pool(m)).sqrt() for m in self.linear(x)]

    def _pool(self, maps: Tensor) -> Tensor:
        energy, half = maps.square().sum((1, 2))[:, None], len(self.window) // 2
        around = functional.pad(energy, (half,) * 4, mode="replicate")
        rows = functional.conv2d(around, self.window[None, None, :, None])
        return functional.conv2d(rows, self.window[None, None, None, :])[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """From grey images in [0, 1], ``(batch, 1, height, width)``, to complex cells ``(batch, features)``."""
        maps = self.normalised(x)
        self.simple(maps)
        return self.complex(maps)


def _quadrature_pairs(wavelength: float, orientations: int) -> Tensor:
    """``(2 x orientations, 1, size, size)``; a grating of full contrast (0 to 1) drives its own filter with 1."""
    sigma = OCTAVE * wavelength
    half = math.ceil(3 * sigma)
    kernels = torch.stack(
        [
            gabor(wavelength, math.pi * i / orientations, phase, sigma=sigma, size=2 * half + 1)
            for phase in (0.0, math.pi / 2)
            for i in range(orientations)
        ]
    )
    # A wave times its envelope, summed over the plane, is half the envelope's volume; the wave's amplitude is 1/2.
    return (kernels / (math.pi * sigma**2 / 2))[:, None]


def gabor_v1(
    *,
    side: int = 128,
    wavelengths: Sequence[float] = (4, 8, 16, 32),
    orientations: int = 8,
    semisaturation: float = 0.1,
) -> Model:
    """V1-like simple and complex cells: Gabor filters, divisive normalisation, rectification or energy.

    A pyramid of Gabor wavelets in quadrature pairs as in Kay et al. 2008, Nature 452:352 (octave-spaced, eight
    orientations, bandwidth one octave, round envelopes), two per wavelength in each direction, with the normalisation of
    Heeger 1992, Vis Neurosci 9:181, eqs. 7-9: responses are divided by ``sqrt(s^2 + pool)``, where the pool is the energy
    at the same scale over all orientations and over a Gaussian neighbourhood twice as wide as the filter's envelope.
    Images go in grey (gamma-encoded), borders replicated.

    Args:
        side: of the square input, pixels.
        wavelengths: pixels of that input.
        orientations: evenly over half a turn.
        semisaturation: ``s``, the contrast of a grating at which normalisation sets in.
    Returns:
        A model with the layers ``simple`` (four phases) and ``complex``.
    Raises:
        InputError: a setting for which there are no such filters.
    """
    if not wavelengths or orientations < 1:
        raise InputError(
            "a Gabor bank needs one wavelength or more and one orientation or more, "
            f"but got {len(wavelengths)} and {orientations}"
        )
    wrong = [w for w in wavelengths if not 2 <= w <= side]
    if wrong:
        raise InputError(
            f"a Gabor bank needs wavelengths from 2 pixels (the Nyquist limit) to the side of the input, {side}, "
            f"but got {wrong[0]}"
        )
    if semisaturation <= 0:
        raise InputError(
            f"normalisation needs a semisaturation contrast above 0, but got {semisaturation}: "
            "at 0 a uniform image has no response"
        )
    net = V1Bank(wavelengths, orientations, semisaturation)
    settings = {"orientations": orientations, "wavelengths": list(wavelengths), "semisaturation": semisaturation}
    return Model(
        "gabor_v1", net, ("simple", "complex"), ImagePreprocess(side, side, (0.0,), (1.0,)), provenance=settings
    )


def random_filters(seed: int = 0, *, side: int = 128, channels: Sequence[int] = (32, 64, 128)) -> Model:
    """A convnet of fixed random filters: in each stage filter, rectify, max-pool.

    The random-filter architecture of Jarrett et al. 2009, ICCV, in its plainest form: 5 x 5 filters without biases from
    ``N(0, 2 / fan_in)`` (He et al. 2015, eq. 10), zeros around, the maximum of each 2 x 2. Images go in in colour with
    mid-grey at 0.

    Args:
        seed: of the filters.
        side: of the square input, pixels.
        channels: filters of each stage.
    Returns:
        A model with the layers ``stage1``, ``stage2``, ...
    Raises:
        InputError: no stages, or more than the image can be halved.
    """
    if not channels:
        raise InputError("a convnet of random filters needs one stage or more, but got no channels")
    if side < 2 ** len(channels):
        raise InputError(
            f"{len(channels)} stages that each halve the image need a side of {2 ** len(channels)} or more, but got {side}"
        )
    generator = torch.Generator().manual_seed(seed)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (width, count) in enumerate(zip((3, *channels), channels, strict=False), 1):
        conv = nn.Conv2d(width, count, 5, padding=2, bias=False)
        conv.weight = fixed(torch.randn(conv.weight.shape, generator=generator) * (2 / (25 * width)) ** 0.5)
        stages[f"stage{number}"] = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))
    preprocess = ImagePreprocess(side, side, (0.5,) * 3, (0.5,) * 3)
    return Model("random_filters", nn.Sequential(stages), tuple(stages), preprocess, seed=seed)
