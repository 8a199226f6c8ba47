"""Target propagation: where targets come to lie, and how its updates stand to the gradient (Lillicrap et al. 2020, Fig. 3).

First a layer of two units, ``y = f(h)``, whose plane can be drawn. The output is to move to ``y~ = y - s (y - y*)``; a
learnt inverse ``g`` makes of that the target ``g(y~)`` (target propagation) or ``h - g(y) + g(y~)`` (difference target
propagation, Lee et al. 2015, arXiv:1412.7525). Where ``g`` is no inverse yet, the first is displaced by ``g(y) - h`` even
if y is right already; the second is not. To first order in s the second moves along ``J_g e``, ``e = y* - y``: along the
gradient for ``J_g = J_f^T`` (Ernoult et al. 2022, arXiv:2201.13415), along ``pinv(J_f) e``, a Gauss-Newton step, for an
exact inverse (Meulemans et al. 2020, arXiv:2006.14331).

Then the four rules on handwritten digits: the angle of each hidden layer's update to the gradient through learning, and
that of the way to its targets to Gauss-Newton steps of any damping, between ``pinv(J) e`` and the gradient ``J^T e``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from analyses._results import write
from data_loaders.installed import load_digits_dataset
from neurocompare import plot as figures
from neurocompare.dataset import Dataset
from neurocompare.inference import seed_interval
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, mlp
from neurocompare.rules import RULES, Rule
from neurocompare.rules.inverses import Inverse
from neurocompare.rules.target_propagation import TargetPropagation
from neurocompare.stimuli import ImagePreprocess

PLAIN, DIFFERENCE = "target_propagation", "difference_target_propagation"
WAYS = (PLAIN, DIFFERENCE, "exact")
LOCAL = "local_difference_reconstruction"
NAMES = (PLAIN, DIFFERENCE, "simplified_difference_target_propagation", LOCAL)
# Of the plane: activities keep away from where tanh units saturate.
REACH, SAMPLES, RATE, BATCH = 0.9, 400, 0.01, 32
STAGES, STEPS = (0, 10, 30, 100, 300, 1000, 3000), (0.1, 1.0)
DRAWN = (300, 0.3)  # the stage of the inverse and the step that the figure shows
# Of digits: dampings in units of the largest squared singular value, from pinv(J) e (0) to the gradient (infinite).
HIDDEN, PROBED, CHECKS = (60, 40, 25), 64, 5
DAMPINGS = (0.0, 1e-3, 1e-2, 1e-1, 1.0, float("inf"))
ROUTES = ("at once", "layer by layer")


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Degrees between vectors along the last axis, precise near 0 and 180 (Kahan's formula); NaN for zeros."""
    a, b = (v / v.norm(dim=-1, keepdim=True) for v in (a, b))
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)))


class Plane:
    """A layer from two tanh units to two, ``y = f(h)``, an inverse of it, and a goal ``y*`` that some h brings about."""

    def __init__(self, seed: int) -> None:
        net = mlp(2, input_shape=(2,), hidden=(2, 2), activation="tanh", seed=seed).double()
        self.below, self.layer, _ = net.layers.values()
        self.rules = {n: cast(TargetPropagation, RULES[n].for_net(net, seed=seed)) for n in (PLAIN, DIFFERENCE)}
        self.inverse = cast(Inverse, self.rules[PLAIN].inverses["fc2"])
        self.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.goal = self.layer(self.activities(1))

    def activities(self, n: int) -> Tensor:
        """Uniform over the square of side ``2 REACH``, ``(n, 2)``."""
        return REACH * (2 * torch.rand(n, 2, generator=self.generator, dtype=torch.float64) - 1)

    @torch.no_grad()
    def learn_inverse(self, stages: Iterable[int]) -> Iterator[int]:
        """Let the inverse learn as the rules do, and stop at each of some numbers of steps."""
        optimizer, done = torch.optim.Adam(self.inverse.parameters(), lr=RATE), 0
        for stage in stages:
            for _ in range(stage - done):
                # As within a step of the rule: the layer is the network's, the inverse and its noise are the rule's.
                self.rules[PLAIN].learn_inverse(
                    self.inverse, self.layer, self.below, self.activities(BATCH), self.layer, self.generator
                )
                optimizer.step()
            done = stage
            yield stage

    @torch.no_grad()
    def restored(self, h: Tensor) -> Tensor:
        """``g(f(h))``."""
        return self.rules[PLAIN].invert(self.inverse, self.layer, self.below, self.layer(h))

    @torch.no_grad()
    def target(self, way: str, h: Tensor, step: float) -> Tensor:
        """The target of h by a rule, or by the layer's exact inverse, ``W^-1 (artanh(y~) - b)``, for ``"exact"``."""
        y = self.layer(h)
        towards = y - step * (y - self.goal)
        if way == "exact":
            return torch.linalg.solve(self.layer.weight, (torch.atanh(towards) - self.layer.bias).T).T
        return self.rules[way].carry(self.inverse, self.layer, self.below, h, y, towards)

    @torch.no_grad()
    def cost(self, h: Tensor) -> Tensor:
        """``|f(h) - y*|^2 / 2``, ``(n,)``."""
        return 0.5 * (self.layer(h) - self.goal).square().sum(-1)

    @torch.no_grad()
    def descent(self, h: Tensor) -> Tensor:
        """Minus the gradient of ``cost``, ``-J_f^T (y - y*)``, ``(n, 2)``."""
        return -self.layer.transpose(self.layer.activate_vjp(self.layer.affine(h), self.layer(h) - self.goal))


