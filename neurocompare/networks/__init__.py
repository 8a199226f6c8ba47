"""Layered networks: explicit layers, and the architectures made of them."""

from neurocompare.networks.activations import ACTIVATIONS
from neurocompare.networks.architectures import ARCHITECTURES, build, convnet, kell2018, mlp
from neurocompare.networks.constraints import Dale
from neurocompare.networks.layers import Conv, Layer, LayeredNet, Linear, Trace

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "Conv",
    "Dale",
    "Layer",
    "LayeredNet",
    "Linear",
    "Trace",
    "build",
    "convnet",
    "kell2018",
    "mlp",
]
