"""Kay & Yeatman 2017, eLife 6:e22341: fMRI of word- and face-selective cortex, one subject, the 92 objects among others.

Of experiment 2 those rows that show the 92 images of Kriegeskorte et al. 2008, smaller and in grey: the mean response of
two regions, the visual word form area (VWFA) and the fusiform face area (FFA), which are the two neuroids of one benchmark.
The file has the images as their numbers are sorted as text (1, 10, 11, ..., 19, 2, 20, ...), as one sees by laying both
sets side by side; here they have the ids and the order of Kriegeskorte et al.

The file has no single trials, only the response's standard error and 100 bootstrap samples of trials, which are not
repetitions; so metrics find no ceiling. What the errors say is the coord ``reliability`` of each region: the share of the
variance over images that is not error, ``1 - mean(error^2) / variance``.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from data_loaders._files import locate, read_checksums
from data_loaders.images import array_images
from data_loaders.kriegeskorte2008 import stimulus_ids
from neurocompare.assembly import response_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

SOURCE = "https://raw.githubusercontent.com/kendrickkay/vtcipsmodel/a2d0770ac8f2d5041af0487ee72f670c42b5e4a1/"
FILES = read_checksums("kay_yeatman2017", SOURCE)
CITATION = "Kay & Yeatman 2017, eLife 6:e22341, doi:10.7554/eLife.22341"
LICENCE = "CC BY 3.0"
LABELS = "NIKO"  # of the 92 images begin so; then comes their number


def load_kay_yeatman2017() -> Benchmark:
    """Responses of VWFA and FFA to the 92 images, one presentation each (the median of bootstrap samples).

    Raises:
        DataUnavailable: the file cannot be had or does not hold what it should.
    """
    path = locate(FILES["experiment2.mat"])
    try:
        with h5py.File(path) as file:
            return _read(file, path)
    except (OSError, KeyError) as error:
        raise DataUnavailable(
            f"{path} should be experiment 2 as HDF5, but {error}; delete it to fetch it again"
        ) from error


def _read(file: h5py.File, path: Path) -> Benchmark:
    labels = _texts(file, "stimlabels")
    rows = np.flatnonzero([label.startswith(LABELS) for label in labels])
    expected = [f"{LABELS}{number:02d}" for number in range(1, len(rows) + 1)]
    if not rows.size or [labels[row] for row in rows] != expected:
        raise DataUnavailable(f"{path.name} should have stimuli {LABELS}01, {LABELS}02, ... in order, but has others")
    places = slice(int(rows[0]), int(rows[-1]) + 1)  # HDF5 reads runs, not lists of places
    responses, errors = (file[name][places, :, 0].astype(float) for name in ("subjectbeta", "subjectbetase"))
    order = np.argsort(sorted(range(len(rows)), key=lambda number: str(number + 1)))
    responses, errors, ids = responses[order], errors[order], stimulus_ids(len(rows))
    data = response_assembly(
        responses,
        ids,
        neuroid_ids=_texts(file, "roilabels"),
        region="VTC",
        subjects="one subject",
        units="% BOLD signal change",
    )
    reliability = 1 - np.square(errors).mean(0) / responses.var(0, ddof=1)
    data = data.assign_coords(reliability=("neuroid", reliability))
    return Benchmark(
        "kay_yeatman2017.VTC", data, _stimuli(file["stimuli"][places, 0][order], ids), "ridge", CITATION, LICENCE
    )


def _stimuli(pixels: np.ndarray, ids: list[str]) -> StimulusSet:
    """From ``(images, columns, rows)``, as MATLAB stores them."""
    images = {i: np.ascontiguousarray(image.T) for i, image in zip(ids, pixels, strict=True)}
    return array_images("kay_yeatman2017", images)


def _texts(file: h5py.File, name: str) -> list[str]:
    """A MATLAB cell of texts: each a reference to an array of character codes."""
    return ["".join(map(chr, np.ravel(file[reference]))) for reference in np.ravel(file[name])]