def geometry(planes: int, stages: Iterable[int] = STAGES) -> xr.Dataset:
    """Random planes, while their inverses learn.

    Returns:
        ``reconstruction (plane, stage)``, the root mean square of ``|g(f(h)) - h|``; and over ``(way, plane, stage, step)``
        ``plane_angle`` of the way to the target to minus the gradient, degrees, and ``lowers``, the fraction of targets at
        which the loss is lower; both over samples of h.
    """
    stages = tuple(stages)
    error = np.empty((planes, len(stages)))
    angles, lowers = np.empty((2, len(WAYS), planes, len(stages), len(STEPS)))
    for seed in range(planes):
        plane = Plane(seed)
        h = plane.activities(SAMPLES)
        for i, _ in enumerate(plane.learn_inverse(stages)):
            error[seed, i] = float((plane.restored(h) - h).square().sum(1).mean().sqrt())
            for w, k in np.ndindex(len(WAYS), len(STEPS)):
                target = plane.target(WAYS[w], h, STEPS[k])
                angles[w, seed, i, k] = float(angle(target - h, plane.descent(h)).mean())
                lowers[w, seed, i, k] = float((plane.cost(target) < plane.cost(h)).double().mean())
    dims = ("way", "plane", "stage", "step")
    return xr.Dataset(
        {"reconstruction": (("plane", "stage"), error), "plane_angle": (dims, angles), "lowers": (dims, lowers)},
        coords={"way": list(WAYS), "stage": list(stages), "step": list(STEPS)},
    )


def drawn(seed: int = 0) -> xr.Dataset:
    """What the figure shows of one plane: points, their targets, and the loss around them."""
    plane, (stage, step) = Plane(seed), DRAWN
    list(plane.learn_inverse([stage]))
    few, many = (torch.linspace(-end, end, n, dtype=torch.float64) for end, n in ((0.7, 5), (1.0, 81)))
    h, everywhere = torch.cartesian_prod(few, few), torch.cartesian_prod(many, many)
    found = {"h": h, "restored": plane.restored(h), "descent": plane.descent(h)}
    return xr.Dataset(
        {
            **{f"drawn_{name}": (("point", "unit"), values.numpy()) for name, values in found.items()},
            "drawn_target": (("way", "point", "unit"), np.stack([plane.target(way, h, step) for way in WAYS])),
            "drawn_cost": (("first", "second"), plane.cost(everywhere).view(len(many), -1).numpy()),
        },
        coords={"first": many.numpy(), "second": many.numpy(), "way": list(WAYS)},
    )


