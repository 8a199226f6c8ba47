"""Feedback rules on modules that are not layered networks: a residual network, and layered ones written as Sequential."""

from __future__ import annotations

import pytest
import torch
from problems import batch, small_convnet, small_mlp
from torch import nn
from torch.nn import functional

from neurocompare import zoo
from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import Conv
from neurocompare.rules import RULES

FEEDBACK = ["backprop", "feedback_alignment", "sign_symmetry", "kolen_pollack", "weight_mirror"]


class Residual(nn.Module):
    """Grouped, strided and dilated convolutions, norms, an identity path, and a weight that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding="same", groups=2), nn.BatchNorm2d(8), nn.Tanh())
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = torch.relu(self.norm(self.stem(x)))
        h = h + self.block(h)
        h = h + functional.conv2d(torch.tanh(self.dilated(h)), self.dilated.weight, padding=2, dilation=2)
        return self.head(h.mean((2, 3)))


def problem():
    torch.manual_seed(0)
    net = Residual().double()
    return net, torch.randn(6, 3, 9, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])


def by_autograd(net, x, y):
    found = torch.autograd.grad(functional.cross_entropy(net(x), y), list(net.parameters()))
    return dict(zip(dict(net.named_parameters()), found, strict=True))


def credited(rule, net, x, y):
    rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def test_backprop_attached_is_autograd():
    net, x, y = problem()
    expected = by_autograd(net, x, y)
    rule = RULES["backprop"].attach(net, seed=0)
    credited(rule, net, x, y)
    for name, gradient in credited(rule, net, x, y).items():  # gradients do not add up over calls
        torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-14)


def test_uniform_signs_are_backprop_where_weights_have_one_magnitude():
    net, x, y = problem()
    rule = RULES["sign_symmetry"].attach(net, seed=0, magnitudes="uniform")
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.copy_(module.weight.sign() * rule.get_buffer(f"magnitude_{name.replace('.', '/')}"))
    expected = by_autograd(net, x, y)
    for name, gradient in credited(rule, net, x, y).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-11, atol=1e-13)


def as_sequential(net):
    modules = []
    for layer in net.layers.values():
        if isinstance(layer, Conv):
            modules.append(nn.Conv2d(layer.in_shape[0], layer.out_shape[0], 3, layer.stride, layer.padding).double())
        else:
            modules += [nn.Flatten(), nn.Linear(layer.weight.shape[1], layer.weight.shape[0]).double()]
        modules[-1].load_state_dict(layer.state_dict())
        modules.append(nn.Tanh())
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("make", [small_mlp, small_convnet])
@pytest.mark.parametrize("name", [*FEEDBACK, "direct_feedback_alignment"])
def test_an_attached_rule_is_the_layered_one_on_the_same_network(name, make):
    net = make("tanh")
    x, y = batch(net)
    other = as_sequential(net)
    layered = RULES[name].for_net(net, seed=0)
    direct = {"example": x} if name == "direct_feedback_alignment" else {}
    attached = RULES[name].attach(other, seed=1, **direct)
    weighted = [key for key, module in other.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for key, value in layered.state_dict().items():
            kind, layer = key.split("_", 1)
            # Direct feedback is named by the layer that is served, elsewhere by the layer above.
            position = list(net.layers).index(layer) + bool(direct)
            attached.state_dict()[f"{kind}_{weighted[position]}"].copy_(value)
    layered.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
    found = list(credited(attached, other, x, y).values())
    for gradient, parameter in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", [*FEEDBACK[1:], "direct_feedback_alignment"])
def test_a_resnet_learns_with_its_norms_and_residuals_intact(name):
    net = zoo.load_model("resnet18", pretrained=False).net
    x, y = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    direct = {"example": x} if name == "direct_feedback_alignment" else {}
    rule = RULES[name].attach(net.train(), seed=0, **direct)
    keys = list(net.state_dict())
    expected = by_autograd(net, x, y)
    net.bn1.running_mean.zero_()
    found = credited(rule, net, x, y)
    assert net.bn1.running_mean.abs().max() > 0  # training mode was kept
    assert list(net.state_dict()) == keys
    torch.testing.assert_close(found["fc.weight"], expected["fc.weight"], rtol=1e-3, atol=1e-5)
    for hidden in ("conv1.weight", "layer2.0.conv1.weight", "layer4.1.bn1.weight"):
        cosine = functional.cosine_similarity(found[hidden].flatten(), expected[hidden].flatten(), dim=0)
        assert found[hidden].isfinite().all()
        assert found[hidden].norm() > 0
        assert cosine < 0.99, hidden
    before = net.conv1.weight.detach().clone()
    optimizer = torch.optim.SGD([*net.parameters(), *rule.parameters()], lr=0.01)
    rule.step(net, optimizer, x, y, cross_entropy, torch.Generator().manual_seed(0))
    assert not torch.equal(before, net.conv1.weight)


def test_kolen_pollack_mirrors_the_steps_of_an_attached_network():
    net, x, y = problem()
    rule = RULES["kolen_pollack"].attach(net, seed=0, decay=0.05)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    difference = net.block[0].weight.detach() - rule.get_buffer("feedback_block/0")
    for _ in range(3):
        rule.step(net, optimizer, x, y, cross_entropy)
    now = net.block[0].weight.detach() - rule.get_buffer("feedback_block/0")
    torch.testing.assert_close(now, 0.95**3 * difference, rtol=1e-10, atol=1e-12)


def test_what_cannot_be_attached_says_why():
    with pytest.raises(InputError, match="needs linear or convolutional layers, but ReLU has none"):
        RULES["feedback_alignment"].attach(nn.ReLU(), seed=0)
    with pytest.raises(InputError, match="pass example=, a batch of inputs"):
        RULES["direct_feedback_alignment"].attach(Residual(), seed=0)
    with pytest.raises(InputError, match="unknown setting of KolenPollack 'decai'; did you mean 'decay'"):
        RULES["kolen_pollack"].attach(Residual(), seed=0, decai=0.1)
