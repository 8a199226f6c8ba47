"""Burst-dependent plasticity against its two streams written out, and the limits in which it is backprop."""

from __future__ import annotations

import pytest
import torch
from fixed_points import down, products, relative_error, slope
from oracles import autograd, gradients, plain_forward
from problems import batch, small_convnet, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, Loss, cross_entropy, squared_error
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-9, "atol": 1e-11}
SMALL = [0.3, 0.1, 0.03, 0.01]
NETS = {"mlp": lambda: small_mlp("sigmoid"), "convnet": lambda: small_convnet("sigmoid")}


def made(net, **settings):
    return RULES["burst"].for_net(net, seed=1, **settings)


def credit(rule, net, loss="cross_entropy"):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss])
    return gradients(net), found.deltas


def mirrored(rule, net):
    """The same rule with ``Y = W``."""
    for name, layer in list(net.layers.items())[1:]:
        rule.get_buffer(f"bursts_{name}").copy_(layer.weight.detach())
    return rule


def rates(net, x, loss):
    """Events of the hidden layers, those of the readout, and the errors' sign convention is that of the loss."""
    preactivations, output = plain_forward(net, x)
    hidden = [torch.sigmoid(a).detach() for a in preactivations[:-1]]
    top = torch.softmax(output, 1) if loss == "cross_entropy" else output
    return hidden, top.detach()


def passed_down(net, rule, hidden, top, bursts, cancelling):
    """Burst probabilities from the top, layer by layer; ``cancelling`` gives Q by layer name, or nothing."""
    events, found = [*hidden, top], []
    for number in range(len(hidden) - 1, -1, -1):
        name, above = list(net.layers.items())[number + 1]
        apical = down(above, bursts, rule.get_buffer(f"bursts_{name}"))
        if cancelling is not None:
            apical = apical - down(above, events[number + 1], cancelling(name))
        found.insert(0, 1 / (1 + torch.exp(-4 * (1 - events[number]) * apical)))
        bursts = found[0] * events[number]
    return found


