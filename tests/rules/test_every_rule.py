"""What holds for every rule in ``RULES``: a rule that registers later inherits all of it."""

from __future__ import annotations

import pytest
import torch
from oracles import gradients
from problems import activation_of, batch, exclusive_or, kinds, net_for, small_convnet, small_mlp
from settings import CLOSE_TO_BACKPROP, EXCLUSIVE_OR, GRADIENT_IN_LAST_HIDDEN, SETTINGS
from torch import nn

from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy
from neurocompare.networks import ACTIVATIONS, mlp
from neurocompare.rules import RULES

GRADIENT = [name for name, rule in RULES.items() if rule.needs.optimizer]
FAMILIES = {
    "vector feedback",
    "scalar feedback",
    "no feedback",
    "target propagation",
    "differences in time",
    "differences in space",
    "forward only",
}
SUPERVISED = [name for name, rule in RULES.items() if rule.needs.labels]


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def credit_of(name, net, *, rule_seed=0, noise_seed=0, loss=cross_entropy):
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=rule_seed)
    rule.assign_credit(net, x, y, loss, noise(noise_seed))
    return gradients(net) | {f"rule.{n}": p.grad.clone() for n, p in rule.named_parameters()}


@pytest.mark.parametrize("name", RULES)
def test_is_registered_under_its_own_name_and_says_where_it_is_from(name):
    rule = RULES[name]
    assert rule.name == name
    assert rule.reference
    assert rule.feedback in {"none", "scalar", "vector"}
    assert rule.learning_rate > 0
    assert rule.family in FAMILIES
    assert sum(rule.short == other.short for other in RULES.values()) == 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_every_trainable_parameter_gets_a_finite_gradient_that_is_not_zero(name, kind, loss):
    net = net_for(name, kind)
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    credit = rule.assign_credit(net, x, y, LOSSES[loss], noise())
    for parameter_name, parameter in [*net.named_parameters(), *rule.named_parameters()]:
        assert parameter.grad.shape == parameter.shape, parameter_name
        assert parameter.grad.dtype == parameter.dtype, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.norm() > 0, parameter_name
    *_, output = rule.activities(net, x).values()
    torch.testing.assert_close(credit.loss, LOSSES[loss](output, y))
    for delta, layer in zip(credit.deltas, net.layers.values(), strict=bool(credit.deltas)):
        assert delta.shape == (len(x), *layer.out_shape)


