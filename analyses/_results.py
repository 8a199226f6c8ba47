"""What every analysis does with what it found: the dataset and its figure go into a folder, plots drop what says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurocompare import plot as figures
from neurocompare.files import atomic
from neurocompare.train import RECORD, Run


def write(name: str, dataset: xr.Dataset, figure: Figure, folder: Path) -> list[Path]:
    """``NAME.nc`` and the figure as ``NAME.svg``, ``.pdf`` and ``.png``; returns their paths."""
    path = folder / f"{name}.nc"
    with atomic(path) as temporary:
        dataset.to_netcdf(temporary, engine="scipy")
    return [path, *figures.save(figure, folder / name)]


def kept_run(folder: Path, train: Callable[[], Run]) -> Run:
    """The run that the folder holds, or else a new one, which it then holds."""
    if (folder / RECORD).is_file():
        return Run.load(folder)
    run = train()
    run.save(folder)
    return run


def finish(axis: Axes) -> None:
    """Small ticks, and no frame above and on the right."""
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
