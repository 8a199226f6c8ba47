"""Kriegeskorte et al. 2008, Neuron 60:1126: 92 object images on grey, human and monkey inferior temporal cortex.

Human IT: 316 voxels, four subjects, two sessions each. Monkey IT: 674 cells of two monkeys, published as one RDM.
The dissimilarity is 1 - Pearson r over voxels or cells. The files are those of the rsatoolbox demos.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.io import loadmat

from data_loaders._files import locate, read_checksums
from data_loaders.images import array_images, condensed
from neurocompare.assembly import rdm_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/rsagroup/rsatoolbox/f1f83cadb7243492a1aae7460466e0f0140b20ac/demos/92imageData/"
)
FILES = read_checksums("kriegeskorte2008", SOURCE)
CITATION = "Kriegeskorte et al. 2008, Neuron 60:1126-1141, doi:10.1016/j.neuron.2008.10.043"
LICENCE = "data terms unstated (the repository that holds the files is MIT)"
MEASURE = "1 - Pearson r"
MONKEYS = "monkeys (mean of 2)"

# The file's own names of the categories; its three random subsets (rand24, rand48, other48) say nothing of an image.
CATEGORIES = {
    "animate": "animate",
    "inanim": "inanimate",
    "human": "human",
    "nonhumani": "nonhuman_animal",
    "body": "body",
    "face": "face",
    "natObj": "natural_object",
    "artiObj": "artificial_object",
    "monkeyape": "monkey_or_ape",
}


def _supplement() -> dict[str, np.ndarray]:
    return loadmat(locate(FILES["Kriegeskorte_Neuron2008_supplementalData.mat"]))


def stimulus_ids(n: int) -> list[str]:
    """``92images_00001`` and on: the numbering of the images that Cichy et al. 2014 showed, in the same order."""
    return [f"92images_{number:05d}" for number in range(1, n + 1)]


def load_stimuli() -> StimulusSet:
    """The images, 175 x 175 RGB, with their categories as columns of the table.

    The columns are ``category`` (the file's own label), ``natural`` (all but the artificial objects) and one flag
    for each of ``CATEGORIES``.
    """
    return _stimuli(_supplement())


def _stimuli(supplement: dict[str, np.ndarray]) -> StimulusSet:
    records = supplement["stimuli_92objs"].ravel()
    ids = stimulus_ids(len(records))
    labels = [str(label.item()) for label in supplement["categoryLabels"].ravel()]
    flags = dict(zip(labels, supplement["categoryVectors"].T.astype(bool), strict=True))
    table = pd.DataFrame(
        {
            "category": [str(record["category"].item()) for record in records],
            "natural": [bool(record["natural"].item()) for record in records],
            **{name: flags[label] for label, name in CATEGORIES.items()},
        },
        index=pd.Index(ids, name="stimulus_id"),
    )
    images = {i: np.ascontiguousarray(record["image"]) for i, record in zip(ids, records, strict=True)}
    return array_images("kriegeskorte2008", images, table)


def _named_rdm(supplement: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    """The published RDM whose name begins with ``prefix``, ``(1, pairs)``; stored in ``pdist`` order."""
    for record in supplement["RDMs_mIT_hIT_fig1"].ravel():
        if str(record["name"].item()).startswith(prefix):
            return np.asarray(record["RDM"], float).reshape(1, -1)
    raise DataUnavailable(f"the supplemental data of Kriegeskorte et al. 2008 have no RDM named {prefix!r}...")


def _session_averages(path: Path) -> tuple[np.ndarray, list[str]]:
    """Human IT, ``(subjects, pairs)``, the mean of each subject's sessions, and the subjects' initials."""
    records = loadmat(path)["RDMs"][0]  # subjects x sessions
    squares = np.array([[session["RDM"] for session in subject] for subject in records], dtype=float)
    subjects = [str(subject[0]["name"].item()).split("|")[1].strip() for subject in records]
    return condensed(squares.mean(1), path.name), subjects


def human_it_group_average() -> xr.DataArray:
    """The published mean human IT RDM, ``subject x pair`` with one row (the mean over subjects and sessions)."""
    supplement = _supplement()
    ids = stimulus_ids(supplement["stimuli_92objs"].size)
    return rdm_assembly(_named_rdm(supplement, "hIT"), ids, subjects=["humans (mean of 4)"], measure=MEASURE)


def load_human_it() -> Benchmark:
    """Human IT: RDMs of four subjects, the two sessions of each averaged."""
    rdms, subjects = _session_averages(locate(FILES["92_brainRDMs.mat"]))
    return _benchmark("kriegeskorte2008.hIT", rdms, subjects, _stimuli(_supplement()))


def load_monkey_it() -> Benchmark:
    """Monkey IT: the one published RDM, over the cells of two monkeys."""
    supplement = _supplement()
    return _benchmark("kriegeskorte2008.mIT", _named_rdm(supplement, "mIT"), [MONKEYS], _stimuli(supplement))


def _benchmark(name: str, rdms: np.ndarray, subjects: Sequence[str], stimuli: StimulusSet) -> Benchmark:
    data = rdm_assembly(rdms, stimuli.ids, subjects=subjects, measure=MEASURE)
    data = with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
    return Benchmark(name, data, stimuli, "rsa_spearman", CITATION, LICENCE)
