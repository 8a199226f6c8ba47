"""Representational similarity analysis (Kriegeskorte, Mur & Bandettini 2008; Nili et al. 2014).

A layer becomes a representational dissimilarity matrix (RDM), condensed in ``scipy.spatial.distance.pdist`` order, and is
compared with the RDM of each subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import kendalltau, rankdata

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, no_ceiling, standard_error
from neurocompare.representation import Representation

Distance = Callable[[Representation], np.ndarray]
Comparison = Callable[[np.ndarray, np.ndarray], float]


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


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two vectors."""
    return cosine(a - a.mean(), b - b.mean())


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman rank correlation, ties at their mean rank."""
    return pearson(rankdata(a), rankdata(b))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors."""
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def tau_a(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-a: concordant less discordant pairs over all pairs, so that ties count against a model.

    scipy gives tau-b, which divides by the pairs untied in each vector; multiplying that out again leaves tau-a.
    """
    total = len(a) * (len(a) - 1) / 2
    untied = [total - (counts * (counts - 1) / 2).sum() for counts in map(_tie_counts, (a, b))]
    return float(kendalltau(a, b).statistic * np.sqrt(untied[0] * untied[1]) / total)


def _tie_counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(float)


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _unit_length(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt(values @ values)


@dataclass(frozen=True)
class RSA:
    """Compares a layer's RDM with the RDM of each subject (never with the group average: the ceiling would not apply).

    Attributes:
        distance: makes an RDM of a representation.
        comparison: of two condensed RDMs.
        pooled: what is done to each subject's RDM before the mean over subjects that the noise ceiling compares with
            (Nili et al. 2014: rank-transformed for rank correlations, standardised for Pearson).
    """

    name: str
    label: str
    comparison: Comparison
    pooled: Callable[[np.ndarray], np.ndarray]
    distance: Distance = correlation_distance
    formula: str = "r_over_ceiling"

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Similarity to each subject's RDM, ``(subject,)``.

        Raises:
            InputError: as the distance; or the RDM is constant.
        """
        rdms = neural_rdms(data, self.distance)
        model_rdm = self.distance(representation.select(assembly.stimulus_ids(data)))
        if np.ptp(model_rdm) <= 1e-12 * np.abs(model_rdm).max():
            raise InputError(f"layer {representation.layer!r} holds all stimuli equally far apart: no RSA is defined")
        values = [self.comparison(model_rdm, row) for row in rdms.values]
        return xr.DataArray(values, dims=("subject",), coords={"subject": rdms["subject"]})

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """The mean over subjects, and its standard error."""
        return float(raw.mean()), standard_error(raw.values)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """Between subjects: each against the mean of all (upper) and of the others (lower), Nili et al. 2014."""
        rdms = neural_rdms(data, self.distance).values
        if len(rdms) < 2:
            return no_ceiling("a noise ceiling between subjects needs two subjects or more, the data have one")
        pooled = np.stack([self.pooled(row) for row in rdms])
        total = pooled.sum(0)
        upper = np.mean([self.comparison(total, row) for row in rdms])
        lower = np.mean([self.comparison(total - own, row) for own, row in zip(pooled, rdms, strict=True)])
        method = f"leave-one-subject-out, {len(rdms)} subjects (Nili et al. 2014); normalized by the upper bound"
        return Ceiling(float(upper), float(lower), float(upper), method)


def neural_rdms(data: xr.DataArray, distance: Distance = correlation_distance) -> xr.DataArray:
    """The data's RDMs, ``subject x pair``; responses give one RDM, over all their neuroids."""
    if assembly.is_rdms(data):
        return data
    mean = assembly.average_repetitions(data)
    representation = Representation.from_features("data", assembly.stimulus_ids(data), mean.values)
    return assembly.rdm_assembly(
        distance(representation)[None], representation.ids, subjects=["all neuroids"], measure="dissimilarity"
    )


RSA_METRICS = (
    RSA("rsa_tau_a", "RDM similarity (Kendall's tau-a)", tau_a, rankdata),
    RSA("rsa_spearman", "RDM similarity (Spearman's rho)", spearman, rankdata),
    RSA("rsa_pearson", "RDM similarity (Pearson's r)", pearson, _standardised),
    RSA("rsa_cosine", "RDM similarity (cosine)", cosine, _unit_length),
)
