"""Wake-sleep against sums over all hidden states and over dreams whose images are integrated out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fixed_points import slope
from oracles import autograd, gradients
from problems import batch, small_mlp
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

NOISE = 0.7
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def made(hidden=(3, 2), inputs=2):
    """A net and its rule, weights up and down of order 1."""
    net = mlp(3, input_shape=(inputs,), hidden=hidden, activation="sigmoid", seed=0).double()
    rule = RULES["wake_sleep"].for_net(net, seed=1, noise=NOISE)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in [*net.parameters(), *rule.parameters()]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net, rule


def states(net):
    """All states of the hidden units, each layer's as (number, units)."""
    *hidden, _ = net.layers.values()
    bits = [torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(layer.bias)))).double() for layer in hidden]
    index = torch.cartesian_prod(*[torch.arange(len(s)) for s in bits]).reshape(-1, len(bits))
    return [s[i] for s, i in zip(bits, index.T, strict=True)]


def log_on(s, drive):
    """``log p(s)`` of independent units that are on with probability ``sigmoid(drive)``."""
    return -functional.binary_cross_entropy_with_logits(drive.expand_as(s), s, reduction="none").sum(1)


def log_q(net, x, every):
    """Of hidden states given ``x``, (states, inputs)."""
    below, total = x, 0.0
    for layer, s in zip(net.layers.values(), every, strict=False):
        total = total + log_on(s, below @ layer.weight.T + layer.bias)
        below = s
    return total


def log_prior(net, rule, every):
    """``log p`` of hidden states."""
    names = list(net.layers)[:-1]
    total = log_on(every[-1], rule.top)
    for number in range(1, len(names)):
        total = total + log_on(every[number - 1], down(rule, names[number], every[number]))
    return total


def down(rule, name, s):
    return s @ rule.get_parameter(f"down_{name}") + rule.get_parameter(f"down_bias_{name}")


def credit(net, rule, x, y=None, seed=0):
    y = torch.zeros(len(x), dtype=torch.long) if y is None else y
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(seed))
    return {n: p.grad.clone() for n, p in rule.named_parameters()}, gradients(net)


def check_within_standard_errors(runs, expected, tolerance):
    """The mean of runs against what is expected, by name."""
    for name, exact in expected.items():
        found = torch.stack([run[name] for run in runs])
        spread = found.std(0) / len(runs) ** 0.5
        assert spread.max() < tolerance, name
        assert ((found.mean(0) - exact).abs() < 5 * spread + 1e-12).all(), name


def wake_gradient(net, rule, x):
    """Of the variational free energy ``<log q - log p(x, h)>`` in what the rule owns, summed over all hidden states."""
    every = states(net)
    parameters = dict(rule.named_parameters())
    total = 0.0
    for sample in x:
        one = sample.expand(len(every[0]), -1)
        with torch.no_grad():
            q = log_q(net, one, every).exp()
        image = -0.5 * ((one - down(rule, "fc1", every[0])) / NOISE).square().sum(1)
        total = total + (q * (q.log() - log_prior(net, rule, every) - image)).sum() / len(x)
    return dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))


@pytest.mark.parametrize("hidden", [(3,), (3, 2), (2, 2, 2)])
def test_awake_it_descends_the_variational_free_energy(hidden):
    net, rule = made(hidden)
    x, _ = batch(net, 2)
    many = x.repeat(3000, 1)
    runs = [credit(net, rule, many, seed=seed)[0] for seed in range(40)]
    check_within_standard_errors(runs, wake_gradient(net, rule, x), tolerance=0.01)


def sleep_gradient(net, rule, nodes=40):
    """Of ``KL(p || q)`` in weights up: hidden states summed over, images integrated by Gauss-Hermite quadrature."""
    every = states(net)
    points, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(nodes))
    grid = torch.cartesian_prod(points, points)
    density = torch.cartesian_prod(weights, weights).prod(1) / weights.sum() ** 2
    hidden = [p for layer in list(net.layers.values())[:-1] for p in layer.parameters()]
    with torch.no_grad():
        prior = log_prior(net, rule, every).exp()
        means = down(rule, "fc1", every[0])
    total = 0.0
    for noise, share in zip(grid, density, strict=True):
        total = total - share * (prior * log_q(net, means + NOISE * noise, every)).sum()
    names = [name for name, _ in net.named_parameters()][: len(hidden)]
    return dict(zip(names, torch.autograd.grad(total, hidden), strict=True))


