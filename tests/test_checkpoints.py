"""A training that was broken off goes on as if it had not been, and networks can be looked at as they were on the way."""

from __future__ import annotations

import importlib
import json
import logging
from dataclasses import replace

import pytest
import torch
from problems import CLASSES, activation_of, dataset

from neurocompare.checkpoints import FIRST_LINE
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import sha256_of
from neurocompare.losses import squared_error
from neurocompare.networks import convnet, mlp
from neurocompare.rules import RULES
from neurocompare.train import RECORD, Run, train

# ``neurocompare.train`` is also the name of a function, so the module is found by name.
TRAIN = importlib.import_module("neurocompare.train")
STEPS = 6  # three in each of two epochs


class BrokenOffError(Exception):
    """What breaks training off."""


def net_of(name, **changes):
    rule = RULES[name]
    how = {"input_shape": (3, 6, 6), "hidden": (6,), "activation": activation_of(rule, "relu"), **changes}
    return convnet(CLASSES, channels=(4,), **how) if rule.needs.convolutions else mlp(CLASSES, **how)


def trained(name="backprop", *, net=None, rule_seed=0, rule_settings=None, data=None, **settings):
    net = net or net_of(name)
    rule = RULES[name].for_net(net, seed=rule_seed, **(rule_settings or {}))
    return train(net, rule, data or dataset(), **{"epochs": 2, "batch_size": 40, **settings})


class Steps:
    """Counts the steps that are taken, and breaks off after some."""

    def __init__(self, limit=None):
        self.limit, self.taken, self.announced = limit, 0, 0

    def __call__(self, items, description, total):
        self.announced = total
        for item in items:
            if self.taken == self.limit:
                raise BrokenOffError
            yield item
            self.taken += 1


def broken_off(path, after, name="backprop", **settings):
    with pytest.raises(BrokenOffError):
        trained(name, checkpoint=path, track=Steps(after), **{"every": 2, **settings})


def states(run):
    """Everything that training changes: now, and in each snapshot."""
    now = [value for module in (run.net, run.rule) for value in module.state_dict().values()]
    return now + [value for s in run.snapshots for part in s.state().values() for value in part.values()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(states(first), states(second), strict=True))


def same_results(first, second):
    assert equal(first, second)
    assert first.record == second.record
    assert [vars(s) | {"source": None} for s in first.snapshots] == [
        vars(s) | {"source": None} for s in second.snapshots
    ]


@pytest.fixture
def every_loss(monkeypatch):
    """Have records hold the loss of each step, as it is, in place of rounded means."""
    monkeypatch.setattr(TRAIN, "_per_epoch", lambda losses, epochs: list(losses))


@pytest.mark.parametrize("name", RULES)
def test_a_training_that_was_broken_off_ends_as_one_that_was_not(tmp_path, name, every_loss):
    """Broken off in the second epoch; the step after the checkpoint is taken again."""
    path, settings = tmp_path / "training", {"seed": 3, "snapshots": (0, 4, 5)}
    whole = trained(name, **settings)
    broken_off(path, 5, name, **settings)
    rest = Steps()
    resumed = trained(name, checkpoint=path, every=2, track=rest, **settings)
    assert (rest.taken, rest.announced) == (2, 2)
    same_results(whole, resumed)
    assert len(resumed.record["loss_per_epoch"]) == STEPS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("optimizer", [torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.AdamW, torch.optim.SGD])
def test_what_an_optimizer_remembers_comes_back(tmp_path, optimizer, every_loss):
    whole = trained(optimizer=optimizer)
    broken_off(tmp_path / "t", 3, optimizer=optimizer)
    same_results(whole, trained(checkpoint=tmp_path / "t", optimizer=optimizer))


def test_it_may_be_broken_off_again_and_again(tmp_path, every_loss):
    path = tmp_path / "t"
    broken_off(path, 3)  # at 3, with a checkpoint at 2
    broken_off(path, 1)  # at 3 again
    broken_off(path, 3)  # at 5, with one at 4
    steps = Steps()
    same_results(trained(), trained(checkpoint=path, every=2, track=steps))
    assert steps.taken == 2


