"""Equilibrium propagation against the derivative of the loss at the fixed point, and the rates at which it comes near."""

from __future__ import annotations

import cmath
import itertools
import math

import pytest
import torch
from fixed_points import fixed_point, implicit, products, relative_error, slope
from oracles import autograd, gradients
from problems import NETS, batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy, squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def settled(net, name="equilibrium_propagation", **settings):
    return RULES[name].for_net(net, seed=0, free_sweeps=60, nudged_sweeps=100, **settings)


def gains_of(rule, net):
    return [gain.detach() for gain in rule.dynamics(net).gains]


def estimate(net, x, y, loss, **settings):
    settled(net, **settings).assign_credit(net, x, y, LOSSES[loss])
    return gradients(net)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_the_error_falls_with_beta_and_with_its_square_where_nudges_are_symmetric(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    exact = implicit(net, x, y, loss, gains_of(settled(net), net))
    betas = (0.1, 0.03, 0.01, 0.003)
    one_sided, symmetric = (
        [relative_error(estimate(net, x, y, loss, beta=beta, symmetric=s), exact) for beta in betas]
        for s in (False, True)
    )
    assert slope(betas, one_sided) == pytest.approx(1, abs=0.05)
    assert slope(betas, symmetric) == pytest.approx(2, abs=0.05)
    assert one_sided[-1] < 4e-3
    assert symmetric[-1] < 2e-5


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", ["mlp", "mlp_relu", "convnet_tanh"])
@pytest.mark.parametrize("loss", LOSSES)
def test_at_a_finite_nudge_it_is_the_difference_of_energy_gradients(kind, symmetric, loss):
    """``[dE/dW(s^beta) - dE/dW(s^-beta)] / 2 beta`` with both states found by plain iteration, energies as documented."""
    net = NETS[kind]()
    x, y = batch(net)
    rule = settled(net, beta=0.4, symmetric=symmetric, feedback_gain=0.15)
    gains = gains_of(rule, net)
    scale = [1 / math.prod(gains[number:]) for number in range(len(gains) + 1)]  # c_l
    parts = []
    for beta in (0.4, -0.4 if symmetric else 0.0):
        with torch.no_grad():
            s = fixed_point(net, x, gains, lambda below, o, b=beta: below - b * LOSSES[loss].error(o, y))
        parts.append(products(net, [x, *s[:-1]], [-c * own for c, own in zip(scale, s, strict=True)]))
    span = (0.8 if symmetric else 0.4) * len(x)
    rule.assign_credit(net, x, y, LOSSES[loss])
    expected = {name: (parts[0][name] - parts[1][name]) / span for name in parts[0]}
    assert relative_error(gradients(net), expected) < 1e-10


@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_with_vanishing_feedback_and_nudge_it_is_backprop(kind):
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, "cross_entropy")
    scales = (3e-2, 1e-2, 3e-3, 1e-3)
    errors = [
        relative_error(estimate(net, x, y, "cross_entropy", beta=s**0.5, feedback_gain=s, normalised=False), exact)
        for s in scales
    ]
    assert slope(scales, errors) == pytest.approx(1, abs=0.15)
    assert errors[-1] < 5e-3


def test_a_linear_network_with_squared_error_is_off_by_a_known_factor():
    """Without hidden layers ``o = a - beta (o - t)``, so the symmetric estimate is ``(a - t) / (1 - beta^2)``."""
    net = mlp(3, input_shape=(7,), hidden=()).double()
    x, y = batch(net)
    found = estimate(net, x, y, "squared_error", beta=0.4)
    exact, _ = autograd(net, x, y, "squared_error")
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, exact[name] / (1 - 0.16), rtol=1e-10, atol=1e-12)
    found = estimate(net, x, y, "squared_error", beta=0.4, symmetric=False)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, exact[name] / 1.4, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_the_holomorphic_error_falls_with_the_radius_to_the_number_of_points(kind):
    net = NETS[kind]()
    x, y = batch(net)
    name = "holomorphic_equilibrium_propagation"
    exact = implicit(net, x, y, "cross_entropy", gains_of(settled(net, name), net))
    for points, radii in ((2, (0.2, 0.4, 0.8, 1.6)), (4, (0.6, 0.9, 1.3, 1.8)), (6, (1.2, 1.5, 1.8, 2.1))):
        errors = [
            relative_error(estimate(net, x, y, "cross_entropy", name=name, radius=radius, points=points), exact)
            for radius in radii
        ]
        assert slope(radii, errors) == pytest.approx(points, rel=0.1), points