@pytest.mark.parametrize("hidden", [(3,), (3, 2), (2, 2, 2)])
def test_asleep_it_descends_the_divergence_of_inference_from_dreams(hidden):
    net, rule = made(hidden)
    x, _ = batch(net, 6000)
    runs = [credit(net, rule, x, seed=seed)[1] for seed in range(40)]
    check_within_standard_errors(runs, sleep_gradient(net, rule), tolerance=0.01)


def test_errors_of_both_phases_fall_with_the_root_of_the_number_of_samples():
    net, rule = made()
    x, _ = batch(net, 1)
    awake, asleep = wake_gradient(net, rule, x), sleep_gradient(net, rule)
    numbers = [10, 40, 160, 640, 2560]
    for expected, which in ((awake, 0), (asleep, 1)):
        errors = []
        for number in numbers:
            found = [credit(net, rule, x.repeat(number, 1), seed=seed)[which] for seed in range(20)]
            squares = [(run[name] - exact).square().sum() for run in found for name, exact in expected.items()]
            errors.append(float(sum(squares)) ** 0.5)
        assert abs(slope(numbers, errors) + 0.5) < 0.05


def test_images_of_any_shape_come_back_in_it():
    """The same net, once with its inputs in a row and once as an image."""
    flat, image = (mlp(3, input_shape=shape, hidden=(4,), activation="sigmoid", seed=0) for shape in ((6,), (1, 2, 3)))
    x, y = batch(flat)
    found = []
    for net, seen in ((flat, x), (image, x.view(-1, 1, 2, 3))):
        rule = RULES["wake_sleep"].for_net(net, seed=1)
        found.append([g.flatten() for part in credit(net, rule, seen, y) for g in part.values()])
        assert rule.get_parameter("down_bias_fc1").shape == net.in_shape
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_labels_reach_the_readout_alone_by_the_delta_rule():
    net = small_mlp("sigmoid")
    x, y = batch(net)
    rule = RULES["wake_sleep"].for_net(net, seed=0)
    down_first, first = credit(net, rule, x, y)
    expected = autograd(net, x, y, "cross_entropy")[0]
    torch.testing.assert_close(first["readout.weight"], expected["readout.weight"], **EXACT)
    torch.testing.assert_close(first["readout.bias"], expected["readout.bias"], **EXACT)
    down_second, second = credit(net, rule, x, (y + 1) % 3)
    assert all(torch.equal(g, down_second[n]) for n, g in down_first.items())
    assert all(torch.equal(g, second[n]) for n, g in first.items() if "readout" not in n)


def test_without_hidden_layers_only_the_readout_learns():
    net = small_mlp("sigmoid", hidden=())
    x, y = batch(net)
    found, up = credit(net, RULES["wake_sleep"].for_net(net, seed=0), x, y)
    assert not found
    for name, exact in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(up[name], exact, **EXACT)


def test_weights_down_start_apart_from_weights_up_and_drive_with_variance_1():
    net = mlp(3, input_shape=(30,), hidden=(100, 50), activation="sigmoid", seed=7)
    rule = RULES["wake_sleep"].for_net(net, seed=7)
    for name, layer in list(net.layers.items())[:-1]:
        back = rule.get_parameter(f"down_{name}")
        assert functional.cosine_similarity(back.flatten(), layer.weight.flatten(), dim=0).abs() < 0.1
        on = (torch.rand(500, *layer.out_shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()
        assert abs(float(down(rule, name, on).detach().var(0).mean()) - 1) < 0.1


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_noise_has_to_be_there(noise):
    with pytest.raises(InputError, match="needs a noise above 0"):
        RULES["wake_sleep"].for_net(small_mlp("sigmoid"), seed=0, noise=noise)
