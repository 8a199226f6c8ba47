"""Rules that compare a free phase with one in which the output is clamped to its target.

- Contrastive Hebbian learning (Movellan 1991; Xie & Seung 2003, Neural Comput. 15:441): Hebb in the clamped phase minus
  Hebb in the free one. With weak feedback, and each layer's update amplified by as much as feedback has become weaker on
  its way down to it, this comes close to backpropagation.
- Generalised recirculation (O'Reilly 1996, Neural Comput. 8:895): the difference of the receiving unit between phases
  times the sending unit's free activity.

Both need only the two activities of the units that a synapse joins; what is not local is the amplification of the lower
layers, the timing of the phases, and feedback through the transposed weights unless it is random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, fill_gradients
from neurocompare.rules.recurrent import Recurrent, fill_both_ways
from neurocompare.rules.recurrent_dynamics import Dynamics
from neurocompare.rules.settling import State


class ContrastiveHebbian(Recurrent):
    """Contrastive Hebbian learning: ``g_l = -c_l (s_l+ s_{l-1}+^T - s_l- s_{l-1}-^T)`` (Xie & Seung 2003).

    The free phase (-) settles; then the output is held at the loss's target (+) and the rest settles again. ``c_l`` is
    ``gamma^(l-L)`` where all gains are ``gamma``. As gains go to 0 it becomes backpropagation.

    Args:
        random_feedback: activity comes down through fixed random weights (Detorakis et al. 2019, Neural Netw. 114:1) in
            place of the transposed ones; then there is no energy, and no promise of a gradient.
        feedback_gain, normalised, free_sweeps, tolerance: as in ``Recurrent``.
        clamped_sweeps: of the clamped phase.
    """

    name = "contrastive_hebbian"
    short = "CHL"
    reference = "Xie & Seung 2003, Neural Comput. 15:441"

    def __init__(
        self,
        *,
        random_feedback: bool = False,
        feedback_gain: float = 0.2,
        normalised: bool = True,
        free_sweeps: int = 4,
        tolerance: float = 0.0,
        clamped_sweeps: int = 3,
    ) -> None:
        super().__init__(
            feedback_gain=feedback_gain,
            normalised=normalised,
            free_sweeps=free_sweeps,
            tolerance=tolerance,
            second_sweeps=clamped_sweeps,
        )
        self.random_feedback = random_feedback

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        if self.random_feedback:
            for name, layer in list(net.layers.items())[1:]:
                self.register_buffer(f"feedback_{name}", layer.random_weight(generator))

    def feedback_weight(self, layer: str) -> Tensor | None:
        return self.get_buffer(f"feedback_{layer}") if self.random_feedback else None

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        dynamics = self.dynamics(net)
        rest = self.free(dynamics, x)
        to_target = loss.target(rest.output, y) - rest.output
        change, residual = dynamics.response(rest, lambda *_: to_target, self.second_sweeps)
        deltas = tuple(-c / len(x) * d for c, d in zip(dynamics.amplification(), change, strict=True))
        self.fill(dynamics, x, rest.state, change, deltas)
        return Credit(loss(rest.output, y), deltas, residuals=(rest.residual, residual))

    def fill(self, dynamics: Dynamics, x: Tensor, free: State, change: State, deltas: tuple[Tensor, ...]) -> None:
        """Set ``.grad``; ``change`` is the clamped phase minus the free one."""
        fill_both_ways(dynamics, x, _midpoint(free, change), deltas)


class GeneRec(ContrastiveHebbian):
    """Generalised recirculation: ``g_l = -c_l (s_l+ - s_l-) s_{l-1}-^T`` (O'Reilly 1996), with the phases of CHL.

    Args:
        midpoint: the sending activity is ``(s_{l-1}+ + s_{l-1}-) / 2``, after the midpoint method of integration.
        symmetric: a synapse also takes the update of its partner in the other direction, as if the two were one weight.
            With ``midpoint`` this is contrastive Hebbian learning.
        random_feedback, feedback_gain, normalised, free_sweeps, tolerance, clamped_sweeps: as in ``ContrastiveHebbian``.
    """

    name = "generec"
    short = "GR"
    reference = "O'Reilly 1996, Neural Comput. 8:895"

    def __init__(
        self,
        *,
        midpoint: bool = False,
        symmetric: bool = False,
        random_feedback: bool = False,
        feedback_gain: float = 0.2,
        normalised: bool = True,
        free_sweeps: int = 4,
        tolerance: float = 0.0,
        clamped_sweeps: int = 3,
    ) -> None:
        super().__init__(
            random_feedback=random_feedback,
            feedback_gain=feedback_gain,
            normalised=normalised,
            free_sweeps=free_sweeps,
            tolerance=tolerance,
            clamped_sweeps=clamped_sweeps,
        )
        self.midpoint, self.symmetric = midpoint, symmetric

    def fill(self, dynamics: Dynamics, x: Tensor, free: State, change: State, deltas: tuple[Tensor, ...]) -> None:
        sent = _midpoint(free, change) if self.midpoint else free
        if self.symmetric:
            fill_both_ways(dynamics, x, sent, deltas)
        else:
            fill_gradients(dynamics.net, [x, *sent[:-1]], deltas)


def _midpoint(free: State, change: State) -> State:
    return [s + d / 2 for s, d in zip(free, change, strict=True)]
