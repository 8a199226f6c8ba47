"""Backpropagation and feedback alignment against autograd and against each other."""

from __future__ import annotations

import pytest
import torch
from oracles import angle, autograd, gradients
from problems import NETS, batch, exclusive_or, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy, squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def made(name, net, *, seed=0, **settings):
    return RULES[name].for_net(net, seed=seed, **settings)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_backprop_is_autograd(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    expected, deltas = autograd(net, x, y, loss)
    credit = made("backprop", net).assign_credit(net, x, y, LOSSES[loss])
    for name, gradient in gradients(net).items():
        torch.testing.assert_close(gradient, expected[name], **EXACT)
    for delta, by_autograd in zip(credit.deltas, deltas, strict=True):
        torch.testing.assert_close(delta, by_autograd, **EXACT)


@pytest.mark.parametrize("kind", ["mlp", "convnet"])
def test_feedback_alignment_through_the_forward_weights_is_backprop(kind):
    net = NETS[kind]()
    x, y = batch(net)
    rule = made("feedback_alignment", net)
    for name, layer in list(net.layers.items())[1:]:
        rule.get_buffer(f"feedback_{name}").copy_(layer.weight.detach())
    rule.assign_credit(net, x, y, cross_entropy)
    for name, expected in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected, **EXACT)


def test_feedback_alignment_in_closed_form():
    net = small_mlp("sigmoid")
    x, y = batch(net)
    rule = made("feedback_alignment", net)
    credit = rule.assign_credit(net, x, y, squared_error)
    trace = net.trace(x)
    top = (trace.output - torch.eye(3, dtype=x.dtype)[y]) / len(x)
    h2, h1 = torch.sigmoid(trace.preactivations[1]), torch.sigmoid(trace.preactivations[0])
    second = top @ rule.feedback_readout * h2 * (1 - h2)
    first = second @ rule.feedback_fc2 * h1 * (1 - h1)
    for delta, expected in zip(credit.deltas, (first, second, top), strict=True):
        torch.testing.assert_close(delta, expected, **EXACT)


@pytest.mark.parametrize("kind", [small_mlp, small_convnet])
def test_direct_feedback_through_the_product_of_linear_layers_is_backprop(kind):
    """In a network without nonlinearities the output's derivative is one fixed matrix per layer."""
    net = kind("identity")
    x, y = batch(net)
    rule = made("direct_feedback_alignment", net)
    layers = list(net.layers.items())
    for depth, (name, layer) in enumerate(layers[:-1]):

        def above(h, depth=depth):
            for _, upper in layers[depth + 1 :]:
                h = upper(h)
            return h

        h = torch.zeros(1, *layer.out_shape, dtype=x.dtype)
        jacobian = torch.autograd.functional.jacobian(above, h).reshape(net.n_outputs, -1)
        rule.get_buffer(f"feedback_{name}").copy_(jacobian.T)
    rule.assign_credit(net, x, y, cross_entropy)
    for name, expected in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected, **EXACT)


def test_direct_feedback_in_closed_form():
    """Each hidden layer sees the output error through its own matrix and nothing of the layers above."""
    net = small_convnet("tanh")
    x, y = batch(net)
    rule = made("direct_feedback_alignment", net)
    credit = rule.assign_credit(net, x, y, cross_entropy)
    trace = net.trace(x)
    top = (torch.softmax(trace.output, 1) - torch.eye(3, dtype=x.dtype)[y]) / len(x)
    for name, delta, a in zip(net.layers, credit.deltas[:-1], trace.preactivations[:-1], strict=False):
        feedback = rule.get_buffer(f"feedback_{name}")
        expected = torch.einsum("uc,bc->bu", feedback, top).view_as(a) * (1 - torch.tanh(a) ** 2)
        torch.testing.assert_close(delta, expected, **EXACT)
    torch.testing.assert_close(credit.deltas[-1], top, **EXACT)


