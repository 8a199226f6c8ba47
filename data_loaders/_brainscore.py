"""Recordings as Brain-Score publishes them: a netCDF4 file of responses, a CSV of the stimuli and a zip of their images.

The netCDF4 file has one variable over ``neuroid``, ``presentation`` and ``time_bin``, in any order, and beside it one for
each coord: ``region``, ``neuroid_id`` and, where known, ``animal`` of neuroids; ``stimulus_id`` (``image_id`` in older
files) and ``repetition`` of presentations; ``time_bin_start`` and ``time_bin_end`` in ms from the stimulus's onset. The CSV
has the stimulus's id, its ``filename`` (``image_file_name``) in the zip, and what else is known of it. So in the code of
github.com/brain-score/brainio and /vision; the files themselves were not at hand. They are read as arrays and text alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr

from data_loaders._archives import members
from data_loaders.images import encoded_images
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

IDS = ("stimulus_id", "image_id")  # by the age of the file
FILENAMES = ("filename", "image_file_name")
COORDS = ("region", "neuroid_id", "repetition", "time_bin_start", "time_bin_end")
METRIC = "brainscore"


@dataclass(frozen=True)
class Source:
    """What the files do not say of a dataset.

    Attributes:
        name: of the dataset.
        window: start and end of the time over which responses are averaged, in ms from onset.
        units: of the responses.
        labels: columns of the CSV that say what a stimulus is; others (size, place, pose, file) are left out, since each
            stimulus has its own.
        stratified_by: the one of those that Brain-Score represents alike on both sides of a split.
        subject: of neuroids where the file names no animal.
        citation, licence: as found.
    """

    name: str
    window: tuple[int, int]
    units: str
    labels: tuple[str, ...]
    stratified_by: str
    subject: str
    citation: str
    licence: str


def load_region(source: Source, region: str, responses: Path, table: Path, images: Path) -> Benchmark:
    """Responses of one region, ``presentation x neuroid``, a presentation for each stimulus and repetition.

    Presentations that some neuroid of the region lacks, and neuroids with a constant response, are dropped and mentioned.

    Args:
        source: of the dataset.
        region: as the file calls it.
        responses, table, images: the netCDF4 file, the CSV and the zip.
    Raises:
        DataUnavailable: a file does not hold what it should.
    """
    values, neuroids, presentations = _read_responses(responses, region, source.window)
    complete = np.isfinite(values).all(1)
    values, presentations = values[complete], presentations[complete]
    varies = np.ptp(values, axis=0) > 0 if len(values) else np.zeros(len(neuroids), bool)
    if not varies.any():
        raise DataUnavailable(f"{responses.name} should hold responses of {region} that vary, but has none")
    stimuli = _read_stimuli(source, table, images, list(dict.fromkeys(presentations["stimulus_id"])))
    kept = neuroids[varies]
    data = response_assembly(
        values[:, varies],
        presentations["stimulus_id"].tolist(),
        repetitions=presentations["repetition"].tolist(),
        neuroid_ids=kept["neuroid_id"].tolist(),
        region=region,
        subjects=(kept["animal"] if "animal" in kept else pd.Series(source.subject, kept.index)).tolist(),
        units=source.units,
    )
    losses = {"neuroids with a constant response": ~varies, "presentations that some neuroid lacks": ~complete}
    if dropped := [f"{lost.sum()} {what}" for what, lost in losses.items() if lost.any()]:
        data.attrs["dropped"] = ", ".join(dropped)
    data = with_stimulus_coord(data, "label", dict(stimuli.table[source.stratified_by]))
    return Benchmark(f"{source.name}.{region}", data, stimuli, METRIC, source.citation, source.licence)


def _read_responses(path: Path, region: str, window: tuple[int, int]) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Mean over the window, ``(presentations, neuroids)``, float64, and what is known of neuroids and presentations."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            coords = _coords(dataset, path)
            inside = coords["region"] == region
            if not inside.any():
                found = sorted(set(coords["region"].tolist()))
                raise DataUnavailable(f"{path.name} should have neuroids of {region}, but has {found}")
            bins = _bins(coords["time_bin_start"], coords["time_bin_end"], window, path)
            wanted = _recorded(dataset, path).isel(neuroid=_span(inside), time_bin=_span(bins))
            values = wanted.transpose("presentation", "neuroid", "time_bin").values
    except OSError as error:
        raise DataUnavailable(
            f"{path} should be a netCDF4 file, but is not ({error}); delete it to fetch it again"
        ) from error
    means = values[:, inside[_span(inside)]][:, :, bins[_span(bins)]].mean(2, dtype=np.float64)
    of_neuroids = {name: coords[name][inside].astype(str) for name in ("neuroid_id", "animal") if name in coords}
    of_presentations = {"stimulus_id": coords["stimulus_id"].astype(str), "repetition": coords["repetition"]}
    return means, pd.DataFrame(of_neuroids), pd.DataFrame(of_presentations)


def _recorded(dataset: xr.Dataset, path: Path) -> xr.DataArray:
    found = [v for v in dataset.data_vars.values() if set(v.dims) == {"neuroid", "presentation", "time_bin"}]
    if len(found) != 1:
        raise DataUnavailable(
            f"{path.name} should have one variable over neuroid, presentation and time_bin, but has {len(found)}"
        )
    return found[0]


def _coords(dataset: xr.Dataset, path: Path) -> Mapping[str, np.ndarray]:
    """By name; the stimuli's ids as ``stimulus_id`` whatever the file calls them."""
    ids = next((name for name in IDS if name in dataset.variables), IDS[0])
    if missing := [name for name in (*COORDS, ids) if name not in dataset.variables]:
        raise DataUnavailable(f"{path.name} should have the coords {', '.join((*COORDS, ids))}, but lacks {missing}")
    names = [name for name in (*COORDS, "animal") if name in dataset.variables]
    return {"stimulus_id": dataset[ids].values, **{name: dataset[name].values for name in names}}


