"""Probing any torch module within a memory budget gives what holding all features would give."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import image_model, images, preprocess
from torch import nn

from neurocompare.errors import InputError
from neurocompare.model import Given, Model
from neurocompare.networks import convnet
from neurocompare.probe import plan, probe
from neurocompare.representation import Representation, gram_and_sums
from neurocompare.rules import RULES
from neurocompare.stimuli import ImagePreprocess, StimulusSet

KIB = 2**10


def inputs(stimuli, side=10):
    return torch.from_numpy(np.stack([preprocess(side)(stimuli.open(i)) for i in stimuli.ids]))


def model_of(net, *layers, **arguments):
    return Model("m", net, layers, preprocess(), **arguments)


def assert_same(found, expected, rtol=1e-6):
    scale = np.abs(expected.gram).max()
    assert found.ids == expected.ids
    assert found.n_features == expected.n_features
    np.testing.assert_allclose(found.gram, expected.gram, rtol=rtol, atol=rtol * scale)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=rtol, atol=rtol * np.abs(expected.sums).max())


def test_each_layer_is_the_gram_matrix_of_its_activity():
    model, stimuli = image_model(), images(24)
    found = probe(model, stimuli, batch_size=7)
    with torch.no_grad():
        activities = model.net.activities(inputs(stimuli))
    assert list(found) == list(model.layers)
    for layer, activity in activities.items():
        assert_same(found[layer], Representation.from_features(layer, stimuli.ids, activity.numpy()))


def room_for(columns, batch_size=24):
    """A budget in which one pass over 24 stimuli can collect so many features of ``image_model``."""
    grams, slices, activity = 8 * 24 * 24 * 5, 8 * 24 * 4096, 4 * batch_size * 165
    return grams + slices + activity + 4 * 24 * columns


@pytest.mark.parametrize("columns", [1, 30, 1000])
@pytest.mark.parametrize("batch_size", [5, 24])
def test_many_passes_give_what_one_gives(columns, batch_size):
    model, stimuli = image_model(), images(24)
    layers, memory = list(model.layers), room_for(columns, batch_size)
    whole, sliced = plan(model, stimuli, layers), plan(model, stimuli, layers, memory=memory, batch_size=batch_size)
    assert len(whole.passes) == 1
    assert len(sliced.passes) == -(-165 // columns)
    if columns < 100:
        cut = [piece.layer for part in sliced.passes for piece in part]
        assert len(cut) > len(set(cut))  # some layer is collected in several passes
    one_pass, many = probe(model, stimuli), probe(model, stimuli, memory=memory, batch_size=batch_size)
    for layer in layers:
        assert_same(many[layer], one_pass[layer])


@pytest.mark.parametrize("memory", [room_for(1), room_for(50), 2**30])
def test_a_plan_covers_every_feature_once_and_keeps_to_the_budget(memory):
    model, stimuli = image_model(), images(24)
    steps = plan(model, stimuli, model.layers, memory=memory)
    assert steps.widths == {"conv1": 4 * 25, "conv2": 6 * 9, "fc1": 8, "readout": 3}
    for layer, width in steps.widths.items():
        covered = [i for part in steps.passes for p in part if p.layer == layer for i in range(p.start, p.stop)]
        assert covered == list(range(width))
    for part in steps.passes:
        assert len({piece.layer for piece in part}) == len(part)
    assert steps.peak_bytes <= memory
    widest = max(sum(p.stop - p.start for p in part) for part in steps.passes)
    n, total = 24, sum(steps.widths.values())
    grams, slices, activity = 8 * n * n * 5, 8 * n * 4096, 4 * steps.batch_size * total
    assert steps.peak_bytes == grams + slices + activity + 4 * n * widest


def test_a_budget_too_small_for_the_gram_matrices_is_refused():
    with pytest.raises(InputError, match=r"probing 4 layers over 24 stimuli needs more than .* MiB .* budget is 0 MiB"):
        plan(image_model(), images(24), image_model().layers, memory=100 * KIB)


def test_a_batch_is_no_larger_than_asked_for_and_than_the_set():
    model, stimuli = image_model(), images(24)
    assert plan(model, stimuli, model.layers, batch_size=64).batch_size == 24
    assert plan(model, stimuli, model.layers, batch_size=10).batch_size == 10


def test_batches_shrink_until_their_activity_takes_a_quarter_of_the_budget():
    class Wide(nn.Module):
        def forward(self, x):
            return x.flatten(1).repeat(1, 1000)

    model, memory = model_of(nn.Sequential(OrderedDict(wide=Wide())), "wide"), 16 * 2**20
    steps = plan(model, images(24), ["wide"], memory=memory)
    assert steps.widths == {"wide": 300_000}
    assert steps.batch_size == 3
    assert 4 * 3 * 300_000 <= memory / 4 < 4 * 4 * 300_000
    assert steps.peak_bytes <= memory


def test_the_plan_is_told_before_it_starts(caplog):
    with caplog.at_level(logging.INFO, logger="neurocompare.probe"):
        probe(image_model(), images(24), ["conv*"])
    assert "probing 2 layers (154 features) over 24 stimuli: 1 pass in batches of 24, about 1 MiB" in caplog.text


def test_progress_counts_batches_of_every_pass():
    seen = []

    def track(items, description, total):
        for item in items:
            seen.append((description, total))
            yield item

    probe(image_model(), images(24), memory=room_for(40, 10), batch_size=10, track=track)
    steps = plan(image_model(), images(24), image_model().layers, memory=room_for(40, 10), batch_size=10)
    n = len(steps.passes)
    assert n == 5
    assert seen == [(f"probe toy {i}/{n}", 3) for i in range(1, n + 1) for _ in range(3)]


def test_activity_is_caught_before_the_next_module_overwrites_it():
    torch.manual_seed(0)
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(inplace=True), last=nn.Conv2d(4, 2, 3)))
    stimuli = images(24)
    found = probe(model_of(net, "conv", "relu"), stimuli)
    with torch.no_grad():
        before = net.conv(inputs(stimuli))
    assert (before < 0).any()
    assert_same(found["conv"], Representation.from_features("conv", stimuli.ids, before.numpy()))
    assert_same(found["relu"], Representation.from_features("relu", stimuli.ids, before.clamp(min=0).numpy()))


class Returns(nn.Module):
    """Applies a function to the flattened input; its output may be anything."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.flatten(1))


