"""Where a metric's linear algebra is done: by numpy, or by torch on the device where the model was."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from neurocompare.representation import Representation

Array = Any  # of numpy or torch, on any device; functions of these take their namespace from array_api_compat


def on_device(representation: Representation, *arrays: np.ndarray) -> list[Array]:
    """The arrays as they are, or as torch tensors on the layer's device."""
    if representation.device == "cpu":
        return list(arrays)
    return [torch.from_numpy(np.array(array)).to(representation.device) for array in arrays]


def to_numpy(array: Array) -> np.ndarray:
    """The array in the processor's memory."""
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
