"""Perceptual learning: where in a network it happens, how far it transfers, and why it comes in stages.

First the tilt of a Gabor grating, clockwise or not of a reference, at five precisions, in a convnet that has learnt another
task before (after Wenliang & Seitz 2018, J. Neurosci. 38:6028, who took AlexNet). They found that finer discriminations
change lower layers more and transfer less to other orientations and spatial frequencies. Changes of weights are theirs, the
sum of ``|w - w_before|`` over that of ``|w_before|``; the readout starts from zero, as theirs. Their network compared each
grating with a reference; ours is shown one grating at a time, and is tested without a criterion: how often does the more
clockwise of two gratings give the larger answer (two-alternative forced choice, the area under the ROC curve)?

Then linear networks, where learning is known in closed form (Saxe, McClelland & Ganguli 2014, arXiv:1312.6120). A mode with
singular value s, which starts at a0, grows as ``a(t) = s e^(2st) / (e^(2st) - 1 + s / a0)``, in a stage around
``ln(s / a0 - 1) / 2s``. In a chain of two weights gradient descent keeps ``w1^2 - w2^2`` (there, too); so from
``w1 = 1, w2 = 0`` the share of the lower weight in all change grows with the gain ``w1 w2`` that a task demands. Under
feedback alignment, with the feedback weight b, ``w1^2 - 2 b w2`` is kept instead.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import xarray as xr

from analyses._results import write
from analyses.gratings import (
    CONDITIONS,
    FREQUENCY,
    PRECISIONS,
    SIDE,
    Gratings,
    forced_choice,
    gabor,
    photographs,
    textures,
)
from analyses.linear_stages import linear
from analyses.perceptual_learning_figures import findings, plot
from neurocompare.dataset import Dataset
from neurocompare.losses import cross_entropy
from neurocompare.networks import LayeredNet, convnet
from neurocompare.rules import RULES
from neurocompare.stimuli import ImagePreprocess
from neurocompare.train import train

NAMES = ("backprop", "sign_symmetry", "feedback_alignment", "direct_feedback_alignment", "node_perturbation")
CHANNELS, BATCH, MOMENTUM = (16, 32, 64, 64), 20, 0.9
RATES = tuple(10**power for power in np.arange(-5, -0.5, 0.5).tolist())
RATED = {1000: 0.0, 1001: 45.0}  # seed and reference of the trials in which a rule's rate is chosen
TESTED = 500  # gratings of either kind


def experienced(data: Dataset, epochs: int, seed: int) -> tuple[LayeredNet, float]:
    """A network that learnt ``data`` by backprop, with a readout of two units and zero weights; its accuracy before that."""
    before, net = (
        convnet(n, input_shape=(1, SIDE, SIDE), channels=CHANNELS, hidden=(), seed=seed) for n in (len(data.classes), 2)
    )
    run = train(before, RULES["backprop"].for_net(before, seed=seed), data, epochs=epochs, seed=seed)
    kept = {name: value for name, value in before.state_dict().items() if not name.startswith("readout")}
    net.load_state_dict({**net.state_dict(), **kept})
    with torch.no_grad():
        net.get_parameter("readout.weight").zero_()
    return net, run.record["test_accuracy"]


def practise(net: LayeredNet, name: str, task: Gratings, rate: float, steps: int, seed: int) -> np.ndarray:
    """Train ``net`` in place under a rule; the loss of each step (infinite from where it diverges)."""
    rule, noise = RULES[name].for_net(net, seed=seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD([*net.parameters(), *rule.parameters()], lr=rate, momentum=MOMENTUM)
    losses = np.full(steps, np.inf)
    for step in range(steps):
        losses[step] = float(rule.step(net, optimizer, *task.draw(BATCH, noise), cross_entropy, noise).loss)
        if not np.isfinite(losses[step]):
            losses[step:] = np.inf
            break
    return losses


def best_rate(net: LayeredNet, name: str, scale: ImagePreprocess, steps: int) -> float:
    """Of ``RATES`` the one with the lowest mean loss, for the finest discrimination at two orientations not used later."""
    means = []
    for rate in RATES:
        tasks = {seed: Gratings(scale, turn, min(PRECISIONS)) for seed, turn in RATED.items()}
        means.append(np.mean([practise(copy.deepcopy(net), name, t, rate, steps, s) for s, t in tasks.items()]))
    return RATES[int(np.argmin(means))]


def relative_changes(before: LayeredNet, after: LayeredNet) -> np.ndarray:
    """The sum of ``|w - w_before|`` over that of ``|w_before|``, of each layer but the readout."""
    pairs = list(zip(before.layers.values(), after.layers.values(), strict=True))[:-1]
    return np.array([float(((b.weight - a.weight).abs().sum() / a.weight.abs().sum()).detach()) for a, b in pairs])


def centroid(changes: np.ndarray) -> float:
    """The mean number of a layer, the lowest being 1, weighted by how much it changed."""
    return float(changes @ np.arange(1, len(changes) + 1) / changes.sum())


@torch.no_grad()
def slopes(net: LayeredNet, scale: ImagePreprocess, angle: float, width: float = 1.0) -> np.ndarray:
    """The steepness of tuning curves at an orientation, mean over each layer's units, per degree, readout left out.

    ``|f(angle + width) - f(angle - width)| / 2 width``, as a fraction of the unit's largest response to any orientation
    of the trained frequency, without noise; units that never respond are left out.
    """
    angles = [angle + width, angle - width, *np.arange(0, 180, 7.5)]
    x = torch.from_numpy(np.stack([gabor(a) for a in angles])[:, None]).float()
    activities = list(net.activities((x - scale.mean[0]) / scale.std[0]).values())[:-1]
    found = []
    for h in (each.flatten(1) for each in activities):
        largest = h.amax(0)
        steep = (h[0] - h[1]).abs()[largest > 0] / largest[largest > 0] / (2 * width)
        found.append(float(steep.mean()))
    return np.array(found)


@torch.no_grad()
def accuracies(net: LayeredNet, scale: ImagePreprocess, reference: float, precision: float, seed: int) -> list[float]:
    """The fraction right in forced choice under each of ``CONDITIONS``, gratings as far apart as in training."""
    found, noise = [], torch.Generator().manual_seed(10_000 + seed)
    for turn, factor in CONDITIONS.values():
        x, labels = Gratings(scale, reference + turn, precision, FREQUENCY * factor).draw(2 * TESTED, noise)
        output = net(x)
        found.append(forced_choice((output[:, 1] - output[:, 0]).numpy(), labels.numpy()))
    return found


def trained(
    net: LayeredNet, name: str, scale: ImagePreprocess, precision: float, rate: float, steps: int, seed: int
) -> dict[str, np.ndarray]:
    """One network that practised one task: what changed in it and what it can do; ``net`` is left as it is.

    Returns:
        ``change`` by layer, its ``centroid``; ``slope (place, layer)``, that after over that before, at the reference and at
        right angles to it; ``accuracy`` by ``CONDITIONS``.
    """
    reference = float(np.random.default_rng(seed).uniform(0, 180))
    after = copy.deepcopy(net)
    practise(after, name, Gratings(scale, reference, precision), rate, steps, seed)
    changes = relative_changes(net, after)
    places = reference, reference + 90
    return {
        "change": changes,
        "centroid": np.array(centroid(changes)),
        "slope": np.stack([slopes(after, scale, a) / slopes(net, scale, a) for a in places]),
        "accuracy": np.array(accuracies(after, scale, reference, precision, seed)),
    }


def compute(
    rules: Iterable[str] = NAMES,
    precisions: Iterable[float] = PRECISIONS,
    *,
    steps: int = 400,
    seeds: int = 5,
    before: Dataset | None = None,
    epochs: int = 5,
    rates: dict[str, float] | None = None,
    first_seed: int = 0,
) -> xr.Dataset:
    """Both parts; at the defaults six minutes of one core.

    Args:
        rules: that gratings are learnt under.
        precisions: degrees from the reference.
        steps, seeds: of practice, batches of 20; a seed has its own network, reference and noise.
        before: what networks learn before, by backprop; 10,000 photographs by default.
        epochs: of that.
        rates: of learning; by default ``best_rate`` finds each rule's.
        first_seed: of the networks.
    Returns:
        What ``trained`` and ``linear`` return, the former over ``rule``, ``precision`` and ``seed``; ``ideal (precision)``,
        an ideal observer's fraction right; ``rate (rule)``; ``accuracy_before (seed)`` in the task that came before.
    """
    rules, precisions, data = list(rules), list(precisions), before or photographs(10_000)
    scale = cast(ImagePreprocess, data.preprocess)
    numbers = range(first_seed, first_seed + seeds)
    nets, accuracy = zip(*(experienced(data, epochs, seed) for seed in numbers), strict=True)
    rates = rates or {name: best_rate(experienced(data, epochs, min(RATED))[0], name, scale, steps) for name in rules}
    runs = [
        [
            [trained(net, name, scale, p, rates[name], steps, seed) for seed, net in zip(numbers, nets, strict=True)]
            for p in precisions
        ]
        for name in rules
    ]
    further = {"change": ("layer",), "centroid": (), "slope": ("place", "layer"), "accuracy": ("condition",)}
    stacked = {name: np.array([[[run[name] for run in row] for row in rows] for rows in runs]) for name in further}
    gratings = xr.Dataset(
        {
            **{name: (("rule", "precision", "seed", *dims), stacked[name]) for name, dims in further.items()},
            "ideal": ("precision", [Gratings(scale, 0.0, precision).ideal() for precision in precisions]),
            "rate": ("rule", [rates[name] for name in rules]),
            "accuracy_before": ("seed", list(accuracy)),
        },
        coords={
            "rule": rules,
            "precision": precisions,
            "layer": list(nets[0].layers)[:-1],
            "place": ["trained", "at right angles"],
            "condition": list(CONDITIONS),
        },
    )
    return xr.merge([gratings, linear()]).assign_attrs(before=data.name, steps=steps, batch=BATCH)


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print what came out, and write netCDF and figures into ``folder``; returns their paths."""
    started = time.perf_counter()
    computed = partial(compute, first_seed=first_seed)
    if quick:
        known = {"backprop": 3e-3, "feedback_alignment": 3e-3}
        dataset = computed(known, (1.0, 3.0, 10.0), steps=100, seeds=3, before=textures(1000), epochs=3, rates=known)
    else:
        dataset = computed()
    print(f"{'quick' if quick else 'full'} version, computed in {time.perf_counter() - started:.0f} s")
    print(*findings(dataset), sep="\n")
    return write("perceptual_learning", dataset, plot(dataset), folder)
