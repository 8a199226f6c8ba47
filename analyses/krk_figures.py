"""Table and figure of ``khaligh_razavi2014``, beside what was published."""

from __future__ import annotations

import itertools
from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analyses._results import finish
from analyses.krk_models import BIT, CHOSEN, HUMAN, MONKEY, OURS, PUBLISHED, PUBLISHED_CEILING, WEIGHTED
from analyses.krk_words import (
    at_layer,
    at_point,
    correlations,
    interval,
    is_there,
    models,
    networks_of_rules,
    ours_like,
    plain,
    short,
)
from neurocompare import plot as figures

BAND, ONE_BIT = figures.CEILING, "#555555"
GAP, ROOM = 1.2, 3.2  # between models, and of a model with one layer, in layers
# In place of markers that a vertical bar hides.
MARKERS = {
    BIT: "*",
    "pixels": "s",
    "silhouette": "h",
    "gabor_v1": "P",
    "hmax_c2": "X",
    "luminance": "d",
    "category": "p",
}


def plot(dataset: xr.Dataset) -> Figure:
    """Models by region and by decoded animacy; accuracy on the task; weighted layers; published values."""
    names = [str(name) for name in dataset["benchmark"].values]
    figure = Figure(figsize=(12.5, 2.25 * (len(names) + 1) + 4.6), layout="constrained")
    grid = figure.add_gridspec(len(names) + 2, 1, height_ratios=[1] * (len(names) + 1) + [1.7])
    places = _places(dataset)
    for row, name in enumerate(names):
        axis = figure.add_subplot(grid[row])
        _region(axis, dataset, name, places)
        axis.set_title(_heading(dataset, name), fontsize=8, loc="left")
    _decoding(figure.add_subplot(grid[len(names)]), dataset, places)
    last = grid[len(names) + 1].subgridspec(1, 3, width_ratios=(1, 1.2, 0.8))
    for column, draw in enumerate((_accuracy, _weighted, _published)):
        draw(figure.add_subplot(last[column]), dataset)
    for letter, axis in zip(ascii_lowercase, figure.axes, strict=False):
        axis.set_title(f"{letter}  {axis.get_title(loc='left')}", fontsize=8, loc="left")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _style(model: str) -> tuple[str, str]:
    colour, marker, _ = figures.style_of(model)
    return "k" if model == BIT else colour, MARKERS.get(model, marker)


def _heading(dataset: xr.Dataset, name: str) -> str:
    part = dataset.sel(benchmark=name)
    subjects = int(part["subjects"])
    ceiling = "no noise ceiling estimable from one RDM" if subjects == 1 else "grey: noise ceiling of single subjects"
    return (
        f"{name}: {dataset.attrs['stimuli']} images, {subjects} RDM{'s' if subjects > 1 else ''}, {ceiling}; "
        f"networks: {dataset.sizes['seed']} seeds"
    )


def _handles() -> list[Line2D | Patch]:
    def mark(marker: str, size: float, face: str, label: str) -> Line2D:
        return Line2D(
            [], [], color="k", marker=marker, markersize=size, markerfacecolor=face, linestyle="", label=label
        )

    return [
        Patch(color=BAND, label="noise ceiling (lower to upper bound)"),
        mark("o", 3, "w", "each layer, input to output (mean over seeds)"),
        mark("o", 6, "k", "layer chosen on other stimuli; bar: 95 % interval\nover subjects, stimuli and seeds"),
        mark(".", 2, "k", "single seeds"),
        mark("D", 5, "w", "layers weighted on other stimuli"),
        Line2D([], [], color=ONE_BIT, linestyle="--", label="one bit: animate or not"),
    ]


def _places(dataset: xr.Dataset) -> dict[str, tuple[np.ndarray, float]]:
    """Where each model's layers stand, and where its chosen layer does."""
    found, x = {}, 0.0
    for model in models(dataset):
        n = int((dataset["entry_model"] == model).sum())
        layers = x + np.arange(n) if n > 1 else np.zeros(0)
        room = 1 if n > 1 else ROOM  # a name needs as much
        found[model] = layers, x + len(layers) + room / 2 - 0.2
        x += len(layers) + room + GAP
    return found


def _x_axis(axis: Axes, places: dict[str, tuple[np.ndarray, float]]) -> None:
    middles = [np.append(layers, chosen).mean() for layers, chosen in places.values()]
    axis.set_xticks(middles, [short(model) for model in places], rotation=0)
    for (_, before), (layers, chosen) in itertools.pairwise(places.values()):
        axis.axvline((before + np.append(layers, chosen)[0]) / 2 + 0.1, color="#EEEEEE", linewidth=0.8, zorder=0)
    axis.set_xlim(-1.2, max(chosen for _, chosen in places.values()) + 2)
    finish(axis)


