"""How fast a network learns depends on what comes back from its output (Lillicrap et al. 2020, Fig. 1c).

First a linear perceptron, where the speed of gradient descent, node perturbation and weight perturbation is known in closed
form (Werfel, Xie & Seung 2005, Neural Comput. 17:2699): at the best rate one example shrinks the squared distance from
the teacher by ``1 - eta``, on average, with ``eta = 1/(M+2)``, ``1/[(N+2)(M+2)]`` and ``1/[(MN+2)(M+2)]`` for M inputs and N
outputs. Then every rule on handwritten digits: loss against examples, loss against compute, and the angle between its
updates of hidden weights and the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from analyses._results import finish, write
from data_loaders import load_dataset
from neurocompare.dataset import Dataset
from neurocompare.errors import InputError
from neurocompare.hearing import trainable
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, mlp
from neurocompare.rules import RULES, Rule
from neurocompare.rules.costs import COSTS
from neurocompare.train import scaler

INPUTS, OUTPUTS = 4, 2
# Strength of the closed forms' "1 / [(x + 2)(M + 2)]": how many numbers are perturbed at once.
PERTURBED = {"backprop": None, "node_perturbation": OUTPUTS, "weight_perturbation": INPUTS * OUTPUTS}
# One direction per step, with so little noise that the closed forms hold down to tiny distances.
PRECISION = {
    "node_perturbation": {"sigma": 1e-7, "directions": 1},
    "weight_perturbation": {"sigma": 1e-7, "directions": 1},
}
TEACHER = Loss("distance from a silent teacher", lambda out, _: 0.5 * out.square().sum(1), lambda out, _: out)
BATCH, FACTORS, CHECKS = 32, (1 / 3, 1.0, 3.0), 5

# Okabe & Ito's colours, from no feedback to precise feedback.
FAMILIES = {
    "no feedback": "#000000",
    "scalar feedback": "#D55E00",
    "forward only": "#CC79A7",
    "differences in time": "#E69F00",
    "target propagation": "#009E73",
    "differences in space": "#56B4E9",
    "vector feedback": "#0072B2",
}


def best_rate(name: str) -> float:
    """The rate at which a linear perceptron learns fastest, which is also by how much one example shrinks its error."""
    perturbed = PERTURBED[name]
    return 1 / ((INPUTS + 2) * (1 if perturbed is None else perturbed + 2))


def perceptron(name: str, steps: int, replicates: int, first_seed: int = 0) -> np.ndarray:
    """Squared distance of the weights from the teacher's, which are zero; ``(replicates, steps + 1)``, first 1."""
    found = np.empty((replicates, steps + 1))
    generator = torch.Generator().manual_seed(first_seed)
    for replicate in range(replicates):
        net = mlp(OUTPUTS, input_shape=(INPUTS,), hidden=(), seed=first_seed + replicate).double()
        layer = next(iter(net.layers.values()))
        layer.bias.requires_grad_(False)  # the closed forms are for weights alone
        rule = RULES[name].for_net(net, seed=first_seed, **PRECISION.get(name, {}))
        optimizer = torch.optim.SGD([layer.weight], lr=best_rate(name))
        for step in range(steps + 1):
            found[replicate, step] = float(layer.weight.detach().square().sum())
            x = torch.randn(1, INPUTS, generator=generator, dtype=torch.float64)
            rule.step(net, optimizer, x, torch.zeros(1, dtype=torch.long), TEACHER, generator)
    return found / found[:, :1]


def contraction(distances: np.ndarray) -> tuple[float, float]:
    """By how much one example shrinks the squared distance, and the standard error; every step is a sample."""
    shrinkage = 1 - distances[:, 1:] / distances[:, :-1]
    return float(shrinkage.mean()), float(shrinkage.std() / shrinkage.size**0.5)


