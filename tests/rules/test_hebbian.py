"""Hebbian rules against the principal components and clusters that they are known to find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import autograd
from problems import batch, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-10, "atol": 1e-12}
VARIANTS = ["plain", "oja", "sanger", "soft_wta"]


def made(net, variant, **settings):
    return RULES["hebbian"].for_net(net, seed=0, variant=variant, **settings)


def correlated(n=4000, seed=0):
    """Samples of a Gaussian with variances 4, 2, 1, .5 along random axes and a mean; and these axes, as rows."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((4, 4)))[0].T
    x = rng.standard_normal((n, 4)) * np.sqrt([4, 2, 1, 0.5])
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T * np.sqrt([4, 2, 1, 0.5])
    return torch.from_numpy(x @ axes + [1, -1, 0.5, 2]), torch.from_numpy(axes)


def learnt(variant, units, steps=1500):
    x, axes = correlated()
    net = mlp(2, input_shape=(4,), hidden=(units,), activation="identity", seed=3).double()
    rule = made(net, variant)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    labels = torch.zeros(len(x), dtype=torch.long)
    for _ in range(steps):
        rule.step(net, optimizer, x, labels, cross_entropy)
    return net, x, axes


def test_oja_finds_the_first_principal_component_of_unit_length():
    net, x, axes = learnt("oja", 1)
    layer = net.layers["fc1"]
    found = layer.weight.detach()[0]
    torch.testing.assert_close(found * torch.sign(found @ axes[0]), axes[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(layer.affine(x).mean(), torch.tensor(0.0).double(), rtol=0, atol=1e-6)


def test_sanger_finds_the_first_components_in_order():
    net, _, axes = learnt("sanger", 3, steps=4000)
    found = net.layers["fc1"].weight.detach()
    signs = torch.sign((found * axes[:3]).sum(1, keepdim=True))
    torch.testing.assert_close(found * signs, axes[:3], rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [small_mlp, small_convnet])
@pytest.mark.parametrize("variant", VARIANTS)
def test_updates_in_closed_form_sample_by_sample(variant, make):
    """Written out for each sample and position with patches from ``unfold``, as the papers have it."""
    net = make("tanh")
    x, y = batch(net, 3)
    made(net, variant, temperature=0.7).assign_credit(net, x, y, cross_entropy)
    trace = net.trace(x)
    for layer, h, a in zip(list(net.layers.values())[:-1], trace.inputs, trace.preactivations, strict=False):
        w, b = layer.weight.detach().flatten(1), layer.bias.detach()
        if a.ndim == 4:
            patches = torch.nn.functional.unfold(h, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
            drives = a.flatten(2).transpose(1, 2).flatten(0, 1)
        else:
            patches, drives = h.flatten(1), a
        means = drives.mean(0)
        weight, bias = torch.zeros_like(w), torch.zeros_like(b)
        for p, u in zip(patches, drives, strict=True):
            if variant == "plain":
                v = torch.tanh(u)
                weight, bias = weight - torch.outer(v, p), bias - v
            elif variant == "oja":
                v = u - means
                weight, bias = weight - (torch.outer(v, p) - (v**2)[:, None] * w), bias + u
            elif variant == "sanger":
                v = u - means
                lower = torch.stack([sum(v[i] * v[k] * w[k] for k in range(i + 1)) for i in range(len(u))])
                weight, bias = weight - (torch.outer(v, p) - lower), bias + u
            else:
                v = torch.exp(u / 0.7) / torch.exp(u / 0.7).sum()
                weight = weight - v[:, None] * (p[None] - (u - b)[:, None] * w)
                bias = bias + u
        torch.testing.assert_close(layer.weight.grad.flatten(1), weight / len(patches), **EXACT)
        torch.testing.assert_close(layer.bias.grad, bias / len(patches), **EXACT)


def test_soft_competition_finds_the_clusters():
    """Three directions on a sphere with noise: units turn to the clusters' means, one unit each."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3, 8, dtype=torch.float64)
    labels = torch.arange(600) % 3
    x = centres[labels] + 0.1 * torch.randn(600, 8, generator=generator, dtype=torch.float64)
    net = mlp(3, input_shape=(8,), hidden=(3,), activation="relu", seed=0).double()
    rule = made(net, "soft_wta", temperature=0.1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    for _ in range(300):
        rule.step(net, optimizer, x, labels, cross_entropy)
    found = torch.nn.functional.normalize(net.layers["fc1"].weight.detach(), dim=1) @ centres.T
    assert found.max(0).values.min() > 0.98
    assert found.argmax(1).unique().numel() == 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_reach_the_readout_alone_by_the_delta_rule(variant):
    net = small_mlp("tanh")
    x, y = batch(net)
    rule = made(net, variant)
    rule.assign_credit(net, x, y, cross_entropy)
    hidden = net.layers["fc2"].weight.grad.clone()
    expected = autograd(net, x, y, "cross_entropy")[0]
    torch.testing.assert_close(net.layers["readout"].weight.grad, expected["readout.weight"], **EXACT)
    rule.assign_credit(net, x, (y + 1) % 3, cross_entropy)
    assert torch.equal(net.layers["fc2"].weight.grad, hidden)


def test_settings_without_meaning_are_refused():
    with pytest.raises(InputError, match="unknown variant of hebbian 'oya'; did you mean 'oja'"):
        made(small_mlp(), "oya")
    with pytest.raises(InputError, match="needs a temperature above 0"):
        made(small_mlp(), "soft_wta", temperature=0.0)
