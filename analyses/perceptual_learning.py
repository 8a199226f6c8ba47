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
from pathlib import Path
from typing import cast

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm, rankdata
from torch import Tensor

from analyses._results import write
from data_loaders import load_cifar10_jpeg
from neurocompare import plot as figures
from neurocompare.dataset import Dataset, Split, image_dataset
from neurocompare.errors import DataUnavailable
from neurocompare.inference import seed_interval
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, convnet, mlp
from neurocompare.rules import RULES
from neurocompare.stimuli import ImagePreprocess
from neurocompare.train import train

SIDE, SIGMA = 32, 7.0  # pixels
FREQUENCY, CONTRAST, NOISE = 4.0, 0.5, 15 / 255  # cycles per image; Michelson; standard deviation per pixel, white is 1
PRECISIONS = (0.5, 1.0, 2.0, 5.0, 10.0)  # degrees from the reference
# Transfer: degrees added to the reference, factor of the spatial frequency.
CONDITIONS = {
    "trained": (0, 1.0),
    "45 degrees": (45, 1.0),
    "90 degrees": (90, 1.0),
    "half the frequency": (0, 0.5),
    "twice the frequency": (0, 2.0),
}
NAMES = ("backprop", "sign_symmetry", "feedback_alignment", "direct_feedback_alignment", "node_perturbation")
CHANNELS, BATCH, MOMENTUM = (16, 32, 64, 64), 20, 0.9
RATES = tuple(10**power for power in np.arange(-5, -0.5, 0.5).tolist())
RATED = {1000: 0.0, 1001: 45.0}  # seed and reference of the trials in which a rule's rate is chosen
TESTED = 500  # gratings of either kind
LEARNT = 0.6  # below this fraction correct, what transfers is not asked

# Four items, one property of all, one of each pair, one of each item.
TREE = np.vstack([np.ones((1, 4)), np.kron(np.eye(2), np.ones((1, 2))), np.eye(4)])
START, STEP, DURATION, LEARNERS = 1e-3, 0.02, 12.0, ("backprop", "feedback_alignment")
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)


def gabor(angle: float, *, frequency: float = FREQUENCY, contrast: float = CONTRAST, phase: float = 0.0) -> np.ndarray:
    """A grating under a round Gaussian window, ``(SIDE, SIDE)``, mean luminance 0.5.

    Args:
        angle: from rightwards to where the wave runs, counterclockwise, degrees.
        frequency: cycles per image.
        contrast: of the middle, from 0 to 1.
        phase: degrees; 0 has its maximum in the middle.
    """
    y, x = (SIDE - 1) / 2 - np.mgrid[:SIDE, :SIDE]
    along = -x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
    wave = np.cos(2 * np.pi * frequency / SIDE * along - np.deg2rad(phase))
    return 0.5 + 0.5 * contrast * np.exp(-(x**2 + y**2) / (2 * SIGMA**2)) * wave


