"""The figure of ``learning_speed``: the spectrum of rules, and three pictures of their speed."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neurocompare.rules import RULES

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


def draw(dataset: xr.Dataset) -> Figure:
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
    _finish(axis)


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
    _finish(axis)


def _losses(axis: Axes, dataset: xr.Dataset, x: np.ndarray, label: str) -> None:
    window = max(dataset.sizes["step"] // 20, 1)
    kernel = np.ones(window) / window
    for row, name in enumerate(dataset["rule"].values):
        smooth = np.convolve(dataset["loss"].values[row], kernel, "valid")
        axis.plot(x[row, window - 1 :], smooth, color=FAMILIES[RULES[name].family], linewidth=0.9, alpha=0.9)
        axis.text(x[row, -1], smooth[-1], f" {RULES[name].short}", fontsize=5, va="center", clip_on=False)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(label, fontsize=8)
    axis.set_ylabel("cross-entropy", fontsize=8)
    axis.set_title(f"{dataset.attrs['dataset']}, each rule at its own best rate", fontsize=8)
    _finish(axis)


def _finish(axis: Axes) -> None:
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
