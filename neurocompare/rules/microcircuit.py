"""Dendritic microcircuits: errors are what interneurons fail to explain of the activity above.

Sacramento, Ponte Costa, Bengio & Senn 2018, NeurIPS 31, arXiv:1810.11393. Beside each hidden layer live interneurons that
learn to mimic the layer above; in the apical dendrites of the pyramidal cells they cancel what comes from there. What a
teacher adds at the output is not cancelled, and moves the cells away from what their basal dendrites predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Conv, Layer, LayeredNet
from neurocompare.rules.base import Credit, Rule, fill_gradients
from neurocompare.rules.settling import State, settle

Teacher = tuple[Tensor, Loss]


@dataclass(frozen=True)
class Circuit:
    """What hangs on the apical dendrites of one hidden layer, all weights in the shape of the layer above.

    Attributes:
        above: the layer above.
        top_down: W_PP, from its pyramidal cells to the apical dendrites (transposed).
        predict: W_IP, from the pyramidal cells to the interneurons.
        bias: of the interneurons.
        cancel: W_PI, from the interneurons to the apical dendrites (transposed); a parameter where it learns.
        nudge: lambda.
    """

    above: Layer
    top_down: Tensor
    predict: nn.Parameter
    bias: nn.Parameter
    cancel: Tensor
    nudge: float

    def interneurons(self, r: Tensor, u_above: Tensor) -> tuple[Tensor, Tensor]:
        """What their dendrites predict, and their potentials: drawn to those of the pyramidal cells above."""
        layer = self.above
        if isinstance(layer, Conv):
            r = r.contiguous(memory_format=torch.channels_last)
            v = functional.conv2d(r, self.predict, self.bias, layer.stride, layer.padding)
        else:
            v = functional.linear(r.flatten(1), self.predict, self.bias)
        return v, v + self.nudge * (u_above - v)

    def apical(self, r: Tensor, u_above: Tensor) -> Tensor:
        """``W_PP r_above + W_PI r_I``."""
        f, (_, u) = self.above.activate, self.interneurons(r, u_above)
        return self.above.transpose(f(u_above), self.top_down) + self.above.transpose(f(u), self.cancel)

    def learn_to_predict(self, r: Tensor, u_above: Tensor, gain: float) -> None:
        """Set ``.grad`` of W_IP: interneurons' dendrites are to predict their somata."""
        f, (v, u) = self.above.activate, self.interneurons(r, u_above)
        self.predict.grad, self.bias.grad = self.above.gradients(r, (f(v) - f(u)) * gain / len(r))

    def learn_to_cancel(self, r: Tensor, u_above: Tensor) -> None:
        """Set ``.grad`` of W_PI, if it learns: apical dendrites are to be silent."""
        if isinstance(self.cancel, nn.Parameter):
            r_inter = self.above.activate(self.interneurons(r, u_above)[1])
            self.cancel.grad = self.above.gradients(self.apical(r, u_above) / len(r), r_inter)[0]


