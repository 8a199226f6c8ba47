"""Simulated recordings of a network: what an experiment would have measured, had the brain been that network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, Metric
from neurocompare.metrics.ceiling import spearman_brown, split_half_ceiling
from neurocompare.metrics.distances import correlation_distance
from neurocompare.representation import Representation

Seed = int | tuple[int, ...]


@dataclass(frozen=True)
class Experiment:
    """What is measured, and how noisily.

    Attributes:
        sites: recorded; of each subject where there are several.
        stimuli: shown.
        repeats: presentations of each.
        reliability: of one presentation: the share of a site's variance over stimuli that is signal, 0 to 1.
        mixing: units that a site sums up; 1 for electrodes, more for voxels.
        subjects: whose RDMs are the data; 0 where the responses are.
    """

    sites: int
    stimuli: int
    repeats: int = 1
    reliability: float = 1.0
    mixing: int = 1
    subjects: int = 0

    def __post_init__(self) -> None:
        if min(self.sites, self.stimuli, self.repeats, self.mixing) < 1 or not 0 <= self.reliability <= 1:
            raise InputError(
                f"an experiment needs sites, stimuli, repeats and mixing of 1 or more and a reliability from 0 to 1: {self}"
            )

    @property
    def ceiling(self) -> float:
        """Reliability of the mean over repeats (Spearman-Brown)."""
        return float(spearman_brown(np.asarray(self.reliability), self.repeats))


def like(benchmark: Benchmark, *, sites: int | None = None, mixing: int = 1) -> Experiment:
    """The experiment behind a benchmark.

    The noise of responses is that of their split-half ceiling. RDMs do not say how many sites they are from, nor how noisy
    those are: what is returned for them has no noise, and ``matched`` gives it some.

    Args:
        benchmark: responses with repetitions, or RDMs.
        sites: of each subject, where the data are RDMs.
        mixing: units that a site sums up.
    Raises:
        InputError: RDMs without ``sites``; or responses without repetitions.
    """
    data, stimuli = benchmark.data, len(benchmark.stimuli)
    if assembly.is_rdms(data):
        if sites is None:
            raise InputError(f"the RDMs of {benchmark.name} do not say how many sites they are from; give sites=")
        return Experiment(sites, stimuli, mixing=mixing, subjects=data.sizes["subject"])
    ceiling = split_half_ceiling(data)
    if not ceiling.value > 0:
        raise InputError(f"the noise of {benchmark.name} is not known ({ceiling.method}); make an Experiment by hand")
    repeats = int(np.median(np.unique(data["stimulus_id"].values, return_counts=True)[1]))
    single = float(spearman_brown(np.asarray(ceiling.value), 1 / repeats))
    return Experiment(data.sizes["neuroid"] if sites is None else sites, stimuli, repeats, single, mixing)


def simulate(
    features: np.ndarray,
    ids: Sequence[str],
    *,
    sites: int,
    repeats: int,
    reliability: float,
    mixing: int = 1,
    seed: Seed = 0,
) -> xr.DataArray:
    """Responses of sites in a layer to repeated presentations.

    A site is a unit, or a sum of units with weights from 0 to 1. Its mean over repeats keeps the unit's mean and variance
    over stimuli; of the variance a share ``reliability`` is signal and the rest Gaussian noise, independent of everything:
    signal variance / (signal variance + noise variance / repeats) = reliability.

    Args:
        features: ``(stimuli, units)``; units that do not vary cannot be sites.
        ids: of the stimuli.
        sites: how many; no unit is two of them.
        repeats: presentations of each stimulus.
        reliability: of the mean over repeats, 0 (all noise) to 1 (none).
        mixing: units that a site sums up, of its own choice.
        seed: of sites and noise.
    Returns:
        ``(repeats * stimuli, sites)``, see ``assembly.response_assembly``.
    Raises:
        InputError: fewer units vary than are needed.
    """
    rng = np.random.default_rng(seed)
    signal = _sites(features, sites, mixing, rng)
    mean, spread = signal.mean(0), signal.std(0)
    noise = rng.standard_normal((repeats, *signal.shape))
    values = mean + reliability**0.5 * (signal - mean) + spread * (repeats * (1 - reliability)) ** 0.5 * noise
    return assembly.response_assembly(
        values.reshape(-1, sites),
        list(ids) * repeats,
        repetitions=np.repeat(np.arange(repeats), len(ids)).tolist(),
        neuroid_ids=[f"site{number}" for number in range(sites)],
        region="simulated",
        subjects="simulated",
        units="activity",
    )


def _sites(features: np.ndarray, sites: int, mixing: int, rng: np.random.Generator) -> np.ndarray:
    varying = np.flatnonzero(np.ptp(features, axis=0) > 0)
    if len(varying) < (needed := sites if mixing == 1 else mixing):
        raise InputError(
            f"{needed} units that vary over the stimuli are needed, but {len(varying)} of {features.shape[1]} do; simulate "
            "fewer sites or a wider layer"
        )
    if mixing == 1:
        return features[:, rng.choice(varying, sites, replace=False)].astype(np.float64)
    mixed = [features[:, rng.choice(varying, mixing, replace=False)] @ rng.random(mixing) for _ in range(sites)]
    return np.stack(mixed, axis=1)


def simulate_rdms(
    features: np.ndarray, ids: Sequence[str], *, subjects: int, seed: Seed = 0, **settings: Any
) -> xr.DataArray:
    """RDMs (1 - Pearson r over sites) of subjects who each have their own sites and noise.

    Args:
        features, ids: as for ``simulate``.
        subjects: how many.
        seed: of the subjects.
        settings: the others of ``simulate``, for each subject.
    """
    rdms = []
    for subject in range(subjects):
        mean = assembly.average_repetitions(simulate(features, ids, seed=extended(seed, subject), **settings))
        rdms.append(correlation_distance(Representation.from_features("simulated", ids, mean.values)))
    names = [f"simulated {number}" for number in range(1, subjects + 1)]
    return assembly.rdm_assembly(np.stack(rdms), ids, subjects=names, measure="1 - Pearson r")


def extended(seed: Seed, *more: int) -> tuple[int, ...]:
    """The seed of a part: that of the whole, and the part's numbers."""
    return (*((seed,) if isinstance(seed, int) else seed), *more)


