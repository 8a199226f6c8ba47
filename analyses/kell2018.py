"""Does a network that learnt to hear predict auditory cortex better, and does it matter how it learnt?

Kell et al. 2018 (Neuron 98:630) and Tuckute et al. 2023 (PLoS Biol 21:e3002366): networks trained on words and other sounds
predict responses of auditory cortex better than spectrotemporal modulation filters do, those with permuted weights do not,
and later regions are predicted best by later layers. Here the same question is put to networks of one small architecture,
each trained under another rule, with the six components of Norman-Haignere et al. 2015, which say what is predicted. The
layer for which a component's score is reported is, for each split of the sounds, the one that does best on the sounds to fit
on (by half of those), so that no layer is chosen by the sounds that judge it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses._results import finish, write
from data_loaders import load_benchmark, load_dataset
from neurocompare import plot as figures
from neurocompare.assembly import average_repetitions
from neurocompare.controls import CONTROLS
from neurocompare.dataset import Dataset
from neurocompare.hearing import trainable
from neurocompare.metrics import METRICS
from neurocompare.metrics.encoding import Encoding, squared_where_positive
from neurocompare.model import Given, Model
from neurocompare.networks import LayeredNet, convnet
from neurocompare.probe import probe
from neurocompare.representation import Representation
from neurocompare.rules import RULES
from neurocompare.train import train

BENCHMARK, PROTOCOL = "norman_haignere2015.components", "tuckute2023"
RULE_NAMES = ("backprop", "feedback_alignment", "direct_feedback_alignment", "difference_target_propagation",
              "equilibrium_propagation", "node_perturbation", "hebbian")  # fmt: skip
CONTROL_NAMES = ("untrained", "permuted_weights", "cochleagram", "cochleagram_mean", "spectrotemporal")
# Tuckute et al. 2023: explained variance, not corrected for noise, at the best layer.
PUBLISHED = {
    "spectrotemporal": (0.71, 0.55, 0.45, 0.53, 0.66, 0.34),
    "CochResNet50-MultiTask": (0.88, 0.83, 0.61, 0.87, 0.87, 0.73),
}


def compute(
    rules: Sequence[str] = RULE_NAMES,
    *,
    seeds: int = 3,
    epochs: int = 10,
    items: int | None = None,
    first_seed: int = 0,
) -> xr.Dataset:
    """Explained variance of each component by each model.

    Args:
        rules: that train the network.
        seeds: of networks.
        epochs, items: of training.
        first_seed: of the networks.
    Returns:
        ``r2 (model, seed, component)`` at the layer chosen on the sounds to fit on; ``depth``, how far that is from input
        (0) to output (1), averaged over splits; ``by_layer (model, seed, layer, component)``; ``accuracy (model, seed)``.
        NaN where a model has no such layer or seed. Published numbers are in ``published (source, component)``.
    """
    benchmark, data = load_benchmark(BENCHMARK).in_memory(), trainable(load_dataset("hearing"))
    data = data if items is None else data.first(items)
    responses = average_repetitions(benchmark.data)
    components = [str(name) for name in responses["neuroid_id"].values]
    layers, numbers = [*_net(data, 0).layers], range(first_seed, first_seed + seeds)
    found: dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    accuracy: dict[tuple[str, int], float] = {}
    for seed in numbers:
        for name, model in _models(rules, data, seed, epochs, others=seed == first_seed).items():
            represented = probe(model, benchmark.stimuli, average_time=True)
            training = model.provenance.get("training", {})
            for part, chosen in _parts(name, represented).items():
                found[part, seed] = _scored(chosen, responses, layers)
                accuracy[part, seed] = training.get("test_accuracy", np.nan)
    models = list(dict.fromkeys(name for name, _ in found))
    shape = (len(models), seeds)
    dataset = xr.Dataset(
        {
            "r2": (("model", "seed", "component"), np.full((*shape, len(components)), np.nan)),
            "depth": (("model", "seed", "component"), np.full((*shape, len(components)), np.nan)),
            "by_layer": (
                ("model", "seed", "layer", "component"),
                np.full((*shape, len(layers), len(components)), np.nan),
            ),
            "accuracy": (("model", "seed"), np.full(shape, np.nan)),
            "published": (("source", "component"), np.array(list(PUBLISHED.values()))),
        },
        coords={"model": models, "layer": layers, "component": components, "source": list(PUBLISHED)},
        attrs={"benchmark": BENCHMARK, "sounds": len(benchmark.stimuli), "dataset": data.name, "epochs": epochs},
    )
    for (name, seed), (r2, depth, by_layer) in found.items():
        place = models.index(name), seed - first_seed
        dataset["r2"][place], dataset["depth"][place], dataset["by_layer"][place] = r2, depth, by_layer
        dataset["accuracy"][place] = accuracy[name, seed]
    return dataset


def _net(data: Dataset, seed: int) -> LayeredNet:
    """That of the built-in study of hearing."""
    return convnet(data.n_outputs, input_shape=data.input_shape, channels=(8, 16, 32, 32), hidden=(64,), seed=seed)


def _models(rules: Sequence[str], data: Dataset, seed: int, epochs: int, *, others: bool) -> dict[str, Model | Given]:
    """Those of a seed, and, if asked for, the others that have none."""
    found: dict[str, Model | Given] = {}
    runs = {}
    for name in rules:
        net = _net(data, seed)
        runs[name] = train(net, RULES[name].for_net(net, seed=seed), data, epochs=epochs, batch_size=64, seed=seed)
        found[name] = runs[name].model()
    fresh = _net(data, seed)
    for name in CONTROL_NAMES:
        control = CONTROLS[name]
        if control.seeded or others:
            net = runs["backprop"].net if control.trained_on is not None else fresh
            found[name] = control.make(net, data.preprocess, seed)
    return found


def _parts(name: str, represented: dict[str, Representation]) -> dict[str, dict[str, Representation]]:
    """The published spectrotemporal model, and beside it the root of its features; any other model as it is."""
    if name != "spectrotemporal":
        return {name: represented}
    return {name if layer == name else f"{name}_{layer}": {layer: found} for layer, found in represented.items()}


def _scored(
    represented: Mapping[str, Representation], responses: xr.DataArray, layers: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Explained variance per component at the chosen layer, how deep that is, and of every layer."""
    protocol = METRICS[PROTOCOL].encoding  # type: ignore[attr-defined]
    held_out, fitted = zip(*(_both(protocol, layer, responses) for layer in represented.values()), strict=True)
    judged, chooses = np.stack(held_out), np.stack(fitted)  # (layers, splits, components)
    best = chooses.argmax(0)
    r2 = np.median(np.take_along_axis(judged, best[None], 0)[0], 0)
    depth = (best / max(len(represented) - 1, 1)).mean(0) if len(represented) > 1 else np.full(judged.shape[-1], np.nan)
    by_layer = np.full((len(layers), judged.shape[-1]), np.nan)
    for row, name in enumerate(represented):
        if name in layers:
            by_layer[layers.index(name)] = np.median(judged[row], 0)
    return r2, depth, by_layer


