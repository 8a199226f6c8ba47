"""Boltzmann machines small enough to write down all their states, and those that have a closed form."""

from __future__ import annotations

import itertools

import pytest
import torch
from fixed_points import relative_error, slope
from oracles import autograd, gradients
from problems import batch
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def small_net(hidden=(3, 2), *, scale=2.0, seed=0):
    """4 inputs, 3 labels; couplings so strong that neighbours tell much about each other."""
    net = mlp(3, input_shape=(4,), hidden=hidden, activation="sigmoid", seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.layers.values():
            layer.weight.mul_(scale)
            layer.bias.copy_(0.5 * torch.randn(layer.bias.shape, generator=generator))
    return net


def made(net, **settings):
    return RULES["boltzmann_machine"].for_net(net, seed=0, **settings)


def credit(net, x, y, *, loss=cross_entropy, seed=0, **settings):
    found = made(net, **settings).assign_credit(net, x, y, loss, torch.Generator().manual_seed(seed))
    return gradients(net), found


def states(net):
    """All states of all units, one-hot in the last layer: each layer's as (number, units)."""
    *hidden, last = net.layers.values()
    bits = [torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(layer.bias)))).double() for layer in hidden]
    one_hot = torch.eye(len(last.bias)).double()
    index = torch.cartesian_prod(*[torch.arange(len(s)) for s in [*bits, one_hot]]).reshape(-1, len(bits) + 1)
    return [s[i] for s, i in zip([*bits, one_hot], index.T, strict=True)]


def log_weights(net, x):
    """Minus the energy of all states given each sample, and each state's label: ``(samples, states)``, ``(states,)``."""
    every = states(net)
    rows = []
    for sample in x:
        below, total = sample.expand(len(every[0]), -1), 0.0
        for layer, s in zip(net.layers.values(), every, strict=True):
            total = total + (s * (below @ layer.weight.T + layer.bias)).sum(1)
            below = s
        rows.append(total)
    return torch.stack(rows), every[-1].argmax(1)


def log_likelihood(net, x, y):
    """Mean ``log p(y | x)`` by summing over all states."""
    weights, labels = log_weights(net, x)
    clamped = torch.stack([w[labels == k].logsumexp(0) for w, k in zip(weights, y, strict=True)])
    return (clamped - weights.logsumexp(1)).mean()


def descent(net, objective):
    parameters = dict(net.named_parameters())
    return dict(zip(parameters, torch.autograd.grad(-objective, list(parameters.values())), strict=True))


@pytest.mark.parametrize("same_noise", [True, False])
@pytest.mark.parametrize("hidden", [(2,), (3, 2), (2, 2, 2)])
def test_long_chains_give_the_gradient_of_the_label_s_log_probability(hidden, same_noise):
    """Independent runs, so that the distance from enumeration is known in units of its own standard error."""
    net = small_net(hidden)
    x, y = batch(net, 2)
    expected = descent(net, log_likelihood(net, x, y))
    runs = [credit(net, x, y, seed=seed, chains=1000, sweeps=25, same_noise=same_noise)[0] for seed in range(40)]
    mean = {name: torch.stack([run[name] for run in runs]).mean(0) for name in expected}
    assert relative_error(mean, expected) < 0.03
    for name, exact in expected.items():
        spread = torch.stack([run[name] for run in runs]).std(0) / len(runs) ** 0.5
        assert ((mean[name] - exact).abs() < 5 * spread + 1e-12).all(), name


def test_the_error_falls_with_the_root_of_the_number_of_chains():
    net = small_net()
    x, y = batch(net, 2)
    expected = descent(net, log_likelihood(net, x, y))
    numbers = [10, 40, 160, 640, 2560]
    errors = []
    for chains in numbers:
        squares = [
            relative_error(credit(net, x, y, seed=seed, chains=chains, sweeps=20)[0], expected) ** 2
            for seed in range(12)
        ]
        errors.append((sum(squares) / len(squares)) ** 0.5)
    assert abs(slope(numbers, errors) + 0.5) < 0.05


def test_the_same_noise_in_both_phases_takes_variance_away():
    net = small_net((6, 5), scale=1.0)
    x, y = batch(net)
    runs = {same: [credit(net, x, y, seed=seed, same_noise=same)[0] for seed in range(200)] for same in (True, False)}
    with_it, without = (
        sum(torch.stack([run[name] for run in found]).var(0).sum() for name in found[0]) for found in runs.values()
    )
    assert with_it < 0.3 * without


def test_with_one_hidden_layer_the_closed_form_of_larochelle_and_bengio():
    """``p(y | x) ~ exp(d_y) prod_j (1 + exp(c_j + U_jy + W_j x))``: hidden units are summed over one by one."""
    net = small_net((12,), scale=1.5)
    x, y = batch(net, 3)
    first, last = net.layers.values()
    drive = first.affine(x)[:, None] + last.weight[None]  # sample, label, hidden unit
    expected = descent(net, -functional.cross_entropy(last.bias + functional.softplus(drive).sum(2), y))
    assert relative_error(credit(net, x, y, chains=20000, sweeps=20)[0], expected) < 0.02


