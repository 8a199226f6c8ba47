"""Rules in which each layer learns to rebuild what it receives, and labels teach the readout alone.

Every hidden layer has weights V back to its input, and learns so that what comes back is what came in; all layers do so
at once, each from the activity that the ones below it have at the time.

- Autoencoder (Rumelhart, Hinton & Williams 1986, Nature 323:533; layer by layer: Bengio et al. 2007, NIPS 19; from
  corrupted inputs: Vincent et al. 2010, J. Mach. Learn. Res. 11:3371): the exact derivative of the squared error.
- Recirculation (Hinton & McClelland 1988, NIPS 0:358): activity goes round the loop, and its change in time stands for
  that derivative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Conv, Layer, LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule, gaussian, output_delta

# Of weights back at the start, on the scale that keeps the size of activity. Where what comes back is as large as what came
# in, and still wrong, layers first learn to be silent, and rectified units stay so.
SMALL = 0.3


@dataclass(frozen=True)
class Backward:
    """A layer's way back to its input: ``V h + c``.

    Attributes:
        layer: whose input it rebuilds.
        weight: V, in the shape of the layer's own.
        bias: c, one for each input unit, or for each channel under a convolution.
    """

    layer: Layer
    weight: nn.Parameter
    bias: nn.Parameter

    def rebuild(self, h: Tensor) -> Tensor:
        """The input as it comes back, linear."""
        return self.layer.transpose(h, self.weight) + self.bias

    def pull(self, delta: Tensor) -> Tensor:
        """A derivative with respect to what comes back, carried to the layer's activity: ``V^T delta``."""
        layer = self.layer
        if isinstance(layer, Conv):
            return functional.conv2d(delta, self.weight, None, layer.stride, layer.padding)
        return functional.linear(delta.flatten(1), self.weight)

    def fill(self, h: Tensor, delta: Tensor) -> None:
        """Set ``.grad`` of V and c from the derivative with respect to what comes back."""
        self.weight.grad = self.layer.gradients(delta, h)[0]
        self.bias.grad = delta.sum(0).sum_to_size(self.bias.shape)


class Rebuilding(Rule):
    """The shared step: forward, each hidden layer by itself, delta rule in the readout. A subclass says how it learns.

    V starts random and small, c at zero. They are the rule's own parameters, which the optimizer moves too.
    """

    family = "differences in time"
    feedback = "vector"
    needs = Needs(labels=False)

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[:-1]:
            shape = (layer.in_shape[0], 1, 1) if isinstance(layer, Conv) else layer.in_shape
            size = SMALL * (math.prod(layer.in_shape) / math.prod(layer.out_shape)) ** 0.5
            # Turned over: seeded as the network was, the same draws would make V a copy of W.
            drawn = layer.random_weight(generator).flip(0)
            self.register_parameter(f"backward_{name}", nn.Parameter(drawn * size))
            self.register_parameter(f"backward_bias_{name}", nn.Parameter(layer.weight.new_zeros(shape)))

    def backward(self, name: str, layer: Layer) -> Backward:
        """From a layer to its input."""
        return Backward(layer, self.get_parameter(f"backward_{name}"), self.get_parameter(f"backward_bias_{name}"))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        *hidden, (_, last) = net.layers.items()
        for (name, layer), h in zip(hidden, trace.inputs, strict=False):
            self.learn(self.backward(name, layer), h, generator)
        last.weight.grad, last.bias.grad = last.gradients(trace.inputs[-1], output_delta(net, trace, y, loss))
        return Credit(loss(trace.output, y))

    def learn(self, back: Backward, x: Tensor, generator: torch.Generator | None) -> None:
        """Set ``.grad`` of a layer and of its way back.

        Args:
            back: the way back, with the layer.
            x: what the layer receives, ``(B, *in_shape)``.
            generator: of noise.
        """
        raise TypeError(f"{type(self).__name__} does not say how a layer learns")


class Autoencoder(Rebuilding):
    """Layerwise autoencoders: the gradient of ``|x - V f(W x + b) - c|^2 / 2``, x being what the layer receives.

    Two phases, up and back, then the error goes the same way: ``delta_x = V h + c - x``, ``delta_h = (V^T delta_x) .
    f'(a)``. Local to the layer and its input, but V carries errors as its own transpose. No layer hears of those above.

    Args:
        noise: standard deviation of Gaussian noise on what the layer sees (not on what it is to rebuild); 0 for none.
    """

    name = "autoencoder"
    short = "AE"
    learning_rate = 3e-3
    reference = "Bengio, Lamblin, Popovici & Larochelle 2007, NIPS 19:153"

    def __init__(self, *, noise: float = 0.0) -> None:
        super().__init__()
        if not noise >= 0:
            raise InputError(f"autoencoder needs a noise of 0 or more, but got {noise}")
        self.noise = noise

    def learn(self, back: Backward, x: Tensor, generator: torch.Generator | None) -> None:
        layer = back.layer
        seen = x + self.noise * gaussian(x, generator) if self.noise > 0 else x
        a = layer.affine(seen)
        h = layer.activate(a)
        delta = (back.rebuild(h) - x) / len(x)
        back.fill(h, delta)
        layer.weight.grad, layer.bias.grad = layer.gradients(seen, layer.activate_vjp(a, back.pull(delta)))


class Recirculation(Rebuilding):
    """Recirculation: activity goes round between a layer and its input, and weights follow its changes.

    Hinton & McClelland 1988. Four phases, with a share ``l`` (``regression``) of the activity kept: input ``x0``; hidden
    ``h1 = f(W x0 + b)``; input again, ``x2 = l x0 + (1 - l) (V h1 + c)``; hidden again, ``h3 = l h1 + (1 - l) f(W x2 + b)``.
    Then ``grad V = -(x0 - x2) h1^T`` and ``grad W = -(h1 - h3) x2^T``: each synapse sees its input and how its target
    changes, all local. The first is ``1 - l`` times the autoencoder's gradient. Where V is the transpose of W, so is the
    second, to first order and times ``(1 - l)^2``; V starts apart from it and turns towards it. At rest ``h3`` is ``h1``:
    activity goes round unchanged, which for linear units any W reaches, with principal components or without. (The paper's
    visible units are not linear, as they are here.)

    Args:
        regression: ``l``, from 0 to below 1.
    """

    name = "recirculation"
    short = "Recirc"
    learning_rate = 1e-3
    reference = "Hinton & McClelland 1988, NIPS 0:358"

    def __init__(self, *, regression: float = 0.75) -> None:
        super().__init__()
        if not 0 <= regression < 1:
            raise InputError(f"recirculation needs a regression from 0 to below 1, but got {regression}")
        self.regression = regression

    def learn(self, back: Backward, x: Tensor, generator: torch.Generator | None) -> None:
        layer, kept = back.layer, self.regression
        first = layer(x)
        again = kept * x + (1 - kept) * back.rebuild(first)
        second = kept * first + (1 - kept) * layer(again)
        back.fill(first, (again - x) / len(x))
        layer.weight.grad, layer.bias.grad = layer.gradients(again, (second - first) / len(x))
