"""Networks of every rule, scored on brains that single networks stand in for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics import RSA, Encoding, Metric, comparisons
from neurocompare.metrics.base import check_varies
from neurocompare.metrics.encoding import LeastSquares, OneToOne, Ridge
from neurocompare.metrics.similarity import Similarity
from neurocompare.progress import Track, silent
from neurocompare.recovery.simulated import Experiment, extended, observed
from neurocompare.representation import Representation

# Layers by name, over the same stimuli; networks by rule and seed.
Network = Mapping[str, Representation]
Networks = Mapping[tuple[str, int], Network]
# From a layer to its score on each of several data sets; from a network, likewise.
OfLayer = Callable[[Representation], np.ndarray]
OfNetwork = Callable[[Network], np.ndarray]

SITE_BY_SITE = (Ridge, LeastSquares, OneToOne)  # what they predict of a site does not depend on other sites


def recovery_scores(
    truths: Networks,
    experiment: Experiment,
    metric: Metric,
    *,
    layer: str,
    candidates: Networks | None = None,
    known_layer: bool = True,
    replicates: int = 1,
    seed: int = 0,
    track: Track = silent,
) -> xr.DataArray:
    """Scores of candidates on what is simulated from truths.

    Args:
        truths: generating networks; ``layer`` with its features.
        experiment: what is simulated; where it shows fewer stimuli than there are, each replicate draws its own.
        metric: scores.
        layer: that generates.
        candidates: what is scored; the truths themselves by default.
        known_layer: candidates are scored at the layer of the same name. Otherwise each is scored at the one of its layers
            that is best on a random half of the stimuli, on the other half; the mean of both ways round.
        replicates: how often each truth is simulated.
        seed: of everything drawn.
        track: shows progress over candidates.
    Returns:
        ``(replicate, truth, candidate)`` with the coords ``rule`` and ``seed`` of truths, ``candidate_rule`` and
        ``candidate_seed``; NaN where a metric is undefined for a layer.
    Raises:
        InputError: as ``observed``; or the metric is undefined for all.
    """
    candidates = truths if candidates is None else candidates
    found = np.full((replicates, len(truths), len(candidates)), np.nan)
    reasons: list[str] = []
    for replicate in range(replicates):
        rng = np.random.default_rng((seed, replicate))
        data = _data_sets(truths, experiment, layer, (seed, replicate), rng)
        judge = _at_layer(metric, data, layer, reasons) if known_layer else _at_best_layer(metric, data, rng, reasons)
        for column, network in enumerate(track(candidates.values(), f"recovery by {metric.name}", len(candidates))):
            found[replicate, :, column] = judge(network)
    if not np.isfinite(found).any():
        raise InputError(f"{metric.name} is defined for none of these networks on such data: {reasons[0]}")
    return xr.DataArray(
        found,
        dims=("replicate", "truth", "candidate"),
        coords={
            "rule": ("truth", [rule for rule, _ in truths]),
            "seed": ("truth", [number for _, number in truths]),
            "candidate_rule": ("candidate", [rule for rule, _ in candidates]),
            "candidate_seed": ("candidate", [number for _, number in candidates]),
        },
    )


def _data_sets(
    truths: Networks, experiment: Experiment, layer: str, seed: tuple[int, ...], rng: np.random.Generator
) -> list[xr.DataArray]:
    """One simulated from each truth, all with the same stimuli."""
    ids = next(iter(truths.values()))[layer].ids
    if experiment.stimuli < len(ids):
        ids = tuple(ids[i] for i in np.sort(rng.choice(len(ids), experiment.stimuli, replace=False)))
    return [observed(n[layer].select(ids), experiment, extended(seed, k)) for k, n in enumerate(truths.values())]


def _at_layer(metric: Metric, data: Sequence[xr.DataArray], layer: str, reasons: list[str]) -> OfNetwork:
    judge = judge_of(metric, data, reasons)
    return lambda network: judge(network[layer])


def _at_best_layer(
    metric: Metric, data: Sequence[xr.DataArray], rng: np.random.Generator, reasons: list[str]
) -> OfNetwork:
    ids = assembly.stimulus_ids(data[0])
    half = {ids[i] for i in rng.permutation(len(ids))[: len(ids) // 2]}
    judges = [judge_of(metric, [_restricted(one, half, inside) for one in data], reasons) for inside in (True, False)]

    def judge(network: Network) -> np.ndarray:
        found = np.stack([[of_half(layer) for layer in network.values()] for of_half in judges])
        best = np.where(np.isnan(found), -np.inf, found).argmax(1)[::-1]  # of either half, on the other
        return np.take_along_axis(found, best[:, None], 1)[:, 0].mean(0)

    return judge


def _restricted(data: xr.DataArray, ids: set[str], inside: bool) -> xr.DataArray:
    """The data on some stimuli, or on all others."""
    names = ("stimulus_1", "stimulus_2") if assembly.is_rdms(data) else ("stimulus_id",)
    keep = np.all([np.isin(data[name].values, list(ids)) == inside for name in names], axis=0)
    return data.isel({data[names[0]].dims[0]: np.flatnonzero(keep)})


def judge_of(metric: Metric, data: Sequence[xr.DataArray], reasons: list[str] | None = None) -> OfLayer:
    """The aggregated score of a layer on each of several data sets over the same stimuli, as if scored one by one.

    What a metric does to the layer alone is done once for all of them, where it can be.

    Args:
        metric: scores.
        data: the data sets.
        reasons: takes down why scores are NaN.
    """
    if isinstance(metric, RSA):
        of_layer = _rdm_judge(metric, data)
    elif isinstance(metric, Encoding) and isinstance(metric.predictor, SITE_BY_SITE):
        of_layer = _site_judge(metric, data)
    elif isinstance(metric, Similarity):
        of_layer = _population_judge(metric, data)
    else:

        def of_layer(layer: Representation) -> np.ndarray:
            return np.array([metric.aggregate(metric.score(layer, one))[0] for one in data])

    def judge(layer: Representation) -> np.ndarray:
        try:
            return of_layer(layer)
        except InputError as error:  # a dead layer, say
            if reasons is not None:
                reasons.append(str(error))
            return np.full(len(data), np.nan)

    return judge


def _rdm_judge(metric: RSA, data: Sequence[xr.DataArray]) -> OfLayer:
    """All subjects of all data sets side by side; ranks, which do not depend on the layer, are had once."""
    each = [metric.compared_rdms(one).values for one in data]
    subjects, owner = np.concatenate(each), np.repeat(np.arange(len(each)), list(map(len, each)))
    ranked = metric.comparison is comparisons.spearman
    compare = comparisons.pearson if ranked else metric.comparison
    subjects = rankdata(subjects, axis=1) if ranked else subjects

    def judge(layer: Representation) -> np.ndarray:
        model = metric.model_rdm(layer, data[0])
        similarity = compare(rankdata(model) if ranked else model, subjects)
        return np.bincount(owner, similarity) / np.bincount(owner)

    return judge


def _site_judge(metric: Encoding, data: Sequence[xr.DataArray]) -> OfLayer:
    """All sites of all data sets side by side: one decomposition of the layer serves them all."""
    means = [assembly.average_repetitions(one) for one in data]
    ends = np.cumsum([one.sizes["neuroid"] for one in means])
    together = assembly.response_assembly(
        np.concatenate([one.values for one in means], axis=1),
        means[0]["stimulus_id"].values.tolist(),
        neuroid_ids=list(map(str, range(ends[-1]))),
        region="simulated",
        subjects="simulated",
        units="activity",
    )

    def judge(layer: Representation) -> np.ndarray:
        raw = metric.score(layer, together)
        parts = [raw.isel(neuroid=slice(start, end)) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return np.array([metric.aggregate(part)[0] for part in parts])

    return judge


def _population_judge(metric: Similarity, data: Sequence[xr.DataArray]) -> OfLayer:
    """Repetitions are averaged once, and Gram matrices of the data had once."""
    means = [assembly.average_repetitions(one) for one in data]
    ids = means[0]["stimulus_id"].values.tolist()
    populations = [Representation.from_features("mean responses", ids, one.values, keep=True) for one in means]

    def judge(layer: Representation) -> np.ndarray:
        selected = layer.select(ids)
        check_varies(selected)
        return np.array([metric.comparison(selected, population) for population in populations])

    return judge
