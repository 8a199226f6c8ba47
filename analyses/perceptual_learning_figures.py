"""Figures and sentences of ``perceptual_learning``."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.gratings import CONDITIONS, CONTRAST, FREQUENCY, NOISE, PRECISIONS, SIDE, gabor
from analyses.linear_stages import GAINS, LEARNERS, STEP, first_reached, lower_share, settled
from neurocompare import plot as figures
from neurocompare.inference import seed_interval
from neurocompare.rules import RULES

LEARNT = 0.6  # below this fraction correct, what transfers is not asked


def transfer(dataset: xr.Dataset) -> xr.Dataset:
    """``(accuracy - 1/2)`` of what was not trained over that of what was, mean of two conditions each; NaN if not learnt."""
    above = dataset["accuracy"] - 0.5
    learnt = above.sel(condition="trained").where(above.sel(condition="trained") >= LEARNT - 0.5)
    pairs = {"orientation": ["45 degrees", "90 degrees"], "frequency": ["half the frequency", "twice the frequency"]}
    return xr.Dataset({name: above.sel(condition=pair).mean("condition") / learnt for name, pair in pairs.items()})


def plot(dataset: xr.Dataset) -> Figure:
    """Above, gratings in convnets; below right, linear networks."""
    figure = Figure(figsize=(14, 7.4), layout="constrained")
    axes = figure.subplots(2, 4)
    _stimuli(axes[0, 0])
    _accuracy(axes[0, 1], dataset)
    _changes(axes[0, 2], dataset)
    _over_precision(axes[0, 3], dataset["centroid"], "mean layer of change (1: conv1)", "where weights change")
    _over_precision(
        axes[1, 0], transfer(dataset)["frequency"], "transfer / learning, above chance", "transfer to other frequencies"
    )
    _tuning(axes[1, 1], dataset)
    _stages(axes[1, 2], dataset)
    _shares(axes[1, 3], dataset)
    for axis in axes.flat[1:]:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    n = f"{dataset.sizes['seed']} networks that learnt {dataset.attrs['before']} before"
    practice = f"{dataset.attrs['steps']} steps of practice, batches of {dataset.attrs['batch']}"
    figure.legend(*axes[0, 3].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8,
                  title=f"{n}, {practice}; bars: 95 % t interval", title_fontsize=8)  # fmt: skip
    return figure


def _stimuli(axis: Axes) -> None:
    rng = np.random.default_rng(0)
    tilts = (0.0, min(PRECISIONS), max(PRECISIONS))
    shown = [[gabor(30 + sign * tilt) + rng.normal(0, NOISE, (SIDE, SIDE)) for sign in (1, -1)] for tilt in tilts[1:]]
    axis.imshow(np.block(shown), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(
        f"±{tilts[1]:g} (above) and ±{tilts[2]:g} degrees; {SIDE} x {SIDE} pixels,\n{FREQUENCY:g} cycles/image, contrast "
        f"{CONTRAST:g}, noise s.d. {NOISE:.3f} of white",
        fontsize=8,
    )


def _line(
    axis: Axes,
    x: xr.DataArray | np.ndarray,
    values: xr.DataArray,
    colour: str,
    marker: str,
    dash: str,
    label: str | None,
) -> None:
    """Means over seeds with 95 % t intervals; no bars where there are too few for one."""
    values = values.transpose("seed", ...)
    half = [np.nan_to_num(np.diff(seed_interval(column))[0] / 2) for column in values.values.T]
    axis.errorbar(x, values.mean("seed"), yerr=half, color=colour, marker=marker, linestyle=dash, markersize=4, linewidth=1,
                  capsize=2, elinewidth=0.8, label=label)  # fmt: skip


def _precisions(axis: Axes, dataset: xr.Dataset | xr.DataArray) -> None:
    axis.set_xscale("log")
    axis.set_xticks(dataset["precision"].values, [f"{p:g}" for p in dataset["precision"].values])
    axis.minorticks_off()
    axis.set_xlabel("precision: degrees from the reference", fontsize=8)


def _accuracy(axis: Axes, dataset: xr.Dataset) -> None:
    colour, _, _ = figures.style_of("backprop")
    part, looks = dataset["accuracy"].isel(rule=0), zip("osD^v", ("-", "--", "--", ":", ":"), strict=True)
    for condition, (marker, dash) in zip(CONDITIONS, looks, strict=True):
        shade = colour if condition == "trained" else "#777777"
        _line(axis, dataset["precision"], part.sel(condition=condition), shade, marker, dash, condition)
    axis.plot(dataset["precision"], dataset["ideal"], color="k", linewidth=0.8, linestyle="-.", label="ideal observer")
    axis.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
    _precisions(axis, dataset)
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("fraction right, forced choice", fontsize=8)
    axis.set_title(f"what is learnt and what transfers ({RULES[str(dataset['rule'].values[0])].short})", fontsize=8)
    axis.legend(frameon=False, fontsize=6.5)


def _changes(axis: Axes, dataset: xr.Dataset) -> None:
    part, places = dataset["change"].isel(rule=0), np.arange(dataset.sizes["layer"])
    for i, precision in enumerate(dataset["precision"].values):
        shade = str(0.75 * i / max(dataset.sizes["precision"] - 1, 1))
        _line(axis, places, part.sel(precision=precision), shade, "osD^v"[i % 5], "-", f"±{precision:g} degrees")
    axis.set_xticks(places, dataset["layer"].values)
    axis.set_yscale("log")
    axis.set_ylabel("change of weights / weights", fontsize=8)
    axis.set_title(f"how much weights change ({RULES[str(dataset['rule'].values[0])].short})", fontsize=8)
    axis.legend(frameon=False, fontsize=6.5, loc="lower left")


def _over_precision(axis: Axes, values: xr.DataArray, label: str, title: str) -> None:
    for name in map(str, values["rule"].values):
        shown = f"{name.replace('_', ' ')} ({RULES[name].short})"
        _line(axis, values["precision"], values.sel(rule=name), *figures.style_of(name), shown)
    _precisions(axis, values)
    axis.set_ylabel(label, fontsize=8)
    axis.set_title(title, fontsize=8)


def _tuning(axis: Axes, dataset: xr.Dataset) -> None:
    places = np.arange(dataset.sizes["layer"])
    for name in map(str, dataset["rule"].values):
        colour, marker, _ = figures.style_of(name)
        for place, dash in (("trained", "-"), ("at right angles", ":")):
            _line(
                axis, places, dataset["slope"].sel(rule=name, place=place).isel(precision=0), colour, marker, dash, None
            )
    axis.axhline(1, color="#999999", linewidth=0.8)
    axis.set_yscale("log")
    axis.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axis.minorticks_off()
    axis.set_xticks(places, dataset["layer"].values)
    axis.set_ylabel("slope of tuning curves, after / before", fontsize=8)
    finest = f"practice at {float(dataset['precision'][0]):g} degrees"
    axis.set_title(f"{finest}\nsolid: at the trained orientation, dotted: at right angles", fontsize=8)


def _stages(axis: Axes, dataset: xr.Dataset) -> None:
    for name, dash in zip(LEARNERS, ("-", "--"), strict=True):
        tree = dataset["tree"].sel(learner=name, start="aligned")
        lines = axis.plot(dataset["time"], tree, color=figures.style_of(name)[0], linestyle=dash, linewidth=1.5)
        lines[0].set_label(RULES[name].short)
    closed = axis.plot(dataset["time"], dataset["closed_form"], color="k", linestyle=":", linewidth=1)
    closed[0].set_label("closed form (Saxe et al. 2014)")
    axis.set_xlabel("time, units of tau", fontsize=8)
    axis.set_ylabel("strength of a mode", fontsize=8)
    axis.set_title("stages in a linear network with one hidden layer", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def _shares(axis: Axes, dataset: xr.Dataset) -> None:
    fine = np.geomspace(min(GAINS), max(GAINS), 100)
    for name in LEARNERS:
        colour, marker, _ = figures.style_of(name)
        axis.plot(fine, [lower_share(*settled(name, gain)) for gain in fine], "k:", linewidth=1)
        axis.plot(dataset["gain"], dataset["share"].sel(learner=name), marker, color=colour, markersize=5,
                  label=RULES[name].short)  # fmt: skip
    axis.plot([], [], "k:", linewidth=1, label="from what is conserved")
    axis.set_xscale("log")
    axis.set_xticks(GAINS, [f"{gain:g}" for gain in GAINS])
    axis.minorticks_off()
    axis.set_ylim(0, 0.6)
    axis.set_xlabel("gain that the task demands (finer to the right)", fontsize=8)
    axis.set_ylabel("lower weight's share of the change", fontsize=8)
    axis.set_title("a chain of two linear weights, from 1 and 0", fontsize=8)
    axis.legend(frameon=False, fontsize=7)


def findings(dataset: xr.Dataset) -> list[str]:
    """What was published and what came out, in words; means with 95 % t intervals over seeds."""
    said = [
        f"gratings; networks that learnt {dataset.attrs['before']} before (accuracy {_words(dataset['accuracy_before'])}):"
    ]
    for name in map(str, dataset["rule"].values):
        part = dataset.sel(rule=name)
        said.append(f"{name}, rate {float(part['rate']):.1e}; fraction right, finest task first:")
        for condition in CONDITIONS:
            said.append(f"  {condition}: {_list(part['accuracy'].sel(condition=condition).mean('seed'))}")
        moved, (along, across) = transfer(part), (part["slope"].isel(place=i, precision=0, layer=-1) for i in (0, 1))
        total = part["change"].mean("layer")
        claims = {
            "finer tasks change weights more (log2 of the mean change, per octave)": -_per_octave(
                total.copy(data=np.log2(total))
            ),
            "finer tasks change lower layers (layers per octave)": _per_octave(part["centroid"]),
            "finer tasks transfer less to other orientations (signed, per octave)": _per_octave(moved["orientation"]),
            "finer tasks transfer less to other frequencies (signed, per octave)": _per_octave(moved["frequency"]),
            "tuning steepens more at the trained orientation than at right angles (last layer, finest task)": along
            - across,
        }
        said += [_claim(text, values) for text, values in claims.items()]
    return [*said, *_of_linear(dataset)]


def _per_octave(values: xr.DataArray) -> xr.DataArray:
    """The slope over ``log2`` of the precision in degrees, by least squares for each seed; NaN without three points."""
    x = np.log2(values["precision"].values)
    found = []
    for row in values.transpose("seed", "precision").values:
        known = np.isfinite(row)
        found.append(np.polyfit(x[known], row[known], 1)[0] if known.sum() > 2 else np.nan)
    return xr.DataArray(found, dims="seed")


def _claim(text: str, values: xr.DataArray) -> str:
    """A claim that something is positive, judged by its interval over those seeds for which it is known."""
    known = values.dropna("seed")
    low, high = seed_interval(known.values)
    verdict = "reproduced" if low > 0 else "NOT reproduced, the reverse holds" if high < 0 else "undecided"
    return f"  {text}: {_words(known)}, n = {known.size}: {verdict}"


def _words(values: xr.DataArray) -> str:
    low, high = seed_interval(values.values)
    return f"{float(values.mean()) if values.size else np.nan:.3f} [{low:.3f}, {high:.3f}]"


def _of_linear(dataset: xr.Dataset) -> list[str]:
    aligned = dataset["tree"].sel(learner="backprop", start="aligned")
    off, predicted = aligned - dataset["closed_form"], dataset["step_error"]
    said = [
        f"linear network, step {STEP}: largest deviation from the closed form {float(abs(off).max()):.5f}; what the step "
        f"adds to first order {float(abs(predicted).max()):.5f}, left {float(abs(off - predicted).max()):.5f}",
        f"  singular values {_list(dataset['mode'])}; by the closed form half learnt at {_list(dataset['half_theory'])}",
    ]
    falls = np.diff(dataset["mode"]) < -1e-9  # two are equal
    for name in LEARNERS:
        for start in dataset["start"].values:
            tree = dataset["tree"].sel(learner=name, start=start)
            half = STEP * first_reached(tree.values >= dataset["mode"].values / 2)
            ordered = "in" if (np.diff(half)[falls] > 0).all() else "NOT in"
            said.append(f"  {name}, {start} start: at {_list(half)}; {ordered} the order of singular values")
    for name in LEARNERS:
        part = dataset.sel(learner=name)
        share, halves = part["share"], part["half_changed"]
        later = int((halves.sel(weight="lower") > halves.sel(weight="upper")).sum())
        trend = "grows" if (np.diff(share) > 0).all() else "falls" if (np.diff(share) < 0).all() else "is not monotonic"
        said.append(
            f"  chain, {name}: the lower weight's share {trend} with the gain, {_list(share)} (from what is "
            f"conserved: {_list(part['share_theory'])}); it changes later than the upper for {later} of {len(GAINS)} gains"
        )
    return said


def _list(values: np.ndarray | xr.DataArray) -> str:
    return ", ".join(f"{float(value):.2f}" for value in np.asarray(values))
