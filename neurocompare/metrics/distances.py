"""From a layer, or from repeated responses, to a condensed RDM in ``scipy.spatial.distance.pdist`` order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.representation import Representation

Distance = Callable[[Representation], np.ndarray]


def correlation_distance(representation: Representation) -> np.ndarray:
    """``1 - Pearson r`` over features for each stimulus pair, ``(n (n - 1) / 2,)``.

    Raises:
        InputError: a stimulus drives all features equally, so its correlation is undefined.
    """
    r = representation
    covariance = r.gram - np.outer(r.sums, r.sums) / r.n_features
    variance = np.diagonal(covariance)
    # What is left after the mean is removed must exceed the rounding error of removing it.
    flat = np.flatnonzero(variance <= 1e-12 * np.diagonal(r.gram))
    if flat.size:
        raise InputError(
            f"correlation distance needs responses that vary over features; in layer {r.layer!r} {flat.size} of "
            f"{len(r.ids)} stimuli are constant (first: {r.ids[flat[0]]!r})"
        )
    return 1 - _upper(covariance / np.sqrt(np.outer(variance, variance)))


def cosine_distance(representation: Representation) -> np.ndarray:
    """``1 - cos`` of the angle between responses for each stimulus pair.

    Raises:
        InputError: a stimulus drives no feature, so its angle is undefined.
    """
    norms = np.sqrt(np.diagonal(representation.gram))
    silent = np.flatnonzero(norms == 0)
    if silent.size:
        raise InputError(
            f"cosine distance needs responses; in layer {representation.layer!r} {silent.size} of "
            f"{len(representation.ids)} stimuli drive no feature (first: {representation.ids[silent[0]]!r})"
        )
    return 1 - _upper(representation.gram / np.outer(norms, norms))


def squared_euclidean_distance(representation: Representation) -> np.ndarray:
    """Squared euclidean distance per stimulus pair, divided by the number of features (as rsatoolbox does)."""
    power = np.diagonal(representation.gram)
    distance = power[:, None] + power - 2 * representation.gram
    return np.maximum(_upper(distance), 0) / representation.n_features


def _upper(square: np.ndarray) -> np.ndarray:
    return square[np.triu_indices(len(square), 1)]


def euclidean_distance(representation: Representation) -> np.ndarray:
    """The root of the mean squared difference over features, per stimulus pair."""
    return np.sqrt(squared_euclidean_distance(representation))


def crossnobis_distance(data: xr.DataArray) -> np.ndarray:
    """Squared distance between stimuli, each product of differences taken across repetitions, so that noise adds nothing.

    Walther et al. 2016, NeuroImage 137:188. Neuroids are scaled by the standard deviation of their noise within stimuli;
    differences of repetition means multiply between all pairs of repetitions and are averaged over neuroids. Values around
    zero, negative ones too, mean no difference.

    Args:
        data: responses (``presentation x neuroid``); as many repetitions are used as every stimulus has.
    Raises:
        InputError: some stimulus was shown once.
    """
    values = repetitions(data)
    n_repetitions, _, neuroids = values.shape
    if n_repetitions < 2:
        raise InputError("crossnobis distances need two repetitions or more of every stimulus, but some was shown once")
    noise = np.square(values - values.mean(0)).sum((0, 1)) / ((n_repetitions - 1) * values.shape[1])
    scaled = values / np.sqrt(np.where(noise > 0, noise, 1))
    total = scaled.sum(0)
    within = np.einsum("rip,rjp->ij", scaled, scaled, optimize=True)
    across = (total @ total.T - within) / (n_repetitions * (n_repetitions - 1) * neuroids)
    power = np.diagonal(across)
    return _upper(power[:, None] + power - 2 * across)


def repetitions(data: xr.DataArray) -> np.ndarray:
    """Responses by repetition, ``(repetitions, stimuli, neuroids)``, as many as every stimulus has, the first ones."""
    index = {stimulus: row for row, stimulus in enumerate(assembly.stimulus_ids(data))}
    rows = np.asarray([index[str(s)] for s in data["stimulus_id"].values])
    order = np.lexsort((data["repetition"].values, rows))
    counts = np.bincount(rows)
    starts = np.cumsum(counts) - counts
    return np.stack([data.values[order[starts + number]] for number in range(counts.min())])