def test_the_network_that_was_broken_off_may_be_used_again(tmp_path, every_loss):
    """What it has learnt since the checkpoint is forgotten."""
    net = net_of("kolen_pollack")
    rule = RULES["kolen_pollack"].for_net(net, seed=0)
    settings = {"epochs": 2, "batch_size": 40, "checkpoint": tmp_path / "t", "every": 4}
    with pytest.raises(BrokenOffError):
        train(net, rule, dataset(), track=Steps(5), **settings)
    same_results(trained("kolen_pollack"), train(net, rule, dataset(), **settings))


def test_a_double_precision_network_goes_on_in_double_precision(tmp_path, every_loss):
    whole = trained(net=net_of("backprop").double())
    broken_off(tmp_path / "t", 3, net=net_of("backprop").double())
    same_results(whole, trained(net=net_of("backprop").double(), checkpoint=tmp_path / "t"))
    assert whole.net.readout.weight.dtype == torch.float64
    whole.save(tmp_path / "run")
    assert equal(whole, Run.load(tmp_path / "run"))


def test_without_being_broken_off_a_checkpoint_changes_nothing_and_leaves_nothing(tmp_path):
    same_results(trained("reinforce"), trained("reinforce", checkpoint=tmp_path / "deep" / "t", every=1))
    assert list((tmp_path / "deep").iterdir()) == []


def kept(path, name="backprop", **settings):
    """A checkpoint of step 4, as bytes."""
    broken_off(path, 5, name, **settings)
    return path.read_bytes()


