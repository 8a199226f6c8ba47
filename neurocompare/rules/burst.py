"""Bursts carry the error: a cell's events go up, and the share of them that are bursts tells what comes from above.

Spikes of a cell arrive as events, single spikes or bursts. Events drive the cells above; the apical dendrite sets the
probability that an event is a burst; bursts, sent down, teach the cells below. Both streams share one axon (Payeur,
Guerguiev, Zenke, Richards & Naud 2021, Nat. Neurosci. 24:1010; Greedy, Zhu, Pemberton, Mellor & Ponte Costa 2022,
arXiv:2206.11769).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule, fill_gradients, output_delta

BASELINE = 0.5  # burst probability of an apical dendrite at rest: where the sigmoid is steepest
STEEPNESS = 4.0  # so that a small apical potential moves the probability by as much


class Burst(Rule):
    """Bursts as teaching signal: ``g_l = -(p_t - p) . e_l e_{l-1}^T``, event rates e, burst probabilities p.

    Apical potentials ``u_l = (1 - e_l) . (Y_l b_{l+1} - Q_l e_{l+1})`` of bursts ``b = p . e`` and events from above make
    ``p_l = sigmoid(4 u_l)``, 1/2 at rest. ``(1 - e) . e`` is the slope of the sigmoid units to which this applies. The
    readout is linear: its event rates are what it predicts (probabilities under the cross-entropy), its bursts half of
    them, which the teacher changes by ``-s/2`` times the error: for s = 1, to half the label. Teaching signals are divided
    by ``s/2``, as a derivative would be.

    - ``"ccn"`` (Greedy et al. 2022): ``Q = Y / 2`` cancels what events at rest bring down, so ``p`` is 1/2 without a teacher
      and one phase is enough. As s goes to 0 it becomes feedback alignment, with an error of second order.
    - ``"burstprop"`` (Payeur et al. 2021): no Q; ``p`` is that of a phase without a teacher. Each layer then passes on only
      ``4 p (1 - p)`` of the signal.

    Local in space: a synapse sees events below, and events and bursts of its own cell. Y is fixed and random.

    Args:
        variant: one of these.
        teaching: s.
        matched: under "ccn", Q is ``Y / 2`` from the start; otherwise it starts random and learns, before the teacher
            comes, to silence the apical potential: ``dQ = u e_{l+1}^T``.
    """

    name = "burst"
    short = "Burst"
    family = "differences in space"
    feedback = "vector"
    learning_rate = 1e-3
    reference = "Greedy, Zhu, Pemberton, Mellor & Ponte Costa 2022, NeurIPS; arXiv:2206.11769"
    needs = Needs(activations=("sigmoid",))
    VARIANTS = ("ccn", "burstprop")

    def __init__(self, *, variant: str = "ccn", teaching: float = 1.0, matched: bool = True) -> None:
        super().__init__()
        if variant not in self.VARIANTS:
            raise unknown_name("variant of burst", variant, self.VARIANTS)
        if not teaching > 0:
            raise InputError(f"burst needs teaching > 0, but got {teaching}")
        self.variant, self.teaching = variant, teaching
        self.learns_to_cancel = variant == "ccn" and not matched

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[1:]:
            self.register_buffer(f"bursts_{name}", layer.random_weight(generator))
            if self.learns_to_cancel:
                self.register_parameter(f"events_{name}", nn.Parameter(layer.random_weight(generator)))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        events = [*trace.inputs[1:], loss.prediction(trace.output)]
        rest = BASELINE * events[-1]
        taught = self.probabilities(net, events, rest - BASELINE * self.teaching * loss.error(trace.output, y))
        if self.variant == "ccn":
            untaught = [torch.full_like(p, BASELINE) for p in taught]
        else:
            untaught = self.probabilities(net, events, rest)
        if self.learns_to_cancel:
            self.learn_to_cancel(net, events)
        scale = 1 / (BASELINE * self.teaching * len(x))
        hidden = [scale * (p - t) * e for p, t, e in zip(untaught, taught, events, strict=False)]
        deltas = (*hidden, output_delta(net, trace, y, loss))
        fill_gradients(net, trace.inputs, deltas)
        return Credit(loss(trace.output, y), deltas)

    def probabilities(self, net: LayeredNet, events: list[Tensor], bursts: Tensor) -> list[Tensor]:
        """Of a burst in each hidden layer, ``(B, *out_shape)``.

        Args:
            net: the network.
            events: rates of each layer.
            bursts: rates of the readout, ``(B, classes)``.
        """
        found = []
        for number in reversed(range(len(events) - 1)):
            name, above = list(net.layers.items())[number + 1]
            potential = (1 - events[number]) * self.from_above(name, above, bursts, events[number + 1])
            found.append(torch.sigmoid(STEEPNESS * potential))
            bursts = found[-1] * events[number]
        return found[::-1]

    def from_above(self, name: str, above: Layer, bursts: Tensor, events: Tensor) -> Tensor:
        """``Y b - Q e``, for the apical dendrites of the layer below."""
        excitation = self.get_buffer(f"bursts_{name}")
        if self.variant == "burstprop":
            return above.transpose(bursts, excitation)
        if self.learns_to_cancel:
            return above.transpose(bursts, excitation) - above.transpose(events, self.get_parameter(f"events_{name}"))
        return above.transpose(bursts - BASELINE * events, excitation)

    def learn_to_cancel(self, net: LayeredNet, events: list[Tensor]) -> None:
        """Set ``.grad`` of Q to the derivative of half the squared drive of apical dendrites at rest."""
        for number, (name, above) in enumerate(list(net.layers.items())[1:], 1):
            drive = self.from_above(name, above, BASELINE * events[number], events[number])
            cancelling = self.get_parameter(f"events_{name}")
            cancelling.grad = above.gradients(drive, -events[number] / len(drive))[0]
