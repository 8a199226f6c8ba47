"""The genetic algorithm keeps its best, and its best is the best."""

from __future__ import annotations

import itertools

import pytest
import torch
from problems import batch, small_mlp
from torch.nn.utils import parameters_to_vector

from neurocompare.errors import InputError
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES


def optimizer(net):
    return torch.optim.SGD(net.parameters(), lr=0.1)


def test_the_networks_loss_on_one_batch_never_rises():
    net = small_mlp()
    x, y = batch(net, 20)
    rule = RULES["genetic_algorithm"].for_net(net, seed=0, mutation=0.05)
    generator = torch.Generator().manual_seed(0)
    losses = [float(rule.step(net, optimizer(net), x, y, cross_entropy, generator).loss) for _ in range(40)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(losses))
    assert losses[-1] < 0.7 * losses[0]


def test_the_best_member_goes_into_the_network_and_only_parents_have_children():
    """The loss is the distance of the output's bias from a point, so that members can be ranked by hand."""
    net = mlp(2, input_shape=(3,), hidden=()).double()
    point = torch.tensor([0.3, -0.2], dtype=torch.float64)
    loss = Loss("distance", lambda output, _: (output - point).square().sum(1), lambda output, _: 2 * (output - point))
    x = torch.zeros(4, 3, dtype=torch.float64)
    rule = RULES["genetic_algorithm"].for_net(net, seed=0, population=30, parents=3, mutation=1e-9)
    rule.members.copy_(torch.randn(rule.members.shape, generator=torch.Generator().manual_seed(1)))
    before = rule.members.clone()
    ranked = before[(before[:, -2:] - point).square().sum(1).argsort()]
    rule.step(net, optimizer(net), x, torch.zeros(4, dtype=torch.long), loss, torch.Generator().manual_seed(0))
    assert torch.equal(parameters_to_vector(net.parameters()), ranked[0])
    assert torch.equal(rule.members[0], ranked[0])
    nearest = torch.cdist(rule.members, ranked).argmin(1)
    assert set(nearest.tolist()) == {0, 1, 2}
    assert torch.cdist(rule.members, ranked).min(1).values.max() < 1e-7
    assert len(rule.members.unique(dim=0)) == 30


def test_equal_seeds_evolve_alike_and_parameters_keep_their_storage():
    found = []
    for _ in range(2):
        net = small_mlp()
        x, y = batch(net)
        address = net.layers["fc1"].weight.data_ptr()
        rule = RULES["genetic_algorithm"].for_net(net, seed=2)
        generator = torch.Generator().manual_seed(3)
        for _ in range(3):
            rule.step(net, optimizer(net), x, y, cross_entropy, generator)
        assert net.layers["fc1"].weight.data_ptr() == address
        found.append(parameters_to_vector(net.parameters()).detach())
    assert torch.equal(*found)


def test_the_first_member_is_the_network_and_mutations_have_their_size():
    net = mlp(3, input_shape=(50,), hidden=(40,)).double()
    rule = RULES["genetic_algorithm"].for_net(net, seed=0, population=40, mutation=0.2)
    first = parameters_to_vector(net.parameters()).detach()
    assert torch.equal(rule.members[0], first)
    assert float((rule.members[1:] - first).std()) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("settings", [{"population": 10, "parents": 10}, {"parents": 0}, {"mutation": 0.0}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(InputError, match="1 <= parents < population and mutation > 0"):
        RULES["genetic_algorithm"].for_net(small_mlp(), seed=0, **settings)
