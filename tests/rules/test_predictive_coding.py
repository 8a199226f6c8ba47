"""Predictive coding against its energy by autograd, its rest in closed form, and the limits in which it is backprop."""

from __future__ import annotations

import itertools

import pytest
import torch
from fixed_points import relative_error, slope, up
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_loss
from problems import NETS, batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, Loss, squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def predictive_coding(net, **settings):
    return RULES["predictive_coding"].for_net(net, seed=0, **settings)


def energy(net, x, y, loss, values):
    """``sum_l 1/2 |v_l - f(W v_{l-1} + b)|^2 + C``, mean over the batch."""
    inputs, total = [x, *values], 0.0
    *hidden, readout = net.layers.values()
    for layer, below, value in zip(hidden, inputs, values, strict=False):
        predicted = TORCH_ACTIVATIONS[layer.activation.name](up(layer, below))
        total = total + 0.5 * (value - predicted).square().sum() / len(x)
    return total + plain_loss(loss, up(readout, inputs[-1]), y)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_updates_are_the_derivatives_of_the_energy(kind, loss):
    """Of weights exactly, wherever inference stopped; of values, that is what the first step moved along."""
    net = NETS[kind]()
    x, y = batch(net)
    rule = predictive_coding(net, steps=7)
    values = rule.assign_credit(net, x, y, LOSSES[loss]).targets
    parameters = list(net.parameters())
    expected = torch.autograd.grad(energy(net, x, y, loss, values), parameters)
    assert relative_error(gradients(net), dict(zip(gradients(net), expected, strict=True))) < 1e-12
    first, second = (predictive_coding(net, steps=n).assign_credit(net, x, y, LOSSES[loss]).targets for n in (1, 2))
    leaves = [v.clone().requires_grad_() for v in first]
    slopes = torch.autograd.grad(len(x) * energy(net, x, y, loss, leaves), leaves)
    for before, after, gradient in zip(first, second, slopes, strict=True):
        torch.testing.assert_close(after, before - 0.1 * gradient, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", NETS)
def test_inference_never_raises_the_energy_and_comes_to_rest(kind):
    net = NETS[kind]()
    x, y = batch(net)
    with torch.no_grad():
        energies = [float(energy(net, x, y, "cross_entropy", net.trace(x).inputs[1:]))]
        for steps in range(1, 40):
            values = predictive_coding(net, steps=steps, rate=0.05).assign_credit(net, x, y, LOSSES["cross_entropy"])
            energies.append(float(energy(net, x, y, "cross_entropy", values.targets)))
    assert all(after <= before for before, after in itertools.pairwise(energies))
    credit = predictive_coding(net, steps=2000).assign_credit(net, x, y, LOSSES["cross_entropy"])
    assert credit.residuals[0] < 1e-10
    leaves = [v.clone().requires_grad_() for v in credit.targets]
    for gradient in torch.autograd.grad(energy(net, x, y, "cross_entropy", leaves), leaves):
        assert gradient.abs().max() < 1e-9


def test_a_linear_network_rests_where_linear_algebra_says():
    """The energy is quadratic: ``v`` solves ``H v = -c``, from the Hessian and slope at zero."""
    net = mlp(3, input_shape=(7,), hidden=(5, 4), activation="identity").double()
    x, y = batch(net, 1)
    found = predictive_coding(net, steps=3000).assign_credit(net, x, y, squared_error).targets

    def at(flat):
        return energy(net, x, y, "squared_error", [flat[None, :5], flat[None, 5:]])

    zero = torch.zeros(9, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(at, zero)
    expected = torch.linalg.solve(hessian, -torch.autograd.functional.jacobian(at, zero))
    torch.testing.assert_close(torch.cat([v[0] for v in found]), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_fixed_predictions_at_rate_one_are_backprop_after_a_step_per_hidden_layer_and_not_before(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, loss)
    names = list(net.layers)
    for steps in range(1, len(names) + 2):
        rule = predictive_coding(net, variant="fixed_prediction", steps=steps, rate=1.0)
        rule.assign_credit(net, x, y, LOSSES[loss])
        found = gradients(net)
        for depth, name in enumerate(reversed(names)):  # 0 is the readout
            error = relative_error({0: found[f"{name}.weight"]}, {0: exact[f"{name}.weight"]})
            assert error < 1e-12 if depth <= steps else error > 0.5, (steps, name)


@pytest.mark.parametrize("kind", NETS)
def test_fixed_predictions_approach_backprop_geometrically_at_other_rates(kind):
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, "cross_entropy")
    predictive_coding(net, variant="fixed_prediction", steps=300, rate=0.1).assign_credit(
        net, x, y, LOSSES["cross_entropy"]
    )
    assert relative_error(gradients(net), exact) < 1e-8
    *_, last, _ = net.layers
    for steps in (1, 5, 20):
        predictive_coding(net, variant="fixed_prediction", steps=steps, rate=0.1).assign_credit(
            net, x, y, LOSSES["cross_entropy"]
        )
        found = gradients(net)[f"{last}.weight"]
        torch.testing.assert_close(found, (1 - 0.9**steps) * exact[f"{last}.weight"], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_zero_divergence_is_backprop(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    predictive_coding(net, variant="zero_divergence").assign_credit(net, x, y, LOSSES[loss])
    assert relative_error(gradients(net), autograd(net, x, y, loss)[0]) < 1e-12


@pytest.mark.parametrize("kind", NETS)
def test_the_error_against_backprop_falls_with_the_outputs_error(kind):
    """A loss scaled by s has s times the gradient; at rest the update is that up to ``O(s^2)``."""
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, "squared_error")
    scales, errors = (1e-1, 1e-2, 1e-3, 1e-4), []
    for s in scales:
        scaled = Loss(
            "scaled",
            lambda out, labels, s=s: s * squared_error.per_sample(out, labels),
            lambda out, labels, s=s: s * squared_error.error(out, labels),
        )
        predictive_coding(net, steps=1500).assign_credit(net, x, y, scaled)
        errors.append(relative_error({n: g / s for n, g in gradients(net).items()}, exact))
    assert slope(scales, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("variant", ["strict", "fixed_prediction", "zero_divergence"])
def test_without_hidden_layers_it_is_the_delta_rule(variant):
    net = mlp(3, input_shape=(7,), hidden=()).double()
    x, y = batch(net)
    predictive_coding(net, variant=variant).assign_credit(net, x, y, LOSSES["cross_entropy"])
    assert relative_error(gradients(net), autograd(net, x, y, "cross_entropy")[0]) < 1e-13


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps >= 1 and a rate in .* but got 0 and 0.1"),
        ({"rate": 0.0}, "but got 20 and 0.0"),
        ({"rate": 1.5}, "but got 20 and 1.5"),
        ({"variant": "strct"}, "unknown variant of predictive_coding 'strct'; did you mean 'strict'"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        predictive_coding(small_mlp(), **settings)