def _layers(axis: Axes, model: str, place: np.ndarray, values: np.ndarray) -> None:
    """Means over seeds, ``(layers, seeds)``, joined by a line."""
    if len(place) and np.isfinite(values).any():
        colour, marker = _style(model)
        seen = np.isfinite(values).any(1)
        mean = np.nanmean(values[seen], 1)
        axis.plot(place[seen], mean, color=colour, marker=marker, markersize=3.2, markerfacecolor="w", linewidth=0.8)


def _point(axis: Axes, dataset: xr.Dataset, name: str, model: str, how: str, x: float, aside: float = 0.45) -> None:
    """A model's mean over seeds with its interval, and the seeds."""
    values = at_point(dataset, name, model, how)
    if not len(values):
        return
    colour, marker = _style(model)
    mean, low, high = interval(dataset, name, model, how)
    is_chosen = how == CHOSEN
    axis.errorbar(x, mean, [[mean - low], [high - mean]], color=colour, markerfacecolor=colour if is_chosen else "w",
                  marker=marker if is_chosen else "D", markersize=5.5 if is_chosen else 4.5, elinewidth=1, capsize=2,
                  linestyle="", zorder=3)  # fmt: skip
    if len(values) > 1:
        axis.plot(np.full(len(values), x + aside), values, color=colour, marker=".", markersize=2.5, linestyle="")


def _band(axis: Axes, dataset: xr.Dataset, name: str) -> None:
    lower, upper = float(dataset["lower"].sel(benchmark=name)), float(dataset["upper"].sel(benchmark=name))
    if np.isfinite(lower):
        axis.axhspan(lower, upper, color=BAND, zorder=0, linewidth=0)
    axis.axhline(float(at_point(dataset, name, BIT, CHOSEN)[0]), color=ONE_BIT, linestyle="--", linewidth=0.9, zorder=1)
    axis.axhline(0, color="#999999", linewidth=0.6, zorder=0)


def _region(axis: Axes, dataset: xr.Dataset, name: str, places: dict[str, tuple[np.ndarray, float]]) -> None:
    _band(axis, dataset, name)
    for model, (layers, chosen) in places.items():
        _layers(axis, model, layers, at_layer(dataset, "layer_tau", model, name))
        _point(axis, dataset, name, model, CHOSEN, chosen)
    axis.set_ylabel(f"similarity to {name.rpartition('.')[2]}\n(Kendall's tau-a, mean over subjects)", fontsize=8)
    _x_axis(axis, places)


def _decoding(axis: Axes, dataset: xr.Dataset, places: dict[str, tuple[np.ndarray, float]]) -> None:
    for model, (layers, chosen) in places.items():
        values = at_layer(dataset, "decoding", model)
        _layers(axis, model, layers, values)
        colour, marker = _style(model)
        if len(values) == 1:
            axis.plot(chosen, values[0, 0], color=colour, marker=marker, markersize=5.5, linestyle="")
        else:
            for x, seeds in zip(layers, values, strict=True):
                axis.plot(np.full(len(seeds), x), seeds, color=colour, marker=".", markersize=2.5, linestyle="")
    axis.axhline(0.5, color="k", linestyle=":", linewidth=0.9)
    axis.set_ylabel("animate or not, linear SVM\n(balanced accuracy, held out)", fontsize=8)
    axis.set_ylim(0.35, 1.05)
    axis.set_title(
        f"animacy decoded from each layer, {dataset.attrs['splits']} splits, a fifth of the images held out "
        "(labels and the one bit contain the answer)",
        fontsize=8,
        loc="left",
    )
    _x_axis(axis, places)
    axis.text(axis.get_xlim()[0], 0.5, " chance", fontsize=7, va="bottom")


def _accuracy(axis: Axes, dataset: xr.Dataset) -> None:
    for rule in map(str, dataset["rule"].values):
        colour, marker = _style(rule)
        x, y = networks_of_rules(dataset, [rule])
        axis.plot(x, y, color=colour, marker=marker, markersize=5, linestyle="", label=short(rule))
    _band(axis, dataset, HUMAN)
    (r, n), (r_rules, n_rules, low, high) = correlations(dataset)
    axis.set_title(
        f"r = {r:.2f} over {n} networks; over {n_rules} rules\n    r = {r_rules:.2f} [{low:.2f}, {high:.2f}]",
        fontsize=8,
        loc="left",
    )
    axis.set_xlabel(f"accuracy on the training task ({dataset.attrs['trained_on']}, test)", fontsize=8)
    axis.set_ylabel("similarity to hIT, chosen layer\n(tau-a, mean over subjects)", fontsize=8)
    axis.set_ylim(top=1.2 * float(dataset["lower"].sel(benchmark=HUMAN)))
    axis.legend(fontsize=7, frameon=False, ncols=4, loc="center", columnspacing=1, handletextpad=0.2)
    finish(axis)


