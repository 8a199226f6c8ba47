"""Microcircuits against their equations iterated in full, and their limits: backprop and feedback alignment."""

from __future__ import annotations

import itertools

import pytest
import torch
from fixed_points import down, products, relative_error, slope, up
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward
from problems import NETS, batch, small_mlp
from torch import nn
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, Loss
from neurocompare.networks import Conv, mlp
from neurocompare.rules import RULES

EXACT = {"rtol": 1e-9, "atol": 1e-12}
WEAK = [0.1, 0.03, 0.01, 0.003]
SILENT = Loss("silent", lambda output, y: output.new_zeros(len(y)), lambda output, y: torch.zeros_like(output))


def made(net, **settings):
    return RULES["dendritic_microcircuit"].for_net(net, seed=1, **settings)


def credit(rule, net, loss="cross_entropy"):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss])
    return gradients(net), found


def lateral(rule, name):
    """W_PP, W_IP, b_I and W_PI of the circuit below a layer."""
    state = rule.state_dict()
    return tuple(state[f"{role}_{name}"] for role in ("top_down", "predict", "bias", "cancel"))


def upward(layer, r, weight, bias):
    if isinstance(layer, Conv):
        return functional.conv2d(r, weight, bias, stride=2, padding=1)
    return functional.linear(r.reshape(len(r), -1), weight, bias)


def at_rest(net, rule, nudge, x, error, steps=400):
    """All compartments by synchronous iteration of the circuit's equations, each kept as a variable of its own."""
    layers = list(net.layers.items())
    f = [TORCH_ACTIVATIONS[layer.activation.name] for _, layer in layers]
    u = [x.new_zeros(len(x), *layer.out_shape) for _, layer in layers]
    inter, top = [torch.zeros_like(potential) for potential in u[1:]], len(layers) - 1
    with torch.no_grad():
        for _ in range(steps):
            basal = [
                up(layer, x if k == 0 else f[k - 1](u[k - 1])).view_as(u[k]) for k, (_, layer) in enumerate(layers)
            ]
            new, new_inter, apical, dendrite = [], [], [], []
            for k, (name, layer) in enumerate(layers[1:]):
                top_down, predict, bias, cancel = lateral(rule, name)
                dendrite.append(upward(layer, f[k](u[k]), predict, bias))
                new_inter.append((1 - nudge) * dendrite[k] + nudge * u[k + 1])
                from_above, from_beside = (
                    down(layer, f[k + 1](u[k + 1]), top_down),
                    down(layer, f[k + 1](inter[k]), cancel),
                )
                apical.append(from_above + from_beside)
                new.append(basal[k] + nudge * apical[k].view_as(u[k]))
            new.append(basal[top] - nudge * error(basal[top]))
            moved = max(float((a - b).abs().max()) for a, b in zip([*new, *new_inter], [*u, *inter], strict=True))
            u, inter = new, new_inter
    assert moved < 1e-14
    return [f_k(u_k) for f_k, u_k in zip(f, u, strict=True)], basal, apical, inter, dendrite, f


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_the_circuit_at_rest_written_out(kind, loss):
    """From random lateral weights, all of which learn: potentials, updates and predictions by plain iteration."""
    net, nudge = NETS[kind](), 0.15
    x, y = batch(net)
    rule = made(net, nudge=nudge, sweeps=80, matched=False)
    found, credit_found = credit(rule, net, loss)
    assert credit_found.residuals[0] < 1e-14
    label = torch.eye(3, dtype=x.dtype)[y]
    guess = {"cross_entropy": lambda o: torch.softmax(o, 1), "squared_error": lambda o: o}[loss]
    free_rates, _, free_apical, free_inter, _, f = at_rest(net, rule, nudge, x, torch.zeros_like)
    rates, basal, _, inter, dendrite, _ = at_rest(net, rule, nudge, x, lambda o: guess(o) - label)
    top = len(basal)
    deltas = [
        -(r - f_k(v)) / nudge ** (top - k) / len(x) for k, (r, v, f_k) in enumerate(zip(rates, basal, f, strict=True))
    ]
    for delta, wanted in zip(credit_found.deltas, deltas, strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, wanted in products(net, [x, *rates[:-1]], deltas).items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)
    for k, (name, layer) in enumerate(list(net.layers.items())[1:]):
        _, predict, bias, cancel = (w.clone().requires_grad_() for w in lateral(rule, name))
        taught = (f[k + 1](dendrite[k]) - f[k + 1](inter[k])) / nudge ** (top - k) / len(x)
        hebb = (upward(layer, rates[k], predict, bias) * taught).sum()
        silence = (down(layer, f[k + 1](free_inter[k]), cancel) * free_apical[k]).sum() / len(x)
        for role, wanted in zip(
            ("predict", "bias", "cancel"), torch.autograd.grad(hebb + silence, [predict, bias, cancel]), strict=True
        ):
            torch.testing.assert_close(rule.get_parameter(f"{role}_{name}").grad, wanted, **EXACT, msg=f"{role} {name}")
    for activity, wanted in zip(rule.activities(net, x).values(), free_rates, strict=True):
        torch.testing.assert_close(activity, wanted, **EXACT)
    torch.testing.assert_close(credit_found.loss, LOSSES[loss](free_rates[-1], y), **EXACT)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_weak_teaching_through_transposed_weights_is_backprop(kind, loss):
    """Error of first order, of which the leading term is known: each step down loses a share lambda of the signal."""
    net = NETS[kind]()
    x, y = batch(net)
    exact, _ = autograd(net, x, y, loss)
    errors = {name: [] for name in net.layers}
    for nudge in WEAK:
        found, _ = credit(made(net, nudge=nudge, symmetric=True), net, loss)
        for name, by_nudge in errors.items():
            keys = [f"{name}.weight", f"{name}.bias"]
            by_nudge.append(relative_error({k: found[k] for k in keys}, {k: exact[k] for k in keys}))
    *hidden, readout = errors
    for steps_down, name in enumerate(reversed(hidden), 1):
        assert slope(WEAK, errors[name]) == pytest.approx(1, abs=0.05), name
        assert errors[name][2] == pytest.approx(steps_down * WEAK[2], rel=0.03), name
    assert slope(WEAK, errors[readout]) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("kind", ["mlp", "mlp_sigmoid", "convnet_tanh"])
