"""Rules that send an error vector back: they differ only in the weights it travels through.

- Backpropagation (Rumelhart, Hinton & Williams 1986, Nature 323:533): through the transposed forward weights.
- Feedback alignment (Lillicrap et al. 2016, Nat. Commun. 7:13276, eq. 2): through fixed random weights, layer by layer.
- Direct feedback alignment (Nokland 2016, arXiv:1609.01596, eq. 7): from the output to each layer at once.

All use ``delta_l = (feedback) . f'(a_l)`` and ``grad W_l = delta_l h_{l-1}^T``, which is local but for the feedback. The
last layer receives the true output error under every rule here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet, Trace
from neurocompare.rules.base import Credit, Rule, fill_gradients, output_delta


class VectorFeedback(Rule):
    """The shared step: forward, output error, hidden deltas, local products."""

    feedback = "vector"

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        deltas = self.deltas(net, trace, output_delta(net, trace, y, loss))
        fill_gradients(net, trace.inputs, deltas)
        return Credit(loss(trace.output, y), deltas)

    def deltas(self, net: LayeredNet, trace: Trace, top: Tensor) -> tuple[Tensor, ...]:
        """The teaching signal at each pre-activation, layer by layer backwards.

        Args:
            net: the network.
            trace: its forward pass.
            top: derivative of the batch's mean loss with respect to the last pre-activation, ``(B, classes)``.
        """
        layers = list(net.layers.items())
        backwards = [delta := top]
        for (name, above), (_, layer), a in zip(
            reversed(layers[1:]), reversed(layers[:-1]), reversed(trace.preactivations[:-1]), strict=True
        ):
            delta = layer.activate_vjp(a, above.transpose(delta, self.feedback_weight(name)))
            backwards.append(delta)
        return tuple(reversed(backwards))

    def feedback_weight(self, layer: str) -> Tensor | None:
        """What carries the error down from ``layer``, in its weight's shape; None means the weight itself."""
        return None


class Backprop(VectorFeedback):
    """Backpropagation: ``delta_l = (W_{l+1}^T delta_{l+1}) . f'(a_l)``."""

    name = "backprop"
    short = "BP"
    family = "vector feedback"
    reference = "Rumelhart, Hinton & Williams 1986, Nature 323:533"


class FeedbackAlignment(VectorFeedback):
    """Feedback alignment: ``delta_l = (B_{l+1} delta_{l+1}) . f'(a_l)``, each ``B`` fixed, drawn as the weights were."""

    name = "feedback_alignment"
    short = "FA"
    family = "vector feedback"
    learning_rate = 3e-4
    reference = "Lillicrap, Cownden, Tweed & Akerman 2016, Nat. Commun. 7:13276"

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[1:]:
            self.register_buffer(f"feedback_{name}", layer.random_weight(generator))

    def feedback_weight(self, layer: str) -> Tensor:
        return self.get_buffer(f"feedback_{layer}")


class DirectFeedbackAlignment(VectorFeedback):
    """Direct feedback alignment: ``delta_l = (B_l e) . f'(a_l)``, with its own row of ``B_l`` for every unit.

    ``B_l`` is ``(units, outputs)`` over all units of the layer, positions of a convolution included, as Nokland had it;
    a single vector tiled over space is another rule. Entries are ``N(0, 1 / outputs)``.
    """

    name = "direct_feedback_alignment"
    short = "DFA"
    family = "vector feedback"
    learning_rate = 3e-4
    reference = "Nokland 2016, arXiv:1609.01596"

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[:-1]:
            shape = (math.prod(layer.out_shape), net.n_outputs)
            self.register_buffer(f"feedback_{name}", torch.randn(shape, generator=generator) / net.n_outputs**0.5)

    def deltas(self, net: LayeredNet, trace: Trace, top: Tensor) -> tuple[Tensor, ...]:
        """As in ``VectorFeedback``, but every layer straight from the output."""
        hidden = list(net.layers.items())[:-1]
        signals = [
            layer.activate_vjp(a, (top @ self.get_buffer(f"feedback_{name}").T).unflatten(1, layer.out_shape))
            for (name, layer), a in zip(hidden, trace.preactivations[:-1], strict=True)
        ]
        return (*signals, top)
