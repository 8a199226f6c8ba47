"""How often the rule that made a brain is the one whose networks score best on it.

The generating network has a rule and a seed. Every rule's networks with other seeds compete, so that none shares its
initial weights, and the rule with the highest mean is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from neurocompare.errors import InputError
from neurocompare.metrics import Metric
from neurocompare.recovery.scores import Networks, recovery_scores
from neurocompare.recovery.simulated import Experiment

# From scores, and the rules of candidates, to what speaks for each rule, ``(replicate, truth, rule)``.
Evidence = Callable[[xr.DataArray, Sequence[str]], np.ndarray]

TIE = 1e-12  # what is as close as this differs by rounding
FEWEST_FOR_PROFILES = 3  # seeds


def confusion(
    scores: xr.DataArray, *, evidence: Evidence | None = None, seed: int = 0, confidence: float = 0.95
) -> xr.Dataset:
    """How often each rule is chosen for brains that each rule made.

    Candidates with the seed of the truth are left out, under every rule. Rules that tie are drawn from.

    Intervals are Wilson's for as many draws as there are generating networks: replicates of one network share its
    accidents, and do not count as further ones.

    Args:
        scores: from ``recovery_scores``.
        evidence: for each rule; the one with the most is chosen. ``mean_scores`` by default; or ``profile_match``.
        seed: of ties.
        confidence: of the intervals.
    Returns:
        Over ``(rule, chosen)``: ``rate`` with ``low`` and ``high``, and ``pairwise``, how often the row's rule has more
        evidence on its own brains than the column's. Over all brains: ``recovery``, how often the right rule is chosen, with
        ``recovery_low`` and ``recovery_high``. ``networks``, generating ones of each rule. In ``attrs``: ``chance``.
    Raises:
        InputError: a truth has no candidates of its own rule with another seed.
    """
    rules = list(dict.fromkeys(scores["candidate_rule"].values.tolist()))
    truth = scores["rule"].values
    _check_candidates(scores, rules)
    means = (evidence or mean_scores)(scores, rules)
    own = np.stack([means[:, k, rules.index(rule)] for k, rule in enumerate(truth)], axis=1)[..., None]
    picked = _picked(means, np.random.default_rng(seed))
    beats = np.where(np.isclose(own, means, rtol=0, atol=TIE), 0.5, own > means)
    made = list(dict.fromkeys(truth.tolist()))
    rows = [truth == rule for rule in made]
    networks = np.array([row.sum() for row in rows])
    rate = np.stack([picked[:, row].mean((0, 1)) for row in rows])
    recovery = np.average([rate[k, rules.index(rule)] for k, rule in enumerate(made)], weights=networks)
    low, high = wilson(rate, networks[:, None], confidence)
    recovery_low, recovery_high = wilson(recovery, networks.sum(), confidence)
    table = ("rule", "chosen")
    return xr.Dataset(
        {
            "rate": (table, rate),
            "low": (table, low),
            "high": (table, high),
            "pairwise": (table, np.stack([beats[:, row].mean((0, 1)) for row in rows])),
            "recovery": recovery,
            "recovery_low": recovery_low,
            "recovery_high": recovery_high,
            "networks": ("rule", networks),
        },
        coords={"rule": made, "chosen": rules},
        attrs={"chance": 1 / len(rules), "replicates": scores.sizes["replicate"], "confidence": confidence},
    )


def _check_candidates(scores: xr.DataArray, rules: Sequence[str]) -> None:
    candidates = set(
        zip(scores["candidate_rule"].values.tolist(), scores["candidate_seed"].values.tolist(), strict=True)
    )
    for rule, number in zip(scores["rule"].values.tolist(), scores["seed"].values.tolist(), strict=True):
        if not any(name == rule and other != number for name, other in candidates):
            raise InputError(
                f"the brain of {rule} with seed {number} needs candidates of {rule} with other seeds, but there are none; "
                "train each rule with three seeds or more"
            )


def mean_scores(scores: xr.DataArray, rules: Sequence[str], without: int | None = None) -> np.ndarray:
    """The mean score of each rule's networks whose seed is not the brain's: what a leader board goes by.

    Args:
        scores: from ``recovery_scores``.
        rules: of candidates.
        without: a further seed to leave out.
    Returns:
        ``(replicate, truth, rule)``; networks without a score do not count, and a rule without any is minus infinity.
    """
    seeds, names = scores["candidate_seed"].values, scores["candidate_rule"].values
    other = (scores["seed"].values[:, None] != seeds) & (True if without is None else seeds != without)
    means = []
    for rule in rules:
        counted = other & (names == rule) & np.isfinite(scores.values)
        sums, n = np.where(counted, scores.values, 0).sum(2), counted.sum(2)
        means.append(np.where(n > 0, sums / np.maximum(n, 1), -np.inf))
    return np.stack(means, axis=2)


def profile_match(scores: xr.DataArray, rules: Sequence[str]) -> np.ndarray:
    """How near a brain's profile, the scores of all rules less their mean, is to the mean profile of each rule's brains.

    A rule whose layers predict much of anything may score highest on the brains of others, and be told from them by how
    everybody scores all the same. Networks and brains with the seed of the brain in question are left out of what it is
    compared with.

    Returns:
        Minus the squared distance, ``(replicate, truth, rule)``; minus infinity for a rule without other brains.
    Raises:
        InputError: fewer than three seeds.
    """
    made, seeds = scores["rule"].values, scores["seed"].values
    if len(np.unique(seeds)) < FEWEST_FOR_PROFILES:
        raise InputError(
            f"profiles are compared between seeds, and need three or more, but there are {np.unique(seeds)}"
        )
    found = np.full((scores.sizes["replicate"], len(made), len(rules)), -np.inf)
    profiles = _centred(mean_scores(scores, rules))
    for seed in np.unique(seeds):
        others, rows = _centred(mean_scores(scores, rules, without=seed)), seeds == seed
        for column, rule in enumerate(rules):
            known = (made == rule) & ~rows
            if known.any():
                distance = np.square(profiles[:, rows] - others[:, known].mean((0, 1))).sum(2)
                found[:, rows, column] = -distance
    return found


def _centred(means: np.ndarray) -> np.ndarray:
    """Less the mean over rules; rules without a score at that mean."""
    defined = np.isfinite(means)
    mean = np.where(defined, means, 0).sum(2, keepdims=True) / np.maximum(defined.sum(2, keepdims=True), 1)
    return np.where(defined, means - mean, 0)


def _picked(means: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One where the mean is highest, drawn where several are; zero elsewhere."""
    highest = means >= means.max(2, keepdims=True) - TIE
    chosen = np.where(highest, rng.random(means.shape), -1).argmax(2)
    return np.eye(means.shape[2])[chosen]


