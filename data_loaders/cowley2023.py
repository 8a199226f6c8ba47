"""Cowley et al. 2023 (doi:10.1101/2023.11.22.568315): macaque V4, Utah arrays, spikes per 100 ms to images.

Session 210325 has its raw repeats here (six to ten of each image); of six more the mean over repeats. Image number
``i`` (from 1) is column ``i - 1`` of the responses.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr

from data_loaders._archives import members
from data_loaders._files import locate, read_checksums
from data_loaders.images import encoded_images
from neurocompare.assembly import response_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable, unknown_name
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/cowleygroup/V4_compact_models/"
    "f4552ad9d34a466ebc66658f72a08a8e5038f1cf/data_V4_responses/"
)
FILES = read_checksums("cowley2023", SOURCE)
CITATION = "Cowley et al. 2023, bioRxiv 2023.11.22.568315"
LICENCE = "GPL-3.0 (of the repository that holds the data)"
UNITS = "spikes per 100 ms"
RAW_SESSION = "210325"
# The animal of each session, from the source's readme; only sessions whose sums are known are listed.
ANIMALS = {
    "190923": "WE",
    "190929": "WE",
    "201025": "PE",
    "210225": "PE",
    "210305": "PE",
    "210322": "PE",
    "210325": "PE",
}


def load_cowley2023(session: str = RAW_SESSION) -> Benchmark:
    """V4 responses of one session.

    Args:
        session: one of ``ANIMALS``. 210325 comes with each repeat as a presentation, the others as the mean over
            repeats. 210322 and 210325 share 600 images.
    Raises:
        InputError: no such session.
        DataUnavailable: a file cannot be had, or responses and images do not fit.
    """
    if session not in ANIMALS:
        raise unknown_name("session of cowley2023", session, ANIMALS)
    images = _read_images(locate(FILES[f"images/images_{session}.zip"]), session)
    raw = session == RAW_SESSION
    folder = "responses_raw" if raw else "responses_repeat_averaged"
    path = locate(FILES[f"{folder}/responses_{session}.npy"])
    responses = np.load(path, allow_pickle=False).astype(float)
    responses = responses if raw else responses[:, :, None]
    if responses.ndim != 3 or responses.shape[1] != len(images):
        raise DataUnavailable(f"{path.name} should have a column per image, but is {responses.shape} for {len(images)}")
    name = "cowley2023.V4" if raw else f"cowley2023.V4_{session}"
    return Benchmark(name, _assembly(responses, session, images.ids), images, "ridge", CITATION, LICENCE)


def _read_images(path: Path, session: str) -> StimulusSet:
    """The images in the order of their numbers; the archive's order is any, and one session has a folder in it."""
    pattern = re.compile(r"(?:^|/)image(\d+)\.jpg$")
    numbered = {int(pattern.findall(name)[0]): content for name, content in members(path, pattern.search)}
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise DataUnavailable(f"{path.name} should hold images numbered 1, 2, ..., but has {len(numbered)} with gaps")
    images = {f"{session}/image{number:04d}": numbered[number] for number in sorted(numbered)}
    return encoded_images(f"cowley2023/{session}", images)


def _assembly(responses: np.ndarray, session: str, ids: tuple[str, ...]) -> xr.DataArray:
    """From ``(neurons, images, repeats)``, where NaN pads what was not shown, to presentations x neuroids."""
    padding = np.isnan(responses)
    if (padding != padding[:1]).any():
        raise DataUnavailable(f"responses of {session}: a presentation is missing for some neurons but not for others")
    image, repeat = np.nonzero(~padding[0])
    values = responses[:, image, repeat].T
    varies = np.ptp(values, axis=0) > 0
    data = response_assembly(
        values[:, varies],
        [ids[i] for i in image],
        repetitions=repeat.tolist(),
        neuroid_ids=[f"{session}/neuron{number:03d}" for number in np.flatnonzero(varies)],
        region="V4",
        subjects=ANIMALS[session],
        units=UNITS,
    )
    if not varies.all():
        data.attrs["dropped"] = f"{(~varies).sum()} neurons with a constant response"
    return data
