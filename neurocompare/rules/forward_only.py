"""Rules that learn from a second forward pass: nothing travels backwards.

- Hinton 2022, arXiv:2212.13345: each layer tells real data from false by how active it is.
- Dellaferrera & Kreiman 2022, arXiv:2201.11665: the second pass sees the input with the error added to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet, Trace
from neurocompare.rules.base import Credit, Needs, Rule, fill_gradients, output_delta, to_units


class Pepita(Rule):
    """PEPITA: ``g_l = (h_l - h_l') h_{l-1}'^T / s``, where ``h'`` is the activity in a second pass on ``x + s F e``.

    Dellaferrera & Kreiman 2022, algorithm 1. Phases: a forward pass, which gives the output's error e; a second one on the
    input with e added through the fixed random F; the readout learns from e and ``h_{L-1}'``. A synapse needs the two
    activities of its unit, one of its input, and no feedback connection but F. To first order ``h_l - h_l' = -s f' . W_l ..
    W_1 F e``: the feedback adapts as the weights do (Srinivasan et al. 2023, arXiv:2302.05440); with one hidden layer this
    is direct feedback alignment through ``-W_1 F``. Division by s makes it a derivative.

    Since ``h_0'`` contains ``s F e`` too, each step adds ``s f' . W_1 F e e^T F^T`` to ``W_1``, which feeds itself: with too
    large an s the weights run away along F.

    Args:
        feedback_scale: s; entries of F are ``N(0, 1 / inputs)``, so ``|s F e|`` is about ``s |e|`` (0.14 in the paper, whose
            steps were smaller).
    """

    name = "pepita"
    short = "PEPITA"
    family = "forward only"
    feedback = "vector"
    reference = "Dellaferrera & Kreiman 2022, ICML; arXiv:2201.11665"

    def __init__(self, *, feedback_scale: float = 0.05) -> None:
        super().__init__()
        if not feedback_scale > 0:
            raise InputError(f"pepita needs feedback_scale > 0, but got {feedback_scale}")
        self.feedback_scale = feedback_scale

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        inputs = math.prod(net.in_shape)
        self.register_buffer("projection", torch.randn(inputs, net.n_outputs, generator=generator) / inputs**0.5)

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        error = loss.error(trace.output, y)
        added = to_units(error, self.get_buffer("projection"), net.in_shape)
        second = net.trace(x + self.feedback_scale * added)
        hidden = zip(trace.inputs[1:], second.inputs[1:], strict=True)
        scale = 1 / (self.feedback_scale * len(x))
        deltas = (*(scale * (h - modulated) for h, modulated in hidden), output_delta(net, trace, y, loss))
        fill_gradients(net, second.inputs, deltas)
        return Credit(loss(trace.output, y), deltas)


class ForwardForward(Rule):
    """Forward-forward: each layer raises its goodness for data with the right label, and lowers it for a wrong one.

    Hinton 2022. The goodness of a layer is the mean square of its activity, and the probability that its input is real
    ``sigmoid((goodness - threshold) / temperature)``; each layer descends its own cross-entropy. A layer's input is the
    activity of the one below divided by its root mean square, so goodness is not handed on. Labels enter with the input:
    a fixed random pattern for each class is added to it. Phases: a pass with the right label, one with a wrong one, drawn
    by how likely the network thinks it, and one with all patterns averaged, from whose normalised last hidden activity the
    readout learns and predicts. All of it is local but for the normalisation.

    Args:
        threshold: of goodness, which is 1 on average before learning.
        temperature: how much goodness makes a layer sure.
        label_scale: root mean square of the patterns.
    """

    name = "forward_forward"
    short = "FF"
    family = "forward only"
    feedback = "none"
    reference = "Hinton 2022, arXiv:2212.13345"
    needs = Needs(activations=("relu",), several_tasks=False)

    def __init__(self, *, threshold: float = 2.0, temperature: float = 0.1, label_scale: float = 1.0) -> None:
        super().__init__()
        if not threshold > 0 or not temperature > 0 or not label_scale > 0:
            raise InputError(
                f"forward_forward needs threshold, temperature and label_scale > 0, "
                f"but got {threshold}, {temperature} and {label_scale}"
            )
        self.threshold, self.temperature, self.label_scale = threshold, temperature, label_scale

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        self.register_buffer(
            "labels", self.label_scale * torch.randn(net.n_outputs, *net.in_shape, generator=generator)
        )

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        neutral = self.normalised_pass(net, self._unlabelled(x))
        wrong = wrong_labels(neutral.output, y, generator)
        labelled = x.repeat(2, *[1] * (x.ndim - 1)) + self.get_buffer("labels")[torch.cat([y, wrong])]
        trace = self.normalised_pass(net, labelled)
        sign = torch.ones_like(trace.output[:, 0])
        sign[len(x) :] = -1
        deltas = [
            self.goodness_delta(layer, a, sign) / len(x)
            for layer, a in zip(list(net.layers.values())[:-1], trace.preactivations, strict=False)
        ]
        top = output_delta(net, neutral, y, loss)
        fill_gradients(net, [*trace.inputs[:-1], neutral.inputs[-1]], [*deltas, top])
        return Credit(loss(neutral.output, y))

    def goodness_delta(self, layer: Layer, a: Tensor, sign: Tensor) -> Tensor:
        """Derivative of ``softplus(-sign (goodness - threshold) / temperature)`` with respect to ``a``, by sample.

        Args:
            layer: whose pre-activation ``a`` is, ``(B, *out_shape)``.
            a: of it.
            sign: 1 for real data, -1 for false, ``(B,)``.
        """
        h = layer.activate(a)
        each = (-1, *[1] * (a.ndim - 1))
        evidence = sign * (mean_square(h) - self.threshold) / self.temperature
        slope = -sign * torch.sigmoid(-evidence) / self.temperature
        return layer.activate_vjp(a, slope.view(each) * h * (2 / h[0].numel()))

    def activities(self, net: LayeredNet, x: Tensor) -> dict[str, Tensor]:
        """Of each layer in the pass without a label, before normalisation."""
        trace = self.normalised_pass(net, self._unlabelled(x))
        return {
            name: layer.activate(a) for (name, layer), a in zip(net.layers.items(), trace.preactivations, strict=True)
        }

    def normalised_pass(self, net: LayeredNet, x: Tensor) -> Trace:
        """A forward pass in which each hidden layer hands on its activity at a root mean square of 1."""
        inputs, preactivations = [x], []
        for layer in net.layers.values():
            preactivations.append(layer.affine(inputs[-1]))
            h = layer.activate(preactivations[-1])
            inputs.append(h / (mean_square(h).sqrt() + 1e-6).view(-1, *[1] * (h.ndim - 1)))
        return Trace(inputs[:-1], preactivations, preactivations[-1])

    def _unlabelled(self, x: Tensor) -> Tensor:
        return x + self.get_buffer("labels").mean(0)


def mean_square(h: Tensor) -> Tensor:
    """Over the units of each sample, ``(B,)``."""
    return h.flatten(1).square().mean(1)


def wrong_labels(output: Tensor, y: Tensor, generator: torch.Generator | None) -> Tensor:
    """A label other than y for each sample, in proportion to its probability (by the Gumbel-max trick)."""
    uniform = torch.rand(output.shape, generator=generator, device=output.device, dtype=output.dtype)
    gumbel = -torch.log(-torch.log(uniform))
    return (output + gumbel).scatter(1, y[:, None], -torch.inf).argmax(1)
