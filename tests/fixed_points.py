"""Fixed points of networks with feedback by plain synchronous iteration, and derivatives through them, for oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from oracles import TORCH_ACTIVATIONS, plain_loss
from torch import Tensor
from torch.nn import functional

from neurocompare.networks import Conv, LayeredNet
from neurocompare.networks.layers import Layer

Output = Callable[[Tensor, Tensor], Tensor]  # from what the readout receives and its activity to its next activity


def up(layer: Layer, s: Tensor) -> Tensor:
    """``W s + b``, also of complex activity."""
    if isinstance(layer, Conv):
        return functional.conv2d(s, layer.weight, layer.bias, stride=2, padding=1)
    return functional.linear(s.reshape(len(s), -1), layer.weight.to(s.dtype), layer.bias.to(s.dtype))


def down(layer: Layer, s: Tensor, weight: Tensor | None = None) -> Tensor:
    """``W^T s``, or ``weight^T s``."""
    weight = (layer.weight if weight is None else weight).to(s.dtype)
    if not isinstance(layer, Conv):
        return (s @ weight).reshape(len(s), *layer.in_shape)
    lost = [side - (2 * out - 1) for side, out in zip(layer.in_shape[1:], layer.out_shape[1:], strict=True)]
    return functional.conv_transpose2d(s, weight, stride=2, padding=1, output_padding=lost)


def synchronous(
    net: LayeredNet,
    x: Tensor,
    state: list[Tensor],
    gains: Sequence[Tensor | float],
    output: Output | None = None,
    feedback: Sequence[Tensor | None] | None = None,
) -> list[Tensor]:
    """All layers updated at once from what the others were; ``gains`` and ``feedback`` from the second layer up."""
    layers, below = list(net.layers.values()), [x, *state[:-1]]
    new = []
    for number, layer in enumerate(layers):
        a = up(layer, below[number])
        if number + 1 < len(layers):
            weight = feedback[number] if feedback else None
            a = a + gains[number] * down(layers[number + 1], state[number + 1], weight)
        new.append(TORCH_ACTIVATIONS[layer.activation.name](a))
    if output is not None:
        new[-1] = output(new[-1], state[-1])
    return new


def fixed_point(
    net: LayeredNet,
    x: Tensor,
    gains: Sequence[Tensor | float],
    output: Output | None = None,
    feedback: Sequence[Tensor | None] | None = None,
    steps: int = 300,
) -> list[Tensor]:
    """From zero; with grad enabled autograd can go back through every step."""
    state = [x.new_zeros(len(x), *layer.out_shape) for layer in net.layers.values()]
    for _ in range(steps):
        state = synchronous(net, x, state, gains, output, feedback)
    return state


def through_time(
    net: LayeredNet, x: Tensor, y: Tensor, loss: str, gains: Sequence[Tensor | float], steps: int = 300
) -> dict[str, Tensor]:
    """Derivatives of the mean loss at the fixed point, by autograd through all steps."""
    parameters = dict(net.named_parameters())
    output = fixed_point(net, x, gains, steps=steps)[-1]
    found = torch.autograd.grad(plain_loss(loss, output, y), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def implicit(net: LayeredNet, x: Tensor, y: Tensor, loss: str, gains: Sequence[Tensor | float]) -> dict[str, Tensor]:
    """The same by the implicit function theorem: ``dC/dw = dC/ds (1 - dF/ds)^-1 dF/dw``, dense."""
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        rest = fixed_point(net, x, gains)
    sizes, shapes = [s.numel() for s in rest], [s.shape for s in rest]

    def split(flat: Tensor) -> list[Tensor]:
        return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]

    def update(flat: Tensor) -> Tensor:
        return torch.cat([s.flatten() for s in synchronous(net, x, split(flat), gains)])

    flat = torch.cat([s.flatten() for s in rest]).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(update, flat).detach()
    (pull,) = torch.autograd.grad(plain_loss(loss, split(flat)[-1], y), flat)
    z = torch.linalg.solve((torch.eye(len(flat), dtype=x.dtype) - jacobian).T, pull)
    found = torch.autograd.grad(update(flat.detach()), list(parameters.values()), grad_outputs=z)
    return dict(zip(parameters, found, strict=True))


def products(net: LayeredNet, inputs: list[Tensor], deltas: list[Tensor]) -> dict[str, Tensor]:
    """``sum over samples of delta_l input_l^T`` and of ``delta_l``, by autograd of ``delta . (W input + b)``."""
    parameters = dict(net.named_parameters())
    total = sum((d * up(layer, s)).sum() for layer, s, d in zip(net.layers.values(), inputs, deltas, strict=True))
    return dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Of all parameters taken as one vector."""
    a, b = (torch.cat([gradient.flatten() for gradient in g.values()]) for g in (found, expected))
    return float((a - b).norm() / b.norm())


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of ``log y`` over ``log x``, by least squares."""
    u, v = (torch.tensor(values, dtype=torch.float64).log() for values in (x, y))
    return float(((u - u.mean()) * (v - v.mean())).sum() / (u - u.mean()).square().sum())