class DendriticMicrocircuit(Rule):
    """Dendritic microcircuits, in rates at rest: ``dW_k = (f(u_k) - f(v_k)) r_{k-1}^T / lambda^(N - k + 1)``.

    Sacramento et al. 2018. Basal prediction ``v_k = W_k r_{k-1} + b_k``, apical potential ``v_A,k = W_PP r_{k+1} + W_PI
    r_I,k``, soma ``u_k = v_k + lambda v_A,k``, rates ``r = f(u)``; interneurons ``u_I,k = (1 - lambda) v_I,k + lambda
    u_{k+1}``, ``v_I,k = W_IP r_k + b_I``; at the output ``u_N = v_N - lambda e``. Self-predicting, with ``W_IP = W_{k+1}``
    and ``W_PI = -W_PP``, the circuit without a teacher is the forward pass; with a weak one, updates are those of feedback
    alignment through ``W_PP``. Local in space and time: a synapse sees its input and two compartments of its cell. Powers
    of lambda, which undo the weakening of the signal on its way, are one constant per layer (in the paper, learning rates).

    Two phases, without and with the teacher; all but ``W_PI`` learn in the second. ``dW_IP = (f(u_I) - f(v_I)) r^T`` (to
    the same scale as ``dW_{k+1}``, which it equals where the teacher is weak) keeps the interneurons up with the layer that
    they mimic, if rates are small; where it does not, what they miss drowns the signal. ``dW_PI = -v_A r_I^T`` learns
    in the first: under a teacher it would silence that too.

    Args:
        nudge: lambda, of the teacher, the apical dendrites and the interneurons alike.
        sweeps: up and down again, to settle.
        symmetric: ``W_PP`` is the transpose of ``W_{k+1}`` at all times, in place of fixed and random.
        matched: the circuit starts self-predicting, and ``W_PI`` stays as it is if ``W_PP`` is fixed; otherwise lateral
            weights start random, and should learn before labels come (as under a loss without error).
    """

    name = "dendritic_microcircuit"
    short = "Micro"
    family = "differences in space"
    feedback = "vector"
    learning_rate = 2e-4
    reference = "Sacramento, Ponte Costa, Bengio & Senn 2018, arXiv:1810.11393"

    def __init__(self, *, nudge: float = 0.5, sweeps: int = 2, symmetric: bool = False, matched: bool = True) -> None:
        super().__init__()
        if not 0 < nudge < 1:
            raise InputError(f"dendritic_microcircuit needs a nudge between 0 and 1, but got {nudge}")
        if sweeps < 1:
            raise InputError(f"dendritic_microcircuit needs at least 1 sweep, but got {sweeps}")
        self.nudge, self.sweeps = nudge, sweeps
        self.symmetric, self.matched = symmetric, matched

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[1:]:
            # Turned over: seeded as the network was, and layers being alike, W_IP would be a copy of W.
            top_down, predict, cancel = (layer.random_weight(generator).flip(0) for _ in range(3))
            bias = torch.zeros_like(layer.bias)
            if self.symmetric:
                top_down = layer.weight
            else:
                self.register_buffer(f"top_down_{name}", top_down)
            if self.matched:
                predict, bias, cancel = layer.weight, layer.bias, -top_down
            for role, value in (("predict", predict), ("bias", bias)):
                self.register_parameter(f"{role}_{name}", nn.Parameter(value.detach().clone()))
            if self.matched and not self.symmetric:  # it cancels what is fixed, and has nothing to learn
                self.register_buffer(f"cancel_{name}", cancel)
            else:
                self.register_parameter(f"cancel_{name}", nn.Parameter(cancel.detach().clone()))

    def circuits(self, net: LayeredNet) -> list[Circuit]:
        """Of the hidden layers, first to last."""
        found = []
        for name, layer in list(net.layers.items())[1:]:
            top_down = layer.weight if self.symmetric else self.get_buffer(f"top_down_{name}")
            predict, bias = (self.get_parameter(f"{role}_{name}") for role in ("predict", "bias"))
            found.append(Circuit(layer, top_down, predict, bias, getattr(self, f"cancel_{name}"), self.nudge))
        return found

    def basal(self, net: LayeredNet, x: Tensor, moves: State) -> tuple[State, State]:
        """What each layer's basal dendrites predict, and its potentials, given how far each soma is moved from there."""
        predicted, potentials = [], []
        for layer, move in zip(net.layers.values(), moves, strict=True):
            predicted.append(layer.affine(x))
            potentials.append(predicted[-1] + move)
            x = layer.activate(potentials[-1])
        return predicted, potentials

    def settled(self, net: LayeredNet, x: Tensor, moves: State, teacher: Teacher | None) -> tuple[State, Tensor]:
        """How far each soma is from what its basal dendrites predict, at rest, and the residual."""
        layers, circuits = list(net.layers.values()), self.circuits(net)

        def sweep(moves: State) -> State:
            predicted, potentials = self.basal(net, x, moves)
            last, v = layers[-1], predicted[-1]
            move = torch.zeros_like(v)
            if teacher is not None:
                y, loss = teacher
                move = -self.nudge * last.activate_vjp(v, loss.error(last.activate(v), y))
            found = [move]
            for index in range(len(circuits) - 1, -1, -1):
                r = layers[index].activate(potentials[index])
                found.insert(0, self.nudge * circuits[index].apical(r, predicted[index + 1] + found[0]))
            return found

        return settle(sweep, moves, self.sweeps)

    def unmoved(self, net: LayeredNet, x: Tensor) -> State:
        """All somata as their basal dendrites predict."""
        return [x.new_zeros(len(x), *layer.out_shape) for layer in net.layers.values()]

    def activities(self, net: LayeredNet, x: Tensor) -> dict[str, Tensor]:
        _, potentials = self.basal(net, x, self.settled(net, x, self.unmoved(net, x), None)[0])
        return {n: layer.activate(u) for (n, layer), u in zip(net.layers.items(), potentials, strict=True)}

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        layers = list(net.layers.values())
        free, _ = self.settled(net, x, self.unmoved(net, x), None)
        _, potentials = self.basal(net, x, free)
        output = layers[-1].activate(potentials[-1])
        for circuit, layer, u, above in zip(self.circuits(net), layers, potentials, potentials[1:], strict=False):
            circuit.learn_to_cancel(layer.activate(u), above)
        moves, residual = self.settled(net, x, free, (y, loss))
        predicted, potentials = self.basal(net, x, moves)
        rates = [layer.activate(u) for layer, u in zip(layers, potentials, strict=True)]
        gains = [self.nudge ** (index - len(layers)) for index in range(len(layers))]
        changes = [layer.activate(v) - r for layer, v, r in zip(layers, predicted, rates, strict=True)]
        changes[-1] = -moves[-1]  # the same for a linear unit, without rounding
        deltas = [change * gain / len(x) for change, gain in zip(changes, gains, strict=True)]
        fill_gradients(net, [x, *rates[:-1]], deltas)
        for circuit, r, u, gain in zip(self.circuits(net), rates, potentials[1:], gains, strict=False):
            circuit.learn_to_predict(r, u, gain)
        return Credit(loss(output, y), tuple(deltas), residuals=(residual,))
