"""Feedback weights that come to resemble the forward ones without seeing them (Akrout et al. 2019, arXiv:1904.05391)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs
from neurocompare.rules.vector_feedback import FeedbackAlignment, Path, VectorFeedback


class KolenPollack(FeedbackAlignment):
    """Kolen-Pollack: forward and feedback weights get the same step and the same decay, so their difference dies out.

    Kolen & Pollack 1994; Akrout et al. 2019, sect. 4. As feedback alignment, and after each step ``B^T`` moves by what
    the optimizer (and any constraint) moved ``W`` by, then both lose a fraction ``decay``: ``|W - B^T|`` shrinks by
    ``1 - decay`` whatever the gradients. Local: both synapses see the same two units.

    Args:
        decay: lost by both after each step.
    """

    name = "kolen_pollack"
    short = "KP"
    family = "vector feedback"
    learning_rate = 1e-3
    reference = "Kolen & Pollack 1994; Akrout et al. 2019, arXiv:1904.05391"
    needs = Needs(applied_step=True)

    def __init__(self, *, decay: float = 1e-3) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"kolen_pollack needs a decay from 0 to below 1, but got {decay}")
        self.decay = decay

    def followed(self, net: nn.Module) -> dict[str, nn.Parameter]:
        """The weights that have feedback weights beside them."""
        return {name: net.get_parameter(f"{_layer(name)}.weight") for name, _ in self.named_buffers()}

    @torch.no_grad()
    def after_step(self, net: nn.Module, applied: Mapping[str, Tensor]) -> None:
        feedback = list(self.buffers())
        torch._foreach_add_(feedback, list(applied.values()))
        torch._foreach_mul_([*feedback, *self.followed(net).values()], 1 - self.decay)


class WeightMirror(VectorFeedback):
    """Weight mirror: in a noise phase each layer is driven by white noise, and ``B`` learns from what comes out.

    Akrout et al. 2019, sect. 3: for zero-mean noise x of variance s^2 the mean of ``x y^T`` with ``y = f(W x + b)``,
    centred, is ``s^2 W^T diag(E f')``. ``B`` is a parameter with the gradient ``s^2 B - y x^T``, whose first term keeps
    its growth in check: B settles at the mirrored weights. Two phases per step, the noise phase and backprop's two with B;
    local but for the centring of y.

    Args:
        noise_scale: s.
        samples: of noise in each step.
    """

    name = "weight_mirror"
    short = "WM"
    family = "vector feedback"
    learning_rate = 1e-3
    reference = "Akrout, Wilson, Humphreys, Lillicrap & Tweed 2019, arXiv:1904.05391"

    def __init__(self, *, noise_scale: float = 1.0, samples: int = 64) -> None:
        super().__init__()
        if not noise_scale > 0 or samples < 2:
            raise InputError(
                f"weight_mirror needs noise_scale > 0 and samples > 1, but got {noise_scale} and {samples}"
            )
        self.noise_scale, self.samples = noise_scale, samples

    def prepare(self, paths: Mapping[str, Path], generator: torch.Generator) -> None:
        for name, path in paths.items():
            self.register_parameter(f"feedback_{name}", nn.Parameter(path.draw(generator)))

    def carriers(self, weights: Mapping[str, Tensor], generator: torch.Generator | None) -> Mapping[str, Tensor]:
        return {name: self.get_parameter(f"feedback_{name}").detach() for name in weights}

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        credit = super().assign_credit(net, x, y, loss, generator)
        for name, parameter in self.named_parameters():
            layer = net.get_submodule(_layer(name))
            parameter.grad = self.noise_scale**2 * parameter - self.mirrored(layer, generator)
        return credit

    def mirrored(self, layer: nn.Module, generator: torch.Generator | None) -> Tensor:
        """Mean over samples of ``y x^T``, in the weight's shape; a convolution sees patches the size of its kernel."""
        weight, bias = layer.get_parameter("weight").detach(), layer._parameters["bias"]
        shape = (self.samples, math.prod(weight.shape[1:]))
        x = self.noise_scale * torch.randn(shape, generator=generator, device=weight.device, dtype=weight.dtype)
        y = functional.linear(x, weight.flatten(1), bias)
        y = layer.activate(y) if isinstance(layer, Layer) else y
        return ((y - y.mean(0)).T @ x / (self.samples - 1)).view_as(weight)


def _layer(name: str) -> str:
    """The layer that feedback weights of this name belong to."""
    return name.removeprefix("feedback_").replace("/", ".")
