"""Tuckute, Feather, Boebinger & McDermott 2023, PLoS Biol 21:e3002366: voxels of human auditory cortex, three scans each.

Two groups heard the 165 sounds of ``norman_haignere2015``: ``NH2015``, the eight listeners of Norman-Haignere et al. 2015
who were scanned three times (7,694 voxels), and ``B2021``, the 20 of Boebinger et al. 2021 (26,792 voxels), who heard 27
more sounds that are left out here. Both come in one archive, ``data.tar``, which has below ``data/neural/GROUP/``:

- ``voxel_features_array.npy``: responses, sounds x voxels x scans (for NH2015 of 11,065 voxels, not all scanned thrice);
- NH2015: ``voxel_features_meta.npy``, for each voxel ``n_reps``, ``subj_idx``, ``hemi`` and ``voxel_id``; and
  ``neural_stim_meta.npy``, whose first field has the sounds' file names;
- B2021: ``stim_info_v4.mat`` with the sounds' names;
- ``df_roi_meta.pkl``: a table of the voxels with ``subj_idx``, ``hemi``, ``voxel_id`` and an anatomical region
  (``roi_label_general``: Primary, Lateral, Anterior, Posterior).

That table is a pickle, and a pickle runs any code that it holds, so it is not read here. A user who trusts it can make a CSV
of it (see ``csv_of``). B2021 needs that, since no other file says whose its voxels are; NH2015 gets its regions from it. The
layout is that of the authors' code (github.com/gretatuckute/auditory_brain_dnn); the archive itself was not at hand.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.io import loadmat

from data_loaders._archives import members
from data_loaders._files import DataFile, cache_root, locate, mirror_path
from data_loaders.norman_haignere2015 import REGION, load_stimuli, rows_by_name
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable, unknown_name
from neurocompare.stimuli import StimulusSet

URL = "https://mcdermottlab.mit.edu/tuckute_feather_2023/data.tar"
FILES = {"data.tar": DataFile("tuckute2023/data.tar", None, URL)}  # its source publishes no checksum
PAPER = "Tuckute et al. 2023, PLoS Biol 21:e3002366, doi:10.1371/journal.pbio.3002366"
CITATIONS = {
    "NH2015": f"{PAPER}; recorded by Norman-Haignere et al. 2015, Neuron 88:1281-1296",
    "B2021": f"{PAPER}; recorded by Boebinger et al. 2021, J Neurophysiol 125:2237-2263",
}
LICENCE = "none stated"
SCANS = 3
VOXEL_COLUMNS = ("subj_idx", "hemi", "voxel_id")
LARGEST_MEMBER = 1 << 30  # bytes; a damaged or foreign archive must not fill the memory


def load_tuckute2023(group: str) -> Benchmark:
    """Responses of voxels, a presentation for each sound and scan.

    Neuroids have the coords ``hemisphere`` (``"lh"``, ``"rh"``) and, where the CSV of ``csv_of`` is there, ``roi`` (empty
    where a voxel lies in none). Voxels with a constant response are dropped and mentioned.

    Args:
        group: of listeners, ``"NH2015"`` or ``"B2021"``.
    Raises:
        InputError: no such group.
        DataUnavailable: the archive cannot be had or does not hold what it should; for B2021 also where the CSV is missing.
    """
    if group not in CITATIONS:
        raise unknown_name("group of tuckute2023", group, CITATIONS)
    path = locate(FILES["data.tar"])
    stimuli = load_stimuli()
    responses, names, voxels = _read_nh2015(path) if group == "NH2015" else _read_b2021(path, len(stimuli))
    if responses.shape != (len(names), len(voxels), SCANS):
        raise DataUnavailable(
            f"responses of {group} should be {len(names)} sounds x {len(voxels)} voxels x {SCANS} scans, but are "
            f"{responses.shape}"
        )
    responses = responses[rows_by_name(stimuli.ids, names, f"{path.name}, {group},")]
    data = _assembly(group, responses, voxels, stimuli)
    return Benchmark(f"tuckute2023.{group}", data, stimuli, "tuckute2023", CITATIONS[group], LICENCE)


def _read_nh2015(path: Path) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """Responses, the sounds' names, and the voxels with three scans."""
    meta = _npy(path, "NH2015/voxel_features_meta.npy")
    scanned = meta["n_reps"] == SCANS
    voxels = pd.DataFrame({name: [_text(entry) for entry in meta[name][scanned]] for name in VOXEL_COLUMNS})
    table = _read_csv("NH2015")
    if table is not None:
        if len(table) != len(voxels) or (table[list(VOXEL_COLUMNS)].to_numpy() != voxels.to_numpy()).any():
            raise DataUnavailable(
                f"{csv_of('NH2015').path} should have the {len(voxels)} voxels of NH2015 in their order, but has others "
                f"({len(table)}); make it again from the same archive, or remove it"
            )
        voxels = table
    sounds = _npy(path, "NH2015/neural_stim_meta.npy")
    names = [_text(sound[0]) for sound in sounds]
    return _npy(path, "NH2015/voxel_features_array.npy")[:, scanned], names, voxels