@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_a_step_moves_every_layer_and_keeps_the_parameters_objects(name, kind):
    net = net_for(name, kind)
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    before = {n: (p, p.data_ptr(), p.detach().clone()) for n, p in net.named_parameters()}
    optimizer = torch.optim.SGD([*net.parameters(), *rule.parameters()], lr=0.1)
    rule.step(net, optimizer, x, y, cross_entropy, noise())
    for parameter_name, parameter in net.named_parameters():
        same, address, value = before[parameter_name]
        assert parameter is same, parameter_name
        assert parameter.data_ptr() == address, parameter_name
        assert not torch.equal(parameter, value), parameter_name
        if not rule.needs.applied_step:  # such a rule may move the weights further
            torch.testing.assert_close(parameter.detach(), value - 0.1 * parameter.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_assigning_credit_changes_nothing_but_gradients(name, kind):
    net = net_for(name, kind)
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    modules = (net, rule)
    before = [value.clone() for module in modules for value in module.state_dict().values()]
    inputs, labels = x.clone(), y.clone()
    rule.assign_credit(net, x, y, cross_entropy, noise())
    after = [value for module in modules for value in module.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(x, inputs)
    assert torch.equal(y, labels)


@pytest.mark.parametrize("name", GRADIENT)
def test_gradients_do_not_add_up_over_calls(name):
    net = net_for(name, "mlp")
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    rule.assign_credit(net, x, y, cross_entropy, noise())
    first = gradients(net)
    rule.assign_credit(net, x, y, cross_entropy, noise())
    assert all(torch.equal(g, first[n]) for n, g in gradients(net).items())


@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_equal_seeds_give_equal_gradients(name, kind):
    first, second = (credit_of(name, net_for(name, kind), rule_seed=3, noise_seed=4) for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("name", GRADIENT)
def test_other_seeds_give_other_gradients_where_something_is_drawn(name):
    """A rule draws weights when made, noise at each step, both or (backprop) nothing."""
    net = net_for(name, "mlp")
    generator = noise()
    untouched = generator.get_state()
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    rule.assign_credit(net, x, y, cross_entropy, generator)
    draws_noise = not torch.equal(generator.get_state(), untouched)
    base = credit_of(name, net)
    for seeds, draws in (({"rule_seed": 1}, bool(rule.state_dict())), ({"noise_seed": 1}, draws_noise)):
        other = credit_of(name, net, **seeds)
        same = all(torch.equal(base[n], other[n]) for n in base)
        assert same is not draws, seeds


@pytest.mark.parametrize("name", [name for name in GRADIENT if name not in CLOSE_TO_BACKPROP])
def test_hidden_gradients_are_not_those_of_backprop_in_disguise(name):
    net = net_for(name, "mlp")
    found, exact = credit_of(name, net), credit_of("backprop", net)
    for layer in list(net.layers)[: -2 if name in GRADIENT_IN_LAST_HIDDEN else -1]:
        key = f"{layer}.weight"
        assert not torch.allclose(found[key], exact[key], rtol=0.05), layer


@pytest.mark.parametrize("name", GRADIENT)
def test_state_survives_a_rule_made_with_another_seed(name):
    net = net_for(name, "convnet" if RULES[name].needs.convolutions else "mlp")
    x, y = batch(net)
    rule, other = RULES[name].for_net(net, seed=0), RULES[name].for_net(net, seed=1)
    rule.assign_credit(net, x, y, cross_entropy, noise())
    expected = gradients(net)
    other.load_state_dict(rule.state_dict())
    other.assign_credit(net, x, y, cross_entropy, noise())
    assert all(torch.equal(g, expected[n]) for n, g in gradients(net).items())


@pytest.mark.parametrize(("name", "kind"), kinds(RULES))
def test_activities_have_the_layers_names_and_shapes(name, kind):
    net = net_for(name, kind)
    x, _ = batch(net)
    activities = RULES[name].for_net(net, seed=0).activities(net, x)
    assert list(activities) == list(net.layers)
    for activity, layer in zip(activities.values(), net.layers.values(), strict=True):
        assert activity.shape == (len(x), *layer.out_shape)
        assert activity.isfinite().all()


@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_works_in_single_precision(name, kind):
    net = net_for(name, kind).float()
    for parameter_name, gradient in credit_of(name, net).items():
        assert gradient.dtype == torch.float32, parameter_name
        assert gradient.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", SUPERVISED)
def test_learns_what_a_readout_alone_cannot(name):
    """Exclusive-or of two signs is even, and a tanh layer without biases is odd: at first no readout can do it.

    (A sigmoid layer is odd but for a constant.) Training all layers has to beat training the readout alone, so hidden
    layers must learn the task.
    """
    how = {"steps": 300, "learning_rate": 0.03, "inputs": 2, "hidden": 10, **EXCLUSIVE_OR.get(name, {})}

    def train(name, layers, seed):
        activation = activation_of(RULES[name], "tanh")
        inputs, hidden = how["inputs"], (how["hidden"],)
        net = mlp(2, input_shape=(inputs,), hidden=hidden, activation=activation, seed=seed).double()
        x, y = exclusive_or(seed=seed, inputs=inputs)
        rule = RULES[name].for_net(net, seed=seed + 1, **SETTINGS.get(name, {}))
        parameters = [p for layer in list(net.layers.values())[layers] for p in layer.parameters()]
        optimizer = torch.optim.Adam([*parameters, *rule.parameters()], lr=how["learning_rate"])
        generator = noise(seed)
        losses = [float(rule.step(net, optimizer, x, y, cross_entropy, generator).loss) for _ in range(how["steps"])]
        *_, output = rule.activities(net, x).values()
        return losses[0], losses[-1], float((output.argmax(1) == y).double().mean())

    for seed in range(2):
        first, last, accuracy = train(name, slice(None), seed)
        _, readout_loss, readout_accuracy = train("backprop", slice(-1, None), seed)
        assert last < 0.4 * first
        assert last < 0.4 * readout_loss
        assert accuracy > 0.9
        assert readout_accuracy < 0.75


@pytest.mark.parametrize("name", RULES)
def test_a_network_that_the_rule_is_not_defined_for_is_refused(name):
    needs = RULES[name].needs
    for activation in set(ACTIVATIONS) - set(needs.activations):
        with pytest.raises(InputError, match=f"needs hidden units .* 'fc1' has {activation}; build"):
            RULES[name].for_net(small_mlp(activation), seed=0)
    if not needs.convolutions:
        with pytest.raises(
            InputError, match=r"fully connected layers, but 'conv1' is a convolution; use networks\.mlp"
        ):
            RULES[name].for_net(small_convnet(needs.activations[0]), seed=0)


@pytest.mark.parametrize(("name", "kind"), kinds(GRADIENT))
def test_everything_stays_on_the_networks_device(name, kind):
    """On torch's meta device, which has shapes and no numbers: whatever is made elsewhere does not go together with it."""
    net = net_for(name, kind)
    x, y = batch(net)
    rule = RULES[name].for_net(net, seed=0)
    net.to("meta"), rule.to("meta")
    credit = rule.assign_credit(net, x.to("meta"), y.to("meta"), cross_entropy, noise())
    assert credit.loss.device.type == "meta"
    for parameter_name, parameter in [*net.named_parameters(), *rule.named_parameters()]:
        assert parameter.grad.device.type == "meta", parameter_name
    assert all(activity.device.type == "meta" for activity in rule.activities(net, x.to("meta")).values())


@pytest.mark.parametrize("name", RULES)
def test_an_unknown_setting_is_refused_and_real_ones_are_named(name):
    net = net_for(name, "mlp")
    with pytest.raises(InputError, match=r"unknown setting of \w+ 'wibble'") as error:
        RULES[name].for_net(net, seed=0, wibble=1)
    for not_a_setting in ("args", "kwargs", "self"):
        assert not_a_setting not in str(error.value)
        with pytest.raises(InputError, match=f"unknown setting of .* '{not_a_setting}'"):
            RULES[name].for_net(net, seed=0, **{not_a_setting: 1})


def test_a_misspelt_setting_gets_the_nearest_one():
    with pytest.raises(InputError, match="'sigm'; did you mean 'sigma'"):
        RULES["node_perturbation"].for_net(small_mlp(), seed=0, sigm=0.1)


@pytest.mark.parametrize("name", RULES)
def test_a_net_without_open_layers_is_refused(name):
    with pytest.raises(InputError, match=r"needs a LayeredNet .* but got Sequential"):
        RULES[name].for_net(nn.Sequential(nn.Linear(3, 2)), seed=0)