def _bins(start: np.ndarray, end: np.ndarray, window: tuple[int, int], path: Path) -> np.ndarray:
    """Which time bins lie in the window; they have to fill it, and to be of one length, for their mean to be its mean."""
    bins = (start >= window[0]) & (end <= window[1])
    lengths = (end - start)[bins]
    if not bins.any() or np.ptp(lengths) or lengths.sum() != window[1] - window[0]:
        raise DataUnavailable(
            f"{path.name} should have time bins of one length from {window[0]} to {window[1]} ms, but has {bins.sum()} there"
        )
    return bins


def _span(mask: np.ndarray) -> slice:
    """From the first to the last: HDF5 reads runs far faster than lists of places."""
    places = np.flatnonzero(mask)
    return slice(int(places[0]), int(places[-1]) + 1)


def _read_stimuli(source: Source, table: Path, images: Path, ids: list[str]) -> StimulusSet:
    """Those with responses, in the order of the CSV."""
    rows = pd.read_csv(table)
    columns = [next((name for name in names if name in rows), names[0]) for names in (IDS, FILENAMES)]
    if missing := [name for name in (*columns, *source.labels) if name not in rows]:
        raise DataUnavailable(f"{table.name} should have the columns {missing}, but has {list(rows.columns)}")
    rows = rows.astype(dict.fromkeys(columns, str)).set_index(columns[0]).rename_axis("stimulus_id")
    if absent := sorted(set(ids) - set(rows.index)):
        raise DataUnavailable(f"{table.name} should have every stimulus with responses, but lacks {absent[0]!r}")
    rows = rows[rows.index.isin(ids)]
    names = {stimulus: PurePosixPath(name).name for stimulus, name in rows[columns[1]].items()}
    wanted = set(names.values())
    found = {
        PurePosixPath(name).name: content
        for name, content in members(images, lambda name: PurePosixPath(name).name in wanted)
    }
    if lacking := sorted(wanted - set(found)):
        raise DataUnavailable(f"{images.name} should have {len(wanted)} images, but lacks {lacking[0]!r}")
    encoded = {str(stimulus): found[name] for stimulus, name in names.items()}
    return encoded_images(source.name, encoded, rows[list(source.labels)].astype(str))
