"""Forty classes of Tiny ImageNet (Le & Yang 2015, Stanford CS231n), 20 of animals and 20 of other things: 64 x 64 pixels.

Two layouts are read: a tar of ``{train,test}/<wnid>/<wnid>_<number>.JPEG``, and the zip that the source serves, with all
200 classes. Its test images come without labels, so both splits are from its training images: of the 500 of each class, in
the order of their file names, the first 170 to train on and the 251st to 280th to test.
"""

from __future__ import annotations

import re

from data_loaders._files import DataFile, read_checksums
from data_loaders._image_folders import ImageFolders
from neurocompare.dataset import Dataset

COMMIT = "153dbc161ab7942a12c99515e80ef6454dd06693"
# The copy on GitHub publishes no checksum, and holds no such tar: only a mirror has that.
FILES = {
    **read_checksums("tiny_imagenet40", None),
    "source.zip": DataFile(
        f"tiny_imagenet40/IMagenet-{COMMIT}.zip", None, f"https://github.com/seshuad/IMagenet/archive/{COMMIT}.zip"
    ),
}
ANIMATE = {
    "n01443537": "goldfish", "n01641577": "bullfrog", "n01698640": "alligator", "n01742172": "boa constrictor",
    "n01774750": "tarantula", "n01855672": "goose", "n01882714": "koala", "n01983481": "lobster",
    "n02056570": "king penguin", "n02099601": "golden retriever", "n02123045": "tabby cat", "n02129165": "lion",
    "n02132136": "brown bear", "n02165456": "ladybug", "n02279972": "monarch butterfly", "n02403003": "ox",
    "n02481823": "chimpanzee", "n02486410": "baboon", "n02504458": "elephant", "n02437312": "camel",
}  # fmt: skip
INANIMATE = {
    "n02814533": "station wagon", "n02823428": "beer bottle", "n02906734": "broom", "n02909870": "bucket",
    "n02963159": "cardigan", "n03085013": "keyboard", "n03201208": "dining table", "n03400231": "frying pan",
    "n03617480": "kimono", "n04146614": "school bus", "n04254777": "sock", "n04398044": "teapot",
    "n04507155": "umbrella", "n04560804": "water jug", "n07747607": "orange", "n07753592": "banana",
    "n07873807": "pizza", "n09246464": "cliff", "n09428293": "seashore", "n03042490": "cliff dwelling",
}  # fmt: skip
CLASSES = {**ANIMATE, **INANIMATE}
_IN_ORDER = {number: place for place, number in enumerate(sorted(range(500), key=lambda k: f"{k}.JPEG"))}


def _place(name: str) -> tuple[str, str] | None:
    if match := re.search(r"(?:^|/)(train|test)/(n\d+)/n\d+_\d+\.JPEG$", name):
        return match.group(1), match.group(2)
    match = re.search(r"(?:^|/)tiny-imagenet-200/train/(n\d+)/images/n\d+_(\d+)\.JPEG$", name)
    if match is None or match.group(1) not in CLASSES:
        return None
    place = _IN_ORDER.get(int(match.group(2)), 500)
    split = "train" if place < 170 else "test" if 250 <= place < 280 else None
    return (split, match.group(1)) if split else None


IMAGES = ImageFolders(
    "tiny_imagenet40",
    "train/<wnid>/*.JPEG and test/<wnid>/*.JPEG, or tiny-imagenet-200/train/<wnid>/images/*.JPEG",
    _place,
    tuple(CLASSES),
    tuple(CLASSES.values()),
    size=64,
    citation="Le & Yang 2015, Tiny ImageNet visual recognition challenge; Russakovsky et al. 2015, IJCV 115:211",
    licence="see source (images of ImageNet, for non-commercial research)",
)


def load_tiny_imagenet40(*, train_items: int | None = None, test_items: int | None = None, seed: int = 0) -> Dataset:
    """Forty classes of Tiny ImageNet, 170 images of each to train on and 30 to test, each split shuffled by ``seed``.

    Args:
        train_items, test_items: how many items to keep of each split, a random sample; all by default.
        seed: of the order.
    Returns:
        Inputs ``(n, 3, 64, 64)`` uint8 RGB; ``preprocess`` has the mean and deviation of the items kept for training.
    Raises:
        InputError: more items asked for than there are, or none.
        DataUnavailable: the archive cannot be had, or does not hold what it should.
    """
    return IMAGES.load(FILES.values(), train_items=train_items, test_items=test_items, seed=seed)
