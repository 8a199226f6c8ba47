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
from neurocompare.rules.base import Credit, Rule, channels_last, fill_gradients

BUFFER = 2**20  # units at most in one batch of perturbations: what a processor's cache holds


class NodePerturbation(Rule):
    """Node perturbation: ``delta_l = (E(a + zeta) - E(a)) zeta_l / sigma^2``, ``zeta ~ N(0, sigma^2)``.

    Noise is drawn per sample and per unit in all layers at once; the loss of each sample comes back as one scalar to all
    units, and everything else is local. The estimate is that of backprop's delta with variance proportional to the
    number of units (``E|g^|^2 / |g|^2 = N + 2``), which is the reason for its slowness.

    Args:
        sigma: standard deviation of the noise on pre-activations.
        signs: noise is ``+sigma`` or ``-sigma`` rather than Gaussian (Spall 1992, IEEE Trans. Autom. Control 37:332): of
            power ``N`` in place of ``N + 2``, and several times as quick to draw.
        directions: independent perturbations per sample, averaged; as many run as one batch as fit a buffer.
    """

    name = "node_perturbation"
    short = "NP"
    family = "scalar feedback"
    feedback = "scalar"
    learning_rate = 2e-4
    reference = "Werfel, Xie & Seung 2005, Neural Comput. 17:2699"

    def __init__(self, *, sigma: float = 1e-2, signs: bool = False, directions: int = 1) -> None:
        super().__init__()
        if not sigma > 0 or directions < 1:
            raise InputError(f"node perturbation needs sigma > 0 and directions >= 1, but got {sigma} and {directions}")
        self.sigma, self.signs, self.directions = sigma, signs, directions

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        clean = net.trace(x)
        per_sample = loss.per_sample(clean.output, y)
        deltas = [torch.zeros_like(a) for a in clean.preactivations]
        scale = 1 / (self.sigma**2 * self.directions * len(x))
        units = sum(a.numel() for a in clean.preactivations)
        together = max(min(BUFFER // units, self.directions), 1)
        for start in range(0, self.directions, together):
            k = min(together, self.directions - start)
            noise = self._draw(net, k, x, generator)
            noisy = self._perturbed_output(net, clean, noise, k)
            weight = scale * (loss.per_sample(noisy, y.repeat(k)) - per_sample.repeat(k))
            for delta, zeta in zip(deltas, noise, strict=True):
                weighted = zeta.mul_(weight.view(-1, *[1] * (zeta.ndim - 1)))
                delta += weighted.unflatten(0, (k, -1)).sum(0) if k > 1 else weighted
        fill_gradients(net, clean.inputs, deltas)
        return Credit(per_sample.mean(), tuple(deltas))

    def _draw(self, net: LayeredNet, k: int, x: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        """Noise for every unit in ``k`` directions, ``(k * B, *out_shape)`` per layer."""
        rows = k * len(x)
        shapes = [layer.out_shape for layer in net.layers.values()]
        sizes = [math.prod(shape) for shape in shapes]
        draw = _signs if self.signs else _gaussian
        flat = draw(rows * sum(sizes), generator, x).mul_(self.sigma)
        parts = flat.split([rows * size for size in sizes])
        return [channels_last(part.view(rows, -1), shape) for part, shape in zip(parts, shapes, strict=True)]

    def _perturbed_output(self, net: LayeredNet, clean: Trace, noise: list[Tensor], k: int) -> Tensor:
        """The output under noise; the first layer's drive is that of the clean pass, so it is not computed again."""
        first, *rest = net.layers.values()
        h = first.activate((clean.preactivations[0] + noise[0].unflatten(0, (k, -1))).flatten(0, 1))
        for layer, zeta in zip(rest, noise[1:], strict=True):
            h = layer.activate(layer.affine(h).add_(zeta))
        return h


def _gaussian(size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    return torch.randn(size, generator=generator, device=like.device, dtype=like.dtype)


def _signs(size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """1 or -1 with equal chances, eight from each random byte."""
    words = torch.randint(-(2**63), 2**63 - 1, (-(-size // 64),), generator=generator, device=like.device)
    bits = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=like.device)
    drawn = (words.view(torch.uint8)[:, None] & bits).ne_(0).flatten()[:size]
    return drawn.to(like.dtype).mul_(2).sub_(1)
