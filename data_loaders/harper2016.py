"""Harper et al. 2016, PLoS Comput Biol 12:e1005113: ferret primary auditory cortex and 20 natural sounds of 5 s ("NS1").

Each clip was played 20 times. As usual for these data, the units are those sorted as single (surely or maybe) at a known
depth, 73 of 119; responses are spike counts in 5 ms bins of which the first 999 are used, smoothed with a Hann window of
about 21 ms. Here that is ``scipy.signal.windows.hann(5)`` scaled to a sum of 1: a bin and its two neighbours weigh 1/2, 1/4
and 1/4. Clips are counted from 0, in the order of ``CLIPS``; so counted the usual test clips are 3, 6, 9 and 19.

A presentation is one of three segments of 333 bins of a clip. Its stimulus is the 2 s of sound that end where the segment
ends, so even the first bin has 335 ms of past; silence stands before a clip's onset. Segments of a clip are not independent
of each other, so splits should be by clip (column and coord ``clip``), as ``train_0`` is. The sounds are floating-point
recordings whose full scale is not known: 19 of 20 exceed 1, and none is cut off anywhere.

Two layouts are read. A mirror may hold ``ns1_spike_counts_5ms.npz``, binned from the published spike times. Published are
``MetadataSHEnCneurons.mat`` and ``spikesandwav.zip`` (https://osf.io/ayw2p/). The zip has a ``*.data.mat`` for each unit,
with spike times in ms in ``data.set(clip).repeats(repeat).t``, natural clips first, and in ``SH.En.C/`` the sounds without a
suffix. No description of it was at hand: its reader follows public code that reads it, and has not been run on the zip.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.io import loadmat
from scipy.ndimage import convolve1d
from scipy.signal.windows import hann

from data_loaders._archives import members
from data_loaders._files import DataFile, locate, read_checksums
from data_loaders.sounds import read_sound, stimulus_table
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.sounds import Sound
from neurocompare.stimuli import StimulusSet

FILES = read_checksums("harper2016_ns1", None)
COUNTS = "ns1_spike_counts_5ms.npz"
METADATA = "MetadataSHEnCneurons.mat"
# Its source publishes no checksum.
RAW = DataFile("harper2016_ns1/spikesandwav.zip", None, "https://osf.io/download/5nxga/")
CITATION = (
    "Harper et al. 2016, PLoS Comput Biol 12:e1005113, doi:10.1371/journal.pcbi.1005113; data https://osf.io/ayw2p/"
)
LICENCE = "none stated (public on OSF)"

CLIPS = (
    *(f"source.1.sound.0.snr.0.token.0.fw.2.frozen.{number}" for number in range(1, 13)),
    *(f"source.2.sound.0.snr.0.token.0.fw.1.frozen.{number}" for number in range(1, 9)),
)
TEST_CLIPS = (3, 6, 9, 19)
RATE = 48_828
REPEATS = 20
BIN = 0.005  # seconds
RECORDED_BINS = 1040
PARTS = 3
PART_BINS = 333
HEARD = 2.0  # seconds of sound that are one stimulus
WINDOW = hann(5) / hann(5).sum()
UNIT_COLUMNS = ("path", "single_unit", "depth_um", "noise_ratio")


def load_harper2016() -> Benchmark:
    """A1 of anaesthetized ferrets: 73 units, 60 segments of sound with 20 repeats each, 333 bins of 5 ms.

    The coord ``train_0`` is false for the segments of ``TEST_CLIPS``. Neuroids have ``depth_um`` and ``noise_ratio``, as
    published. Animals are not named; the coord ``subject`` is the experiment in the unit's path.

    Raises:
        DataUnavailable: a file cannot be had, or does not hold what it should.
    """
    path = locate(FILES[COUNTS], RAW)
    if path.suffix == ".zip":
        units = _raw_units(locate(FILES[METADATA]))
        counts, sounds = _raw_contents(path, units["path"])
        stimuli = _segments(sounds)
    else:
        units, counts = _binned_counts(path)
        stimuli = _segments([locate(FILES[f"sounds/{clip}.wav"]) for clip in CLIPS])
    data = with_stimulus_coord(_assembly(units, counts, stimuli.ids), "clip", dict(stimuli.table["clip"]))
    return Benchmark("harper2016.A1", data, stimuli, "strf", CITATION, LICENCE)


def _usable(units: pd.DataFrame) -> np.ndarray:
    return (units["single_unit"].isin(["Yes", "Maybe"]) & (units["depth_um"] >= 0)).to_numpy()


def _binned_counts(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The usable units and their spike counts, ``(units, clips, repeats, bins)`` uint8."""
    with np.load(path, allow_pickle=False) as archive:
        if tuple(map(str, archive["clip_file"])) != CLIPS:
            raise DataUnavailable(
                f"{path} should have the clips in the order of {CLIPS[0]} ... {CLIPS[-1]}, but has not"
            )
        units = pd.DataFrame({name: archive[name] for name in UNIT_COLUMNS})
        kept = _usable(units)
        return units[kept], archive["counts"][kept]


def _raw_units(metadata: Path) -> pd.DataFrame:
    neurons = loadmat(metadata)["neuron"].ravel()
    fields = ("path", "singleT", "depth", "NoiseRatio")
    records = [tuple(neuron[field].item() for field in fields) for neuron in neurons]
    units = pd.DataFrame(records, columns=list(UNIT_COLUMNS))
    return units[_usable(units)]