def _read_b2021(path: Path, n_sounds: int) -> tuple[np.ndarray, list[str], pd.DataFrame]:
    """As ``_read_nh2015``; the 165 sounds come first, the music that was added follows."""
    voxels = _read_csv("B2021")
    if voxels is None:
        raise _needs_csv(path)
    info = loadmat(io.BytesIO(_member(path, "B2021/stim_info_v4.mat")))["stim_info"]
    names = [_text(entry) for entry in info["stim_names"][0, 0].ravel()]
    return _npy(path, "B2021/voxel_features_array.npy")[:n_sounds], names[:n_sounds], voxels


def _text(entry: object) -> str:
    while isinstance(entry, np.ndarray):  # a MATLAB cell, or a cell in one
        entry = entry.flat[0]
    return entry.decode() if isinstance(entry, bytes) else str(entry)


def _npy(path: Path, name: str) -> np.ndarray:
    try:
        return np.load(io.BytesIO(_member(path, name)), allow_pickle=False)
    except ValueError as error:  # an array of Python objects, or no array at all
        raise DataUnavailable(f"neural/{name} should be an array of plain values, but numpy says: {error}") from error


def _member(path: Path, name: str) -> bytes:
    """The content of ``.../neural/NAME``."""
    ending = f"/neural/{name}"
    read = members(path, lambda member: f"/{member}".endswith(ending), largest=LARGEST_MEMBER)
    found = [content for _, content in read]
    if len(found) != 1:
        raise DataUnavailable(f"{str(path)!r} should hold one file neural/{name}, but has {len(found)}")
    return found[0]


def csv_of(group: str) -> DataFile:
    """The table of voxels as a CSV that a user made of the archive's pickle, in the cache or in a mirror folder."""
    return DataFile(f"tuckute2023/{group}_df_roi_meta.csv", None, None)


def _read_csv(group: str) -> pd.DataFrame | None:
    file = csv_of(group)
    for path in (cache_root() / file.path, mirror_path(file)):
        if path is not None and path.is_file():
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            if missing := [name for name in VOXEL_COLUMNS if name not in table.columns]:
                raise DataUnavailable(f"{path} should have the column {missing[0]}, but has {list(table.columns)}")
            return table
    return None


def _needs_csv(path: Path) -> DataUnavailable:
    target = cache_root() / csv_of("B2021").path
    member = "data/neural/B2021/df_roi_meta.pkl"
    script = f"import pandas; pandas.read_pickle('df_roi_meta.pkl').to_csv('{target}')"
    return DataUnavailable(
        f"tuckute2023.B2021 needs each voxel's listener, which is only in a pickle ({member}); a pickle can run any code, "
        f"so none is opened here. If you trust its source, make a table of it with: mkdir -p '{target.parent}' && "
        f"tar -xOf '{path}' {member} > df_roi_meta.pkl && python -c \"{script}\""
    )


def _assembly(group: str, responses: np.ndarray, voxels: pd.DataFrame, stimuli: StimulusSet) -> xr.DataArray:
    n_sounds, n_voxels, scans = responses.shape
    values = responses.transpose(0, 2, 1).reshape(n_sounds * scans, n_voxels)
    varies = np.ptp(values, axis=0) != 0  # true of NaN, so that a missing response is an error later, not dropped
    voxels = voxels[varies]
    data = response_assembly(
        values[:, varies],
        np.repeat(stimuli.ids, scans).tolist(),
        repetitions=np.tile(np.arange(scans), n_sounds).tolist(),
        neuroid_ids=[f"{group}/voxel{number:05d}" for number in np.flatnonzero(varies)],
        region=REGION,
        subjects=[f"{group}/listener{index}" for index in voxels["subj_idx"]],
        units="fMRI response, as published",
    )
    data = data.assign_coords(hemisphere=("neuroid", voxels["hemi"].tolist()))
    if "roi_label_general" in voxels:
        data = data.assign_coords(roi=("neuroid", voxels["roi_label_general"].tolist()))
    if not varies.all():
        data.attrs["dropped"] = f"{(~varies).sum()} voxels with a constant response"
    return with_stimulus_coord(data, "label", dict(stimuli.table["category"]))
