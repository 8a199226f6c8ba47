"""Selection and mutation of whole weight vectors (Such et al. 2017, arXiv:1712.06567)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector

from neurocompare import parallel
from neurocompare.errors import InputError
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule


class GeneticAlgorithm(Rule, parallel.SharesLosses):
    """Genetic algorithm: the best of a population survive, the rest are replaced by their mutated copies.

    Such et al. 2017, algorithm 1: truncation selection, Gaussian mutation, no crossover, and an elite of one that goes on
    unchanged. Each step judges every member on the batch; the network then has the weights of the best. Nothing comes
    back to a synapse but the survival of the whole. The optimizer is not used: ``mutation`` is what a rate is elsewhere.
    Processes that train together send each other the losses, and have the same members.

    Args:
        population: members.
        parents: of them that have children.
        mutation: standard deviation of the noise on a child's weights and biases.
    """

    name = "genetic_algorithm"
    short = "GA"
    family = "scalar feedback"
    feedback = "scalar"
    reference = "Such et al. 2017, arXiv:1712.06567"
    needs = Needs(optimizer=False)
    members: Tensor

    def __init__(self, *, population: int = 50, parents: int = 10, mutation: float = 0.01) -> None:
        super().__init__()
        if not 1 <= parents < population or not mutation > 0:
            raise InputError(
                f"genetic_algorithm needs 1 <= parents < population and mutation > 0, but got {parents}, {population} "
                f"and {mutation}"
            )
        self.population, self.parents, self.mutation = population, parents, mutation

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        first = parameters_to_vector(net.parameters()).detach()
        noise = torch.randn(self.population - 1, len(first), generator=generator).to(first)
        self.register_buffer("members", torch.cat([first[None], first + self.mutation * noise]))

    @torch.no_grad()
    def step(
        self,
        net: LayeredNet,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Credit:
        """Judge, select, mutate; leaves the best member in the network."""
        losses = torch.stack([self._loss_of(net, member, x, y, loss) for member in self.members])
        order = parallel.mean(losses).argsort()
        parents = self.members[order[: self.parents]]
        for parameter, part in zip(net.parameters(), _parts(net, parents[0]), strict=True):
            parameter.copy_(part)
        net.constrain()
        parents[0] = parameters_to_vector(net.parameters())
        children = self.population - 1
        device = self.members.device
        chosen = torch.randint(self.parents, (children,), generator=generator, device=device)
        noise = torch.randn(children, parents.shape[1], generator=generator, device=device, dtype=parents.dtype)
        self.members[1:] = parents[chosen] + self.mutation * noise
        self.members[0] = parents[0]
        return Credit(loss(net(x), y))

    def _loss_of(self, net: LayeredNet, member: Tensor, x: Tensor, y: Tensor, loss: Loss) -> Tensor:
        names = [name for name, _ in net.named_parameters()]
        return loss(functional_call(net, dict(zip(names, _parts(net, member), strict=True)), (x,)), y)


def _parts(net: LayeredNet, member: Tensor) -> list[Tensor]:
    parts = member.split([p.numel() for p in net.parameters()])
    return [part.view_as(p) for part, p in zip(parts, net.parameters(), strict=True)]
