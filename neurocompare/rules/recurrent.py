"""What the rules that settle in a network with feedback have in common: gains, inference, and the form of their gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Rule
from neurocompare.rules.recurrent_dynamics import Dynamics, Rest, loop_norm
from neurocompare.rules.settling import State


class Recurrent(Rule):
    """What the rules have in common.

    With ``normalised`` gains, ``gamma_l = feedback_gain / max(1, |W_l|^2)`` (spectral norm, by power iteration from the
    present weights): weights grow while they learn, and a constant gain at which relu units settle at first soon makes
    their activity run away.

    Args:
        feedback_gain: of the loop from a layer up and back; below 1/4, relu units settle at any depth.
        normalised: divide by the squared norm of the weights where it is above 1; otherwise ``gamma_l = feedback_gain``.
        free_sweeps: of the free phase, at most.
        tolerance: the free phase ends once no unit of the batch moves by more than this; 0 takes all sweeps, so that a
            sample's result does not depend on the others.
    """

    family = "differences in time"
    feedback = "vector"

    def __init__(
        self, *, feedback_gain: float, normalised: bool, free_sweeps: int, tolerance: float, second_sweeps: int
    ) -> None:
        super().__init__()
        if not 0 < feedback_gain <= 1:
            raise InputError(f"{self.name} needs a feedback gain in (0, 1], but got {feedback_gain}")
        if free_sweeps < 1 or second_sweeps < 1:
            raise InputError(f"{self.name} needs sweeps >= 1, but got {free_sweeps} and {second_sweeps}")
        if not tolerance >= 0:
            raise InputError(f"{self.name} needs a tolerance of 0 or more, but got {tolerance}")
        self.feedback_gain, self.normalised = feedback_gain, normalised
        self.free_sweeps, self.tolerance, self.second_sweeps = free_sweeps, tolerance, second_sweeps

    def dynamics(self, net: LayeredNet) -> Dynamics:
        """Of the network with its present weights."""
        upper = list(net.layers.items())[1:]
        weights = [self.feedback_weight(name) for name, _ in upper]
        return Dynamics(net, [self._gain(layer, w) for (_, layer), w in zip(upper, weights, strict=True)], weights)

    def feedback_weight(self, layer: str) -> Tensor | None:
        """What carries activity down from ``layer``, in its weight's shape; None means the weight itself."""
        return None

    def free(self, dynamics: Dynamics, x: Tensor) -> Rest:
        """The free phase."""
        return dynamics.free(x, self.free_sweeps, self.tolerance)

    @torch.no_grad()
    def activities(self, net: LayeredNet, x: Tensor) -> dict[str, Tensor]:
        """Each layer at rest, the output free."""
        return dict(zip(net.layers, self.free(self.dynamics(net), x).state, strict=True))

    def _gain(self, layer: Layer, weight: Tensor | None) -> Tensor:
        gain = torch.full_like(layer.bias[0], self.feedback_gain)
        return gain / loop_norm(layer, weight).clamp(min=1) if self.normalised else gain


def fill_both_ways(
    dynamics: Dynamics, x: Tensor, activities: State, deltas: tuple[Tensor, ...], more: Sequence[Tensor] = ()
) -> None:
    """Set ``.grad`` to ``delta_l s_{l-1}^T + gamma_l s_l delta_{l-1}^T``: a weight serves on the way up and down.

    For the contrast of two phases, with ``s`` halfway between them and ``delta_l = -c_l (s_l+ - s_l-)``, this is
    ``-c_l (s_l+ s_{l-1}+^T - s_l- s_{l-1}-^T)``, written so that rounding does not swallow small differences.

    Args:
        dynamics: of the network.
        x: its input.
        activities: of each layer, ``s_l``.
        deltas: of each layer, divided by the batch size where the mean is meant.
        more: to be added for each weight but the first.
    """
    inputs = [x, *activities[:-1]]
    for number, layer in enumerate(dynamics.layers):
        layer.weight.grad, layer.bias.grad = layer.gradients(inputs[number], deltas[number])
        if number:
            sent_down = dynamics.gains[number - 1] * deltas[number - 1]
            layer.weight.grad += layer.gradients(sent_down, activities[number])[0]
            if more:
                layer.weight.grad += more[number - 1]
