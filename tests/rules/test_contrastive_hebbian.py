"""Contrastive Hebbian learning and generalised recirculation from states found by plain iteration, and their limits."""

from __future__ import annotations

import math

import pytest
import torch
from fixed_points import fixed_point, products, relative_error, slope
from oracles import autograd, gradients
from problems import NETS, batch, small_convnet, small_mlp

from neurocompare.losses import LOSSES, cross_entropy, squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES

BOTH = ("contrastive_hebbian", "generec")


def settled(net, name, **settings):
    return RULES[name].for_net(net, seed=3, free_sweeps=60, clamped_sweeps=60, **settings)


def found_by(net, x, y, loss, name, **settings):
    settled(net, name, **settings).assign_credit(net, x, y, LOSSES[loss])
    return gradients(net)


def phases(net, x, y, loss, rule):
    """Free and clamped states by plain iteration, and ``c_l / B``."""
    dynamics = rule.dynamics(net)
    gains = [gain.detach() for gain in dynamics.gains]
    with torch.no_grad():
        minus = fixed_point(net, x, gains, feedback=dynamics.weights)
        target = LOSSES[loss].target(minus[-1], y)
        plus = fixed_point(net, x, gains, lambda *_: target, feedback=dynamics.weights)
    return plus, minus, [1 / math.prod(gains[number:]) / len(x) for number in range(len(plus))]


def written_out(net, x, y, loss, rule):
    """``-c_l (s_l+ s_{l-1}+^T - s_l- s_{l-1}-^T)``."""
    plus, minus, scale = phases(net, x, y, loss, rule)
    parts = [products(net, [x, *s[:-1]], [-c * own for c, own in zip(scale, s, strict=True)]) for s in (plus, minus)]
    return {name: parts[0][name] - parts[1][name] for name in parts[0]}


@pytest.mark.parametrize("random_feedback", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_contrastive_hebbian_learning_written_out(kind, loss, random_feedback):
    net = NETS[kind]()
    x, y = batch(net)
    rule = settled(net, "contrastive_hebbian", random_feedback=random_feedback)
    rule.assign_credit(net, x, y, LOSSES[loss])
    assert relative_error(gradients(net), written_out(net, x, y, loss, rule)) < 1e-10


@pytest.mark.parametrize("random_feedback", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_generec_written_out(kind, loss, random_feedback):
    net = NETS[kind]()
    x, y = batch(net)
    rule = settled(net, "generec", random_feedback=random_feedback)
    plus, minus, scale = phases(net, x, y, loss, rule)
    moves = [-c * (p - m) for c, p, m in zip(scale, plus, minus, strict=True)]
    rule.assign_credit(net, x, y, LOSSES[loss])
    assert relative_error(gradients(net), products(net, [x, *minus[:-1]], moves)) < 1e-10
    rule = settled(net, "generec", random_feedback=random_feedback, midpoint=True)
    rule.assign_credit(net, x, y, LOSSES[loss])
    middle = [(p + m) / 2 for p, m in zip(plus, minus, strict=True)]
    assert relative_error(gradients(net), products(net, [x, *middle[:-1]], moves)) < 1e-10


@pytest.mark.parametrize("kind", NETS)
def test_midpoint_and_symmetry_make_generec_contrastive_hebbian_learning(kind):
    """O'Reilly 1996; neither does by itself. The weights are larger and feedback stronger, so the difference shows."""
    net = NETS[kind]()
    with torch.no_grad():
        net.readout.weight.mul_(10)
    x, y = batch(net)
    expected = written_out(net, x, y, "squared_error", settled(net, "contrastive_hebbian"))
    both = found_by(net, x, y, "squared_error", "generec", midpoint=True, symmetric=True)
    assert relative_error(both, expected) < 1e-11
    for settings in ({"midpoint": True}, {"symmetric": True}, {}):
        other = found_by(net, x, y, "squared_error", "generec", **settings)
        assert relative_error(other, expected) > 1e-3, settings


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_the_error_against_backprop_falls_with_the_feedback_gain(kind, loss, name):
    """Xie & Seung 2003; the output is linear, so its delta needs no ``f'``."""
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, loss)
    gains = (1e-2, 1e-3, 1e-4, 1e-5)
    found = [found_by(net, x, y, loss, name, feedback_gain=gain, normalised=False) for gain in gains]
    for part in ("", "fc"):  # all, and hidden layers alone
        errors = [
            relative_error(*({n: g[n] for n in g if n.startswith(part)} for g in (estimate, exact)))
            for estimate in found
        ]
        assert slope(gains, errors) == pytest.approx(1, abs=0.05)
        assert errors[-1] < 1e-3


def test_without_hidden_layers_both_are_the_delta_rule():
    net = mlp(3, input_shape=(7,), hidden=()).double()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, "cross_entropy")
    for name in BOTH:
        assert relative_error(found_by(net, x, y, "cross_entropy", name), exact) < 1e-13


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("kind", [small_mlp, small_convnet])
def test_random_feedback_equal_to_the_weights_is_symmetric(kind, name):
    net = kind("tanh")
    x, y = batch(net)
    expected = found_by(net, x, y, "cross_entropy", name)
    rule = settled(net, name, random_feedback=True)
    assert len(list(rule.buffers())) == len(net.layers) - 1
    rule.assign_credit(net, x, y, cross_entropy)
    assert relative_error(gradients(net), expected) > 0.01
    for layer, buffer in zip(list(net.layers.values())[1:], rule.buffers(), strict=True):
        buffer.copy_(layer.weight.detach())
    rule.assign_credit(net, x, y, cross_entropy)
    assert relative_error(gradients(net), expected) < 1e-12


def test_random_feedback_differs_between_seeds_and_symmetric_has_none():
    net = small_mlp()
    for name in BOTH:
        assert not RULES[name].for_net(net, seed=0).state_dict()
        first, second = (RULES[name].for_net(net, seed=s, random_feedback=True).state_dict() for s in (0, 1))
        assert set(first) == {"feedback_fc2", "feedback_readout"}
        assert not any(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", BOTH)
def test_the_default_number_of_sweeps_is_enough(name):
    net = small_mlp("tanh", hidden=(30, 20, 10))
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    rule.assign_credit(net, x, y, squared_error)
    found = gradients(net)
    assert relative_error(found, found_by(net, x, y, "squared_error", name)) < 5e-3
