"""Small problems that many tests share: tiny networks in float64, batches, tasks, and simulated brain data."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from PIL import Image
from torch import Tensor

from neurocompare.assembly import rdm_assembly, response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.model import Model
from neurocompare.networks import LayeredNet, convnet, mlp
from neurocompare.rules import RULES, Rule
from neurocompare.stimuli import ImagePreprocess, StimulusSet

CLASSES = 3


def small_mlp(activation: str = "tanh", *, hidden: tuple[int, ...] = (6, 5), seed: int = 0) -> LayeredNet:
    """7 inputs, two hidden layers, 3 outputs, biases that are not zero; float64."""
    return _with_biases(mlp(CLASSES, input_shape=(7,), hidden=hidden, activation=activation, seed=seed))


def small_convnet(activation: str = "relu", *, seed: int = 0) -> LayeredNet:
    """Inputs of 2 x 9 x 8, two convolutions and one fully connected layer; sides odd and even; float64."""
    net = convnet(CLASSES, input_shape=(2, 9, 8), channels=(3, 4), hidden=(5,), activation=activation, seed=seed)
    return _with_biases(net)


def _with_biases(net: LayeredNet) -> LayeredNet:
    generator = torch.Generator().manual_seed(99)
    net = net.double()
    with torch.no_grad():
        for layer in net.layers.values():
            layer.bias.copy_(0.1 * torch.randn(layer.bias.shape, generator=generator))
    return net


NETS = {
    "mlp": small_mlp,
    "mlp_relu": functools.partial(small_mlp, "relu"),
    "mlp_sigmoid": functools.partial(small_mlp, "sigmoid"),
    "convnet": small_convnet,
    "convnet_tanh": functools.partial(small_convnet, "tanh"),
}


def activation_of(rule: type[Rule], preferred: str) -> str:
    """The preferred activation where the rule is defined for it, else the rule's own first."""
    return preferred if preferred in rule.needs.activations else rule.needs.activations[0]


def net_for(name: str, kind: str) -> LayeredNet:
    """A small ``"mlp"`` or ``"convnet"`` that the rule is defined for; tanh and relu where it can be."""
    make, preferred = {"mlp": (small_mlp, "tanh"), "convnet": (small_convnet, "relu")}[kind]
    return make(activation_of(RULES[name], preferred))


