"""Recurrent backpropagation is the derivative of the loss at the fixed point."""

from __future__ import annotations

import pytest
import torch
from fixed_points import implicit, relative_error, slope, through_time
from oracles import autograd, gradients
from problems import NETS, batch, small_mlp

from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def settled(net, **settings):
    return RULES["almeida_pineda"].for_net(net, seed=0, free_sweeps=60, adjoint_sweeps=60, **settings)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_the_gradient_is_that_of_the_implicit_function_and_of_backpropagation_through_time(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    rule = settled(net)
    gains = [gain.detach() for gain in rule.dynamics(net).gains]
    credit = rule.assign_credit(net, x, y, LOSSES[loss])
    found = gradients(net)
    assert relative_error(found, implicit(net, x, y, loss, gains)) < 1e-12
    assert relative_error(found, through_time(net, x, y, loss, gains)) < 1e-12
    assert credit.residuals[1] < 1e-15


@pytest.mark.parametrize("gains", [(0.5, 1.0, False), (0.9, 0.3, True)])
def test_strong_feedback_too(gains):
    """Where the gradient is far from backprop's."""
    gain, scale, normalised = gains
    net = small_mlp("tanh")
    with torch.no_grad():
        for layer in net.layers.values():
            layer.weight.mul_(scale)
        net.readout.weight.mul_(5)
    x, y = batch(net)
    rule = RULES["almeida_pineda"].for_net(
        net, seed=0, feedback_gain=gain, normalised=normalised, free_sweeps=300, adjoint_sweeps=300
    )
    found_gains = [g.detach() for g in rule.dynamics(net).gains]
    rule.assign_credit(net, x, y, cross_entropy)
    found = gradients(net)
    assert relative_error(found, through_time(net, x, y, "cross_entropy", found_gains, 600)) < 1e-9
    assert relative_error(found, autograd(net, x, y, "cross_entropy")[0]) > 0.1


def test_deltas_are_derivatives_with_respect_to_what_each_unit_receives():
    """Each sample's on its own: the derivative with respect to the bias of a batch of one."""
    net = small_mlp()
    x, y = batch(net)
    rule = settled(net)
    gains = [gain.detach() for gain in rule.dynamics(net).gains]
    deltas = rule.assign_credit(net, x, y, cross_entropy).deltas
    for sample in range(len(x)):
        one = slice(sample, sample + 1)
        expected = through_time(net, x[one], y[one], "cross_entropy", gains)
        for name, delta in zip(net.layers, deltas, strict=True):
            torch.testing.assert_close(delta[sample], expected[f"{name}.bias"] / len(x), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_with_vanishing_feedback_it_is_backprop(kind):
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, "cross_entropy")
    gains, errors = (1e-1, 1e-2, 1e-3, 1e-4), []
    for gain in gains:
        settled(net, feedback_gain=gain, normalised=False).assign_credit(net, x, y, cross_entropy)
        errors.append(relative_error(gradients(net), exact))
    assert slope(gains[1:], errors[1:]) == pytest.approx(1, abs=0.02)
    assert errors[-1] < 1e-3


def test_the_first_sweep_of_the_error_is_one_pass_of_backprop_at_rest():
    """With vanishing gain nothing more is to come, and nothing is lost to the smallness of the gain."""
    net = small_mlp()
    x, y = batch(net)
    RULES["almeida_pineda"].for_net(
        net, seed=0, feedback_gain=1e-14, normalised=False, free_sweeps=1, adjoint_sweeps=1
    ).assign_credit(net, x, y, cross_entropy)
    assert relative_error(gradients(net), autograd(net, x, y, "cross_entropy")[0]) < 1e-12


def test_without_hidden_layers_it_is_backprop():
    net = mlp(3, input_shape=(7,), hidden=()).double()
    x, y = batch(net)
    settled(net).assign_credit(net, x, y, cross_entropy)
    assert relative_error(gradients(net), autograd(net, x, y, "cross_entropy")[0]) < 1e-13