@pytest.mark.parametrize("settings", [{}, {"mean_field": True}, {"sweeps": 0}])
def test_without_hidden_layers_it_is_softmax_regression(settings):
    net = small_net(())
    x, y = batch(net)
    found, _ = credit(net, x, y, **settings)
    for name, exact in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(found[name], exact, **EXACT)


def free_energy(net, x, label=None, steps=400):
    """The least ``<E> - H`` over independent units, by gradient descent on their log odds; summed over samples."""
    layers = list(net.layers.values())
    odds = [torch.zeros(len(x), len(layer.bias), dtype=x.dtype, requires_grad=True) for layer in layers]

    def objective():
        total, below = 0.0, x
        for number, (layer, a) in enumerate(zip(layers, odds, strict=True)):
            if number < len(layers) - 1:
                s = torch.sigmoid(a)
                entropy = s * functional.softplus(-a) + (1 - s) * functional.softplus(a)
            else:
                s = torch.softmax(a, 1) if label is None else label
                entropy = -s * torch.log_softmax(a, 1) if label is None else torch.zeros_like(s)
            total = total - (s * functional.linear(below, layer.weight, layer.bias)).sum() - entropy.sum()
            below = s
        return total

    optimizer = torch.optim.LBFGS(
        odds, max_iter=steps, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = objective()
        value.backward(inputs=odds)
        return value

    optimizer.step(closure)
    return objective()


@pytest.mark.parametrize("hidden", [(3,), (3, 2), (3, 2, 4)])
def test_mean_field_phases_give_the_gradient_of_a_difference_of_free_energies(hidden):
    """At a minimum over the units the derivative in the weights is the partial one."""
    net = small_net(hidden, scale=1.0)
    x, y = batch(net)
    label = functional.one_hot(y, 3).double()
    expected = descent(net, (free_energy(net, x) - free_energy(net, x, label)) / len(x))
    found, _ = credit(net, x, y, mean_field=True, sweeps=200)
    for name, exact in expected.items():
        torch.testing.assert_close(found[name], exact, rtol=1e-6, atol=1e-8)


def test_mean_field_phases_draw_nothing():
    net = small_net()
    x, y = batch(net)
    first, second = (credit(net, x, y, seed=seed, mean_field=True)[0] for seed in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4), (5, 4, 6)])
def test_what_it_predicts_solves_the_mean_field_equations(hidden):
    net = small_net(hidden)
    x, _ = batch(net)
    *inner, logits = made(net, sweeps=300).activities(net, x).values()
    layers, s = list(net.layers.values()), [x, *inner, torch.softmax(logits, 1)]
    for number in range(len(inner)):
        drive = s[number] @ layers[number].weight.T + layers[number].bias + s[number + 2] @ layers[number + 1].weight
        torch.testing.assert_close(s[number + 1], torch.sigmoid(drive), **EXACT)
    torch.testing.assert_close(logits, s[-2] @ layers[-1].weight.T + layers[-1].bias, **EXACT)


@pytest.mark.parametrize("sweeps", [0, 1])
def test_what_it_predicts_starts_at_the_forward_pass_and_odd_layers_move_first(sweeps):
    net = small_net((3, 2))
    x, _ = batch(net)
    found = made(net, sweeps=sweeps).activities(net, x)
    first, second, last = net.layers.values()
    one, two = first(x), second(first(x))
    top = torch.softmax(last.affine(two), 1)
    for _ in range(sweeps):
        one = torch.sigmoid(first.affine(x) + two @ second.weight)
        top = torch.softmax(last.affine(two), 1)
        two = torch.sigmoid(second.affine(one) + top @ last.weight)
    one = torch.sigmoid(first.affine(x) + two @ second.weight)
    for activity, expected in zip(found.values(), (one, two, last.affine(two)), strict=True):
        torch.testing.assert_close(activity, expected, **EXACT)


def test_deltas_are_the_biases_gradients_sample_by_sample():
    net = small_net()
    x, y = batch(net)
    found, credited = credit(net, x, y, chains=3)
    for layer, delta in zip(net.layers, credited.deltas, strict=True):
        torch.testing.assert_close(delta.sum(0), found[f"{layer}.bias"], **EXACT)
    for item in range(len(x)):
        _, alone = credit(net, x[[item]], y[[item]], chains=20000)
        _, among = credit(net, x, y, chains=20000)
        torch.testing.assert_close(among.deltas[-1][item] * len(x), alone.deltas[-1][0], rtol=0, atol=0.03)


def test_the_task_s_loss_has_no_part_in_learning():
    net = small_net()
    x, y = batch(net)
    (first, _), (second, credited) = (
        credit(net, x, y, loss=LOSSES[name]) for name in ("cross_entropy", "squared_error")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    *_, output = made(net).activities(net, x).values()
    torch.testing.assert_close(credited.loss, LOSSES["squared_error"](output, y))


@pytest.mark.parametrize("settings", [{"chains": 0}, {"sweeps": -1}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(InputError, match="needs chains >= 1 and sweeps >= 0"):
        made(small_net(), **settings)
