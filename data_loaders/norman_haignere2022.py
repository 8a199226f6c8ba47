"""Norman-Haignere et al. 2022, Curr Biol 32:1470: intracranial recordings (ECoG) of 15 patients who heard the 165 sounds.

The sounds are those of ``norman_haignere2015``; the rows of these files are in another order and are matched by name. The
responses keep their time axis, 3 s from the sound's onset: 15 components at 25 Hz, and 33 single electrodes selective for
speech, music or song at 100 Hz. The files say at which times ``t`` (0, 0.04, ... s) they were sampled; a time bin here
begins at its ``t`` and ends at the next. Which patient an electrode was in is not published, and there are no repetitions.
"""

from __future__ import annotations

import re

import numpy as np
import xarray as xr
from scipy.io import loadmat
from scipy.spatial.distance import pdist

from data_loaders._files import locate, read_checksums
from data_loaders.norman_haignere2015 import REGION, cell_strings, load_stimuli, rdm_benchmark, rows_by_name
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/snormanhaignere/song-ecog-current-biology/"
    "03bb41e95d04c191acd3b76b1c11d7185096f1f3/data/"
)
FILES = read_checksums("norman_haignere2022", SOURCE)
CITATION = "Norman-Haignere et al. 2022, Curr Biol 32:1470-1484, doi:10.1016/j.cub.2022.01.069"
LICENCE = "none stated"
PATIENTS = "patients (15)"


def _responses(file: str, stimuli: StimulusSet) -> tuple[np.ndarray, np.ndarray]:
    """One file's responses, ``(sounds, time bins, ...)`` in the stimuli's order, and its time bins, ``(time bins, 2)``."""
    path = locate(FILES[file])
    content = loadmat(path)
    rows = rows_by_name(stimuli.ids, cell_strings(content["stim_names"]), path.name)
    return content["R"][rows], _time_bins(content["t"].ravel())


def _time_bins(times: np.ndarray) -> np.ndarray:
    edges = np.append(times, 2 * times[-1] - times[-2])
    return np.column_stack([edges[:-1], edges[1:]])


def load_components() -> Benchmark:
    """The 15 components' responses over time, ``component01`` to ``component15`` as numbered in the files."""
    stimuli = load_stimuli()
    responses, time_bins = _responses("ecog_component_responses.mat", stimuli)
    data = response_assembly(
        responses.transpose(0, 2, 1),
        stimuli.ids,
        neuroid_ids=[f"component{number:02d}" for number in range(1, responses.shape[2] + 1)],
        region=REGION,
        subjects=PATIENTS,
        units="component response magnitude (arbitrary units)",
        time_bins=time_bins,
    )
    return _benchmark("norman_haignere2022.components", data, stimuli)


def load_electrodes() -> Benchmark:
    """The electrodes selective for music, song or speech (the coord ``selectivity``), over time."""
    names = sorted(
        (match.groups() for match in map(re.compile(r".*/(\w+)-elec(\d+)-response\.mat$").match, FILES) if match),
        key=lambda found: (found[0], int(found[1])),
    )
    stimuli = load_stimuli()
    read = [_responses(f"individual-electrodes/{kind}-elec{n}-response.mat", stimuli) for kind, n in names]
    data = response_assembly(
        np.stack([responses for responses, _ in read], axis=1),
        stimuli.ids,
        neuroid_ids=[f"{kind}-elec{int(number):02d}" for kind, number in names],
        region=REGION,
        subjects=PATIENTS,
        units="broadband gamma response, as published",
        time_bins=read[0][1],
    )
    data = data.assign_coords(selectivity=("neuroid", [kind for kind, _ in names]))
    return _benchmark("norman_haignere2022.electrodes", data, stimuli)


def load_rdm() -> Benchmark:
    """Correlation distances of the sounds over the 15 components' mean responses over time, of all patients."""
    stimuli = load_stimuli()
    responses, _ = _responses("ecog_component_responses.mat", stimuli)
    rdm = pdist(responses.mean(axis=1, dtype=np.float64), "correlation")
    return rdm_benchmark("norman_haignere2022.rdm", rdm, stimuli, CITATION, LICENCE)


def _benchmark(name: str, data: xr.DataArray, stimuli: StimulusSet) -> Benchmark:
    data = with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
    return Benchmark(name, data, stimuli, "ridge", CITATION, LICENCE)
