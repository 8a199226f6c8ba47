"""What a planned experiment could say of rules, from networks trained for the purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from neurocompare.dataset import Dataset
from neurocompare.errors import InputError, unknown_name
from neurocompare.metrics import METRICS, Metric
from neurocompare.model import Model
from neurocompare.networks import build
from neurocompare.probe import probe
from neurocompare.progress import Track, silent
from neurocompare.recovery.confusion import confusions
from neurocompare.recovery.scores import Network, Networks, recovery_scores
from neurocompare.recovery.simulated import Experiment
from neurocompare.rules import RULES
from neurocompare.stimuli import ImagePreprocess, StimulusSet
from neurocompare.train import Run, train

UNTRAINED = "untrained"
PANEL = ("backprop", "feedback_alignment", "difference_target_propagation", "hebbian", UNTRAINED)
SMALL_NET: Mapping[str, Any] = {"architecture": "convnet", "channels": [32, 64], "hidden": [128]}
LAYER = "conv2"
OF_RESPONSES = ("ridge", "rsa_spearman", "cka_unbiased")
OF_RDMS = ("rsa_spearman", "rsa_tau_a", "rsa_whitened_correlation")
SCORED_AT = {"generating layer": True, "best layer": False}


def plan(
    data: Dataset,
    experiment: Experiment,
    *,
    rules: Sequence[str] = PANEL,
    seeds: Sequence[int] = (0, 1, 2),
    metrics: Sequence[str] = (),
    layer: str = LAYER,
    network: Mapping[str, Any] = SMALL_NET,
    epochs: int = 10,
    replicates: int = 3,
    track: Track = silent,
) -> xr.Dataset:
    """Train networks on a dataset, simulate the experiment from each, and see which rules are recovered.

    The stimuli are test images of the dataset. What comes out holds for these networks; that a real brain is none of them
    makes things harder, not easier.

    Args:
        data: to train on, and to take stimuli from.
        experiment: what is to be measured.
        rules: keys of ``RULES``, or ``"untrained"``; two or more.
        seeds: of networks; two or more, three for more than a first look.
        metrics: keys of ``METRICS``; by default three that the experiment's kind of data allows.
        layer: that is measured.
        network: for ``networks.build``, less shapes and seed.
        epochs: of training.
        replicates: how often each network is measured, with other sites and other noise.
        track: shows progress.
    Returns:
        ``confusions`` along ``metric`` and along ``scored_at``: the layer that generates, or each network's best on other
        stimuli; and ``accuracy (rule, network)`` on the test images.
    Raises:
        InputError: an unknown name, too few seeds or rules, or fewer test images or units than are to be measured.
    """
    metrics = metrics or (OF_RDMS if experiment.subjects else OF_RESPONSES)
    for metric in metrics:
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
    if len(rules) < 2 or len(seeds) < 2:
        raise InputError(f"recovery needs two rules and two seeds or more, but got {list(rules)} and {list(seeds)}")
    stimuli = held_out_images(data, experiment.stimuli)
    networks: dict[tuple[str, int], Network] = {}
    accuracy = np.empty((len(rules), len(seeds)))
    for place, (rule, seed) in enumerate(track([(r, s) for r in rules for s in seeds], "train", accuracy.size)):
        run = trained(data, rule, seed, network=network, epochs=epochs)
        accuracy.flat[place] = run.record["test_accuracy"]
        networks[rule, seed] = hidden_layers(run.model(rule), stimuli, layer)
    settings: dict[str, Any] = {"layer": layer, "replicates": replicates, "track": track}
    tables = [scored_both_ways(networks, experiment, METRICS[metric], **settings) for metric in metrics]
    return xr.concat(tables, pd.Index(metrics, name="metric")).assign(accuracy=(("rule", "network"), accuracy))


def scored_both_ways(networks: Networks, experiment: Experiment, metric: Metric, **settings: Any) -> xr.Dataset:
    """``confusions`` at the generating layer and at each network's best on other stimuli, along ``scored_at``."""
    tables = [
        confusions(recovery_scores(networks, experiment, metric, known_layer=known, **settings))
        for known in SCORED_AT.values()
    ]
    return xr.concat(tables, pd.Index(list(SCORED_AT), name="scored_at"))


def trained(
    data: Dataset,
    rule: str,
    seed: int,
    *,
    network: Mapping[str, Any] = SMALL_NET,
    epochs: int,
    batch_size: int = 64,
    track: Track = silent,
) -> Run:
    """A network that a rule trained, or that nothing did.

    Args:
        data: to train on.
        rule: a key of ``RULES``, or ``"untrained"``.
        seed: of weights, rule and order; rules with one seed start from the same weights.
        network: for ``networks.build``, less shapes and seed.
        epochs, batch_size: of training.
        track: shows progress.
    Raises:
        InputError: an unknown rule, or the rule cannot train such a network.
    """
    if rule not in RULES and rule != UNTRAINED:
        raise unknown_name("rule", rule, [*RULES, UNTRAINED])
    shapes = {"input_shape": list(data.input_shape), "n_classes": data.n_outputs}
    net = build({**network, **shapes, "seed": seed})
    fitted = RULES["backprop" if rule == UNTRAINED else rule].for_net(net, seed=seed)
    epochs = 0 if rule == UNTRAINED else epochs
    return train(net, fitted, data, epochs=epochs, batch_size=batch_size, seed=seed, track=track)


def hidden_layers(model: Model, stimuli: StimulusSet, layer: str) -> Network:
    """What a network makes of stimuli: all layers but the readout, and the features of the one that sites will be from."""
    if layer not in model.layers[:-1]:
        raise unknown_name("hidden layer", layer, model.layers[:-1])
    probed = probe(model, stimuli, model.layers[:-1], keep_features=True)
    return {name: one if name == layer else replace(one, features=None) for name, one in probed.items()}


def held_out_images(data: Dataset, n: int) -> StimulusSet:
    """The first test images of a dataset as stimuli.

    Raises:
        InputError: it has fewer, or none that are images.
    """
    if not isinstance(data.preprocess, ImagePreprocess):
        raise InputError(f"the inputs of {data.name} are no images; train on a dataset of images")
    if n > len(data.test):
        raise InputError(
            f"{n} stimuli are wanted, but {data.name} has {len(data.test)} test images; use a larger dataset"
        )
    pixels = {f"test{i:05d}": np.moveaxis(image, 0, -1).squeeze() for i, image in enumerate(data.test.inputs[:n])}
    return StimulusSet(f"{data.name}, test images", tuple(pixels), lambda name: Image.fromarray(pixels[name]))
