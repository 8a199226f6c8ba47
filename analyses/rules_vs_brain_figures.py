"""Figures and sentences of ``rules_vs_brain``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses._results import finish
from analyses.rules_vs_brain_words import FDR
from neurocompare import plot as figures
from neurocompare.rules import RULES

MATCHINGS = {"as they are": ("#0072B2", "o"), "same accuracy": ("#D55E00", "s"), "same spectrum": ("#009E73", "^")}


def plot(dataset: xr.Dataset) -> Figure:
    """Each rule less backprop on each benchmark: as they are, at the same accuracy, and with the same spectrum."""
    rules = {name: _present(part["difference"], "rule") for name, part in _by_data(dataset)}
    figure, axes = _forest(dataset, {name: [r for r in found if r in RULES] for name, found in rules.items()})
    for (name, part), line in zip(_by_data(dataset), axes, strict=True):
        shown = [rule for rule in rules[name] if rule in RULES]
        for axis, benchmark in zip(line, dataset["benchmark"].values, strict=True):
            _contrasts(axis, part.sel(benchmark=benchmark, rule=shown))
            axis.axvline(0, color="#555555", linewidth=0.7, zorder=0)
            axis.set_xlabel("score less backprop's", fontsize=8)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="-", markersize=4, label=name)
        for name, (colour, marker) in MATCHINGS.items()
    ]
    handles.append(
        Line2D([], [], color="#777777", marker="o", linestyle="", markersize=4, label=f"filled: q < {FDR:g} (paired t)")
    )
    title = f"mean and 95 % t interval over {_seeds(dataset)} seeds"
    columns = min(4, dataset.sizes["benchmark"])
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        frameon=False,
        title=title,
        title_fontsize=8,
    )
    return figure


def plot_scores(dataset: xr.Dataset) -> Figure:
    """Every model on every benchmark, with noise ceilings."""
    models = {name: _present(part["score"], "model") for name, part in _by_data(dataset)}
    figure, axes = _forest(dataset, models)
    for (name, part), line in zip(_by_data(dataset), axes, strict=True):
        for axis, benchmark in zip(line, dataset["benchmark"].values, strict=True):
            _scores(axis, part.sel(benchmark=benchmark, model=models[name]))
            axis.set_xlabel("score", fontsize=8)
    handles = [
        Line2D([], [], color=figures.CEILING, linewidth=7, label="noise ceiling"),
        Line2D(
            [],
            [],
            color="#777777",
            marker="o",
            label=f"at the chosen layer, 95 % t interval over {_seeds(dataset)} seeds",
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def plot_learning(dataset: xr.Dataset) -> Figure:
    """Score against task accuracy along training, a line for each rule."""

    def draw(axis: Axes, part: xr.Dataset) -> None:
        for rule in _present(part["along"], "rule"):
            line = part.sel(rule=rule)
            colour, marker, dash = figures.style_of(rule)
            axis.plot(100 * line["along_accuracy"], line["along"], color=colour, marker=marker, linestyle=dash,
                      markersize=3, linewidth=0.9)  # fmt: skip

    return _panels(dataset, draw, "task accuracy (%)", "along")


def plot_resolution(dataset: xr.Dataset) -> Figure:
    """Score against the resolution of the stimuli."""

    def draw(axis: Axes, part: xr.Dataset) -> None:
        own = int(dataset.attrs[f"{part['data'].item()}_pixels"])
        for rule in _present(part["at_pixels"], "rule"):
            line = part.sel(rule=rule).dropna("pixels", subset=["at_pixels"])
            pixels = np.where(line["pixels"] == 0, own, line["pixels"])
            order = np.argsort(pixels)
            colour, marker, dash = figures.style_of(rule)
            axis.plot(pixels[order], line["at_pixels"].values[order], color=colour, marker=marker, linestyle=dash,
                      markersize=3, linewidth=0.9)  # fmt: skip
            axis.set_xscale("log", base=2)
            axis.set_xticks(pixels, [str(p) for p in pixels])
            axis.minorticks_off()

    return _panels(swept(dataset), draw, "stimuli (pixels a side)", "at_pixels")


def swept(dataset: xr.Dataset) -> xr.Dataset:
    """The sets of images whose networks were shown stimuli of several resolutions; it may be none."""
    several = dataset["at_pixels"].notnull().any(["benchmark", "rule"]).sum("pixels") > 1
    return dataset.isel(data=several.values)


def _by_data(dataset: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    return [(str(name), dataset.sel(data=name)) for name in dataset["data"].values]


def _present(values: xr.DataArray, dim: str) -> list[str]:
    """What has a value, rules first, in the order of the registry."""
    others = [d for d in values.dims if d != dim]
    there = [str(name) for name in values[dim].values[values.notnull().any(others).values]]
    order = [*RULES]
    return sorted(there, key=lambda name: (name not in order, order.index(name) if name in order else 0))


def _seeds(dataset: xr.Dataset) -> int:
    return min(int(dataset.attrs[f"{name}_seeds"]) for name in dataset["data"].values)


def _forest(dataset: xr.Dataset, rows: dict[str, list[str]]) -> tuple[Figure, Any]:
    """A row of panels for each set of images, a column for each benchmark; names down the side."""
    n = dataset.sizes["benchmark"]
    heights = [len(found) + 2 for found in rows.values()]
    figure = Figure(figsize=(1.6 * n + 2.2, 0.19 * sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), n, squeeze=False, sharey="row", gridspec_kw={"height_ratios": heights})
    for (name, found), line in zip(rows.items(), axes, strict=True):
        line[0].set_yticks(range(len(found)), [rule.replace("_", " ") for rule in found])
        line[0].set_ylim(len(found) - 0.4, -0.6)
        line[0].set_ylabel(name, fontsize=8)
        for axis, benchmark in zip(line, dataset["benchmark"].values, strict=True):
            axis.set_title(str(benchmark).replace(".", "\n"), fontsize=8)
            axis.set_axisbelow(True)
            axis.grid(axis="y", color="#EEEEEE", linewidth=0.6)
            finish(axis)
            axis.tick_params(axis="y", length=0)
    return figure, axes


def _contrasts(axis: Axes, part: xr.Dataset) -> None:
    for shift, (matching, (colour, marker)) in zip((-0.25, 0, 0.25), MATCHINGS.items(), strict=True):
        found = part.sel(matching=matching)
        places = np.arange(found.sizes["rule"]) + shift
        axis.hlines(places, found["low"], found["high"], color=colour, linewidth=0.9)
        sure = (found["q_of_t"] < FDR).values
        axis.scatter(found["difference"], places, s=13, marker=marker, edgecolors=colour, linewidths=0.8,
                     facecolors=[colour if s else "white" for s in sure], zorder=3)  # fmt: skip


def _scores(axis: Axes, part: xr.Dataset) -> None:
    lower, upper = float(part["ceiling_lower"]), float(part["ceiling_upper"])
    if np.isfinite(lower):
        axis.axvspan(lower, upper, color=figures.CEILING, zorder=0, linewidth=0)
    for place, model in enumerate(part["model"].values):
        one = part.sel(model=model)
        colour, marker, _ = figures.style_of(str(model))
        axis.hlines(place, one["score_low"], one["score_high"], color=colour, linewidth=1)
        axis.plot(one["score"], place, color=colour, marker=marker, markersize=4, linestyle="")
    axis.axvline(0, color="#999999", linewidth=0.6, zorder=0)


def _panels(dataset: xr.Dataset, draw: Callable[[Axes, xr.Dataset], None], label: str, shown: str) -> Figure:
    n = dataset.sizes["benchmark"]
    figure = Figure(figsize=(2.1 * n + 0.5, 2.0 * dataset.sizes["data"] + 1.5), layout="constrained")
    axes = figure.subplots(dataset.sizes["data"], n, squeeze=False)
    for (name, part), line in zip(_by_data(dataset), axes, strict=True):
        for axis, benchmark in zip(line, dataset["benchmark"].values, strict=True):
            one = part.sel(benchmark=benchmark)
            if np.isfinite(lower := float(one["ceiling_lower"])):
                top = axis.axhspan(lower, float(one["ceiling_upper"]), color=figures.CEILING, zorder=0, linewidth=0)
                top.set_in_layout(False)
            draw(axis, one)
            axis.set_title(str(benchmark), fontsize=8)
            axis.set_xlabel(label, fontsize=8)
            finish(axis)
        line[0].set_ylabel(f"{name}\nscore at the chosen layer", fontsize=8)
    handles = []
    for rule in _present(dataset[shown], "rule"):
        colour, marker, dash = figures.style_of(rule)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle=dash, markersize=4,
                              label=rule.replace("_", " ")))  # fmt: skip
    handles.append(Line2D([], [], color=figures.CEILING, linewidth=7, label="noise ceiling"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, n), fontsize=7, frameon=False,
                  title=f"means over {_seeds(dataset)} seeds", title_fontsize=8)  # fmt: skip
    return figure
