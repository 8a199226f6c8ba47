"""Layers that rebuild their input, against autograd of what they rebuild and against principal components."""

from __future__ import annotations

import pytest
import torch
from fixed_points import down, relative_error, slope, up
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward
from problems import NETS, batch, small_mlp
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import convnet, mlp
from neurocompare.rules import RULES

BOTH = ["autoencoder", "recirculation"]
EXACT = {"rtol": 1e-12, "atol": 1e-13}
FRACTIONS = [0.1, 0.03, 0.01, 0.003, 0.001]  # of activity that recirculates, 1 - l


def made(name, net, seed=1, **settings):
    """With biases of the way back that are not zero."""
    rule = RULES[name].for_net(net, seed=seed, **settings)
    with torch.no_grad():
        for key, parameter in rule.named_parameters():
            if "bias" in key:
                parameter.copy_(torch.linspace(-0.5, 0.7, parameter.numel()).view_as(parameter))
    return rule


def credit(rule, net, generator=None):
    x, y = batch(net)
    rule.assign_credit(net, x, y, cross_entropy, generator)
    return gradients(net) | {n: p.grad.clone() for n, p in rule.named_parameters()}


def hidden(net):
    """Name, layer and what it receives, from torch's own functions."""
    x, _ = batch(net)
    with torch.no_grad():
        below = plain_forward(net, x)[0]
    layers = list(net.layers.items())
    inputs = [x, *(TORCH_ACTIVATIONS[layer.activation.name](a) for (_, layer), a in zip(layers, below, strict=True))]
    return [(n, layer, h) for (n, layer), h in zip(layers[:-1], inputs, strict=False)]


def way_back(rule, name):
    return rule.get_parameter(f"backward_{name}"), rule.get_parameter(f"backward_bias_{name}")


def of_rebuilding(rule, net, noise=None):
    """Derivatives of what each layer by itself fails to rebuild, by autograd."""
    found = {}
    for name, layer, x in hidden(net):
        weight, bias = way_back(rule, name)
        seen = x if noise is None else x + noise[0] * torch.randn(x.shape, generator=noise[1], dtype=x.dtype)
        h = TORCH_ACTIVATIONS[layer.activation.name](up(layer, seen))
        loss = 0.5 * (down(layer, h, weight) + bias - x).square().sum() / len(x)
        keys = [f"{name}.weight", f"{name}.bias", f"backward_{name}", f"backward_bias_{name}"]
        found |= dict(zip(keys, torch.autograd.grad(loss, [layer.weight, layer.bias, weight, bias]), strict=True))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("kind", NETS)
def test_an_autoencoder_follows_the_exact_gradient_of_each_layer(kind, noise):
    net = NETS[kind]()
    rule = made("autoencoder", net, noise=noise)
    found = credit(rule, net, torch.Generator().manual_seed(5))
    expected = of_rebuilding(rule, net, (noise, torch.Generator().manual_seed(5)) if noise else None)
    assert expected
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, **EXACT, msg=key)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("kept", [0.0, 0.75])
def test_recirculation_in_its_four_phases(kind, kept):
    """Each synapse by its own: ``-h1 (x0 - x2)`` and ``-(h1 - h3) x2``, as autograd of products with these held."""
    net = NETS[kind]()
    rule = made("recirculation", net, regression=kept)
    found = credit(rule, net)
    for name, layer, x0 in hidden(net):
        weight, bias = way_back(rule, name)
        act = TORCH_ACTIVATIONS[layer.activation.name]
        with torch.no_grad():
            h1 = act(up(layer, x0))
            x2 = kept * x0 + (1 - kept) * (down(layer, h1, weight) + bias)
            h3 = kept * h1 + (1 - kept) * act(up(layer, x2))
        backward = -((x0 - x2) * (down(layer, h1, weight) + bias)).sum() / len(x0)
        forward = -((h1 - h3) * up(layer, x2)).sum() / len(x0)
        expected = torch.autograd.grad(backward + forward, [layer.weight, layer.bias, weight, bias])
        for key, gradient in zip(
            [f"{name}.weight", f"{name}.bias", f"backward_{name}", f"backward_bias_{name}"], expected, strict=True
        ):
            torch.testing.assert_close(found[key], gradient, **EXACT, msg=key)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("kind", ["mlp_relu", "convnet_tanh"])