def test_weak_teaching_through_fixed_weights_is_feedback_alignment(kind):
    net = NETS[kind]()
    alignment = RULES["feedback_alignment"].for_net(net, seed=2)
    errors = []
    for nudge in WEAK:
        rule = made(net, nudge=nudge)
        for name in list(net.layers)[1:]:
            alignment.get_buffer(f"feedback_{name}").copy_(lateral(rule, name)[0])
        errors.append(relative_error(credit(rule, net)[0], credit(alignment, net)[0]))
    assert slope(WEAK, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("settings", [{}, {"symmetric": True}, {"nudge": 0.2}])
@pytest.mark.parametrize("kind", NETS)
def test_a_circuit_that_predicts_itself_is_silent_without_a_teacher(kind, settings):
    net = NETS[kind]()
    x, y = batch(net)
    rule = made(net, **settings)
    found = rule.assign_credit(net, x, y, SILENT)
    assert max(float(delta.abs().max()) for delta in found.deltas) < 1e-12
    assert all(p.grad.abs().max() < 1e-12 for module in (net, rule) for p in module.parameters())
    _, output = plain_forward(net, x)
    *_, predicted = rule.activities(net, x).values()
    torch.testing.assert_close(predicted, output, rtol=0, atol=1e-13)
    *_, single = rule.float().activities(net.float(), x.float()).values()
    assert torch.equal(single, net(x.float()))


def test_interneurons_learn_to_mimic_the_layer_above_and_to_silence_the_apical_dendrites():
    """From random lateral weights, without a teacher, the network as it is: the self-predicting state is where it ends."""
    net, nudge = small_mlp("tanh", hidden=(4, 3)), 0.3
    for layer in net.layers.values():  # well-conditioned, so that learning ends soon
        nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(0))
    x, y = batch(net, 30)
    rule = made(net, matched=False, nudge=nudge, sweeps=6)
    rates = {"cancel": 0.5, "fc2": 2 * nudge**2, "readout": 2 * nudge}  # the latter undo powers of lambda
    groups = [
        {"params": [p], "lr": next(rate for word, rate in rates.items() if word in key)}
        for key, p in rule.named_parameters()
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.5)

    @torch.no_grad()
    def apical():
        moves, _ = rule.settled(net, x, rule.unmoved(net, x), None)
        return max(float(move.abs().max()) for move in moves) / nudge

    first = apical()
    for _ in range(200):
        rule.assign_credit(net, x, y, SILENT)
        optimizer.step()
    assert first > 0.1
    assert apical() < 1e-10
    for name in ("fc2", "readout"):
        top_down, predict, bias, cancel = lateral(rule, name)
        torch.testing.assert_close(predict, net.layers[name].weight.detach(), rtol=0, atol=1e-10)
        torch.testing.assert_close(bias, net.layers[name].bias.detach(), rtol=0, atol=1e-10)
        torch.testing.assert_close(cancel, -top_down, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["mlp", "convnet_tanh"])
