"""REINFORCE by enumeration of everything that stochastic units and guesses can do (Williams 1992)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from oracles import gradients
from problems import batch, small_mlp
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def enumerated(net, x):
    """Each outcome's probability (with its graph), hidden states and guess, for one sample."""
    first, second, last = net.layers.values()
    for h1 in itertools.product([0.0, 1.0], repeat=2):
        for h2 in itertools.product([0.0, 1.0], repeat=2):
            p1 = torch.sigmoid(x @ first.weight.T + first.bias)
            one, two = (torch.tensor([h], dtype=x.dtype) for h in (h1, h2))
            p2 = torch.sigmoid(one @ second.weight.T + second.bias)
            p3 = torch.softmax(two @ last.weight.T + last.bias, 1)
            below = (one * p1 + (1 - one) * (1 - p1)).prod() * (two * p2 + (1 - two) * (1 - p2)).prod()
            for guess in range(p3.shape[1]):
                yield below * p3[0, guess], p3[0, guess], one, two, guess


@pytest.mark.parametrize("baseline", [0.0, 0.3, -2.0])
def test_the_expected_update_is_the_gradient_of_the_expected_reward_for_any_baseline(baseline, monkeypatch):
    """Oracle: all 2^4 hidden states and 3 guesses, weighed by their probabilities, through the rule's own step."""
    net = mlp(3, input_shape=(4,), hidden=(2, 2), activation="sigmoid", seed=1).double()
    x, y = batch(net, 1)
    rule = RULES["reinforce"].for_net(net, seed=0, units="bernoulli", trials=1, entropy=0.2)
    reward = sum(p * (float(guess == int(y)) - 0.2 * q.log()) for p, q, _, _, guess in enumerated(net, x))
    exact = torch.autograd.grad(-reward, list(net.parameters()))
    expected = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    for p, _, h1, h2, guess in enumerated(net, x):
        outcome = iter([h1, h2])
        monkeypatch.setattr(torch, "rand", lambda *_, o=outcome, **__: 1 - next(o))  # below p only where it is 0
        monkeypatch.setattr(torch, "multinomial", lambda *_, g=guess, **__: torch.tensor([[g]]))
        monkeypatch.setattr(rule, "baseline", lambda r: torch.full_like(r, baseline))
        rule.assign_credit(net, x, y, cross_entropy, torch.Generator())
        for name, gradient in gradients(net).items():
            expected[name] += p.detach() * gradient
    for gradient, found in zip(exact, expected.values(), strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-12)
        assert gradient.norm() > 1e-4


def test_gaussian_units_follow_the_gradient_of_the_expected_reward():
    """Many trials against the gradient by reparametrisation, with the same number of fresh draws."""
    net = small_mlp("tanh")
    x, y = batch(net, 1)
    rule = RULES["reinforce"].for_net(net, seed=0, sigma=0.5, entropy=0.0, trials=50_000)
    found = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        rule.assign_credit(net, x, y, cross_entropy, generator)
        found.append(torch.cat([g.flatten() for g in gradients(net).values()]).numpy())
    h = x.expand(300_000, -1)
    for layer in list(net.layers.values())[:-1]:
        a = functional.linear(h, layer.weight, layer.bias)
        h = torch.tanh(a + 0.5 * torch.randn(a.shape, generator=generator, dtype=a.dtype))
    reward = torch.softmax(functional.linear(h, net.layers["readout"].weight, net.layers["readout"].bias), 1)[:, int(y)]
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(-reward.mean(), list(net.parameters()))]).numpy()
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / 20**0.5
    # Twenty repeats: the t distribution's tails are wider than normal; the oracle's own noise is far below.
    np.testing.assert_array_less(np.abs(mean - exact), 5.5 * error + 2e-4)
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(exact)


def test_the_baseline_is_the_mean_of_the_other_trials():
    rule = RULES["reinforce"].for_net(small_mlp(), seed=0)
    found = rule.baseline(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([1 / 3, 2 / 3, 2 / 3, 1 / 3]))
    assert float(rule.baseline(torch.tensor([1.0]))) == 0


def test_bernoulli_units_need_probabilities():
    with pytest.raises(InputError, match="bernoulli units need sigmoid layers, but 'fc1' has tanh"):
        RULES["reinforce"].for_net(small_mlp("tanh"), seed=0, units="bernoulli")
    with pytest.raises(InputError, match="unknown kind of units"):
        RULES["reinforce"].for_net(small_mlp(), seed=0, units="poisson")
    with pytest.raises(InputError, match="reinforce needs sigma > 0, trials >= 1 and entropy >= 0"):
        RULES["reinforce"].for_net(small_mlp(), seed=0, trials=0)
