"""Image stimuli from encoded files or from arrays, and the condensed form of square dissimilarities."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from PIL import Image

from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet


def encoded_images(name: str, images: Mapping[str, bytes], table: pd.DataFrame | None = None) -> StimulusSet:
    """A stimulus set of encoded images (JPEG, PNG) by id, decoded to RGB each time one is opened."""
    return _stimulus_set(name, images, functools.partial(_decode, images), table)


def array_images(name: str, images: Mapping[str, np.ndarray], table: pd.DataFrame | None = None) -> StimulusSet:
    """A stimulus set of uint8 images ``(height, width, 3)`` or ``(height, width)`` by id."""
    return _stimulus_set(name, images, functools.partial(_from_array, images), table)


def _stimulus_set(
    name: str, images: Mapping, open_image: functools.partial[Image.Image], table: pd.DataFrame | None
) -> StimulusSet:
    table = pd.DataFrame(index=pd.Index(list(images), name="stimulus_id")) if table is None else table
    return StimulusSet(name, tuple(images), open_image, table)


def _decode(images: Mapping[str, bytes], stimulus_id: str) -> Image.Image:
    return Image.open(io.BytesIO(images[stimulus_id])).convert("RGB")


def _from_array(images: Mapping[str, np.ndarray], stimulus_id: str) -> Image.Image:
    return Image.fromarray(images[stimulus_id])


def condensed(squares: np.ndarray, source: str) -> np.ndarray:
    """Square dissimilarities ``(subjects, n, n)`` as ``(subjects, n (n - 1) / 2)`` in ``pdist`` order.

    Args:
        squares: one square matrix per subject.
        source: where they come from, for the message.
    Raises:
        DataUnavailable: they are not square, not symmetric (beyond rounding), or the diagonal is not zero.
    """
    if squares.ndim != 3 or squares.shape[1] != squares.shape[2]:
        raise DataUnavailable(f"{source} should hold subjects x n x n dissimilarities, but is {squares.shape}")
    diagonal = np.abs(np.diagonal(squares, axis1=1, axis2=2)).max()
    asymmetry = np.abs(squares - squares.transpose(0, 2, 1)).max()
    if not (diagonal == 0 and asymmetry < 1e-6):  # also true of NaN
        raise DataUnavailable(
            f"{source} should hold symmetric dissimilarities with a zero diagonal, but they differ by "
            f"{asymmetry:.3g} from their transpose and by {diagonal:.3g} from zero on the diagonal"
        )
    rows, columns = np.triu_indices(squares.shape[1], 1)
    return squares[:, rows, columns]
