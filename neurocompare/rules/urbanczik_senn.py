"""Two-compartment neurons: a dendrite learns to predict its own soma, which a teacher pulls away from it.

Urbanczik & Senn 2014, Neuron 81:521. Where the prediction holds, nothing is learnt. Hidden somata are taught by what comes
back from the layer above through fixed random weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, Rule, fill_gradients, output_delta


class UrbanczikSenn(Rule):
    """Dendritic prediction of somatic spiking, in rates at rest: ``dW = (f(U) - f(v*)) r^T``.

    The dendrite's ``v`` reaches the soma attenuated, ``v* = v g_D / (g_L + g_D)``; weights are in units of ``v*``, so that
    without a teacher activities are the forward pass. Teaching conductances of sum ``g`` with reversal at ``T`` move the
    soma to ``U = (g_D v + g T) / (g_L + g_D + g) = v* + lambda (T - v*)``, ``lambda = g / (g_L + g_D + g)``. The output's
    ``T`` is ``loss.target``; below, ``T_l = v*_l + B_l (f(U) - f(v*))_{l+1} / lambda``, with fixed random ``B``. The paper
    teaches a single layer, and weighs the update by ``f'(v*) / f(v*)``, which is left out here, as in later work with
    several layers. Two phases, upward then downward: what a taught layer sends up is left as it was. As the teaching gets
    weak, it becomes feedback alignment. Local: a synapse sees its input, its dendrite and its soma; ``1 / lambda`` is one
    constant for all.

    Args:
        teaching: the sum ``g`` of teaching conductances.
        leak: ``g_L``.
        dendritic: ``g_D``, between dendrite and soma.
    """

    name = "urbanczik_senn"
    short = "U-S"
    family = "differences in space"
    feedback = "vector"
    learning_rate = 1e-3
    reference = "Urbanczik & Senn 2014, Neuron 81:521"

    def __init__(self, *, teaching: float = 0.5, leak: float = 0.1, dendritic: float = 2.0) -> None:
        super().__init__()
        if not (teaching > 0 and leak >= 0 and dendritic > 0):
            raise InputError(
                "urbanczik_senn needs teaching and dendritic conductances above 0 and a leak of at least 0, but got "
                f"teaching={teaching}, dendritic={dendritic}, leak={leak}"
            )
        self.pull = teaching / (leak + dendritic + teaching)

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[1:]:
            self.register_buffer(f"feedback_{name}", layer.random_weight(generator))

    def soma(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The somatic potential at rest.

        Args:
            predicted: ``v*``, what the dendrite alone would make of it.
            target: ``T``, to which the teaching conductances pull.
        """
        return predicted + self.pull * (target - predicted)

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        layers = list(net.layers.items())
        delta = output_delta(net, trace, y, loss)  # (v* - U) / lambda of a linear unit that is pulled to loss.target
        deltas = [delta]
        for index in range(len(layers) - 1, 0, -1):
            (_, layer), (above_name, above) = layers[index - 1], layers[index]
            predicted = trace.preactivations[index - 1]
            teacher = above.transpose(delta * len(x), self.get_buffer(f"feedback_{above_name}"))
            taught = self.soma(predicted, predicted - teacher)
            change = layer.activate(taught) - layer.activate(predicted)
            delta = -change / (self.pull * len(x))
            deltas.insert(0, delta)
        fill_gradients(net, trace.inputs, deltas)
        return Credit(loss(trace.output, y), tuple(deltas))
