"""Labelled images in an archive, a folder per class: unpacked and decoded once.

That takes many seconds, so the pixels are kept in the cache under a name made from the archive's sha256: rows of one label
byte and of the red, green and blue planes, as in CIFAR-10's own binary version.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_loaders._archives import members
from data_loaders._files import DataFile, cache_root, locate, record_sum, recorded_sum
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import atomic, sha256_of

SPLITS = ("train", "test")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFolders:
    """What an archive of labelled images holds.

    Attributes:
        name: of the dataset, and of its folder in the cache.
        layout: of the archive, in words for an error.
        place: split and folder of the class of a member, by its name; None for what is not one of the images.
        folders: of the classes, in the order of labels.
        classes: their names.
        size: of the images, which are square, in pixels.
        citation, licence: as the source states them.
    """

    name: str
    layout: str
    place: Callable[[str], tuple[str, str] | None]
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    size: int
    citation: str
    licence: str

    def load(
        self, files: Iterable[DataFile], *, train_items: int | None = None, test_items: int | None = None, seed: int = 0
    ) -> Dataset:
        """Its training and test splits, each in an order shuffled by ``seed``.

        Args:
            files: alternatives, of which one is enough.
            train_items, test_items: how many items to keep of each split, a random sample; all by default.
            seed: of the order.
        Returns:
            Inputs ``(n, 3, size, size)`` uint8 RGB; ``preprocess`` has the mean and deviation of the items to train on.
        Raises:
            InputError: more items asked for than there are, or none.
            DataUnavailable: the archive cannot be had, or does not hold what it should.
        """
        records = self._records(locate(*files))
        rng = np.random.default_rng(seed)
        train, test = (
            self._sample(records[split], items, split, rng)
            for split, items in zip(SPLITS, (train_items, test_items), strict=True)
        )
        return image_dataset(self.name, train, test, self.classes, citation=self.citation, licence=self.licence)

    def _sample(self, records: np.ndarray, items: int | None, split: str, rng: np.random.Generator) -> Split:
        n = len(records) if items is None else items
        if not 1 <= n <= len(records):
            raise InputError(f"{self.name} has {len(records)} {split} items, but {items} were asked for")
        chosen = records[rng.permutation(len(records))[:n]]
        pixels = np.ascontiguousarray(chosen[:, 1:]).reshape(n, 3, self.size, self.size)
        return Split(pixels, chosen[:, 0].astype(np.int64))

    def _records(self, archive: Path) -> dict[str, np.ndarray]:
        """Label and pixels of every image, uint8, by split, from the cache where it has them."""
        key = sha256_of(archive)
        paths = {split: cache_root() / self.name / f"decoded-{key[:16]}-{split}.npy" for split in SPLITS}
        if all(map(_is_intact, paths.values())):
            return {split: np.load(path, mmap_mode="r", allow_pickle=False) for split, path in paths.items()}
        log.info("decoding the images of %s; this happens once", self.name)
        records = self.decode(archive)
        try:
            for split, path in paths.items():
                _keep(path, records[split])
        except OSError as error:  # a full or read-only disk costs time at the next load, nothing else
            log.warning("cannot keep the decoded images of %s: %s", self.name, error)
        return records

    def decode(self, archive: Path) -> dict[str, np.ndarray]:
        """Every image of the archive as a record, in the order of split, class and file name.

        Raises:
            DataUnavailable: a split is empty, or an image cannot be decoded or is not what it should be.
        """
        rows: dict[str, list[tuple[str, bytes]]] = {split: [] for split in SPLITS}
        for name, content in members(archive, lambda name: self.place(name) is not None):
            split, folder = self.place(name) or ("", "")
            rows[split].append((name, self._record(folder, content, name)))
        if not all(rows.values()):
            counts = {split: len(found) for split, found in rows.items()}
            raise DataUnavailable(f"{archive} should hold {self.layout}, but has {counts}")
        return {
            split: np.frombuffer(b"".join(record for _, record in sorted(found)), np.uint8).reshape(len(found), -1)
            for split, found in rows.items()
        }

    def _record(self, folder: str, content: bytes, name: str) -> bytes:
        """One byte of label, then the red, green and blue planes."""
        try:
            image = Image.open(io.BytesIO(content), formats=("JPEG",))
            pixels = np.asarray(image.convert("RGB"))  # a few are grey
        except OSError as error:
            raise DataUnavailable(f"{name} of {self.name} cannot be decoded: {error}") from error
        if folder not in self.folders or pixels.shape != (self.size, self.size, 3):
            raise DataUnavailable(
                f"{name} of {self.name} should be a {self.size} x {self.size} RGB image of one of {self.folders}, but is "
                f"{pixels.shape}"
            )
        return bytes([self.folders.index(folder)]) + pixels.transpose(2, 0, 1).tobytes()


def _is_intact(path: Path) -> bool:
    return path.is_file() and recorded_sum(path) == sha256_of(path)


def _keep(path: Path, records: np.ndarray) -> None:
    with atomic(path) as temporary:
        np.save(temporary, records, allow_pickle=False)
        record_sum(path, sha256_of(temporary))
