"""Kolen-Pollack and the weight mirror: feedback comes to equal, or to mirror, the forward weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import angle
from problems import batch, exclusive_or, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
}


@pytest.mark.parametrize("make", [small_mlp, small_convnet])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kolen_pollack_differences_shrink_by_the_decay_under_any_optimizer(optimizer, make):
    """Oracle: ``|W - B^T|_t / |W - B^T|_0 = (1 - decay)^t`` under any gradients."""
    net = make()
    x, y = batch(net)
    rule = RULES["kolen_pollack"].for_net(net, seed=0, decay=0.03)
    stepper = OPTIMIZERS[optimizer](net.parameters())

    def differences():
        return {n: (net.layers[n[9:]].weight - b).norm().item() for n, b in rule.named_buffers()}

    first = differences()
    assert min(first.values()) > 0.1
    for _ in range(20):
        rule.step(net, stepper, x, y, cross_entropy)
    for name, difference in differences().items():
        assert difference / first[name] == pytest.approx(0.97**20, rel=1e-10)


def test_kolen_pollack_mirrors_what_a_constraint_did_too():
    net = small_mlp()

    def halve(net):
        with torch.no_grad():
            net.layers["fc2"].weight.mul_(0.5)

    net._constraint = halve
    x, y = batch(net)
    rule = RULES["kolen_pollack"].for_net(net, seed=0, decay=0.0)
    before = net.layers["fc2"].weight.detach() - rule.feedback_fc2
    rule.step(net, torch.optim.SGD(net.parameters(), lr=0.1), x, y, cross_entropy)
    torch.testing.assert_close(net.layers["fc2"].weight.detach() - rule.feedback_fc2, before, rtol=1e-12, atol=1e-14)


def test_kolen_pollack_becomes_backprop():
    net = mlp(2, input_shape=(2,), hidden=(20, 20), activation="tanh", seed=0).double()
    x, y = exclusive_or()
    rule, exact = RULES["kolen_pollack"].for_net(net, seed=1, decay=0.01), RULES["backprop"].for_net(net, seed=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    angles = []
    for _ in range(400):
        true = exact.assign_credit(net, x, y, cross_entropy).deltas[0]
        angles.append(angle(rule.step(net, optimizer, x, y, cross_entropy).deltas[0], true))
    assert angles[0] > 60
    assert angles[-1] < 5


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_mirror_sees_the_transposed_weights_times_the_mean_slope(scale):
    """Oracle: for Gaussian noise ``E[y x^T] = s^2 diag(E f') W``; tanh's mean slope by quadrature."""
    net = small_mlp("tanh", hidden=(6, 5))
    layer = net.layers["fc2"]
    rule = RULES["weight_mirror"].for_net(net, seed=0, noise_scale=scale, samples=400_000)
    found = rule.mirrored(layer, torch.Generator().manual_seed(0))
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = scale * layer.weight.detach().norm(dim=1).numpy()
    a = layer.bias.detach().numpy()[:, None] + spread[:, None] * nodes  # of each unit's pre-activation
    slope = ((1 - np.tanh(a) ** 2) @ weights) / weights.sum()
    expected = scale**2 * slope[:, None] * layer.weight.detach().numpy()
    standard_error = scale * np.tanh(a).std() / 400_000**0.5
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=6 * standard_error)
    assert np.abs(expected).max() > 50 * standard_error


def test_centring_takes_the_noise_of_a_large_mean_away():
    """A response with a large mean would add its own noise to every weight, ``mean^2 s^2 / samples`` of variance."""
    net = small_mlp("identity")
    layer = net.layers["fc2"]
    with torch.no_grad():
        layer.bias.fill_(100.0)
    rule = RULES["weight_mirror"].for_net(net, seed=0, samples=400)
    error = rule.mirrored(layer, torch.Generator().manual_seed(0)).detach() - layer.weight.detach()
    # Without centring the error's standard deviation would be 100 / sqrt(400) = 5.
    assert float(error.std()) < 0.5


def test_the_mirrors_gradient_leads_to_the_mirrored_weights():
    net = small_convnet("identity")
    x, y = batch(net)
    rule = RULES["weight_mirror"].for_net(net, seed=0, samples=100_000)
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
    for name, parameter in rule.named_parameters():
        weight = net.layers[name[9:]].weight
        torch.testing.assert_close(parameter.grad, (parameter - weight).detach(), rtol=0, atol=0.03)
        assert parameter.grad.abs().max() > 0.3


def test_mirrored_feedback_aligns_while_the_network_learns():
    net = mlp(2, input_shape=(2,), hidden=(20, 20), activation="tanh", seed=0).double()
    x, y = exclusive_or()
    rule = RULES["weight_mirror"].for_net(net, seed=1)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=0.01)
    generator = torch.Generator().manual_seed(0)

    def apart():
        return angle(rule.feedback_fc2.detach(), net.layers["fc2"].weight.detach())

    first = apart()
    for _ in range(200):
        rule.step(net, optimizer, x, y, cross_entropy, generator)
    assert first > 60
    assert apart() < 15


@pytest.mark.parametrize(
    ("name", "settings"),
    [("kolen_pollack", {"decay": 1.0}), ("weight_mirror", {"samples": 1}), ("weight_mirror", {"noise_scale": 0.0})],
)
def test_settings_without_meaning_are_refused(name, settings):
    with pytest.raises(InputError, match=f"{name} needs"):
        RULES[name].for_net(small_mlp(), seed=0, **settings)
