"""Equilibrium propagation: the gradient as the response of a settled network to a nudge of its output.

- Scellier & Bengio 2017, Front. Comput. Neurosci. 11:24: settle, nudge the output towards lower loss by ``beta``, compare.
- Laborieux et al. 2021, Front. Neurosci. 15:633674: nudge by ``beta`` and by ``-beta``, which leaves an error of
  ``O(beta^2)`` in place of ``O(beta)``.
- Laborieux & Zenke 2022, arXiv:2209.00530: nudges on a circle in the complex plane, which give the derivative at its
  centre (Cauchy) up to an error that falls exponentially with their number.

In all of them a synapse needs the activities of the two units that it joins, in each phase. What is not local is the
amplification of the lower layers, the timing of the phases, and feedback through the transposed weights.
"""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, Needs
from neurocompare.rules.recurrent import Recurrent, fill_both_ways
from neurocompare.rules.recurrent_dynamics import Dynamics, Rest
from neurocompare.rules.settling import State


class EquilibriumPropagation(Recurrent):
    """Equilibrium propagation: ``g = [dE/dW(s^beta) - dE/dW(s^-beta)] / 2 beta``.

    The free phase settles; from there the output rests at ``W_L s_{L-1} + b_L - beta dC/ds_L`` in one phase and with
    ``-beta`` (or 0) in the other. As ``beta`` goes to 0 the estimate becomes the derivative of the loss at the free fixed
    point.

    Args:
        beta: strength of the nudge; below 1, or the nudged output does not settle.
        symmetric: the second phase is nudged by ``-beta``; otherwise it is the free one.
        feedback_gain, normalised, free_sweeps, tolerance: as in ``Recurrent``.
        nudged_sweeps: of the nudged phases, which are run as one batch.
    """

    name = "equilibrium_propagation"
    short = "EP"
    reference = "Scellier & Bengio 2017, Front. Comput. Neurosci. 11:24"

    def __init__(
        self,
        *,
        beta: float = 0.5,
        symmetric: bool = True,
        feedback_gain: float = 0.2,
        normalised: bool = True,
        free_sweeps: int = 4,
        tolerance: float = 0.0,
        nudged_sweeps: int = 3,
    ) -> None:
        super().__init__(
            feedback_gain=feedback_gain,
            normalised=normalised,
            free_sweeps=free_sweeps,
            tolerance=tolerance,
            second_sweeps=nudged_sweeps,
        )
        if not 0 < beta < 1:
            raise InputError(f"equilibrium propagation needs beta in (0, 1), but got {beta}")
        self.beta, self.symmetric = beta, symmetric

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        dynamics = self.dynamics(net)
        rest = self.free(dynamics, x)
        plus, minus, residual = self._nudged(dynamics, rest, y, loss)
        span = 2 * self.beta if self.symmetric else self.beta
        middle = [s + (p + m) / 2 for s, p, m in zip(rest.state, plus, minus, strict=True)]
        scales = [c / (span * len(x)) for c in dynamics.amplification()]
        deltas = tuple(scale * (m - p) for scale, p, m in zip(scales, plus, minus, strict=True))
        fill_both_ways(dynamics, x, middle, deltas)
        return Credit(loss(rest.output, y), deltas, residuals=(rest.residual, residual))

    def _nudged(self, dynamics: Dynamics, rest: Rest, y: Tensor, loss: Loss) -> tuple[State, State, Tensor]:
        """By how much activities differ from the free phase in either phase, and the residual."""
        phases = 2 if self.symmetric else 1
        free, labels = rest.output.repeat(phases, 1), y.repeat(phases)
        strength = torch.full_like(free[:, :1], self.beta)
        strength[len(y) :] = -self.beta

        def nudge(below: Tensor, change: Tensor) -> Tensor:
            return below - strength * loss.error(free + change, labels)

        changes, residual = dynamics.response(rest, nudge, self.second_sweeps, phases=phases)
        if not self.symmetric:
            return changes, [torch.zeros_like(change) for change in changes], residual
        plus, minus = zip(*(change.chunk(2) for change in changes), strict=True)
        return list(plus), list(minus), residual


