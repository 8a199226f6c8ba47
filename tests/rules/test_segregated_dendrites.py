"""Plateau potentials against autograd through a sigmoid, direct feedback alignment and backprop, which they come to."""

from __future__ import annotations

import pytest
import torch
from fixed_points import products, relative_error, slope
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward
from problems import NETS, batch, small_mlp

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-12, "atol": 1e-13}
SMALL = [0.1, 0.03, 0.01, 0.003, 0.001]


def made(net, scale=1.0, **settings):
    """With apical weights times a factor."""
    rule = RULES["segregated_dendrites"].for_net(net, seed=1, **settings)
    for buffer in rule.buffers():
        buffer.mul_(scale)
    return rule


def credit(rule, net, loss):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss])
    return gradients(net), found.deltas


def rates(loss, output, y, nudge):
    """Of the output units in the two phases, as the losses are written in textbooks."""
    label = torch.eye(output.shape[1], dtype=output.dtype)[y]
    forward = torch.softmax(output, 1) if loss == "cross_entropy" else output
    return forward, (1 - nudge) * forward + nudge * label


def slopes(net, a, layer):
    """``f'(a)`` by autograd."""
    a = a.detach().requires_grad_()
    return torch.autograd.grad(TORCH_ACTIVATIONS[layer.activation.name](a).sum(), a)[0]


def hidden_deltas(rule, net, plateau_change):
    """``-f' . change / B`` layer by layer, from torch's own functions."""
    x, _ = batch(net)
    preactivations, output = plain_forward(net, x)
    found = []
    for (name, layer), a in zip(list(net.layers.items())[:-1], preactivations, strict=False):
        change = plateau_change(rule.get_buffer(f"apical_{name}"), output.detach()).view_as(a)
        found.append(-slopes(net, a, layer) * change / len(x))
    return found


def forward_inputs(net):
    x, _ = batch(net)
    preactivations, _ = plain_forward(net, x)
    layers = list(net.layers.values())
    hidden = [TORCH_ACTIVATIONS[layer.activation.name](a) for layer, a in zip(layers, preactivations, strict=True)]
    return [x, *(h.detach() for h in hidden[:-1])]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("nudge", [1.0, 0.3])
