"""Cichy et al. 2014, Nat Neurosci 17:455: fMRI of 15 subjects who saw the 92 object images, now on white.

The RDMs are those of the Algonauts Project 2019 (arXiv:1905.05675) for early visual (EVC) and inferior temporal (IT)
cortex. The objects and their order are those of Kriegeskorte et al. 2008; the pixels are not.
"""

from __future__ import annotations

import gzip
import json
from pathlib import PurePosixPath

import numpy as np

from data_loaders._files import locate, read_checksums
from data_loaders.images import condensed, encoded_images
from neurocompare.assembly import rdm_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import unknown_name
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/m7cw5l/Net2Brain-App/"
    "959aba890710773a404bc507f24e6d66e778ec6d/Net2Brain/data_rdm/92images/"
)
FILES = read_checksums("cichy2014", SOURCE)
CITATION = "Cichy et al. 2014, Nat Neurosci 17:455-462, doi:10.1038/nn.3635; RDMs as in arXiv:1905.05675"
LICENCE = "data terms unstated, the original is gated by a form (the repository that holds the files is MIT)"
REGIONS = ("EVC", "IT")


def load_stimuli() -> StimulusSet:
    """The images, 175 x 175 RGB, in the order of the RDMs."""
    names = sorted(name for name in FILES if name.endswith(".jpg"))
    images = {PurePosixPath(name).stem: locate(FILES[name]).read_bytes() for name in names}
    return encoded_images("cichy2014", images)


def load_cichy2014(region: str) -> Benchmark:
    """RDMs of 15 subjects.

    Args:
        region: ``"EVC"`` or ``"IT"``.
    Raises:
        InputError: no such region.
        DataUnavailable: a file cannot be had.
    """
    if region not in REGIONS:
        raise unknown_name("region of cichy2014", region, REGIONS)
    stimuli = load_stimuli()
    squares = _read_squares(region)
    data = rdm_assembly(
        condensed(squares, f"cichy2014 {region}"),
        stimuli.ids,
        subjects=[f"subject {number:02d}" for number in range(1, len(squares) + 1)],
        measure="1 - correlation",
    )
    return Benchmark(f"cichy2014.{region}", data, stimuli, "rsa_spearman", CITATION, LICENCE)


def _read_squares(region: str) -> np.ndarray:
    """``(subjects, n, n)``, stored as a flat list and a shape."""
    with gzip.open(locate(FILES[f"92images_fmri_{region}_RDMs.gzip"]), "rt", encoding="utf-8") as stream:
        content = json.load(stream)
    return np.asarray(content["data"], dtype=float).reshape(content["shape"])
