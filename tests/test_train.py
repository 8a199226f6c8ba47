"""Training is reproducible, comes back from its folder whole, and refuses what does not fit."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from problems import CLASSES, activation_of, dataset
from settings import EPOCHS

from neurocompare.dataset import Split, image_dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import sha256_of
from neurocompare.losses import squared_error
from neurocompare.networks import convnet, mlp
from neurocompare.rules import RULES
from neurocompare.train import RECORD, WEIGHTS, Run, accuracy, outputs, scaler, train


def small_net(seed=0, n_classes=CLASSES, input_shape=(3, 6, 6)):
    return convnet(n_classes, input_shape=input_shape, channels=(4,), hidden=(6,), seed=seed)


def net_of(name, seed=0):
    """``small_net``, or what comes closest to it among the networks that the rule is defined for."""
    rule = RULES[name]
    activation = activation_of(rule, "relu")
    if rule.needs.convolutions:
        return convnet(CLASSES, input_shape=(3, 6, 6), channels=(4,), hidden=(6,), activation=activation, seed=seed)
    return mlp(CLASSES, input_shape=(3, 6, 6), hidden=(16, 6), activation=activation, seed=seed)


def trained(name="backprop", *, seed=0, net_seed=0, rule_seed=0, **settings):
    net = net_of(name, net_seed)
    settings = {"epochs": 2, "batch_size": 20, **settings}
    return train(net, RULES[name].for_net(net, seed=rule_seed), dataset(), seed=seed, **settings)


def weights(run):
    return [value for module in (run.net, run.rule) for value in module.state_dict().values()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("name", RULES)
def test_equal_seeds_train_equal_weights(name):
    first = trained(name)
    torch.manual_seed(12345)
    np.random.default_rng(3)
    assert equal(first, trained(name))
    assert trained(name).record == first.record
    assert not equal(first, trained(name, seed=1))


@pytest.mark.parametrize("name", RULES)
def test_training_lowers_the_loss_and_moves_every_layer(name):
    net = net_of(name)
    before = [p.detach().clone() for p in net.parameters()]
    epochs = EPOCHS.get(name, 20)
    run = train(net, RULES[name].for_net(net, seed=0), dataset(), epochs=epochs, batch_size=20, learning_rate=0.02)
    assert run.net is net
    assert not net.training
    per_epoch = run.record["loss_per_epoch"]
    assert len(per_epoch) == epochs
    assert per_epoch[-1] < 0.7 * per_epoch[0]
    assert run.record["test_accuracy"] > 0.6  # chance is 1/3
    assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_one_epoch_is_the_steps_that_it_says():
    """The same order of data and the same optimizer, step by step."""
    run = trained(epochs=2, batch_size=50, learning_rate=0.01, optimizer=torch.optim.SGD, loss=squared_error, seed=4)
    net, data, losses = small_net(), dataset(), []
    order = np.random.default_rng(4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        permutation = order.permutation(120)
        for rows in (permutation[:50], permutation[50:100]):  # the last 20 do not fill a batch
            images = [Image.fromarray(data.train.inputs[i].transpose(1, 2, 0)) for i in rows]
            x = torch.from_numpy(np.stack([data.preprocess(image) for image in images]))
            target = torch.eye(3)[data.train.labels[rows]]
            loss = 0.5 * (net(x) - target).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    for found, expected in zip(run.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert run.record["loss_per_epoch"] == pytest.approx(np.reshape(losses, (2, 2)).mean(1), abs=2e-6)


def test_a_probe_sees_an_image_as_training_did():
    data, seen = dataset(), []

    class Watches(RULES["backprop"]):
        def assign_credit(self, net, x, y, loss, generator=None):
            seen.append((x.clone(), y))
            return super().assign_credit(net, x, y, loss, generator)

    net = small_net()
    run = train(net, Watches.for_net(net, seed=0), data, epochs=1, batch_size=120)
    model = run.model()
    rows = np.random.default_rng(0).permutation(120)
    pictures = [Image.fromarray(data.train.inputs[row].transpose(1, 2, 0)) for row in rows]
    as_probed = np.stack([model.preprocess(picture) for picture in pictures])
    np.testing.assert_allclose(as_probed, seen[0][0].numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(data.train.labels[rows], seen[0][1].numpy())


def test_inputs_have_no_mean_and_unit_deviation_per_channel():
    data = dataset()
    x = data.train.inputs / 255
    np.testing.assert_allclose(data.preprocess.mean, x.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(data.preprocess.std, x.std((0, 2, 3)), atol=1e-6)


def test_a_double_precision_network_sees_inputs_in_double_precision():
    data, net = dataset(), small_net().double()
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (data.preprocess.mean, data.preprocess.std))
    x = torch.from_numpy((data.test.inputs / 255 - mean) / std)
    found = scaler(data.preprocess, torch.device("cpu"), torch.float64)(data.test.inputs)
    torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)
    assert scaler(data.preprocess, torch.device("cpu"))(data.test.inputs).dtype == torch.float32
    rule = RULES["backprop"].for_net(net, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(outputs(net, rule, data.test, data.preprocess)), net(x), rtol=1e-12, atol=1e-12
        )


def test_accuracy_by_hand():
    net, data = small_net(), dataset()
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (data.preprocess.mean, data.preprocess.std))
    x = torch.from_numpy((data.test.inputs / 255 - mean) / std).float()
    with torch.no_grad():
        expected = float((net(x).argmax(1).numpy() == data.test.labels).mean())
    for batch_size in (7, 1000):
        assert accuracy(
            net, RULES["backprop"].for_net(net, seed=0), data.test, data.preprocess, batch_size
        ) == pytest.approx(expected)


@pytest.mark.parametrize("name", RULES)
def test_a_run_comes_back_from_its_folder(tmp_path, name):
    settings = {"sigma": 0.02} if name == "node_perturbation" else {}
    net = net_of(name, 3)
    first = train(
        net,
        RULES[name].for_net(net, seed=7, **settings),
        dataset(),
        epochs=1,
        batch_size=40,
        learning_rate=0.003,
        seed=5,
    )
    first.save(tmp_path / "run")
    again = Run.load(tmp_path / "run")
    assert equal(first, again)
    assert again.preprocess == first.preprocess
    assert again.record == json.loads(json.dumps(first.record))
    assert again.record["rule_seed"] == 7
    assert again.record["rule_settings"] == settings
    assert again.model().fingerprint() == first.model().fingerprint()
    assert json.dumps(again.model().describe()) == json.dumps(first.model().describe())
    x = torch.randn(4, 3, 6, 6)
    for layer, activity in again.rule.activities(again.net, x).items():
        assert torch.equal(activity, first.rule.activities(first.net, x)[layer])
    if name == "node_perturbation":
        assert again.rule.sigma == 0.02


def test_what_a_rule_learnt_comes_back_too(tmp_path):
    """Not only what its seed would draw again."""
    run = trained("feedback_alignment", epochs=1)
    run.rule.feedback_readout.mul_(2)
    run.save(tmp_path)
    assert torch.equal(Run.load(tmp_path).rule.feedback_readout, run.rule.feedback_readout)


def test_weights_that_were_changed_are_refused_with_both_sums(tmp_path):
    run = trained(epochs=1)
    run.save(tmp_path)
    expected = sha256_of(tmp_path / WEIGHTS)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / WEIGHTS).write_bytes(content)
    found = sha256_of(tmp_path / WEIGHTS)
    with pytest.raises(DataUnavailable, match=f"expected sha256 {expected}, found {found}; delete the folder"):
        Run.load(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(DataUnavailable, match=f"expected sha256 {expected}, found no file"):
        Run.load(tmp_path)


def test_an_interrupted_save_is_no_run(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("disk full")

    # ``neurocompare.train`` is also the name of a function, so the module is found by name.
    monkeypatch.setattr(importlib.import_module("neurocompare.train"), "write_text", fails)
    with pytest.raises(OSError, match="disk full"):
        trained(epochs=1).save(tmp_path)
    assert not (tmp_path / RECORD).exists()
    with pytest.raises(DataUnavailable, match=r"holds no run: run\.json is missing"):
        Run.load(tmp_path)


def test_a_loss_that_stops_being_finite_is_told():
    with pytest.raises(
        InputError, match=r"backprop diverged: the loss is (nan|inf) after \d+ steps at .* 1e\+20; lower"
    ):
        trained(learning_rate=1e20, optimizer=torch.optim.SGD, epochs=5)


def test_data_that_do_not_fit_the_network_are_refused():
    data = dataset()
    for net, message in (
        (small_net(input_shape=(3, 8, 8)), r"takes inputs of shape \(3, 8, 8\), but 'channels' has \(3, 6, 6\)"),
        (small_net(n_classes=5), "has 5 outputs, but 'channels' has 3 classes"),
    ):
        with pytest.raises(InputError, match=message):
            train(net, RULES["backprop"].for_net(net, seed=0), data)
    for batch_size in (0, 121):
        with pytest.raises(InputError, match=f"from 1 to the 120 training items, but is {batch_size}"):
            trained(batch_size=batch_size)


def test_a_split_needs_a_label_for_each_input():
    with pytest.raises(InputError, match="has 3 inputs and 2 labels"):
        Split(np.zeros((3, 1, 2, 2), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="0 inputs and 0 labels"):
        Split(np.zeros((0, 1, 2, 2), np.uint8), np.zeros(0, np.int64))


def test_the_first_items_of_a_dataset():
    data = dataset().first(30)
    assert len(data.train) == 30
    assert len(data.test) == 30
    np.testing.assert_array_equal(data.test.inputs, dataset().test.inputs[:30])
    np.testing.assert_array_equal(data.train.inputs, dataset().train.inputs[:30])


def test_training_leaves_the_data_alone():
    data = dataset()
    before = data.train.inputs.copy()
    trained(epochs=1)
    np.testing.assert_array_equal(data.train.inputs, before)


def test_progress_counts_steps():
    seen = []

    def track(items, description, total):
        for item in items:
            seen.append((description, total))
            yield item

    trained(track=track, seed=2)
    assert seen == [("train backprop seed 2", 12)] * 12


def test_a_grey_dataset_trains():
    data = dataset()
    grey = [Split(s.inputs[:, :1], s.labels) for s in (data.train, data.test)]
    made = image_dataset("grey", *grey, data.classes, citation="", licence="")
    net = small_net(input_shape=(1, 6, 6))
    run = train(net, RULES["backprop"].for_net(net, seed=0), made, epochs=1, batch_size=40)
    picture = Image.fromarray(made.train.inputs[0, 0])
    expected = (made.train.inputs[0] / 255 - made.preprocess.mean[0]) / made.preprocess.std[0]
    np.testing.assert_allclose(run.model().preprocess(picture), expected, rtol=1e-5, atol=1e-6)
    assert replace(made, name="other").input_shape == (1, 6, 6)