class HolomorphicEquilibriumPropagation(Recurrent):
    """Holomorphic equilibrium propagation: ``g = 1/N sum_k dE/dW(s^{beta_k}) / beta_k``, ``beta_k`` on a circle.

    After the free phase the network settles under nudges by ``beta_k dC/ds_L``, with the derivative as it was in the free
    phase: the loss, made linear there, has the same gradient, and is analytic whatever the loss is. Activities become
    complex, which takes an analytic ``f``, and the circle must not reach its poles. States of conjugate nudges are
    conjugate, so only those above the real axis are settled, ``N / 2`` complex ones. The error is ``O(radius^N)``.

    Args:
        radius: of the circle.
        points: on the circle, ``N``, even.
        feedback_gain, normalised, free_sweeps, tolerance: as in ``Recurrent``.
        nudged_sweeps: of the nudged phases, which are run as one batch.
    """

    name = "holomorphic_equilibrium_propagation"
    short = "hEP"
    reference = "Laborieux & Zenke 2022, NeurIPS, arXiv:2209.00530"
    needs = Needs(activations=("tanh", "sigmoid", "identity"))

    def __init__(
        self,
        *,
        radius: float = 0.5,
        points: int = 4,
        feedback_gain: float = 0.2,
        normalised: bool = True,
        free_sweeps: int = 4,
        tolerance: float = 0.0,
        nudged_sweeps: int = 3,
    ) -> None:
        super().__init__(
            feedback_gain=feedback_gain,
            normalised=normalised,
            free_sweeps=free_sweeps,
            tolerance=tolerance,
            second_sweeps=nudged_sweeps,
        )
        if not radius > 0 or points < 2 or points % 2:
            raise InputError(
                f"holomorphic equilibrium propagation needs radius > 0 and an even number of points >= 2, "
                f"but got {radius} and {points}"
            )
        self.radius, self.points = radius, points

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        dynamics = self.dynamics(net)
        rest = self.free(dynamics, x)
        error, nudges = loss.error(rest.output, y), self._nudges(x)
        pull = torch.cat([beta * error for beta in nudges])
        phases = len(nudges)
        changes, residual = dynamics.response(rest, lambda below, _: below - pull, self.second_sweeps, phases=phases)
        weights = (1 / (nudges * phases * len(x))).repeat_interleave(len(x))
        deltas = self._fill(dynamics, x, rest, changes, weights)
        return Credit(loss(rest.output, y), deltas, residuals=(rest.residual, residual))

    def _nudges(self, x: Tensor) -> Tensor:
        """``beta_k`` above the real axis, ``(N / 2,)``."""
        angles = [math.pi * (2 * k + 1) / self.points for k in range(self.points // 2)]
        circle = [cmath.rect(self.radius, angle) for angle in angles]
        return torch.tensor(circle, device=x.device, dtype=x.dtype.to_complex())

    def _fill(self, dynamics: Dynamics, x: Tensor, rest: Rest, changes: State, weights: Tensor) -> tuple[Tensor, ...]:
        """Set ``.grad`` to ``-c_l Re sum_k w_k (s_l + d_l) (s_{l-1} + d_{l-1})^T``, ``d`` the change of phase ``k``.

        ``sum_k Re w_k`` is 0, so the product of activities at rest drops out.
        """
        weighted = [-weights.view(-1, *[1] * (d.ndim - 1)) * d for d in changes]
        means = [w.real.unflatten(0, (-1, len(x))).sum(0) for w in weighted]
        amplification = dynamics.amplification()
        deltas = tuple(c * mean for c, mean in zip(amplification, means, strict=True))
        between = [
            layer.gradients(torch.cat([d.real, d.imag]), c * torch.cat([w.real, -w.imag]))[0]
            for c, layer, d, w in zip(amplification[1:], dynamics.layers[1:], changes[:-1], weighted[1:], strict=True)
        ]
        fill_both_ways(dynamics, x, rest.state, deltas, between)
        return deltas
