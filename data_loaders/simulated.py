"""Simulated neural data whose generating network is known, so that a test knows what the best score is.

A patch in grey goes through 16 Gabor filters (four orientations, two wavelengths, two phases) every 4 pixels,
rectification, 2 x 2 average pooling, a fixed random mixing into 50 units, and a second rectification. Each unit is
scaled to unit variance over stimuli; a presentation adds independent Gaussian noise.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.spatial.distance import pdist

from data_loaders.installed import PHOTOS_CITATION, PHOTOS_LICENCE, photo_patches
from neurocompare.assembly import rdm_assembly, response_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.stimuli import StimulusSet

UNITS = 50
REPEATS = 4
SUBJECTS = 5
UNITS_PER_SUBJECT = 30
SIGNAL_TO_NOISE = 1.0  # variance over stimuli / variance of the noise of one presentation
CITATION = f"simulated by neurocompare; stimuli: {PHOTOS_CITATION}"
KERNEL = 9  # pixels, side of a filter
STRIDE = 4  # pixels between filters


def gabor_filters() -> np.ndarray:
    """The first layer, ``(16, 9, 9)``, each filter with zero mean and unit norm."""
    y, x = np.mgrid[:KERNEL, :KERNEL] - KERNEL // 2
    envelope = np.exp(-(x**2 + y**2) / (2 * (KERNEL / 4) ** 2))
    filters = np.array(
        [
            envelope * np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength + phase)
            for wavelength in (4.0, 8.0)
            for angle in np.pi * np.arange(4) / 4
            for phase in (0.0, np.pi / 2)
        ]
    )
    filters -= filters.mean((1, 2), keepdims=True)
    return filters / np.linalg.norm(filters, axis=(1, 2), keepdims=True)


def _stimuli() -> StimulusSet:
    return photo_patches(200, size=48, seed=0)


@functools.cache
def generating_features() -> tuple[tuple[str, ...], np.ndarray]:
    """The noise-free responses: the stimulus ids, and ``(stimuli, units)`` with unit variance over stimuli."""
    stimuli = _stimuli()
    grey = np.stack([np.asarray(stimuli.open(i).convert("L"), float) / 255 for i in stimuli.ids])
    windows = np.lib.stride_tricks.sliding_window_view(grey, (KERNEL, KERNEL), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    drive = np.maximum(np.tensordot(windows, gabor_filters(), ((3, 4), (1, 2))), 0)  # stimuli x 10 x 10 x filters
    n, side, _, channels = drive.shape
    pooled = drive.reshape(n, side // 2, 2, side // 2, 2, channels).mean((2, 4)).reshape(n, -1)
    mixing = np.random.default_rng(1).standard_normal((pooled.shape[1], UNITS))
    mixed = (pooled - pooled.mean(0)) @ mixing
    responses = np.maximum(mixed, 0)
    responses /= responses.std(0)
    responses.setflags(write=False)
    return stimuli.ids, responses


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) / np.sqrt(SIGNAL_TO_NOISE)


def load_simulated_units(*, seed: int = 0) -> Benchmark:
    """Responses of 50 units to 200 patches, four noisy presentations each.

    The reliability of the mean over presentations is known: ``4 s / (4 s + 1)`` for a signal-to-noise ratio ``s``.

    Args:
        seed: of the noise; the generating network is the same for every seed.
    """
    ids, responses = generating_features()
    shape = (REPEATS, *responses.shape)
    values = (responses + _noise(np.random.default_rng(seed), shape)).reshape(-1, UNITS)
    data = response_assembly(
        values,
        list(ids) * REPEATS,
        repetitions=np.repeat(np.arange(REPEATS), len(ids)).tolist(),
        neuroid_ids=[f"unit{number:02d}" for number in range(UNITS)],
        region="units",
        subjects="simulated",
        units="standard deviations of the noise-free response",
    )
    data.attrs["signal_to_noise"] = SIGNAL_TO_NOISE
    return Benchmark("simulated.units", data, _stimuli(), "ridge", CITATION, PHOTOS_LICENCE)


def load_simulated_rdm(*, seed: int = 0) -> Benchmark:
    """RDMs (1 - Pearson r) of five subjects, each over 30 of the 50 units with noise of one presentation.

    Args:
        seed: of each subject's units and noise; the generating network is the same for every seed.
    """
    ids, responses = generating_features()
    rng = np.random.default_rng(seed)
    rdms = []
    for _ in range(SUBJECTS):
        units = rng.choice(UNITS, UNITS_PER_SUBJECT, replace=False)
        rdms.append(pdist(responses[:, units] + _noise(rng, (len(ids), UNITS_PER_SUBJECT)), "correlation"))
    subjects = [f"simulated {number}" for number in range(1, SUBJECTS + 1)]
    data = rdm_assembly(np.stack(rdms), ids, subjects=subjects, measure="1 - Pearson r")
    data.attrs["signal_to_noise"] = SIGNAL_TO_NOISE
    return Benchmark("simulated.rdm", data, _stimuli(), "rsa_spearman", CITATION, PHOTOS_LICENCE)