@pytest.mark.parametrize("kind", [tuple, list])
def test_the_first_of_several_outputs_is_taken(kind):
    net = nn.Sequential(OrderedDict(two=Returns(lambda x: kind((2 * x, x[:, :3]))), end=Returns2()))
    stimuli = images(24)
    found = probe(model_of(net, "two"), stimuli)["two"]
    assert_same(found, Representation.from_features("two", stimuli.ids, 2 * inputs(stimuli).flatten(1).numpy()))


class Returns2(nn.Module):
    """Takes the first of what it gets."""

    def forward(self, outputs):
        return outputs[0]


def test_a_layer_that_returns_no_tensor_is_refused():
    net = nn.Sequential(OrderedDict(odd=Returns(lambda x: {"a": x})))
    with pytest.raises(InputError, match="layer 'odd' returns a dict, not a tensor"):
        probe(model_of(net, "odd"), images(24))


def test_a_layer_that_is_never_called_is_refused():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Flatten(), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    model = model_of(Skips(), "used", "unused")
    with pytest.raises(InputError, match="the forward pass of 'm' never calls layer 'unused'"):
        probe(model, images(24), ["u*"])
    assert list(probe(model, images(24))) == ["used"]  # where none is asked for, what is called is what there is


def test_of_a_module_that_is_called_twice_the_last_call_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.narrow = nn.ReLU(), nn.Linear(3, 2)

        def forward(self, x):
            return self.act(self.narrow(self.act(x.flatten(1)[:, :3])))

    model = model_of(Twice(), "act", "narrow")
    found = probe(model, images(24), batch_size=5)
    assert {name: r.n_features for name, r in found.items()} == {"act": 2, "narrow": 2}
    features = model.net(inputs(images(24))).detach().numpy()
    np.testing.assert_allclose(found["act"].gram, gram_and_sums(features)[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (None, ["conv1", "conv2", "fc1", "readout"]),
        (["conv*"], ["conv1", "conv2"]),
        (["readout", "conv2"], ["conv2", "readout"]),
        (["*1", "conv?"], ["conv1", "conv2", "fc1"]),
    ],
)
def test_layers_are_chosen_by_name_or_glob_in_network_order(patterns, expected):
    assert list(probe(image_model(), images(24), patterns)) == expected


def test_an_unknown_layer_gets_the_nearest_one():
    with pytest.raises(InputError, match="unknown layer of 'toy' 'conv3'; did you mean 'conv"):
        probe(image_model(), images(24), ["conv3"])
    with pytest.raises(InputError, match=r"unknown layer of 'toy' 'block\*'; there are: conv1, conv2, fc1, readout"):
        probe(image_model(), images(24), ["block*"])
    with pytest.raises(InputError, match="unknown layer of 'm' 'fc'; there are: 0"):
        model_of(nn.Sequential(nn.Flatten()), "fc")


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(3), drop=nn.Dropout(0.5), flat=nn.Flatten()))


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_statistics_are_left_as_they_were(training):
    net = normalised().train(training)
    net.drop.train(not training)  # a mixture of modes comes back as a mixture
    statistics = net.norm.running_mean.clone()
    probe(model_of(net, "flat"), images(24))
    assert [m.training for m in (net, net.norm, net.drop, net.flat)] == [training, training, not training, training]
    assert torch.equal(net.norm.running_mean, statistics)
    assert not any(m._forward_hooks for m in net.modules())


def test_modes_come_back_after_an_error():
    net = nn.Sequential(OrderedDict(odd=Returns(lambda x: None))).train()
    with pytest.raises(InputError, match="NoneType"):
        probe(model_of(net, "odd"), images(24))
    assert net.training
    assert net.odd.training
    assert not net.odd._forward_hooks