def observed(layer: Representation, experiment: Experiment, seed: Seed = 0) -> xr.DataArray:
    """What the experiment would measure in a layer.

    Raises:
        InputError: the layer was probed without ``keep_features``, or with fewer stimuli than the experiment shows.
    """
    if layer.features is None:
        raise InputError(f"sites are units of layer {layer.layer!r}: probe it with keep_features=True")
    if len(layer.ids) != experiment.stimuli:
        raise InputError(f"the experiment shows {experiment.stimuli} stimuli, but there are {len(layer.ids)}")
    settings: dict[str, Any] = {
        "sites": experiment.sites,
        "repeats": experiment.repeats,
        "reliability": experiment.ceiling,
        "mixing": experiment.mixing,
        "seed": seed,
    }
    if experiment.subjects:
        return simulate_rdms(layer.features, layer.ids, subjects=experiment.subjects, **settings)
    return simulate(layer.features, layer.ids, **settings)


def matched(
    experiment: Experiment,
    layers: Sequence[Representation],
    lower: float,
    *,
    metric: Metric | None = None,
    steps: int = 12,
    seed: Seed = 0,
) -> Experiment:
    """The experiment with as much noise as gives simulated subjects the noise ceiling of real ones.

    Args:
        experiment: with subjects.
        layers: generating ones, one of each network; their mean ceiling is matched.
        lower: the wanted ``lower_ceiling``.
        metric: whose ceiling it is; Spearman's rho by default.
        steps: halvings of the interval that holds the reliability.
        seed: of sites and noise; the same in every step, so that what is found does not jump.
    Raises:
        InputError: so high a ceiling is not reached without any noise: subjects share too few sites.
    """

    def found(reliability: float) -> float:
        return lower_ceiling(replace(experiment, reliability=reliability), layers, metric=metric, seed=seed)

    if (most := found(1.0)) < lower:
        raise InputError(
            f"a lower noise ceiling of {lower:.3f} is wanted, but {experiment.sites} sites without noise give {most:.3f}; "
            "simulate more sites"
        )
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) > lower else (middle, high)
    return replace(experiment, reliability=(low + high) / 2)


def lower_ceiling(
    experiment: Experiment, layers: Sequence[Representation], *, metric: Metric | None = None, seed: Seed = 0
) -> float:
    """The lower noise ceiling of simulated subjects, leave-one-out (Nili et al. 2014), the mean over generating layers.

    Args:
        experiment: with two subjects or more.
        layers: generating ones.
        metric: whose ceiling it is; Spearman's rho by default.
        seed: of sites and noise.
    """
    judge = metric or METRICS["rsa_spearman"]
    data = (observed(layer, experiment, extended(seed, k)) for k, layer in enumerate(layers))
    return float(np.mean([judge.ceiling(one).lower for one in data]))
