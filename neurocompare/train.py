"""Training: any layered network, any rule, one loop; in one process or, started by torchrun, in several."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurocompare import parallel
from neurocompare.accuracy import accuracies, accuracy, outputs, results_of_test, scaler
from neurocompare.checkpoints import Checkpoint, Progress, Snapshot, read_state, state_of, write_state
from neurocompare.cochleagram import CochleagramPreprocess
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import write_text
from neurocompare.losses import LOSSES, Loss, cross_entropy, over_tasks
from neurocompare.model import Model
from neurocompare.networks import LayeredNet, build
from neurocompare.progress import Track, silent
from neurocompare.rules import RULES, Rule
from neurocompare.stimuli import ImagePreprocess, Preprocess

_PREPROCESSES: dict[str, Callable[[Mapping[str, Any]], Preprocess]] = {
    "image": ImagePreprocess.from_description,
    "cochleagram": CochleagramPreprocess.from_description,
}
WEIGHTS, RECORD = "weights.pt", "run.json"


@dataclass(frozen=True)
class Run:
    """A trained network with the record of how it was trained.

    Attributes:
        net, rule: as training left them.
        preprocess: of the dataset it was trained on.
        record: settings and results (rule, seeds, epochs, loss per epoch, test accuracy), plain values.
        snapshots: of network and rule during training, where some were asked for; see ``at``.
    """

    net: LayeredNet
    rule: Rule
    preprocess: Preprocess
    record: Mapping[str, Any]
    snapshots: tuple[Snapshot, ...] = ()

    def model(self, name: str | None = None) -> Model:
        """The network as a ``Model``, probed through its rule's own inference."""
        return Model(
            name or self.rule.name,
            self.net,
            tuple(self.net.layers),
            self.preprocess,
            rule=self.rule,
            seed=self.record["seed"],
            provenance={"training": {k: v for k, v in self.record.items() if k != "seed"}},
        )

    def at(self, step: int) -> Run:
        """Network and rule as they were after so many steps, of which there is a snapshot.

        Returns:
            A run of its own, whose record has ``step`` and ``epoch`` (a fraction), the test accuracy at that time, and
            the losses of the epochs that were over.
        Raises:
            InputError: there is no such snapshot.
            DataUnavailable: the file of a loaded run's snapshot is not what was written.
        """
        found = {snapshot.step: snapshot for snapshot in self.snapshots}
        if step not in found:
            there = ", ".join(map(str, found)) or "none; train with snapshots=[...]"
            raise InputError(f"there is no snapshot of step {step}; there are: {there}")
        snapshot = found[step]
        net, rule = copy.deepcopy((self.net, self.rule))
        state = snapshot.state()
        net.load_state_dict(state["net"])
        rule.load_state_dict(state["rule"])
        then = {"step": step, "epoch": snapshot.epoch, **snapshot.results}
        losses = self.record["loss_per_epoch"][: int(snapshot.epoch)]
        return Run(net, rule, self.preprocess, {**self.record, "loss_per_epoch": losses, **then})

    def save(self, folder: Path) -> None:
        """Write weights, snapshots and record; the record comes last, so where it is the run is whole.

        Of processes that trained together only the main one writes.
        """
        if not parallel.is_main():
            return
        record = {
            "network": self.net.spec,
            "preprocess": self.preprocess.describe(),
            "weights_file_sha256": write_state(folder / WEIGHTS, state_of(self.net, self.rule)),
            **({"snapshots": [snapshot.save(folder) for snapshot in self.snapshots]} if self.snapshots else {}),
            **self.record,
        }
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read what ``save`` wrote; snapshots are read when they are asked for.

        Raises:
            DataUnavailable: there is no run, or its weights are not those that were written.
        """
        if not (folder / RECORD).is_file():
            raise DataUnavailable(f"{folder} holds no run: {RECORD} is missing; train one with `neurocompare train`")
        try:
            return cls._of_record(folder, json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except DataUnavailable:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
            raise DataUnavailable(
                f"{folder / RECORD} is not what was written ({type(error).__name__}: {error}); delete the folder and "
                "train again"
            ) from error

    @classmethod
    def _of_record(cls, folder: Path, record: dict[str, Any]) -> Run:
        state = read_state(folder / WEIGHTS, record.pop("weights_file_sha256"))
        snapshots = tuple(Snapshot.load(folder, described) for described in record.pop("snapshots", ()))
        net = build(record.pop("network")).to(next(iter(state["net"].values())).dtype)
        rule = RULES[record["rule"]].for_net(net, seed=record["rule_seed"], **record["rule_settings"])
        net.load_state_dict(state["net"])
        rule.load_state_dict(state["rule"])
        described = record.pop("preprocess")
        preprocess = _PREPROCESSES[described["kind"]](described)
        return cls(net, rule, preprocess, record, snapshots)


def train(
    net: LayeredNet,
    rule: Rule,
    data: Dataset,
    *,
    epochs: int = 5,
    batch_size: int = 128,
    learning_rate: float | None = None,
    optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
    loss: Loss = cross_entropy,
    seed: int = 0,
    track: Track = silent,
    checkpoint: Path | None = None,
    every: int = 500,
    snapshots: Collection[int] = (),
) -> Run:
    """Train ``net`` in place under ``rule``.

    Processes that torchrun started (``parallel.start``) train one network together, to which each has to call this with
    equal arguments.

    Args:
        net: takes inputs of ``data``'s shape; the device of its parameters is used.
        rule: made by ``RULES[name].for_net(net, ...)``.
        data: to train and test on.
        epochs, batch_size: a last, smaller batch of an epoch is left out.
        learning_rate: of the optimizer; the rule's own by default.
        optimizer: a ``torch.optim`` class that takes ``lr``.
        loss: of the task; with several tasks it is summed over them.
        seed: of the order of the data and of the rule's noise.
        track: shows progress over steps.
        checkpoint: a file from which a training that was broken off goes on when it is called again with equal
            arguments: on a CPU, with as many threads, the result is bit by bit that of one that was not. It is gone when
            training is over.
        every: so many steps the checkpoint is written.
        snapshots: after how many steps (0 for before learning) network and rule are kept, for ``Run.at``.
    Raises:
        InputError: the data do not fit the network, the loss stopped being finite, the checkpoint is of a training with
            other arguments, or processes cannot share the work.
    """
    _check_fit(net, rule, data, batch_size)
    wanted = _wanted(snapshots, epochs * (len(data.train) // batch_size))
    parallel.check(rule, rule.name, batch_size, optimizer=rule.needs.optimizer)
    rate = rule.learning_rate if learning_rate is None else learning_rate
    loss = loss if data.tasks is None else over_tasks(loss, data.tasks)
    record = {
        **_describe_rule(rule),
        "dataset": data.name,
        "train_items": len(data.train),
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer.__name__,
        "learning_rate": rate,
        "loss": loss.name,
        **({"processes": parallel.size()} if parallel.size() > 1 else {}),
    }
    # The learning rate is the one argument that every torch.optim class takes alike.
    stepper = optimizer([*net.parameters(), *rule.parameters()], lr=rate)  # type: ignore[call-arg]
    parallel.join(net, rule, stepper)
    first = next(net.parameters())
    noise = torch.Generator(first.device).manual_seed(parallel.noise_seed(rule, rule.name, seed))
    progress = Progress(net, rule, stepper, noise)
    kept = None
    if checkpoint is not None:
        details = {"snapshots": wanted, "device": first.device.type, "dtype": str(first.dtype)}
        kept = Checkpoint(checkpoint, every, {"network": net.spec, **record, **details})
        kept.resume(progress)
    _learn(progress, data, loss, record, wanted, kept, track)
    record |= {"loss_per_epoch": _per_epoch(progress.losses, epochs), **results_of_test(net, rule, data)}
    if kept is not None:
        kept.remove()
    return Run(net.eval(), rule, data.preprocess, record, tuple(progress.snapshots))


def _learn(
    progress: Progress,
    data: Dataset,
    loss: Loss,
    record: Mapping[str, Any],
    wanted: Collection[int],
    kept: Checkpoint | None,
    track: Track,
) -> None:
    """Take the steps that are left."""
    net, rule, batch_size = progress.net, progress.rule, record["batch_size"]
    order = np.random.default_rng(record["seed"])
    schedule = (rows for _ in range(record["epochs"]) for rows in _epoch(order, len(data.train), batch_size))
    first = next(net.parameters())
    scale = scaler(data.preprocess, first.device, first.dtype)
    per_epoch = len(data.train) // batch_size
    left, count = islice(schedule, progress.step, None), record["epochs"] * per_epoch - progress.step
    show = track if parallel.is_main() else silent
    net.train()
    if progress.step == 0:
        _look(progress, data, wanted, per_epoch)
    for rows in show(left, f"train {rule.name} seed {record['seed']}", count):
        mine = parallel.share(rows)
        x, y = scale(data.train.inputs[mine]), torch.from_numpy(data.train.labels[mine]).to(first.device)
        found = rule.step(net, progress.optimizer, x, y, loss, progress.noise).loss
        progress.losses.append(float(parallel.mean(found)))
        if not np.isfinite(progress.losses[-1]):
            if kept is not None:
                kept.remove()  # nothing could come of it
            raise InputError(
                f"training under {rule.name} diverged: the loss is {progress.losses[-1]} after {progress.step} steps at "
                f"learning rate {record['learning_rate']}; lower it"
            )
        _look(progress, data, wanted, per_epoch)
        if kept is not None:
            kept.keep(progress)


def _look(progress: Progress, data: Dataset, wanted: Collection[int], per_epoch: int) -> None:
    """Take a snapshot when it is time; learning does not notice."""
    if progress.step in wanted:
        results = results_of_test(progress.net, progress.rule, data)
        progress.net.train()
        state = state_of(progress.net, progress.rule)
        progress.snapshots.append(Snapshot(progress.step, progress.step / per_epoch, results, state))


def _wanted(snapshots: Collection[int], steps: int) -> list[int]:
    """The steps after which snapshots are taken, in order."""
    wanted = sorted({int(step) for step in snapshots})
    wrong = [step for step in wanted if not 0 <= step <= steps]
    if wrong:
        raise InputError(f"snapshots can be taken after 0 to {steps} steps, as there are no more, but got {wrong[0]}")
    return wanted


def _per_epoch(losses: list[float], epochs: int) -> list[float]:
    return [round(float(part.mean()), 6) for part in np.array_split(losses, epochs)] if losses else []


def _describe_rule(rule: Rule) -> dict[str, Any]:
    """What ``Run.load`` makes the rule of again."""
    return {
        "rule": rule.name,
        "rule_seed": rule.provenance["rule_seed"],
        "rule_settings": rule.provenance["settings"],
    }


def _epoch(order: np.random.Generator, n: int, batch_size: int) -> list[np.ndarray]:
    permutation = order.permutation(n)
    return [permutation[i : i + batch_size] for i in range(0, n - batch_size + 1, batch_size)]


def _check_fit(net: LayeredNet, rule: Rule, data: Dataset, batch_size: int) -> None:
    if data.tasks is not None and not rule.needs.several_tasks:
        raise InputError(f"{rule.name} learns one task at a time, but {data.name!r} has {', '.join(data.tasks.names)}")
    if net.in_shape != data.input_shape:
        raise InputError(
            f"the network takes inputs of shape {net.in_shape}, but {data.name!r} has {data.input_shape}; "
            "build it with that input_shape"
        )
    if net.n_outputs != data.n_outputs:
        raise InputError(f"the network has {net.n_outputs} outputs, but {data.name!r} has {data.n_outputs} classes")
    if not 1 <= batch_size <= len(data.train):
        raise InputError(f"batch_size must be from 1 to the {len(data.train)} training items, but is {batch_size}")


__all__ = ["LOSSES", "RECORD", "WEIGHTS", "Run", "accuracies", "accuracy", "outputs", "scaler", "train"]
