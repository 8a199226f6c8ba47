"""Two-compartment neurons against their membrane equation, feedback alignment and backprop."""

from __future__ import annotations

import pytest
import torch
from fixed_points import down, products, relative_error, slope
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward
from problems import NETS, batch, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-10, "atol": 1e-12}
WEAK = [0.3, 0.1, 0.03, 0.01, 0.003]
EXCITATION, INHIBITION = 14 / 3, -1 / 3  # reversal potentials


def made(net, **settings):
    return RULES["urbanczik_senn"].for_net(net, seed=1, **settings)


def credit(rule, net, loss="cross_entropy"):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss])
    return gradients(net), found.deltas


def soma_at_rest(v, target, teaching, leak, dendritic):
    """The membrane equation, stepped until it rests: two conductances of given sum, which pull to a target between them."""
    excitatory = teaching * (target - INHIBITION) / (EXCITATION - INHIBITION)
    inhibitory = teaching - excitatory
    u = torch.zeros_like(v)
    for _ in range(150):
        current = excitatory * (EXCITATION - u) + inhibitory * (INHIBITION - u)
        u = u + 0.2 / (leak + dendritic + teaching) * (-leak * u + dendritic * (v - u) + current)
    return u


def aligned(net, rule):
    """Feedback alignment with the same feedback weights."""
    other = RULES["feedback_alignment"].for_net(net, seed=2)
    other.load_state_dict(rule.state_dict())
    return other


CONDUCTANCES = [(0.5, 0.1, 2.0), (2.0, 0.4, 0.7), (0.05, 0.0, 1.0)]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("conductances", CONDUCTANCES)
@pytest.mark.parametrize("kind", NETS)
def test_the_membrane_equation_at_rest(kind, conductances, loss):
    """Dendritic potentials are the pre-activations before they are attenuated."""
    net = NETS[kind]()
    x, y = batch(net)
    teaching, leak, dendritic = conductances
    rule = made(net, teaching=teaching, leak=leak, dendritic=dendritic)
    found, found_deltas = credit(rule, net, loss)
    preactivations, output = plain_forward(net, x)
    preactivations = [a.detach() for a in preactivations]
    layers, share = list(net.layers.items()), teaching / (leak + dendritic + teaching)
    label = torch.eye(3, dtype=x.dtype)[y]
    guess = torch.softmax(output, 1) if loss == "cross_entropy" else output
    taught = {layers[-1][0]: output - (guess - label)}  # the target potential
    deltas, rates = [], [TORCH_ACTIVATIONS[layer.activation.name] for _, layer in layers]
    for k in range(len(layers) - 1, -1, -1):
        name, layer = layers[k]
        resting = preactivations[k]
        unattenuated = resting * (leak + dendritic) / dendritic
        silent = soma_at_rest(unattenuated, resting, 0.0, leak, dendritic)
        torch.testing.assert_close(silent, resting, rtol=0, atol=1e-10)
        soma = soma_at_rest(unattenuated, taught[name], teaching, leak, dendritic)
        change = (rates[k](soma) - rates[k](resting)) / share
        deltas.insert(0, -change.detach() / len(x))
        if k:
            back = down(layer, change, rule.get_buffer(f"feedback_{name}"))
            taught[layers[k - 1][0]] = preactivations[k - 1] + back.view_as(preactivations[k - 1])
    hidden = [f(a) for f, a in zip(rates, preactivations, strict=True)]
    for delta, wanted in zip(found_deltas, deltas, strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, wanted in products(net, [x, *hidden[:-1]], deltas).items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_single_layer_learns_by_the_delta_rule(loss):
    net = mlp(3, input_shape=(7,), hidden=(), activation="tanh", seed=0).double()
    x, y = batch(net)
    found, _ = credit(made(net), net, loss)
    for key, wanted in autograd(net, x, y, loss)[0].items():
        torch.testing.assert_close(found[key], wanted, **EXACT)


@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_weak_teaching_is_feedback_alignment(kind):
    """Error of first order: a rate's change along its slope."""
    net = NETS[kind]()
    errors = []
    for teaching in WEAK:
        rule = made(net, teaching=teaching, leak=0.5, dendritic=50.0)
        errors.append(relative_error(credit(rule, net)[0], credit(aligned(net, rule), net)[0]))
    assert slope(WEAK, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("make", [small_mlp, small_convnet])
def test_rectified_units_that_do_not_cross_their_threshold_learn_by_feedback_alignment(make):
    """However strong the teaching; some are on, some are off."""
    net = make("relu")
    with torch.no_grad():
        for layer in list(net.layers.values())[:-1]:
            layer.bias.copy_(torch.where(torch.arange(len(layer.bias)) % 3 == 0, -50.0, 50.0))
    rule = made(net, teaching=1.0)
    found, expected = credit(rule, net)[0], credit(aligned(net, rule), net)[0]
    for key, wanted in expected.items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)
    first = next(iter(net.layers.values()))
    assert (first.bias.grad == 0).any()
    assert (first.bias.grad != 0).any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_weak_teaching_through_transposed_weights_is_backprop(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    expected, _ = autograd(net, x, y, loss)
    errors = []
    for teaching in WEAK:
        rule = made(net, teaching=teaching, leak=0.5, dendritic=50.0)
        for name, layer in list(net.layers.items())[1:]:
            rule.get_buffer(f"feedback_{name}").copy_(layer.weight.detach())
        errors.append(relative_error(credit(rule, net, loss)[0], expected))
    assert slope(WEAK, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-4


def test_feedback_is_drawn_as_weights_are():
    net = mlp(10, input_shape=(50,), hidden=(400, 400), activation="relu", seed=0)
    rule = made(net)
    for name in ("fc2", "readout"):
        gain = 2**0.5 if name == "fc2" else 1
        assert rule.get_buffer(f"feedback_{name}").std() == pytest.approx(gain / 400**0.5, rel=0.05)


def test_settings_without_meaning_are_refused():
    for settings in ({"teaching": 0.0}, {"leak": -0.1}, {"dendritic": 0.0}):
        (name, value) = next(iter(settings.items()))
        with pytest.raises(InputError, match=f"urbanczik_senn needs .*{name}={value}"):
            made(small_mlp(), **settings)
    assert made(small_mlp(), leak=0.0).assign_credit(small_mlp(), *batch(small_mlp()), cross_entropy).loss > 0
