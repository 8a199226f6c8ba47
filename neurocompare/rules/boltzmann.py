"""Boltzmann machines: a synapse learns from how often its two units are on together, with the answer given and without.

Ackley, Hinton & Sejnowski 1985, Cogn. Sci. 9:147. Units are binary and stochastic, weights symmetric; activity wanders as
under a temperature of 1. Correlations while input and label are clamped, minus those while the input alone is, are the
derivative of the log probability of the label: Hebb in the one phase, anti-Hebb in the other, and no error is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss, one_hot
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule
from neurocompare.rules.settling import State

Noise = Sequence[Sequence[Tensor | None]]  # uniform, for the start and each sweep, for each layer


class BoltzmannMachine(Rule):
    """A layered Boltzmann machine given the input: ``-E = sum_l s_l^T (W_l s_{l-1} + b_l)``, ``s_0 = x``.

    Hidden units are 0 or 1, the last layer is one-hot (a label, or one unit of a group that excludes each other), and
    ``p ~ exp(-E)``. Two phases of Gibbs sampling: label clamped (+), and free (-), where it is sampled too. ``g_l = -(<s_l
    s_{l-1}^T>+ - <s_l s_{l-1}^T>-)``, and so for biases, which is the gradient of ``-log p(y | x)`` once chains have
    forgotten how they began. The task's loss has no part in it: this is the rule under the squared error too.

    Local in space, as a synapse sees its own two units. What is not: weights are the same in both directions, the sign of
    plasticity must know the phase, and averages of one phase wait for the other.

    Layers of one parity are independent given the others, so a sweep is two draws: odd layers, then even ones. In the
    averages odd layers enter by their probability given the even ones, which has the same mean and less variance. Chains
    start at the sampled forward pass.

    What it predicts is deterministic: mean-field equations ``s_l = f(W_l s_{l-1} + b_l + W_{l+1}^T s_{l+1})`` from the
    forward pass on, and then the drive of the last layer, without its softmax.

    Args:
        chains: for each sample and phase.
        sweeps: before averages are taken, and of the mean-field equations.
        same_noise: both phases draw from the same random numbers, so where the label changes a probability little, both
            states are mostly the same: means are what they were, and their difference has much less variance. No brain
            has this, and without it many chains are needed.
        mean_field: both phases solve these equations, without noise (Peterson & Anderson 1987, Complex Syst. 1:995). Then
            it is the gradient of the difference of two mean-field free energies.
    """

    name = "boltzmann_machine"
    short = "BM"
    family = "differences in time"
    feedback = "vector"
    learning_rate = 3e-3
    reference = "Ackley, Hinton & Sejnowski 1985, Cogn. Sci. 9:147"
    needs = Needs(convolutions=False, activations=("sigmoid",), several_tasks=False)

    def __init__(self, *, chains: int = 4, sweeps: int = 5, same_noise: bool = True, mean_field: bool = False) -> None:
        super().__init__()
        if chains < 1 or sweeps < 0:
            raise InputError(f"boltzmann_machine needs chains >= 1 and sweeps >= 0, but got {chains} and {sweeps}")
        self.chains, self.sweeps = chains, sweeps
        self.same_noise, self.mean_field = same_noise, mean_field

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        layers = list(net.layers.values())
        *_, output = self.activities(net, x).values()
        chains = 1 if self.mean_field else self.chains
        many = x.repeat(chains, *[1] * (x.ndim - 1))
        clamped, free = self.phases(layers, many, one_hot(output, y).repeat(chains, 1), generator)
        for number, layer in enumerate(layers):
            below = torch.cat([many if number == 0 else s[number - 1] for s in (clamped, free)])
            above = torch.cat([-clamped[number], free[number]]) / len(many)
            layer.weight.grad, layer.bias.grad = layer.gradients(below, above)
        change = (minus - plus for plus, minus in zip(clamped, free, strict=True))
        return Credit(loss(output, y), tuple(d.unflatten(0, (chains, len(x))).mean(0) / len(x) for d in change))

    def phases(
        self, layers: list[Layer], x: Tensor, label: Tensor, generator: torch.Generator | None
    ) -> tuple[State, State]:
        """What enters averages, clamped and free: even layers as sampled, odd ones as probabilities given those."""

        def noise() -> Noise:
            units = [(len(x), *layer.out_shape) for layer in layers]
            return [[_uniform(x, shape, generator) for shape in units] for _ in range(self.sweeps + 1)]

        if self.mean_field:
            first = second = _no_noise(layers, self.sweeps)
        else:
            first = noise()
            second = first if self.same_noise else noise()
        return _equilibrium(layers, x, first, label), _equilibrium(layers, x, second)

    def activities(self, net: LayeredNet, x: Tensor) -> dict[str, Tensor]:
        layers = list(net.layers.values())
        *hidden, _ = _equilibrium(layers, x, _no_noise(layers, self.sweeps))
        return dict(zip(net.layers, [*hidden, layers[-1].affine([x, *hidden][-1])], strict=True))


def _equilibrium(layers: list[Layer], x: Tensor, noise: Noise, label: Tensor | None = None) -> State:
    """Even layers as drawn last, odd ones as probabilities given those; the last layer at the label where there is one."""
    state: State = []
    for number, layer in enumerate(layers):
        drive = layer.affine(state[-1] if state else x)
        state.append(_draw(_probability(layers, number, drive), noise[0][number], number + 1 == len(layers)))
    if label is not None:
        state[-1] = label
    free = len(layers) - (label is not None)
    odd, even = range(0, free, 2), range(1, free, 2)  # counted from 1
    for sweep in noise[1:]:
        for number in (*odd, *even):
            p = _conditional(layers, x, state, number)
            state[number] = _draw(p, sweep[number], number + 1 == len(layers))
    for number in odd:
        state[number] = _conditional(layers, x, state, number)
    return state


def _conditional(layers: list[Layer], x: Tensor, state: State, number: int) -> Tensor:
    """Probabilities of a layer's units given the layers beside it."""
    drive = layers[number].affine(state[number - 1] if number > 0 else x)
    if number + 1 < len(layers):
        drive = drive + layers[number + 1].transpose(state[number + 1])
    return _probability(layers, number, drive)


def _probability(layers: list[Layer], number: int, drive: Tensor) -> Tensor:
    """Of being on: each for itself in hidden layers, one of all in the last."""
    return torch.softmax(drive, 1) if number + 1 == len(layers) else layers[number].activate(drive)


def _draw(p: Tensor, noise: Tensor | None, one_of_all: bool) -> Tensor:
    """A state from uniform noise; without, the probabilities themselves."""
    if noise is None:
        return p
    if one_of_all:
        return one_hot(p, (p / -noise.log()).argmax(1))  # the first of several clocks to ring, at rates p
    return (noise < p).to(p.dtype)


def _uniform(like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)


def _no_noise(layers: list[Layer], sweeps: int) -> Noise:
    return [[None] * len(layers)] * (sweeps + 1)