CASES = [{}, {"teaching": 0.4}, {"matched": False}, {"variant": "burstprop"}, {"variant": "burstprop", "teaching": 0.3}]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("kind", NETS)
def test_events_up_and_bursts_down(kind, settings, loss):
    net = NETS[kind]()
    x, y = batch(net)
    rule = made(net, **settings)
    found, deltas = credit(rule, net, loss)
    hidden, top = rates(net, x, loss)
    label = torch.eye(3, dtype=x.dtype)[y]
    s = settings.get("teaching", 1.0)
    bursts = 0.5 * ((1 - s) * top + s * label)
    if settings.get("variant") == "burstprop":
        untaught = passed_down(net, rule, hidden, top, 0.5 * top, None)
        taught = passed_down(net, rule, hidden, top, bursts, None)
    else:
        learnt = not settings.get("matched", True)
        stored = dict(rule.named_parameters()) if learnt else {}

        def cancelling(name):
            return stored[f"events_{name}"].detach() if learnt else 0.5 * rule.get_buffer(f"bursts_{name}")

        taught = passed_down(net, rule, hidden, top, bursts, cancelling)
        untaught = [torch.full_like(p, 0.5) for p in taught]
    expected = [-(p - q) * e / (0.5 * s) / len(x) for p, q, e in zip(taught, untaught, hidden, strict=True)]
    expected.append((top - label) / len(x))
    for delta, wanted in zip(deltas, expected, strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, wanted in products(net, [x, *hidden], expected).items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_with_mirrored_weights_weak_teaching_is_backprop(kind, loss):
    """``Q = Y / 2``, ``Y = W``: the error falls with the square of the signal, as the sigmoid is odd about rest."""
    net = NETS[kind]()
    x, y = batch(net)
    expected = autograd(net, x, y, loss)[0]
    errors = [relative_error(credit(mirrored(made(net, teaching=s), net), net, loss)[0], expected) for s in SMALL]
    assert slope(SMALL, errors) == pytest.approx(2, abs=0.05)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("kind", NETS)
def test_weak_teaching_is_feedback_alignment(kind):
    net = NETS[kind]()
    aligned = RULES["feedback_alignment"].for_net(net, seed=2)
    errors = []
    for s in SMALL:
        rule = made(net, teaching=s)
        for name in list(net.layers)[1:]:
            aligned.get_buffer(f"feedback_{name}").copy_(rule.get_buffer(f"bursts_{name}"))
        errors.append(relative_error(credit(rule, net)[0], credit(aligned, net)[0]))
    assert slope(SMALL, errors) == pytest.approx(2, abs=0.05)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("kind", NETS)
def test_without_cancelling_each_layer_passes_on_what_its_burst_probability_leaves(kind):
    """Of first order in the signal: ``delta_l = 4 p (1 - p) f' . Y delta_{l+1}`` at the untaught probability."""
    net = NETS[kind]()
    x, y = batch(net)
    hidden, top = rates(net, x, "cross_entropy")
    rule = mirrored(made(net, variant="burstprop"), net)
    untaught = passed_down(net, rule, hidden, top, 0.5 * top, None)
    deltas = [(top - torch.eye(3, dtype=x.dtype)[y]) / len(x)]
    for number in range(len(hidden) - 1, -1, -1):
        above, p, e = list(net.layers.values())[number + 1], untaught[number], hidden[number]
        deltas.insert(0, 4 * p * (1 - p) * e * (1 - e) * down(above, deltas[0]).detach())
    expected = products(net, [x, *hidden], deltas)
    errors = []
    for s in SMALL:
        weak = mirrored(made(net, variant="burstprop", teaching=s), net)
        errors.append(relative_error(credit(weak, net)[0], expected))
    assert slope(SMALL, errors) == pytest.approx(1, abs=0.1)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("kind", NETS)
def test_cancelling_weights_descend_what_reaches_dendrites_at_rest(kind):
    net = NETS[kind]()
    x, _ = batch(net)
    rule = made(net, matched=False)
    credit(rule, net)
    hidden, top = rates(net, x, "cross_entropy")
    parameters = dict(rule.named_parameters())
    total = 0.0
    for (name, above), e in zip(list(net.layers.items())[1:], [*hidden[1:], top], strict=True):
        drive = down(above, 0.5 * e, rule.get_buffer(f"bursts_{name}")) - down(above, e, parameters[f"events_{name}"])
        total = total + 0.5 * drive.square().sum() / len(x)
    expected = torch.autograd.grad(total, list(parameters.values()))
    for (name, parameter), wanted in zip(parameters.items(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, **EXACT, msg=name)


def test_cancelling_weights_come_to_half_of_those_that_carry_bursts():
    net = small_mlp("sigmoid", hidden=(4,))
    with torch.no_grad():
        net.layers["readout"].weight.mul_(30)  # so that the outputs differ from each other
    x, y = batch(net, 60)
    rule = made(net, matched=False)
    optimizer = torch.optim.LBFGS(rule.parameters(), tolerance_change=0.0)  # the objective is quadratic
    for _ in range(3):
        optimizer.step(lambda: rule.assign_credit(net, x, y, squared_error).loss)
    torch.testing.assert_close(rule.events_readout.detach(), 0.5 * rule.bursts_readout, rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", ["ccn", "burstprop"])
def test_without_an_error_bursts_are_as_they_were(variant):
    net = small_mlp("sigmoid")
    x, y = batch(net)
    content = Loss("content", lambda output, _: 0 * output.sum(1), lambda output, _: 0 * output)
    deltas = made(net, variant=variant).assign_credit(net, x, y, content).deltas
    assert all((delta == 0).all() for delta in deltas)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teaching": 0.0}, "burst needs teaching > 0, but got 0.0"),
        ({"teaching": float("nan")}, "burst needs teaching > 0, but got nan"),
        ({"variant": "cnn"}, "variant of burst 'cnn'; did you mean 'ccn'"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        made(small_mlp("sigmoid"), **settings)
    assert made(small_mlp("sigmoid")).assign_credit(small_mlp("sigmoid"), *batch(small_mlp()), cross_entropy).loss > 0
