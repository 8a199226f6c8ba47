"""Layered networks whose layers also receive from above: how they settle.

Activities ``s_1 .. s_L`` over the input ``s_0`` come to rest (Hopfield 1984; Movellan 1991; Xie & Seung 2003) where

    ``s_l = f(W_l s_{l-1} + b_l + gamma_{l+1} W_{l+1}^T s_{l+1})``,

and the linear readout where ``s_L = W_L s_{L-1} + b_L``. With ``1 / c_l = gamma_{l+1} .. gamma_L`` these are the minima,
layer by layer, of the energy

    ``E = sum_l c_l [G(s_l) - s_l . (W_l s_{l-1} + b_l)]``, ``G' = f^-1``,

so that updating one layer at a time never raises ``E``. Bounded units always settle; relu units do where ``E`` is convex,
for which ``gamma_l |W_l|^2 < 1/4`` suffices at any depth. Where the loss ``C`` moves the output by ``-beta dC/ds_L``, the
energy is ``E + beta C``, so ``dE/dW_l = -c_l s_l s_{l-1}^T`` is what the rules compare between phases: ``c_l``
makes up for what a signal from the output has lost on its way down to layer ``l``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.settling import State, settle

# From the number of a hidden layer and what it receives to its activity.
Activate = Callable[[int, Tensor], Tensor]
# From what the readout receives, and its present activity, to its next one: free, nudged or clamped.
Output = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rest:
    """Where the free phase ended.

    Attributes:
        state: the activity of each layer, ``(B, *out_shape)``.
        received: by each hidden layer from below, above and the bias, so that ``state = f(received)``.
        residual: the largest move of the last sweep, a scalar.
    """

    state: State
    received: State
    residual: Tensor

    @property
    def output(self) -> Tensor:
        """Of the readout, ``(B, classes)``."""
        return self.state[-1]


class Dynamics:
    """The dynamics of one network with its present weights.

    A sweep updates every layer twice, from the readout down and back up. Going down only what comes from above has
    changed, going up only what comes from below, so it costs two products per weight, as much as one synchronous update
    of all layers does; what the first layer receives from the input is computed once.

    Args:
        net: the network.
        gains: ``gamma_l`` of the layers but the first.
        weights: what carries activity down from the layers but the first; None for the weight itself.
    """

    def __init__(self, net: LayeredNet, gains: list[Tensor], weights: list[Tensor | None]) -> None:
        self.net, self.layers = net, list(net.layers.values())
        self.gains, self.weights = gains, weights

    def amplification(self) -> list[Tensor]:
        """``c_l`` of each layer."""
        one = torch.ones_like(self.layers[-1].bias[0])
        return list(accumulate(reversed(self.gains), torch.div, initial=one))[::-1]

    def free(self, x: Tensor, sweeps: int, tolerance: float = 0.0) -> Rest:
        """Settle from the feedforward pass, the output free, until nothing moves by more than the tolerance."""
        trace = self.net.trace(x)
        sweep = _Sweep(self, trace.preactivations, _affine, lambda n, a: self.layers[n].activate(a), _keep)
        state, residual = settle(sweep, [*trace.inputs[1:], trace.output], sweeps, tolerance)
        return Rest(state, sweep.received[:-1], residual)

    def response(self, rest: Rest, output: Output, sweeps: int, *, phases: int = 1) -> tuple[State, Tensor]:
        """By how much each activity differs from ``rest`` once the output is moved.

        The difference itself settles, not the activity: in deep layers it is smaller than the activity's rounding. What
        was left of the free phase's settling is not part of it.

        Args:
            rest: where the free phase ended.
            output: from and to differences; complex ones are carried through where ``f`` is analytic.
            sweeps: how many.
            phases: copies of the batch, one after another, for as many phases.
        Returns:
            The differences, ``(phases * B, *out_shape)``, and the residual.
        """
        # Unlike ``repeat``, ``cat`` keeps the memory order of convolutions, and mixed orders take several times as long.
        received, state = ([torch.cat([t] * phases) for t in tensors] for tensors in (rest.received, rest.state))
        changes = [increment(*hidden) for hidden in zip(self.layers[:-1], received, state[:-1], strict=True)]
        return self.linear(state, output, sweeps, lambda number, change: changes[number](change))

    def linear(self, like: State, output: Output, sweeps: int, activate: Activate) -> tuple[State, Tensor]:
        """Settle from zero without biases or input; returns the state and the residual."""
        dtype = output(like[-1], like[-1]).dtype
        zero = [torch.zeros_like(s, dtype=dtype) for s in like]
        return settle(_Sweep(self, zero, _product, activate, output), zero, sweeps)


class _Sweep:
    """One sweep as ``settle`` calls it; from sweep to sweep it keeps what each layer receives from below."""

    def __init__(
        self,
        dynamics: Dynamics,
        below: State,
        up: Callable[[Layer, Tensor], Tensor],
        activate: Activate,
        output: Output,
    ) -> None:
        self.dynamics, self.up, self.activate, self.output = dynamics, up, activate, output
        self.below, self.received = list(below), list(below)

    def __call__(self, state: State) -> State:
        state, above, top = list(state), list(state), len(state) - 1
        state[top] = self.output(self.below[top], state[top])
        for number in reversed(range(top)):
            above[number] = self._from_above(number, state[number + 1])
            state[number] = self._hidden(number, above[number])
        for number in range(1, top + 1):
            self.below[number] = self.up(self.dynamics.layers[number], state[number - 1])
            if number < top:
                state[number] = self._hidden(number, above[number])
        state[top] = self.output(self.below[top], state[top])
        return state

    def _from_above(self, number: int, s: Tensor) -> Tensor:
        """What layer ``number`` receives from activity ``s`` of the next, but for the gain."""
        layer, weight = self.dynamics.layers[number + 1], self.dynamics.weights[number]
        return _by_parts(lambda part: layer.transpose(part, weight), s)

    def _hidden(self, number: int, above: Tensor) -> Tensor:
        gain = self.dynamics.gains[number].to(above.dtype)
        self.received[number] = torch.addcmul(self.below[number], above, gain)
        return self.activate(number, self.received[number])


def _affine(layer: Layer, s: Tensor) -> Tensor:
    return layer.affine(s)


def _keep(below: Tensor, _: Tensor) -> Tensor:
    return below


def _by_parts(function: Callable[[Tensor], Tensor], s: Tensor) -> Tensor:
    """A real linear function of a real or complex tensor."""
    if not s.is_complex():
        return function(s)
    return torch.complex(*function(torch.cat([s.real, s.imag])).chunk(2))


def _product(layer: Layer, s: Tensor) -> Tensor:
    """``W s``."""
    return _by_parts(lambda part: layer.affine(part, bias=False), s)


def increment(layer: Layer, a: Tensor, h: Tensor) -> Callable[[Tensor], Tensor]:
    """``d -> f(a + d) - f(a)`` for ``h = f(a)``, of real or complex ``d``, to the precision of ``d`` itself.

    It may write over ``d``: half the time of large layers on a CPU goes into memory that is new.
    """
    match layer.activation.name:
        case "identity":
            return lambda d: d
        case "relu":
            below_threshold, off = a.clamp(max=0), -h
            return lambda d: torch.maximum(d.add_(below_threshold), off, out=d)
        case "tanh":
            return _tanh_increment(h)
        case "sigmoid":  # (1 + tanh(a / 2)) / 2
            half = _tanh_increment(2 * h - 1)
            return lambda d: half(d / 2) / 2
    return lambda d: layer.activate(a + d) - h


def _tanh_increment(h: Tensor) -> Callable[[Tensor], Tensor]:
    """From the addition theorem."""
    slope = 1 - h * h

    def change(d: Tensor) -> Tensor:
        t = torch.tanh(d)
        return t * slope / (1 + h * t)

    return change


def loop_norm(layer: Layer, weight: Tensor | None = None, iterations: int = 8) -> Tensor:
    """The norm of ``W^T W`` (or ``B W``, with ``B^T`` held as ``weight``), from below, by power iteration."""
    size = math.prod(layer.in_shape)
    # No direction is special to it, so it is orthogonal to none that matters.
    v = torch.sin(torch.arange(1, size + 1, device=layer.weight.device).to(layer.weight)).view(1, *layer.in_shape)
    norm = v.norm()
    for _ in range(iterations):
        v = layer.transpose(layer.affine(v / norm, bias=False), weight)
        norm = v.norm().clamp(min=torch.finfo(v.dtype).tiny)
    return norm
