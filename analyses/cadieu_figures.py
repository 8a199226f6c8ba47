"""The figure and the sentences of ``cadieu2014``."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analyses._results import finish
from analyses.cadieu_models import PRETRAINED
from neurocompare import plot as figures
from neurocompare.rules import RULES

YAMINS = "Yamins et al. 2014"
RERUN = "rerun of Cadieu et al. 2014 by others (another formula)"
# Median over sites of IT, explained over explainable variance in %.
PUBLISHED = (
    ("category ideal observer", 15.0, YAMINS),
    ("V1-like", 16.0, YAMINS),
    ("V2-like", 26.0, YAMINS),
    ("HMAX", 25.0, YAMINS),
    ("HMO", 48.5, YAMINS),
    ("HMAX (rerun)", 27.0, RERUN),
    ("HMO (rerun)", 33.0, RERUN),
    ("Zeiler & Fergus (rerun)", 52.0, RERUN),
    ("Krizhevsky (rerun)", 54.0, RERUN),
    ("V4 (rerun)", 67.0, RERUN),
)
MISSED = 40.0  # %: "more than", of explainable variance by Zeiler & Fergus's network (Cadieu et al. 2014)
LABELS = {
    "pixels": "pixels",
    "gabor_v1": "V1-like (Gabor bank)",
    "hmax_c2": "HMAX-C2",
    "category": "labels alone",
    PRETRAINED: "ImageNet, backprop\n(EfficientNet-Lite0)",
}
ORDER = ("untrained", "permuted_weights", "pixels", "category", "gabor_v1", "hmax_c2", *RULES, PRETRAINED)
RULE_HATCH, CONTROL_HATCH, PUBLISHED_COLOUR = "", "///", "#BBBBBB"


def label_of(model: str) -> str:
    """As axes show it."""
    return LABELS.get(model, model.replace("_", " ") if "." not in model else f"{model.partition('.')[2]} (sites)")


def ordered(dataset: xr.Dataset) -> list[str]:
    """Controls, then rules, then what was trained on more, then regions."""
    names = list(map(str, dataset["model"].values))
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def per_cent(dataset: xr.Dataset, region: str) -> tuple[xr.DataArray, bool]:
    """Explained over explainable variance in %, or explained variance where noise is unknown; whether it is the former."""
    part = dataset.sel(region=region)
    known = bool(part["explained"].notnull().any())
    return 100 * part["explained" if known else "raw"], known


def spread(values: xr.DataArray) -> tuple[float, float, np.ndarray]:
    """The mean over seeds and splits, its standard error over splits, and the mean of each seed."""
    seeds = values.mean("split").dropna("seed").values
    splits = values.mean("seed").values
    return float(splits.mean()), float(splits.std(ddof=1) / np.sqrt(splits.size)), seeds


def plot(dataset: xr.Dataset) -> Figure:
    """Explained variance in each region, published numbers beside it; below, where stimuli have labels, what they show."""
    regions, labelled = list(map(str, dataset["region"].values)), "kernel" in dataset
    columns = len(regions) + 1
    height = 0.28 * dataset.sizes["model"] + 1.4
    figure = Figure(figsize=(4.3 * columns, height * (1 + labelled) + 0.4), layout="constrained")
    grid = figure.subplots(1 + labelled, columns, squeeze=False)
    for axis, region in zip(grid[0], regions, strict=False):
        _region(axis, dataset, region)
    _published(grid[0, -1])
    if labelled:
        error = "kernel analysis, 1 - area under leave-one-out error"
        _labels(grid[1, 0], dataset["kernel"], dataset, "categories, read from each model", error)
        for axis, region in zip(grid[1, 1:], regions, strict=False):
            title, label = f"{region}: dissimilarities between objects", "Spearman's ρ with the model's (no ceiling)"
            _labels(axis, dataset["objects"].sel(region=region), dataset, title, label)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure


def _bars(axis: Axes, models: list[str], means: list[float], errors: list[float] | None) -> None:
    for place, model in enumerate(models):
        hatch = RULE_HATCH if model in RULES else CONTROL_HATCH
        axis.barh(place, means[place], xerr=None if errors is None else errors[place], height=0.72,
                  color=figures.style_of(model)[0], hatch=hatch, edgecolor="white", linewidth=0.5, alpha=0.85,
                  error_kw={"elinewidth": 1, "capsize": 2})  # fmt: skip
    axis.set_yticks(range(len(models)), [label_of(model) for model in models])
    finish(axis)


def _seeds(axis: Axes, place: int, seeds: np.ndarray) -> None:
    if len(seeds) > 1:
        axis.plot(
            seeds, np.full(len(seeds), place), "o", color="white", markeredgecolor="black", markersize=3, zorder=3
        )


def _region(axis: Axes, dataset: xr.Dataset, region: str) -> None:
    values, known = per_cent(dataset, region)
    models = [name for name in ordered(dataset) if values.sel(model=name).notnull().any()]
    found = [spread(values.sel(model=name)) for name in models]
    _bars(axis, models, [mean for mean, _, _ in found], [error for _, error, _ in found])
    for place, (_, _, seeds) in enumerate(found):
        _seeds(axis, place, seeds)
    part = dataset.sel(region=region)
    if known:
        axis.axvline(100, color="k", linestyle="--", linewidth=1)
        axis.set_xlim(0, 105)
    axis.set_xlabel("explained / explainable variance (%)" if known else "explained variance (r², %)",
                    fontsize=8)  # fmt: skip
    noise = f"reliability {float(part['reliability']):.2f}" if known else "no noise ceiling (no repetitions)"
    axis.set_title(
        f"{region}: {int(part['sites'])} sites, {dataset.attrs['stimuli']} images,\n{noise}, "
        f"{dataset.attrs['splits']} splits, {dataset.sizes['seed']} seeds",
        fontsize=8,
    )


def _published(axis: Axes) -> None:
    for place, (_, value, source) in enumerate(PUBLISHED):
        hatch = "..." if source == RERUN else ""
        axis.barh(place, value, height=0.72, color=PUBLISHED_COLOUR, hatch=hatch, edgecolor="white", linewidth=0.5)
        axis.text(value + 1, place, f"{value:g}", fontsize=7, va="center")
    axis.axvline(100 - MISSED, color="#555555", linestyle=":", linewidth=1)
    axis.text(100 - MISSED + 1.5, -0.3, "Zeiler & Fergus: below\n(Cadieu et al. 2014)", fontsize=6, va="bottom")
    axis.set_yticks(range(len(PUBLISHED)), [name for name, _, _ in PUBLISHED])
    axis.set_xlim(0, 105)
    axis.set_xlabel("explained / explainable variance (%)", fontsize=8)
    axis.set_title("as published: IT of macaques, 168 sites,\nthe recordings of cadieu2014.IT", fontsize=8)
    finish(axis)


def _labels(axis: Axes, values: xr.DataArray, dataset: xr.Dataset, title: str, label: str) -> None:
    models = [name for name in ordered(dataset) if values.sel(model=name).notnull().any()]
    seeds = [values.sel(model=name).dropna("seed").values for name in models]
    _bars(axis, models, [float(part.mean()) for part in seeds], None)
    for place, part in enumerate(seeds):
        _seeds(axis, place, part)
    axis.set_title(title, fontsize=8)
    axis.set_xlabel(label, fontsize=8)


def _handles() -> list[Patch | Line2D]:
    return [
        Patch(
            facecolor="#999999",
            label="rule (medians of sites; mean, SE over splits)",
        ),
        Patch(facecolor="#999999", hatch=CONTROL_HATCH, edgecolor="white", label="control, other model, region"),
        Line2D([], [], marker="o", color="white", markeredgecolor="black", markersize=3, label="one seed"),
        Patch(facecolor=PUBLISHED_COLOUR, label=YAMINS),
        Patch(facecolor=PUBLISHED_COLOUR, hatch="...", edgecolor="white", label=RERUN),
        Line2D([], [], color="k", linestyle="--", linewidth=1, label="all that noise leaves to explain"),
    ]


def words(dataset: xr.Dataset) -> list[str]:
    """What came out, from the numbers."""
    attrs = dataset.attrs
    lines = [f"networks trained on {attrs['trained_on']}, {attrs['items']} images, {attrs['epochs']} epochs"]
    lines += [f"not to be had: {reason}" for reason in filter(None, attrs["missing"].split(" | "))]
    for region in map(str, dataset["region"].values):
        lines += _of_region(dataset, region)
    if "kernel" in dataset:
        at = {name: float(dataset["kernel"].sel(model=name).mean()) for name in ordered(dataset)}
        lines.append(f"kernel analysis: {', '.join(f'{label_of(n)!r} {v:.3f}' for n, v in _descending(at))}")
    lines.append("published, % of explainable variance of IT: " + ", ".join(f"{n} {v:g}" for n, v, _ in PUBLISHED))
    return lines


def _descending(at: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(((name, v) for name, v in at.items() if not np.isnan(v)), key=lambda item: -item[1])


def _of_region(dataset: xr.Dataset, region: str) -> list[str]:
    values, known = per_cent(dataset, region)
    what = "explainable variance explained" if known else "variance explained (no noise ceiling)"
    found = {
        name: spread(values.sel(model=name)) for name in ordered(dataset) if values.sel(model=name).notnull().any()
    }
    lines = [f"{region}: % of {what}, mean over splits and seeds ± standard error over splits"]
    for name, (mean, error, seeds) in sorted(found.items(), key=lambda item: -item[1][0]):
        accuracy = float(dataset["accuracy"].sel(model=name).mean())
        layers = sorted(set(map(str, dataset["layer"].sel(region=region, model=name).values)) - {""})
        label = label_of(name).replace("\n", " ")
        said = f"  {label:40s} {mean:5.1f} ± {error:.1f}  seeds {len(seeds)}  at {', '.join(layers)}"
        lines.append(said + ("" if np.isnan(accuracy) else f"  task accuracy {accuracy:.2f}"))
    return lines + _contrasts(region, found)


def _contrasts(region: str, found: dict[str, tuple[float, float, np.ndarray]]) -> list[str]:
    """Which rules are ahead of what needs no learning, seed by seed."""
    rules = [name for name in found if name in RULES]
    lines = []
    for control in ("untrained", "permuted_weights", "pixels", "gabor_v1", "hmax_c2"):
        if control not in found:
            continue
        best = found[control][2].max()
        ahead = [name for name in rules if found[name][2].min() > best]
        lines.append(f"{region}: every seed above every seed of {label_of(control)}: {', '.join(ahead) or 'no rule'}")
    if PRETRAINED in found:
        missed, least = 100 - found[PRETRAINED][0], 100 - max(found[name][0] for name in rules)
        lines.append(
            f"{region}: the network trained on ImageNet misses {missed:.0f} %, the best rule here {least:.0f} % (in IT, as "
            f"published, Zeiler & Fergus's network more than {MISSED:g} %)"
        )
    return lines
