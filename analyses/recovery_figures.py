"""Figures and sentences of ``rule_recovery``."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neurocompare.recovery import enough
from neurocompare.rules import RULES

KNOWN, BEST = "generating layer", "best layer"
FACTORS = ("reliability", "sites", "stimuli")
COLOURS = ("#0072B2", "#D55E00", "#009E73")  # Okabe & Ito's
MARKERS = ("o", "s", "^")
WANTED = 0.8  # of brains whose rule is found, from which on rules count as told apart


def plot(dataset: xr.Dataset) -> Figure:
    """Confusion matrices where the layer is known: a row per benchmark and kind of evidence, a column per metric."""
    rows = [(name, by) for name in dataset["benchmark"].values for by in dataset["chosen_by"].values]
    known = dataset.isel(matrix=dataset["matrix_what"].values == KNOWN)
    of = {name: known.isel(matrix=known["matrix_benchmark"].values == name) for name in dataset["benchmark"].values}
    columns = max(part.sizes["matrix"] for part in of.values())
    cell = 0.42 * dataset.sizes["rule"]
    figure = Figure(figsize=(columns * (cell + 0.6) + 0.6, len(rows) * (cell + 0.9) + 0.7), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (name, by), line in zip(rows, axes, strict=True):
        for axis in line[of[name].sizes["matrix"] :]:
            axis.set_visible(False)
        for axis, matrix in zip(line, range(of[name].sizes["matrix"]), strict=False):
            _matrix(axis, of[name].isel(matrix=matrix).sel(chosen_by=by), labelled=axis is line[0])
    figure.suptitle(
        f"{_networks(dataset)}; % of the brains\nthat each rule made (rows) for which each rule is chosen (columns); "
        f"by chance {100 * dataset.attrs['chance']:.3g} %",
        fontsize=9,
    )
    return figure


def _matrix(axis: Axes, part: xr.Dataset, *, labelled: bool) -> None:
    rate = part["rate"].values
    axis.imshow(rate, cmap="Greys", vmin=0, vmax=1.15, aspect="equal")
    for (row, column), value in np.ndenumerate(rate):
        axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7,
                  color="white" if value > 0.6 else "black")  # fmt: skip
    for k in range(len(rate)):
        axis.add_patch(Rectangle((k - 0.46, k - 0.46), 0.92, 0.92, fill=False, edgecolor=COLOURS[1], linewidth=1.2))
    names = [_short(rule) for rule in part["rule"].values]
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names if labelled else [""] * len(names), fontsize=7)
    if labelled:
        axis.set_ylabel("rule of the brain", fontsize=8)
    axis.set_title(
        f"{part['matrix_benchmark'].item()}, {part['matrix_metric'].item()}\n{part['chosen_by'].item()}: {_percent(part)}",
        fontsize=8,
    )
    axis.tick_params(length=0)


def plot_curves(dataset: xr.Dataset) -> Figure:
    """Recovery against noise, sites and stimuli: a row per benchmark and kind of evidence, a line per metric."""
    rows = [(name, by) for name in dataset["benchmark"].values for by in dataset["chosen_by"].values]
    figure = Figure(figsize=(9.5, 2.1 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots(len(rows), len(FACTORS), squeeze=False, sharey=True)
    for (name, by), line in zip(rows, axes, strict=True):
        for axis, factor in zip(line, FACTORS, strict=True):
            here = (dataset["curve_benchmark"].values == name) & (dataset["curve_what"].values == factor)
            _curves(axis, dataset.isel(curve=here).sel(chosen_by=by), dataset.attrs["chance"])
            axis.set_xlabel(_axis_label(factor, dataset.sel(benchmark=name)), fontsize=8)
        line[0].set_ylabel("brains whose rule\nis chosen", fontsize=8)
        line[0].set_title(f"{name}, {by}", fontsize=8, loc="left")
        line[-1].legend(frameon=False, fontsize=7, loc="upper left")
    figure.suptitle(
        f"{_networks(dataset)}; shading: 95 % intervals (Wilson, networks as draws); dashed: chance; dotted: as in the real "
        "benchmark",
        fontsize=9,
    )
    return figure


def _curves(axis: Axes, part: xr.Dataset, chance: float) -> None:
    for number in range(part.sizes["curve"]):
        one = part.isel(curve=number).dropna("step", subset=["curve_x"])
        colour, x = COLOURS[number], one["curve_x"].values
        axis.plot(x, one["curve_recovery"], color=colour, marker=MARKERS[number], markersize=4, linewidth=1.2,
                  label=str(one["curve_metric"].item()))  # fmt: skip
        axis.fill_between(
            x, one["curve_recovery_low"], one["curve_recovery_high"], color=colour, alpha=0.12, linewidth=0
        )
    axis.axhline(chance, color="#777777", linewidth=0.8, linestyle="--")
    axis.axvline(float(part["real"][0]), color="k", linewidth=0.8, linestyle=":")
    if str(part["curve_what"].values[0]) != "reliability":
        values = np.unique(part["curve_x"].values[np.isfinite(part["curve_x"].values)])
        axis.set_xscale("log")
        axis.set_xticks(values, [f"{value:.0f}" for value in values])
        axis.set_xticks([], minor=True)
    axis.set_ylim(0, 1)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _axis_label(factor: str, benchmark: xr.Dataset) -> str:
    if factor == "stimuli":
        return "stimuli"
    if not int(benchmark["subjects"]):
        return {"reliability": "reliability of the mean response", "sites": "sites"}[factor]
    return {"reliability": "noise ceiling (lower, Spearman's ρ)", "sites": "voxels of each subject"}[factor]


def _networks(dataset: xr.Dataset) -> str:
    return f"{dataset.sizes['rule']} rules, {int(dataset['networks'].values.flat[0])} networks each"


def _short(rule: str) -> str:
    return RULES[rule].short if rule in RULES else rule


def _percent(part: xr.Dataset) -> str:
    low, high = (100 * float(part[f"recovery_{end}"]) for end in ("low", "high"))
    return f"{100 * float(part['recovery']):.0f} % [{low:.0f}, {high:.0f}]"


def words(dataset: xr.Dataset) -> list[str]:
    """What was found, in sentences."""
    lines = [f"{_networks(dataset)}, trained on {dataset.attrs['items']:,} images of {dataset.attrs['trained_on']}"]
    accuracy = dataset["accuracy"].mean("network")
    lines.append("test accuracy: " + ", ".join(f"{_short(str(a['rule'].item()))} {float(a):.2f}" for a in accuracy))
    chance = f"chance {100 * dataset.attrs['chance']:.3g} %"
    for name in dataset["benchmark"].values:
        b = dataset.sel(benchmark=name)
        noise = (
            ("lower noise ceiling", f"{int(b['subjects'])} subjects, ") if int(b["subjects"]) else ("reliability", "")
        )
        lines.append(f"with the sites, stimuli and noise of {name} ({noise[1]}{int(b['sites'])} sites, {int(b['stimuli'])} "
                     f"stimuli, {noise[0]} {float(b['ceiling']):.2f}; {chance}):")  # fmt: skip
        lines += [f"  {line}" for line in _sentences(dataset, str(name))]
    return lines


def _sentences(dataset: xr.Dataset, name: str) -> list[str]:
    lines = []
    for metric in dict.fromkeys(dataset["matrix_metric"].values[dataset["matrix_benchmark"].values == name].tolist()):
        known, best = (_one(dataset, "matrix", name, metric, what) for what in (KNOWN, BEST))
        for by in dataset["chosen_by"].values:
            lines.append(
                f"{metric} picks the generating rule in {_percent(known.sel(chosen_by=by))} of brains by the {by}, "
                f"{_percent(best.sel(chosen_by=by))} where the layer is not known; {_mistaken(known.sel(chosen_by=by))}"
            )
            along = [(_factor(dataset, name, what), _one(dataset, "curve", name, metric, what)) for what in FACTORS]
            reached = [_reached(factor, curve.sel(chosen_by=by)) for factor, curve in along]
            lines.append(f"  {100 * WANTED:.0f} % of brains: {'; '.join(reached)}")
    return lines


def _one(dataset: xr.Dataset, dim: str, benchmark: str, metric: str, what: str) -> xr.Dataset:
    """The matrix or curve of that description."""
    parts = {"benchmark": benchmark, "metric": metric, "what": what}
    fits = np.all([dataset[f"{dim}_{part}"].values == value for part, value in parts.items()], axis=0)
    return dataset.isel({dim: int(np.flatnonzero(fits)[0])})


def _mistaken(part: xr.Dataset) -> str:
    """The most frequent error, and how often the right rule has more evidence than another (by chance, in half)."""
    other = part["rule"].values[:, None] != part["chosen"].values
    row, column = np.unravel_index(np.where(other, part["rate"].values, -1).argmax(), other.shape)
    brain, chosen = _short(str(part["rule"].values[row])), _short(str(part["chosen"].values[column]))
    ahead = 100 * part["pairwise"].values[other].mean()
    often = 100 * float(part["rate"][row, column])
    return f"{brain} is taken for {chosen} in {often:.0f} %; ahead of another rule in {ahead:.0f} % of pairs"


def _factor(dataset: xr.Dataset, benchmark: str, what: str) -> str:
    of_rdms = int(dataset["subjects"].sel(benchmark=benchmark)) > 0
    return "noise ceiling" if of_rdms and what == "reliability" else what


def _reached(factor: str, part: xr.Dataset) -> str:
    line = part.dropna("step", subset=["curve_x"])
    along = line["curve_recovery"].assign_coords(step=line["curve_x"].values)
    found, most = enough(along, WANTED), float(along["step"][-1])
    if np.isnan(found):
        return f"not reached with {factor} up to {_number(most)} ({100 * float(along[-1]):.0f} %)"
    return f"from {factor} of {_number(found)} on"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value > 1 else f"{value:.2f}"