def _both(protocol: Encoding, layer: Representation, responses: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Per split and component: explained variance of the sounds held out, and of half of those to fit on by the rest."""
    selected = layer.select([str(s) for s in responses["stimulus_id"].values])
    targets = responses.values
    splits = protocol.splits(responses)
    inner = [(train[: len(train) // 2], train[len(train) // 2 :]) for train, _ in splits]
    outcomes = []
    for parts in (splits, inner):
        predictions = protocol.predictor(selected, targets, parts)
        outcomes.append(
            np.stack(
                [squared_where_positive(p, targets[test]) for (_, test), p in zip(parts, predictions, strict=True)]
            )
        )
    return outcomes[0], np.nan_to_num(outcomes[1])


def words(dataset: xr.Dataset) -> list[str]:
    """What did and did not come out, from the numbers."""
    mean = dataset["r2"].mean("component").mean("seed")
    at = {str(name): float(mean.sel(model=name)) for name in dataset["model"].values}
    lines = [f"mean over components of explained variance: {', '.join(f'{n} {v:.3f}' for n, v in at.items())}"]
    base = at["spectrotemporal"]
    rules = [name for name in at if name in RULES]
    better = [name for name in rules if at[name] > base]
    lines.append(
        f"trained networks above the spectrotemporal model ({base:.3f}), as the published ones are: "
        f"{', '.join(better) or 'none'} of {len(rules)} rules"
    )
    for control in ("untrained", "permuted_weights"):
        below = [name for name in rules if at[name] > at[control]]
        lines.append(f"above {control} ({at[control]:.3f}): {', '.join(below) or 'none'}")
    lines.append(
        f"permuted weights {'do' if at['permuted_weights'] < base else 'do not'} fall below the spectrotemporal model"
    )
    ours, theirs = (
        dataset["r2"].sel(model="spectrotemporal", seed=0),
        dataset["published"].sel(source="spectrotemporal"),
    )
    worst = float(np.abs(ours - theirs).max())
    lines.append(
        f"our spectrotemporal model is within {worst:.2f} of the published explained variance of every component"
    )
    return lines


def plot(dataset: xr.Dataset) -> Figure:
    """Explained variance by component; by layer, averaged over components; the depth that does best by component."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.2, 1))
    _bars(figure.add_subplot(grid[0, :]), dataset)
    _layers(figure.add_subplot(grid[1, 0]), dataset)
    _depths(figure.add_subplot(grid[1, 1]), dataset)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _label(model: str) -> str:
    return model.replace("_", " ")


def _interval(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds, and how far the highest and lowest are from it."""
    mean = values.mean("seed").values
    return mean, np.nan_to_num(np.stack([mean - values.min("seed").values, values.max("seed").values - mean]))


def _bars(axis: Axes, dataset: xr.Dataset) -> None:
    components, models = dataset["component"].values, list(map(str, dataset["model"].values))
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        mean, spread = _interval(dataset["r2"].sel(model=model))
        colour, marker, _ = figures.style_of(model)
        place = np.arange(len(components)) + (number - (len(models) - 1) / 2) * width
        axis.errorbar(place, mean, spread, color=colour, marker=marker, linestyle="", markersize=5, elinewidth=1, capsize=2,
                      label=_label(model))  # fmt: skip
    for source, dash in zip(dataset["source"].values, ("--", ":"), strict=True):
        values = dataset["published"].sel(source=source).values
        middle = np.arange(len(values))
        axis.hlines(values, middle - 0.45, middle + 0.45, color="#555555", linestyle=dash, linewidth=1,
                    label=f"published: {_label(str(source))}")  # fmt: skip
    for number in range(1, len(components)):
        axis.axvline(number - 0.5, color="#EEEEEE", linewidth=1, zorder=0)
    axis.set_xticks(range(len(components)), components)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("explained variance (r², held out)", fontsize=8)
    axis.set_title(
        f"components of auditory cortex, {dataset.attrs['sounds']} sounds, no noise ceiling estimable (no repetitions); "
        f"mean and range over {dataset.sizes['seed']} seeds",
        fontsize=8,
    )
    finish(axis)


def _layers(axis: Axes, dataset: xr.Dataset) -> None:
    averaged = dataset["by_layer"].mean("component")
    place = np.arange(dataset.sizes["layer"])
    for model in map(str, dataset["model"].values):
        values = averaged.sel(model=model)
        if values.isnull().all():
            continue
        mean, spread = _interval(values)
        colour, marker, dash = figures.style_of(model)
        axis.plot(place, mean, color=colour, marker=marker, linestyle=dash, markersize=4, linewidth=1.1)
        axis.fill_between(place, mean - spread[0], mean + spread[1], color=colour, alpha=0.12, linewidth=0)
    base = float(dataset["r2"].sel(model="spectrotemporal", seed=0).mean())
    axis.axhline(base, color="k", linestyle=":", linewidth=1)
    axis.text(place[-1], base, "spectrotemporal", fontsize=7, ha="right", va="bottom")
    axis.set_xticks(place, dataset["layer"].values)
    axis.set_ylabel("explained variance,\nmean of six components", fontsize=8)
    axis.set_xlabel("layer, input to output", fontsize=8)
    finish(axis)


def _depths(axis: Axes, dataset: xr.Dataset) -> None:
    place = np.arange(dataset.sizes["component"])
    for model in map(str, dataset["model"].values):
        depth = dataset["depth"].sel(model=model)
        if depth.isnull().all():
            continue
        mean, spread = _interval(depth)
        colour, marker, dash = figures.style_of(model)
        axis.errorbar(place, mean, spread, color=colour, marker=marker, linestyle=dash, markersize=4, linewidth=0.9,
                      elinewidth=0.7, capsize=1.5)  # fmt: skip
    axis.set_ylim(-0.05, 1.05)
    axis.set_xticks(place, dataset["component"].values, rotation=20, ha="right")
    axis.set_ylabel("depth of the best layer\n(0 first, 1 readout)", fontsize=8)
    finish(axis)


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print both sides, and write netCDF and figures into ``folder``; returns their paths."""
    start = time.perf_counter()
    computed = partial(compute, first_seed=first_seed)
    dataset = computed(RULE_NAMES[:2], seeds=1, epochs=2) if quick else computed()
    print(f"explained variance of {BENCHMARK}, protocol {PROTOCOL}, at the layer chosen on the sounds to fit on")
    print(" " * 32 + "".join(f"{name:>11s}" for name in dataset["component"].values))
    for model in map(str, dataset["model"].values):
        mean, _ = _interval(dataset["r2"].sel(model=model))
        accuracy = float(dataset["accuracy"].sel(model=model).mean())
        trained = "" if np.isnan(accuracy) else f"   task accuracy {accuracy:.2f}"
        print(f"{model:32s}" + "".join(f"{value:11.2f}" for value in mean) + trained)
    for source in map(str, dataset["source"].values):
        print(
            f"{'published: ' + source:32s}"
            + "".join(f"{v:11.2f}" for v in dataset["published"].sel(source=source).values)
        )
    print("\n".join(words(dataset)))
    print(f"{time.perf_counter() - start:.0f} s")
    return write("kell2018", dataset, plot(dataset), folder)