def damaged(content):
    lines = content.index(b"\n", len(FIRST_LINE) + 70)  # the end of the settings
    yield from (content[:size] for size in (0, 10, len(FIRST_LINE) + 30, lines - 5, lines + 1, len(content) - 1))
    places = (len(FIRST_LINE), len(FIRST_LINE) + 64, lines - 10, lines, lines + 40, len(content) // 2, len(content) - 1)
    for place in places:
        for bit in (1, 32):
            yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    yield content + b"\0"


def test_a_damaged_checkpoint_is_told_and_not_used(tmp_path, caplog, every_loss):
    path, whole = tmp_path / "t", trained(epochs=1)
    with pytest.raises(BrokenOffError):
        trained(epochs=1, checkpoint=path, every=1, track=Steps(2))
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        caplog.clear()
        steps = Steps()
        with caplog.at_level(logging.WARNING, "neurocompare"):
            same_results(whole, trained(epochs=1, checkpoint=path, track=steps))
        assert [record.getMessage() for record in caplog.records] == [
            f"{path} is damaged (its sha256 is not the one in it); training begins anew"
        ]
        assert steps.taken == 3
        assert not path.exists()


def test_a_sound_checkpoint_is_not_called_damaged(tmp_path, caplog):
    kept(tmp_path / "t")
    trained(checkpoint=tmp_path / "t")
    assert caplog.records == []


@pytest.mark.parametrize("content", [b"somebody's weights" * 99, b"PK\3\4", b"A" + FIRST_LINE[1:]])
def test_a_file_that_is_no_checkpoint_is_left_alone(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pt is not a checkpoint of a training; choose another path"):
        trained(checkpoint=path, every=1)
    assert path.read_bytes() == content


OTHER = [
    ({"seed": 1}, "seed is 0 there and 1 here"),
    ({"batch_size": 30}, "batch_size is 40 there and 30 here"),
    ({"epochs": 3}, "epochs is 2 there and 3 here"),
    ({"learning_rate": 0.5}, "learning_rate is 0.001 there and 0.5 here"),
    ({"optimizer": torch.optim.SGD}, "optimizer is Adam there and SGD here"),
    ({"loss": squared_error}, "loss is cross_entropy there and squared_error here"),
    ({"snapshots": [5]}, r"snapshots is \[\] there and \[5\] here"),
    ({"name": "sign_symmetry"}, "rule is backprop there and sign_symmetry here"),
    ({"rule_seed": 1}, "rule_seed is 0 there and 1 here"),
    ({"net": net_of("backprop", seed=2)}, "network.seed is 0 there and 2 here"),
    ({"net": net_of("backprop", hidden=(6, 6))}, r"network.hidden is \[6\] there and \[6, 6\] here"),
    ({"net": net_of("backprop").double()}, "dtype is torch.float32 there and torch.float64 here"),
    ({"data": replace(dataset(), name="others")}, "dataset is channels there and others here"),
    ({"data": dataset().first(119)}, "train_items is 120 there and 119 here"),
]


@pytest.mark.parametrize(("change", "told"), OTHER)
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(tmp_path, change, told):
    path = tmp_path / "t"
    before = kept(path)
    message = rf"t is a checkpoint of another training \({told}\); choose another path, or delete that file"
    with pytest.raises(InputError, match=message):
        trained(**change, checkpoint=path)
    assert path.read_bytes() == before


def test_a_rule_with_other_settings_and_another_version_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "t"
    kept(path, "kolen_pollack", rule_settings={"decay": 0.5})
    with pytest.raises(InputError, match=r"\(rule_settings.decay is 0.5 there and 0.25 here\)"):
        trained("kolen_pollack", rule_settings={"decay": 0.25}, checkpoint=path)
    monkeypatch.setattr("neurocompare.checkpoints.__version__", "99")
    with pytest.raises(InputError, match=r"\(neurocompare is \d+\.\d+\.\d+ there and 99 here\)"):
        trained("kolen_pollack", rule_settings={"decay": 0.5}, checkpoint=path)


def test_several_differences_are_all_told(tmp_path):
    kept(tmp_path / "t")
    with pytest.raises(InputError, match=r"\(seed is 0 there and 1 here; epochs is 2 there and 3 here\)"):
        trained(seed=1, epochs=3, checkpoint=tmp_path / "t")


def test_an_interrupted_write_leaves_the_checkpoint_before(tmp_path, monkeypatch, every_loss):
    path, save = tmp_path / "t", torch.save

    def fails_the_second_time(state, file):
        if path.exists():
            raise OSError("disk full")
        save(state, file)

    monkeypatch.setattr("torch.save", fails_the_second_time)
    with pytest.raises(OSError, match="disk full"):
        trained(checkpoint=path, every=2)
    monkeypatch.undo()
    monkeypatch.setattr(TRAIN, "_per_epoch", lambda losses, epochs: list(losses))
    assert list(tmp_path.iterdir()) == [path]
    steps = Steps()
    same_results(trained(), trained(checkpoint=path, track=steps))
    assert steps.taken == STEPS - 2


def test_a_checkpoint_from_which_nothing_can_come_is_not_left(tmp_path):
    with pytest.raises(InputError, match="diverged"):
        trained(learning_rate=1e20, optimizer=torch.optim.SGD, checkpoint=tmp_path / "t", every=1)
    assert list(tmp_path.iterdir()) == []


def test_where_no_checkpoint_can_be_is_told_at_once(tmp_path):
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        trained(checkpoint=tmp_path)
    with pytest.raises(InputError, match="every so many steps, at least 1, but got 0"):
        trained(checkpoint=tmp_path / "t", every=0)


@pytest.mark.parametrize("name", ["backprop", "node_perturbation", "genetic_algorithm", "predictive_coding"])
def test_snapshots_do_not_change_what_is_learnt(name, every_loss):
    without, watched = trained(name), trained(name, snapshots=range(STEPS + 1))
    assert equal(without, replace(watched, snapshots=()))
    assert without.record == watched.record


def test_learning_goes_on_in_the_mode_for_training():
    class Watches(RULES["backprop"]):
        def assign_credit(self, net, *args):
            modes.append(net.training)
            return super().assign_credit(net, *args)

    modes, net = [], net_of("backprop")
    train(net, Watches.for_net(net, seed=0), dataset(), epochs=2, batch_size=40, snapshots=range(STEPS + 1))
    assert modes == [True] * STEPS


@pytest.mark.parametrize("name", ["backprop", "difference_target_propagation", "genetic_algorithm", "wake_sleep"])
def test_a_snapshot_is_what_training_would_have_ended_with_there(name):
    """The first of two epochs is a training of one."""
    long, short = trained(name, snapshots=(0, 3, 6)), trained(name, epochs=1)
    assert [(s.step, s.epoch) for s in long.snapshots] == [(0, 0.0), (3, 1.0), (6, 2.0)]
    then = long.at(3)
    assert equal(then, short)
    assert then.record == {**short.record, "epochs": 2, "step": 3, "epoch": 1.0}
    assert long.snapshots[1].test_accuracy == short.record["test_accuracy"]
    assert equal(long.at(6), replace(long, snapshots=()))
    net = net_of(name)
    assert equal(long.at(0), Run(net, RULES[name].for_net(net, seed=0), long.preprocess, {}))
    assert long.at(0).record["loss_per_epoch"] == []


def test_a_snapshot_between_epochs_says_so():
    run = trained(snapshots=[4])
    assert run.at(4).record["epoch"] == pytest.approx(4 / 3)
    assert run.at(4).record["loss_per_epoch"] == run.record["loss_per_epoch"][:1]


def test_looking_back_leaves_the_run_alone():
    run = trained("kolen_pollack", snapshots=[2])
    before = [value.clone() for value in states(run)]
    then = run.at(2)
    with torch.no_grad():
        for module in (then.net, then.rule):
            for value in module.state_dict().values():
                value.fill_(7)
    assert all(torch.equal(a, b) for a, b in zip(before, states(run), strict=True))
    assert not then.net.training
    assert all(p.grad is None for p in then.net.parameters())


def test_a_model_says_at_which_step_it_was():
    run = trained(snapshots=[2, 5])
    described = run.at(2).model().describe()
    assert described["training"]["step"] == 2
    assert described["training"]["test_accuracy"] == run.snapshots[0].test_accuracy
    assert len({model.fingerprint() for model in (run.model(), run.at(2).model(), run.at(5).model())}) == 3
    assert "step" not in run.model().describe()["training"]


@pytest.mark.parametrize("name", ["backprop", "weight_mirror"])
def test_snapshots_come_back_from_a_folder(tmp_path, name):
    run = trained(name, snapshots=(1, 4))
    run.save(tmp_path)
    names = ["step00000001.pt", "step00000004.pt"]
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == names
    described = json.loads((tmp_path / RECORD).read_text())["snapshots"]
    assert [s["file_sha256"] for s in described] == [sha256_of(tmp_path / "snapshots" / n) for n in names]
    again = Run.load(tmp_path)
    same_results(run, again)
    assert equal(run.at(4), again.at(4))
    assert run.at(4).record == again.at(4).record
    again.save(tmp_path / "copy")
    same_results(run, Run.load(tmp_path / "copy"))
    run.at(4).save(tmp_path / "then")
    same_results(run.at(4), Run.load(tmp_path / "then"))


def test_equal_trainings_write_equal_files(tmp_path):
    for folder in ("a", "b"):
        trained("reinforce", snapshots=[2]).save(tmp_path / folder)
    for name in ("weights.pt", "snapshots/step00000002.pt", RECORD):
        assert sha256_of(tmp_path / "a" / name) == sha256_of(tmp_path / "b" / name)


def test_a_snapshot_is_read_when_it_is_asked_for(tmp_path):
    trained(snapshots=(1, 4)).save(tmp_path)
    (tmp_path / "snapshots" / "step00000001.pt").unlink()
    content = bytearray((tmp_path / "snapshots" / "step00000004.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "snapshots" / "step00000004.pt").write_bytes(content)
    run = Run.load(tmp_path)
    assert [s.step for s in run.snapshots] == [1, 4]
    with pytest.raises(DataUnavailable, match=r"step00000001\.pt is not what was written: .* found no file"):
        run.at(1)
    with pytest.raises(
        DataUnavailable, match=r"step00000004\.pt is not what was written: expected sha256 \w+, found \w+"
    ):
        run.at(4)


def test_a_run_without_snapshots_says_nothing_of_them(tmp_path):
    run = trained()
    run.save(tmp_path)
    assert "snapshots" not in json.loads((tmp_path / RECORD).read_text())
    assert Run.load(tmp_path).snapshots == ()
    with pytest.raises(InputError, match=r"no snapshot of step 3; there are: none; train with snapshots="):
        run.at(3)


def test_steps_that_there_are_not_are_refused():
    for step in (-1, 7):
        with pytest.raises(InputError, match=f"after 0 to 6 steps, as there are no more, but got {step}"):
            trained(snapshots=[2, step])
    with pytest.raises(InputError, match=r"no snapshot of step 3; there are: 2, 5"):
        trained(snapshots=[5, 2, 2]).at(3)