class Gratings:
    """Noisy gratings, a little clockwise (label 1) or counterclockwise (0) of a reference, scaled for a network."""

    def __init__(
        self, scale: ImagePreprocess, reference: float, precision: float, frequency: float = FREQUENCY
    ) -> None:
        self.mean, self.std = scale.mean[0], scale.std[0]
        tilted = [gabor(reference + sign * precision, frequency=frequency) for sign in (1, -1)]
        self.clean = torch.from_numpy(np.stack(tilted)[:, None]).float()

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``(n, 1, SIDE, SIDE)`` and labels, alternating."""
        labels = torch.arange(n) % 2
        noise = NOISE * torch.randn(n, 1, SIDE, SIDE, generator=generator)
        return (self.clean[labels] + noise - self.mean) / self.std, labels

    def ideal(self) -> float:
        """The fraction right of an ideal observer of two gratings, ``Phi(d' / sqrt 2)`` (Green & Swets 1966)."""
        return float(norm.cdf(float((self.clean[0] - self.clean[1]).norm()) / NOISE / 2**0.5))


def forced_choice(answers: np.ndarray, labels: np.ndarray) -> float:
    """How often a grating of label 1 gives the larger answer than one of label 0; ties count half."""
    ones = labels == 1
    n = int(ones.sum())
    return float((rankdata(answers)[ones].sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


def textures(n: int, seed: int = 0) -> Dataset:
    """A task for networks to learn before where there are no photographs: eight orientations, all else at random."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 8
    images = [
        gabor(22.5 * label + rng.uniform(-5, 5), frequency=2 ** rng.uniform(1, 3), phase=rng.uniform(0, 360))
        for label in labels
    ]
    noisy = np.clip(255 * (np.stack(images)[:, None] + rng.normal(0, 2 * NOISE, (n, 1, SIDE, SIDE))), 0, 255)
    pixels, cut = noisy.round().astype(np.uint8), n - n // 5
    first, second = Split(pixels[:cut], labels[:cut]), Split(pixels[cut:], labels[cut:])
    names = tuple(f"{22.5 * i:g} degrees" for i in range(8))
    return image_dataset("textures", first, second, names, citation="analyses.perceptual_learning", licence="none")


def photographs(n: int) -> Dataset:
    """CIFAR-10 in grey; ``textures`` where it cannot be had."""
    try:
        colour = load_cifar10_jpeg(train_items=n, test_items=n // 5)
    except DataUnavailable:
        return textures(n)
    luma = np.array([0.299, 0.587, 0.114])[:, None, None]
    first, second = (
        Split((split.inputs * luma).sum(1, keepdims=True).round().astype(np.uint8), split.labels)
        for split in (colour.train, colour.test)
    )
    return image_dataset(
        "cifar10_jpeg, grey", first, second, colour.classes, citation=colour.citation, licence=colour.licence
    )


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


def strength(t: np.ndarray, s: float, start: float) -> np.ndarray:
    """``a(t)`` of a mode with singular value s (Saxe et al. 2014; time in units of their tau)."""
    grown = np.exp(2 * s * t)
    return s * grown / (grown - 1 + s / start)


def half_time(s: float, start: float) -> float:
    """When a mode is half learnt."""
    return float(np.log(s / start - 1) / (2 * s))


def step_error(t: np.ndarray, s: float, start: float, step: float) -> np.ndarray:
    """What gradient descent with a small step adds to ``strength``, to first order in the step.

    For each of two equal weights ``b' = f(b) = b (s - b^2)``, ``a = b^2``. One step of Euler's method leaves out
    ``step^2 f' f / 2``, so the error is ``f c`` with ``c' = -step f' / 2``: that of b is ``-(step / 2) f ln(f / f_0)``.
    """
    b = np.sqrt(strength(t, s, start))
    flow, at_start = b * (s - b**2), start**0.5 * (s - start)
    return -step * b * flow * np.log(np.maximum(flow, 1e-300) / at_start)


def teacher(targets: Tensor) -> Loss:
    """``|output - target|^2 / 2``, a label being the number of a row of ``targets``."""
    return Loss("teacher", lambda out, y: 0.5 * (out - targets[y]).square().sum(1), lambda out, y: out - targets[y])


def learn_tree(
    name: str, *, aligned: bool = True, step: float = STEP, duration: float = DURATION, seed: int = 0
) -> np.ndarray:
    """Strengths ``u^T W2 W1 v`` of the modes of ``TREE / 2`` in a linear network, ``(steps + 1, modes)``.

    The four items are orthogonal inputs of unit covariance. ``aligned`` weights start on the modes, each at ``START``;
    else they are random, of variance ``START``.
    """
    net = mlp(len(TREE), input_shape=(4,), hidden=(8,), activation="identity", seed=seed).double()
    lower, upper = (layer.weight for layer in net.layers.values())
    u, _, v = (torch.from_numpy(part) for part in np.linalg.svd(TREE / 2, full_matrices=False))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        between = torch.linalg.qr(torch.randn(8, 4, generator=generator, dtype=torch.float64)).Q
        for weight, modes in ((lower, between @ v), (upper, u @ between.T)):
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(START**0.5 * (modes if aligned else drawn))
    rule, loss = RULES[name].for_net(net, seed=seed), teacher(torch.from_numpy(TREE.T.copy()))
    optimizer = torch.optim.SGD([lower, upper], lr=step)
    x, y, found = 2 * torch.eye(4, dtype=torch.float64), torch.arange(4), []
    for _ in range(round(duration / step) + 1):
        found.append((u.T @ upper.detach() @ lower.detach() @ v.T).diagonal().numpy().copy())
        rule.step(net, optimizer, x, y, loss)
    return np.array(found)


def learn_chain(name: str, gain: float, steps: int = 600) -> np.ndarray:
    """Two weights, from 1 and 0 until their product is ``gain``, ``(steps + 1, 2)``; a feedback weight is 1."""
    net = mlp(1, input_shape=(1,), hidden=(1,), activation="identity", seed=0).double()
    weights = [layer.weight for layer in net.layers.values()]
    rule = RULES[name].for_net(net, seed=0)
    with torch.no_grad():
        for parameter, value in ((weights[0], 1), (weights[1], 0), *((buffer, 1) for buffer in rule.buffers())):
            parameter.fill_(value)
    optimizer, loss = torch.optim.SGD(weights, lr=STEP / max(gain, 1)), teacher(torch.full((1, 1), gain).double())
    found = []
    for _ in range(steps + 1):
        found.append([float(weight.detach()) for weight in weights])
        rule.step(net, optimizer, torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.long), loss)
    return np.array(found)


def settled(name: str, gain: float) -> tuple[float, float]:
    """Where ``learn_chain`` ends with vanishing steps: ``w1^2 - w2^2 = 1``, or ``w1^2 - 2 w2 = 1``, and ``w1 w2 = gain``."""
    if name == "backprop":
        lower = ((1 + (1 + 4 * gain**2) ** 0.5) / 2) ** 0.5
    else:
        lower = max(root.real for root in np.roots([1, 0, -1, -2 * gain]) if abs(root.imag) < 1e-9)
    return lower, gain / lower


def lower_share(lower: float, upper: float) -> float:
    """Of the lower weight in the changes of both, from 1 and 0."""
    return (lower - 1) / (lower - 1 + upper)


def linear() -> xr.Dataset:
    """Stages and shares; times in units of tau.

    Returns:
        ``tree (learner, start, time, mode)``, ``closed_form`` and ``step_error (time, mode)``, ``half_theory (mode)``;
        ``share`` and ``share_theory (learner, gain)``, ``half_changed (learner, gain, weight)`` in steps.
    """
    singular = np.linalg.svd(TREE / 2, compute_uv=False)
    t = STEP * np.arange(round(DURATION / STEP) + 1)
    tree = [[learn_tree(name, aligned=aligned) for aligned in (True, False)] for name in LEARNERS]
    chains = [[learn_chain(name, gain) for gain in GAINS] for name in LEARNERS]
    halves = [[_first(chain - chain[0] >= 0.5 * (chain[-1] - chain[0])) for chain in row] for row in chains]
    return xr.Dataset(
        {
            "tree": (("learner", "start", "time", "mode"), np.array(tree)),
            "closed_form": (("time", "mode"), np.stack([strength(t, s, START) for s in singular], 1)),
            "step_error": (("time", "mode"), np.stack([step_error(t, s, START, STEP) for s in singular], 1)),
            "half_theory": ("mode", [half_time(s, START) for s in singular]),
            "share": (("learner", "gain"), [[lower_share(*chain[-1]) for chain in row] for row in chains]),
            "share_theory": (("learner", "gain"), [[lower_share(*settled(n, g)) for g in GAINS] for n in LEARNERS]),
            "half_changed": (("learner", "gain", "weight"), np.array(halves)),
        },
        coords={
            "learner": list(LEARNERS),
            "start": ["aligned", "random"],
            "time": t,
            "mode": singular,
            "gain": list(GAINS),
            "weight": ["lower", "upper"],
        },
    )


def _first(reached: np.ndarray) -> np.ndarray:
    """The first step at which something is true, along the first axis; NaN where it never is."""
    return np.where(reached.any(0), reached.argmax(0), np.nan)


def compute(
    rules: Iterable[str] = NAMES,
    precisions: Iterable[float] = PRECISIONS,
    *,
    steps: int = 400,
    seeds: int = 5,
    before: Dataset | None = None,
    epochs: int = 5,
    rates: dict[str, float] | None = None,
) -> xr.Dataset:
    """Both parts; at the defaults six minutes of one core.

    Args:
        rules: that gratings are learnt under.
        precisions: degrees from the reference.
        steps, seeds: of practice, batches of 20; a seed has its own network, reference and noise.
        before: what networks learn before, by backprop; 10,000 photographs by default.
        epochs: of that.
        rates: of learning; by default ``best_rate`` finds each rule's.
    Returns:
        What ``trained`` and ``linear`` return, the former over ``rule``, ``precision`` and ``seed``; ``ideal (precision)``,
        an ideal observer's fraction right; ``rate (rule)``; ``accuracy_before (seed)`` in the task that came before.
    """
    rules, precisions, data = list(rules), list(precisions), before or photographs(10_000)
    scale = cast(ImagePreprocess, data.preprocess)
    nets, accuracy = zip(*(experienced(data, epochs, seed) for seed in range(seeds)), strict=True)
    rates = rates or {name: best_rate(experienced(data, epochs, min(RATED))[0], name, scale, steps) for name in rules}
    runs = [
        [[trained(net, name, scale, p, rates[name], steps, seed) for seed, net in enumerate(nets)] for p in precisions]
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


def transfer(dataset: xr.Dataset) -> xr.Dataset:
    """``(accuracy - 1/2)`` of what was not trained over that of what was, mean of two conditions each; NaN if not learnt."""
    above = dataset["accuracy"] - 0.5
    learnt = above.sel(condition="trained").where(above.sel(condition="trained") >= LEARNT - 0.5)
    pairs = {"orientation": ["45 degrees", "90 degrees"], "frequency": ["half the frequency", "twice the frequency"]}
    return xr.Dataset({name: above.sel(condition=pair).mean("condition") / learnt for name, pair in pairs.items()})


def plot(dataset: xr.Dataset) -> Figure:
    """Above, gratings in convnets; below right, linear networks."""
    figure = Figure(figsize=(14, 7.4), layout="constrained")
    axes = figure.subplots(2, 4)
    _stimuli(axes[0, 0])
    _accuracy(axes[0, 1], dataset)
    _changes(axes[0, 2], dataset)
    _over_precision(axes[0, 3], dataset["centroid"], "mean layer of change (1: conv1)", "where weights change")
    _over_precision(
        axes[1, 0], transfer(dataset)["frequency"], "transfer / learning, above chance", "transfer to other frequencies"
    )
    _tuning(axes[1, 1], dataset)
    _stages(axes[1, 2], dataset)
    _shares(axes[1, 3], dataset)
    for axis in axes.flat[1:]:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    n = f"{dataset.sizes['seed']} networks that learnt {dataset.attrs['before']} before"
    practice = f"{dataset.attrs['steps']} steps of practice, batches of {dataset.attrs['batch']}"
    figure.legend(*axes[0, 3].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8,
                  title=f"{n}, {practice}; bars: 95 % t interval", title_fontsize=8)  # fmt: skip
    return figure


def _stimuli(axis: Axes) -> None:
    rng = np.random.default_rng(0)
    tilts = (0.0, min(PRECISIONS), max(PRECISIONS))
    shown = [[gabor(30 + sign * tilt) + rng.normal(0, NOISE, (SIDE, SIDE)) for sign in (1, -1)] for tilt in tilts[1:]]
    axis.imshow(np.block(shown), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(
        f"±{tilts[1]:g} (above) and ±{tilts[2]:g} degrees; {SIDE} x {SIDE} pixels,\n{FREQUENCY:g} cycles/image, contrast "
        f"{CONTRAST:g}, noise s.d. {NOISE:.3f} of white",
        fontsize=8,
    )


def _line(
    axis: Axes,
    x: xr.DataArray | np.ndarray,
    values: xr.DataArray,
    colour: str,
    marker: str,
    dash: str,
    label: str | None,
) -> None:
    """Means over seeds with 95 % t intervals; no bars where there are too few for one."""
    values = values.transpose("seed", ...)
    half = [np.nan_to_num(np.diff(seed_interval(column))[0] / 2) for column in values.values.T]
    axis.errorbar(x, values.mean("seed"), yerr=half, color=colour, marker=marker, linestyle=dash, markersize=4, linewidth=1,
                  capsize=2, elinewidth=0.8, label=label)  # fmt: skip


def _precisions(axis: Axes, dataset: xr.Dataset | xr.DataArray) -> None:
    axis.set_xscale("log")
    axis.set_xticks(dataset["precision"].values, [f"{p:g}" for p in dataset["precision"].values])
    axis.minorticks_off()
    axis.set_xlabel("precision: degrees from the reference", fontsize=8)


def _accuracy(axis: Axes, dataset: xr.Dataset) -> None:
    colour, _, _ = figures.style_of("backprop")
    part, looks = dataset["accuracy"].isel(rule=0), zip("osD^v", ("-", "--", "--", ":", ":"), strict=True)
    for condition, (marker, dash) in zip(CONDITIONS, looks, strict=True):
        shade = colour if condition == "trained" else "#777777"
        _line(axis, dataset["precision"], part.sel(condition=condition), shade, marker, dash, condition)
    axis.plot(dataset["precision"], dataset["ideal"], color="k", linewidth=0.8, linestyle="-.", label="ideal observer")
    axis.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
    _precisions(axis, dataset)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("fraction right, forced choice", fontsize=8)
    axis.set_title(f"what is learnt and what transfers ({RULES[str(dataset['rule'].values[0])].short})", fontsize=8)
    axis.legend(frameon=False, fontsize=6.5)


def _changes(axis: Axes, dataset: xr.Dataset) -> None:
    part, places = dataset["change"].isel(rule=0), np.arange(dataset.sizes["layer"])
    for i, precision in enumerate(dataset["precision"].values):
        shade = str(0.75 * i / max(dataset.sizes["precision"] - 1, 1))
        _line(axis, places, part.sel(precision=precision), shade, "osD^v"[i % 5], "-", f"±{precision:g} degrees")
    axis.set_xticks(places, dataset["layer"].values)
    axis.set_yscale("log")
    axis.set_ylabel("change of weights / weights", fontsize=8)
    axis.set_title(f"how much weights change ({RULES[str(dataset['rule'].values[0])].short})", fontsize=8)
    axis.legend(frameon=False, fontsize=6.5, loc="lower left")


def _over_precision(axis: Axes, values: xr.DataArray, label: str, title: str) -> None:
    for name in map(str, values["rule"].values):
        shown = f"{name.replace('_', ' ')} ({RULES[name].short})"
        _line(axis, values["precision"], values.sel(rule=name), *figures.style_of(name), shown)
    _precisions(axis, values)
    axis.set_ylabel(label, fontsize=8)
    axis.set_title(title, fontsize=8)


def _tuning(axis: Axes, dataset: xr.Dataset) -> None:
    places = np.arange(dataset.sizes["layer"])
    for name in map(str, dataset["rule"].values):
        colour, marker, _ = figures.style_of(name)
        for place, dash in (("trained", "-"), ("at right angles", ":")):
            _line(
                axis, places, dataset["slope"].sel(rule=name, place=place).isel(precision=0), colour, marker, dash, None
            )
    axis.axhline(1, color="#999999", linewidth=0.8)
    axis.set_yscale("log")
    axis.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axis.minorticks_off()
    axis.set_xticks(places, dataset["layer"].values)
    axis.set_ylabel("slope of tuning curves, after / before", fontsize=8)
    finest = f"practice at {float(dataset['precision'][0]):g} degrees"
    axis.set_title(f"{finest}\nsolid: at the trained orientation, dotted: at right angles", fontsize=8)


def _stages(axis: Axes, dataset: xr.Dataset) -> None:
    for name, dash in zip(LEARNERS, ("-", "--"), strict=True):
        tree = dataset["tree"].sel(learner=name, start="aligned")
        lines = axis.plot(dataset["time"], tree, color=figures.style_of(name)[0], linestyle=dash, linewidth=1.5)
        lines[0].set_label(RULES[name].short)
    closed = axis.plot(dataset["time"], dataset["closed_form"], color="k", linestyle=":", linewidth=1)
    closed[0].set_label("closed form (Saxe et al. 2014)")
    axis.set_xlabel("time, units of tau", fontsize=8)
    axis.set_ylabel("strength of a mode", fontsize=8)
    axis.set_title("stages in a linear network with one hidden layer", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _shares(axis: Axes, dataset: xr.Dataset) -> None:
    fine = np.geomspace(min(GAINS), max(GAINS), 100)
    for name in LEARNERS:
        colour, marker, _ = figures.style_of(name)
        axis.plot(fine, [lower_share(*settled(name, gain)) for gain in fine], "k:", linewidth=1)
        axis.plot(dataset["gain"], dataset["share"].sel(learner=name), marker, color=colour, markersize=5,
                  label=RULES[name].short)  # fmt: skip
    axis.plot([], [], "k:", linewidth=1, label="from what is conserved")
    axis.set_xscale("log")
    axis.set_xticks(GAINS, [f"{gain:g}" for gain in GAINS])
    axis.minorticks_off()
    axis.set_ylim(0, 0.6)
    axis.set_xlabel("gain that the task demands (finer to the right)", fontsize=8)
    axis.set_ylabel("lower weight's share of the change", fontsize=8)
    axis.set_title("a chain of two linear weights, from 1 and 0", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def findings(dataset: xr.Dataset) -> list[str]:
    """What was published and what came out, in words; means with 95 % t intervals over seeds."""
    said = [
        f"gratings; networks that learnt {dataset.attrs['before']} before (accuracy {_words(dataset['accuracy_before'])}):"
    ]
    for name in map(str, dataset["rule"].values):
        part = dataset.sel(rule=name)
        said.append(f"{name}, rate {float(part['rate']):.1e}; fraction right, finest task first:")
        for condition in CONDITIONS:
            said.append(f"  {condition}: {_list(part['accuracy'].sel(condition=condition).mean('seed'))}")
        moved, (along, across) = transfer(part), (part["slope"].isel(place=i, precision=0, layer=-1) for i in (0, 1))
        total = part["change"].mean("layer")
        claims = {
            "finer tasks change weights more (log2 of the mean change, per octave)": -_per_octave(
                total.copy(data=np.log2(total))
            ),
            "finer tasks change lower layers (layers per octave)": _per_octave(part["centroid"]),
            "finer tasks transfer less to other orientations (signed, per octave)": _per_octave(moved["orientation"]),
            "finer tasks transfer less to other frequencies (signed, per octave)": _per_octave(moved["frequency"]),
            "tuning steepens more at the trained orientation than at right angles (last layer, finest task)": along
            - across,
        }
        said += [_claim(text, values) for text, values in claims.items()]
    return [*said, *_of_linear(dataset)]


def _per_octave(values: xr.DataArray) -> xr.DataArray:
    """The slope over ``log2`` of the precision in degrees, by least squares for each seed; NaN without three points."""
    x = np.log2(values["precision"].values)
    found = []
    for row in values.transpose("seed", "precision").values:
        known = np.isfinite(row)
        found.append(np.polyfit(x[known], row[known], 1)[0] if known.sum() > 2 else np.nan)
    return xr.DataArray(found, dims="seed")


def _claim(text: str, values: xr.DataArray) -> str:
    """A claim that something is positive, judged by its interval over those seeds for which it is known."""
    known = values.dropna("seed")
    low, high = seed_interval(known.values)
    verdict = "reproduced" if low > 0 else "NOT reproduced, the reverse holds" if high < 0 else "undecided"
    return f"  {text}: {_words(known)}, n = {known.size}: {verdict}"


def _words(values: xr.DataArray) -> str:
    low, high = seed_interval(values.values)
    return f"{float(values.mean()) if values.size else np.nan:.3f} [{low:.3f}, {high:.3f}]"


def _of_linear(dataset: xr.Dataset) -> list[str]:
    aligned = dataset["tree"].sel(learner="backprop", start="aligned")
    off, predicted = aligned - dataset["closed_form"], dataset["step_error"]
    said = [
        f"linear network, step {STEP}: largest deviation from the closed form {float(abs(off).max()):.5f}; what the step "
        f"adds to first order {float(abs(predicted).max()):.5f}, left {float(abs(off - predicted).max()):.5f}",
        f"  singular values {_list(dataset['mode'])}; by the closed form half learnt at {_list(dataset['half_theory'])}",
    ]
    falls = np.diff(dataset["mode"]) < -1e-9  # two are equal
    for name in LEARNERS:
        for start in dataset["start"].values:
            tree = dataset["tree"].sel(learner=name, start=start)
            half = STEP * _first(tree.values >= dataset["mode"].values / 2)
            ordered = "in" if (np.diff(half)[falls] > 0).all() else "NOT in"
            said.append(f"  {name}, {start} start: at {_list(half)}; {ordered} the order of singular values")
    for name in LEARNERS:
        part = dataset.sel(learner=name)
        share, halves = part["share"], part["half_changed"]
        later = int((halves.sel(weight="lower") > halves.sel(weight="upper")).sum())
        trend = "grows" if (np.diff(share) > 0).all() else "falls" if (np.diff(share) < 0).all() else "is not monotonic"
        said.append(
            f"  chain, {name}: the lower weight's share {trend} with the gain, {_list(share)} (from what is "
            f"conserved: {_list(part['share_theory'])}); it changes later than the upper for {later} of {len(GAINS)} gains"
        )
    return said


def _list(values: np.ndarray | xr.DataArray) -> str:
    return ", ".join(f"{float(value):.2f}" for value in np.asarray(values))


def main(folder: Path, quick: bool = False) -> list[Path]:
    """Compute, print what came out, and write netCDF and figures into ``folder``; returns their paths."""
    started = time.perf_counter()
    if quick:
        known = {"backprop": 3e-3, "feedback_alignment": 3e-3}
        dataset = compute(known, (1.0, 3.0, 10.0), steps=100, seeds=3, before=textures(1000), epochs=3, rates=known)
    else:
        dataset = compute()
    print(f"{'quick' if quick else 'full'} version, computed in {time.perf_counter() - started:.0f} s")
    print(*findings(dataset), sep="\n")
    return write("perceptual_learning", dataset, plot(dataset), folder)
