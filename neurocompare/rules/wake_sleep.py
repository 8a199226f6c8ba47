"""Wake-sleep: two sets of weights, up and down, that learn from each other by turns.

Hinton, Dayan, Frey & Neal 1995, Science 268:1158. Awake, activity goes up from an image and the weights down learn to
produce each layer from the one above; asleep, it comes down from nowhere, and the weights up learn to infer its causes.
Either way a layer has a guess and sees the truth: the delta rule, and nobody sends errors. Labels teach the readout alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule, gaussian, output_delta

# Of weights down at the start, times the root of the number of units above: half of these on at random then give a drive of
# variance 1. With less of it dreams say little of their causes, and it takes long to get going.
SPREAD = 2.0


class WakeSleep(Rule):
    """Wake-sleep in a stack of binary stochastic units (a Helmholtz machine) whose lowest layer is Gaussian.

    Recognition is the network's own: ``q(h_l = 1 | h_{l-1}) = f(W_l h_{l-1} + b_l)``. Generation has weights V and biases c
    of the rule's own: top units are on with probability ``f(c)``, then ``p(h_{l-1} = 1 | h_l) = f(V_l^T h_l + c_{l-1})``,
    and ``x ~ N(V_1^T h_1 + c_0, noise^2)``.

    - Wake: h is drawn from q, upwards from x; ``grad V_l = -h_l (h_{l-1} - p_{l-1})^T``, p the probability or mean given
      h_l, over ``noise^2`` in the first layer: in the mean, the gradient of the variational free energy ``<log q - log
      p>``.
    - Sleep: h and x are drawn from p, downwards; ``grad W_l = -(h_l - q_l) h_{l-1}^T``, q the probability given what is
      below: in the mean, the gradient of ``KL(p || q)`` (not of the free energy, which has them the other way round).
    - Readout: the delta rule, on probabilities of the forward pass without noise.

    Local in space: a unit compares its state with what it was told to expect. What is not: plasticity of each kind must
    know the phase, and connections in one direction drive units while those in the other wait.

    Args:
        noise: standard deviation of ``x`` in dreams. With much of it dreams say little about their causes, and units come
            to ignore their input; at 1, all the variance of a standardised image, it hardly learns.
    """

    name = "wake_sleep"
    short = "W-S"
    family = "differences in time"
    feedback = "vector"
    learning_rate = 1e-2
    reference = "Hinton, Dayan, Frey & Neal 1995, Science 268:1158"
    needs = Needs(labels=False, convolutions=False, activations=("sigmoid",))

    def __init__(self, *, noise: float = 0.3) -> None:
        super().__init__()
        if not noise > 0:
            raise InputError(f"wake_sleep needs a noise above 0, but got {noise}")
        self.noise = noise

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        *hidden, _ = net.layers.items()
        for name, layer in hidden:
            # Turned over: seeded as the network was, the same draws would make V a copy of W.
            drawn = layer.random_weight(generator).flip(0)
            size = SPREAD * (math.prod(layer.in_shape) / math.prod(layer.out_shape)) ** 0.5
            self.register_parameter(f"down_{name}", nn.Parameter(size * drawn))
            self.register_parameter(f"down_bias_{name}", nn.Parameter(layer.weight.new_zeros(layer.in_shape)))
        if hidden:
            self.top = nn.Parameter(torch.zeros_like(hidden[-1][1].bias))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        *hidden, (_, last) = net.layers.items()
        if hidden:
            self.wake(dict(hidden), x, generator)
            self.sleep(dict(hidden), x, generator)
        last.weight.grad, last.bias.grad = last.gradients(trace.inputs[-1], output_delta(net, trace, y, loss))
        return Credit(loss(trace.output, y))

    def wake(self, hidden: dict[str, Layer], x: Tensor, generator: torch.Generator | None) -> None:
        """Up from the input; fills the gradients of weights down."""
        below = x
        for number, (name, layer) in enumerate(hidden.items()):
            above = _on(layer(below), generator)
            precision = 1 if number > 0 else self.noise**-2
            delta = precision * (self.down(name, layer, above, binary=number > 0) - below) / len(x)
            self.get_parameter(f"down_{name}").grad = layer.gradients(delta, above)[0]
            self.get_parameter(f"down_bias_{name}").grad = delta.sum(0)
            below = above
        self.top.grad = (torch.sigmoid(self.top) - below).mean(0)

    def sleep(self, hidden: dict[str, Layer], x: Tensor, generator: torch.Generator | None) -> None:
        """Down from the top, as many dreams as there are inputs; fills the gradients of weights up."""
        above = _on(torch.sigmoid(self.top).expand(len(x), -1), generator)
        for number, (name, layer) in reversed(list(enumerate(hidden.items()))):
            guess = self.down(name, layer, above, binary=number > 0)
            below = _on(guess, generator) if number > 0 else guess + self.noise * gaussian(guess, generator)
            layer.weight.grad, layer.bias.grad = layer.gradients(below, (layer(below) - above) / len(x))
            above = below

    def down(self, name: str, layer: Layer, above: Tensor, *, binary: bool) -> Tensor:
        """Of a layer's input given its state: the probability, or the mean of ``x``."""
        drive = layer.transpose(above, self.get_parameter(f"down_{name}")) + self.get_parameter(f"down_bias_{name}")
        return torch.sigmoid(drive) if binary else drive


def _on(p: Tensor, generator: torch.Generator | None) -> Tensor:
    """1 with probability p, else 0."""
    return (torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p).to(p.dtype)
