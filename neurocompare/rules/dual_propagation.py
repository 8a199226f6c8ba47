"""Dual propagation: every unit is a dyad, whose two parts differ by the error and on average carry the activity.

Hoier, Staudt & Zach 2023, ICML (arXiv:2302.01228): contrastive learning in a single phase, as the two states that are
compared exist side by side; each layer's best states are known in closed form. Hoier & Zach 2024, ICML (arXiv:2402.08573)
weigh the two parts so that dyads which are not symmetric stay centred on the activity too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Rule, fill_gradients
from neurocompare.rules.settling import State, settle


class DualPropagation(Rule):
    """Dual propagation: ``g_l = -(s_l+ - s_l-) m_{l-1}^T / beta`` from dyads ``(s+, s-)`` with the mean ``m``.

    ``s_l+ = f(a_l + share d_l)`` and ``s_l- = f(a_l - (1 - share) d_l)``, driven by the means below, ``a_l = W_l m_{l-1} +
    b_l``, and by the differences above, ``d_l = W_{l+1}^T (s_{l+1}+ - s_{l+1}-)``; ``m = (1 - share) s+ + share s-``,
    which to first order is ``f(a)``. The linear readout has ``d_L = -beta dC/da``. As beta goes to 0 this is backprop,
    with an error of ``O(beta^2)`` for symmetric dyads and ``O(beta)`` for others.

    Phases: a forward pass, then sweeps, down to set ``d`` and up to set ``a``. Local: a synapse sees the mean of its input
    and the difference within its own dyad. Feedback goes through the transposed weights. What the network predicts is the
    forward pass, in which dyads have no difference.

    Args:
        beta: how far the teacher drives the readout's dyads apart.
        share: of the difference that goes to the first part, from 0 to 1; symmetric at 1/2.
        sweeps: down and, but for the last, up again. One is enough where ``beta`` is small, or for ``share`` 0 or 1, where
            one part of the dyad stays as it was.
    """

    name = "dual_propagation"
    short = "DP"
    family = "differences in space"
    feedback = "vector"
    reference = "Hoier, Staudt & Zach 2023, ICML; arXiv:2302.01228"

    def __init__(self, *, beta: float = 0.5, share: float = 0.5, sweeps: int = 2) -> None:
        super().__init__()
        if not beta > 0 or not 0 <= share <= 1 or sweeps < 1:
            raise InputError(
                "dual_propagation needs beta > 0, a share from 0 to 1 and sweeps >= 1, but got "
                f"beta={beta}, share={share}, sweeps={sweeps}"
            )
        self.beta, self.share, self.sweeps = beta, share, sweeps

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        layers, trace = list(net.layers.values()), net.trace(x)

        def down(driven: State) -> State:
            """``d`` of each layer, given what drives it from below."""
            changes = [-self.beta * loss.error(driven[-1], y)]
            for number in range(len(layers) - 1, 0, -1):
                plus, minus = self.dyad(layers[number], driven[number], changes[0])
                changes.insert(0, layers[number].transpose(plus - minus))
            return changes

        def sweep(state: State) -> State:
            driven = self.up(layers, x, state[len(layers) :])
            return [*driven, *down(driven)]

        state, residual = settle(sweep, [*trace.preactivations, *down(trace.preactivations)], self.sweeps - 1)
        dyads = [self.dyad(*unit) for unit in zip(layers, state, state[len(layers) :], strict=False)]
        deltas = tuple((minus - plus) / (self.beta * len(x)) for plus, minus in dyads)
        fill_gradients(net, [x, *(self.mean(*dyad) for dyad in dyads[:-1])], deltas)
        return Credit(loss(trace.output, y), deltas, residuals=(residual,))

    def up(self, layers: Sequence[Layer], x: Tensor, changes: State) -> State:
        """What drives each layer from below, ``a_l``, given what comes from above."""
        driven: State = []
        for layer, change in zip(layers, changes, strict=True):
            driven.append(layer.affine(x))
            x = self.mean(*self.dyad(layer, driven[-1], change))
        return driven

    def dyad(self, layer: Layer, driven: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """``(s+, s-)`` for ``a`` and ``d``, all ``(B, *out_shape)``."""
        plus, minus = torch.add(driven, change, alpha=self.share), torch.sub(driven, change, alpha=1 - self.share)
        return layer.activate(plus), layer.activate(minus)

    def mean(self, plus: Tensor, minus: Tensor) -> Tensor:
        """``m``: each part weighed by the other's share."""
        return torch.lerp(plus, minus, self.share)
