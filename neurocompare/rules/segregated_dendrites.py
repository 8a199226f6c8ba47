"""Segregated dendrites: what comes from below and what comes from the output arrive at different parts of a cell.

Guerguiev, Lillicrap & Richards 2017, eLife 6:e22901. Basal dendrites drive the cell; apical ones hear the output and make
a plateau potential, whose change once the output is pushed to its target teaches the basal synapses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Rule, fill_gradients, output_delta, to_units

STEEPEST = 0.25  # of the sigmoid: its derivative at zero


class SegregatedDendrites(Rule):
    """Segregated dendrites, in rates, without spikes: ``delta_l = -k (alpha_t - alpha_f) . f'(a_l)``.

    Guerguiev, Lillicrap & Richards 2017. Two phases, forward and target; plateaus ``alpha = sigmoid(Y_l o)`` at the end of
    each. The output's rate ``o`` is at first what the network predicts (probabilities under the cross-entropy), then
    moved to the label by ``nudge``: ``o_t = o_f - nudge e``. ``Y_l`` is fixed, random, ``N(0, 1 / outputs)``, straight from
    the output to every unit. ``k = 4 / nudge`` makes it direct feedback alignment where plateaus are far from saturation.
    Local: a synapse sees its input, its cell's basal potential and two plateaus, the first one remembered.

    Args:
        nudge: how far the output goes to its target, 1 for all the way.
    """

    name = "segregated_dendrites"
    short = "SegDend"
    family = "differences in space"
    feedback = "vector"
    learning_rate = 3e-4
    reference = "Guerguiev, Lillicrap & Richards 2017, eLife 6:e22901"

    def __init__(self, *, nudge: float = 1.0) -> None:
        super().__init__()
        if not nudge > 0:
            raise InputError(f"segregated_dendrites needs a nudge above 0, but got {nudge}")
        self.nudge = nudge

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        outputs = net.n_outputs
        for name, layer in list(net.layers.items())[:-1]:
            drawn = torch.randn(math.prod(layer.out_shape), outputs, generator=generator) / outputs**0.5
            self.register_buffer(f"apical_{name}", drawn)

    def plateau(self, name: str, layer: Layer, output: Tensor) -> Tensor:
        """``sigmoid(Y_l o)``, ``(B, *out_shape)``.

        Args:
            name: of the layer.
            layer: whose units have the apical dendrites.
            output: rates of the output units, ``(B, classes)``.
        """
        return torch.sigmoid(to_units(output, self.get_buffer(f"apical_{name}"), layer.out_shape))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        forward = loss.prediction(trace.output)
        target = forward - self.nudge * loss.error(trace.output, y)
        scale = 1 / (STEEPEST * self.nudge * len(x))
        deltas = []
        for (name, layer), a in zip(list(net.layers.items())[:-1], trace.preactivations, strict=False):
            change = self.plateau(name, layer, target) - self.plateau(name, layer, forward)
            deltas.append(layer.activate_vjp(a, -scale * change))
        deltas.append(output_delta(net, trace, y, loss))
        fill_gradients(net, trace.inputs, deltas)
        return Credit(loss(trace.output, y), tuple(deltas))