def test_probing_does_not_depend_on_the_mode_or_the_batch():
    """BatchNorm and dropout in training mode would make activity depend on both."""
    stimuli = images(24)
    first = probe(model_of(normalised().train(), "flat"), stimuli, batch_size=24)["flat"]
    assert_same(first, probe(model_of(normalised().eval(), "flat"), stimuli, batch_size=5)["flat"])
    with torch.no_grad():
        assert_same(
            first, Representation.from_features("flat", stimuli.ids, normalised().eval()(inputs(stimuli)).numpy())
        )


def test_an_eval_that_does_nothing_is_refused():
    class Stubborn(nn.Sequential):
        def train(self, mode=True):
            return self

    with pytest.raises(InputError, match=r"layer 'norm' of 'm' stays in training mode after eval\(\)"):
        probe(model_of(Stubborn(OrderedDict(norm=nn.BatchNorm2d(3), flat=nn.Flatten())), "flat"), images(24))


def test_a_norm_without_running_statistics_is_refused():
    """It normalises by the batch in evaluation mode too, so a score would depend on the batch size."""
    net = nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(3, track_running_stats=False), flat=nn.Flatten()))
    with pytest.raises(InputError, match="layer 'norm' of 'm' has no running statistics"):
        probe(model_of(net, "flat"), images(24))


def test_inputs_of_the_wrong_shape_are_refused():
    net = convnet(3, input_shape=(3, 12, 12), channels=(4,), hidden=())
    with pytest.raises(InputError, match=r"'m' does not take inputs of shape \(1, 3, 10, 10\): .*; check its preproc"):
        probe(model_of(net, "conv1", "readout"), images(24))


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_activity_that_is_not_finite_is_refused():
    net = nn.Sequential(OrderedDict(log=Returns(lambda x: torch.log(x.clamp(min=0)))))
    with pytest.raises(InputError, match="'log' gives activity that is not finite for 24 of 24 stimuli"):
        probe(model_of(net, "log"), images(24))


def test_a_rule_that_settles_is_probed_by_its_own_inference():
    class Doubles(RULES["backprop"]):
        def activities(self, net, x):
            return {name: 2 * h for name, h in net.activities(x).items()}

    plain, stimuli = image_model(), images(24)
    rule = Doubles.for_net(plain.net, seed=0)
    settled = probe(Model("toy", plain.net, plain.layers, plain.preprocess, rule=rule), stimuli)
    for layer, representation in probe(plain, stimuli).items():
        np.testing.assert_allclose(settled[layer].gram, 4 * representation.gram, rtol=1e-6)


def test_no_gradient_is_kept():
    model = image_model()
    probe(model, images(24))
    assert all(p.grad is None and p.requires_grad for p in model.net.parameters())


def test_other_sizes_are_resized_by_the_preprocessing():
    stimuli = images(6, side=14)
    found = probe(image_model(), stimuli)["readout"]
    resized = StimulusSet("r", stimuli.ids, lambda i: stimuli.open(i).resize((10, 10), 3))
    assert_same(found, probe(image_model(), resized)["readout"])
    other = Model("toy", image_model().net, ("readout",), ImagePreprocess(10, 10))
    assert not np.allclose(probe(other, stimuli)["readout"].gram, found.gram, rtol=1e-2)


WIDE = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, torch
from collections import OrderedDict
from torch import nn
from problems import benchmark, preprocess, responses
from neurocompare.model import Given, Model
from neurocompare.score import score

class Widen(nn.Module):
    def forward(self, x):
        return torch.sin(x.flatten(1)[:, :200, None] * torch.arange(1, 1001)).flatten(1)

def peak():  # this program's alone: what getrusage calls maximal goes on from the parent's
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0])

data = benchmark(responses(640), "ridge", 640)
before = peak()
found = score(Model("wide", nn.Sequential(OrderedDict(wide=Widen())), ("wide",), preprocess()), data)
assert found.table()["n_features"].item() == 200_000
print(before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_width_of_a_layer():
    """200,000 features over 640 stimuli: 1 GB as float64, held whole; twice that with one copy."""
    code = WIDE.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    before, peak = (int(part) / 2**20 for part in done.stdout.split())  # Linux counts KiB
    assert peak < 1.5, f"{peak:.2f} GiB at most, {before:.2f} GiB before"
    assert peak - before < 0.75


def test_a_model_that_is_no_network_gives_what_it_has():
    stimuli = images(5)
    features = {"a": np.arange(10.0).reshape(5, 2), "b1": np.eye(5), "b2": np.ones((5, 3))}
    layers = {name: Representation.from_features(name, stimuli.ids, x) for name, x in features.items()}
    model = Given("table", lambda shown: {name: layer.select(shown.ids) for name, layer in layers.items()})
    assert probe(model, stimuli) == layers
    assert list(probe(model, stimuli, ["b*"])) == ["b1", "b2"]
    with pytest.raises(InputError, match="unknown layer of 'table' 'c'"):
        probe(model, stimuli, ["a", "c"])
    with pytest.raises(InputError, match="5 stimuli, but 1 others are asked for"):
        probe(model, images(6))
