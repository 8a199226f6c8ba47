"""Each layer's local pieces against autograd, and the adjoint identity that feedback rests on."""

from __future__ import annotations

import pytest
import torch
from oracles import TORCH_ACTIVATIONS, plain_forward, plain_loss
from problems import NETS, batch, small_convnet

from neurocompare.losses import LOSSES
from neurocompare.networks import ACTIVATIONS, Conv, Linear

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = {
    "linear": lambda: Linear((6,), 4, "tanh"),
    "linear after a convolution": lambda: Linear((2, 3, 4), 5, "relu"),
    "conv on odd sides": lambda: Conv((2, 7, 9), 3, "relu"),
    "conv on even sides": lambda: Conv((3, 8, 6), 4, "tanh"),
    "conv without padding": lambda: Conv((2, 8, 7), 3, "relu", kernel=4, stride=3, padding=0),
    "conv of one pixel": lambda: Conv((5, 4, 4), 3, "relu", kernel=1, stride=1, padding=0),
}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=LAYERS)
def layer(request):
    made = LAYERS[request.param]().double()
    made.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.bias.copy_(randn(len(made.bias), seed=5))
    return made


def linear_part(layer, x):
    return layer.affine(x) - layer.affine(torch.zeros_like(x))


def test_shapes_are_as_declared(layer):
    assert layer.affine(randn(3, *layer.in_shape)).shape == (3, *layer.out_shape)


def test_transpose_is_the_adjoint(layer):
    """``<W x, d> = <x, W^T d>`` for each sample."""
    x, d = randn(4, *layer.in_shape, seed=1), randn(4, *layer.out_shape, seed=2)
    forward = (linear_part(layer, x) * d).flatten(1).sum(1)
    torch.testing.assert_close(forward, (x * layer.transpose(d)).flatten(1).sum(1), **EXACT)


def test_transpose_with_another_weight_is_the_adjoint_of_that_weight(layer):
    x, d, other = randn(4, *layer.in_shape), randn(4, *layer.out_shape, seed=2), randn(*layer.weight.shape, seed=3)
    through_other = layer.transpose(d, other)
    own = layer.transpose(d)
    assert not torch.allclose(through_other, own)
    with torch.no_grad():
        layer.weight.copy_(other)
    torch.testing.assert_close((linear_part(layer, x) * d).sum(), (x * through_other).sum(), **EXACT)


def test_gradients_are_autograds(layer):
    x, d = randn(4, *layer.in_shape, seed=1), randn(4, *layer.out_shape, seed=2)
    expected = torch.autograd.grad(layer.affine(x), (layer.weight, layer.bias), d)
    for found, by_autograd in zip(layer.gradients(x, d), expected, strict=True):
        torch.testing.assert_close(found, by_autograd, **EXACT)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_its_derivative(name):
    a = torch.cat([randn(50), torch.tensor([-40.0, 40.0, 1e-9, -1e-9])]).requires_grad_()
    grad = randn(54, seed=1)
    h = TORCH_ACTIVATIONS[name](a)
    torch.testing.assert_close(ACTIVATIONS[name].apply(a), h, **EXACT)
    expected = torch.autograd.grad(h, a, grad)[0]
    torch.testing.assert_close(ACTIVATIONS[name].vjp(a.detach(), grad), expected, **EXACT)


@pytest.mark.parametrize("name", ["relu", "identity"])
def test_gain_keeps_the_second_moment(name):
    """He et al. 2015: with weights of variance ``gain^2 / fan_in``, layers keep ``E h^2`` where units are independent."""
    a = ACTIVATIONS[name].gain * randn(200_000)
    assert ACTIVATIONS[name].apply(a).square().mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_its_derivative(name):
    output, labels = randn(6, 4).requires_grad_(), torch.tensor([0, 1, 2, 3, 3, 0])
    loss = LOSSES[name]
    torch.testing.assert_close(loss(output, labels), plain_loss(name, output, labels), **EXACT)
    assert loss.per_sample(output, labels).shape == (6,)
    torch.testing.assert_close(loss.per_sample(output, labels).mean(), loss(output, labels), **EXACT)
    expected = torch.autograd.grad(plain_loss(name, output, labels), output)[0]
    torch.testing.assert_close(loss.error(output.detach(), labels) / 6, expected, **EXACT)


@pytest.mark.parametrize("kind", NETS)
def test_forward_and_trace_are_those_of_plain_torch(kind):
    net = NETS[kind]()
    x, _ = batch(net)
    preactivations, output = plain_forward(net, x)
    trace = net.trace(x)
    torch.testing.assert_close(net(x), output, **EXACT)
    torch.testing.assert_close(trace.output, output, **EXACT)
    torch.testing.assert_close(trace.inputs[0], x, **EXACT)
    activities = net.activities(x)
    assert list(activities) == list(net.layers)
    for depth, (name, layer) in enumerate(net.layers.items()):
        torch.testing.assert_close(trace.preactivations[depth], preactivations[depth], **EXACT)
        h = TORCH_ACTIVATIONS[layer.activation.name](preactivations[depth])
        torch.testing.assert_close(activities[name], h, **EXACT)
        if name != "readout":
            torch.testing.assert_close(trace.inputs[depth + 1], h, **EXACT)


def test_noise_in_a_trace_is_added_to_preactivations_and_carried_on():
    net = small_convnet("tanh")
    x, _ = batch(net)
    clean = net.trace(x)
    noise = [0.1 * randn(*a.shape, seed=i) for i, a in enumerate(clean.preactivations)]
    noisy = net.trace(x, noise)
    h = x
    for layer, found, zeta in zip(net.layers.values(), noisy.preactivations, noise, strict=True):
        torch.testing.assert_close(found, layer.affine(h) + zeta, **EXACT)
        h = layer.activate(found)
    assert not torch.allclose(noisy.output, clean.output)
