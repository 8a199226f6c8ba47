"""A tiny archive in the layout of Cadieu et al. 2014, for its loader and for its analysis."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from scipy.io import savemat

CATEGORIES = ("Animals", "Cars", "Chairs", "Faces", "Fruits", "Planes", "Tables")
FOLDER = "PLoSCB2014_data_20141216"


def picture(number: int, side: int = 16) -> bytes:
    """A PNG of even grey, as bright as its number says (up to 255)."""
    stream = io.BytesIO()
    Image.new("L", (side, side), number).save(stream, "PNG")
    return stream.getvalue()


def path_of(content: bytes) -> str:
    return f"images/{hashlib.sha1(content).hexdigest()}.png"


def splits(n: int, seed: int = 0) -> np.ndarray:
    """Ten, ``(n, 10)``, 1 for four fifths of the images."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n) < n * 4 // 5 for _ in range(10)], axis=1).astype(int)


def meta(paths: Sequence[str], categories: Sequence[str], flags: np.ndarray) -> np.ndarray:
    """The lines, of equal length since MATLAB pads them."""
    return np.array(
        [" ".join([path, c, *map(str, row)]) for path, c, row in zip(paths, categories, flags, strict=True)]
    )


def matrix(features: np.ndarray, lines: np.ndarray, **others: np.ndarray) -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"features": features, "meta": lines, **others})
    return stream.getvalue()


def archive(matrices: Mapping[str, bytes], images: Sequence[bytes]) -> bytes:
    """Images in another order than the lines, besides files that nobody needs."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as written:
        for content in sorted(images, key=path_of):
            written.writestr(f"{FOLDER}/{path_of(content)}", content)
        for name, content in matrices.items():
            written.writestr(f"{FOLDER}/NeuralData_{name}.mat", content)
        written.writestr(f"{FOLDER}/NeuralData_IT_singleunits.mat", b"not looked at")
        written.writestr(f"{FOLDER}/README.txt", b"about")
    return stream.getvalue()