@pytest.mark.parametrize("kind", NETS)
def test_the_two_phases_written_out(kind, nudge, loss):
    net = NETS[kind]()
    rule = made(net, nudge=nudge)
    _, y = batch(net)

    def change(apical, output):
        forward, target = rates(loss, output, y, nudge)
        plateaus = [1 / (1 + torch.exp(-torch.einsum("uo,bo->bu", apical, rate))) for rate in (forward, target)]
        return 4 / nudge * (plateaus[1] - plateaus[0])

    found, deltas = credit(rule, net, loss)
    expected = hidden_deltas(rule, net, change)
    exact, exact_deltas = autograd(net, batch(net)[0], y, loss)
    for delta, wanted in zip(deltas, [*expected, exact_deltas[-1]], strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, gradient in products(net, forward_inputs(net), [*expected, exact_deltas[-1]]).items():
        torch.testing.assert_close(found[key], gradient, **EXACT, msg=key)
    torch.testing.assert_close(found["readout.weight"], exact["readout.weight"], **EXACT)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_a_slight_nudge_carries_the_error_through_the_slope_of_the_plateau(kind, loss):
    """Error of first order in the nudge; the slope by autograd, the error from autograd of the loss."""
    net = NETS[kind]()
    x, y = batch(net)
    error = autograd(net, x, y, loss)[1][-1] * len(x)

    def limit(apical, output):
        rate = rates(loss, output, y, 0)[0]
        moved = torch.autograd.functional.jvp(lambda o: torch.sigmoid(o @ apical.T), rate, -error)[1]
        return 4 * moved

    keys = [f"{name}.{part}" for name in list(net.layers)[:-1] for part in ("weight", "bias")]
    errors = []
    for nudge in SMALL:
        rule = made(net, nudge=nudge)
        wanted = products(net, forward_inputs(net), [*hidden_deltas(rule, net, limit), error / len(x)])
        found, _ = credit(rule, net, loss)
        errors.append(relative_error({k: found[k] for k in keys}, {k: wanted[k] for k in keys}))
    assert slope(SMALL, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_far_from_saturation_it_is_direct_feedback_alignment(kind, loss):
    """The sigmoid is odd about zero, so the error is of second order in the scale of apical weights."""
    net = NETS[kind]()
    x, y = batch(net)
    direct = RULES["direct_feedback_alignment"].for_net(net, seed=2)
    keys = [f"{name}.{part}" for name in list(net.layers)[:-1] for part in ("weight", "bias")]
    errors = []
    for scale in SMALL:
        rule = made(net, scale)
        for name in list(net.layers)[:-1]:
            direct.get_buffer(f"feedback_{name}").copy_(rule.get_buffer(f"apical_{name}"))
        found, _ = credit(rule, net, loss)
        direct.assign_credit(net, x, y, LOSSES[loss])
        expected = gradients(net)
        errors.append(relative_error({k: found[k] for k in keys}, {k: expected[k] for k in keys}))
    assert slope(SMALL, errors) == pytest.approx(2, abs=0.05)
    assert errors[-1] < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_with_small_weights_of_the_readout_as_apical_ones_it_is_backprop(loss):
    """One hidden layer; the readout is scaled with them, and the hidden error is of second order in that."""
    net = small_mlp("tanh", hidden=(6,))
    x, y = batch(net)
    readout, start = net.layers["readout"], net.layers["readout"].weight.detach().clone()
    errors = []
    for scale in SMALL:
        readout.weight.data.copy_(scale * start)
        rule = made(net)
        rule.get_buffer("apical_fc1").copy_(readout.weight.detach().T)
        found, expected = credit(rule, net, loss)[0], autograd(net, x, y, loss)[0]
        keys = ["fc1.weight", "fc1.bias"]
        errors.append(relative_error({k: found[k] for k in keys}, {k: expected[k] for k in keys}))
    assert slope(SMALL, errors) == pytest.approx(2, abs=0.05)
    assert errors[-1] < 1e-5


def test_apical_weights_are_drawn_once_from_all_outputs_to_every_unit():
    net = small_mlp(hidden=(400, 300))
    rule = made(net)
    for name, units in (("fc1", 400), ("fc2", 300)):
        drawn = rule.get_buffer(f"apical_{name}")
        assert drawn.shape == (units, 3)
        assert float(drawn.mean()) == pytest.approx(0, abs=0.06)
        assert float(drawn.var()) == pytest.approx(1 / 3, rel=0.15)
    assert not torch.equal(rule.get_buffer("apical_fc1")[:300], rule.get_buffer("apical_fc2"))
    assert not list(rule.parameters())


def test_without_hidden_layers_it_is_the_delta_rule():
    net = small_mlp(hidden=())
    x, y = batch(net)
    found, _ = credit(made(net), net, "cross_entropy")
    for key, gradient in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(found[key], gradient, **EXACT)


def test_saturated_plateaus_teach_nothing():
    """Where the apical drive is far from zero in both phases the plateau does not change."""
    net = small_mlp("tanh")
    rule = made(net)
    for buffer in rule.buffers():
        buffer.fill_(50.0)  # equal weights: the rates sum to one in both phases
    x, y = batch(net)
    rule.assign_credit(net, x, y, cross_entropy)
    assert float(net.layers["fc1"].weight.grad.norm()) < 1e-12
    assert float(net.layers["readout"].weight.grad.norm()) > 0.1


@pytest.mark.parametrize("nudge", [0.0, -1.0, float("nan")])
def test_settings_without_meaning_are_refused(nudge):
    with pytest.raises(InputError, match="segregated_dendrites needs a nudge above 0, but got"):
        made(small_mlp(), nudge=nudge)