def test_the_way_back_learns_by_the_exact_gradient_however_little_recirculates(kind, kept):
    net = NETS[kind]()
    rule = made("recirculation", net, regression=kept)
    found, expected = credit(rule, net), of_rebuilding(rule, net)
    for key in [n for n, _ in rule.named_parameters()]:
        torch.testing.assert_close(found[key] / (1 - kept), expected[key], rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_with_symmetric_weights_little_recirculation_is_the_gradient_of_an_autoencoder(kind):
    """The error is of first order in the fraction; with weights that are not symmetric it stays."""
    net = NETS[kind]()
    forward = [f"{name}.{key}" for name, _, _ in hidden(net) for key in ("weight", "bias")]

    def errors(symmetric):
        found = []
        for fraction in FRACTIONS:
            rule = made("recirculation", net, regression=1 - fraction)
            for name, layer, _ in hidden(net) if symmetric else []:
                way_back(rule, name)[0].data.copy_(layer.weight)
            update, expected = credit(rule, net), of_rebuilding(rule, net)
            found.append(
                relative_error({k: update[k] / fraction**2 for k in forward}, {k: expected[k] for k in forward})
            )
        return found

    symmetric = errors(symmetric=True)
    assert slope(FRACTIONS, symmetric) == pytest.approx(1, abs=0.05)
    assert symmetric[-1] < 0.01
    assert min(errors(symmetric=False)) > 0.3


def correlated(n=300):
    """Samples with a mean and their covariance's eigenvalues, falling by half."""
    generator = torch.Generator().manual_seed(0)
    scales = 2 ** -torch.arange(0.0, 3, 0.5, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64) * scales @ axes + 1
    return x, torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)


def linear(name, **settings):
    """Two units that look at the samples of ``correlated``; the rule, and a function that trains both."""
    net = mlp(2, input_shape=(6,), hidden=(2,), activation="identity", seed=0).double()
    rule = RULES[name].for_net(net, seed=0, **settings)
    x, _ = correlated()
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=0.02)

    def train(steps=1500):
        for _ in range(steps):
            rule.step(net, optimizer, x, torch.zeros(len(x), dtype=torch.long), cross_entropy)

    return net.layers["fc1"], rule, train


@torch.no_grad()
def not_rebuilt(layer, rule):
    """The squared error per sample."""
    x, _ = correlated()
    weight, bias = way_back(rule, "fc1")
    return (layer(x) @ weight + bias - x).square().sum(1).mean()


def test_a_linear_autoencoder_comes_to_rebuild_as_well_as_principal_components():
    """No linear map through 2 units leaves less than the sum of the other eigenvalues."""
    layer, rule, train = linear("autoencoder")
    train()
    torch.testing.assert_close(not_rebuilt(layer, rule), correlated()[1][2:].sum(), rtol=1e-4, atol=0)