def _raw_contents(path: Path, units: Iterable[str]) -> tuple[np.ndarray, list[bytes]]:
    """Spike counts of the units as of ``_binned_counts``, from the published spike times, and the clips' sounds."""
    # A few members are said to have "_1" before their suffix where the metadata have none.
    spikes = [(name, name.removesuffix(".mat") + "_1.mat") for name in units]
    sounds = [(f"SH.En.C/{clip}", f"SH.En.C/{clip}.wav") for clip in CLIPS]
    endings = tuple(f"/{ending}" for either in spikes + sounds for ending in either)
    found = dict(members(path, lambda name: f"/{name}".endswith(endings)))
    counts = [_unit_counts(_member(path, found, either), either[0]) for either in spikes]
    return np.stack(counts), [_member(path, found, either) for either in sounds]


def _member(path: Path, found: Mapping[str, bytes], endings: Sequence[str]) -> bytes:
    """The content of the member whose path ends in the first of ``endings`` that is there."""
    for ending in endings:
        for name, content in found.items():
            if f"/{name}".endswith(f"/{ending}"):
                return content
    raise DataUnavailable(f"{path} should hold {' or '.join(endings)}, but has neither")


def _unit_counts(content: bytes, name: str) -> np.ndarray:
    presentations = loadmat(io.BytesIO(content))["data"]["set"][0, 0]["repeats"].ravel()
    counts = np.zeros((len(CLIPS), REPEATS, RECORDED_BINS), np.uint8)
    if len(presentations) < len(CLIPS):
        raise DataUnavailable(
            f"{name} should have spikes for {len(CLIPS)} clips first, but has {len(presentations)} in all"
        )
    for clip, repeats in enumerate(presentations[: len(CLIPS)]):
        trains = repeats["t"].ravel()
        if len(trains) != REPEATS:
            raise DataUnavailable(f"{name} should have {REPEATS} repeats of {CLIPS[clip]}, but has {len(trains)}")
        for repeat, milliseconds in enumerate(trains):
            bins = np.floor(milliseconds.ravel() / (1000 * BIN)).astype(int)
            recorded = bins[(bins >= 0) & (bins < RECORDED_BINS)]
            counts[clip, repeat] = np.bincount(recorded, minlength=RECORDED_BINS)
    return counts


def _segments(sounds: Sequence[Path | bytes]) -> StimulusSet:
    clips = np.repeat(np.arange(len(CLIPS)), PARTS)
    ids = [f"clip{clip:02d}/part{part}" for clip in range(len(CLIPS)) for part in range(PARTS)]
    table = stimulus_table(
        ids, {"clip": [f"clip{clip:02d}" for clip in clips], "file": [CLIPS[clip] for clip in clips]}
    )
    return StimulusSet("harper2016", tuple(ids), functools.partial(_segment, sounds), table)


def _segment(sounds: Sequence[Path | bytes], stimulus_id: str) -> Sound:
    """The sound that ends where the segment ends, with silence before the clip's onset."""
    clip, part = (int(digits) for digits in stimulus_id.removeprefix("clip").split("/part"))
    sound = read_sound(sounds[clip], name=CLIPS[clip], rate=RATE)
    end = round((part + 1) * PART_BINS * BIN * RATE)
    if end > sound.samples.size:
        raise DataUnavailable(
            f"{CLIPS[clip]} should last {end / RATE:.3f} s or more, as the responses do, but lasts {sound.seconds:.3f} s"
        )
    heard = round(HEARD * RATE)
    return Sound(np.pad(sound.samples, (heard, 0))[end : end + heard], RATE)


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Spike counts convolved with ``WINDOW`` along the last axis, float64; outside of the recording there are none."""
    return convolve1d(counts, WINDOW, axis=-1, output=np.float64, mode="constant")


def _assembly(units: pd.DataFrame, counts: np.ndarray, ids: tuple[str, ...]) -> xr.DataArray:
    n_units, n_clips = counts.shape[:2]
    # Filled clip by clip, so that the responses are in memory as floating-point numbers once only.
    values = np.empty((n_clips, PARTS, REPEATS, n_units, PART_BINS))
    for clip in range(n_clips):
        responses = smoothed(counts[:, clip])[..., : PARTS * PART_BINS]
        values[clip] = responses.reshape(n_units, REPEATS, PARTS, PART_BINS).transpose(2, 1, 0, 3)
    edges = HEARD + BIN * (np.arange(PART_BINS + 1) - PART_BINS)
    data = response_assembly(
        values.reshape(-1, n_units, PART_BINS),
        np.repeat(ids, REPEATS).tolist(),
        repetitions=np.tile(np.arange(REPEATS), len(ids)).tolist(),
        neuroid_ids=[name.removesuffix(".data.mat") for name in units["path"]],
        region="A1",
        subjects=[name.split("/")[0].split("_")[0] for name in units["path"]],
        units="spikes per 5 ms, smoothed over about 21 ms",
        time_bins=np.column_stack([edges[:-1], edges[1:]]),
    )
    clip_of = np.repeat(np.arange(n_clips), PARTS * REPEATS)
    # Parts of a clip are one content, so that splits of any kind keep them together.
    return data.assign_coords(
        content=("presentation", [f"clip{clip:02d}" for clip in clip_of]),
        train_0=("presentation", ~np.isin(clip_of, TEST_CLIPS)),
        depth_um=("neuroid", units["depth_um"].to_numpy()),
        noise_ratio=("neuroid", units["noise_ratio"].to_numpy()),
    )
