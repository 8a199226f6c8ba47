"""Nonlinearities with their own vector-Jacobian products, so that no rule needs autograd to see one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """A nonlinearity ``h = f(a)``.

    Attributes:
        name: its key in ``ACTIVATIONS``.
        apply: ``a -> f(a)``.
        vjp: ``(a, grad_h) -> grad_a``, for an elementwise ``f`` that is ``grad_h * f'(a)``.
        gain: the factor on ``1 / sqrt(fan_in)`` that keeps the second moment of activity across layers.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    vjp: Callable[[Tensor, Tensor], Tensor]
    gain: float


def _relu_vjp(a: Tensor, grad: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(grad, a, 0)


def _tanh_vjp(a: Tensor, grad: Tensor) -> Tensor:
    return grad * (1 - torch.tanh(a).square())


def _sigmoid_vjp(a: Tensor, grad: Tensor) -> Tensor:
    h = torch.sigmoid(a)
    return grad * h * (1 - h)


def _identity_vjp(a: Tensor, grad: Tensor) -> Tensor:
    return grad


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("relu", torch.relu, _relu_vjp, gain=2**0.5),
        Activation("tanh", torch.tanh, _tanh_vjp, gain=5 / 3),
        Activation("sigmoid", torch.sigmoid, _sigmoid_vjp, gain=1.0),
        Activation("identity", lambda a: a, _identity_vjp, gain=1.0),
    )
}
