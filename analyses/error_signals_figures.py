"""Figures and sentences of ``error_signals``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from analyses._results import finish
from analyses.objects_of_parts import CONDITIONS, FREQUENT, SIDE, index
from neurocompare import plot as figures
from neurocompare.inference import seed_interval
from neurocompare.rules import RULES


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval over seeds."""
    low, high = seed_interval(values)
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"


def over_time(dataset: xr.Dataset) -> xr.DataArray:
    """The index of preference, ``(condition, seed, layer, kind, step)``."""
    typical, atypical = (dataset["response"].sel(arrangement=a, drop=True) for a in ("typical", "atypical"))
    return xr.apply_ufunc(index, typical, atypical)


def plot(dataset: xr.Dataset) -> Figure:
    """Above: preference for typical stimuli over inference time, and by rule. Below: fields of one unit, and of all."""
    figure = Figure(figsize=(11, 7.4), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    for place, layer in enumerate(("lower", "upper")):
        axis = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        _preference_over_time(axis, dataset, layer)
    _preferences(figure.add_subplot(grid[0, 4:]), dataset)
    names = [str(name) for name in dataset["map"].values if "summed" not in str(name)][:4]
    inner = grid[1, :3].subgridspec(2, 2)
    for place, name in enumerate(names):
        _map(figure.add_subplot(inner[divmod(place, 2)]), dataset, name)
    _fields(figure.add_subplot(grid[1, 3:]), dataset)
    n = dataset.sizes["seed"]
    figure.suptitle(
        f"{n} networks of each kind ({dataset.attrs['units']}), {dataset.attrs['stimuli']} stimuli of "
        "each arrangement; shading and bars: 95 % t interval over networks",
        fontsize=9,
    )
    return figure


def _style(condition: str) -> tuple[str, str]:
    colour, _, _ = figures.style_of("predictive_coding")
    others = {
        "typical 1 in 4": ("#999999", "-"),
        "nothing from above": ("k", "--"),
        "untrained": ("#777777", ":"),
    }
    return others.get(condition, (colour, "-"))


def _band(axis: Axes, values: np.ndarray, colour: str, dash: str, label: str) -> None:
    steps, (low, high) = np.arange(values.shape[1]), np.transpose([seed_interval(moment) for moment in values.T])
    axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(steps, values.mean(0), color=colour, linestyle=dash, linewidth=1.3, label=label)


def _preference_over_time(axis: Axes, dataset: xr.Dataset, layer: str) -> None:
    course = over_time(dataset).sel(layer=layer)
    for condition in dataset["condition"].values:
        part = course.sel(condition=condition, kind="error")
        _band(axis, part.transpose("seed", "step").values, *_style(str(condition)), f"errors, {condition}")
    values = course.sel(condition=FREQUENT, kind="value").transpose("seed", "step").values
    _band(axis, values, "#0072B2", "-.", f"values, {FREQUENT}")
    axis.axhline(0, color="#999999", linewidth=0.6)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(0, dataset.sizes["step"] - 1)
    axis.set_ylim(-1, 1)
    axis.set_xlabel("inference steps since the stimulus came on", fontsize=8)
    axis.set_title(f"predictive coding, {layer} hidden layer", fontsize=8)
    if layer == "lower":
        axis.set_ylabel("preference, (T - A) / (T + A)", fontsize=8)
        axis.legend(frameon=False, fontsize=6, loc="lower left")
    finish(axis)


def _bars(axis: Axes, rows: np.ndarray, kinds: Sequence[str], names: Sequence[str]) -> None:
    """Bars in groups, a group for each of ``names`` in its rule's colour; ``rows`` is ``(names, kinds, seeds)``."""
    width, tones = 0.8 / len(kinds), np.linspace(0.25, 1, len(kinds))
    for kind, tone in enumerate(tones):
        middle = np.arange(len(names)) + (kind - (len(kinds) - 1) / 2) * width
        means, ends = rows[:, kind].mean(1), np.array([seed_interval(row) for row in rows[:, kind]])
        reach = np.abs(np.nan_to_num(ends - means[:, None])).T
        colours = [to_rgba(figures.style_of(name.partition(", ")[0])[0], tone) for name in names]
        axis.bar(middle, means, width, yerr=reach, color=colours, edgecolor="k", linewidth=0.5, capsize=1.5,
                 error_kw={"linewidth": 0.8})  # fmt: skip
        axis.bar(0, 0, color=to_rgba("k", tone), edgecolor="k", linewidth=0.5, label=kinds[kind])
    axis.set_xticks(range(len(names)), [_short(name) for name in names], rotation=40, ha="right")
    axis.legend(frameon=False, fontsize=7)
    finish(axis)


def _preferences(axis: Axes, dataset: xr.Dataset) -> None:
    rows = dataset["preference"].sel(layer="lower").transpose("rule", "signal", "seed").values
    _bars(axis, rows, [str(kind) for kind in dataset["signal"].values], [str(name) for name in dataset["rule"].values])
    axis.axhline(0, color="k", linewidth=0.6)
    axis.set_ylim(-1, 1)
    axis.set_title("every rule, lower hidden layer, after inference", fontsize=8)


def _map(axis: Axes, dataset: xr.Dataset, name: str) -> None:
    image = dataset["example"].sel(map=name).values
    axis.imshow(image / image.max(), cmap="Greys", extent=(0, SIDE, SIDE, 0))
    axis.set_title("visual field of one unit" if name == "visual" else name.replace("_", " "), fontsize=8)
    axis.set_xticks([0, SIDE])
    axis.set_yticks([0, SIDE])
    axis.set_xlabel("pixels", fontsize=7, labelpad=-6)
    axis.tick_params(labelsize=7)


def _fields(axis: Axes, dataset: xr.Dataset) -> None:
    rows = dataset["field"].sel(measure="size").transpose("source", "layer", "seed").values
    _bars(axis, rows, ["lower layer", "upper layer"], [str(name) for name in dataset["source"].values])
    axis.axhline(1, color="k", linewidth=0.8, linestyle=":")
    axis.set_ylabel("size of mismatch field over that of visual field", fontsize=8)
    axis.set_title("convolutional networks, median over units", fontsize=8)


def _short(source: str) -> str:
    rule, _, stage = source.partition(", ")
    return f"{RULES[rule].short} {stage}".strip()


def report(dataset: xr.Dataset) -> str:
    """The published findings beside ours, in words that follow from the numbers."""
    return "\n".join([*_faces_in_words(dataset), *_rules_in_words(dataset), *_fields_in_words(dataset)])


def _faces_in_words(dataset: xr.Dataset) -> list[str]:
    course = over_time(dataset).transpose("seed", "step", ...)
    lines = [
        "Issa et al. 2018: midway up, an early preference for typical arrangements turns round; further up it stays.",
        "ours, predictive coding: preference (T - A) / (T + A), early -> at the end, mean and 95 % interval over networks,",
        "and the share of units that turn round among those that prefer typical arrangements early",
    ]
    turning = []
    for condition, layer, kind in itertools.product(CONDITIONS, ("lower", "upper"), ("value", "error")):
        where = {"condition": condition, "layer": layer, "kind": kind}
        part, early = course.sel(where).values, dataset["early"].sel(condition=condition).values
        first, last, share = part[np.arange(len(part)), early], part[:, -1], float(dataset["turned"].sel(where).mean())
        name, what = f"{condition}, {layer} {kind}s", verdict(first, last)
        lines.append(f"  {name:33s}{interval(first)} -> {interval(last)}, {share:4.0%} of units; it {what}")
        turning += [name] if what == "turns round" else []
    size = dataset["response"].sel(condition=FREQUENT, kind="error", layer="lower").mean(("seed", "arrangement")).values
    mean = course.sel(condition=FREQUENT, kind="error", layer="lower").mean("seed").values
    when = f"after {int((mean < 0).argmax())} steps of a tenth of a time constant" if (mean < 0).any() else "never"
    return [
        *lines,
        f"  turns round in: {'; '.join(turning) or 'none'}",
        f"  in the lower layer's errors it is below zero for the first time {when}; recorded: some 30 ms after it appears.",
        f"  Errors at the end are {size[-1] / size.max():.1%} of their peak: what turns round is what is left by then.",
    ]


def verdict(early: np.ndarray, late: np.ndarray) -> str:
    """What becomes of an early preference for typical stimuli, by intervals over seeds."""
    (early_low, _), (late_low, late_high) = seed_interval(early), seed_interval(late)
    if not early_low > 0:
        return "is not there early"
    return "turns round" if late_high < 0 else "stays" if late_low > 0 else "is lost"


def _rules_in_words(dataset: xr.Dataset) -> list[str]:
    part = dataset["preference"].sel(layer="lower")
    lines = ["every rule, lower layer: preference of activity; of activity once the output is moved; of the error"]
    for name in dataset["rule"].values:
        found = [interval(part.sel(rule=name, signal=signal).values) for signal in dataset["signal"].values]
        lines.append(f"  {name}: {'; '.join(found)}")
    errors_turn = (part.sel(signal="error").mean("seed") < 0).sum()
    moved = part.sel(signal="activity, taught").mean("seed").dropna("rule")
    lines.append(
        f"  errors are larger for atypical stimuli in {int(errors_turn)} of {dataset.sizes['rule']} rules; "
        f"activities that carry them as changes turn round in {int((moved < 0).sum())} of {len(moved)}"
    )
    return lines


def _fields_in_words(dataset: xr.Dataset) -> list[str]:
    lines = [
        "Zmarz & Keller 2016: mismatch fields are about as large as visual fields and follow the retinotopic map.",
        "ours: size over that of visual fields, share of the error inside them, agreement of centres (r), by layer",
    ]
    for source in dataset["source"].values:
        part = dataset["field"].sel(source=source).transpose("layer", "measure", "seed").values
        lower, upper = (", ".join(map(interval, layer)) for layer in part)
        lines += [f"  {source}", f"    lower {lower}", f"    upper {upper}"]
    size = dataset["field"].mean("seed").sel(measure="size")
    for layer in ("lower", "upper"):
        alike = dataset["source"].values[size.sel(layer=layer) < 1.5]
        lines.append(f"  at most half as large again as visual fields, {layer} layer: {'; '.join(alike) or 'none'}")
    return [
        *lines,
        "  When the patch goes, the error of predictive coding's lower layer is its visual field by construction. What",
        "  comes from the output alone goes where the output's weights lead: it does not know where the patch was.",
    ]
