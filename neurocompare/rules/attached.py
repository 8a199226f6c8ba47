"""Feedback rules on any torch module: ResNets with their norms and residuals, not layered networks alone.

While a rule assigns credit, calls of ``linear`` and ``convNd`` whose weight is one of the module's are caught (by a
``TorchFunctionMode``; the module itself stays as it is) and their backward pass is given to the rule. Everything else,
normalisation and residual sums included, keeps its own exact derivative and its own training mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from neurocompare.losses import Loss

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_OPERATIONS = (functional.linear, functional.conv1d, functional.conv2d, functional.conv3d)
# (name of the layer, y = operation(x, weight), x, weight) -> y
Route = Callable[[str, Callable[[Tensor, Tensor], Tensor], Tensor, Tensor], Tensor]


def weighted_layers(module: nn.Module) -> dict[str, Tensor]:
    """The weights of linear and convolutional submodules by the submodule's name, ``.`` written as ``/``."""
    return {name.replace(".", "/"): m.weight for name, m in module.named_modules() if isinstance(m, WEIGHTED)}


class _Routing(TorchFunctionMode):
    """Hands each weighted operation to ``route``."""

    def __init__(self, weights: Mapping[str, Tensor], route: Route) -> None:
        super().__init__()
        self.names = {id(weight): name for name, weight in weights.items()}
        self.route = route

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _OPERATIONS:
            return func(*args, **kwargs)
        named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        h, weight, bias = named.pop("input"), named.pop("weight"), named.pop("bias", None)
        name = self.names.get(id(weight))
        if name is None:
            return func(*args, **kwargs)
        y = self.route(name, lambda x, w: func(x, w, None, *args[3:], **named), h, weight)
        return y if bias is None else y + bias.view(-1, *[1] * (y.ndim - 2))


def backward_through(net: nn.Module, x: Tensor, y: Tensor, loss: Loss, carriers: Mapping[str, Tensor]) -> Tensor:
    """Set ``.grad`` with each layer's input error travelling through its carrier in place of its weight.

    Weights and biases get the exact product of their input and what arrives at their output.
    """

    def route(name: str, operation: Callable[[Tensor, Tensor], Tensor], h: Tensor, weight: Tensor) -> Tensor:
        carrier = carriers[name]
        if carrier is weight or not h.requires_grad:
            return operation(h, weight)
        # Zero in value; its derivative with respect to h is the carrier's.
        path = operation(h, carrier.detach())
        return operation(h.detach(), weight) + (path - path.detach())

    return _backward(net, x, y, loss, carriers, route, lambda error: ([], []))


def backward_direct(net: nn.Module, x: Tensor, y: Tensor, loss: Loss, feedback: Mapping[str, Tensor]) -> Tensor:
    """Set ``.grad`` with each weighted layer's input receiving the output's error through its own matrix.

    What arrives there passes back through norms and nonlinearities as far as the weighted layers below, and along residual
    identity paths to the layers that feed them.

    Args:
        feedback: ``(units of the layer's input, outputs)`` by name; none for a layer that sees the input itself.
    """
    cuts: list[tuple[str, Tensor]] = []

    def route(name: str, operation: Callable[[Tensor, Tensor], Tensor], h: Tensor, weight: Tensor) -> Tensor:
        if h.requires_grad:
            cuts.append((name, h))
        return operation(h.detach(), weight)

    def injected(error: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return [h for _, h in cuts], [(error @ feedback[name].T).view_as(h) for name, h in cuts]

    return _backward(net, x, y, loss, weighted_layers(net), route, injected)


def _backward(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    names: Mapping[str, Tensor],
    route: Route,
    injected: Callable[[Tensor], tuple[list[Tensor], list[Tensor]]],
) -> Tensor:
    weights = weighted_layers(net)
    net.zero_grad()
    with torch.enable_grad(), _Routing({name: weights[name] for name in names}, route):
        output = net(x)
    error = loss.error(output.detach(), y) / len(x)
    roots, signals = injected(error)
    torch.autograd.backward([output, *roots], [error, *signals])
    return loss(output.detach(), y)


def input_sizes(net: nn.Module, example: Tensor) -> dict[str, int]:
    """How many units each weighted layer's input has, for one sample like ``example``'s; the net's mode is restored."""
    sizes: dict[str, int] = {}

    def route(name: str, operation: Callable[[Tensor, Tensor], Tensor], h: Tensor, weight: Tensor) -> Tensor:
        sizes[name] = h[0].numel()
        return operation(h, weight)

    training = {module: module.training for module in net.modules()}
    net.eval()
    with torch.no_grad(), _Routing(weighted_layers(net), route):
        net(example)
    for module, mode in training.items():
        module.training = mode
    return sizes
