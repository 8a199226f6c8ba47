"""Tiny sounds, and the sources of sound data in each one's own layout."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import soundfile
from tiny_sources import cell, mat, npy

NAMES = ("stim7_cow", "stim2_bell", "stim30_rap", "stim11_rain")
CATEGORIES = ("AniVoc", "EnvSound", "Song", "Nature")


def tone(hertz: float, rate: int = 44_100, seconds: float = 0.02) -> np.ndarray:
    """A sine at half of full scale."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def encoded(samples: np.ndarray, rate: int = 44_100, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """A sound file's content, of 16 bits; ``samples`` are ``(n,)`` or ``(n, channels)``, full scale 1."""
    stream = io.BytesIO()
    soundfile.write(stream, np.rint(samples * 32_767).astype(np.int16), rate, format=kind, subtype=subtype)
    return stream.getvalue()


def main_frequency(sound) -> float:
    """The frequency of most power, in Hz."""
    power = np.abs(np.fft.rfft(sound.samples, 1 << 15))
    return float(np.fft.rfftfreq(1 << 15, 1 / sound.rate)[power.argmax()])


def norman_sounds() -> dict[str, bytes]:
    """Four sounds, tones of 1, 2, 3 and 4 kHz in the order of ``NAMES``."""
    return {f"sounds/wav/{name}.wav": encoded(tone(1000 * (i + 1))) for i, name in enumerate(NAMES)}


def norman_components(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Three components of four sounds in seven voxels: R, W and the file."""
    r, w = rng.random((4, 3)), rng.random((3, 7))
    content = mat(
        R=r,
        W=w,
        stim_names=cell(list(NAMES)),
        category_labels=cell(list(CATEGORIES)),
        component_names=cell(["low", "high", "music"]).T,
    )
    return r, w, content


def ecog(r: np.ndarray, names: Sequence[str], step: float) -> bytes:
    """A file of intracranial responses, ``r`` in the order of ``names``."""
    times = step * np.arange(r.shape[1])
    return mat(R=r, t=times[None], stim_names=cell([f"{name}.wav" for name in names]))


def spikes_mat(trains: Sequence[Sequence[np.ndarray]]) -> bytes:
    """One unit's spike times, ``trains[clip][repeat]`` in ms, as ``data.set(clip).repeats(repeat).t``."""
    clips = np.empty((1, len(trains)), dtype=[("repeats", object)])
    for clip, repeats in enumerate(trains):
        struct = np.empty((1, len(repeats)), dtype=[("t", object)])
        for repeat, times in enumerate(repeats):
            struct[0, repeat] = (np.asarray(times, float).reshape(1, -1) if len(times) else np.empty((0, 0)),)
        clips[0, clip] = (struct,)
    data = np.empty((1, 1), dtype=[("set", object)])
    data[0, 0] = (clips,)
    return mat(data=data)


def neurons_mat(units: Sequence[tuple[str, str, int, float]]) -> bytes:
    """The metadata of units: path, whether single, depth, noise ratio."""
    neurons = np.empty((1, len(units)), dtype=[(n, object) for n in ("path", "singleT", "depth", "NoiseRatio")])
    for i, unit in enumerate(units):
        neurons[0, i] = unit
    return mat(neuron=neurons)


def stim_info(names: Sequence[str]) -> bytes:
    """A struct with a column of names."""
    info = np.empty((1, 1), dtype=[("category", object), ("stim_names", object)])
    info[0, 0] = (cell(["x"]), cell(list(names)).T)
    return mat(stim_info=info)


def voxel_meta(n_reps: Sequence[int]) -> np.ndarray:
    """Voxels of listeners 1 and 4 by turns."""
    fields = [("voxel_id", "<i8"), ("subj_idx", "<i8"), ("hemi", "S2"), ("n_reps", "<i8")]
    rows = [(10 + i, (1, 4)[i % 2], (b"lh", b"rh")[i % 3 == 0], n) for i, n in enumerate(n_reps)]
    return np.array(rows, dtype=fields)


def nh2015_members(responses: np.ndarray, names: Sequence[str], n_reps: Sequence[int]) -> dict[str, bytes]:
    """What ``tuckute2023`` has of NH2015."""
    sounds = np.array(
        [(f"{name}.wav".encode(), i, "Song") for i, name in enumerate(names)],
        dtype=[("f0", "S40"), ("id", "<i8"), ("c", "<U9")],
    )
    return {
        "data/neural/NH2015/voxel_features_array.npy": npy(responses),
        "data/neural/NH2015/voxel_features_meta.npy": npy(voxel_meta(n_reps)),
        "data/neural/NH2015/neural_stim_meta.npy": npy(sounds),
        "data/neural/NH2015/df_roi_meta.pkl": b"not opened",
        "data/neural/NH2015/._voxel_features_array.npy": b"what one operating system adds to archives",
    }
