"""What a perfect model could reach on each benchmark, and what a model that knows one bit does reach.

Noise ceilings as Nili et al. 2014 (RDMs) and split halves (responses). The one bit is whether the object is animate: a
claim that a network matches IT must be read against it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analyses._results import write
from data_loaders import load_benchmark
from neurocompare.metrics import METRICS
from neurocompare.plot import CEILING
from neurocompare.representation import Representation

RDM_BENCHMARKS = ("cichy2014.EVC", "cichy2014.IT", "kriegeskorte2008.hIT", "kriegeskorte2008.mIT")
COMPARISONS = ("rsa_tau_a", "rsa_spearman")


def compute() -> xr.Dataset:
    """Ceilings and the one-bit model's score, over ``benchmark`` and ``metric``."""
    shape = (len(RDM_BENCHMARKS), len(COMPARISONS))
    values = {name: np.full(shape, np.nan) for name in ("lower", "upper", "animacy")}
    animate = load_benchmark("kriegeskorte2008.hIT").stimuli.table["animate"]
    for i, name in enumerate(RDM_BENCHMARKS):
        benchmark = load_benchmark(name)
        one_bit = _one_bit(benchmark.stimuli.ids, animate.to_numpy(dtype=bool))
        for j, metric in enumerate(map(METRICS.__getitem__, COMPARISONS)):
            ceiling = metric.ceiling(benchmark.data)
            values["lower"][i, j], values["upper"][i, j] = ceiling.lower, ceiling.upper
            values["animacy"][i, j] = metric.aggregate(metric.score(one_bit, benchmark.data))[0]
    variables = {name: (("benchmark", "metric"), value) for name, value in values.items()}
    return xr.Dataset(variables, coords={"benchmark": list(RDM_BENCHMARKS), "metric": list(COMPARISONS)})


def _one_bit(ids: tuple[str, ...], animate: np.ndarray) -> Representation:
    """Two features, one on for animate and one for inanimate objects: all distances are 0 or 2."""
    return Representation.from_features("animacy", ids, np.stack([animate, ~animate], axis=1).astype(float))


def plot(dataset: xr.Dataset) -> Figure:
    """A panel per comparison: the ceiling as a band, the one-bit model as a point."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots(1, dataset.sizes["metric"], sharey=True)
    for axis, metric in zip(axes, dataset["metric"].values, strict=True):
        part = dataset.sel(metric=metric)
        place = np.arange(part.sizes["benchmark"])
        axis.bar(place, part["upper"] - part["lower"], bottom=part["lower"], color=CEILING, label="noise ceiling")
        axis.plot(place, part["animacy"], "ko", label="animate or not (one bit)")
        axis.set_xticks(place, part["benchmark"].values, rotation=30, ha="right")
        axis.set_ylabel(METRICS[str(metric)].label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute (which is quick anyway, and without chance), and write netCDF and figures into ``folder``; returns paths."""
    dataset = compute()
    return write("noise_ceilings", dataset, plot(dataset), folder)
