"""What identifies a model, and which of its layers are looked at."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from problems import dataset, image_model, images, preprocess
from torch import nn

from neurocompare.controls import CONTROLS
from neurocompare.errors import InputError
from neurocompare.model import Model, leaf_layers
from neurocompare.probe import probe
from neurocompare.rules import RULES
from neurocompare.stimuli import StimulusSet


def test_the_fingerprint_follows_weights_buffers_and_the_rule():
    def made(net, rule=None):
        return Model("m", net, (), preprocess(), rule=rule).fingerprint()

    net = image_model().net
    base = made(net)
    assert made(image_model().net) == base
    assert made(image_model(seed=1).net) != base
    first, other = (RULES["feedback_alignment"].for_net(net, seed=seed) for seed in (0, 1))
    assert len({base, made(net, first), made(net, other)}) == 3
    with torch.no_grad():
        net.layers["fc1"].bias[0] += 1e-6
    assert made(net) != base
    norm = nn.BatchNorm2d(3)
    before = made(norm)
    norm.running_mean[1] = 0.5
    assert made(norm) != before


def test_describe_holds_what_tells_models_apart():
    model = image_model(seed=3)
    description = model.describe()
    assert description["model"] == "toy"
    assert description["seed"] == 3
    assert description["weights_sha256"] == model.fingerprint()
    assert description["preprocess"] == model.preprocess.describe()


def test_leaf_layers_leave_out_what_computes_nothing():
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 2, 1), act=nn.ReLU(), drop=nn.Dropout()))
    net = nn.Sequential(OrderedDict(block=block, same=nn.Identity(), flat=nn.Flatten(), head=nn.Linear(2, 2)))
    assert leaf_layers(net) == ("block.conv", "block.act", "head")


def test_a_submodule_beyond_the_models_layers_may_be_chosen():
    net = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 2, 1), b=nn.ReLU(), c=nn.Flatten()))
    model = Model("m", net, ("a",), preprocess())
    assert model.choose(None) == ("a",)
    assert model.choose(["c", "a"]) == ("a", "c")
    assert model.choose(["*"]) == ("a",)
    with pytest.raises(InputError, match="unknown layer of 'm' 'd'"):
        model.choose(["d"])


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_leave_the_network_alone(name):
    model = image_model()
    before = model.fingerprint()
    control = CONTROLS[name].make(model.net, model.preprocess, 5)
    assert control.name == name == CONTROLS[name].name
    assert model.fingerprint() == before
    shown = images(6, side=10)
    stimuli = StimulusSet(shown.name, shown.ids, shown.open, pd.DataFrame({"animal": np.arange(6) % 2}, shown.ids))
    refused = {"silhouette": "background", "cochleagram_mean": "needs sounds", "spectrotemporal": "needs sounds"}
    if name in refused:
        with pytest.raises(InputError, match=refused[name]):
            probe(control, stimuli)
    else:
        layers = probe(control, stimuli)
        assert all(layer.ids == stimuli.ids and layer.n_features for layer in layers.values())
    assert model.fingerprint() == before


def test_labels_are_shuffled_in_the_training_split_alone_and_by_the_seed():
    data = dataset()
    shuffle = CONTROLS["shuffled_labels"].trained_on
    first, again, other = shuffle(data, 0), shuffle(data, 0), shuffle(data, 1)
    np.testing.assert_array_equal(np.bincount(first.train.labels), np.bincount(data.train.labels))
    assert 0.2 < (first.train.labels == data.train.labels).mean() < 0.5  # three classes: a third by chance
    np.testing.assert_array_equal(first.train.labels, again.train.labels)
    assert (first.train.labels != other.train.labels).any()
    assert first.train.inputs is data.train.inputs
    assert first.test is data.test
    assert first.name != data.name


def test_permuted_weights_are_the_same_numbers_in_other_places():
    model = image_model()
    shuffled = CONTROLS["permuted_weights"].make(model.net, model.preprocess, 5)
    for name, parameter in model.net.named_parameters():
        other = shuffled.net.get_parameter(name)
        assert torch.equal(parameter.flatten().sort().values, other.flatten().sort().values)
        if name.endswith("weight"):
            assert not torch.equal(parameter, other)
    again = CONTROLS["permuted_weights"].make(model.net, model.preprocess, 5)
    assert again.fingerprint() == shuffled.fingerprint()
    assert CONTROLS["permuted_weights"].make(model.net, model.preprocess, 6).fingerprint() != shuffled.fingerprint()
