"""Forward-only rules: PEPITA against two passes written out, forward-forward against autograd layer by layer."""

from __future__ import annotations

import pytest
import torch
from fixed_points import products, relative_error, slope
from oracles import TORCH_ACTIVATIONS, autograd, gradients, plain_forward, plain_loss
from problems import NETS, batch, small_convnet, small_mlp
from torch.nn import functional

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.networks import mlp
from neurocompare.rules import RULES
from neurocompare.rules.forward_only import wrong_labels

EXACT = {"rtol": 1e-9, "atol": 1e-11}
SMALL = [0.1, 0.03, 0.01, 0.003, 0.001]


def made(name, net, **settings):
    return RULES[name].for_net(net, seed=1, **settings)


def credit(rule, net, loss="cross_entropy"):
    x, y = batch(net)
    found = rule.assign_credit(net, x, y, LOSSES[loss], torch.Generator().manual_seed(5))
    return gradients(net), found.deltas


def hidden_and_output(net, x):
    preactivations, output = plain_forward(net, x)
    layers = list(net.layers.values())[:-1]
    hidden = [TORCH_ACTIVATIONS[layer.activation.name](a) for layer, a in zip(layers, preactivations, strict=False)]
    return [h.detach() for h in hidden], output.detach()


def error_of(net, x, y, loss):
    return autograd(net, x, y, loss)[1][-1] * len(x)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_pepita_is_two_passes(kind, loss):
    net = NETS[kind]()
    x, y = batch(net)
    rule = made("pepita", net, feedback_scale=0.3)
    found, deltas = credit(rule, net, loss)
    error = error_of(net, x, y, loss)
    second_input = x + 0.3 * torch.einsum("ic,bc->bi", rule.projection, error).view_as(x)
    (first, _), (second, _) = hidden_and_output(net, x), hidden_and_output(net, second_input)
    expected = [(a - b) / 0.3 / len(x) for a, b in zip(first, second, strict=True)] + [error / len(x)]
    for delta, wanted in zip(deltas, expected, strict=True):
        torch.testing.assert_close(delta, wanted, **EXACT)
    for key, wanted in products(net, [second_input, *second], expected).items():
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)


