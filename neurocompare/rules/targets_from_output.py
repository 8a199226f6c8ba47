"""Target propagation in which the first target is the output's, and comes down through an inverse of the readout too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import Layer, LayeredNet, Trace
from neurocompare.rules.base import gaussian
from neurocompare.rules.inverses import Inverse, draw
from neurocompare.rules.target_propagation import DifferenceTargetPropagation, Read


class TargetsFromOutput(DifferenceTargetPropagation):
    """What the two rules have in common: what the inverse of the readout reads has the target ``seen - s dC/do``."""

    further_outputs = 0

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        super().build(net, generator)
        layers = list(net.layers.items())
        if len(layers) > 1:
            (_, below), (name, readout) = layers[-2:]
            self.inverses[name] = draw(readout, below, generator, more=self.further_outputs, bias=self.biased)

    def first_target(self, net: LayeredNet, trace: Trace, y: Tensor, loss: Loss) -> Tensor:
        (_, below), (name, readout) = list(net.layers.items())[-2:]
        seen = self.seen(readout, trace.inputs[-1], loss)
        error = nn.functional.pad(loss.error(trace.output, y), (0, self.further_outputs))
        target = seen - self.target_step * error
        return self.carry(self.inverses[name], readout, below, trace.inputs[-1], seen, target)


class SimplifiedDifferenceTargetPropagation(TargetsFromOutput):
    """Simplified DTP: no gradient anywhere in hidden layers, for the top target is the label itself.

    Bartunov et al. 2018. The class probabilities q (the outputs themselves under the squared error) have the target
    ``q - s (q - label)``, which difference target propagation carries down. A label says little of the activity that it
    should restore, so the variant with ``auxiliary_outputs`` (AO-SDTP) lets the readout's inverse read further fixed random
    outputs of the last hidden layer too; their target is the value that they have, so they learn nothing.

    Args:
        auxiliary_outputs: how many; 0 for plain SDTP.
        target_step: s; 1 is the label.
        noise, feedback_steps: as in target propagation.
    """

    name = "simplified_difference_target_propagation"
    short = "SDTP"
    reference = "Bartunov et al. 2018, NeurIPS; arXiv:1807.04587"

    def __init__(
        self, *, auxiliary_outputs: int = 100, target_step: float = 1.0, noise: float = 0.1, feedback_steps: int = 1
    ) -> None:
        super().__init__(target_step=target_step, noise=noise, feedback_steps=feedback_steps)
        if auxiliary_outputs < 0:
            raise InputError(f"{self.name} needs auxiliary_outputs >= 0, but got {auxiliary_outputs}")
        self.further_outputs = auxiliary_outputs

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        super().build(net, generator)
        readout = list(net.layers.values())[-1]
        if self.further_outputs:
            drawn = torch.randn(self.further_outputs, readout.weight.shape[1], generator=generator)
            self.register_buffer("auxiliary", drawn * readout.scale)

    def seen(self, readout: Layer, h: Tensor, loss: Loss) -> Tensor:
        predicted = loss.prediction(readout(h))
        if not self.further_outputs:
            return predicted
        return torch.cat([predicted, h.flatten(1) @ self.get_buffer("auxiliary").T], 1)


class LocalDifferenceReconstruction(TargetsFromOutput):
    """Local difference reconstruction (L-DRL): DTP whose inverses learn the transposed Jacobian, so it follows the gradient.

    Ernoult et al. 2022. As in difference target propagation from the output's target ``o - s dC/do``, but the feedback phase
    compares responses to two noises: eps on the layer's input and eta on its output. Descending
    ``[-2 eps . (g(f(h + eps)) - g(f(h))) + |g(f(h) + eta) - g(f(h))|^2] / 2 sigma^2`` leads, on average, to
    ``J_g = J_f^T`` as far as g can have that Jacobian: the mean of the first term is ``-2 sigma^2 tr(J_g J_f)``, that of
    the second ``sigma^2 |J_g|^2``. Here g is linear: a nonlinearity at its end is none that ``J_f^T`` has there.

    Args:
        target_step: s.
        noise: standard deviation of both noises, sigma.
        feedback_steps: as in target propagation.
    """

    name = "local_difference_reconstruction"
    short = "L-DRL"
    reference = "Ernoult et al. 2022, ICML; arXiv:2201.13415"
    biased = False  # it would drop out of every difference

    def learn_inverse(
        self, inverse: Inverse, layer: Layer, below: Layer, h: Tensor, read: Read, generator: torch.Generator | None
    ) -> None:
        """Set ``.grad`` to the derivative of the difference reconstruction loss."""
        above = read(h)
        eps, eta = (self.noise * gaussian(t, generator) for t in (h, above))
        read_by_inverse = torch.cat([read(h + eps), above + eta, above])
        _, moved, still = inverse(layer, read_by_inverse).chunk(3)
        pull = torch.cat([-eps, moved - still, eps - (moved - still)]) / (self.noise**2 * len(h))
        inverse.fill_gradients(layer, read_by_inverse, pull)

    def invert(self, inverse: nn.Module, layer: Layer, below: Layer, h: Tensor) -> Tensor:
        return inverse(layer, h)
