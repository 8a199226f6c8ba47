"""Rules that are told one number: how much better or worse the outcome was.

Node perturbation (Widrow & Lehr 1990; Fiete & Seung 2006, PRL 97:048104; Werfel, Xie & Seung 2005, Neural Comput. 17:2699):
jitter every pre-activation, and move each unit along its own jitter in proportion to the change in loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet, Trace
from neurocompare.rules.base import Credit, Rule, fill_gradients


class NodePerturbation(Rule):
    """Node perturbation: ``delta_l = (E(a + zeta) - E(a)) zeta_l / sigma^2``, ``zeta ~ N(0, sigma^2)``.

    Noise is drawn per sample and per unit in all layers at once; the loss of each sample comes back as one scalar to all
    units, and everything else is local. The estimate is that of backprop's delta with variance proportional to the
    number of units (``E|g^|^2 / |g|^2 = N + 2``), which is the reason for its slowness.

    Args:
        sigma: standard deviation of the noise on pre-activations.
        directions: independent perturbations per sample, run as one batch and averaged.
    """

    name = "node_perturbation"
    short = "NP"
    family = "scalar feedback"
    feedback = "scalar"
    learning_rate = 2e-4
    reference = "Werfel, Xie & Seung 2005, Neural Comput. 17:2699"

    def __init__(self, *, sigma: float = 1e-2, directions: int = 1) -> None:
        super().__init__()
        if not sigma > 0 or directions < 1:
            raise InputError(f"node perturbation needs sigma > 0 and directions >= 1, but got {sigma} and {directions}")
        self.sigma, self.directions = sigma, directions

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        clean = net.trace(x)
        per_sample = loss.per_sample(clean.output, y)
        noise = self._draw(net, x, generator)
        noisy = self._perturbed_output(net, clean, noise)
        change = loss.per_sample(noisy, y.repeat(self.directions)) - per_sample.repeat(self.directions)
        weight = change / (self.sigma**2 * self.directions * len(x))
        deltas = tuple(self._project(weight, zeta) for zeta in noise)
        fill_gradients(net, clean.inputs, deltas)
        return Credit(per_sample.mean(), deltas)

    def _draw(self, net: LayeredNet, x: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        """Noise for every unit, ``(directions * B, *out_shape)`` per layer."""
        rows = self.directions * len(x)
        shapes = [layer.out_shape for layer in net.layers.values()]
        sizes = [math.prod(shape) for shape in shapes]
        flat = torch.randn(rows * sum(sizes), generator=generator, device=x.device, dtype=x.dtype).mul_(self.sigma)
        parts = flat.split([rows * size for size in sizes])
        return [part.view(rows, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def _perturbed_output(self, net: LayeredNet, clean: Trace, noise: list[Tensor]) -> Tensor:
        """The output under noise; the first layer's drive is that of the clean pass, so it is not computed again."""
        first, *rest = net.layers.values()
        a = clean.preactivations[0]
        h = first.activate(a.repeat(self.directions, *[1] * (a.ndim - 1)) + noise[0])
        for layer, zeta in zip(rest, noise[1:], strict=True):
            h = layer.activate(layer.affine(h) + zeta)
        return h

    def _project(self, weight: Tensor, zeta: Tensor) -> Tensor:
        """``sum_k weight_k zeta_k`` per sample, ``(B, *shape)``."""
        shaped = zeta.unflatten(0, (self.directions, -1))
        return torch.einsum("kb,kb...->b...", weight.unflatten(0, (self.directions, -1)), shaped)
