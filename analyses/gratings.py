"""Gratings to be told apart by their tilt, and what a network has seen before it practises."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor

from data_loaders import load_cifar10_jpeg
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import ImagePreprocess

SIDE, SIGMA = 32, 7.0  # pixels
FREQUENCY, CONTRAST, NOISE = 4.0, 0.5, 15 / 255  # cycles per image; Michelson; standard deviation per pixel, white is 1
PRECISIONS = (0.5, 1.0, 2.0, 5.0, 10.0)  # degrees from the reference
# Transfer: degrees added to the reference, factor of the spatial frequency.
CONDITIONS = {
    "trained": (0, 1.0),
    "45 degrees": (45, 1.0),
    "90 degrees": (90, 1.0),
    "half the frequency": (0, 0.5),
    "twice the frequency": (0, 2.0),
}


def gabor(angle: float, *, frequency: float = FREQUENCY, contrast: float = CONTRAST, phase: float = 0.0) -> np.ndarray:
    """A grating under a round Gaussian window, ``(SIDE, SIDE)``, mean luminance 0.5.

    Args:
        angle: from rightwards to where the wave runs, counterclockwise, degrees.
        frequency: cycles per image.
        contrast: of the middle, from 0 to 1.
        phase: degrees; 0 has its maximum in the middle.
    """
    y, x = (SIDE - 1) / 2 - np.mgrid[:SIDE, :SIDE]
    along = -x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
    wave = np.cos(2 * np.pi * frequency / SIDE * along - np.deg2rad(phase))
    return 0.5 + 0.5 * contrast * np.exp(-(x**2 + y**2) / (2 * SIGMA**2)) * wave


class Gratings:
    """Noisy gratings, a little clockwise (label 1) or counterclockwise (0) of a reference, scaled for a network."""

    def __init__(
        self, scale: ImagePreprocess, reference: float, precision: float, frequency: float = FREQUENCY
    ) -> None:
        self.mean, self.std = scale.mean[0], scale.std[0]
        tilted = [gabor(reference + sign * precision, frequency=frequency) for sign in (1, -1)]
        self.clean = torch.from_numpy(np.stack(tilted)[:, None]).float()

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``(n, 1, SIDE, SIDE)`` and labels, alternating."""
        labels = torch.arange(n) % 2
        noise = NOISE * torch.randn(n, 1, SIDE, SIDE, generator=generator)
        return (self.clean[labels] + noise - self.mean) / self.std, labels

    def ideal(self) -> float:
        """The fraction right of an ideal observer of two gratings, ``Phi(d' / sqrt 2)`` (Green & Swets 1966)."""
        return float(norm.cdf(float((self.clean[0] - self.clean[1]).norm()) / NOISE / 2**0.5))


def forced_choice(answers: np.ndarray, labels: np.ndarray) -> float:
    """How often a grating of label 1 gives the larger answer than one of label 0; ties count half."""
    ones = labels == 1
    n = int(ones.sum())
    return float((rankdata(answers)[ones].sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


def textures(n: int, seed: int = 0) -> Dataset:
    """A task for networks to learn before where there are no photographs: eight orientations, all else at random."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 8
    images = [
        gabor(22.5 * label + rng.uniform(-5, 5), frequency=2 ** rng.uniform(1, 3), phase=rng.uniform(0, 360))
        for label in labels
    ]
    noisy = np.clip(255 * (np.stack(images)[:, None] + rng.normal(0, 2 * NOISE, (n, 1, SIDE, SIDE))), 0, 255)
    pixels, cut = noisy.round().astype(np.uint8), n - n // 5
    first, second = Split(pixels[:cut], labels[:cut]), Split(pixels[cut:], labels[cut:])
    names = tuple(f"{22.5 * i:g} degrees" for i in range(8))
    return image_dataset("textures", first, second, names, citation="analyses.perceptual_learning", licence="none")


def photographs(n: int) -> Dataset:
    """CIFAR-10 in grey; ``textures`` where it cannot be had."""
    try:
        colour = load_cifar10_jpeg(train_items=n, test_items=n // 5)
    except DataUnavailable:
        return textures(n)
    luma = np.array([0.299, 0.587, 0.114])[:, None, None]
    first, second = (
        Split((split.inputs * luma).sum(1, keepdims=True).round().astype(np.uint8), split.labels)
        for split in (colour.train, colour.test)
    )
    return image_dataset(
        "cifar10_jpeg, grey", first, second, colour.classes, citation=colour.citation, licence=colour.licence
    )
