"""Tables in, figures out. A rule has the same colour and marker in every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import fill
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
# Okabe & Ito's colours, which colour-blind readers can tell apart, and a violet; controls are grey or black.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8F6B00", "#5E3C99")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
_CONTROL_STYLE = {
    "untrained": ("#777777", "o", "--"),
    "permuted_weights": ("#777777", "x", ":"),
    "shuffled_labels": ("#777777", "s", "-."),
    "pixels": ("k", "_", "-."),
    "cochleagram": ("k", "2", "-."),
    "cochleagram_mean": ("#999999", "h", ":"),
    "spectrotemporal": ("k", "p", ":"),
    "luminance": ("#999999", ".", ":"),
    "silhouette": ("#555555", "|", "--"),
    "gabor_v1": ("k", "+", ":"),
    "hmax_c2": ("k", "1", "--"),
    "random_filters": ("#777777", "d", ":"),
    "category": ("#555555", "*", "-"),
}
_OTHER_COLOURS = ("#882255", "#332288", "#44AA99", "#AA4499", "#999933")  # after Paul Tol; models that are no rules
CEILING = "#DDDDDD"  # of noise ceilings, in every figure
MOST_COLUMNS = 3  # where there is one row
MOST_TICKS = 40  # of a deep network every second, third, ... layer is named


def style_of(name: str) -> tuple[str, str, Any]:
    """Colour, marker and line style of a model; depends on its name alone."""
    if name in _CONTROL_STYLE:
        return _CONTROL_STYLE[name]
    known = [*RULES, *(control for control in CONTROLS if control not in _CONTROL_STYLE)]
    colours = _COLOURS if name in known else _OTHER_COLOURS
    index = known.index(name) if name in known else sum(map(ord, name))
    turn, colour = divmod(index, len(colours))
    return colours[colour], _MARKERS[(turn + colour) % len(_MARKERS)], "-"


def by_layer(scores: Score | pd.DataFrame) -> Figure:
    """Score against layer: a panel for each benchmark and metric, a line for each network, the ceiling as a band.

    Models that do not have the deepest one's layers stand beside them.

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
    n_rows, n_columns = max(map(len, columns)), len(columns)
    panels = [(row, column, *group) for column, groups in enumerate(columns) for row, group in enumerate(groups)]
    if n_rows == 1 and n_columns > MOST_COLUMNS:  # one below the other rather than too small to read
        panels = [(*divmod(column, MOST_COLUMNS), name, part) for _, column, name, part in panels]
        n_rows, n_columns = -(-n_columns // MOST_COLUMNS), MOST_COLUMNS
    figure = Figure(figsize=(max(3.2 * n_columns, 6.5), 2.9 * n_rows + 0.9), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for row, column, name, part in panels:
        axis, metric = axes[row, column], str(name)
        axis.set_visible(True)
        _ceiling(axis, part)
        draw(axis, part)
        first = part.iloc[0]
        units = ("RDM" if metric.startswith("rsa") else "neuroid") + ("s" if first.n_units > 1 else "")
        without = "" if np.isfinite(first.ceiling_lower) else ", no ceiling estimable"
        axis.set_title(f"{first.benchmark}\n{first.n_stimuli} stimuli, {first.n_units} {units}{without}", fontsize=8)
        axis.set_ylabel(fill(METRICS[metric].label if metric in METRICS else metric, 30), fontsize=8)
        axis.set_xlabel(x_label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.axhline(0, color="#999999", linewidth=0.6, zorder=0)
    _legend(figure, table)
    return figure


def _ceiling(axis: Axes, part: pd.DataFrame) -> None:
    lower, upper = part["ceiling_lower"].iloc[0], part["ceiling_upper"].iloc[0]
    if np.isfinite(lower):
        axis.axhspan(lower, upper, color=CEILING, zorder=0, linewidth=0)


def _layer_panel(axis: Axes, part: pd.DataFrame) -> None:
    summary = over_seeds(part).dropna(subset="mean")
    longest = max((line for _, line in summary.groupby("model", sort=False)), key=len, default=summary)
    depth = int(longest["depth"].max()) if len(longest) > 1 else 0
    beside = []
    for model, line in summary.groupby("model", sort=False):
        if len(line) == 1 or not set(line["layer"]) <= set(longest["layer"]):
            beside.append(str(model))
            continue
        colour, marker, dash = style_of(str(model))
        axis.plot(line["depth"], line["mean"], color=colour, linestyle=dash, marker=marker, markersize=4, linewidth=1.2)
        axis.fill_between(line["depth"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
    places = _clusters(axis, summary, beside, start=depth + 1.2, width=max(depth, 5) / 10)
    ticks = [*longest["depth"], *places] if depth else places
    names = [*longest["layer"], *map(_tick, beside)] if depth else [_tick(name) for name in beside]
    _x_ticks(axis, ticks, names)


def _rule_panel(axis: Axes, part: pd.DataFrame) -> None:
    summary = over_seeds(part).dropna(subset="mean")
    names = list(dict.fromkeys(summary["model"]))
    _x_ticks(axis, _clusters(axis, summary, names), [_tick(name) for name in names])


def _clusters(axis: Axes, summary: pd.DataFrame, names: list[str], start: float = 0, width: float = 1) -> list[float]:
    """Models side by side, every layer of each from left to right; where on the axis they stand."""
    places = [start + width * index for index in range(len(names))]
    for place, model in zip(places, names, strict=True):
        line = summary[summary["model"] == model]
        colour, marker, dash = style_of(model)
        offset = width * np.linspace(-0.32, 0.32, len(line)) if len(line) > 1 else np.zeros(1)
        bars = np.nan_to_num(np.stack([line["mean"] - line["low"], line["high"] - line["mean"]]))
        axis.errorbar(place + offset, line["mean"], yerr=bars, color=colour, marker=marker, markersize=3.5,
                      linestyle=dash, linewidth=0.8, elinewidth=1, capsize=1.5)  # fmt: skip
    return places


def _x_ticks(axis: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    few, every = len(names) < 8, -(-len(names) // MOST_TICKS)
    axis.set_xticks(places[::every], names[::every], rotation=30 if few else 90, ha="right" if few else "center")


def _tick(model: str) -> str:
    """Short enough for an axis: a rule's abbreviation, a region with the year of its data, a control's first word."""
    dataset, _, region = model.rpartition(".")
    if dataset:
        return f"{region} {''.join(filter(str.isdigit, dataset))}".strip()
    return RULES[model].short if model in RULES else model.split("_")[0]


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    handles = []
    for model in dict.fromkeys(table["model"]):
        colour, marker, dash = style_of(model)
        label = model.replace("_", " ") + (f" ({RULES[model].short})" if model in RULES else "")
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle=dash, markersize=4, label=label))
    if np.isfinite(table["ceiling_lower"]).any():
        handles.append(Line2D([], [], color=CEILING, linewidth=7, label="noise ceiling"))
    n_seeds = int(table.groupby(["model", "layer", "benchmark", "metric"]).size().max())
    interval = "bars and shading: 95 % t interval over seeds" if n_seeds >= MIN_SEEDS else "too few for an interval"
    title = f"{n_seeds} seed{'s' if n_seeds > 1 else ''} ({interval})"
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False, title=title, title_fontsize=8
    )
