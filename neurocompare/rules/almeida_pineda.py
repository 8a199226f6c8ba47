"""Recurrent backpropagation (Almeida 1987, IEEE ICNN 2:609; Pineda 1987, PRL 59:2229): the exact gradient at a fixed point.

The activities settle; then the error settles in a second, linear network with the transposed weights. Of the whole path of
the settling nothing need be kept but its end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit
from neurocompare.rules.recurrent import Recurrent, fill_both_ways


class AlmeidaPineda(Recurrent):
    """Almeida-Pineda: ``delta = f'(a) . z``, where ``z = J^T z + dC/ds`` settles after the activities have.

    The adjoint phase finds ``delta_l = f'(a_l) . (W_{l+1}^T delta_{l+1} + gamma_l W_l delta_{l-1})``, with ``delta_L =
    dC/ds_L + gamma_L W_L delta_{L-1}``. Each weight serves in both directions, so ``g_l = delta_l s_{l-1}^T + gamma_l s_l
    delta_{l-1}^T``: the derivative of the loss at the fixed point. The products are local; the adjoint network is one of
    its own, and uses ``f'`` and transposed weights.

    ``delta_l / c_l`` obeys the dynamics of the activities themselves, made linear at rest: this is what settles.

    Args:
        feedback_gain, normalised, free_sweeps, tolerance: as in ``Recurrent``.
        adjoint_sweeps: of the error.
    """

    name = "almeida_pineda"
    short = "AP"
    reference = "Pineda 1987, Phys. Rev. Lett. 59:2229"

    def __init__(
        self,
        *,
        feedback_gain: float = 0.2,
        normalised: bool = True,
        free_sweeps: int = 4,
        tolerance: float = 0.0,
        adjoint_sweeps: int = 3,
    ) -> None:
        super().__init__(
            feedback_gain=feedback_gain,
            normalised=normalised,
            free_sweeps=free_sweeps,
            tolerance=tolerance,
            second_sweeps=adjoint_sweeps,
        )

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        dynamics = self.dynamics(net)
        rest = self.free(dynamics, x)
        error = loss.error(rest.output, y) / len(x)
        adjoint, residual = dynamics.linear(
            rest.state,
            lambda below, _: below + error,
            self.second_sweeps,
            lambda number, a: dynamics.layers[number].activate_vjp(rest.received[number], a),
        )
        deltas = tuple(c * s for c, s in zip(dynamics.amplification(), adjoint, strict=True))
        fill_both_ways(dynamics, x, rest.state, deltas)
        return Credit(loss(rest.output, y), deltas, residuals=(rest.residual, residual))
