"""Reinforcement of whatever units happened to do before a reward (Williams 1992, Mach. Learn. 8:229)."""

from __future__ import annotations

import torch
from torch import Tensor

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss, one_hot
from neurocompare.networks.layers import LayeredNet
from neurocompare.rules.base import Credit, Needs, Rule, fill_gradients


class Reinforce(Rule):
    """REINFORCE: the network guesses a class, is told whether that was right, and moves by ``(R - b) grad log p``.

    Hidden units are stochastic, the class is drawn from the softmax of the output, and the reward R of a sample is 1 for
    the right class and 0 otherwise: all that comes back is that one bit, not which class would have been right. The
    baseline b is the mean reward of the other trials of the batch. ``delta_l = -(R - b) d log p(h_l) / d a_l`` (Williams
    1992, theorem 1): ``zeta / sigma`` for Gaussian units, whose pre-activation is jittered by ``sigma zeta``, and
    ``h - p`` for Bernoulli units of probability ``p``. Local but for the scalar ``R - b``. Whatever the task's loss, it
    is the reward that rises; predictions are those of the network without noise. A guess that was unlikely earns a bonus,
    ``-entropy log p(guess)`` (Williams & Peng 1991, Connect. Sci. 3:241), without which guessing turns certain before hidden
    units have learnt anything.

    Args:
        units: "gaussian", or "bernoulli" for networks of sigmoid units.
        sigma: of Gaussian units.
        entropy: weight of the bonus.
        trials: guesses per sample.
    """

    name = "reinforce"
    short = "RF"
    family = "scalar feedback"
    feedback = "scalar"
    learning_rate = 1e-3
    reference = "Williams 1992, Mach. Learn. 8:229"
    needs = Needs(several_tasks=False)
    KINDS = ("gaussian", "bernoulli")

    def __init__(self, *, units: str = "gaussian", sigma: float = 0.1, entropy: float = 0.1, trials: int = 8) -> None:
        super().__init__()
        if units not in self.KINDS:
            raise unknown_name("kind of units", units, self.KINDS)
        if not sigma > 0 or trials < 1 or not entropy >= 0:
            raise InputError(
                f"reinforce needs sigma > 0, trials >= 1 and entropy >= 0, but got {sigma}, {trials} and {entropy}"
            )
        self.units, self.sigma, self.entropy, self.trials = units, sigma, entropy, trials

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        if self.units == "bernoulli":
            for name, layer in list(net.layers.items())[:-1]:
                if layer.activation.name != "sigmoid":
                    raise InputError(f"bernoulli units need sigmoid layers, but {name!r} has {layer.activation.name}")

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        trials = x.repeat(self.trials, *[1] * (x.ndim - 1))
        inputs, eligibilities, guess, p = self.sample(net, trials, generator)
        reward = (guess == y.repeat(self.trials)).to(x.dtype) - self.entropy * p.log()
        advantage = (reward - self.baseline(reward)) / len(trials)
        deltas = [-advantage.view(-1, *[1] * (e.ndim - 1)) * e for e in eligibilities]
        fill_gradients(net, inputs, deltas)
        summed = tuple(d.unflatten(0, (self.trials, len(x))).sum(0) for d in deltas)
        return Credit(loss(net(x), y), summed)

    def baseline(self, reward: Tensor) -> Tensor:
        """For each trial the mean reward of the others, which does not depend on what that trial drew."""
        return (reward.sum() - reward) / max(len(reward) - 1, 1)

    def sample(
        self, net: LayeredNet, x: Tensor, generator: torch.Generator | None
    ) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """One stochastic pass: each layer's input, ``d log p / d a`` of each layer, guesses and how likely they were."""
        *hidden, last = net.layers.values()
        inputs, eligibilities, h = [], [], x
        for layer in hidden:
            inputs.append(h)
            a = layer.affine(h)
            if self.units == "gaussian":
                zeta = torch.randn(a.shape, generator=generator, device=a.device, dtype=a.dtype)
                h, eligibility = layer.activate(a + self.sigma * zeta), zeta / self.sigma
            else:
                p = layer.activate(a)
                h = (torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p).to(p.dtype)
                eligibility = h - p
            eligibilities.append(eligibility)
        output = last.affine(h)
        p = torch.softmax(output, 1)
        guess = torch.multinomial(p, 1, generator=generator)[:, 0]
        likely = p.gather(1, guess[:, None])[:, 0]
        return [*inputs, h], [*eligibilities, one_hot(output, guess) - p], guess, likely
