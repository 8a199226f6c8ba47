"""Training: any layered network, any rule, one loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocompare.dataset import Dataset, Split, Tasks
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import atomic, sha256_of, write_text
from neurocompare.losses import LOSSES, Loss, cross_entropy, over_tasks
from neurocompare.model import Model
from neurocompare.networks import LayeredNet, build
from neurocompare.progress import Track, silent
from neurocompare.rules import RULES, Rule
from neurocompare.stimuli import ImagePreprocess, Preprocess

WEIGHTS, RECORD = "weights.pt", "run.json"


@dataclass(frozen=True)
class Run:
    """A trained network with the record of how it was trained.

    Attributes:
        net, rule: as training left them.
        preprocess: of the dataset it was trained on.
        record: settings and results (rule, seeds, epochs, loss per epoch, test accuracy), plain values.
    """

    net: LayeredNet
    rule: Rule
    preprocess: Preprocess
    record: Mapping[str, Any]

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

    def save(self, folder: Path) -> None:
        """Write weights and record; the record comes last, so where it is the run is whole."""
        with atomic(folder / WEIGHTS) as temporary:
            torch.save({"net": self.net.state_dict(), "rule": self.rule.state_dict()}, temporary)
        record = {
            "network": self.net.spec,
            "preprocess": self.preprocess.describe(),
            "weights_file_sha256": sha256_of(folder / WEIGHTS),
            **self.record,
        }
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read what ``save`` wrote.

        Raises:
            DataUnavailable: there is no run, or its weights are not those that were written.
        """
        if not (folder / RECORD).is_file():
            raise DataUnavailable(f"{folder} holds no run: {RECORD} is missing; train one with `neurocompare train`")
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        expected = record.pop("weights_file_sha256")
        found = sha256_of(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else "no file"
        if found != expected:
            raise DataUnavailable(
                f"{folder / WEIGHTS} is not what was written: expected sha256 {expected}, found {found}; "
                "delete the folder and train again"
            )
        net = build(record.pop("network"))
        rule = RULES[record["rule"]].for_net(net, seed=record["rule_seed"], **record["rule_settings"])
        state = torch.load(folder / WEIGHTS, weights_only=True)
        net.load_state_dict(state["net"])
        rule.load_state_dict(state["rule"])
        preprocess = ImagePreprocess.from_description(record.pop("preprocess"))
        return cls(net, rule, preprocess, record)


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
) -> Run:
    """Train ``net`` in place under ``rule``.

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
    Raises:
        InputError: the data do not fit the network, or the loss stopped being finite.
    """
    _check_fit(net, rule, data, batch_size)
    loss = loss if data.tasks is None else over_tasks(loss, data.tasks)
    device = next(net.parameters()).device
    rate = rule.learning_rate if learning_rate is None else learning_rate
    # The learning rate is the one argument that every torch.optim class takes alike.
    stepper = optimizer([*net.parameters(), *rule.parameters()], lr=rate)  # type: ignore[call-arg]
    order = np.random.default_rng(seed)
    noise = torch.Generator(device).manual_seed(seed)
    scale = scaler(data.preprocess, device)
    steps = len(data.train) // batch_size
    schedule = (rows for _ in range(epochs) for rows in _epoch(order, len(data.train), batch_size))
    losses: list[float] = []
    net.train()
    for rows in track(schedule, f"train {rule.name} seed {seed}", epochs * steps):
        x, y = scale(data.train.inputs[rows]), torch.from_numpy(data.train.labels[rows]).to(device)
        losses.append(float(rule.step(net, stepper, x, y, loss, noise).loss))
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"training under {rule.name} diverged: the loss is {losses[-1]} after {len(losses)} steps at learning "
                f"rate {rate}; lower it"
            )
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
        "loss_per_epoch": [round(float(part.mean()), 6) for part in np.array_split(losses, epochs)] if losses else [],
    } | _test_accuracy(net, rule, data)
    return Run(net.eval(), rule, data.preprocess, record)


def _describe_rule(rule: Rule) -> dict[str, Any]:
    """What ``Run.load`` makes the rule of again."""
    return {
        "rule": rule.name,
        "rule_seed": rule.provenance["rule_seed"],
        "rule_settings": rule.provenance["settings"],
    }


def accuracy(net: LayeredNet, rule: Rule, split: Split, preprocess: Preprocess, batch_size: int = 1000) -> float:
    """Fraction of a split that the network's largest output, as the rule infers it, classifies rightly."""
    return float((outputs(net, rule, split, preprocess, batch_size).argmax(1) == split.labels).mean())


@torch.inference_mode()
def outputs(net: LayeredNet, rule: Rule, split: Split, preprocess: Preprocess, batch_size: int = 1000) -> np.ndarray:
    """What the network says of a split, as the rule infers it, ``(n, outputs)``."""
    net.eval()
    scale = scaler(preprocess, next(net.parameters()).device)
    found = []
    for start in range(0, len(split), batch_size):
        *_, output = rule.activities(net, scale(split.inputs[start : start + batch_size])).values()
        found.append(output.cpu().numpy())
    return np.concatenate(found)


def accuracies(said: np.ndarray, labels: np.ndarray, tasks: Tasks) -> dict[str, float]:
    """Of several tasks, the fraction of items with a label in it that a task's largest output classifies rightly.

    Args:
        said: ``(n, outputs)``.
        labels: ``(n,)``; see ``Tasks``.
    """
    classes = np.asarray(tasks.meanings)[labels]  # (n, tasks)
    found = {}
    for name, start, size, right in zip(tasks.names, tasks.starts, tasks.sizes, classes.T, strict=True):
        has = right >= 0
        found[name] = float((said[has, start : start + size].argmax(1) == right[has]).mean())
    return found


def _test_accuracy(net: LayeredNet, rule: Rule, data: Dataset) -> dict[str, Any]:
    """For the record: of several tasks each, and their mean."""
    if data.tasks is None:
        return {"test_accuracy": round(accuracy(net, rule, data.test, data.preprocess), 6)}
    each = accuracies(outputs(net, rule, data.test, data.preprocess), data.test.labels, data.tasks)
    rounded = {task: round(value, 6) for task, value in each.items()}
    return {"test_accuracy": round(float(np.mean(list(each.values()))), 6), "test_accuracy_by_task": rounded}


def scaler(preprocess: Preprocess, device: torch.device) -> Callable[[np.ndarray], Tensor]:
    """From stored inputs to those of the network: uint8 images as ``ImagePreprocess`` scales the same images."""

    def as_they_are(inputs: np.ndarray) -> Tensor:
        return torch.from_numpy(inputs).to(device, torch.float32)

    if not isinstance(preprocess, ImagePreprocess):
        return as_they_are
    mean, std = (255 * torch.tensor(v, device=device)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return lambda inputs: as_they_are(inputs).sub_(mean).div_(std)


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


__all__ = ["LOSSES", "Run", "accuracy", "train"]