def kinds(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each rule with each kind of network that it is defined for."""
    return [(n, kind) for n in names for kind in ("mlp", "convnet") if kind == "mlp" or RULES[n].needs.convolutions]


def batch(net: LayeredNet, n: int = 5, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``n`` Gaussian inputs in the network's shape and dtype, and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *net.in_shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(net.n_outputs, (n,), generator=generator)
    return x.to(next(net.parameters())), labels


def exclusive_or(n: int = 200, *, seed: int = 0, inputs: int = 2) -> tuple[Tensor, Tensor]:
    """Points of a square with side 2, labelled by whether their coordinates have the same sign: not linear at all.

    With more inputs the square lies in them at random, with the same mean square per input.
    """
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1
    y = (x[:, 0] * x[:, 1] > 0).long()
    if inputs > 2:
        axes, _ = torch.linalg.qr(torch.randn(inputs, 2, generator=generator, dtype=torch.float64))
        x = (inputs / 2) ** 0.5 * x @ axes.T
    return x, y


@functools.cache
def images(n: int = 24, side: int = 10, *, seed: int = 0) -> StimulusSet:
    """Random colour images with the ids ``s000``, ``s001``, ...; kept in memory."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    content = {f"s{i:03d}": Image.fromarray(pixels[i]) for i in range(n)}
    return StimulusSet("random images", tuple(content), content.__getitem__)


def preprocess(side: int = 10) -> ImagePreprocess:
    """To the pixels of ``images``, normalised."""
    return ImagePreprocess(side, side, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def image_model(side: int = 10, *, seed: int = 0) -> Model:
    """An untrained convnet that takes ``images``."""
    net = convnet(CLASSES, input_shape=(3, side, side), channels=(4, 6), hidden=(8,), seed=seed)
    return Model("toy", net, tuple(net.layers), preprocess(side), seed=seed)


@dataclass(frozen=True)
class AsSound(ImagePreprocess):
    """To pixels, columns as if they were the frames of a sound of .3 s: for metrics over time."""

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "seconds": 0.3}


def timed_model() -> Model:
    """``image_model``, which takes images as if they were sounds."""
    model = image_model()
    return Model(model.name, model.net, model.layers, AsSound(**asdict(preprocess())), seed=model.seed)


def responses(
    n: int = 40, neuroids: int = 6, repetitions: int = 2, *, noise: float = 0.5, seed: int = 0
) -> xr.DataArray:
    """Gaussian tuning with noise for each presentation, to stimuli named as those of ``images``."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n, neuroids))
    values = np.concatenate([signal + noise * rng.standard_normal(signal.shape) for _ in range(repetitions)])
    return response_assembly(
        values,
        [f"s{i:03d}" for i in range(n)] * repetitions,
        repetitions=np.repeat(np.arange(repetitions), n).tolist(),
        neuroid_ids=[f"n{i}" for i in range(neuroids)],
        region="area",
        subjects="one",
        units="spikes",
    )


def rdms(n: int = 40, subjects: int = 4, *, noise: float = 1.0, levels: int = 0, seed: int = 0) -> xr.DataArray:
    """RDMs that share a part, of subjects ``A``, ``B``, ...; rounded to ``levels`` values, so tied, where given."""
    rng = np.random.default_rng(seed)
    pairs = n * (n - 1) // 2
    values = rng.random(pairs) + noise * rng.random((subjects, pairs))
    if levels:
        values = np.ceil(levels * values / values.max())
    ids = [f"s{i:03d}" for i in range(n)]
    return rdm_assembly(values, ids, subjects=[chr(ord("A") + i) for i in range(subjects)], measure="simulated")


def responses_for(metric: str, n: int = 40, repetitions: int = 2) -> xr.DataArray:
    """Responses that the metric takes: with labels, or with the splits that come with the data, where it uses those."""
    data = responses(n, 6, repetitions)
    if metric.startswith(("decoding", "kernel_analysis")):
        labels = map(str, data.values[:n, :4].argmax(1))  # which of four neuroids responds most
        return with_stimulus_coord(data, "label", dict(zip(data["stimulus_id"].values[:n], labels, strict=True)))
    if metric == "strf":
        data = over_time(data)
    elif metric != "cadieu2014":
        return data
    rows = np.arange(data.sizes["presentation"]) % n  # stimuli come in the same order in each repetition
    return data.assign_coords({f"train_{k}": ("presentation", rows % 5 != k) for k in range(3)})


def over_time(data: xr.DataArray) -> xr.DataArray:
    """Six neuroids' responses as what two features do in three frames of .1 s, and neuroids that follow them.

    The first three follow the first feature and the others the second, 2, 3 or 4 bins of 25 ms later.
    """
    frames = np.repeat(data.values.reshape(-1, 2, 3), 4, axis=2)  # (presentations, features, bins)
    bins = np.arange(12)
    followed = [frames[:, k // 3, np.maximum(bins - 2 - k % 3, 0)] for k in range(6)]
    return response_assembly(
        np.stack(followed, axis=1),
        data["stimulus_id"].values.tolist(),
        repetitions=data["repetition"].values.tolist(),
        neuroid_ids=data["neuroid_id"].values.tolist(),
        region="area",
        subjects="one",
        units="spikes",
        time_bins=0.025 * np.column_stack([bins, bins + 1]),
    )


def benchmark(data: xr.DataArray, metric: str, n: int = 40) -> Benchmark:
    """Data over the ``images``."""
    return Benchmark("simulated.area", data, images(n), metric, "nobody", "none")


@functools.cache
def dataset(n: int = 120, *, seed: int = 0) -> Dataset:
    """Images of 3 x 6 x 6 in which one channel is brighter: that channel is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, 2 * n)
    pixels = rng.integers(0, 200, (2 * n, 3, 6, 6))
    pixels[np.arange(2 * n), labels] += 55
    pixels = pixels.astype(np.uint8)
    train, test = Split(pixels[:n], labels[:n]), Split(pixels[n:], labels[n:])
    return image_dataset("channels", train, test, ("red", "green", "blue"), citation="nobody", licence="none")