def learn(name: str, data: Dataset, steps: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each step, ``(steps,)``, and the angle to the gradient at ``CHECKS`` times, in degrees."""
    activation = "relu" if "relu" in RULES[name].needs.activations else RULES[name].needs.activations[0]
    net = mlp(10, input_shape=data.input_shape, hidden=(50, 50), activation=activation, seed=seed)
    rule = RULES[name].for_net(net, seed=seed)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=rate)
    order, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    x, y = _tensors(data)
    losses, angles = np.empty(steps), []
    for step in range(steps):
        if step in np.linspace(0, steps - 1, CHECKS).astype(int):
            angles.append(hidden_angle(net, rule, x[:256], y[:256]))
        rows = torch.from_numpy(order.choice(len(y), BATCH, replace=False))
        losses[step] = float(rule.step(net, optimizer, x[rows], y[rows], cross_entropy, noise).loss)
        if not np.isfinite(losses[step]):
            raise InputError(f"{name} diverged at rate {rate}")
    return losses, np.array(angles)


def _tensors(data: Dataset) -> tuple[Tensor, Tensor]:
    scale = scaler(data.preprocess, torch.device("cpu"))
    return scale(data.train.inputs), torch.from_numpy(data.train.labels)


def hidden_angle(net: LayeredNet, rule: Rule, x: Tensor, y: Tensor) -> float:
    """Mean over hidden layers of the degrees between the rule's weight gradient and the true one; NaN without one."""
    if not rule.needs.optimizer:
        return float("nan")
    gradients = []
    for each in (rule, RULES["backprop"].for_net(net, seed=0)):
        each.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
        gradients.append([layer.weight.grad for layer in list(net.layers.values())[:-1]])
    pairs = [(a.flatten(), b.flatten()) for a, b in zip(*gradients, strict=True) if a is not None and b is not None]
    cosines = [torch.cosine_similarity(a, b, dim=0).clamp(-1, 1) for a, b in pairs]
    return float(torch.rad2deg(torch.arccos(torch.stack(cosines))).mean())


def at_its_own_rate(name: str, data: Dataset, steps: int, seeds: Iterable[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """The best of three rates around the default, by the loss at the end; and mean loss and angle over seeds at it."""
    tail = max(steps // 10, 1)
    found: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {}
    for factor in FACTORS:
        rate = factor * RULES[name].learning_rate
        try:
            found[rate] = [learn(name, data, steps, rate, seed) for seed in seeds]
        except InputError:
            continue  # too fast for this rule
    best = min(found, key=lambda rate: np.mean([losses[-tail:].mean() for losses, _ in found[rate]]))
    losses, angles = (np.mean(part, 0) for part in zip(*found[best], strict=True))
    return best, losses, angles


def compute(
    rules: Iterable[str] = tuple(RULES),
    *,
    steps: int = 400,
    seeds: int = 1,
    examples: int = 200,
    replicates: int = 600,
    first_seed: int = 0,
) -> xr.Dataset:
    """Both parts.

    Args:
        rules: for the second part.
        steps, seeds: of the second part, batches of 32.
        examples, replicates: of the perceptron.
        first_seed: of both.
    Returns:
        ``distance (perceptron, example)``, ``shrinkage``, ``shrinkage_error`` and ``shrinkage_theory (perceptron)``;
        ``loss (rule, step)``, ``angle (rule, check)``, ``rate``, ``cost (rule)``.
    """
    rules, data = list(rules), trainable(load_dataset("digits"))
    linear = [perceptron(name, examples, replicates, first_seed) for name in PERTURBED]
    shrinkage, errors = zip(*map(contraction, linear), strict=True)
    numbers = range(first_seed, first_seed + seeds)
    rates, losses, angles = zip(*(at_its_own_rate(name, data, steps, numbers) for name in rules), strict=True)
    return xr.Dataset(
        {
            "distance": (("perceptron", "example"), np.stack([d.mean(0) for d in linear])),
            "shrinkage": ("perceptron", list(shrinkage)),
            "shrinkage_error": ("perceptron", list(errors)),
            "shrinkage_theory": ("perceptron", [best_rate(name) for name in PERTURBED]),
            "loss": (("rule", "step"), np.stack(losses)),
            "angle": (("rule", "check"), np.stack(angles)),
            "rate": ("rule", list(rates)),
            "cost": ("rule", [COSTS[name] for name in rules]),
        },
        coords={"perceptron": list(PERTURBED), "rule": rules, "check": np.linspace(0, 1, CHECKS)},
        attrs={"batch": BATCH, "inputs": INPUTS, "outputs": OUTPUTS, "dataset": data.name},
    )


def plot(dataset: xr.Dataset) -> Figure:
    """Left, one row per rule: the angle of its hidden updates to the gradient. Right, error and loss while learning."""
    n_rules = dataset.sizes["rule"]
    figure = Figure(figsize=(11, max(6.5, 1.5 + 0.24 * n_rules)), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1, 1.1))
    _spectrum(figure.add_subplot(grid[:, 0]), dataset)
    _perceptron(figure.add_subplot(grid[0, 1]), dataset)
    examples = dataset.attrs["batch"] * np.arange(1, dataset.sizes["step"] + 1)
    _losses(figure.add_subplot(grid[1, 1]), dataset, np.tile(examples, (n_rules, 1)), "examples seen")
    compute = dataset["cost"].values[:, None] * examples
    _losses(figure.add_subplot(grid[2, 1]), dataset, compute, "compute (examples a backprop step would take)")
    handles = [Line2D([], [], color=colour, marker="o", markersize=5, label=name) for name, colour in FAMILIES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _spectrum(axis: Axes, dataset: xr.Dataset) -> None:
    family = {name: list(FAMILIES).index(RULES[name].family) for name in dataset["rule"].values}
    end = {name: float(dataset["angle"].sel(rule=name)[-1]) for name in family}
    names = sorted(family, key=lambda name: (-family[name], np.nan_to_num(end[name], nan=91)))
    for place, name in enumerate(names):
        colour = FAMILIES[RULES[name].family]
        start = float(dataset["angle"].sel(rule=name)[0])
        axis.plot([start, end[name]], [place, place], color=colour, linewidth=1)
        axis.plot(start, place, "o", color="white", markeredgecolor=colour, markersize=5)
        axis.plot(end[name], place, "o", color=colour, markersize=5)
        if np.isnan(start):
            axis.text(90, place, "no update of this kind", color=colour, fontsize=7, ha="center", va="center")
    axis.set_yticks(
        range(len(names)), [f"{name.replace('_', ' ')} ({RULES[name].short})" for name in names], fontsize=7
    )
    axis.invert_yaxis()
    axis.axvline(90, color="#999999", linewidth=0.8, linestyle=":")
    axis.set_xlabel("angle of hidden weights' update to the gradient, degrees", fontsize=8)
    axis.set_title("from precise vector feedback (top) to none\nhollow: before learning, filled: after", fontsize=8)
    finish(axis)


def _perceptron(axis: Axes, dataset: xr.Dataset) -> None:
    examples = np.arange(dataset.sizes["example"])
    for name in dataset["perceptron"].values:
        part, colour = dataset.sel(perceptron=name), FAMILIES[RULES[name].family]
        style = "--" if name == "weight_perturbation" else "-"
        label = name.replace("backprop", "gradient descent").replace("_", " ")
        axis.plot(examples, part["distance"], color=colour, linestyle=style, label=label)
        axis.plot(examples, (1 - float(part["shrinkage_theory"])) ** examples, color="k", linewidth=0.7, linestyle=":")
    axis.plot([], [], color="k", linewidth=0.7, linestyle=":", label="closed form (Werfel et al. 2005)")
    axis.set_yscale("log")
    axis.set_ylim(1e-4, 1.5)
    axis.set_xlabel("examples", fontsize=8)
    axis.set_ylabel("squared distance\nfrom the teacher", fontsize=8)
    axis.set_title(
        f"linear perceptron, {dataset.attrs['inputs']} inputs, {dataset.attrs['outputs']} outputs", fontsize=8
    )
    axis.legend(frameon=False, fontsize=7)
    finish(axis)


def _losses(axis: Axes, dataset: xr.Dataset, x: np.ndarray, label: str) -> None:
    window = max(dataset.sizes["step"] // 20, 1)
    kernel = np.ones(window) / window
    ends: list[tuple[float, float, str]] = []
    for row, name in enumerate(dataset["rule"].values):
        smooth = np.convolve(dataset["loss"].values[row], kernel, "valid")
        axis.plot(x[row, window - 1 :], smooth, color=FAMILIES[RULES[name].family], linewidth=0.9, alpha=0.9)
        ends.append((x[row, -1], smooth[-1], RULES[name].short))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.margins(y=0.12)
    _label(axis, ends)
    axis.set_xlabel(label, fontsize=8)
    axis.set_ylabel("cross-entropy", fontsize=8)
    axis.set_title(f"{dataset.attrs['dataset']}, each rule at the best of three rates", fontsize=8)
    finish(axis)


def _label(axis: Axes, ends: list[tuple[float, float, str]], width: float = 0.09, height: float = 0.028) -> None:
    """Names at the ends of lines, from the bottom up, each above those that it would cover (in fractions of the axis)."""
    axis.autoscale_view()
    to_axis = axis.transData + axis.transAxes.inverted()
    placed: list[tuple[float, float]] = []
    for x, y, text in sorted(ends, key=lambda end: end[1]):
        across, up = to_axis.transform((x, y))
        below = [other for near, other in placed if abs(near - across) < width and other > up - height]
        place = max([up, *(other + height for other in below)])
        placed.append((across, place))
        axis.plot([across, across + 0.012], [up, place], color="#999999", linewidth=0.4, transform=axis.transAxes,
                  clip_on=False)  # fmt: skip
        axis.text(across + 0.015, place, text, fontsize=5, va="center", transform=axis.transAxes, clip_on=False)


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print both parts, and write netCDF and figures into ``folder``; returns their paths."""
    computed = partial(compute, first_seed=first_seed)
    dataset = computed(list(RULES)[::6], steps=100, examples=50, replicates=60) if quick else computed()
    print("linear perceptron: squared distance from the teacher lost per example, at the best rate")
    for name in dataset["perceptron"].values:
        part = dataset.sel(perceptron=name)
        found, error, theory = (float(part[v]) for v in ("shrinkage", "shrinkage_error", "shrinkage_theory"))
        print(f"  {name:24s} {found:.5f} ± {error:.5f}   closed form {theory:.5f}   ratio {found / theory:.3f}")
    return write("learning_speed", dataset, plot(dataset), folder)
