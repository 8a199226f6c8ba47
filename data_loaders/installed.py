"""Data that ships inside scikit-learn, for use with no network and no mirror: digits and two photographs.

scikit-learn is imported where it is used, since that takes longer than all the rest of ``data_loaders``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_loaders.images import array_images
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.errors import InputError
from neurocompare.stimuli import StimulusSet

DIGITS_CITATION = "Alpaydin & Kaynak 1998, Optical recognition of handwritten digits (UCI), doi:10.24432/C50P49"
DIGITS_LICENCE = "CC BY 4.0"
PHOTOS_CITATION = "scikit-learn's sample photographs china.jpg (danielbuechele) and flower.jpg (vultilion)"
PHOTOS_LICENCE = "CC BY 2.0"


def load_digits_dataset(*, test_items: int = 360, seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8 x 8 grey, split at random with each class in proportion.

    Args:
        test_items: size of the test split.
        seed: of the split and its order.
    Returns:
        Inputs ``(n, 1, 8, 8)`` uint8; the 17 grey levels are spread over 0..255.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=test_items, random_state=seed, stratify=labels)
    return image_dataset(
        "digits",
        Split(images[train], labels[train]),
        Split(images[test], labels[test]),
        tuple(map(str, digits.target_names)),
        citation=DIGITS_CITATION,
        licence=DIGITS_LICENCE,
    )


def photo_patches(n: int = 200, *, size: int = 48, seed: int = 0) -> StimulusSet:
    """Square patches of two photographs, in colour, that do not overlap (cross-validation would leak if they did).

    Args:
        n: how many of those that tile the photographs.
        size: of a side, in pixels.
        seed: of the choice.
    Returns:
        In random order; ids name photograph, row and column, e.g. ``"china-r048-c144"``.
    Raises:
        InputError: the photographs do not have so many patches.
    """
    photos = _photos()
    corners = [
        (name, row, column)
        for name, photo in sorted(photos.items())
        for row in range(0, photo.shape[0] - size + 1, size)
        for column in range(0, photo.shape[1] - size + 1, size)
    ]
    if not 1 <= n <= len(corners):
        raise InputError(f"the photographs have {len(corners)} patches of {size} pixels, but {n} were asked for")
    chosen = np.random.default_rng(seed).choice(len(corners), n, replace=False)
    return array_images(
        "photo_patches",
        {
            f"{name}-r{row:03d}-c{column:03d}": photos[name][row : row + size, column : column + size].copy()
            for name, row, column in (corners[i] for i in chosen)
        },
    )


def _photos() -> dict[str, np.ndarray]:
    """Each photograph, ``(427, 640, 3)`` uint8, by its name."""
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    return {Path(name).stem: image for name, image in zip(bunch.filenames, bunch.images, strict=True)}