def test_symmetric_recirculation_finds_the_principal_components():
    """Both updates, over their fractions, on one weight used both ways; at rest exact for any regression."""
    x, eigenvalues = correlated()
    net = mlp(2, input_shape=(6,), hidden=(2,), activation="identity", seed=0).double()
    rule, layer = RULES["recirculation"].for_net(net, seed=0, regression=0.8), net.layers["fc1"]
    weight, bias = way_back(rule, "fc1")
    for _ in range(1200):
        weight.data.copy_(layer.weight)
        rule.assign_credit(net, x, torch.zeros(len(x), dtype=torch.long), cross_entropy)
        layer.weight.data -= 0.1 * (weight.grad / 0.2 + layer.weight.grad / 0.2**2)
        layer.bias.data -= 0.1 * layer.bias.grad / 0.2**2
        bias.data -= 0.1 * bias.grad / 0.2
    weight.data.copy_(layer.weight)
    torch.testing.assert_close(not_rebuilt(layer, rule), eigenvalues[2:].sum(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kept", [0.0, 0.75])
def test_recirculation_rests_at_any_linear_weights_with_their_best_way_back(kept):
    """By least squares, ``V = C W^T (W C W^T)^-1``: then W V is one, and nothing changes on the second round."""
    layer, rule, _ = linear("recirculation", regression=kept)
    x, _ = correlated()
    weight, bias = way_back(rule, "fc1")
    w, covariance = layer.weight.detach(), torch.cov(x.T, correction=0)
    weight.data.copy_(torch.linalg.solve(w @ covariance @ w.T, w @ covariance))
    bias.data.copy_(x.mean(0) - layer(x).mean(0).detach() @ weight.detach())
    rule.learn(rule.backward("fc1", layer), x, None)
    for parameter in (layer.weight, layer.bias, weight, bias):
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-12)
    assert not_rebuilt(layer, rule) > 1.1 * correlated()[1][2:].sum()


def test_recirculation_comes_to_a_loop_that_changes_nothing():
    layer, rule, train = linear("recirculation")
    train(2500)
    loop = layer.weight.detach() @ way_back(rule, "fc1")[0].detach().T
    torch.testing.assert_close(loop, torch.eye(2, dtype=loop.dtype), rtol=0, atol=1e-3)
    assert not_rebuilt(layer, rule) < 2 * correlated()[1][2:].sum()


@pytest.mark.parametrize("name", BOTH)
def test_weights_start_apart_and_learning_makes_them_symmetric(name):
    """As Hinton and McClelland need it; seeded as the network is, too, whose draws must not come back."""
    x, _ = correlated()
    net = mlp(2, input_shape=(6,), hidden=(40,), activation="tanh", seed=0).double()
    rule = RULES[name].for_net(net, seed=0)

    @torch.no_grad()
    def alignment():
        back, forward = way_back(rule, "fc1")[0], net.layers["fc1"].weight
        return float(functional.cosine_similarity(back.flatten(), forward.flatten(), 0))

    assert abs(alignment()) < 0.2
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=0.01)
    for _ in range(500):
        rule.step(net, optimizer, x, torch.zeros(len(x), dtype=torch.long), cross_entropy)
    assert alignment() > 0.3


@pytest.mark.parametrize("name", BOTH)
def test_weights_back_start_small_and_their_biases_at_zero(name):
    """A standard deviation of 0.3 gain over the root of how many units an input hears from, on average."""
    net = convnet(2, input_shape=(20, 8, 8), channels=(30,), hidden=(40,), activation="tanh", seed=0)
    rule = RULES[name].for_net(net, seed=0)
    # Each of 30 x 4 x 4 units of the convolution sees 20 x 3 x 3 of 20 x 8 x 8 inputs; all 40 units see all of theirs.
    for layer, heard in (("conv1", 30 * 4 * 4 * 9 / (8 * 8)), ("fc1", 40)):
        weight, bias = way_back(rule, layer)
        assert float(weight.detach().std()) == pytest.approx(0.3 * 5 / 3 / heard**0.5, rel=0.03)
        assert not bias.any()


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("sizes", [(6, 5), ()])
def test_labels_reach_the_readout_alone_by_the_delta_rule(name, sizes):
    net = small_mlp("tanh", hidden=sizes)
    x, y = batch(net)
    rule = made(name, net)
    first = credit(rule, net)
    expected = autograd(net, x, y, "cross_entropy")[0]
    for key in ("readout.weight", "readout.bias"):
        torch.testing.assert_close(first[key], expected[key], **EXACT)
    rule.assign_credit(net, x, (y + 1) % 3, cross_entropy)
    for key, gradient in gradients(net).items():
        assert torch.equal(gradient, first[key]) is (not key.startswith("readout")), key


def test_settings_without_meaning_are_refused():
    for regression in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="recirculation needs a regression from 0 to below 1, but got"):
            made("recirculation", small_mlp(), regression=regression)
    for noise in (-0.1, float("nan")):
        with pytest.raises(InputError, match="autoencoder needs a noise of 0 or more, but got"):
            made("autoencoder", small_mlp(), noise=noise)
