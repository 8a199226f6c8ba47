"""HMAX: alternate template matching and maxima, up to features that tolerate position and scale.

Riesenhuber & Poggio 1999, Nat Neurosci 2:1019, in the form of Serre et al. 2007, IEEE PAMI 29:411 (equations and table 1
below are theirs). Nothing is trained: the templates are patches of photographs that are not among anyone's stimuli.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.filter_banks import fixed, gabor
from neurocompare.model import Model
from neurocompare.stimuli import ImagePreprocess

# Table 1: S1 filters of 7, 9, ... 37 pixels, two to a band; C1 units of band b see 8 + 2 b pixels, half of that apart.
SIGMAS = (2.8, 3.6, 4.5, 5.4, 6.3, 7.3, 8.2, 9.2, 10.2, 11.3, 12.3, 13.4, 14.6, 15.8, 17.0, 18.2)
WAVELENGTHS = (3.5, 4.6, 5.6, 6.8, 7.9, 9.1, 10.3, 11.5, 12.7, 14.1, 15.4, 16.8, 18.2, 19.7, 21.2, 22.8)
ASPECT = 0.3
ORIENTATIONS = 4
BANDS = 8
PATCH_SIDES = (4, 8, 12, 16)
# The band that patches are taken from, as in the authors' software (filters of 11 and 13 pixels).
PATCH_BAND = 1


class S1C1(nn.Module):
    """Edges, and their maxima over a neighbourhood and two neighbouring scales.

    Attributes:
        filters: per scale ``(4, 1, size, size)``, zero mean and unit norm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.ParameterList(
            [fixed(_edges(w, s, 7 + 2 * i)) for i, (w, s) in enumerate(zip(WAVELENGTHS, SIGMAS, strict=True))]
        )

    def s1(self, x: Tensor, scale: int) -> Tensor:
        """The size of the cosine between filter and what it covers, ``(batch, 4, height, width)``; borders replicated.

        Dividing by the norm of what is covered makes it independent of contrast; where all is black it is 0.
        """
        kernels = self.filters[scale]
        size = kernels.shape[-1]
        around = functional.pad(x, (size // 2,) * 4, mode="replicate")
        columns = functional.avg_pool2d(around.square(), (size, 1), stride=1)  # one side, then the other: far faster
        power = functional.avg_pool2d(columns, (1, size), stride=1) * size**2
        return functional.conv2d(around, kernels).abs() / power.sqrt().clamp(min=1e-6)

    def c1(self, x: Tensor, band: int) -> Tensor:
        """Eq. 3: the maximum over two scales and ``8 + 2 band`` pixels square, ``(batch, 4, rows, columns)``."""
        width = 8 + 2 * band
        larger = torch.maximum(self.s1(x, 2 * band), self.s1(x, 2 * band + 1))
        return functional.max_pool2d(larger, width, stride=width // 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """All bands of grey images ``(batch, 1, height, width)`` that are large enough for them."""
        return [self.c1(x, band) for band in range(BANDS) if min(x.shape[-2:]) >= 8 + 2 * band]


def _edges(wavelength: float, sigma: float, size: int) -> Tensor:
    """Eq. 1, ``(4, 1, size, size)``."""
    angles = [np.pi * i / ORIENTATIONS for i in range(ORIENTATIONS)]
    kernels = torch.stack(
        [gabor(wavelength, a, 0.0, sigma=sigma, aspect=ASPECT, size=size, zero_mean=False) for a in angles]
    )
    kernels = kernels - kernels.mean((1, 2), keepdim=True)
    return (kernels / torch.linalg.vector_norm(kernels, dim=(1, 2), keepdim=True))[:, None]


class Flat(nn.Module):
    """All bands side by side."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """From ``(batch, 4, rows, columns)`` per band to ``(batch, features)``."""
        return torch.cat([m.flatten(1) for m in maps], 1)


class C2(nn.Module):
    """For each stored patch, its best match anywhere: S2 (eq. 4), then the maximum over positions and bands.

    ``exp(-||X - P||^2 / 2 (n / 4)^2)`` for a patch of ``4 x n x n``: eq. 4 with a sharpness that allows for the size of the
    patch, as in Mutch & Lowe 2008, IJCV 80:45. A patch is matched only where it fits within a band.

    Attributes:
        patches: per size ``(patches, 4, n, n)``.
    """

    def __init__(self, patches: Sequence[Tensor]) -> None:
        super().__init__()
        self.patches = nn.ParameterList([fixed(p) for p in patches])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """From C1 maps, ``(batch, 4, rows, columns)`` per band, to ``(batch, patches)`` in (0, 1]."""
        return torch.cat([self._best(maps, p) for p in self.patches], 1)

    def _best(self, maps: Sequence[Tensor], patches: Tensor) -> Tensor:
        side = patches.shape[-1]
        fitting = [m for m in maps if min(m.shape[-2:]) >= side]
        nearest = torch.stack([_squared_distances(m, patches).amin((2, 3)) for m in fitting]).amin(0)
        return torch.exp(-nearest / (2 * (side / 4) ** 2))


def _squared_distances(maps: Tensor, patches: Tensor) -> Tensor:
    """``||X - P||^2`` at every place, ``(batch, patches, rows, columns)``, from ``||X||^2 - 2 X . P + ||P||^2``."""
    power = functional.conv2d(maps.square(), torch.ones_like(patches[:1]))
    own = patches.square().sum((1, 2, 3))[:, None, None]
    return (power - 2 * functional.conv2d(maps, patches) + own).clamp(min=0)


class HMAX(nn.Module):
    """S1, C1, S2 and C2; the layers ``c1`` and ``c2``."""

    def __init__(self, patches: Sequence[Tensor]) -> None:
        super().__init__()
        self.edges, self.c1, self.c2 = S1C1(), Flat(), C2(patches)

    def forward(self, x: Tensor) -> Tensor:
        """From grey images in [0, 1], ``(batch, 1, height, width)``, to ``(batch, patches)``."""
        maps = self.edges(x)
        self.c1(maps)
        return self.c2(maps)


@functools.cache
def _photographed() -> list[np.ndarray]:
    """C1 of the photographs that ship with scikit-learn, in grey and full size, at the band that patches come from."""
    from sklearn.datasets import load_sample_images  # decodes both photographs: not on import

    greys = [np.asarray(Image.fromarray(photo).convert("L"), np.float32) / 255 for photo in load_sample_images().images]
    edges = S1C1()
    with torch.no_grad():
        return [edges.c1(torch.from_numpy(grey)[None, None], PATCH_BAND)[0].numpy() for grey in greys]


def _sample(count: int, side: int, rng: np.random.Generator) -> Tensor:
    """Patches ``(count, 4, side, side)`` from random places, no two the same, of random photographs."""
    windows = [np.lib.stride_tricks.sliding_window_view(c1, (side, side), axis=(1, 2)) for c1 in _photographed()]
    places = np.cumsum([0] + [w.shape[1] * w.shape[2] for w in windows])
    chosen = []
    for place in rng.choice(places[-1], count, replace=False):
        photo = int(np.searchsorted(places, place, side="right")) - 1
        row, column = divmod(int(place - places[photo]), windows[photo].shape[2])
        chosen.append(windows[photo][:, row, column])
    return torch.from_numpy(np.stack(chosen))


def hmax_c2(seed: int = 0, *, n_patches: int = 1000, side: int = 140) -> Model:
    """HMAX up to C2, whose templates are random patches of two photographs.

    Serre et al. 2007, IEEE PAMI 29:411: S1 Gabor filters at 4 orientations and 16 sizes, C1 maxima in 8 bands, S2 radial
    basis functions around C1 patches of 4, 8, 12 and 16 units square, C2 their maxima over the image. The patches come
    from the photographs ``china.jpg`` and ``flower.jpg`` of ``sklearn.datasets.load_sample_images``, never from stimuli
    of a brain dataset (the simulated benchmarks of ``data_loaders``, though, show parts of these photographs).

    Args:
        seed: of where patches are taken.
        n_patches: in all, as evenly over the four sizes as can be.
        side: of the square grey input, pixels.
    Returns:
        A model with the layers ``c1`` and ``c2``, the latter with ``n_patches`` features.
    Raises:
        InputError: too few patches, or too small an input for the largest.
    """
    if n_patches < len(PATCH_SIDES):
        sizes = ", ".join(map(str, PATCH_SIDES))
        raise InputError(f"HMAX needs a patch of each of the sizes {sizes}, but got {n_patches} patches")
    largest = max(PATCH_SIDES)
    needed = 8 + 4 * (largest - 1)
    if side < needed:
        raise InputError(
            f"HMAX needs a side of {needed} pixels or more, for patches of {largest} x {largest} units 4 pixels apart, "
            f"but got {side}"
        )
    rng = np.random.default_rng(seed)
    counts = [len(part) for part in np.array_split(np.arange(n_patches), len(PATCH_SIDES))]
    net = HMAX([_sample(count, patch, rng) for count, patch in zip(counts, PATCH_SIDES, strict=True)])
    provenance = {"n_patches": n_patches, "patches_from": "sklearn.datasets.load_sample_images"}
    return Model(
        "hmax_c2", net, ("c1", "c2"), ImagePreprocess(side, side, (0.0,), (1.0,)), seed=seed, provenance=provenance
    )
