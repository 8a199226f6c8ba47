"""Figures and sentences of ``target_propagation``."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.target_planes import DAMPINGS, DIFFERENCE, DRAWN, HIDDEN, LOCAL, PLAIN, ROUTES, STEPS
from neurocompare import plot as figures
from neurocompare.inference import seed_interval
from neurocompare.rules import RULES


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
