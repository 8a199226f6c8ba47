"""The controlled network against its dynamics stepped through time, and its limits: backprop and Gauss-Newton."""

from __future__ import annotations

import pytest
import torch
from fixed_points import products, relative_error, slope, up
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward
from problems import NETS, batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-8, "atol": 1e-10}


def made(net, **settings):
    return RULES["deep_feedback_control"].for_net(net, seed=1, **settings)


def credit(rule, net, x, y, loss="cross_entropy"):
    found = rule.assign_credit(net, x, y, LOSSES[loss], torch.Generator().manual_seed(0))
    return gradients(net), found


def derivatives(net, x):
    """``J_l`` of one sample for each layer, ``(classes, units)``: of the output by a potential, the rest following."""
    preactivations, output = plain_forward(net, x)
    rows = [torch.autograd.grad(o, preactivations, retain_graph=True) for o in output[0]]
    return [torch.stack([row[number].flatten() for row in rows]) for number in range(len(preactivations))]


def slopes_of(net, preactivations):
    """``f'(a)`` of each layer."""
    functions = [TORCH_ACTIVATIONS[layer.activation.name] for layer in net.layers.values()]
    leaves = [a.detach().requires_grad_() for a in preactivations]
    return [torch.autograd.grad(f(a).sum(), a)[0] for f, a in zip(functions, leaves, strict=True)]


def controlled_by(rule, net, jacobians):
    """The same rule with ``Q = J^T``."""
    with torch.no_grad():
        for name, jacobian in zip(list(net.layers)[:-1], jacobians, strict=False):
            rule.get_parameter(f"control_{name}").copy_(jacobian.T)
    return rule


def rest_through_time(net, rule, x, pull, leak, dt=0.05, steps=4000):
    """Potentials and the controller by Euler steps of their differential equations, from the forward pass."""
    layers = list(net.layers.items())
    preactivations, output = plain_forward(net, x)
    v, target = [a.detach().clone() for a in preactivations], output.detach() + pull
    u = torch.zeros_like(target)
    for _ in range(steps):
        rates = [TORCH_ACTIVATIONS[layer.activation.name](p) for (_, layer), p in zip(layers, v, strict=True)]
        moves = []
        for (name, layer), below, p in zip(layers, [x, *rates[:-1]], v, strict=True):
            apical = u if name == "readout" else (u @ rule.get_parameter(f"control_{name}").T).view_as(p)
            moves.append(up(layer, below) + apical - p)
        u = u + 0.2 * dt * (target - rates[-1] - leak * u)
        v = [p + dt * move for p, move in zip(v, moves, strict=True)]
    return u, v


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_newton_steps_find_the_rest_of_the_dynamics(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    rule = made(net, target_step=0.4, leak=1.5, iterations=30)
    found, result = credit(rule, net, x, y, loss)
    assert result.residuals[0] < 1e-12
    error = autograd(net, x, y, loss)[1][-1] * len(x)
    with torch.no_grad():
        u, v = rest_through_time(net, rule, x, -0.4 * error, 1.5)
        layers = list(net.layers.items())
        functions = [TORCH_ACTIVATIONS[layer.activation.name] for _, layer in layers]
        rates = [f(p) for f, p in zip(functions, v, strict=True)]
        deltas = []
        for (name, _), f, p in zip(layers, functions, v, strict=True):
            apical = u if name == "readout" else (u @ rule.get_parameter(f"control_{name}").T).view_as(p)
            deltas.append(-(f(p) - f(p - apical)) * 2.5 / 0.4 / len(x))
    for delta, wanted in zip(result.deltas, deltas, strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, wanted in products(net, [x, *rates[:-1]], deltas).items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)


@pytest.mark.parametrize("kind", NETS)
def test_the_loop_is_that_of_autograd(kind):
    net = NETS[kind]()
    rule = made(net)
    x, _ = batch(net)
    with torch.no_grad():
        loops = rule.loop(net, net.trace(x))
    for sample, loop in zip(x, loops, strict=True):
        *hidden, top = derivatives(net, sample[None])
        expected = top + sum(
            j @ rule.get_parameter(f"control_{name}").detach() for name, j in zip(net.layers, hidden, strict=False)
        )
        torch.testing.assert_close(loop, expected, **EXACT)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "mlp_relu", "convnet_tanh"])