def test_interneurons_that_predict_learn_what_the_layer_above_learns(kind):
    """So they stay with it: error of first order in lambda, none at the output."""
    net = NETS[kind]()
    _, *above = net.layers
    errors = []
    for nudge in WEAK:
        rule = made(net, nudge=nudge)
        found, _ = credit(rule, net)
        own = {f"{n}.{part}": rule.get_parameter(f"{role}_{n}").grad for n in above for part, role in ROLES}
        theirs = {key: found[key] for key in own}
        torch.testing.assert_close(own["readout.weight"], theirs["readout.weight"], **EXACT)
        errors.append(relative_error(own, theirs))
    assert slope(WEAK, errors) > 0.95
    assert errors[-1] < 0.01


ROLES = (("weight", "predict"), ("bias", "bias"))


def test_weak_teaching_survives_single_precision():
    net = small_mlp("tanh")
    expected, _ = credit(made(net, nudge=0.03), net)
    found, _ = credit(made(net.float(), nudge=0.03), net)
    assert relative_error({n: g.double() for n, g in found.items()}, expected) < 1e-2


def test_the_output_error_survives_a_nudge_near_the_rounding_of_single_precision():
    net = small_mlp("tanh")
    *_, expected = autograd(net, *batch(net), "cross_entropy")[1]
    *_, found = credit(made(net.float(), nudge=1e-4), net)[1].deltas
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_the_phase_with_a_teacher_starts_where_the_one_without_ends():
    """So a silent teacher is as many sweeps again."""
    net = small_mlp()
    x, y = batch(net)
    expected = made(net, matched=False, sweeps=6)
    with torch.no_grad():
        _, residual = expected.settled(net, x, expected.unmoved(net, x), None)
    found = made(net, matched=False, sweeps=3).assign_credit(net, x, y, SILENT)
    torch.testing.assert_close(found.residuals[0], residual, rtol=1e-9, atol=0)


def test_random_interneurons_are_no_copy_of_layers_drawn_with_the_same_seed():
    net = small_mlp(hidden=(7, 7), seed=1)
    for name in ("fc2", "readout"):
        weights = lateral(made(net, matched=False), name)
        for weight in (weights[0], weights[1], weights[3]):
            assert abs(torch.corrcoef(torch.stack([weight, net.layers[name].weight.detach()]).flatten(1))[0, 1]) < 0.6


def test_lateral_weights_that_cancel_what_is_fixed_do_not_learn_and_others_do():
    def learning(**settings):
        return {name.split("_")[0] for name, _ in made(small_mlp(), **settings).named_parameters()}

    assert learning() == {"predict", "bias"}
    assert learning(symmetric=True) == learning(matched=False) == {"predict", "bias", "cancel"}


def test_without_hidden_layers_it_is_the_delta_rule():
    net = mlp(3, input_shape=(7,), hidden=(), activation="tanh", seed=0).double()
    x, y = batch(net)
    found, _ = credit(made(net), net)
    for key, wanted in autograd(net, x, y, "cross_entropy")[0].items():
        torch.testing.assert_close(found[key], wanted, **EXACT)


def test_more_sweeps_come_closer_to_rest():
    residuals = [float(credit(made(small_mlp(), sweeps=n), small_mlp())[1].residuals[0]) for n in (1, 2, 4, 8)]
    assert all(later < 0.2 * earlier for earlier, later in itertools.pairwise(residuals))


def test_settings_without_meaning_are_refused():
    for nudge in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match=f"needs a nudge between 0 and 1, but got {nudge}"):
            made(small_mlp(), nudge=nudge)
    with pytest.raises(InputError, match="needs at least 1 sweep, but got 0"):
        made(small_mlp(), sweeps=0)
