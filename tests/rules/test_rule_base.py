"""The loop around a rule: what ``after_step`` is told."""

from __future__ import annotations

import pytest
import torch
from problems import batch, small_mlp

from neurocompare.losses import cross_entropy
from neurocompare.rules import RULES, Needs, Rule


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_after_step_is_told_the_applied_step(optimizer):
    """Not the gradient: under Adam those differ, and a rule that mirrors the step must mirror the right one."""
    told = {}

    class Mirror(RULES["backprop"]):
        needs = Needs(applied_step=True)

        def after_step(self, net, applied):
            told.update(applied)

    net = small_mlp()
    x, y = batch(net)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    Mirror.for_net(net, seed=0).step(net, optimizer(net.parameters(), lr=0.1), x, y, cross_entropy)
    assert list(told) == list(before)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(told[name], parameter.detach() - before[name], rtol=0, atol=0)
        assert told[name].norm() > 0


def test_a_rule_that_does_not_say_how_is_refused():
    net = small_mlp()
    with pytest.raises(TypeError, match="Rule does not say how it assigns credit"):
        Rule.for_net(net, seed=0).assign_credit(net, *batch(net), cross_entropy)
