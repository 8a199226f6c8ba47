"""The clamp delivers what the network itself would; every rule's curve against its own formula, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analyses import apical_plasticity
from analyses.apical_plasticity import DRIVES, ELECTRODE, SUBJECTS, cells, compute, describe, pair, prepare
from neurocompare.losses import cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES

CELLS, TRIED = 6, [name for name in SUBJECTS if name != "hebbian"]
HELD = [name for name, subject in SUBJECTS.items() if subject.held]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def micro(a, d, nudge=0.5):
    return (sigmoid(a + nudge**2 * (1 - nudge) * d) - sigmoid(a)) / nudge**2


def segregated(a, d):
    return 4 * (sigmoid(d) - 0.5) * sigmoid(a) * (1 - sigmoid(a))


def urbanczik(a, d, pull=0.5 / 2.6):
    return (sigmoid(a + pull * d) - sigmoid(a)) / pull


def burst(a, d):
    return 2 * (sigmoid(2 * (1 - sigmoid(a)) * d) - 0.5) * sigmoid(a)


def straight(a, d):
    return sigmoid(a) * (1 - sigmoid(a)) * d


FORMULAS = {
    "dendritic_microcircuit": micro,
    "segregated_dendrites": segregated,
    "urbanczik_senn": urbanczik,
    "burst": burst,
    "burst, burstprop": burst,
    "feedback_alignment": straight,
    "backprop": straight,
    "hebbian": lambda a, d: sigmoid(a) + 0 * d,
}


@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize("name", SUBJECTS)
def test_the_recorded_synapse_changes_as_the_rules_own_formula_says(name, rate):
    """The pattern's first entry is 1, so its presynaptic rate is ``rate``."""
    weights, biases, pattern = (part.numpy() for part in cells(CELLS, 3))
    potential = (weights * rate * pattern).sum(1) + biases
    expected = rate * FORMULAS[name](potential[None], DRIVES[:, None])
    np.testing.assert_allclose(pair(SUBJECTS[name], "phasic", rate, 1, CELLS, 3)[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", HELD)
def test_a_drive_in_both_phases_is_invisible_to_what_compares_them(name):
    phasic, sustained = (pair(SUBJECTS[name], protocol, 1.0, 3, CELLS, 0) for protocol in ("phasic", "sustained"))
    if name in ("segregated_dendrites", "burst, burstprop"):
        assert not sustained.any()
        assert np.abs(phasic).max() > 0.1
    else:
        np.testing.assert_allclose(sustained, phasic, rtol=1e-9, atol=1e-12)


def natural(name):
    """A rule at work in a network of its own: the net, its batch, and the rule after it has assigned credit."""
    subject = SUBJECTS[name]
    net = mlp(4, input_shape=(5,), hidden=(CELLS,), activation="sigmoid", seed=2).double()
    with torch.no_grad():
        net.readout.weight.mul_(30)  # outputs far from the even guess
        net.fc1.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    rule = RULES[subject.rule].for_net(net, seed=1, **subject.settings)
    x = torch.randn(1, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return net, rule, x, rule.assign_credit(net, x, torch.tensor([1]), cross_entropy)


@pytest.mark.parametrize("name", [name for name in TRIED if name != "burst, burstprop"])
def test_the_clamp_at_the_natural_feedback_gives_the_update_of_the_unmodified_rule(name):
    """The drive is minus the output's error, as the rule's own random weights bring it to each cell."""
    net, rule, x, credit = natural(name)
    if SUBJECTS[name].identity:
        feedback = rule.get_buffer(next(iter(SUBJECTS[name].identity)))
        feedback = feedback.T if name == "segregated_dendrites" else feedback
    else:
        feedback = net.readout.weight.detach()
    drive = -credit.deltas[-1] @ feedback
    clamped, other = prepare(SUBJECTS[name], net.fc1.weight.detach(), net.fc1.bias.detach())
    if name == "segregated_dendrites":  # its plateaus start where the free output has them
        with torch.no_grad():
            clamped.readout.bias.copy_((cross_entropy.prediction(net(x)) @ feedback)[0])
    other.assign_credit(clamped, x, drive, ELECTRODE)
    assert net.fc1.weight.grad.abs().max() > 1e-3
    torch.testing.assert_close(clamped.fc1.weight.grad, net.fc1.weight.grad, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(clamped.fc1.bias.grad, net.fc1.bias.grad, rtol=1e-9, atol=1e-14)


def test_burstprop_at_the_natural_feedback_too():
    """Its phase without a teacher has bursts of its own, which the clamp's readout must have too."""
    net, rule, x, credit = natural("burst, burstprop")
    feedback = rule.get_buffer("bursts_readout")
    clamped, other = prepare(SUBJECTS["burst, burstprop"], net.fc1.weight.detach(), net.fc1.bias.detach())
    with torch.no_grad():
        clamped.readout.bias.copy_((cross_entropy.prediction(net(x)) @ feedback)[0])
    other.assign_credit(clamped, x, -credit.deltas[-1] @ feedback, ELECTRODE)
    torch.testing.assert_close(clamped.fc1.weight.grad, net.fc1.weight.grad, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", HELD)
def test_nothing_changes_where_the_apical_dendrite_is_held_at_zero(name):
    """Whatever the layer above says."""
    weights, biases, pattern = cells(CELLS, 0)
    net, rule = prepare(SUBJECTS[name], weights, biases, held=torch.zeros(1, CELLS, dtype=torch.float64))
    rule.assign_credit(net, pattern[None], torch.ones(1, CELLS, dtype=torch.float64), ELECTRODE)
    assert not net.fc1.weight.grad.any()
    assert net.readout.bias.grad.any()


def test_trials_add_up_and_the_first_is_the_gradient():
    weights, biases, pattern = cells(CELLS, 0)
    course = pair(SUBJECTS["backprop"], "phasic", 1.0, 3, CELLS, 0)
    w = weights.clone()
    for trial in range(3):
        a = w @ pattern + biases
        w = w + apical_plasticity.LEARNING_RATE * torch.outer(
            DRIVES[-1] * torch.sigmoid(a) * torch.sigmoid(-a), pattern
        )
        moved = (w - weights)[:, 0] / apical_plasticity.LEARNING_RATE
        np.testing.assert_allclose(course[trial, -1], moved, rtol=1e-12)


def test_the_table_of_a_line_and_of_a_constant():
    dataset = compute(["backprop", "hebbian", "segregated_dendrites"], trials=2, count=5)
    table = describe(dataset)
    line = table.loc["backprop"]
    assert (line["obeys"], line["at_zero"]) == (1, 0)
    np.testing.assert_allclose(line[["slope", "straight", "reach"]].astype(float), 1, rtol=1e-9)
    assert np.isnan(line["sustained"])
    assert table.loc["hebbian", "at_zero"] == pytest.approx(1)
    assert table.loc["segregated_dendrites", "sustained"] == 0
    mean_reach = 4 * (sigmoid(4) - 0.5) / 4  # of the sigmoid's slope at zero
    assert table.loc["segregated_dendrites", "reach"] == pytest.approx(mean_reach, rel=1e-4)


def test_the_quick_version_writes_and_tells(tmp_path, capsys):
    paths = apical_plasticity.main(tmp_path, quick=True)
    assert {path.suffix for path in paths} == {".nc", ".svg", ".pdf", ".png"}
    assert all(path.stat().st_size for path in paths)
    told = capsys.readouterr().out
    assert "as proposed: 5 of 5 rules and variants with an apical dendrite" in told
    assert "a drive in both phases has no effect: segregated_dendrites; burst, burstprop\n" in told
