"""Node perturbation's statistics: unbiased, and as noisy as theory says (Werfel, Xie & Seung 2005)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import autograd, gradients
from problems import batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

N_NODES = 6 + 5 + 3  # of small_mlp


def estimates(
    rows: int, *, directions: int = 1, sigma: float = 1e-4, signs: bool = False, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Independent estimates of one sample's deltas, ``(rows, N_NODES)``, and autograd's deltas ``(N_NODES,)``."""
    net = small_mlp("tanh")
    x, y = batch(net, 1)
    rule = RULES["node_perturbation"].for_net(net, seed=0, sigma=sigma, signs=signs, directions=directions)
    generator = torch.Generator().manual_seed(seed)
    # One batch holds the sample `rows` times; the mean over the batch divides each delta by `rows`.
    credit = rule.assign_credit(net, x.expand(rows, -1), y.expand(rows), cross_entropy, generator)
    true = autograd(net, x, y, "cross_entropy")[1]
    return rows * torch.cat(credit.deltas, 1).numpy(), torch.cat(true, 1).numpy()[0]


@pytest.mark.parametrize(("sigma", "signs"), [(1e-1, False), (1e-2, False), (1e-4, False), (1e-4, True)])
def test_the_estimate_is_unbiased_whatever_the_size_of_the_noise(sigma, signs):
    found, true = estimates(200, directions=1000, sigma=sigma, signs=signs)
    # Over strong noise the loss is smoothed, which shifts the gradient by O(sigma^2).
    standard_error = found.std(0, ddof=1) / len(found) ** 0.5
    np.testing.assert_array_less(np.abs(found.mean(0) - true), 5 * standard_error + sigma**2)
    # The test has power: what it allows is far below the gradient itself.
    assert np.linalg.norm(5 * standard_error + sigma**2) < 0.3 * np.linalg.norm(true)


@pytest.mark.parametrize("signs", [False, True])
def test_power_of_one_estimate_is_the_number_of_nodes_plus_two(signs):
    """``E|g^|^2 / |g|^2 = N + 2`` for Gaussian noise, N for signs; N counts every perturbed unit of one sample."""
    found, true = estimates(60_000, signs=signs)
    power = (found**2).sum(1) / (true @ true)
    standard_error = power.std(ddof=1) / len(power) ** 0.5
    assert standard_error < 0.2  # so that N + 1 or N + 3 would not pass
    assert power.mean() == pytest.approx(N_NODES + (0 if signs else 2), abs=4 * standard_error)


def test_error_falls_with_the_square_root_of_the_directions():
    """The relative error of the mean of K directions is ``sqrt((N + 1) / K)``."""
    counts = np.array([4, 16, 64, 256])
    errors, standard_errors = [], []
    for directions in counts:
        found, true = estimates(400, directions=int(directions), seed=int(directions))
        squared = ((found - true) ** 2).sum(1) / (true @ true)
        errors.append(0.5 * np.log(squared.mean()))
        standard_errors.append(0.5 * squared.std(ddof=1) / squared.mean() / len(squared) ** 0.5)
    log_counts = np.log(counts)
    centred = log_counts - log_counts.mean()
    slope = centred @ errors / (centred @ centred)
    slope_error = np.sqrt((centred**2) @ np.square(standard_errors)) / (centred @ centred)
    assert slope_error < 0.02
    assert slope == pytest.approx(-0.5, abs=4 * slope_error)
    constants = np.array(errors) + 0.5 * log_counts
    np.testing.assert_array_less(np.abs(constants - 0.5 * np.log(N_NODES + 1)), 4 * np.array(standard_errors))


def test_gradients_are_the_deltas_times_the_clean_inputs():
    net = small_mlp("tanh")
    x, y = batch(net)
    rule = RULES["node_perturbation"].for_net(net, seed=0, directions=3)
    credit = rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(1))
    found, inputs = gradients(net), net.trace(x).inputs
    for name, delta, h in zip(net.layers, credit.deltas, inputs, strict=True):
        torch.testing.assert_close(found[f"{name}.weight"], torch.einsum("bo,bi->oi", delta, h), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(found[f"{name}.bias"], delta.sum(0), rtol=1e-12, atol=1e-14)


def test_noise_comes_from_the_generator_alone():
    net = small_mlp("tanh")
    x, y = batch(net)
    rule = RULES["node_perturbation"].for_net(net, seed=0)
    torch.manual_seed(0)
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(1))
    first = gradients(net)
    torch.manual_seed(1)
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(1))
    for name, gradient in gradients(net).items():
        assert torch.equal(gradient, first[name])


@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"sigma": -1.0}, {"sigma": float("nan")}, {"directions": 0}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(InputError, match="sigma > 0 and directions >= 1"):
        RULES["node_perturbation"].for_net(small_mlp(), seed=0, **settings)


SILENT_TEACHER = Loss(
    "half squared output", lambda output, labels: 0.5 * output.square().sum(1), lambda output, labels: output
)


@pytest.mark.parametrize("name", ["backprop", "node_perturbation"])
def test_learning_speed_of_a_linear_perceptron(name):
    """Werfel et al. 2005: at the best rate ``eta`` one online step shrinks ``E|W - W*|^2`` by ``1 - eta``.

    ``eta`` is ``1 / (M + 2)`` for gradient descent and ``1 / [(N + 2)(M + 2)]`` for node perturbation, with M inputs and
    N outputs. The teacher here is ``W* = 0``; every sample of one batch is a step of its own from the same weights.
    """
    inputs, outputs, rows = 4, 3, 200_000
    best = 1 / (inputs + 2) if name == "backprop" else 1 / ((outputs + 2) * (inputs + 2))
    net = mlp(outputs, input_shape=(inputs,), hidden=()).double()
    settings = {"sigma": 1e-4} if name == "node_perturbation" else {}
    rule = RULES[name].for_net(net, seed=0, **settings)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    credit = rule.assign_credit(net, x, torch.zeros(rows, dtype=torch.long), SILENT_TEACHER, generator)
    steps = torch.einsum("bo,bi->boi", rows * credit.deltas[0], x)
    weight = net.layers["readout"].weight.detach()

    def contraction(rate: float) -> tuple[float, float]:
        squared = (weight - rate * steps).square().sum((1, 2)) / weight.square().sum()
        return float(squared.mean()), float(squared.std() / rows**0.5)

    mean, standard_error = contraction(best)
    assert standard_error < 0.02 * best
    assert mean == pytest.approx(1 - best, abs=4 * standard_error)
    # Any other rate is worse: half as fast and half as fast again both contract by 1 - 3/4 of the best.
    for factor in (0.5, 1.5):
        mean, standard_error = contraction(factor * best)
        assert mean == pytest.approx(1 - 0.75 * best, abs=4 * standard_error)
