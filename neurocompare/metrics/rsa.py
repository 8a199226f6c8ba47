"""Representational similarity analysis (Kriegeskorte, Mur & Bandettini 2008; Nili et al. 2014).

A layer becomes a representational dissimilarity matrix (RDM), and is compared with the RDM of each subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, no_ceiling, standard_error
from neurocompare.metrics.ceiling import by_formula, halves_ceiling
from neurocompare.metrics.comparisons import (
    Comparison,
    cosine,
    pearson,
    spearman,
    tau_a,
    whitened_correlation,
    whitened_cosine,
)
from neurocompare.metrics.distances import (
    Distance,
    correlation_distance,
    crossnobis_distance,
    euclidean_distance,
    squared_euclidean_distance,
)
from neurocompare.representation import Representation


@dataclass(frozen=True)
class RSA:
    """Compares a layer's RDM with that of each subject, or with their mean.

    A layer with one feature has no correlation distance; the distance along that feature takes its place.

    Attributes:
        distance: makes an RDM of a representation.
        comparison: of condensed RDMs.
        pooled: what is done to each subject's RDM before the mean over subjects that the noise ceiling compares with
            (Nili et al. 2014: rank-transformed for rank correlations, standardised for Pearson).
        group: compare with the mean RDM over subjects, as many published values do, in place of each subject's. The noise
            ceiling, which is one of single subjects, does not apply to it and is only shown where ``published`` is true.
        published: give the ceiling of single subjects with the score of the group, as published.
        crossvalidated: the brain's distances are crossnobis, from repetitions.
    """

    name: str
    label: str
    comparison: Comparison
    pooled: Callable[[np.ndarray], np.ndarray]
    distance: Distance = correlation_distance
    formula: str = "r_over_ceiling"
    group: bool = False
    published: bool = False
    crossvalidated: bool = False
    needs_features: bool = False

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Similarity to each subject's RDM, ``(subject,)``.

        Raises:
            InputError: as the distance; or the RDM is constant.
        """
        rdms = self.compared_rdms(data)
        values = self.comparison(self.model_rdm(representation, data), rdms.values)
        return xr.DataArray(values, dims=("subject",), coords={"subject": rdms["subject"]})

    def model_rdm(self, representation: Representation, data: xr.DataArray) -> np.ndarray:
        """The layer's, over the data's stimuli."""
        selected = representation.select(assembly.stimulus_ids(data))
        distance = euclidean_distance if selected.n_features == 1 else self.distance
        found = distance(selected)
        if np.ptp(found) <= 1e-12 * np.abs(found).max():
            raise InputError(f"layer {representation.layer!r} holds all stimuli equally far apart: no RSA is defined")
        return found

    def compared_rdms(self, data: xr.DataArray) -> xr.DataArray:
        """The RDMs that a layer's is compared with, ``subject x pair``: each subject's, or their mean alone."""
        rdms = self.neural_rdms(data)
        return rdms.mean("subject").expand_dims(subject=[f"mean of {len(rdms)}"]) if self.group else rdms

    def neural_rdms(self, data: xr.DataArray) -> xr.DataArray:
        """The data's RDMs, ``subject x pair``; responses give one, over all their neuroids.

        Raises:
            InputError: crossnobis distances are asked of data without repetitions.
        """
        if not self.crossvalidated:
            return neural_rdms(data, self.distance)
        if assembly.is_rdms(data):
            raise InputError(
                f"{self.name} needs responses with repetitions, but these data are RDMs; use another rsa_ metric"
            )
        return _one_rdm(crossnobis_distance(data), data)

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """The mean over subjects, and its standard error."""
        return float(raw.mean()), standard_error(raw.values)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """Between subjects (Nili et al. 2014); for responses between halves of the repetitions."""
        if self.group and not self.published:
            return no_ceiling("the noise ceiling is one of single subjects, and the score is of their mean")
        if not assembly.is_rdms(data):
            return halves_ceiling(self._similarity, data)
        return self._between_subjects(data.values)

    def _between_subjects(self, rdms: np.ndarray) -> Ceiling:
        """Each against the mean of all (upper) and of the others (lower)."""
        if len(rdms) < 2:
            return no_ceiling("a noise ceiling between subjects needs two subjects or more, the data have one")
        pooled = np.stack([self.pooled(row) for row in rdms])
        total = pooled.sum(0)
        upper = self.comparison(total, rdms).mean()
        lower = np.mean([self.comparison(total - own, row[None])[0] for own, row in zip(pooled, rdms, strict=True)])
        method = f"leave-one-subject-out, {len(rdms)} subjects (Nili et al. 2014); normalized by the upper bound"
        if self.group:
            method += "; of single subjects, while the score is of their mean, as published"
        return Ceiling(float(upper), float(lower), float(upper), method)

    def _similarity(self, first: np.ndarray, second: np.ndarray) -> float:
        names = [str(row) for row in range(len(first))]
        rdms = [self.distance(Representation.from_features("data", names, x)) for x in (first, second)]
        return float(self.comparison(rdms[0], rdms[1][None])[0])

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """By the formula."""
        return by_formula(self, raw, ceiling)


def neural_rdms(data: xr.DataArray, distance: Distance = correlation_distance) -> xr.DataArray:
    """The data's RDMs, ``subject x pair``; responses give one RDM, over all their neuroids."""
    if assembly.is_rdms(data):
        return data
    mean = assembly.average_repetitions(data)
    return _one_rdm(distance(Representation.from_features("data", assembly.stimulus_ids(data), mean.values)), data)


def _one_rdm(rdm: np.ndarray, data: xr.DataArray) -> xr.DataArray:
    ids = assembly.stimulus_ids(data)
    return assembly.rdm_assembly(rdm[None], ids, subjects=["all neuroids"], measure="dissimilarity")


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _unit_length(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt(values @ values)


RSA_METRICS = (
    RSA("rsa_tau_a", "RDM similarity (Kendall's tau-a)", tau_a, rankdata),
    RSA("rsa_spearman", "RDM similarity (Spearman's rho)", spearman, rankdata),
    RSA("rsa_pearson", "RDM similarity (Pearson's r)", pearson, _standardised),
    RSA("rsa_cosine", "RDM similarity (cosine)", cosine, _unit_length),
    RSA("rsa_whitened_cosine", "RDM similarity (whitened cosine)", whitened_cosine, _unit_length),
    RSA("rsa_whitened_correlation", "RDM similarity (whitened correlation)", whitened_correlation, _standardised),
    RSA("rsa_tau_a_group", "similarity to the mean RDM (Kendall's tau-a)", tau_a, rankdata, group=True),
    RSA(
        "rsa_crossnobis",
        "RDM similarity to crossnobis distances (whitened cosine)",
        whitened_cosine,
        _unit_length,
        squared_euclidean_distance,
        crossvalidated=True,
    ),
)