def test_a_leaky_controller_of_the_transposed_jacobian_is_backprop_times_the_slope(kind, loss):
    """So for relu units it is backprop. One sample, as Q is the same for all; the error falls as the inverse of the leak."""
    net = NETS[kind]()
    x, y = batch(net, 1)
    jacobians, preactivations = derivatives(net, x), plain_forward(net, x)[0]
    exact = zip(slopes_of(net, preactivations), autograd(net, x, y, loss)[1], strict=True)
    expected = {str(n): s * delta for n, (s, delta) in enumerate(exact)}
    leaks, errors = [30.0, 100.0, 300.0, 1000.0], []
    for leak in leaks:
        rule = controlled_by(made(net, leak=leak), net, jacobians)
        found = credit(rule, net, x, y, loss)[1].deltas
        errors.append(relative_error({str(n): delta for n, delta in enumerate(found)}, expected))
    assert slope(leaks, errors) == pytest.approx(-1, abs=0.1)
    assert errors[-1] < 5e-3


@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_a_tight_controller_makes_the_smallest_change_of_potentials_that_reaches_the_target(kind):
    """``pinv(J) (r* - o)`` over all potentials together, to first order in the step."""
    net = NETS[kind]()
    x, y = batch(net, 1)
    jacobians = derivatives(net, x)
    error = autograd(net, x, y, "cross_entropy")[1][-1]
    smallest = -error @ torch.linalg.pinv(torch.cat(jacobians, 1)).T
    parts = smallest.split([j.shape[1] for j in jacobians], 1)
    slopes = slopes_of(net, plain_forward(net, x)[0])
    expected = {str(n): -s * part.view_as(s) for n, (s, part) in enumerate(zip(slopes, parts, strict=True))}
    steps, errors = [0.1, 0.03, 0.01, 0.003], []
    for step in steps:
        rule = controlled_by(made(net, target_step=step, leak=1e-8, iterations=10), net, jacobians)
        _, result = credit(rule, net, x, y)
        errors.append(relative_error({str(n): d for n, d in enumerate(result.deltas)}, expected))
    assert slope(steps, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-2


def test_without_hidden_layers_it_is_the_delta_rule():
    net = small_mlp(hidden=())
    x, y = batch(net)
    found, _ = credit(made(net), net, x, y)
    for key, wanted in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(found[key], wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_noise_teaches_the_mean_of_the_transposed_jacobian(kind):
    """The gradient's mean is ``Q - mean J^T`` within four standard errors, and these are small beside J."""
    net = NETS[kind]()
    x, y = batch(net)
    rule = made(net, noise=1e-4)
    generator = torch.Generator().manual_seed(0)
    draws = {name: [] for name, _ in rule.named_parameters()}
    for _ in range(1500):
        rule.assign_credit(net, x, y, cross_entropy, generator)
        for name, parameter in rule.named_parameters():
            draws[name].append(parameter.grad.clone())
    each = [derivatives(net, sample[None])[:-1] for sample in x]
    for number, (name, parameter) in enumerate(rule.named_parameters()):
        jacobian = torch.stack([j[number] for j in each]).mean(0).T
        found = torch.stack(draws[name])
        error = found.std(0) / len(found) ** 0.5
        z = (found.mean(0) - (parameter.detach() - jacobian)) / error
        assert z.abs().max() < 4, name
        assert error.norm() < 0.3 * jacobian.norm(), name


@pytest.mark.parametrize("settings", [{"target_step": 0.0}, {"leak": 0.0}, {"iterations": 0}, {"noise": -1.0}])
def test_settings_without_meaning_are_refused(settings):
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=f"deep_feedback_control needs .* but got .*{name}={value}"):
        made(small_mlp(), **settings)