def jacobians(net: LayeredNet, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Of the output by each hidden layer's activity, ``(B, classes, units)``, and of that layer by the one below it.

    The second list, ``(B, units, units below)``, starts with the second hidden layer.
    """
    layers = list(net.layers.values())
    slopes = [
        layer.activate_vjp(a, torch.ones_like(a)) for layer, a in zip(layers, net.trace(x).preactivations, strict=True)
    ]
    single = [slope[:, :, None] * layer.weight for slope, layer in zip(slopes[1:], layers[1:], strict=True)]
    whole = [single[-1]]
    for jacobian in reversed(single[:-1]):
        whole.append(whole[-1] @ jacobian)
    return whole[::-1], single[:-1]


def damped(jacobian: Tensor) -> list[Tensor]:
    """For each of ``DAMPINGS`` ``(J^T J + d s^2 1)^-1 J^T``, s the largest singular value: from ``pinv(J)`` to ``J^T``."""
    left, values, right = torch.linalg.svd(jacobian, full_matrices=False)
    largest, found = values[..., :1], []
    for damping in DAMPINGS[:-1]:
        weights = values / (values.square() + damping * largest.square())
        weights = weights.where(values > 1e-12 * largest, 0)
        found.append(right.mT @ (weights[..., None] * left.mT))
    return [*found, jacobian.mT]


@torch.no_grad()
def target_angles(net: LayeredNet, rule: Rule, x: Tensor, y: Tensor, loss: Loss = cross_entropy) -> np.ndarray:
    """Mean angle of ``target - h`` to damped Gauss-Newton steps, degrees, ``(hidden layers, ROUTES, DAMPINGS)``.

    With J the Jacobian of the output by h and e minus the derivative of the loss by the output, those are ``damped(J) e``
    at once, or the way to the last hidden layer's own target brought down through one layer after another, which for no
    damping is what exact inverses of single layers do. For the last hidden layer that is the way itself.
    """
    credit, trace = rule.assign_credit(net, x, y, loss, torch.Generator().manual_seed(0)), net.trace(x)
    ways = [target - h for target, h in zip(credit.targets, trace.inputs[1:], strict=True)]
    (whole, single), error = jacobians(net, x), -loss.error(trace.output, y)
    found = np.empty((len(ways), len(ROUTES), len(DAMPINGS)))
    inverses = [zip(*map(damped, matrices), strict=True) for matrices in (whole, single)]  # by damping, then by layer
    for k, (from_output, from_above) in enumerate(zip(*inverses, strict=True)):
        down = [ways[-1]]
        for back in reversed(from_above):
            down.append(_times(back, down[-1]))
        for layer, (way, back, step) in enumerate(zip(ways, from_output, down[::-1], strict=True)):
            found[layer, :, k] = [float(angle(way, other).nanmean()) for other in (_times(back, error), step)]
    return found


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]


def update_angles(net: LayeredNet, rule: Rule, x: Tensor, y: Tensor) -> np.ndarray:
    """Between a rule's and the true gradient of each hidden layer's weights, degrees, ``(hidden layers,)``."""
    gradients = []
    for each in (rule, RULES["backprop"].for_net(net, seed=0)):
        each.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
        gradients.append([cast(Tensor, layer.weight.grad).flatten() for layer in list(net.layers.values())[:-1]])
    return np.array([float(angle(a, b)) for a, b in zip(*gradients, strict=True)])


@torch.no_grad()
def with_mean_jacobians(net: LayeredNet, x: Tensor) -> Rule:
    """Local difference reconstruction that has learnt all it can: linear inverses with the mean over x of ``J_f^T``."""
    rule = RULES[LOCAL].for_net(net, seed=0)
    for (name, layer), a in zip(net.layers.items(), net.trace(x).preactivations, strict=True):
        if name in cast(TargetPropagation, rule).inverses:
            slope = layer.activate_vjp(a, torch.ones_like(a)).mean(0)
            rule.get_parameter(f"inverses.{name}.weight").copy_(slope[:, None] * layer.weight)
    return rule


def learn(name: str, data: Dataset, steps: int, seed: int, feedback_steps: int) -> dict[str, np.ndarray]:
    """One network's ``update_angle`` and ``target_angle`` at each check, and its test ``accuracy``.

    And ``floor (hidden layers,)``: the angles of updates at the end, were the inverses ``with_mean_jacobians``.
    """
    net = mlp(10, input_shape=data.input_shape, hidden=HIDDEN, activation="tanh", seed=seed).double()
    rule = RULES[name].for_net(net, seed=seed, feedback_steps=feedback_steps)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=rule.learning_rate)
    order, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    (x, y), (x_test, y_test) = (_tensors(data, split) for split in ("train", "test"))
    updates, targets = [], []
    for step in range(steps + 1):
        if step in _checked(steps):
            updates.append(update_angles(net, rule, x[:256], y[:256]))
            targets.append(target_angles(net, rule, x[:PROBED], y[:PROBED]))
        if step < steps:
            rows = torch.from_numpy(order.choice(len(y), BATCH, replace=False))
            rule.step(net, optimizer, x[rows], y[rows], cross_entropy, noise)
    return {
        "update_angle": np.stack(updates),
        "target_angle": np.stack(targets),
        "accuracy": (net(x_test).argmax(1) == y_test).double().mean().numpy(),
        "floor": update_angles(net, with_mean_jacobians(net, x), x[:256], y[:256]),
    }


def _checked(steps: int) -> np.ndarray:
    return np.linspace(0, steps, CHECKS).astype(int)


def _tensors(data: Dataset, which: str) -> tuple[Tensor, Tensor]:
    split, scale = getattr(data, which), cast(ImagePreprocess, data.preprocess)
    scaled = (split.inputs / 255 - scale.mean[0]) / scale.std[0]
    return torch.from_numpy(scaled), torch.from_numpy(split.labels)


def compute(
    rules: Iterable[str] = NAMES,
    *,
    planes: int = 20,
    stages: Iterable[int] = STAGES,
    steps: int = 1500,
    seeds: int = 5,
    feedback_steps: Iterable[int] = (1, 10),
) -> xr.Dataset:
    """Both parts; at the defaults six minutes of one core.

    Args:
        rules: of target propagation, for the second part.
        planes, stages: of the first part, and of the inverses in it, in steps.
        steps, seeds: of the second part, batches of 32.
        feedback_steps: of the inverses for each step of the network.
    Returns:
        What ``geometry``, ``drawn`` and ``learn`` return, the last over ``rule``, ``feedback_steps`` and ``seed``.
    """
    rules, feedback_steps, data = list(rules), list(feedback_steps), load_digits_dataset()
    runs = [[[learn(name, data, steps, seed, n) for seed in range(seeds)] for n in feedback_steps] for name in rules]
    further = {
        "update_angle": ("check", "layer"),
        "target_angle": ("check", "layer", "route", "damping"),
        "accuracy": (),
        "floor": ("layer",),
    }
    stacked = {name: np.array([[[run[name] for run in row] for row in rows] for rows in runs]) for name in further}
    learnt = xr.Dataset(
        {name: (("rule", "feedback_steps", "seed", *dims), stacked[name]) for name, dims in further.items()},
        coords={
            "rule": rules,
            "feedback_steps": feedback_steps,
            "check": BATCH * _checked(steps),
            "layer": [f"hidden {number}" for number, _ in enumerate(HIDDEN, 1)],
            "route": list(ROUTES),
            "damping": list(DAMPINGS),
        },
    )
    return xr.merge([geometry(planes, stages), drawn(), learnt]).assign_attrs(dataset=data.name, hidden=str(HIDDEN))


def plot(dataset: xr.Dataset) -> Figure:
    """Above, the plane of two units; below, angles on digits."""
    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    axes = figure.subplots(2, 3)
    _plane(axes[0, 0], dataset, PLAIN, "target propagation, $g(\\tilde y)$")
    _plane(axes[0, 1], dataset, DIFFERENCE, "with the correction, $h - g(y) + g(\\tilde y)$")
    _by_reconstruction(axes[0, 2], dataset)
    _through_learning(axes[1, 0], dataset)
    _by_layer(axes[1, 1], dataset)
    _by_damping(axes[1, 2], dataset)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[2:]:
        axis.axhline(90, color="#999999", linewidth=0.8, linestyle=":")
    n = f"above right: mean of {dataset.sizes['plane']} random layers; below: of {dataset.sizes['seed']} seeds"
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8,
                  title=f"{n}; bars: 95 % t interval; dotted: chance; grey lines: loss", title_fontsize=8)  # fmt: skip
    return figure


def _plane(axis: Axes, dataset: xr.Dataset, way: str, title: str) -> None:
    axis.contour(dataset["first"], dataset["second"], dataset["drawn_cost"].T, 12, colors="#BBBBBB", linewidths=0.7)
    h, target = dataset["drawn_h"].values, dataset["drawn_target"].sel(way=way).values
    descent = 0.15 * dataset["drawn_descent"].values / np.linalg.norm(dataset["drawn_descent"], axis=1)[:, None]
    for arrows, colour, width in ((descent, "k", 0.004), (target - h, figures.style_of(way)[0], 0.007)):
        axis.quiver(*h.T, *arrows.T, color=colour, width=width, angles="xy", scale_units="xy", scale=1)
    axis.plot(*h.T, "ko", markersize=2.5)
    if way == PLAIN:
        axis.plot(*dataset["drawn_restored"].values.T, "x", color="#777777", markersize=4)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    axis.set_xlabel("activity of unit 1", fontsize=8)
    axis.set_ylabel("activity of unit 2", fontsize=8)
    crosses = "; x: g(f(h))" if way == PLAIN else ""
    shown = f"inverse after {DRAWN[0]} steps, s = {DRAWN[1]}; black: h, minus the gradient"
    axis.set_title(f"{title}\n{shown}{crosses}", fontsize=8)


def _by_reconstruction(axis: Axes, dataset: xr.Dataset) -> None:
    error = dataset["reconstruction"].mean("plane")
    for way in (PLAIN, DIFFERENCE):
        for step, dash, face in zip(dataset["step"].values, ("--", "-"), ("white", None), strict=True):
            values = dataset["plane_angle"].sel(way=way, step=step)
            _line(
                axis,
                error,
                values,
                "plane",
                way,
                linestyle=dash,
                markerfacecolor=face,
                label=f"{_short(way)}, s = {step:g}",
            )
    exact = dataset["plane_angle"].sel(way="exact", step=STEPS[0]).mean()
    axis.axhline(float(exact), color="k", linewidth=0.8, linestyle="-.", label=f"exact inverse, s = {STEPS[0]:g}")
    axis.set_xscale("log")
    axis.invert_xaxis()
    axis.set_xticks([1, 0.5, 0.2], ["1", "0.5", "0.2"])
    axis.minorticks_off()
    axis.set_xlabel("error of the inverse, root mean square of |g(f(h)) - h|", fontsize=8)
    axis.set_ylabel("angle of the way to the target\nto minus the gradient, degrees", fontsize=8)
    axis.set_title("as the inverse learns (to the right), h in a square of side 2", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _line(axis: Axes, x: xr.DataArray | np.ndarray, values: xr.DataArray, over: str, name: str, **more: object) -> None:
    """Means with 95 % t intervals; no bars where there are too few values for one."""
    values = values.transpose(over, ...)
    half = [np.nan_to_num(np.diff(seed_interval(column))[0] / 2) for column in values.values.T]
    colour, marker, dash = figures.style_of(name)
    style = {"linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1, "capsize": 2, "elinewidth": 0.8}
    axis.errorbar(x, values.mean(over), yerr=half, color=colour, **(style | more))


def _short(name: str) -> str:
    return RULES[name].short


def _through_learning(axis: Axes, dataset: xr.Dataset) -> None:
    part = dataset["update_angle"].isel(feedback_steps=-1, layer=0)
    for name in map(str, dataset["rule"].values):
        label = f"{name.replace('_', ' ')} ({_short(name)})"
        _line(axis, dataset["check"], part.sel(rule=name), "seed", name, label=label)
    axis.set_xlabel("examples seen", fontsize=8)
    axis.set_ylabel("angle of the update of weights\nto the gradient, degrees", fontsize=8)
    axis.set_title(f"{dataset.attrs['dataset']}, hidden layer 1, {_steps(dataset, -1)}", fontsize=8)


def _by_layer(axis: Axes, dataset: xr.Dataset) -> None:
    places, end = np.arange(dataset.sizes["layer"]), dataset["update_angle"].isel(check=-1)
    for i, name in enumerate(map(str, dataset["rule"].values)):
        for which, face in ((0, "white"), (-1, None)):
            values = end.sel(rule=name).isel(feedback_steps=which)
            _line(axis, places + 0.16 * (i - 1.5), values, "seed", name, linestyle="none", markerfacecolor=face)
    floor = dataset["floor"].isel(feedback_steps=-1, rule=-1).mean("seed")
    label = f"best linear inverse ({_short(str(dataset['rule'].values[-1]))})"
    axis.hlines(floor, places - 0.4, places + 0.4, color="k", linewidth=0.8, linestyle="-.", label=label)
    axis.legend(frameon=False, fontsize=7, loc="lower left")
    axis.set_ylim(bottom=-15)
    axis.set_xticks(places, dataset["layer"].values)
    axis.set_ylabel("angle of the update of weights\nto the gradient, degrees", fontsize=8)
    hollow = f"\nhollow: {_steps(dataset, 0)}" if dataset.sizes["feedback_steps"] > 1 else ""
    axis.set_title(f"at the end; filled: {_steps(dataset, -1)}{hollow}", fontsize=8)


def _by_damping(axis: Axes, dataset: xr.Dataset) -> None:
    last, places = dataset["target_angle"].isel(feedback_steps=-1, check=-1, layer=0, route=1), np.arange(len(DAMPINGS))
    for name in map(str, dataset["rule"].values):
        _line(axis, places, last.sel(rule=name), "seed", name)
    axis.set_xticks(places, ["0\n(pinv J)", *(f"{damping:g}" for damping in DAMPINGS[1:-1]), "∞\n(J$^T$)"])
    axis.set_xlabel("damping / largest squared singular value", fontsize=8)
    axis.set_ylabel("angle of the way to the target\nto a Gauss-Newton step, degrees", fontsize=8)
    axis.set_title("hidden layer 1, Gauss-Newton steps\nthrough one layer after another", fontsize=8)


def _steps(dataset: xr.Dataset, which: int) -> str:
    n = int(dataset["feedback_steps"][which])
    return f"{n} step{'s' if n > 1 else ''} of the inverses per step"


def findings(dataset: xr.Dataset) -> list[str]:
    """What the literature says and what came out, in words; means with 95 % t intervals, degrees unless said otherwise."""
    said = []
    for step in dataset["step"].values:
        last = dataset.sel(step=step).isel(stage=-1)
        angles = {
            _short(way) if way in RULES else way: last["plane_angle"].sel(way=way)
            for way in map(str, last["way"].values)
        }
        lowers = ", ".join(
            f"{100 * float(value):.0f} % ({way})"
            for way, value in zip(angles, last["lowers"].mean("plane"), strict=True)
        )
        said.append(
            f"plane, s = {step:g}, error of the inverse {float(last['reconstruction'].mean()):.3f}: angle to the way down"
        )
        said.append(
            "  " + ", ".join(f"{way} {_words(values)}" for way, values in angles.items()) + f"; lower loss at {lowers}"
        )
        said.append(
            _claim("with an imperfect inverse DTP is nearer than TP (Lee et al. 2015)", angles["TP"] - angles["DTP"])
        )
    for which in range(dataset.sizes["feedback_steps"]):
        said += _of_digits(dataset.isel(feedback_steps=which, check=-1), _steps(dataset, which))
    return said


def _of_digits(end: xr.Dataset, steps: str) -> list[str]:
    said, ways = [f"{end.attrs['dataset']}, {steps}:"], end["target_angle"].isel(layer=0)
    updates = {_short(name): end["update_angle"].sel(rule=name) for name in map(str, end["rule"].values)}
    for name, (short, angles) in zip(end["rule"].values, updates.items(), strict=True):
        way, accuracy = ways.sel(rule=name), end["accuracy"].sel(rule=name)
        newton, nearest = way.sel(route=ROUTES[0], damping=0.0), way.sel(route=ROUTES[1]).mean("seed")
        said.append(
            f"  {short:5s} accuracy {_words(accuracy, 3)}; updates to the gradient {', '.join(map(_words, angles.T))}; "
            f"targets of hidden 1 to pinv(J) e {_words(newton)}, nearest to damping {float(nearest.idxmin()):g} "
            f"({float(nearest.min()):.1f})"
        )
    for layer in range(len(HIDDEN) - 1):  # in the last, DTP's targets follow the gradient by construction
        if {"DTP", "L-DRL"} <= set(updates):
            gap = (updates["DTP"] - updates["L-DRL"]).isel(layer=layer)
            floor = _words(end["floor"].sel(rule=LOCAL).isel(layer=layer))
            text = f"L-DRL is nearer to backprop than DTP (Ernoult et al. 2022), hidden {layer + 1}"
            said.append(_claim(f"{text} (the best linear inverses: {floor})", gap))
    if "DTP" in updates:
        way = ways.sel(rule=DIFFERENCE, route=ROUTES[1])
        text = "DTP targets are nearer to pinv than to gradient steps (Meulemans et al. 2020; of invertible layers)"
        said.append(_claim(text, way.sel(damping=float("inf")) - way.sel(damping=0.0)))
    return said


def _claim(text: str, gap: xr.DataArray) -> str:
    """A claim that a difference is positive, judged by its interval."""
    low, high = seed_interval(gap.values)
    verdict = "reproduced" if low > 0 else "NOT reproduced, the reverse holds" if high < 0 else "undecided"
    return f"  {text}: {_words(gap)}: {verdict}"


def _words(values: xr.DataArray, digits: int = 1) -> str:
    low, high = seed_interval(values.values)
    return f"{float(values.mean()):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main(folder: Path, quick: bool = False) -> list[Path]:
    """Compute, print what came out, and write netCDF and figures into ``folder``; returns their paths."""
    started = time.perf_counter()
    dataset = compute(planes=4, steps=200, seeds=3, feedback_steps=(1,)) if quick else compute()
    print(f"{'quick' if quick else 'full'} version, computed in {time.perf_counter() - started:.0f} s")
    print(*findings(dataset), sep="\n")
    return write("target_propagation", dataset, plot(dataset), folder)
