"""A study's folder with real scores of made-up layers, written without any training, for what reads such folders."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from data_loaders import load_benchmark
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.networks import build
from neurocompare.representation import Representation
from neurocompare.rules import RULES
from neurocompare.score import score_layers, undefined
from neurocompare.spec import StudySpec
from neurocompare.stimuli import ImagePreprocess
from neurocompare.study import Entry, Study
from neurocompare.train import Run

NETWORK = {"architecture": "convnet", "channels": [3], "hidden": [16]}
SHAPE = {"input_shape": [1, 8, 8], "n_classes": 10}
LAYERS = ("conv1", "fc1", "readout")
ACCURACY = {"backprop": 0.9, "feedback_alignment": 0.6}
SPEC = StudySpec(
    name="written & not trained",
    dataset="digits",
    rules=("backprop", "feedback_alignment"),
    controls=("untrained", "pixels", "category"),
    seeds=(0, 1, 2),
    network=NETWORK,
    benchmarks={"simulated.rdm": ("rsa_spearman",), "simulated.units": ("ridge",)},
)
_FOLDER = tempfile.TemporaryDirectory()  # until the tests end
REASON = "the stimuli come without labels"


@functools.cache
def finished() -> Study:
    """One that tests share and leave as it is, with runs."""
    study = written(Path(_FOLDER.name))
    save_runs(study)
    return study


def written(folder: Path, spec: StudySpec = SPEC) -> Study:
    """The study, each of its scores computed on random layers; ``category`` has none."""
    study = Study(spec, folder)
    study.claim()
    benchmarks = {name: load_benchmark(name) for name in spec.benchmarks}
    ceilings = {(b, m): METRICS[m].ceiling(benchmarks[b].data) for b, ms in spec.benchmarks.items() for m in ms}
    for entry in study.entries:
        cells = [(step, cell) for step in study.models.steps(entry) for cell in study.cells_of(entry, step)]
        for step, cell in cells:
            benchmark, metric = benchmarks[cell.benchmark], METRICS[cell.metric]
            ceiling = ceilings[cell.benchmark, cell.metric]
            description = describe(entry, step)
            try:
                scored = score_layers(description, layers(entry, benchmark), benchmark, metric, ceiling)
            except InputError as reason:
                scored = undefined(description, benchmark, metric, str(reason), ceiling)
            scored.save(study.cells.score(cell))
    return study


def layers(entry: Entry, benchmark: Benchmark) -> dict[str, Representation]:
    """Noise, reproducible for each entry; with the stimuli's own features, the more of them the deeper."""
    if entry.name == "category":
        raise InputError(REASON)
    rng = np.random.default_rng([sum(map(ord, entry.label))])
    ids = benchmark.stimuli.ids
    shared = np.random.default_rng(0).standard_normal((len(ids), 12))
    names = LAYERS if entry.name in (*SPEC.rules, "untrained") else (entry.name,)
    return {
        name: Representation.from_features(name, ids, depth * shared + rng.standard_normal((len(ids), 12)))
        for depth, name in enumerate(names)
    }


def describe(entry: Entry, step: int | None = None) -> dict:
    """Provenance of a model as a study writes it, after so many steps or at the end."""
    told = {"model": entry.name, "seed": entry.seed, "weights_sha256": "0" * 64}
    if entry.name in RULES:
        told["training"] = training(entry.name, entry.seed or 0)
        if step is not None:
            told["training"] |= {"step": step, "test_accuracy": told["training"]["test_accuracy"] - 1 / step}
    return told


def training(rule: str, seed: int) -> dict:
    """The record of a training that did not take place."""
    return {
        "rule": rule, "rule_seed": seed, "rule_settings": {}, "dataset": "digits", "train_items": 1437, "epochs": 7,
        "batch_size": 64, "optimizer": "Adam", "learning_rate": 0.001 if rule == "backprop" else 0.0003,
        "loss": "cross_entropy", "loss_per_epoch": [1.0], "test_accuracy": ACCURACY[rule] + 0.01 * seed,
    }  # fmt: skip


def save_runs(study: Study) -> None:
    """Weights, as initialised, for the first seed of each rule."""
    for name in study.spec.rules:
        seed = study.spec.seeds[0]
        net = build({**NETWORK, **SHAPE, "seed": seed})
        rule = RULES[name].for_net(net, seed=seed)
        record = {**training(name, seed), "seed": seed}
        Run(net, rule, ImagePreprocess(8, 8, (0.3,), (0.4,)), record).save(study.folder / "runs" / f"{name}-seed{seed}")
