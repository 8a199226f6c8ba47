"""Networks are what their description says, every time."""

from __future__ import annotations

import json
import math

import pytest
import torch
from problems import batch

from neurocompare.errors import InputError
from neurocompare.networks import ARCHITECTURES, Conv, build, convnet, kell2018, mlp
from neurocompare.networks.architectures import READOUT_SCALE

SMALL = {
    "convnet": {"n_classes": 4, "input_shape": (2, 9, 8), "channels": (3, 5), "hidden": (6,), "activation": "tanh"},
    "kell2018": {"n_classes": 4, "input_shape": (1, 14, 20), "width": 0.05, "activation": "tanh"},
    "mlp": {"n_classes": 4, "input_shape": (2, 3), "hidden": (6, 5), "activation": "sigmoid"},
}


def equal(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_spec_through_json_builds_the_same_weights(name):
    net = ARCHITECTURES[name](**SMALL[name], seed=7)
    again = build(json.loads(json.dumps(net.spec)))
    assert list(again.layers) == list(net.layers)
    assert equal(again, net)
    x, _ = batch(net)
    torch.testing.assert_close(again(x), net(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_seed_alone_decides_the_weights(name):
    torch.manual_seed(0)
    first = ARCHITECTURES[name](**SMALL[name], seed=7)
    torch.manual_seed(1)
    assert equal(ARCHITECTURES[name](**SMALL[name], seed=7), first)
    other = ARCHITECTURES[name](**SMALL[name], seed=8)
    assert not any(torch.equal(a.weight, b.weight) for a, b in zip(other.children(), first.children(), strict=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_unit_can_be_reached(name):
    net = ARCHITECTURES[name](**SMALL[name], seed=0)
    x, _ = batch(net)
    assert net.in_shape == SMALL[name]["input_shape"]
    assert net(x).shape == (5, 4)
    assert net.n_outputs == 4
    assert [layer.activation.name for layer in net.layers.values()][-1] == "identity"


def test_initial_weights_have_the_variance_that_is_documented():
    for name, layer in mlp(300, input_shape=(400,), hidden=(350,), activation="tanh").layers.items():
        expected = layer.activation.gain**2 / layer.weight.shape[1]
        if name == "readout":  # starts small, so that all classes are about equally likely
            expected *= READOUT_SCALE**2
        n = layer.weight.numel()
        assert layer.weight.detach().square().mean() / expected == pytest.approx(1, abs=5 * math.sqrt(2 / n))
        assert not layer.bias.any()
    kernel = convnet(channels=(64, 128)).layers["conv2"].weight.detach()
    assert kernel.square().mean() / (2 / (64 * 9)) == pytest.approx(1, abs=5 * math.sqrt(2 / kernel.numel()))


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(InputError, match="unknown architecture 'convnt'; did you mean 'convnet'"):
        build({"architecture": "convnt"})
    with pytest.raises(InputError, match="unknown activation 'rely'; did you mean 'relu'"):
        mlp(activation="rely")
    with pytest.raises(InputError, match="unknown activation 'swish'; there are: identity, relu, sigmoid, tanh"):
        convnet(activation="swish")
    with pytest.raises(InputError, match=r"'mlp' cannot be built .*unexpected keyword argument 'channels'"):
        build({"architecture": "mlp", "channels": [3]})
    with pytest.raises(InputError, match="unknown architecture ''"):
        build({})


def test_an_input_too_small_for_the_kernel_is_refused():
    with pytest.raises(InputError, match=r"3 x 3 convolution .* got \(3, 2, 8\); use fewer convolutions or larger"):
        Conv((3, 2, 8), 4, "relu", padding=0)
    with pytest.raises(InputError, match="use fewer convolutions or larger images"):
        convnet(input_shape=(3, 0, 8))


def test_kell2018_has_the_layers_of_the_paper():
    """Kell et al. 2018, Methods: channels and kernels; the stride of a convolution times that of the pooling after it."""
    net = kell2018(587, input_shape=(1, 256, 256))
    convs = [layer for layer in net.layers.values() if isinstance(layer, Conv)]
    assert [tuple(layer.weight.shape) for layer in convs] == [
        (96, 1, 9, 9),
        (256, 96, 5, 5),
        (512, 256, 3, 3),
        (1024, 512, 3, 3),
        (512, 1024, 3, 3),
    ]
    assert [layer.stride for layer in convs] == [3 * 2, 2 * 2, 1, 1, 1 * 2]
    assert net.layers["fc1"].out_shape == (1024,)