def test_direct_and_layerwise_feedback_are_one_rule_with_one_hidden_layer():
    net = small_mlp("relu", hidden=(8,))
    x, y = batch(net)
    layerwise, direct = made("feedback_alignment", net), made("direct_feedback_alignment", net)
    # Layerwise feedback lies in the readout's shape (outputs, hidden), direct feedback is (hidden, outputs).
    direct.feedback_fc1.copy_(layerwise.feedback_readout.T)
    layerwise.assign_credit(net, x, y, cross_entropy)
    expected = gradients(net)
    direct.assign_credit(net, x, y, cross_entropy)
    for name, gradient in gradients(net).items():
        torch.testing.assert_close(gradient, expected[name], **EXACT)


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_feedback_is_scaled_as_documented(name):
    net = mlp(50, input_shape=(40,), hidden=(80, 70), activation="relu")
    rule = made(name, net)
    for buffer_name, feedback in rule.named_buffers():
        layer = net.layers[buffer_name.removeprefix("feedback_")]
        direct = name.startswith("direct")
        variance = 1 / net.n_outputs if direct else layer.activation.gain**2 / layer.weight.shape[1]
        # The variance estimated from n Gaussian draws has a relative standard error of sqrt(2 / n).
        n = feedback.numel()
        assert feedback.square().mean() / variance == pytest.approx(1, abs=5 * (2 / n) ** 0.5)
        assert abs(feedback.mean()) < 5 * (variance / n) ** 0.5
        assert not torch.equal(feedback, layer.weight)


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hidden_teaching_signals_come_to_point_backprops_way(name, seed):
    """Lillicrap et al. 2016: the angle falls below 90 degrees and keeps falling while the network learns."""
    net = mlp(2, input_shape=(2,), hidden=(20,), activation="tanh", seed=seed).double()
    x, y = exclusive_or(seed=seed)
    random, exact = made(name, net, seed=100 + seed), made("backprop", net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    angles = []
    for _ in range(600):
        true = exact.assign_credit(net, x, y, cross_entropy).deltas[0]
        angles.append(angle(random.step(net, optimizer, x, y, cross_entropy).deltas[0], true))
    early, _, late = torch.tensor(angles).view(3, -1).mean(1)
    assert late < early - 5
    assert late < 85


def test_uniform_signs_are_backprop_where_weights_have_one_magnitude():
    net = small_convnet("tanh")
    with torch.no_grad():
        for layer in net.layers.values():
            layer.weight.copy_(layer.scale * layer.weight.sign())
    x, y = batch(net)
    made("sign_symmetry", net, magnitudes="uniform").assign_credit(net, x, y, cross_entropy)
    for name, expected in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(net.get_parameter(name).grad, expected, **EXACT)


@pytest.mark.parametrize("magnitudes", ["uniform", "fixed", "resampled"])
def test_carriers_keep_the_current_signs_and_magnitudes_of_their_own(magnitudes):
    net = small_mlp("tanh", hidden=(60, 50))
    rule = made("sign_symmetry", net, magnitudes=magnitudes)
    generator = torch.Generator().manual_seed(0)
    weights = {"fc2": net.layers["fc2"].weight}
    first = rule.carriers(weights, generator)["fc2"]
    with torch.no_grad():
        net.layers["fc2"].weight.neg_()
    second = rule.carriers(weights, generator)["fc2"]
    assert torch.equal(second.sign(), weights["fc2"].detach().sign())
    assert torch.equal(first.abs(), second.abs()) is (magnitudes != "resampled")
    assert (first.std() > 0).item()
    assert float(first.abs().std()) == pytest.approx(0, abs=1e-12) if magnitudes == "uniform" else first.abs().std() > 0
    n = first.numel()
    power = float(first.square().mean()) / net.layers["fc2"].scale ** 2
    assert power == pytest.approx(1, abs=5 * (2 / n) ** 0.5)


def test_unknown_magnitudes_are_refused():
    with pytest.raises(InputError, match="unknown kind of magnitudes 'uniforn'; did you mean 'uniform'"):
        made("sign_symmetry", small_mlp(), magnitudes="uniforn")