@pytest.mark.parametrize("loss", LOSSES)
def test_the_holomorphic_error_falls_exponentially_with_the_number_of_points(loss):
    """At a nudge at which the symmetric estimate is off by a hundredth and more."""
    net = small_mlp()
    x, y = batch(net)
    name = "holomorphic_equilibrium_propagation"
    exact = implicit(net, x, y, loss, gains_of(settled(net, name), net))
    errors = [
        relative_error(estimate(net, x, y, loss, name=name, radius=0.9, points=points), exact)
        for points in (2, 4, 6, 8)
    ]
    ratios = [after / before for before, after in itertools.pairwise(errors)]
    assert max(ratios) < 0.02
    assert errors[-1] < 1e-8
    assert relative_error(estimate(net, x, y, loss, beta=0.9), exact) > 1e-2


@pytest.mark.parametrize(("kind", "points"), [("mlp", 2), ("mlp_sigmoid", 4), ("mlp", 6)])
def test_the_holomorphic_estimate_is_the_mean_over_the_whole_circle(kind, points):
    """States by plain iteration in complex numbers, with every nudge written out."""
    net = NETS[kind]()
    x, y = batch(net)
    rule = settled(net, "holomorphic_equilibrium_propagation", radius=1.5, points=points)
    gains = gains_of(rule, net)
    scale = [1 / math.prod(gains[number:]) for number in range(len(gains) + 1)]
    with torch.no_grad():
        error = cross_entropy.error(fixed_point(net, x, gains)[-1], y)
        total = [0.0] * len(scale)
        for k in range(points):
            beta = cmath.rect(1.5, math.pi * (2 * k + 1) / points)
            s = fixed_point(net, x.to(torch.complex128), gains, lambda below, _, b=beta: below - b * error)
            inputs = [x.to(torch.complex128), *s[:-1]]
            for number, (below, own) in enumerate(zip(inputs, s, strict=True)):
                total[number] = total[number] - scale[number] * own.T @ below / (beta * points * len(x))
    rule.assign_credit(net, x, y, cross_entropy)
    for layer, expected in zip(net.layers.values(), total, strict=True):
        assert expected.imag.abs().max() < 1e-12
        torch.testing.assert_close(layer.weight.grad, expected.real, rtol=1e-9, atol=1e-12)


def test_deltas_and_biases_agree():
    """The sum of the deltas over samples and positions is the gradient of the bias."""
    for name, kind in itertools.product(
        ("equilibrium_propagation", "holomorphic_equilibrium_propagation"), ("mlp", "convnet_tanh")
    ):
        net = NETS[kind]()
        x, y = batch(net)
        credit = settled(net, name).assign_credit(net, x, y, squared_error)
        for layer, delta in zip(net.layers.values(), credit.deltas, strict=True):
            torch.testing.assert_close(layer.bias.grad, delta.sum([0, *range(2, delta.ndim)]), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["equilibrium_propagation", "holomorphic_equilibrium_propagation"])
def test_the_default_number_of_sweeps_is_enough(name):
    net = small_mlp("tanh", hidden=(30, 20, 10))
    x, y = batch(net)
    RULES[name].for_net(net, seed=0).assign_credit(net, x, y, cross_entropy)
    found = gradients(net)
    assert relative_error(found, estimate(net, x, y, "cross_entropy", name=name)) < 5e-3


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("equilibrium_propagation", {"beta": 0.0}, r"beta in \(0, 1\), but got 0"),
        ("equilibrium_propagation", {"beta": 1.0}, r"beta in \(0, 1\), but got 1"),
        ("holomorphic_equilibrium_propagation", {"radius": 0.0}, "radius > 0 .* but got 0.0 and 4"),
        ("holomorphic_equilibrium_propagation", {"points": 3}, "even number of points >= 2, but got 0.5 and 3"),
        ("holomorphic_equilibrium_propagation", {"points": 0}, "even number of points >= 2, but got 0.5 and 0"),
    ],
)
def test_what_cannot_be_is_refused(name, settings, message):
    with pytest.raises(InputError, match=message):
        RULES[name].for_net(small_mlp(), seed=0, **settings)
