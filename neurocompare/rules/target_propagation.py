"""Target propagation: what comes down is not an error but what a layer's activity should have been.

Learnt inverses ``g_{l+1}`` take the target of a layer to that of the layer below; each layer then moves its activity
towards its target by a delta rule of its own, ``g_W = -((h~ - h) . f'(a)) h_{l-1}^T``.

- Bengio 2014, arXiv:1407.7906: ``h~_l = g_{l+1}(h~_{l+1})``.
- Lee, Zhang, Fischer & Bengio 2015, arXiv:1412.7525: ``h~_l = h_l - g_{l+1}(h_{l+1}) + g_{l+1}(h~_{l+1})``, so
  an inverse that is not exact does no harm where the target is the activity itself.
- Bartunov et al. 2018, arXiv:1807.04587: the same from the output down, without a gradient at the top.
- Ernoult et al. 2022, arXiv:2201.13415: inverses that learn the transposed Jacobian, so targets follow the gradient.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet, Trace
from neurocompare.rules.base import Credit, Rule, fill_gradients, gaussian, output_delta
from neurocompare.rules.inverses import Inverse, draw

Read = Callable[[Tensor], Tensor]  # from a layer's input to what its inverse reads


class TargetPropagation(Rule):
    """Target propagation: ``h~_l = g_{l+1}(h~_{l+1})``, from ``h~ = h - s dC/dh`` in the last hidden layer.

    Bengio 2014; the top target as in Lee et al. 2015. Phases: forward; targets down; and a feedback phase in which each
    inverse learns to restore the input u of its layer, with noise, from the layer's output: ``1/2 |g(f(u)) - u|^2``. All
    three updates are local; the last hidden layer's target takes the readout's transposed weights. The teaching signal is
    divided by s, as a derivative would be.

    Args:
        target_step: s; without the correction, the error of the inverses counts as part of a target, so it must be large.
        noise: standard deviation of the noise on u.
        feedback_steps: of the optimizer on the inverses for each step on the network.
    """

    name = "target_propagation"
    short = "TP"
    family = "target propagation"
    feedback = "vector"
    learning_rate = 3e-4
    reference = "Bengio 2014, arXiv:1407.7906"
    corrected = False
    biased = True

    def __init__(self, *, target_step: float = 100.0, noise: float = 0.1, feedback_steps: int = 1) -> None:
        super().__init__()
        if not target_step > 0 or not noise > 0 or feedback_steps < 1:
            raise InputError(
                f"{self.name} needs target_step > 0, noise > 0 and feedback_steps >= 1, "
                f"but got {target_step}, {noise} and {feedback_steps}"
            )
        self.target_step, self.noise, self.feedback_steps = target_step, noise, feedback_steps
        self.inverses = nn.ModuleDict()

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        hidden = list(net.layers.items())[:-1]
        for (_, below), (name, layer) in itertools.pairwise(hidden):
            self.inverses[name] = draw(layer, below, generator, bias=self.biased)

    def step(
        self,
        net: LayeredNet,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Credit:
        for _ in range(self.feedback_steps - 1):
            net.zero_grad()
            self.learn_inverses(net, net.trace(x), loss, generator)
            optimizer.step()
        return super().step(net, optimizer, x, y, loss, generator)

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trace = net.trace(x)
        top = output_delta(net, trace, y, loss)
        hidden, activities = list(net.layers.values())[:-1], trace.inputs[1:]
        targets = self.targets(net, trace, y, loss) if hidden else []
        scale = -1 / (self.target_step * len(x))
        deltas = [
            layer.activate_vjp(a, scale * (target - h))
            for layer, a, h, target in zip(hidden, trace.preactivations, activities, targets, strict=False)
        ]
        fill_gradients(net, trace.inputs, [*deltas, top])
        self.learn_inverses(net, trace, loss, generator)
        return Credit(loss(trace.output, y), (*deltas, top), tuple(targets))

    def targets(self, net: LayeredNet, trace: Trace, y: Tensor, loss: Loss) -> list[Tensor]:
        """Of each hidden layer."""
        layers, activities = list(net.layers.items()), trace.inputs[1:]
        downwards = [self.first_target(net, trace, y, loss)]
        for number in reversed(range(len(layers) - 2)):
            (_, below), (name, layer) = layers[number : number + 2]
            pair = activities[number], activities[number + 1]
            downwards.append(self.carry(self.inverses[name], layer, below, *pair, downwards[-1]))
        return downwards[::-1]

    def first_target(self, net: LayeredNet, trace: Trace, y: Tensor, loss: Loss) -> Tensor:
        """Of the last hidden layer."""
        readout = list(net.layers.values())[-1]
        return trace.inputs[-1] - self.target_step * readout.transpose(loss.error(trace.output, y))

    def carry(self, inverse: nn.Module, layer: Layer, below: Layer, h: Tensor, above: Tensor, target: Tensor) -> Tensor:
        """The target of ``h`` from that of the activity ``above``."""
        if not self.corrected:
            return self.invert(inverse, layer, below, target)
        there, here = self.invert(inverse, layer, below, torch.cat([target, above])).chunk(2)
        return h + (there - here)

    def invert(self, inverse: nn.Module, layer: Layer, below: Layer, h: Tensor) -> Tensor:
        """``g(h) = f(V^T h + c)``, f being the activation of the layer below."""
        return below.activate(inverse(layer, h))

    def learn_inverses(self, net: LayeredNet, trace: Trace, loss: Loss, generator: torch.Generator | None) -> None:
        """Set ``.grad`` of each inverse."""
        layers = list(net.layers.items())
        for (_, below), (name, layer), h in zip(layers, layers[1:], trace.inputs[1:], strict=False):
            if name in self.inverses:
                read = partial(self.seen, layer, loss=loss) if name == layers[-1][0] else layer
                self.learn_inverse(cast(Inverse, self.inverses[name]), layer, below, h, read, generator)

    def learn_inverse(
        self, inverse: Inverse, layer: Layer, below: Layer, h: Tensor, read: Read, generator: torch.Generator | None
    ) -> None:
        """Set ``.grad`` to the derivative of ``1/2 |g(f(u)) - u|^2``, ``u = h + noise``; ``read`` is ``f``."""
        u = h + self.noise * gaussian(h, generator)
        above = read(u)
        p = inverse(layer, above)
        inverse.fill_gradients(layer, above, below.activate_vjp(p, (below.activate(p) - u) / len(u)))

    def seen(self, readout: Layer, h: Tensor, loss: Loss) -> Tensor:
        """What an inverse of the readout reads when the readout's input is ``h``."""
        return readout(h)


class DifferenceTargetPropagation(TargetPropagation):
    """Difference target propagation: ``h~_l = h_l - g_{l+1}(h_{l+1}) + g_{l+1}(h~_{l+1})``.

    Lee et al. 2015, with phases and locality as in target propagation; the correction needs the inverse twice, at the
    activity and at its target. With exact inverses of linear layers the difference is ``pinv(W) (h~ - h)``: a Gauss-Newton
    step rather than the gradient. With ``J_g = J_f^T`` it is the gradient.

    Args:
        target_step, noise, feedback_steps: as in target propagation.
    """

    name = "difference_target_propagation"
    short = "DTP"
    reference = "Lee, Zhang, Fischer & Bengio 2015, arXiv:1412.7525"
    corrected = True

    def __init__(self, *, target_step: float = 1.0, noise: float = 0.1, feedback_steps: int = 1) -> None:
        super().__init__(target_step=target_step, noise=noise, feedback_steps=feedback_steps)
