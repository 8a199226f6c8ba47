"""How well each rule learns at its own best rate, and where its updates point.

Every rule gets the same search: Adam at a third of, at, and at three times its default rate, each trained on four fifths of
the training items and judged on the rest. Then it is trained anew on all of them, with other seeds, and tested once. The
angle is that between a layer's weight gradient under the rule and under backprop on one batch of training items, before
and after training. ``frozen_hidden`` trains the readout alone, on hidden layers as they were drawn: a rule that does not
beat it has not learnt hidden layers.

    python benchmarks/learning.py digits -o FOLDER
    python benchmarks/learning.py cifar10 -o FOLDER [--rules RULE ...] [--workers N]

Each finished row is kept in FOLDER, so the same command goes on where it was stopped; the table is FOLDER/NAME.csv.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_loaders import load_dataset
from neurocompare.dataset import Dataset, Split
from neurocompare.errors import InputError
from neurocompare.execute import completed
from neurocompare.files import atomic, write_text
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, convnet, mlp
from neurocompare.rules import RULES, Credit, Rule
from neurocompare.train import Run, train

FACTORS = (1 / 3, 1.0, 3.0)
# Lillicrap et al. 2020's review of test errors: Bartunov et al. 2018 (fully / locally connected), and single papers.
PUBLISHED = {
    "cifar10": {
        "backprop": "58.7 / 67.6",
        "feedback_alignment": "58.0 / 62.6",
        "direct_feedback_alignment": "52.2 / 55.6",
        "difference_target_propagation": "57.7 / 60.5",
        "simplified_difference_target_propagation": "45.7 / 54.3",
        "equilibrium_propagation": "88.3 (symmetric), 14 (one-sided), deep convnet",
    },
    "digits": {
        "backprop": "98.5 / 98.8 (MNIST)",
        "feedback_alignment": "98.2 / 98.7 (MNIST)",
        "direct_feedback_alignment": "97.3 / 98.0 (MNIST)",
        "difference_target_propagation": "98.2 / 98.5 (MNIST)",
        "simplified_difference_target_propagation": "97.7 / 98.1 (MNIST)",
        "kolen_pollack": "98.45 (MNIST)",
        "dendritic_microcircuit": "98.0 (MNIST)",
    },
}


class FrozenHidden(RULES["backprop"]):
    """Backprop in the readout, nothing below."""

    name, short = "frozen_hidden", "frozen"

    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        credit = super().assign_credit(net, x, y, loss, generator)
        for layer in list(net.layers.values())[:-1]:
            layer.weight.grad.zero_()
            layer.bias.grad.zero_()
        return credit


@dataclass(frozen=True)
class Task:
    """What is learnt, by which networks, for how long."""

    dataset: str
    nets: dict[str, Callable[..., LayeredNet]]
    families: tuple[str, ...]
    search_items: int
    search_epochs: int
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]


EVERY = tuple(dict.fromkeys(rule.family for rule in RULES.values()))
TASKS = {
    "digits": Task(
        "digits",
        {"MLP 64-100-100-10": partial(mlp, input_shape=(1, 8, 8), hidden=(100, 100))},
        EVERY,
        search_items=1437,
        search_epochs=30,
        epochs=30,
        batch_size=32,
        seeds=(1, 2),
    ),
    "cifar10": Task(
        "cifar10_jpeg",
        {
            "MLP 3072-256-128-10": partial(mlp, input_shape=(3, 32, 32), hidden=(256, 128)),
            "convnet 16-32-64 + 128": partial(convnet, channels=(16, 32, 64), hidden=(128,)),
        },
        ("vector feedback", "target propagation", "differences in time", "differences in space"),
        search_items=50000,
        search_epochs=2,
        epochs=2,
        batch_size=64,
        seeds=(1,),
    ),
}


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    task: str
    net: str
    rule: str
    activation: str

    @property
    def label(self) -> str:
        """For file names."""
        return f"{self.task}-{self.net.split()[0]}-{self.rule}-{self.activation}"


def rule_type(name: str) -> type[Rule]:
    """A rule, or the frozen control."""
    return FrozenHidden if name == FrozenHidden.name else RULES[name]


def jobs(task_name: str, chosen: Sequence[str]) -> list[Job]:
    """A row for each rule and network, and frozen hidden layers with each activation in use."""
    task, found = TASKS[task_name], []
    for net in task.nets:
        for name, rule in RULES.items():
            if rule.family not in task.families or ("convnet" in net and not rule.needs.convolutions):
                continue
            activation = "relu" if "relu" in rule.needs.activations else rule.needs.activations[0]
            found.append(Job(task_name, net, name, activation))
        for activation in dict.fromkeys(job.activation for job in found if job.net == net):
            found.append(Job(task_name, net, FrozenHidden.name, activation))
    return [job for job in found if not chosen or job.rule in chosen]


def held_out(data: Dataset, items: int) -> Dataset:
    """Four fifths of the first training items to train on, the last fifth to judge rates by."""
    part = data.train.first(items)
    cut = 4 * len(part) // 5
    return replace(data, train=part.first(cut), test=Split(part.inputs[cut:], part.labels[cut:]))


def trained(
    job: Job, data: Dataset, rate: float, epochs: int, seed: int
) -> tuple[Run, list[float], list[float], float]:
    """A run, its angles before and after, and its seconds."""
    task = TASKS[job.task]
    net = task.nets[job.net](activation=job.activation, seed=seed)
    rule = rule_type(job.rule).for_net(net, seed=seed)
    before = angles(net, rule, data)
    start = time.perf_counter()
    run = train(net, rule, data, epochs=epochs, batch_size=task.batch_size, learning_rate=rate, seed=seed)
    seconds = time.perf_counter() - start
    return run, before, angles(net, rule, data), seconds


def angles(net: LayeredNet, rule: Rule, data: Dataset, items: int = 256) -> list[float]:
    """Degrees between the rule's weight gradient and backprop's, by layer; NaN where the rule has no gradient."""
    if not rule.needs.optimizer:
        return [float("nan")] * len(net.layers)
    mean, std = (255 * torch.tensor(v)[:, None, None] for v in (data.preprocess.mean, data.preprocess.std))
    x = (torch.from_numpy(data.train.inputs[:items]).float() - mean) / std
    y = torch.from_numpy(data.train.labels[:items])
    found = []
    for each in (rule, RULES["backprop"].for_net(net, seed=0)):
        each.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
        found.append([layer.weight.grad.flatten() for layer in net.layers.values()])
    cosines = [torch.cosine_similarity(a, b, dim=0).clamp(-1, 1) for a, b in zip(*found, strict=True)]
    return [round(float(torch.rad2deg(torch.arccos(c))), 1) for c in cosines]


def validated(job: Job, data: Dataset, rate: float) -> float:
    """Accuracy on the held-out fifth; 0 where training diverged."""
    task = TASKS[job.task]
    try:
        return trained(job, held_out(data, task.search_items), rate, task.search_epochs, 0)[0].record["test_accuracy"]
    except InputError:
        return 0.0


def row(folder: Path, job: Job) -> dict[str, Any]:
    """Search, train, test; or read what was found before."""
    path = folder / "rows" / f"{job.label}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    task, rule = TASKS[job.task], rule_type(job.rule)
    data = load_dataset(task.dataset)
    rates = [rule.learning_rate * factor for factor in (FACTORS if rule.needs.optimizer else (1.0,))]
    rate = max(rates, key=lambda rate: validated(job, data, rate))
    runs = [trained(job, data, rate, task.epochs, seed) for seed in task.seeds]
    accuracies = [run.record["test_accuracy"] for run, *_ in runs]
    found = {
        "network": job.net,
        "rule": job.rule,
        "family": rule.family if job.rule in RULES else "control",
        "activation": job.activation,
        "rate": float(f"{rate:.2g}"),
        "accuracy": float(np.mean(accuracies).round(4)),
        "accuracies": " ".join(f"{accuracy:.3f}" for accuracy in accuracies),
        "angle_start": " ".join(f"{angle:.0f}" for angle in np.mean([before for _, before, _, _ in runs], 0)),
        "angle_end": " ".join(f"{angle:.0f}" for angle in np.mean([after for _, _, after, _ in runs], 0)),
        "steps": task.epochs * (len(data.train) // task.batch_size),
        "seconds": float(np.mean([seconds for *_, seconds in runs]).round(1)),
        "published_percent": PUBLISHED[job.task].get(job.rule, ""),
    }
    write_text(path, json.dumps(found, indent=1) + "\n")
    return found


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rules", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    todo = jobs(arguments.task, arguments.rules)
    for number, found in enumerate(completed(partial(row, arguments.out), [todo], arguments.workers), 1):
        print(f"{number}/{len(todo)} {found['network']} {found['rule']}: {found['accuracy']:.3f}", flush=True)
    every = [job for job in jobs(arguments.task, []) if (arguments.out / "rows" / f"{job.label}.json").is_file()]
    table = pd.DataFrame([row(arguments.out, job) for job in every])
    with atomic(arguments.out / f"{arguments.task}.csv") as temporary:
        table.to_csv(temporary, index=False)
    print(table.drop(columns=["published_percent", "accuracies"]).to_string(index=False))


if __name__ == "__main__":
    main()
