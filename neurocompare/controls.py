"""Controls: models that a claim about learning must be compared with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from neurocompare import baselines, modulation
from neurocompare.dataset import Dataset
from neurocompare.errors import InputError
from neurocompare.model import Given, Model
from neurocompare.networks import LayeredNet
from neurocompare.representation import Representation
from neurocompare.stimuli import Preprocess, StimulusSet


@dataclass(frozen=True)
class Control:
    """How a control is made.

    Attributes:
        name: its key in ``CONTROLS``.
        description: one line.
        make: ``(net, preprocess, seed) -> model``; does not change ``net``.
        trained_on: ``(dataset, seed) -> dataset``, what ``net`` must have been trained on under backprop; where None it
            has its initial weights.
        seeded: there is one for each seed of a study; otherwise there is one in all.
        of: the stimuli that it can look at, "image" or "sound"; None for those that do not look, or look at either.
    """

    name: str
    description: str
    make: Callable[[LayeredNet, Preprocess, int], Model | Given]
    trained_on: Callable[[Dataset, int], Dataset] | None = None
    seeded: bool = True
    of: str | None = None


def untrained(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model:
    """The network with its initial weights."""
    return Model("untrained", net, tuple(net.layers), preprocess, seed=seed)


def permuted_weights(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model:
    """A trained network whose weights are shuffled within each layer: same distribution, no structure."""
    shuffled = deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return Model("permuted_weights", shuffled, tuple(shuffled.layers), preprocess, seed=seed)


def shuffled_labels(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model:
    """A network trained as long and as hard as the others, on labels that say nothing about the images."""
    return Model("shuffled_labels", net, tuple(net.layers), preprocess, seed=seed)


def the_task(data: Dataset, seed: int) -> Dataset:
    """What the rules are trained on."""
    return data


def with_shuffled_labels(data: Dataset, seed: int) -> Dataset:
    """The same images and the same labels, in the training split each other's (Zhang et al. 2017, arXiv:1611.03530)."""
    labels = np.random.default_rng(seed).permutation(data.train.labels)
    return replace(data, name=f"{data.name}, labels shuffled", train=replace(data.train, labels=labels))


def pixels(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model:
    """The network's input itself."""
    return Model("pixels", nn.Sequential(OrderedDict(pixels=nn.Flatten())), ("pixels",), preprocess)


def cochleagram(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model:
    """The network's input itself, which of a sound has its time axis."""
    return modulation.cochleagram(preprocess)


def category(net: LayeredNet, preprocess: Preprocess, seed: int) -> Given:
    """What the stimuli are called, and nothing of how they look: all the labels that come with them."""

    def represent(stimuli: StimulusSet) -> dict[str, Representation]:
        if not len(stimuli.table.columns):
            raise InputError(
                f"the stimuli of {stimuli.name!r} come without labels, so there is no model of their labels"
            )
        return baselines.category_labels(tuple(map(str, stimuli.table.columns)), "labels").represent(stimuli)

    return Given("category", represent)


def _baseline(name: str, description: str, *, of: str = "image", seeded: bool = False) -> Control:
    """A baseline that looks at stimuli alone."""

    def make(net: LayeredNet, preprocess: Preprocess, seed: int) -> Model | Given:
        return baselines.BASELINES[name](**({"seed": seed} if seeded else {}))

    return Control(name, description, make, seeded=seeded, of=of)


def controls_of(modality: str) -> tuple[str, ...]:
    """The controls for studies of modality ``"image"`` or ``"sound"``."""
    return tuple(name for name, control in CONTROLS.items() if control.of in (None, modality))


CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        Control("untrained", "the network with its initial weights", untrained),
        Control("permuted_weights", "backprop's weights, shuffled within layers", permuted_weights, the_task),
        Control("shuffled_labels", "backprop on labels shuffled over images", shuffled_labels, with_shuffled_labels),
        Control("pixels", "the network's input", pixels, seeded=False, of="image"),
        Control("cochleagram", "the network's input", cochleagram, seeded=False, of="sound"),
        _baseline("luminance", "mean luminance of an image, one number"),
        _baseline("silhouette", "outline of the object, where there is one on an even background"),
        _baseline("gabor_v1", "simple and complex cells: a bank of Gabor filters, normalised"),
        _baseline("hmax_c2", "HMAX: maxima over Gabor filters and over stored patches"),
        _baseline("cochleagram_mean", "mean of each frequency band over time", of="sound"),
        _baseline("spectrotemporal", "power in a bank of spectrotemporal modulation filters", of="sound"),
        _baseline("random_filters", "three stages of random filters, rectified and pooled", seeded=True),
        Control("category", "the stimuli's labels", category, seeded=False),
    )
}
