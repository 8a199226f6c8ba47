"""Rules in which nothing comes back: what fires together wires together, with a term that keeps weights within bounds.

Hidden layers learn from their own input and output, one beside the other; only the readout sees labels (delta rule).

- Oja 1982, J. Math. Biol. 15:267: one unit finds the first principal component.
- Sanger 1989, Neural Netw. 2:459, eq. 4: several units find the first ones, in order.
- SoftHebb (Moraitis et al. 2022, Neuromorph. Comput. Eng. 2:044017; for convolutions Journé et al. 2023,
  arXiv:2209.11883): units compete through a softmax and find the causes of their input.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule, output_delta

# What a variant does with a layer: (layer, x, y, units by positions) -> descent directions of weight and bias.
Update = tuple[Tensor, Tensor]


class Hebbian(Rule):
    """Hebbian learning of hidden layers, ``g = -(y x^T - decay)``, and the delta rule in the readout.

    One forward phase, strictly local: each synapse sees its input x, its unit's output y, and its own weight (under Sanger's
    rule those of the units before it, under the softmax how active all units of its layer are). Positions of a
    convolution count as so many samples.

    - ``"plain"``: ``g = -y x^T``, ``y = f(a)``; weights grow without end.
    - ``"oja"``: ``g = -(y x^T - diag(y^2) W)``, ``y = a`` less its mean, which biases take away in time; weights turn to the
      covariance's first component.
    - ``"sanger"``: ``g = -(y x^T - tril(y y^T) W)``, likewise, the first components in order.
    - ``"soft_wta"``: ``g = -(y x^T - diag(y a) W)``, ``y = softmax(a / temperature)`` over the layer's units (at each
      position), biases as above.

    Args:
        variant: one of these.
        temperature: of the softmax.
    """

    name = "hebbian"
    short = "Hebb"
    family = "no feedback"
    feedback = "none"
    learning_rate = 3e-4
    reference = "Moraitis et al. 2022, Neuromorph. Comput. Eng. 2:044017"
    needs = Needs(labels=False)

    def __init__(self, *, variant: str = "soft_wta", temperature: float = 0.3) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("variant of hebbian", variant, VARIANTS)
        if not temperature > 0:
            raise InputError(f"hebbian needs a temperature above 0, but got {temperature}")
        self.variant, self.temperature = variant, temperature

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        *hidden, last = net.layers.values()
        update = VARIANTS[self.variant]
        for layer, h, a in zip(hidden, trace.inputs, trace.preactivations, strict=False):
            samples = a[:, :1].numel()  # items times positions
            weight, bias = update(self, layer, h, a)
            layer.weight.grad, layer.bias.grad = weight / samples, bias / samples
        last.weight.grad, last.bias.grad = last.gradients(trace.inputs[-1], output_delta(net, trace, y, loss))
        return Credit(loss(trace.output, y))

    def plain(self, layer: Layer, x: Tensor, a: Tensor) -> Update:
        """``-y x^T``; the bias is a weight from a unit that is always 1."""
        return layer.gradients(x, -layer.activate(a))

    def oja(self, layer: Layer, x: Tensor, a: Tensor) -> Update:
        """``-(y x^T - diag(y^2) W)``."""
        y = _centred(a)
        hebb, _ = layer.gradients(x, -y)
        power = _by_unit(y).square().sum(1)
        return hebb + power.view(-1, *[1] * (hebb.ndim - 1)) * layer.weight, _by_unit(a).sum(1)

    def sanger(self, layer: Layer, x: Tensor, a: Tensor) -> Update:
        """``-(y x^T - tril(y y^T) W)``."""
        y = _centred(a)
        hebb, _ = layer.gradients(x, -y)
        decay = torch.tril(_by_unit(y) @ _by_unit(y).T) @ layer.weight.flatten(1)
        return hebb + decay.view_as(hebb), _by_unit(a).sum(1)

    def soft_wta(self, layer: Layer, x: Tensor, a: Tensor) -> Update:
        """``-(y x^T - diag(y u) W)`` with the drive ``u = W x``."""
        y = torch.softmax(a / self.temperature, 1)
        hebb, _ = layer.gradients(x, -y)
        drive = _by_unit(a) - layer.bias[:, None]
        decay = (_by_unit(y) * drive).sum(1)
        return hebb + decay.view(-1, *[1] * (hebb.ndim - 1)) * layer.weight, _by_unit(a).sum(1)


def _by_unit(a: Tensor) -> Tensor:
    """``(units or channels, items times positions)``."""
    return a.transpose(0, 1).flatten(1)


def _centred(a: Tensor) -> Tensor:
    """Each unit's drive less its mean over the batch (and positions)."""
    return a - a.mean([0, *range(2, a.ndim)], keepdim=True)


VARIANTS: dict[str, Callable[[Hebbian, Layer, Tensor, Tensor], Update]] = {
    "plain": Hebbian.plain,
    "oja": Hebbian.oja,
    "sanger": Hebbian.sanger,
    "soft_wta": Hebbian.soft_wta,
}
