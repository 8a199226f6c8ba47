"""Processes that train one network together end with the weights of one process, or of the average of their gradients.

Run by torchrun, this file is what each of them does: it writes what came of it into a folder, and the tests look at that.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from problems import CLASSES, activation_of, dataset

from neurocompare import parallel
from neurocompare.errors import InputError
from neurocompare.losses import cross_entropy
from neurocompare.networks import convnet, mlp
from neurocompare.rules import RULES, Credit, Needs, Rule
from neurocompare.train import RECORD, Run, scaler, train

ROOT = Path(__file__).parent.parent
BATCH, STEPS = 40, 3
ONE_STEP = {"epochs": 1, "batch_size": 120, "optimizer": torch.optim.SGD, "learning_rate": 0.1, "seed": 2}
# In single precision; differences of losses that weight perturbation divides by 2 sigma lose three digits more.
SINGLE = [
    "backprop",
    "feedback_alignment",
    "direct_feedback_alignment",
    "kolen_pollack",
    "equilibrium_propagation",
    "predictive_coding",
    "evolution_strategies",
]
LEARN = ["node_perturbation", "reinforce", "target_propagation"]


class Silent(Rule):
    """Moves nothing, and says nothing of several processes."""

    name = "silent"
    needs = Needs(optimizer=False)

    def step(self, net, optimizer, x, y, loss, generator=None):
        return Credit(loss(net(x), y))


def net_of(name, seed=0):
    rule = RULES[name]
    how = {"input_shape": (3, 6, 6), "hidden": (6,), "activation": activation_of(rule, "relu"), "seed": seed}
    return convnet(CLASSES, channels=(4,), **how) if rule.needs.convolutions else mlp(CLASSES, **how)


def trained(name, dtype=torch.float64, *, net_seed=0, rule_settings=None, stop=None, **settings):
    net = net_of(name, net_seed).to(dtype)
    rule = RULES[name].for_net(net, seed=net_seed, **(rule_settings or {}))
    if stop is not None:
        rule.step = stops(rule.step, stop)
    return train(net, rule, dataset(), **{"epochs": 1, "batch_size": BATCH, "learning_rate": 0.01, **settings})


def stops(step, after):
    """A learning step that fails in every process after some."""
    left = iter(range(after))

    def until(*args):
        if next(left, None) is None:
            raise InterruptedError
        return step(*args)

    return until


def weights(run):
    return {
        f"{part}.{key}": value.clone()
        for part, m in (("net", run.net), ("rule", run.rule))
        for key, value in m.state_dict().items()
    }


def resampled(**settings):
    return trained("sign_symmetry", rule_settings={"magnitudes": "resampled"}, **settings)


# What is done in one process and in two, by what it is called.
WORK = {
    **{f"double {name}": lambda name=name: trained(name) for name in RULES},
    **{f"single {n}": lambda n=n: trained(n, torch.float32, optimizer=torch.optim.SGD) for n in SINGLE},
    "resampled": resampled,
    **{f"step {name}": lambda name=name: trained(name, **ONE_STEP) for name in sorted(parallel.NOISE_OF_SAMPLES)},
    **{f"learn {name}": lambda name=name: trained(name, epochs=40, learning_rate=0.02) for name in LEARN},
}


def worker(folder):
    """One of several processes."""
    assert parallel.start() == torch.device("cpu")
    rank = parallel.rank()
    runs = {name: work() for name, work in WORK.items()}
    torch.save({name: weights(run) for name, run in runs.items()}, folder / f"weights{rank}.pt")
    found = {
        "size": parallel.size(),
        "records": {name: dict(run.record) for name, run in runs.items()},
        "from main": told(lambda: trained("weight_mirror", net_seed=rank), runs["double weight_mirror"]),
        "resumed": resumed(folder),
        "shown": shown(),
        "sent": {name: sent(name) for name in ("backprop", "weight_perturbation", "genetic_algorithm")},
        "refused": [
            refused(lambda: trained("backprop", batch_size=15)),
            refused(silent),
            refused(lambda: apart(folder)),
        ],
    }
    trained("backprop", snapshots=[1]).save(folder / f"run{rank}")
    (folder / f"found{rank}.json").write_text(json.dumps(found))


def told(work, expected):
    """Whether it comes to the same, bit by bit."""
    found, expected = weights(work()), weights(expected)
    return all(torch.equal(found[key], expected[key]) for key in expected)


def resumed(folder):
    """A training that is broken off in all processes, with noise of their own."""
    settings = {"checkpoint": folder / "training", "every": 2, "snapshots": [1]}
    try:
        trained("node_perturbation", stop=2, **settings)
    except InterruptedError:
        wait()  # until it is written
        left = (folder / "training").is_file()
    again = told(lambda: trained("node_perturbation", **settings), trained("node_perturbation"))
    wait()  # until it is gone
    return [left, again, (folder / "training").exists()]


def wait():
    """For the other processes."""
    parallel.gather(torch.zeros(1))


def shown():
    """How many steps are shown in this process."""
    steps = []

    def track(items, description, total):
        for item in items:
            steps.append(total)
            yield item

    trained("backprop", track=track)
    return steps


def sent(name):
    """How many numbers each step sends."""
    numbers, send = [], dist.all_reduce
    dist.all_reduce = lambda value: (numbers.append(value.numel()), send(value))
    trained(name)
    dist.all_reduce = send
    return sum(numbers) / STEPS


def silent():
    net = net_of("backprop")
    train(net, Silent.for_net(net, seed=0), dataset(), epochs=1, batch_size=BATCH)


def apart(folder):
    """A checkpoint that only one process can see."""
    path = folder / f"apart{parallel.rank()}"
    try:
        trained("backprop", checkpoint=path, every=1, stop=2)
    except InterruptedError:
        trained("backprop", checkpoint=path, every=1)


def refused(work):
    try:
        work()
    except InputError as error:
        return str(error)
    return "not refused"


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder with what came of two processes."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this build of torch has no Gloo")
    folder = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, __file__, str(folder)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]

    return folder


@pytest.fixture(scope="module")
def of_two(together):
    """Weights by what was done, of either process."""
    return [torch.load(together / f"weights{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def found(together):
    return [json.loads((together / f"found{rank}.json").read_text()) for rank in (0, 1)]


def distance(first, second):
    return max(float((first[key] - second[key]).abs().max()) for key in first)


def moved(name, after):
    """By how much training moved the network, the largest weight."""
    before = {f"net.{key}": value for key, value in net_of(name).double().state_dict().items()}
    return max(float((after[key] - before[key]).abs().max()) for key in before)


def test_two_processes_were_at_work(found):
    assert [one["size"] for one in found] == [2, 2]


@pytest.mark.parametrize("work", WORK)
def test_all_processes_end_with_the_same_weights(of_two, work):
    """Each saw other samples, and many drew other noise: without an exchange they would not."""
    first, second = of_two
    assert all(torch.equal(first[work][key], second[work][key]) for key in first[work])


@pytest.mark.parametrize("name", RULES)
def test_two_processes_learn_what_one_learns_or_are_known_not_to(of_two, name):
    alone = weights(trained(name))
    apart = distance(of_two[0][f"double {name}"], alone)
    assert moved(name, alone) > 1e-3
    if name in parallel.NOISE_OF_SAMPLES:
        assert apart > 1e-5
    else:
        assert apart < 1e-10


def test_the_table_knows_only_rules_that_there_are():
    assert set(RULES) >= parallel.NOISE_OF_SAMPLES | parallel.NOISE_OF_WEIGHTS
    assert not parallel.NOISE_OF_SAMPLES & parallel.NOISE_OF_WEIGHTS


@pytest.mark.parametrize("name", SINGLE)
def test_two_processes_learn_the_same_in_single_precision(of_two, name):
    alone = weights(trained(name, torch.float32, optimizer=torch.optim.SGD))
    assert distance(of_two[0][f"single {name}"], alone) < 1e-6


def test_noise_on_weights_is_the_same_everywhere(of_two):
    assert distance(of_two[0]["resampled"], weights(resampled())) < 1e-10


@pytest.mark.parametrize("name", sorted(parallel.NOISE_OF_SAMPLES))
def test_gradients_with_noise_are_averaged(of_two, name):
    """One step, from the gradients of both shares, each under its own noise."""
    net, data = net_of(name).double(), dataset()
    rule = RULES[name].for_net(net, seed=0)
    rows = np.random.default_rng(2).permutation(120)
    seeds = (2, int(np.random.SeedSequence((2, 1)).generate_state(1, np.uint64)[0] >> 1))
    scale = scaler(data.preprocess, torch.device("cpu"), torch.float64)
    parameters = {f"{part}.{key}": p for part, m in (("net", net), ("rule", rule)) for key, p in m.named_parameters()}
    gradients = []
    for share, seed in zip((rows[:60], rows[60:]), seeds, strict=True):
        x, y = scale(data.train.inputs[share]), torch.from_numpy(data.train.labels[share])
        rule.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(seed))
        gradients.append({key: p.grad.clone() for key, p in parameters.items()})
    first, second = gradients
    for key, parameter in parameters.items():
        expected = parameter.detach() - 0.1 * (first[key] + second[key]) / 2
        torch.testing.assert_close(of_two[0][f"step {name}"][key], expected, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(first[key], second[key], rtol=1e-3)


@pytest.mark.parametrize("name", LEARN)
def test_rules_with_noise_learn_together(found, name):
    record = found[0]["records"][f"learn {name}"]
    assert record["loss_per_epoch"][-1] < 0.7 * record["loss_per_epoch"][0]
    assert record["test_accuracy"] > 0.6  # chance is 1/3


def test_records_tell_of_the_whole_batch_and_of_the_processes(found):
    alone = trained("backprop").record
    for one in found:
        record = one["records"]["double backprop"]
        assert record["processes"] == 2
        assert "processes" not in alone
        assert record["loss_per_epoch"] == pytest.approx(alone["loss_per_epoch"], abs=2e-6)
        assert record["batch_size"] == BATCH
        assert record["test_accuracy"] == alone["test_accuracy"]


def test_the_main_process_says_where_training_starts(found):
    """Network and feedback weights of the other were drawn from another seed."""
    assert [one["from main"] for one in found] == [True, True]


def test_processes_go_on_together_where_they_were_broken_off(found):
    assert [one["resumed"] for one in found] == [[True, True, False]] * 2


def test_only_the_main_process_shows_and_writes(found, together):
    assert [one["shown"] for one in found] == [[STEPS] * STEPS, []]
    assert (together / "run0" / RECORD).is_file()
    assert not (together / "run1").exists()
    assert [s.step for s in Run.load(together / "run0").snapshots] == [1]


def test_weight_noise_sends_losses_and_no_gradients(found):
    """Each sends the mean loss for the record, too."""
    parameters = sum(p.numel() for p in net_of("backprop").parameters())
    for one in found:
        assert one["sent"] == {
            "backprop": parameters + 1,
            "weight_perturbation": 2 * 16 + 1,
            "genetic_algorithm": 50 + 1,
        }


def test_what_processes_cannot_share_is_refused(found):
    for one in found:
        shares, moves, disk = one["refused"]
        assert "15 samples do not go into 2 processes; choose a batch_size of 14 or another number of" in shares
        assert "silent moves the parameters itself, so 2 processes have nothing to average; use one process" in moves
        assert "must be on a disk that every process sees, but they are at steps [2, 0]" in disk


def test_alone_there_is_nothing_to_share():
    rows, value, net = np.arange(3), torch.ones(2), net_of("backprop")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    parallel.join(net, RULES["backprop"].for_net(net, seed=0), optimizer)
    assert (parallel.size(), parallel.rank(), parallel.is_main()) == (1, 0, True)
    assert parallel.share(rows) is rows
    assert parallel.mean(value) is value
    assert parallel.gather(value)[0] is value
    assert not optimizer._optimizer_step_pre_hooks
    parallel.check(RULES["backprop"].for_net(net, seed=0), "backprop", 15, optimizer=False)
    parallel.stop()


@pytest.mark.parametrize("missing", ["RANK", "MASTER_PORT"])
def test_nothing_is_started_without_torchrun(monkeypatch, missing):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv(missing)
    assert parallel.start("cuda") == torch.device("cuda")
    assert not dist.is_initialized()


def test_each_process_needs_a_gpu(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match="but this is number 2 on a machine with 1; lower --nproc-per-node"):
        parallel.start("cuda")


def test_python_can_start_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["neurocompare", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("neurocompare", run_name="__main__")
    assert end.value.code == 0
    assert "train" in capsys.readouterr().out


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