def wilson(rate: np.ndarray, n: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209), ``(low, high)``.

    Args:
        rate: observed proportions.
        n: how many draws each is from.
        confidence: of the intervals.
    """
    z = norm.ppf((1 + confidence) / 2)
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


CHOSEN_BY: dict[str, Evidence] = {"highest score": mean_scores, "nearest profile": profile_match}


def confusions(scores: xr.DataArray, **settings: Any) -> xr.Dataset:
    """``confusion`` by either kind of evidence, along ``chosen_by``; profiles where there are seeds enough.

    Args:
        scores: from ``recovery_scores``.
        settings: the others of ``confusion``.
    """
    few = len(np.unique(scores["seed"].values)) < FEWEST_FOR_PROFILES
    chosen_by = {name: by for name, by in CHOSEN_BY.items() if by is mean_scores or not few}
    tables = [confusion(scores, evidence=evidence, **settings) for evidence in chosen_by.values()]
    return xr.concat(tables, pd.Index(list(chosen_by), name="chosen_by"))


def power(
    truths: Networks, experiment: Experiment, metric: Metric, *, vary: str, values: Sequence[float], **settings: Any
) -> xr.Dataset:
    """``confusions`` for experiments that differ in one thing, along a dimension of that name.

    Args:
        truths, experiment, metric: as for ``recovery_scores``.
        vary: an attribute of ``Experiment``: sites, stimuli, repeats, reliability, subjects or mixing.
        values: of it.
        settings: the others of ``recovery_scores``.
    """
    changes: list[dict[str, Any]] = [{vary: value} for value in values]
    tables = [confusions(recovery_scores(truths, replace(experiment, **one), metric, **settings)) for one in changes]
    return xr.concat(tables, pd.Index(values, name=vary))


def enough(recovery: xr.DataArray, wanted: float = 0.8) -> float:
    """The smallest value from which on a rate stays at ``wanted`` or more; NaN where the last one is below it.

    Args:
        recovery: along one dimension, values ascending.
        wanted: rate.
    """
    below = np.flatnonzero(recovery.values < wanted)
    first = 0 if below.size == 0 else below[-1] + 1
    return float(recovery[recovery.dims[0]][first]) if first < recovery.size else float("nan")
