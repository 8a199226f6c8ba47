"""Predictive coding: activities settle between the prediction from below and the error that they cause above.

Value units ``v_l`` over the input ``v_0`` descend the energy ``F = sum_l |eps_l|^2 / 2 + C`` with ``eps_l = v_l - f(a_l)``
and ``a_l = W_l v_{l-1} + b_l`` in hidden layers. C is the loss of the readout's ``a_L``, so ``eps_L = -dC/da_L``; for the
squared error this is an output clamped to its label.

- Whittington & Bogacz 2017, Neural Comput. 29:1229: settle, then learn.
- Millidge, Tschantz & Buckley 2022, Neural Comput. 34:1329: with predictions held at the forward pass, exactly backprop.
- Song, Lukasiewicz, Xu & Bogacz 2020, NeurIPS ("Can the brain do backpropagation?"): each layer learns at the one moment
  of the settling at which its error is backprop's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet, Trace
from neurocompare.rules.base import Credit, Rule, fill_gradients
from neurocompare.rules.settling import State, settle

# What a variant ends with: deltas (not yet divided by the batch), each layer's input, and the residual.
Settled = tuple[Sequence[Tensor], Sequence[Tensor], Tensor]


class _Inference:
    """The dynamics of one batch's value units; what the first layer receives from the input stands still."""

    def __init__(self, net: LayeredNet, trace: Trace, y: Tensor, loss: Loss) -> None:
        self.layers, self.first = list(net.layers.values()), trace.preactivations[0]
        self.y, self.loss = y, loss

    def signals(self, v: State) -> tuple[State, State]:
        """``eps_l`` of hidden layers; ``delta_l = dF/da_l`` of all: ``-f'(a_l) . eps_l``, and ``dC/da`` at the output."""
        eps, deltas = [], []
        preactivations = [self.first, *(layer.affine(h) for layer, h in zip(self.layers[1:], v, strict=True))]
        for layer, a, value in zip(self.layers, preactivations, v, strict=False):
            eps.append(value - layer.activate(a))
            deltas.append(layer.activate_vjp(a, -eps[-1]))
        return eps, [*deltas, self.loss.error(preactivations[-1], self.y)]

    def down(self, deltas: State) -> State:
        """``W_{l+1}^T delta_{l+1}`` for each hidden layer."""
        return [layer.transpose(delta) for layer, delta in zip(self.layers[1:], deltas[1:], strict=True)]

    def relax(self, v: State, eps: State, deltas: State, rate: float) -> State:
        """One step down the energy."""
        return [value - rate * (e + back) for value, e, back in zip(v, eps, self.down(deltas), strict=True)]


class PredictiveCoding(Rule):
    """Predictive coding: ``dv_l = -eps_l + W_{l+1}^T (f' . eps_{l+1})``, then ``g_l = -(f' . eps_l) v_{l-1}^T``.

    Phases: a forward pass, at which all hidden errors are zero; inference for some steps with the output's error on; one
    weight update, the derivative of F. Updates are local to value and error units; feedback goes through the transposed
    weights. Without a label nothing disturbs the forward pass, so this is what the rule predicts by.

    - ``"strict"``: as above. Where the output's error is small the update is close to the gradient; in general it is not.
    - ``"fixed_prediction"``: ``f(a_l)`` and ``f'(a_l)`` stay as in the forward pass. At rest the update is backprop's; at
      rate 1 this takes as many steps as there are hidden layers.
    - ``"zero_divergence"``: at rate 1, layer ``l`` learns after ``L - l`` steps, when its error is backprop's. ``steps`` and
      ``rate`` play no part.

    Args:
        variant: one of these.
        steps: of inference.
        rate: by how much of ``dv`` a step moves.
    """

    name = "predictive_coding"
    short = "PC"
    family = "differences in space"
    feedback = "vector"
    learning_rate = 3e-4
    reference = "Whittington & Bogacz 2017, Neural Comput. 29:1229"

    def __init__(self, *, variant: str = "strict", steps: int = 20, rate: float = 0.1) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("variant of predictive_coding", variant, VARIANTS)
        if steps < 1 or not 0 < rate <= 1:
            raise InputError(f"predictive_coding needs steps >= 1 and a rate in (0, 1], but got {steps} and {rate}")
        self.variant, self.steps, self.rate = variant, steps, rate

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        inference = _Inference(net, trace, y, loss)
        variant = VARIANTS[self.variant] if len(net.layers) > 1 else PredictiveCoding.zero_divergence
        deltas, inputs, residual = variant(self, inference, trace)
        deltas = tuple(delta / len(x) for delta in deltas)
        fill_gradients(net, inputs, deltas)
        return Credit(loss(trace.output, y), deltas, tuple(inputs[1:]), (residual,))

    def strict(self, inference: _Inference, trace: Trace) -> Settled:
        """Settle all layers together."""

        def update(v: State) -> State:
            return inference.relax(v, *inference.signals(v), self.rate)

        state, residual = settle(update, trace.inputs[1:], self.steps)
        return inference.signals(state)[1], [trace.inputs[0], *state], residual

    def fixed_prediction(self, inference: _Inference, trace: Trace) -> Settled:
        """Settle the errors alone; what predicts them stands still."""
        hidden, still = inference.layers[:-1], trace.preactivations
        *_, top = inference.signals(trace.inputs[1:])[1]

        def deltas(eps: State) -> State:
            return [*(layer.activate_vjp(a, -e) for layer, a, e in zip(hidden, still, eps, strict=False)), top]

        def update(eps: State) -> State:
            return [torch.lerp(e, -back, self.rate) for e, back in zip(eps, inference.down(deltas(eps)), strict=True)]

        eps, residual = settle(update, [torch.zeros_like(h) for h in trace.inputs[1:]], self.steps)
        return deltas(eps), trace.inputs, residual

    def zero_divergence(self, inference: _Inference, trace: Trace) -> Settled:
        """Take each layer's delta and input at its own time."""
        state, deltas, inputs = trace.inputs[1:], [], []
        for number in reversed(range(len(inference.layers))):
            eps, signals = inference.signals(state)
            deltas.append(signals[number])
            inputs.append([trace.inputs[0], *state][number])
            state = inference.relax(state, eps, signals, rate=1.0)
        return deltas[::-1], inputs[::-1], trace.output.new_zeros(())


VARIANTS: dict[str, Callable[[PredictiveCoding, _Inference, Trace], Settled]] = {
    "strict": PredictiveCoding.strict,
    "fixed_prediction": PredictiveCoding.fixed_prediction,
    "zero_divergence": PredictiveCoding.zero_divergence,
}