@pytest.mark.parametrize("loss", LOSSES)
def test_with_one_hidden_layer_and_weak_feedback_pepita_is_direct_feedback_alignment(loss):
    """Through ``-W_1 F``, with an error of the first order in the scale of the feedback."""
    net = small_mlp("tanh", hidden=(6,))
    direct = RULES["direct_feedback_alignment"].for_net(net, seed=2)
    errors = []
    for scale in SMALL:
        rule = made("pepita", net, feedback_scale=scale)
        direct.feedback_fc1.copy_(-net.layers["fc1"].weight.detach() @ rule.projection)
        errors.append(relative_error(credit(rule, net, loss)[0], credit(direct, net, loss)[0]))
    assert slope(SMALL, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 2e-3


def test_weak_feedback_that_arrives_as_the_transposed_readout_makes_pepita_backprop():
    """``W_1 F = -W_2^T``: a projection that does this exists where there are more inputs than hidden units."""
    net = small_mlp("tanh", hidden=(6,))
    x, y = batch(net)
    first, readout = (net.layers[name].weight.detach() for name in ("fc1", "readout"))
    errors = []
    for scale in SMALL:
        rule = made("pepita", net, feedback_scale=scale)
        rule.projection.copy_(-torch.linalg.pinv(first) @ readout.T)
        errors.append(relative_error(credit(rule, net)[0], autograd(net, x, y, "cross_entropy")[0]))
    assert slope(SMALL, errors) == pytest.approx(1, abs=0.05)
    assert errors[-1] < 2e-3


def test_in_a_linear_network_pepita_sends_the_error_up_through_all_weights_below():
    net = small_mlp("identity", hidden=(6, 5))
    x, y = batch(net)
    rule = made("pepita", net)
    _, deltas = credit(rule, net)
    first, second = (net.layers[name].weight.detach() for name in ("fc1", "fc2"))
    through = torch.eye(7).double()
    for delta, weight in zip(deltas[:-1], (first, second), strict=True):
        through = weight @ through
        expected = -(error_of(net, x, y, "cross_entropy") @ (through @ rule.projection).T) / len(x)
        torch.testing.assert_close(delta, expected, **EXACT)


def test_the_error_reaches_the_input_in_its_own_size():
    """``|F e|^2`` is ``|e|^2`` on average."""
    net = mlp(10, input_shape=(4000,), hidden=(5,), seed=0)
    projection = made("pepita", net).projection
    assert projection.shape == (4000, 10)
    assert projection.square().sum(0).mean() == pytest.approx(1, rel=0.05)
    assert abs(float(projection.mean())) < 4 / 4000**0.5 / 40000**0.5


def local_losses(net, rule, x, labelled):
    """Of each hidden layer by itself, from torch's own functions: its input is cut off from what made it."""
    half, losses, h = len(x), [], labelled
    target = torch.cat([torch.ones(half), torch.zeros(half)]).to(x)
    for layer in list(net.layers.values())[:-1]:
        h = torch.relu(layer.affine(h))
        goodness = h.flatten(1).pow(2).mean(1)
        evidence = (goodness - rule.threshold) / rule.temperature
        losses.append(functional.binary_cross_entropy_with_logits(evidence, target, reduction="sum") / half)
        h = (h / (goodness.sqrt() + 1e-6).view(-1, *[1] * (h.ndim - 1))).detach()
    return losses, h


@pytest.mark.parametrize("settings", [{}, {"threshold": 1.3, "temperature": 0.4, "label_scale": 0.6}])
@pytest.mark.parametrize("make", [small_mlp, small_convnet])
def test_each_layer_descends_its_own_loss(make, settings):
    """The deltas are those of logistic regression on the goodness, and nothing crosses a layer."""
    net = make("relu")
    x, y = batch(net)
    rule = made("forward_forward", net, **settings)
    found, _ = credit(rule, net)
    _, readout_input = local_losses(net, rule, x, torch.cat([x, x]) + rule.labels.mean(0))
    output = net.layers["readout"](readout_input[: len(x)])
    wrong = wrong_labels(output.detach(), y, torch.Generator().manual_seed(5))
    losses, _ = local_losses(net, rule, x, torch.cat([x + rule.labels[y], x + rule.labels[wrong]]))
    parameters = dict(net.named_parameters())
    total = sum(losses) + plain_loss("cross_entropy", output, y)
    expected = torch.autograd.grad(total, list(parameters.values()))
    for key, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(found[key], wanted, **EXACT, msg=key)


def test_no_layer_hears_of_those_above_it():
    """With two classes, so that there is but one wrong label to draw."""
    changed = {}
    for upper in (1.0, -3.0):
        net = mlp(2, input_shape=(7,), hidden=(6, 5, 4), activation="relu", seed=0).double()
        with torch.no_grad():
            for name in ("fc3", "readout"):
                net.layers[name].weight.mul_(upper)
        changed[upper], _ = credit(made("forward_forward", net), net)
    for name in ("fc1", "fc2"):
        assert torch.equal(changed[1.0][f"{name}.weight"], changed[-3.0][f"{name}.weight"]), name
    assert not torch.equal(changed[1.0]["fc3.weight"], changed[-3.0]["fc3.weight"])


@pytest.mark.parametrize("make", [small_mlp, small_convnet])
def test_goodness_is_not_handed_on(make):
    """However active a layer, those above it are driven the same; the layer's own activity is what it is."""
    net = make("relu")
    x, _ = batch(net)
    rule = made("forward_forward", net)
    before = rule.activities(net, x)
    first = next(iter(net.layers))
    with torch.no_grad():
        net.layers[first].weight.mul_(7)
        net.layers[first].bias.mul_(7)
    after = rule.activities(net, x)
    torch.testing.assert_close(after.pop(first), 7 * before.pop(first), **EXACT)
    for name, activity in after.items():
        torch.testing.assert_close(
            activity, before[name], rtol=1e-5, atol=1e-6, msg=name
        )  # up to the 1e-6 beside the rms


def test_wrong_labels_are_as_likely_as_the_network_thinks_them():
    output = torch.tensor([[2.0, 0.5, -1.0, 0.0]]).double().expand(40000, -1)
    right = torch.full((40000,), 1)
    drawn = wrong_labels(output, right, torch.Generator().manual_seed(0))
    expected = torch.softmax(torch.tensor([2.0, -torch.inf, -1.0, 0.0]), 0)
    shares = torch.bincount(drawn, minlength=4) / 40000
    assert shares[1] == 0
    torch.testing.assert_close(shares, expected, rtol=0, atol=4 * (0.25 / 40000) ** 0.5)


def test_goodness_parts_right_from_wrong_labels_once_learnt():
    """What the rule is after, seen from outside: true labels excite every hidden layer more than false ones do."""
    net = mlp(3, input_shape=(12,), hidden=(20, 20), activation="relu", seed=0).double()
    generator = torch.Generator().manual_seed(3)
    y = torch.randint(3, (90,), generator=generator)
    x = torch.randn(90, 12, generator=generator).double()
    x[torch.arange(90), y] += 3
    rule = made("forward_forward", net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    def shares():
        """In how many samples the right label's goodness is above that of the next label, by layer."""
        passes = [rule.normalised_pass(net, x + rule.labels[labels]) for labels in (y, (y + 1) % 3)]
        goodness = [[torch.relu(a).square().mean(1) for a in p.preactivations[:-1]] for p in passes]
        return [float((right > wrong).double().mean()) for right, wrong in zip(*goodness, strict=True)]

    with torch.no_grad():
        before = shares()
    for _ in range(300):
        rule.step(net, optimizer, x, y, cross_entropy, generator)
    with torch.no_grad():
        after = shares()
    assert max(before) < 0.7
    assert min(after) > 0.9


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("pepita", {"feedback_scale": 0.0}, "feedback_scale > 0, but got 0.0"),
        ("forward_forward", {"threshold": 0.0}, "label_scale > 0, but got 0.0, 0.1 and 1.0"),
        ("forward_forward", {"temperature": -1.0}, "but got 2.0, -1.0 and 1.0"),
        ("forward_forward", {"label_scale": float("nan")}, "but got 2.0, 0.1 and nan"),
    ],
)
def test_settings_without_meaning_are_refused(name, settings, message):
    with pytest.raises(InputError, match=f"{name} needs .*{message}"):
        made(name, small_mlp("relu"), **settings)
