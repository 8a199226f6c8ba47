"""Learnt approximate inverses of layers, which carry targets down (Bengio 2014, arXiv:1407.7906)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurocompare.networks.layers import Layer


class Inverse(nn.Module):
    """``V^T h + c``, to which the activation of the layer below may be applied.

    The layer is passed to each call, not kept: it is the network's.

    Attributes:
        weight: V, in the shape of the layer's weight (with more rows, where more than the layer's output is read).
        bias: c, one for each unit or channel of the layer below; or none.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, layer: Layer, h: Tensor) -> Tensor:
        """``V^T h + c``, ``(B, *layer.in_shape)``."""
        back = layer.transpose(h, self.weight)
        return back if self.bias is None else back + self.bias.view(-1, *[1] * (back.ndim - 2))

    def fill_gradients(self, layer: Layer, h: Tensor, delta: Tensor) -> None:
        """Set ``.grad``; ``delta`` is a derivative with respect to ``V^T h + c``."""
        self.weight.grad, _ = layer.gradients(delta, h)
        if self.bias is not None:
            self.bias.grad = delta.sum([0, *range(2, delta.ndim)])


def draw(layer: Layer, below: Layer, generator: torch.Generator, *, more: int = 0, bias: bool = True) -> Inverse:
    """An inverse with weights drawn as the layer's were, and ``more`` further rows."""
    weight = torch.cat([layer.random_weight(generator) for _ in range(1 + -(-more // len(layer.weight)))])
    return Inverse(weight[: len(layer.weight) + more], torch.zeros_like(below.bias) if bias else None)
