"""Weight perturbation's statistics (Werfel, Xie & Seung 2005), and evolution strategies as its ranked form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import autograd, gradients
from problems import batch, small_mlp
from torch.nn.utils import parameters_to_vector

from neurocompare.errors import InputError
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def tiny():
    """Four weights and biases."""
    return mlp(2, input_shape=(1,), hidden=(), seed=3).double()


def estimates(n, directions, *, name="weight_perturbation", seed=0, **settings):
    """``n`` estimates of the gradient as vectors, and the true one."""
    net = tiny()
    x, y = batch(net, 4)
    rule = RULES[name].for_net(net, seed=0, directions=directions, **settings)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(n):
        rule.assign_credit(net, x, y, cross_entropy, generator)
        found.append(parameters_to_vector([p.grad for p in net.parameters()]).numpy())
    true = torch.cat([g.flatten() for g in autograd(net, x, y, "cross_entropy")[0].values()]).numpy()
    return np.stack(found), true


def test_the_estimate_is_unbiased_and_its_power_is_the_number_of_weights_plus_two():
    """Oracle: ``E|g^|^2 / |g|^2 = N + 2``."""
    found, true = estimates(6000, 1)
    size = len(true)
    error = found.std(0, ddof=1) / len(found) ** 0.5
    np.testing.assert_array_less(np.abs(found.mean(0) - true), 4.5 * error)
    power = (found**2).sum(1) / (true @ true)
    standard_error = power.std(ddof=1) / len(power) ** 0.5
    assert size == 4
    assert standard_error < 0.2  # so that N + 1 or N + 3 would not pass
    assert power.mean() == pytest.approx(size + 2, abs=4 * standard_error)


def test_error_falls_with_the_square_root_of_the_directions():
    """Oracle: the relative error of the mean of K directions is ``sqrt((N + 1) / K)``."""
    counts = np.array([1, 3, 9, 27])
    errors, spread = [], []
    for directions in counts:
        found, true = estimates(400, int(directions), seed=int(directions))
        squared = ((found - true) ** 2).sum(1) / (true @ true)
        errors.append(0.5 * np.log(squared.mean()))
        spread.append(0.5 * squared.std(ddof=1) / squared.mean() / len(squared) ** 0.5)
    centred = np.log(counts) - np.log(counts).mean()
    slope = centred @ errors / (centred @ centred)
    slope_error = np.sqrt(centred**2 @ np.square(spread)) / (centred @ centred)
    assert slope_error < 0.02
    assert slope == pytest.approx(-0.5, abs=4 * slope_error)
    np.testing.assert_array_less(
        np.abs(errors + 0.5 * np.log(counts) - 0.5 * np.log(len(true) + 1)), 4 * np.array(spread)
    )


def test_one_direction_in_closed_form_and_frozen_parameters_left_out():
    net = small_mlp("tanh")
    net.layers["fc1"].bias.requires_grad_(False)
    x, y = batch(net)
    rule = RULES["weight_perturbation"].for_net(net, seed=0, directions=1, sigma=1e-5)
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(7))
    true, _ = autograd_of_trainable(net, x, y)
    xi = torch.randn(len(true), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    found = parameters_to_vector([p.grad for p in net.parameters() if p.requires_grad])
    torch.testing.assert_close(found, (true @ xi) * xi, rtol=1e-6, atol=1e-9)
    assert net.layers["fc1"].bias.grad is None


def autograd_of_trainable(net, x, y):
    trainable = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x), y), trainable)
    return torch.cat([g.flatten() for g in found]), found


def test_evolution_strategies_weigh_directions_by_ranks():
    """Losses in any increasing disguise give the same update; the weights are ranks counted by hand."""
    rule = RULES["evolution_strategies"].for_net(tiny(), seed=0, directions=2, sigma=0.5)
    losses = torch.tensor([[0.3, 0.1], [7.0, 0.2]], dtype=torch.float64)
    # Ranks are [[2, 0], [3, 1]] of 0..3, so [[1/6, -1/2], [1/2, -1/6]] about their middle.
    expected = torch.tensor([2 / 3, 2 / 3], dtype=torch.float64) / (2 * 2 * 0.5)
    torch.testing.assert_close(rule.weigh(losses), expected)
    disguised = Loss(
        "exp", lambda o, y: (3 * cross_entropy.per_sample(o, y).mean()).exp().expand(len(y)), cross_entropy.error
    )
    net = tiny()
    x, y = batch(net, 4)
    plain, other = [], []
    for found, loss in ((plain, cross_entropy), (other, disguised)):
        RULES["evolution_strategies"].for_net(net, seed=0).assign_credit(
            net, x, y, loss, torch.Generator().manual_seed(1)
        )
        found.append(gradients(net))
    for name, gradient in plain[0].items():
        torch.testing.assert_close(other[0][name], gradient, rtol=1e-12, atol=1e-14)


def test_evolution_strategies_point_down_the_gradient():
    """Ranks keep the direction: with many antithetic pairs the mean update is parallel to the gradient."""
    found, true = estimates(40, 400, name="evolution_strategies", sigma=1e-4)
    mean = found.mean(0)
    assert mean @ true / np.linalg.norm(mean) / np.linalg.norm(true) > 0.99


@pytest.mark.parametrize("name", ["weight_perturbation", "evolution_strategies"])
@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"sigma": float("nan")}, {"directions": 0}])
def test_settings_without_meaning_are_refused(name, settings):
    with pytest.raises(InputError, match=f"{name} needs sigma > 0 and directions >= 1"):
        RULES[name].for_net(small_mlp(), seed=0, **settings)
