"""The layered networks that every rule can train, rebuilt from a plain description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from neurocompare.errors import InputError, unknown_name
from neurocompare.networks.activations import ACTIVATIONS
from neurocompare.networks.constraints import Dale
from neurocompare.networks.layers import Conv, Layer, LayeredNet, Linear

# With full-sized initial outputs, rules with random feedback first push hidden layers in directions that only fit the
# outputs' own noise, and their loss rises; with small ones every rule here starts from an even guess and learns.
READOUT_SCALE = 0.1
# Channels, kernel and stride (times that of the pooling that follows it there) of each convolution of Kell et al. 2018.
_KELL = ((96, 9, 6), (256, 5, 4), (512, 3, 1), (1024, 3, 1), (512, 3, 2))


def convnet(
    n_classes: int = 10,
    *,
    input_shape: Sequence[int] = (3, 32, 32),
    channels: Sequence[int] = (32, 64, 128),
    hidden: Sequence[int] = (256,),
    activation: str = "relu",
    inhibitory: float = 0.0,
    seed: int = 0,
) -> LayeredNet:
    """Strided 3 x 3 convolutions, then fully connected layers; no pooling and no normalisation.

    Without BatchNorm or pooling every rule in the package can train it, and no rule's score depends on how it treats
    normalisation statistics.

    Args:
        n_classes: units of the linear readout.
        input_shape: ``(channels, height, width)``.
        channels: of each convolution; each halves height and width.
        hidden: units of each fully connected layer.
        activation: a key of ``ACTIVATIONS``.
        inhibitory: fraction of inhibitory hidden units, which puts the network under Dale's law; 0 leaves signs free.
        seed: of the initial weights.
    """
    layers: dict[str, Layer] = {}
    shape = tuple(input_shape)
    for number, width in enumerate(channels, 1):
        layers[f"conv{number}"] = layer = Conv(shape, width, _known(activation))
        shape = layer.out_shape
    spec = {"architecture": "convnet", "n_classes": n_classes, "input_shape": list(input_shape)}
    spec |= {"channels": list(channels), "hidden": list(hidden), "activation": activation, "seed": seed}
    spec |= {"inhibitory": inhibitory} if inhibitory else {}
    return _finish(layers, shape, hidden, n_classes, activation, spec)


def kell2018(
    n_classes: int = 10,
    *,
    input_shape: Sequence[int] = (1, 50, 400),
    width: float = 1.0,
    activation: str = "relu",
    inhibitory: float = 0.0,
    seed: int = 0,
) -> LayeredNet:
    """The convolutions of the auditory network of Kell et al. 2018 (Neuron 98:630), in one pathway; whole it wants a GPU.

    Five convolutions (96, 256, 512, 1024 and 512 channels; kernels of 9, 5, 3, 3 and 3) and 1024 hidden units. Where theirs
    pools after a convolution here the convolution's stride is that much longer (Springenberg et al. 2015, arXiv:1412.6806),
    and there is no local response normalisation, so that every rule can train it. Theirs sees cochleagrams of 256 x 256 and
    splits into a pathway for words and one for genres after the third convolution.

    Args:
        width: of every layer, times theirs; the other arguments are those of ``convnet``.
    """
    layers: dict[str, Layer] = {}
    shape = tuple(input_shape)
    for number, (channels, kernel, stride) in enumerate(_KELL, 1):
        units = max(round(width * channels), 1)
        conv = Conv(shape, units, _known(activation), kernel=kernel, stride=stride, padding=kernel // 2)
        layers[f"conv{number}"], shape = conv, conv.out_shape
    spec = {"architecture": "kell2018", "n_classes": n_classes, "input_shape": list(input_shape), "width": width}
    spec |= {"activation": activation, "seed": seed}
    spec |= {"inhibitory": inhibitory} if inhibitory else {}
    return _finish(layers, shape, (max(round(width * 1024), 1),), n_classes, activation, spec)


def mlp(
    n_classes: int = 10,
    *,
    input_shape: Sequence[int] = (784,),
    hidden: Sequence[int] = (500, 500),
    activation: str = "relu",
    inhibitory: float = 0.0,
    seed: int = 0,
) -> LayeredNet:
    """Fully connected layers and a linear readout; the arguments are those of ``convnet``."""
    spec = {"architecture": "mlp", "n_classes": n_classes, "input_shape": list(input_shape)}
    spec |= {"hidden": list(hidden), "activation": activation, "seed": seed}
    spec |= {"inhibitory": inhibitory} if inhibitory else {}
    return _finish({}, tuple(input_shape), hidden, n_classes, activation, spec)


def _finish(
    layers: dict[str, Layer],
    shape: tuple[int, ...],
    hidden: Sequence[int],
    n_classes: int,
    activation: str,
    spec: dict[str, Any],
) -> LayeredNet:
    for number, units in enumerate(hidden, 1):
        layers[f"fc{number}"] = Linear(shape, units, _known(activation))
        shape = (units,)
    layers["readout"] = Linear(shape, n_classes, "identity")
    generator = torch.Generator().manual_seed(spec["seed"])
    for name, layer in layers.items():
        layer.initialise(generator, READOUT_SCALE if name == "readout" else 1.0)
    if "inhibitory" not in spec:
        return LayeredNet(layers, spec)
    dale = Dale(spec["inhibitory"])
    dale.impose(layers)
    return LayeredNet(layers, spec, dale)


def _known(activation: str) -> str:
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    return activation


ARCHITECTURES: dict[str, Callable[..., LayeredNet]] = {"convnet": convnet, "kell2018": kell2018, "mlp": mlp}


def build(spec: Mapping[str, Any]) -> LayeredNet:
    """The network that ``spec`` (a ``LayeredNet.spec``) describes, with its initial weights.

    Raises:
        InputError: an unknown architecture, or an argument that it does not take.
    """
    arguments = dict(spec)
    name = arguments.pop("architecture", "")
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, ARCHITECTURES)
    try:
        return ARCHITECTURES[name](**arguments)
    except TypeError as error:
        raise InputError(f"architecture {name!r} cannot be built from {arguments}: {error}") from error
