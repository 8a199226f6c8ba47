"""Cadieu et al. 2014, PLoS Comput Biol 10:e1003963: IT and V4 of two macaques, multi-unit arrays, 1,960 images of objects.

The archive has ``NeuralData_{IT,V4}_multiunits.mat`` and ``images/``. In the former ``features`` is the mean response to
each image, images x units (168 in IT, 128 in V4), and ``meta`` has a line for each image: its path, its category (one of
seven) and a 1 or a 0 for each of ten splits, 1 for the images to fit on; the ``cadieu2014`` preset uses these splits. This
much is said by the authors (github.com/dicarlolab/Cadieu_etal_PLoSCB_2014) and read so by public reanalyses; the archive
itself was not at hand. Two things are less sure:

- Objects have no names. The reanalyses take the images of a category, in the order of the lines, to be 40 of each of its
  seven objects one after the other, and so do the names here (``Faces 3``).
- Whether single trials come with the means is not said. Where a file has an array of one more axis whose mean over that
  axis is ``features``, it is taken to be the trials, each a presentation; where it has none, there is one presentation of
  each image, so no noise ceiling.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from data_loaders._archives import members
from data_loaders._files import DataFile, locate
from data_loaders.images import encoded_images
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable, unknown_name
from neurocompare.stimuli import StimulusSet

URL = "https://s3.amazonaws.com/cadieu-etal-ploscb2014/PLoSCB2014_data_20141216.zip"
ARCHIVE = "PLoSCB2014_data_20141216.zip"
FILES = {ARCHIVE: DataFile(f"cadieu2014/{ARCHIVE}", None, URL)}  # its source publishes no checksum
CITATION = "Cadieu et al. 2014, PLoS Comput Biol 10:e1003963, doi:10.1371/journal.pcbi.1003963"
LICENCE = "none stated"
UNITS = "multi-unit response, as published"
REGIONS = ("IT", "V4")
SPLITS = 10
IMAGES_OF_AN_OBJECT = 40


def load_cadieu2014(region: str) -> Benchmark:
    """Responses of one region's multi-units, with the authors' ten splits.

    The table of stimuli has ``category`` and ``object``; the category is the data's ``label``. Units with a constant
    response are dropped and mentioned.

    Args:
        region: ``"IT"`` or ``"V4"``.
    Raises:
        InputError: no such region.
        DataUnavailable: the archive cannot be had or does not hold what it should.
    """
    if region not in REGIONS:
        raise unknown_name("region of cadieu2014", region, REGIONS)
    path = locate(FILES[ARCHIVE])
    matrix = f"NeuralData_{region}_multiunits.mat"
    contents = {}
    for name, content in members(path, lambda name: name.endswith(".png") or PurePosixPath(name).name == matrix):
        place = PurePosixPath(name)
        contents[place.name if place.name == matrix else f"{place.parent.name}/{place.name}"] = content
    if matrix not in contents:
        raise DataUnavailable(f"{path.name} should hold {matrix}, but does not")
    variables = _variables(contents[matrix], matrix)
    lines = _lines(variables["meta"], matrix)
    features = np.asarray(variables["features"], dtype=float)
    if features.ndim != 2 or len(features) != len(lines):
        raise DataUnavailable(
            f"{matrix} should have a row of features for each of {len(lines)} lines, not {features.shape}"
        )
    stimuli = _stimuli(lines, contents, path)
    data = _assembly(_trials(variables, features), region, lines)
    data = with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
    return Benchmark(f"cadieu2014.{region}", data, stimuli, "cadieu2014", CITATION, LICENCE)


def _variables(content: bytes, name: str) -> dict[str, np.ndarray]:
    try:
        variables = loadmat(io.BytesIO(content))
    except (MatReadError, ValueError, TypeError, NotImplementedError) as error:  # the last: of version 7.3
        raise DataUnavailable(f"{name} should be a MATLAB file of version 5 to 7.2, but scipy says: {error}") from error
    if missing := [key for key in ("features", "meta") if key not in variables]:
        raise DataUnavailable(f"{name} should have the variables features and meta, but lacks {missing[0]}")
    return variables


def _lines(meta: np.ndarray, name: str) -> pd.DataFrame:
    """One row per image: ``category``, ``object`` and ``train_0`` to ``train_9``, by the image's path."""
    words = [str(line).split() for line in meta.ravel()]
    bad = [line for line in words if len(line) != 2 + SPLITS or not set(line[2:]) <= {"0", "1"}]
    if bad or not words:
        shown = " ".join(bad[0]) if bad else "none"
        raise DataUnavailable(f"{name} should have lines of an image, a category and {SPLITS} flags, but has {shown!r}")
    table = pd.DataFrame([line[1:2] for line in words], columns=["category"], index=[line[0] for line in words])
    number = table.groupby("category").cumcount() // IMAGES_OF_AN_OBJECT + 1
    table["object"] = table["category"] + " " + number.astype(str)
    for split in range(SPLITS):
        table[f"train_{split}"] = [line[2 + split] == "1" for line in words]
    return table.rename_axis("stimulus_id")


def _stimuli(lines: pd.DataFrame, contents: dict[str, bytes], path: Path) -> StimulusSet:
    lacking = [image for image in lines.index if image not in contents]
    if lacking:
        raise DataUnavailable(f"{path.name} should have an image for each line, but lacks {lacking[0]!r}")
    images = {str(image): contents[image] for image in lines.index}
    return encoded_images("cadieu2014", images, lines[["category", "object"]])


def _trials(variables: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """``(images, units, trials)``, NaN where an image had fewer; the means alone where there are no trials."""
    for name, values in variables.items():
        if name.startswith("__") or values.dtype.kind not in "fiu" or values.ndim != features.ndim + 1:
            continue
        for axis in range(values.ndim):
            trials = np.moveaxis(np.asarray(values, dtype=float), axis, -1)
            for candidate in (trials, trials.swapaxes(0, 1)):
                if candidate.shape[:2] == features.shape and _is_mean(features, candidate):
                    return candidate
    return features[:, :, None]


def _is_mean(features: np.ndarray, trials: np.ndarray) -> bool:
    count = np.isfinite(trials).sum(-1)
    if not count.all():
        return False
    return np.allclose(np.nansum(trials, -1) / count, features, rtol=1e-4, atol=1e-4 * np.abs(features).max())


def _assembly(trials: np.ndarray, region: str, lines: pd.DataFrame) -> xr.DataArray:
    missing = np.isnan(trials)
    if (missing != missing[:, :1]).any():
        raise DataUnavailable(f"trials of {region}: one is missing for some units but not for others")
    image, trial = np.nonzero(~missing[:, 0])
    values = trials[image, :, trial]
    varies = np.ptp(values, axis=0) > 0
    data = response_assembly(
        values[:, varies],
        lines.index[image].tolist(),
        repetitions=trial.tolist(),
        neuroid_ids=[f"{region}/multiunit{number:03d}" for number in np.flatnonzero(varies)],
        region=region,
        subjects="two macaques, not told apart",
        units=UNITS,
    )
    splits = {f"train_{split}": ("presentation", lines[f"train_{split}"].to_numpy()[image]) for split in range(SPLITS)}
    data = data.assign_coords(splits)
    if not varies.all():
        data.attrs["dropped"] = f"{(~varies).sum()} units with a constant response"
    return data
