"""Several tasks at once: labels that stand for a class in each, and losses summed over tasks against autograd."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import activation_of, dataset
from settings import EPOCHS
from torch.nn import functional

from neurocompare.dataset import SoundTask, Tasks
from neurocompare.errors import InputError
from neurocompare.losses import LOSSES, cross_entropy, over_tasks
from neurocompare.networks import mlp
from neurocompare.rules import RULES
from neurocompare.stimuli import StimulusSet
from neurocompare.train import Run, accuracies, train

TASKS = Tasks(("word", "voice"), (3, 2), ((0, 0), (1, 1), (2, -1), (-1, 0), (0, 1)))


def sounds(labels):
    return SoundTask("toy", StimulusSet("toy", tuple(labels), str), tuple(labels)[:-1], tuple(labels)[-1:], labels, 2.0,
                     "nobody", "none")  # fmt: skip


def test_labels_stand_for_a_class_in_each_task():
    labels = {"a": {"word": "two", "voice": "ann"}, "b": {"word": "one", "voice": "bob"}, "c": {"noise": "dog"}}
    classes, tasks, codes = sounds(labels | {"d": {"word": "two", "voice": "ann"}}).encoded()
    assert tasks.names == ("word", "voice", "noise")
    assert tasks.sizes == (2, 2, 1)
    assert tasks.starts == (0, 2, 4)
    meaning = {name: tasks.meanings[code] for name, code in codes.items()}
    assert meaning == {"a": (1, 0, -1), "b": (0, 1, -1), "c": (-1, -1, 0), "d": (1, 0, -1)}
    assert classes[codes["a"]] == "two ann"
    assert classes[codes["c"]] == "dog"


def test_one_task_needs_no_codes():
    classes, tasks, codes = sounds({"a": {"word": "two"}, "b": {"word": "one"}}).encoded()
    assert (classes, tasks, codes) == (("one", "two"), None, {"a": 1, "b": 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ("a",)}, "1 sounds are in both splits"),
        ({"labels": {"a": {"word": "x"}}}, r"1 sounds have no label \(first: 'b'\)"),
    ],
)
def test_what_cannot_be_learnt_is_refused(change, message):
    task = sounds({"a": {"word": "two"}, "b": {"word": "one"}})
    with pytest.raises(InputError, match=message):
        replace(task, **change)


@pytest.mark.parametrize("name", LOSSES)
def test_the_sum_over_tasks_by_hand_and_by_autograd(name):
    single, loss = LOSSES[name], over_tasks(LOSSES[name], TASKS)
    output = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.arange(5)
    expected = []
    for row, meaning in enumerate(TASKS.meanings):
        parts = [output[row : row + 1, :3], output[row : row + 1, 3:]]
        each = [single.per_sample(p, torch.tensor([k])) for p, k in zip(parts, meaning, strict=True) if k >= 0]
        expected.append(torch.stack(each).sum())
    found = loss.per_sample(output, labels)
    torch.testing.assert_close(found, torch.stack(expected))
    (gradient,) = torch.autograd.grad(found.sum(), output)
    torch.testing.assert_close(loss.error(output, labels), gradient)
    torch.testing.assert_close(
        loss.prediction(output), torch.cat([single.prediction(output[:, :3]), single.prediction(output[:, 3:])], 1)
    )
    if name == "cross_entropy":
        torch.testing.assert_close(loss.prediction(output)[:, :3], functional.softmax(output[:, :3], 1))


def test_accuracy_of_each_task_counts_only_what_has_a_label_in_it():
    said = np.zeros((5, 5))
    said[:, 0] = said[:, 4] = 1  # always word 0, voice 1
    assert accuracies(said, np.arange(5), TASKS) == {"word": 2 / 4, "voice": 2 / 4}


def two_tasks():
    """The toy images by class, and by which half of the classes; some items have but one label."""
    meanings = tuple(itertools.product(range(3), (0, 1))) + tuple((k, -1) for k in range(3))
    data = dataset()

    def split(part):
        half = (part.labels > 0).astype(np.int64)
        codes = np.where(np.arange(len(part)) % 4 == 0, 6 + part.labels, 2 * part.labels + half)
        return replace(part, labels=codes)

    tasks = Tasks(("class", "half"), (3, 2), meanings)
    names = tuple(map(str, meanings))
    return replace(data, train=split(data.train), test=split(data.test), classes=names, tasks=tasks)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_learns_two_tasks_or_says_that_it_cannot(name, tmp_path):
    data, rule = two_tasks(), RULES[name]
    net = mlp(data.n_outputs, input_shape=data.input_shape, hidden=(16, 8), activation=activation_of(rule, "relu"))
    credit = rule.for_net(net, seed=0)
    settings = {"epochs": EPOCHS.get(name, 20), "batch_size": 20, "learning_rate": 0.02}
    if not rule.needs.several_tasks:
        with pytest.raises(InputError, match=f"{name} learns one task at a time, but .* has class, half"):
            train(net, credit, data, **settings)
        return
    run = train(net, credit, data, **settings)
    assert run.record["loss"] == "cross_entropy over class, half"
    each = run.record["test_accuracy_by_task"]
    assert each["class"] > 0.55  # chance is 1/3
    assert each["half"] > 0.7  # the larger half is 2/3
    assert run.record["test_accuracy"] == pytest.approx(np.mean(list(each.values())), abs=1e-6)
    if name == "backprop":
        run.save(tmp_path)
        assert Run.load(tmp_path).record["test_accuracy_by_task"] == each


def test_one_task_is_the_plain_loss():
    tasks = Tasks(("only",), (3,), ((0,), (1,), (2,)))
    output, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(over_tasks(cross_entropy, tasks)(output, labels), cross_entropy(output, labels))
