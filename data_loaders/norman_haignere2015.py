"""Norman-Haignere, Kanwisher & McDermott 2015, Neuron 88:1281: fMRI of ten listeners to 165 natural sounds of 2 s.

The responses of 11,065 voxels of auditory cortex were decomposed into six components: ``voxels = R W`` with the response
``R`` of each component to each sound (165 x 6) and its weight ``W`` in each voxel. What is published are ``R`` and ``W``;
voxels bear no subject, and there are no repetitions, so these data give no noise ceiling (those of ``tuckute2023`` do).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.io import loadmat
from scipy.spatial.distance import pdist

from data_loaders._files import locate, read_checksums
from data_loaders.sounds import sound_set, stimulus_table
from neurocompare.assembly import rdm_assembly, response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.stimuli import StimulusSet

SOURCE = (
    "https://raw.githubusercontent.com/snormanhaignere/natsound165-neuron2015/b41b99ff620d7997dbf278fc770f58566707726a/"
)
FILES = read_checksums("norman_haignere2015", SOURCE)
CITATION = "Norman-Haignere, Kanwisher & McDermott 2015, Neuron 88:1281-1296, doi:10.1016/j.neuron.2015.11.035"
LICENCE = "none stated"
REGION = "auditory cortex"
MEASURE = "1 - Pearson r"
RATE = 44_100


def load_stimuli() -> StimulusSet:
    """The 165 sounds, 2 s at 44.1 kHz, in the order of the components' responses.

    The table's ``category`` is one of the eleven that listeners chose (``EngSpeech``, ``Music``, ``Nature``, ...).
    """
    return _stimuli(_components())


def _components() -> dict[str, np.ndarray]:
    return loadmat(locate(FILES["components.mat"]))


def _stimuli(components: dict[str, np.ndarray]) -> StimulusSet:
    names = cell_strings(components["stim_names"])
    sounds = {name: locate(FILES[f"sounds/wav/{name}.wav"]) for name in names}
    table = stimulus_table(sounds, {"category": cell_strings(components["category_labels"])})
    return sound_set("norman_haignere2015", sounds, table, rate=RATE)


def cell_strings(cell: np.ndarray) -> list[str]:
    """The strings of a MATLAB cell array, in column order."""
    return [str(entry.item()) for entry in cell.ravel(order="F")]


def rows_by_name(ids: Sequence[str], names: Sequence[str], source: str) -> list[int]:
    """Where each sound is among the names of a file, which may end in ``.wav``.

    Args:
        ids: the sounds, in the order wanted.
        names: the file's, one for each of its rows.
        source: of the names, for the message.
    Raises:
        DataUnavailable: the names are not those of the sounds.
    """
    stems = [name.removesuffix(".wav") for name in names]
    place = {stem: row for row, stem in enumerate(stems)}
    differing = sorted(set(ids) ^ set(stems)) or sorted({stem for stem in stems if stems.count(stem) > 1})
    if differing:
        raise DataUnavailable(
            f"{source} should name each of the {len(ids)} sounds once, but {len(differing)} names differ "
            f"(first: {differing[0]!r})"
        )
    return [place[stimulus_id] for stimulus_id in ids]


def load_components() -> Benchmark:
    """The six components' responses to each sound; a presentation is the mean over listeners and scans."""
    components = _components()
    stimuli = _stimuli(components)
    data = response_assembly(
        components["R"],
        stimuli.ids,
        neuroid_ids=cell_strings(components["component_names"]),
        region=REGION,
        subjects="listeners (10)",
        units="component response magnitude (arbitrary units)",
    )
    data = with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
    return Benchmark("norman_haignere2015.components", data, stimuli, "tuckute2023", CITATION, LICENCE)


def load_rdm() -> Benchmark:
    """Correlation distances of the sounds over the 11,065 voxels that the components make up (``R W``), of all listeners."""
    components = _components()
    stimuli = _stimuli(components)
    rdm = pdist(components["R"] @ components["W"], "correlation")
    return rdm_benchmark("norman_haignere2015.rdm", rdm, stimuli, CITATION, LICENCE)


def rdm_benchmark(name: str, rdm: np.ndarray, stimuli: StimulusSet, citation: str, licence: str) -> Benchmark:
    """One correlation-distance RDM of a whole group, ``(pairs,)``, as a benchmark with one subject."""
    data = rdm_assembly(rdm[None], stimuli.ids, subjects=["group"], measure=MEASURE)
    data = with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
    return Benchmark(name, data, stimuli, "rsa_spearman", citation, licence)
