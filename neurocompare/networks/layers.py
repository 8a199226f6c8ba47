"""Networks whose layers are open to any learning rule.

A layer is ``h = f(a)``, ``a = W x + b``, split at the pre-activation ``a``. It offers the forward pieces and the local
derivatives (``activate_vjp``, ``transpose``, ``gradients``) that credit-assignment rules are written in; replacing the
weight in ``transpose`` is all that feedback alignment needs, for linear and convolutional layers alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.networks.activations import ACTIVATIONS

Shape = tuple[int, ...]


class Layer(nn.Module):
    """One layer; ``Linear`` and ``Conv`` say what ``W x`` means.

    Attributes:
        in_shape, out_shape: of one sample, without the batch.
        weight: post x pre (``(out, in)``, or ``(out, in, height, width)`` for a convolution).
        bias: ``(out,)``.
    """

    def __init__(self, in_shape: Shape, out_shape: Shape, weight_shape: Shape, activation: str) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        self.activation = ACTIVATIONS[activation]
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.bias = nn.Parameter(torch.zeros(weight_shape[0]))

    def initialise(self, generator: torch.Generator, scale: float = 1.0) -> None:
        """Draw weights from ``N(0, gain^2 / fan_in)`` (He et al. 2015, eq. 10), times ``scale``; biases are zero."""
        with torch.no_grad():
            self.weight.copy_(scale * self.random_weight(generator))
            self.bias.zero_()

    def random_weight(self, generator: torch.Generator) -> Tensor:
        """A new ``N(0, gain^2 / fan_in)`` tensor of the weight's shape; random feedback weights are drawn this way."""
        noise = torch.randn(self.weight.shape, generator=generator, device=generator.device)
        return (noise * self.scale).to(self.weight)

    @property
    def scale(self) -> float:
        """``gain / sqrt(fan_in)``, the standard deviation of initial weights."""
        return self.activation.gain / math.prod(self.weight.shape[1:]) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """``f(W x + b)``."""
        return self.activate(self.affine(x))

    def affine(self, x: Tensor, *, bias: bool = True) -> Tensor:
        """The pre-activation ``a = W x + b``, or ``W x``, ``(B, *out_shape)``."""
        raise TypeError("Layer is a base: use Linear or Conv")

    def activate(self, a: Tensor) -> Tensor:
        """``h = f(a)``."""
        return self.activation.apply(a)

    def activate_vjp(self, a: Tensor, grad: Tensor) -> Tensor:
        """A derivative with respect to ``h``, carried to ``a``."""
        return self.activation.vjp(a, grad)

    def transpose(self, delta: Tensor, weight: Tensor | None = None) -> Tensor:
        """A derivative with respect to ``a``, carried to the layer's input: ``W^T delta``.

        Args:
            delta: ``(B, *out_shape)``.
            weight: used in place of ``W``, in ``W``'s shape (so feedback ``B`` is stored as ``B^T``).
        Returns:
            ``(B, *in_shape)``.
        """
        raise TypeError("Layer is a base: use Linear or Conv")

    def gradients(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """``delta x^T`` and ``delta``, summed over the batch (and over positions): for weight and bias."""
        raise TypeError("Layer is a base: use Linear or Conv")


class Linear(Layer):
    """Fully connected; flattens its input, so it may follow a convolution."""

    def __init__(self, in_shape: Shape, units: int, activation: str) -> None:
        super().__init__(in_shape, (units,), (units, math.prod(in_shape)), activation)

    def affine(self, x: Tensor, *, bias: bool = True) -> Tensor:
        return functional.linear(x.flatten(1), self.weight, self.bias if bias else None)

    def transpose(self, delta: Tensor, weight: Tensor | None = None) -> Tensor:
        return (delta @ (self.weight if weight is None else weight)).unflatten(1, self.in_shape)

    def gradients(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        return delta.T @ x.flatten(1), delta.sum(0)


class Conv(Layer):
    """Two-dimensional convolution with a stride and zero padding."""

    def __init__(
        self, in_shape: Shape, channels: int, activation: str, *, kernel: int = 3, stride: int = 2, padding: int = 1
    ) -> None:
        self.stride, self.padding = stride, padding
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in in_shape[1:]]
        if min(sides) < 1:
            raise InputError(
                f"a {kernel} x {kernel} convolution needs an input of at least its size, but got {in_shape}; "
                "use fewer convolutions or larger images"
            )
        super().__init__(in_shape, (channels, *sides), (channels, in_shape[0], kernel, kernel), activation)

    def affine(self, x: Tensor, *, bias: bool = True) -> Tensor:
        return functional.conv2d(_channels_last(x), self.weight, self.bias if bias else None, self.stride, self.padding)

    def transpose(self, delta: Tensor, weight: Tensor | None = None) -> Tensor:
        # Only the shape and memory order of the input enter its own gradient, not its values.
        x = torch.empty(
            len(delta), *self.in_shape, dtype=delta.dtype, device=delta.device, memory_format=torch.channels_last
        )
        weight = self.weight if weight is None else weight
        return self._backward(x, delta, weight, (True, False, False))[0]

    def gradients(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        _, weight, bias = self._backward(x, delta, self.weight, (False, True, True))
        return weight, bias

    def _backward(
        self, x: Tensor, delta: Tensor, weight: Tensor, mask: tuple[bool, bool, bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        stride, padding = [self.stride] * 2, [self.padding] * 2
        return torch.ops.aten.convolution_backward(
            _channels_last(delta),
            _channels_last(x),
            weight,
            [len(weight)],
            stride,
            padding,
            [1, 1],
            False,
            [0, 0],
            1,
            mask,
        )


def _channels_last(x: Tensor) -> Tensor:
    """The memory order in which CPU and GPU convolutions run fastest: a strided step takes half the time."""
    return x.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Trace:
    """One forward pass, kept.

    Attributes:
        inputs: what each layer received, ``h_{l-1}``; the first is the network's input.
        preactivations: ``a_l`` of each layer.
        output: of the last layer.
    """

    inputs: list[Tensor]
    preactivations: list[Tensor]
    output: Tensor


class LayeredNet(nn.Module):
    """A chain of named layers.

    Attributes:
        spec: the architecture's name and arguments, from which ``architectures.build`` makes the same net.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        spec: Mapping[str, Any],
        constraint: Callable[[LayeredNet], None] | None = None,
    ) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.spec = dict(spec)
        self._constraint = constraint

    def constrain(self) -> None:
        """Project the weights onto what the network's constraint allows; called after each learning step."""
        if self._constraint is not None:
            self._constraint(self)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, first to last."""
        return cast("dict[str, Layer]", dict(self.named_children()))

    @property
    def in_shape(self) -> Shape:
        """Of one input."""
        return next(iter(self.layers.values())).in_shape

    @property
    def n_outputs(self) -> int:
        """The number of output units."""
        return math.prod(list(self.layers.values())[-1].out_shape)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, *in_shape) -> (B, n_outputs)``."""
        for layer in self.layers.values():
            x = layer(x)
        return x

    def trace(self, x: Tensor, noise: list[Tensor] | None = None) -> Trace:
        """A forward pass that keeps what each layer received and its pre-activation.

        Args:
            x: ``(B, *in_shape)``.
            noise: added to each layer's pre-activation, where given.
        """
        inputs, preactivations = [], []
        for index, layer in enumerate(self.layers.values()):
            inputs.append(x)
            a = layer.affine(x)
            if noise is not None:
                a = a + noise[index]
            preactivations.append(a)
            x = layer.activate(a)
        return Trace(inputs, preactivations, x)

    def activities(self, x: Tensor) -> dict[str, Tensor]:
        """Each layer's output ``h_l`` by name."""
        trace = self.trace(x)
        return dict(zip(self.layers, [*trace.inputs[1:], trace.output], strict=True))
