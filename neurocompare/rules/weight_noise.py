"""Rules that try out noise on the weights, and move along it by how much better or worse the loss became.

Weight perturbation (Cauwenberghs 1993, NIPS 5:244; Werfel, Xie & Seung 2005, Neural Comput. 17:2699) weighs each
direction by the change in loss; evolution strategies (Salimans et al. 2017, arXiv:1703.03864) by the rank of it. All that
comes back to a synapse is that one number. Noise is drawn again from the generator's state rather than stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import functional_call

from neurocompare import parallel
from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, Rule


class WeightNoise(Rule, parallel.SharesLosses):
    """The shared step: losses under ``+xi`` and ``-xi`` for each direction, then a weighted sum of the directions.

    Parameters that do not require a gradient are left out. Processes that train together send each other the losses, and
    draw the same directions.

    Args:
        sigma: standard deviation of the noise on weights and biases.
        directions: K, each tried with both signs: ``2 K`` forward passes.
    """

    family = "scalar feedback"
    feedback = "scalar"

    def __init__(self, *, sigma: float, directions: int) -> None:
        super().__init__()
        if not sigma > 0 or directions < 1:
            raise InputError(f"{self.name} needs sigma > 0 and directions >= 1, but got {sigma} and {directions}")
        self.sigma, self.directions = sigma, directions

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        parameters = {name: p for name, p in net.named_parameters() if p.requires_grad}
        generator = generator or _default_generator(x)
        state = generator.get_state()
        losses = [self._both_signs(net, parameters, xi, x, y, loss) for xi in self._noise(parameters, generator)]
        weights = self.weigh(parallel.mean(torch.stack(losses)))
        generator.set_state(state)
        total = torch.zeros(sum(p.numel() for p in parameters.values()), dtype=x.dtype, device=x.device)
        for weight, xi in zip(weights, self._noise(parameters, generator), strict=True):
            total += weight * xi
        for parameter, gradient in zip(parameters.values(), _unflatten(total, parameters), strict=True):
            parameter.grad = gradient.clone()
        return Credit(loss(net(x), y))

    def weigh(self, losses: Tensor) -> Tensor:
        """How much of each direction goes into the gradient, ``(K,)``, from losses ``(K, 2)`` under plus and minus."""
        raise TypeError("WeightNoise is a base: use WeightPerturbation or EvolutionStrategies")

    def _noise(self, parameters: dict[str, torch.nn.Parameter], generator: torch.Generator) -> Iterator[Tensor]:
        first = next(iter(parameters.values()))
        size = sum(p.numel() for p in parameters.values())
        for _ in range(self.directions):
            yield torch.randn(size, generator=generator, device=first.device, dtype=first.dtype)

    def _both_signs(
        self, net: LayeredNet, parameters: dict[str, torch.nn.Parameter], xi: Tensor, x: Tensor, y: Tensor, loss: Loss
    ) -> Tensor:
        noise = dict(zip(parameters, _unflatten(xi, parameters), strict=True))
        outputs = (
            functional_call(net, {n: p + sign * self.sigma * noise[n] for n, p in parameters.items()}, (x,))
            for sign in (1, -1)
        )
        return torch.stack([loss(output, y) for output in outputs])


class WeightPerturbation(WeightNoise):
    """Weight perturbation: ``g = mean_k [E(th + s xi_k) - E(th - s xi_k)] xi_k / 2s``, ``xi ~ N(0, 1)``.

    Unbiased for the gradient of the loss blurred by the noise, with ``E|g^|^2 / |g|^2 = N + 2`` for N weights. Local but for
    the scalar change in loss; each synapse must remember its own noise.

    Args:
        sigma: s, on weights and biases.
        directions: K.
    """

    name = "weight_perturbation"
    short = "WP"
    learning_rate = 3e-3
    reference = "Werfel, Xie & Seung 2005, Neural Comput. 17:2699"

    def __init__(self, *, sigma: float = 1e-3, directions: int = 16) -> None:
        super().__init__(sigma=sigma, directions=directions)

    def weigh(self, losses: Tensor) -> Tensor:
        return (losses[:, 0] - losses[:, 1]) / (2 * self.sigma * self.directions)


class EvolutionStrategies(WeightNoise):
    """Evolution strategies: antithetic directions weighed by the centred ranks of their losses.

    Salimans et al. 2017, algorithm 1 with mirrored sampling and fitness shaping: the 2K losses are replaced by their
    ranks, spread evenly over ``[-1/2, 1/2]``, so the update does not depend on the scale of the loss or on outliers.
    ``g = sum_k (rank(+xi_k) - rank(-xi_k)) xi_k / (2 K sigma)``. Local but for the rank, which compares all trials.

    Args:
        sigma: of the noise on weights and biases.
        directions: K.
    """

    name = "evolution_strategies"
    short = "ES"
    learning_rate = 3e-3
    reference = "Salimans et al. 2017, arXiv:1703.03864"

    def __init__(self, *, sigma: float = 1e-2, directions: int = 16) -> None:
        super().__init__(sigma=sigma, directions=directions)

    def weigh(self, losses: Tensor) -> Tensor:
        ranks = losses.flatten().argsort().argsort().view_as(losses).to(losses.dtype)
        centred = ranks / (losses.numel() - 1) - 0.5
        return (centred[:, 0] - centred[:, 1]) / (2 * self.directions * self.sigma)


def _unflatten(flat: Tensor, parameters: dict[str, torch.nn.Parameter]) -> list[Tensor]:
    parts = flat.split([p.numel() for p in parameters.values()])
    return [part.view_as(p) for part, p in zip(parts, parameters.values(), strict=True)]


def _default_generator(x: Tensor) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(torch.initial_seed())