def _weighted(axis: Axes, dataset: xr.Dataset) -> None:
    shown = [model for model in models(dataset) if is_there(dataset, HUMAN, model, WEIGHTED)]
    _band(axis, dataset, HUMAN)
    for place, model in enumerate(shown):
        _point(axis, dataset, HUMAN, model, CHOSEN, place - 0.2, aside=0.15)
        _point(axis, dataset, HUMAN, model, WEIGHTED, place + 0.2, aside=0.15)
    axis.set_xticks(range(len(shown)), [plain(model) for model in shown], rotation=90)
    axis.set_ylabel("similarity to hIT\n(tau-a, mean over subjects)", fontsize=8)
    axis.set_title("best layer (filled) and weighted layers (open)", fontsize=8, loc="left")
    finish(axis)


def _published(axis: Axes, dataset: xr.Dataset) -> None:
    """Ours against the mean RDM, as the published values are."""
    rows = {source: ours for source, ours in OURS.items() if is_there(dataset, HUMAN, ours[0])}
    labels = []
    for place, (source, (model, _)) in enumerate(rows.items()):
        labels.append(f"{source} | {plain(model)}")
        for region, marker, shift in (("hIT", "o", -0.15), ("mIT", "s", 0.15)):
            ours = ours_like(dataset, source, f"kriegeskorte2008.{region}")
            axis.plot(ours, place + shift, color="k", marker=marker, markersize=5, linestyle="",
                      label=f"ours, {region}" if place == 0 else None)  # fmt: skip
            if source in dataset["source"].values:
                theirs = float(dataset["published"].sel(source=source, region=region))
                axis.plot(theirs, place + shift, color="k", marker=marker, markersize=6, markerfacecolor="none",
                          linestyle="", label=f"published, {region}" if place == 0 else None)  # fmt: skip
    axis.set_yticks(range(len(labels)), labels)
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("similarity to the mean RDM (Kendall's tau-a)", fontsize=8)
    axis.set_title("published | ours", fontsize=8, loc="left")
    axis.legend(fontsize=7, frameon=False, loc="upper right")
    finish(axis)


def table(dataset: xr.Dataset) -> list[str]:
    """A row per model: its chosen layer by region, its weighted layers and animacy decoded, and the published values."""
    benchmarks = [str(name) for name in dataset["benchmark"].values]
    regions = [name.rpartition(".")[2] for name in benchmarks]
    lines = ["Kendall's tau-a at the layer chosen on other stimuli: mean over subjects (with the mean RDM)"]
    lines.append(f"{'':22s}" + "".join(f"{region:>16s}" for region in regions) + "   weighted, hIT   most chosen, hIT")
    for model in models(dataset):
        cells = [_cell(dataset, name, model, CHOSEN) for name in benchmarks]
        lines.append(
            f"{plain(model):22s}" + "".join(f"{cell:>16s}" for cell in cells)
            + f"{_cell(dataset, HUMAN, model, WEIGHTED):>16s}   {_most_chosen(dataset, model)}"
        )  # fmt: skip
    lines.append(f"published by Khaligh-Razavi & Kriegeskorte 2014 against the mean RDM, hIT | mIT, and ours; "
                 f"their noise ceiling of hIT [{PUBLISHED_CEILING[0]}, {PUBLISHED_CEILING[1]}]")  # fmt: skip
    for source, values in PUBLISHED.items():
        lines.append(f"{source:28s}{values[0]:6.3f} |{values[1]:6.3f}{_ours(dataset, source)}")
    return lines


def _cell(dataset: xr.Dataset, benchmark: str, model: str, how: str) -> str:
    if not is_there(dataset, benchmark, model, how):
        return "-"
    single, group = (at_point(dataset, benchmark, model, how, name).mean() for name in ("tau", "tau_group"))
    return f"{single:.3f} ({group:.3f})"


def _most_chosen(dataset: xr.Dataset, model: str) -> str:
    """The layer, its animacy decoding and its effective dimensionality."""
    layers = dataset["entry_layer"].values[dataset["entry_model"].values == model]
    share = at_layer(dataset, "share", model, HUMAN)
    share = share.mean(1) if share.size else np.ones(1)  # human IT as a model is not compared with itself
    best = str(layers[share.argmax()])
    decoded, dimensions = (at_layer(dataset, name, model, layer=best).mean() for name in ("decoding", "dimensionality"))
    return f"{best} ({share.max():.0%}), animacy decoded {decoded:.2f}, effective dimensions {dimensions:.1f}"


def _ours(dataset: xr.Dataset, source: str) -> str:
    values = [ours_like(dataset, source, name) for name in (HUMAN, MONKEY)]
    if not np.isfinite(values).any():
        return ""
    model, layer = OURS[source]
    return f"   ours{values[0]:7.3f} |{values[1]:6.3f}   {plain(model)}, {layer}"
