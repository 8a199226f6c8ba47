"""Dale's law holds after every step of every rule, and costs as little as it can."""

from __future__ import annotations

import itertools

import pytest
import torch
from problems import activation_of, batch, dataset
from settings import SETTINGS

from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import Dale, build, convnet, mlp
from neurocompare.rules import RULES
from neurocompare.train import Run, train


def dale_net(name="backprop", *, activation="relu"):
    if RULES[name].needs.convolutions:
        return convnet(3, input_shape=(3, 6, 6), channels=(5, 10), hidden=(10,), activation=activation, inhibitory=0.2)
    return mlp(3, input_shape=(3, 6, 6), hidden=(10, 10), activation=activation, inhibitory=0.2)


def obeys(net):
    """Each hidden unit's outgoing weights have one sign: the last fifth of the units negative, the others positive."""
    chain = list(net.layers.values())
    for below, above in itertools.pairwise(chain):
        units = below.out_shape[0]
        by_unit = above.weight.detach().unflatten(1, (units, -1)).flatten(2) if above.weight.ndim == 2 else above.weight
        excitatory = units - round(0.2 * units)
        if (by_unit[:, :excitatory] < 0).any() or (by_unit[:, excitatory:] > 0).any():
            return False
    return True


@pytest.mark.parametrize("name", RULES)
def test_the_law_holds_after_every_step_of_every_rule(name):
    activation = activation_of(RULES[name], "relu")
    if activation not in ("relu", "sigmoid"):
        activation = "sigmoid"
    net = dale_net(name, activation=activation)
    assert obeys(net)
    x, y = batch(net, 8)
    rule = RULES[name].for_net(net, seed=0, **SETTINGS.get(name, {}))
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=0.05)
    before = [p.detach().clone() for p in net.parameters()]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        rule.step(net, optimizer, x, y, cross_entropy, generator)
        assert obeys(net)
    assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_without_the_projection_the_law_would_break():
    net = dale_net()
    net._constraint = None
    x, y = batch(net, 8)
    rule = RULES["backprop"].for_net(net, seed=0)
    rule.step(net, torch.optim.Adam(net.parameters(), lr=0.05), x, y, cross_entropy)
    assert not obeys(net)


def test_the_projection_is_the_nearest_lawful_point_and_does_nothing_twice():
    net = dale_net().double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    free = {n: p.detach().clone() for n, p in net.named_parameters()}
    net.constrain()
    assert obeys(net)
    for name, p in net.named_parameters():
        changed = p.detach() != free[name]
        if name.startswith("conv1") or name.endswith("bias"):
            assert not changed.any(), name
        else:  # what had the wrong sign is zero, all else is as it was: no lawful point is nearer
            assert 0.2 < changed.double().mean() < 0.8, name
            assert (p.detach()[changed] == 0).all(), name
    once = {n: p.detach().clone() for n, p in net.named_parameters()}
    net.constrain()
    assert all(torch.equal(p, once[n]) for n, p in net.named_parameters())


def test_initial_weights_are_balanced_and_keep_their_mean_square():
    free = mlp(500, input_shape=(10,), hidden=(400,), seed=3)
    lawful = mlp(500, input_shape=(10,), hidden=(400,), inhibitory=0.25, seed=3)
    before, after = (net.layers["readout"].weight.detach() for net in (free, lawful))
    torch.testing.assert_close(after.square().mean(), before.square().mean())
    assert abs(after.mean()) < 0.01 * after.abs().mean()
    assert torch.equal(free.layers["fc1"].weight, lawful.layers["fc1"].weight)


def test_a_lawful_network_learns_and_comes_back_from_its_folder(tmp_path):
    net = convnet(3, input_shape=(3, 6, 6), channels=(10,), hidden=(20,), inhibitory=0.2)
    run = train(net, RULES["backprop"].for_net(net, seed=0), dataset(), epochs=20, batch_size=20, learning_rate=0.02)
    assert run.record["test_accuracy"] > 0.6
    run.save(tmp_path)
    again = Run.load(tmp_path)
    assert again.net.spec["inhibitory"] == 0.2
    assert obeys(again.net)
    assert again.net._constraint == Dale(0.2)


def test_what_the_law_has_no_meaning_for_is_refused():
    with pytest.raises(InputError, match=r"relu or sigmoid units.* but hidden units are tanh"):
        mlp(3, input_shape=(4,), hidden=(10,), activation="tanh", inhibitory=0.2)
    with pytest.raises(InputError, match="a layer of 2 units cannot have both kinds"):
        mlp(3, input_shape=(4,), hidden=(2,), inhibitory=0.2)
    with pytest.raises(InputError, match=r"between 0 and 1, but got 1\.5"):
        mlp(3, input_shape=(4,), hidden=(10,), inhibitory=1.5)
    assert "inhibitory" not in build(mlp(3, input_shape=(4,), hidden=(5,)).spec).spec
