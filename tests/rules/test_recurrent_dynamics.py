"""How networks with feedback settle: against plain iteration, their energy, and what their float32 responses are worth."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from fixed_points import fixed_point
from problems import NETS, batch, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import ACTIVATIONS, Linear, convnet, mlp
from neurocompare.rules.contrastive_hebbian import ContrastiveHebbian
from neurocompare.rules.equilibrium_propagation import EquilibriumPropagation
from neurocompare.rules.recurrent_dynamics import increment, loop_norm


def made(net, **settings):
    return EquilibriumPropagation.for_net(net, seed=0, **settings)


@pytest.mark.parametrize("kind", NETS)
@torch.no_grad()
def test_the_free_phase_ends_where_plain_iteration_does(kind):
    net = NETS[kind]()
    x, _ = batch(net)
    rule = made(net, free_sweeps=60)
    dynamics = rule.dynamics(net)
    rest = dynamics.free(x, 60)
    assert rest.residual < 1e-13
    for found, expected in zip(rest.state, fixed_point(net, x, dynamics.gains), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    for found, s in zip(rule.activities(net, x).values(), rest.state, strict=True):
        assert torch.equal(found, s)
    for layer, a, s in zip(net.layers.values(), rest.received, rest.state[:-1], strict=False):
        torch.testing.assert_close(layer.activate(a), s, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("output", ["nudged", "clamped"])
@pytest.mark.parametrize("kind", ["mlp", "mlp_relu", "mlp_sigmoid", "convnet"])
@torch.no_grad()
def test_the_response_is_the_difference_of_two_fixed_points(kind, output):
    net = NETS[kind]()
    x, _ = batch(net)
    dynamics = made(net).dynamics(net)
    rest = dynamics.free(x, 60)
    to = torch.tensor([1.0, -2.0, 0.5], dtype=x.dtype)
    if output == "nudged":  # towards ``to``, by half the way from where it is
        changes, _ = dynamics.response(rest, lambda below, d: below - 0.5 * (rest.output + d - to), 80)
        moved = fixed_point(net, x, dynamics.gains, lambda below, o: below - 0.5 * (o - to))
    else:
        changes, _ = dynamics.response(rest, lambda *_: to - rest.output, 80)
        moved = fixed_point(net, x, dynamics.gains, lambda *_: to.expand(len(x), -1))
    for found, s, moved_s in zip(changes, rest.state, moved, strict=True):
        torch.testing.assert_close(s + found, moved_s, rtol=1e-11, atol=1e-12)


CONJUGATE = {
    "tanh": lambda s: s * torch.atanh(s) + 0.5 * torch.log1p(-s * s),
    "sigmoid": lambda s: torch.special.xlogy(s, s) + torch.special.xlogy(1 - s, 1 - s),
    "relu": lambda s: s * s / 2,
    "identity": lambda s: s * s / 2,
}


@pytest.mark.parametrize("gain", [0.2, 1.0])
@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "mlp_relu", "convnet"])
@torch.no_grad()
def test_no_sweep_raises_the_energy(kind, gain):
    net = NETS[kind]()
    x, _ = batch(net)
    dynamics = made(net, feedback_gain=gain).dynamics(net)

    def energy(state):
        total = 0
        for layer, c, below, s in zip(net.layers.values(), dynamics.amplification(), [x, *state], state, strict=False):
            total += c * (CONJUGATE[layer.activation.name](s) - s * layer.affine(below)).sum()
        return float(total)

    energies = [energy(dynamics.free(x, sweeps).state) for sweeps in range(8)]
    assert energies[1] < energies[0]
    for before, after in itertools.pairwise(energies):
        assert after < before + 1e-12 * abs(before)


def test_relu_units_settle_however_large_the_weights_are():
    """With a constant gain, they run away."""
    net = small_mlp("relu", hidden=(30, 30, 30))
    with torch.no_grad():
        for layer in net.layers.values():
            layer.weight.mul_(10)
    x, _ = batch(net)
    rest = made(net).dynamics(net).free(x, 60)
    assert rest.residual < 1e-9 * max(s.abs().max() for s in rest.state)
    away = made(net, normalised=False).dynamics(net).free(x, 60)
    assert away.residual > 1e9 * max(s.abs().max() for s in rest.state)


@pytest.mark.parametrize("kind", [small_mlp, small_convnet])
@torch.no_grad()
def test_gains_are_the_setting_over_the_squared_norm_where_that_is_above_one(kind):
    net = kind("relu")
    with torch.no_grad():
        list(net.layers.values())[1].weight.mul_(2)
    gains, constant = (made(net, feedback_gain=0.15, normalised=n).dynamics(net).gains for n in (True, False))
    below_one = 0
    for layer, gain, plain in zip(list(net.layers.values())[1:], gains, constant, strict=True):
        zero = torch.zeros(1, *layer.in_shape, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(layer.affine, zero).reshape(-1, zero.numel())
        squared = torch.linalg.matrix_norm(jacobian, 2) ** 2
        below_one += int(squared < 1)
        assert float(loop_norm(layer, iterations=200)) == pytest.approx(float(squared), rel=1e-6)
        assert 0.8 * squared < loop_norm(layer) <= squared * (1 + 1e-12)
        assert 0.15 / max(1, squared) <= gain * (1 + 1e-9)
        assert gain <= 0.15 / max(1, 0.8 * squared)
        assert float(plain) == 0.15
    assert 0 < below_one < len(gains)


@torch.no_grad()
def test_the_loop_through_other_feedback_weights():
    layer = small_mlp().layers["fc2"]
    generator = torch.Generator().manual_seed(1)
    weight = layer.weight.detach() + 0.1 * torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
    largest = torch.linalg.eigvals(weight.T @ layer.weight.detach()).abs().max()
    assert float(loop_norm(layer, weight, iterations=500)) == pytest.approx(float(largest), rel=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_increments_are_differences_of_activities(activation):
    layer = Linear((3,), 4, activation)
    a = torch.linspace(-3, 3, 60, dtype=torch.float64)
    h = layer.activate(a)
    sizes = torch.tensor([-2.0, -0.5, 0.3, 4.0], dtype=torch.float64)[:, None]
    found = increment(layer, a, h)(sizes + 0 * a)
    torch.testing.assert_close(found, layer.activate(a + sizes) - h, rtol=1e-12, atol=1e-14)
    if activation != "relu":
        turned = sizes * torch.exp(torch.tensor(0.7j, dtype=torch.complex128))
        found = increment(layer, a, h)(turned + 0 * a)
        torch.testing.assert_close(found, layer.activate(a + turned) - h, rtol=1e-11, atol=1e-13)
        return
    # What f itself rounds away is kept: a change of 1e-12 on activities near 1 in single precision.
    single = a.float()
    tiny = increment(layer, single, layer.activate(single))(torch.full_like(single, 1e-12))
    torch.testing.assert_close(tiny, 1e-12 * (single > 0), rtol=1e-6, atol=0)


def test_single_precision_is_enough_for_the_lowest_layers():
    """There the response is so small that the difference of two single-precision activities would be rounding alone."""
    net = convnet(10, input_shape=(3, 16, 16), channels=(6, 8, 10), hidden=(20,))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in net.layers.values():
            layer.bias.add_(0.3 * torch.randn(layer.bias.shape, generator=generator))
    x, y = batch(net)
    double = copy.deepcopy(net).double()
    found, expected = (
        ContrastiveHebbian.for_net(n, seed=0, feedback_gain=0.01, free_sweeps=20).assign_credit(
            n, x.to(n.readout.weight), y, cross_entropy
        )
        for n in (net, double)
    )
    assert ContrastiveHebbian.for_net(net, seed=0, feedback_gain=0.01).dynamics(net).amplification()[0] > 1e9
    for delta, exact in zip(found.deltas, expected.deltas, strict=True):
        assert (delta - exact).norm() < 1e-5 * exact.norm()
    for name, parameter in net.named_parameters():
        exact = double.get_parameter(name).grad
        assert (parameter.grad - exact).norm() < 1e-4 * exact.norm(), name


def test_a_sample_rests_where_it_does_alone():
    net = small_mlp()
    x, _ = batch(net)
    rule = made(net)
    together, alone = rule.activities(net, x), rule.activities(net, x[2:3])
    for name, activity in alone.items():
        torch.testing.assert_close(together[name][2:3], activity, rtol=1e-13, atol=1e-14)


def test_residuals_fall_by_a_constant_factor_per_sweep():
    net = small_mlp("relu", hidden=(20, 20))
    x, _ = batch(net)
    with torch.no_grad():
        residuals = [float(made(net).dynamics(net).free(x, sweeps).residual) for sweeps in range(2, 9)]
    assert all(after < 0.5 * before for before, after in itertools.pairwise(residuals))


def test_the_free_phase_ends_when_nothing_moves_by_more_than_the_tolerance():
    net = small_mlp("tanh")
    x, _ = batch(net)
    at_rest = made(net, free_sweeps=100).activities(net, x)
    found = {t: made(net, free_sweeps=100, tolerance=t).activities(net, x) for t in (1e-2, 1e-9)}
    errors = {t: max(float((a[name] - at_rest[name]).abs().max()) for name in at_rest) for t, a in found.items()}
    assert 1e-6 < errors[1e-2] < 1e-2
    assert errors[1e-9] < 1e-9


def test_a_network_without_hidden_layers_has_nothing_to_settle():
    net = mlp(3, input_shape=(7,), hidden=()).double()
    x, _ = batch(net)
    rest = made(net).dynamics(net).free(x, 3)
    assert torch.equal(rest.output, net(x))
    assert rest.residual.item() == 0


def test_what_cannot_be_is_refused():
    for settings, message in (
        ({"feedback_gain": 0}, r"feedback gain in \(0, 1\], but got 0"),
        ({"feedback_gain": 1.5}, r"feedback gain in \(0, 1\], but got 1\.5"),
        ({"free_sweeps": 0}, "sweeps >= 1, but got 0 and 3"),
        ({"nudged_sweeps": 0}, "sweeps >= 1, but got 4 and 0"),
        ({"tolerance": -1e-3}, "a tolerance of 0 or more, but got -0.001"),
    ):
        with pytest.raises(InputError, match=message):
            made(small_mlp(), **settings)
