"""Dyads against their equations at rest, and how fast their differences come to backprop's errors."""

from __future__ import annotations

import pytest
import torch
from fixed_points import down, products, relative_error, slope, up
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_loss
from problems import NETS, batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES
from neurocompare.rules import RULES

SMALL = [0.3, 0.1, 0.03, 0.01]


def made(net, **settings):
    return RULES["dual_propagation"].for_net(net, seed=0, **settings)


def credit(rule, net, loss="cross_entropy"):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss])
    return gradients(net), found


def dyads_at_rest(net, x, y, loss, beta, share, steps=200):
    """All units updated at once from what the others were, from silence."""
    layers = list(net.layers.values())
    functions = [TORCH_ACTIVATIONS[layer.activation.name] for layer in layers]
    plus = [x.new_zeros(len(x), *layer.out_shape) for layer in layers]
    minus = [s.clone() for s in plus]
    for _ in range(steps):
        means = [x, *((1 - share) * p + share * m for p, m in zip(plus, minus, strict=True))]
        drives = [up(layer, mean).detach() for layer, mean in zip(layers, means, strict=False)]
        output = drives[-1].clone().requires_grad_()
        (error,) = torch.autograd.grad(plain_loss(loss, output, y) * len(x), output)
        changes = [down(layer, p - m).detach() for layer, p, m in zip(layers[1:], plus[1:], minus[1:], strict=True)]
        changes.append(-beta * error)
        plus = [f(a + share * d) for f, a, d in zip(functions, drives, changes, strict=True)]
        minus = [f(a - (1 - share) * d) for f, a, d in zip(functions, drives, changes, strict=True)]
    return plus, minus


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("kind", NETS)
def test_sweeps_lead_to_the_rest_of_all_dyads(kind, share, loss):
    net = NETS[kind]()
    x, y = batch(net)
    found, result = credit(made(net, beta=0.4, share=share, sweeps=100), net, loss)
    assert result.residuals[0] < 1e-13
    plus, minus = dyads_at_rest(net, x, y, loss, 0.4, share)
    deltas = [(m - p) / 0.4 / len(x) for p, m in zip(plus, minus, strict=True)]
    means = [(1 - share) * p + share * m for p, m in zip(plus, minus, strict=True)]
    for delta, wanted in zip(result.deltas, deltas, strict=True):
        torch.testing.assert_close(delta, wanted, rtol=1e-9, atol=1e-11)
    for key, wanted in products(net, [x, *means[:-1]], deltas).items():
        torch.testing.assert_close(found[key], wanted, rtol=1e-9, atol=1e-11, msg=key)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("share", "order"), [(0.5, 2), (0.0, 1), (0.8, 1), (1.0, 1)])
@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_a_weak_teacher_makes_it_backprop(kind, share, order, loss):
    net = NETS[kind]()
    x, y = batch(net)
    expected = autograd(net, x, y, loss)[0]
    errors = [relative_error(credit(made(net, beta=b, share=share), net, loss)[0], expected) for b in SMALL]
    assert slope(SMALL, errors) == pytest.approx(order, abs=0.05)
    assert errors[-1] < (1e-4 if order == 2 else 1e-2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.7])
def test_linear_dyads_are_backprop_whatever_the_teacher(share, loss):
    net = small_mlp("identity")
    x, y = batch(net)
    found, _ = credit(made(net, beta=3.0, share=share), net, loss)
    for key, wanted in autograd(net, x, y, loss)[0].items():
        torch.testing.assert_close(found[key], wanted, rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_where_one_part_keeps_the_activity_a_single_sweep_is_all(kind, share):
    net = NETS[kind]()
    once, many = (credit(made(net, beta=2.0, share=share, sweeps=n), net)[0] for n in (1, 5))
    for key, wanted in many.items():
        torch.testing.assert_close(once[key], wanted, rtol=1e-12, atol=1e-14, msg=key)


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"share": 1.2}, {"share": -0.1}, {"sweeps": 0}])
def test_settings_without_meaning_are_refused(settings):
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=f"needs beta > 0, a share from 0 to 1 .* but got .*{name}={value}"):
        made(small_mlp(), **settings)
