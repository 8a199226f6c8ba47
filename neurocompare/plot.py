"""Tables in, figures out. A rule has the same colour and marker in every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neurocompare.controls import CONTROLS
from neurocompare.files import atomic
from neurocompare.inference import MIN_SEEDS, over_seeds
from neurocompare.metrics import METRICS
from neurocompare.rules import RULES
from neurocompare.score import Score

FORMATS = ("svg", "pdf", "png")
# Okabe & Ito's colours, which colour-blind readers can tell apart; controls are grey, and pixels black.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8F6B00")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
_CONTROL_STYLE = {
    "untrained": ("#777777", "o", "--"),
    "permuted_weights": ("#777777", "x", ":"),
    "shuffled_labels": ("#777777", "s", "-."),
    "pixels": ("k", "_", "-."),
    "luminance": ("#999999", ".", ":"),
    "silhouette": ("#555555", "|", "--"),
    "gabor_v1": ("k", "+", ":"),
    "hmax_c2": ("k", "1", "--"),
    "random_filters": ("#777777", "d", ":"),
    "category": ("#555555", "*", "-"),
}
_CEILING = "#DDDDDD"


def style_of(name: str) -> tuple[str, str, Any]:
    """Colour, marker and line style of a model; depends on its name alone."""
    if name in _CONTROL_STYLE:
        return _CONTROL_STYLE[name]
    known = [*RULES, *(control for control in CONTROLS if control not in _CONTROL_STYLE)]
    index = known.index(name) if name in known else sum(map(ord, name))
    return _COLOURS[index % len(_COLOURS)], _MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)], "-"


def by_layer(scores: Score | pd.DataFrame) -> Figure:
    """Score against layer: a panel for each benchmark and metric, a line for each model, the ceiling as a band.

    Args:
        scores: one score, or a table of many.
    """
    return _panels(_as_table(scores), _layer_panel, "layer, input to output")


def by_rule(scores: Score | pd.DataFrame) -> Figure:
    """Models side by side, every layer of each from input to output, so that no layer is picked by its score.

    Args:
        scores: one score, or a table of many.
    """
    return _panels(_as_table(scores), _rule_panel, "")


def save(figure: Figure, stem: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write a figure as ``stem.svg``, ``stem.pdf`` and ``stem.png``, text editable where the format allows."""
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
    figure.draw_without_rendering()  # the layout, found once for all formats
    figure.set_layout_engine("none")
    with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "neurocompare"}):
        for path in paths:
            with atomic(path) as temporary:
                figure.savefig(temporary, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _as_table(scores: Score | pd.DataFrame) -> pd.DataFrame:
    return scores.table() if isinstance(scores, Score) else scores


def _panels(table: pd.DataFrame, draw: Callable[[Axes, pd.DataFrame], None], x_label: str) -> Figure:
    columns = [list(part.groupby("metric", sort=False)) for _, part in table.groupby("benchmark", sort=False)]
    n_rows = max(map(len, columns))
    figure = Figure(figsize=(max(2.7 * len(columns), 6.5), 2.5 * n_rows + 0.9), layout="constrained")
    axes = figure.subplots(n_rows, len(columns), squeeze=False)
    panels = [(row, column, *group) for column, groups in enumerate(columns) for row, group in enumerate(groups)]
    for axis in axes.flat:
        axis.set_visible(False)
    for row, column, name, part in panels:
        axis, metric = axes[row, column], str(name)
        axis.set_visible(True)
        _ceiling(axis, part)
        draw(axis, part)
        first = part.iloc[0]
        units = ("RDM" if metric.startswith("rsa") else "neuroid") + ("s" if first.n_units > 1 else "")
        axis.set_title(f"{first.benchmark}\n{first.n_stimuli} stimuli, {first.n_units} {units}", fontsize=8)
        axis.set_ylabel(METRICS[metric].label if metric in METRICS else metric, fontsize=8)
        axis.set_xlabel(x_label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.axhline(0, color="#999999", linewidth=0.6, zorder=0)
    _legend(figure, table)
    return figure


def _ceiling(axis: Axes, part: pd.DataFrame) -> None:
    lower, upper = part["ceiling_lower"].iloc[0], part["ceiling_upper"].iloc[0]
    if np.isfinite(lower):
        axis.axhspan(lower, upper, color=_CEILING, zorder=0, linewidth=0)
    else:
        axis.text(0.98, 0.97, "no ceiling estimable", fontsize=7, color="#777777", ha="right", va="top",
                  transform=axis.transAxes)  # fmt: skip


def _layer_panel(axis: Axes, part: pd.DataFrame) -> None:
    summary = over_seeds(part)
    single = summary.groupby("model")["depth"].transform("max") == 1
    depth = int(summary["depth"].max())
    for model, line in summary.groupby("model", sort=False):
        colour, marker, dash = style_of(str(model))
        if single[line.index[0]] and depth > 1:
            axis.axhline(line["mean"].iloc[0], color=colour, linestyle=dash, linewidth=1)
            continue
        axis.plot(line["depth"], line["mean"], color=colour, linestyle=dash, marker=marker, markersize=4, linewidth=1.2)
        axis.fill_between(line["depth"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
    deepest = summary["model"].iloc[int(summary["depth"].to_numpy().argmax())]
    longest = summary[summary["model"] == deepest]
    axis.set_xticks(longest["depth"], longest["layer"], rotation=30 if depth < 8 else 90, ha="right")


def _rule_panel(axis: Axes, part: pd.DataFrame) -> None:
    summary = over_seeds(part)
    names = list(dict.fromkeys(summary["model"]))
    for place, model in enumerate(names):
        line = summary[summary["model"] == model]
        colour, marker, dash = style_of(model)
        offset = np.linspace(-0.32, 0.32, len(line)) if len(line) > 1 else np.zeros(1)
        bars = np.nan_to_num(np.stack([line["mean"] - line["low"], line["high"] - line["mean"]]))
        axis.errorbar(place + offset, line["mean"], yerr=bars, color=colour, marker=marker, markersize=3.5,
                      linestyle=dash, linewidth=0.8, elinewidth=1, capsize=1.5)  # fmt: skip
    axis.set_xticks(range(len(names)), [_tick(name) for name in names], rotation=30, ha="right")


def _tick(model: str) -> str:
    return RULES[model].short if model in RULES else model.split("_")[0]


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    handles = []
    for model in dict.fromkeys(table["model"]):
        colour, marker, dash = style_of(model)
        label = model.replace("_", " ") + (f" ({RULES[model].short})" if model in RULES else "")
        marker = "" if model == "pixels" else marker
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle=dash, markersize=4, label=label))
    if np.isfinite(table["ceiling_lower"]).any():
        handles.append(Line2D([], [], color=_CEILING, linewidth=7, label="noise ceiling"))
    n_seeds = int(table.groupby(["model", "layer", "benchmark", "metric"]).size().max())
    interval = "bars and shading: 95 % t interval over seeds" if n_seeds >= MIN_SEEDS else "too few for an interval"
    title = f"{n_seeds} seed{'s' if n_seeds > 1 else ''} ({interval})"
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False, title=title, title_fontsize=8
    )
