"""Deep feedback control: a controller drives the output to its target through all layers, which learn to make do without.

Meulemans, Farinha, Garcia Ordonez, Vilimelis Aceituno, Sacramento & Grewe 2021, NeurIPS (arXiv:2106.07887).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet, Trace
from neurocompare.rules.base import Credit, Rule, fill_gradients, gaussian, to_units
from neurocompare.rules.settling import State, settle


class DeepFeedbackControl(Rule):
    """Deep feedback control: ``g_l = -(f(v_l) - f(v_l - Q_l u)) r_{l-1}^T`` with the controlled network at rest.

    Potentials ``v_l = W_l r_{l-1} + b_l + Q_l u``, rates ``r = f(v)``, and a leaky integrator ``u`` with one unit per
    output, which rests where ``r* - r_L = leak u``; ``Q_L`` is the identity. The output's target is ``r* = o - step dC/do``.
    A cell compares its rate with what its basal dendrites alone would make of it; signals are divided by ``step / (1 +
    leak)``, as a derivative would be. With J the derivative of the output by the potentials, ``u`` is near ``-step (J Q +
    leak)^-1 dC/do``: where ``Q = J^T``, the control of potentials is along the gradient for a large leak, and the smallest
    one that reaches the target (Gauss-Newton) for a small leak. Comparing rates adds a factor f' to it, so with a large leak
    the update is backprop's in relu units, and f' times that in others.

    Phases: forward; control; and one of noise zeta on potentials, by which Q learns the mean of ``J^T`` over inputs:
    ``grad Q = Q - mean zeta (do)^T / sigma^2`` (in the paper the controller's own response stands for ``do``). Local: a
    synapse sees its input and two compartments of its cell. Rest is found by Newton steps that use the loop ``J Q`` of the
    forward pass, not by going through time, so it is found even where the controller would have to be slow to be stable.

    Args:
        target_step: how far the target is from the output.
        leak: of the controller.
        iterations: Newton steps.
        noise: standard deviation sigma.
    """

    name = "deep_feedback_control"
    short = "DFC"
    family = "differences in space"
    feedback = "vector"
    reference = "Meulemans et al. 2021, NeurIPS; arXiv:2106.07887"

    def __init__(self, *, target_step: float = 0.1, leak: float = 1.0, iterations: int = 3, noise: float = 0.1) -> None:
        super().__init__()
        if not target_step > 0 or not leak > 0 or iterations < 1 or not noise > 0:
            raise InputError(
                "deep_feedback_control needs target_step > 0, leak > 0, iterations >= 1 and noise > 0, but got "
                f"target_step={target_step}, leak={leak}, iterations={iterations}, noise={noise}"
            )
        self.target_step, self.leak, self.iterations, self.noise = target_step, leak, iterations, noise

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        *hidden, (_, readout) = net.layers.items()
        for name, layer in hidden:
            drawn = torch.randn(math.prod(layer.out_shape), net.n_outputs, generator=generator)
            self.register_parameter(f"control_{name}", nn.Parameter(drawn * readout.scale))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        layers, trace = list(net.layers.values()), net.trace(x)
        pull = -self.target_step * loss.error(trace.output, y)
        loop = self.loop(net, trace)
        loop.diagonal(dim1=1, dim2=2).add_(self.leak)

        def newton(state: State) -> State:
            (u,) = state
            _, rates = self.controlled(net, x, u)
            return [u + torch.linalg.solve(loop, trace.output + pull - rates[-1] - self.leak * u)]

        (u,), residual = settle(newton, [torch.linalg.solve(loop, pull)], self.iterations - 1)
        basal, rates = self.controlled(net, x, u)
        scale = (1 + self.leak) / (self.target_step * len(x))
        deltas = tuple(scale * (layer.activate(v) - r) for layer, v, r in zip(layers, basal, rates, strict=True))
        fill_gradients(net, [x, *rates[:-1]], deltas)
        self.learn_control(net, x, trace, generator)
        return Credit(loss(trace.output, y), deltas, residuals=(residual,))

    def control(self, net: LayeredNet) -> list[Tensor]:
        """``Q_l`` of each layer, ``(units, classes)``."""
        *hidden, last = net.layers
        learnt = [self.get_parameter(f"control_{name}") for name in hidden]
        return [*learnt, torch.eye(net.n_outputs).to(net.get_parameter(f"{last}.weight"))]

    def controlled(self, net: LayeredNet, x: Tensor, u: Tensor) -> tuple[State, State]:
        """What basal dendrites make of what they receive, ``W r + b``, and rates, of each layer under the control u."""
        basal: State = []
        rates: State = []
        for layer, control in zip(net.layers.values(), self.control(net), strict=True):
            basal.append(layer.affine(rates[-1] if rates else x))
            rates.append(layer.activate(basal[-1] + to_units(u, control, layer.out_shape)))
        return basal, rates

    def loop(self, net: LayeredNet, trace: Trace) -> Tensor:
        """``J Q``: how the output moves with the controller, ``(B, classes, classes)``."""
        classes, batch = net.n_outputs, len(trace.output)

        def copies(a: Tensor) -> Tensor:
            """One for each unit of the controller."""
            return a.repeat(classes, *[1] * (a.ndim - 1))

        first, *rest = net.layers.values()
        each = torch.eye(classes).to(trace.output).repeat_interleave(batch, 0)
        drives = [
            to_units(each, q, layer.out_shape) for q, layer in zip(self.control(net), [first, *rest], strict=True)
        ]
        moved = first.activate_vjp(copies(trace.preactivations[0]), drives[0])
        for layer, drive, a in zip(rest, drives[1:], trace.preactivations[1:], strict=True):
            moved = layer.activate_vjp(copies(a), drive + layer.affine(moved, bias=False))
        return moved.unflatten(0, (classes, batch)).permute(1, 2, 0).contiguous()

    def learn_control(self, net: LayeredNet, x: Tensor, trace: Trace, generator: torch.Generator | None) -> None:
        """Set ``.grad`` of Q from how the output follows noise in all hidden layers at once."""
        *hidden, last = trace.preactivations
        noise = [self.noise * gaussian(a, generator) for a in hidden]
        moved = net.trace(x, [*noise, torch.zeros_like(last)]).output - trace.output
        for name, zeta in zip(net.layers, noise, strict=False):
            control = self.get_parameter(f"control_{name}")
            control.grad = control - zeta.flatten(1).T @ moved / (self.noise**2 * len(x))
