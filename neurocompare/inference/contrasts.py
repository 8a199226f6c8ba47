"""Paired contrasts of rules with a reference: same seeds, same stimuli, same layer.

Networks of one seed start from the same weights and see the same order of data, so a difference within a seed is free of
both. Seeds are few, so its size and an interval say more than whether a threshold was passed: with five seeds the smallest p
that a permutation test can give is 1/16.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln, nctdtrinc
from scipy.stats import chi2, false_discovery_control

from neurocompare.errors import InputError, unknown_name
from neurocompare.inference.seeds import MIN_SEEDS, seed_interval

KEYS = ["benchmark", "metric", "layer", "model"]
NUMBERS = ("difference", "low", "high", "p", "smallest_p", "q", "effect", "effect_low", "effect_high")
COLUMNS = (*NUMBERS, "n_seeds", "note")
MOST_ENUMERATED = 12  # seeds; 4,096 ways to give them signs
N_SIGNS = 10_000
LARGEST_T = 300


def contrasts(
    table: pd.DataFrame,
    reference: str = "backprop",
    value: str = "raw",
    *,
    confidence: float = 0.95,
    family: Sequence[str] = (),
) -> pd.DataFrame:
    """Each model less the reference, within seeds.

    A difference needs both scores. Models without seeds (pixels, say) are left out: they are no draws from anything.

    Args:
        table: as ``Score.table`` makes it, of several models and seeds; or one layer per seed, as
            ``chosen_by_other_seeds`` leaves it.
        reference: the model that the others are compared with.
        value: the column to compare.
        confidence: of both intervals.
        family: columns within which false discoveries are controlled, such as ``["benchmark"]``; all rows by default.
    Returns:
        One row per benchmark, metric, layer and model, in order of first appearance:

        - ``difference`` (mean over seeds), ``low``, ``high`` (``seed_interval``), ``n_seeds``;
        - ``p`` (``sign_flip_p``) and ``smallest_p``, the smallest that so many seeds can give;
        - ``q``: p adjusted for the false discovery rate (Benjamini & Hochberg 1995) in its family;
        - ``effect``, ``effect_low``, ``effect_high`` (``effect_size``), in standard deviations over seeds;
        - ``note``: why numbers or seeds are missing: fewer than three seeds, or a layer that could not be scored.
    Raises:
        InputError: no such column or model; a seed scored twice; a model and the reference have no seed in common, or scores
            over other stimuli.
    """
    seeded = _seeded(table, reference, value, family)
    keys = seeded[KEYS].drop_duplicates()
    wide = seeded.pivot(index=KEYS, columns="seed", values=value).astype(float)
    keys = keys[keys["model"] != reference]
    own = wide.reindex(pd.MultiIndex.from_frame(keys)).to_numpy()
    against = wide.reindex(pd.MultiIndex.from_frame(keys.assign(model=reference))).to_numpy()
    rows = [_contrast(row[~np.isnan(row)], confidence) for row in own - against]
    found = pd.concat([keys.reset_index(drop=True).assign(reference=reference), pd.DataFrame(rows)], axis=1)
    found["q"] = false_discoveries(found, family)
    found["note"] = _with_reasons(found, seeded, value)
    return found[[*KEYS, "reference", *COLUMNS]]


def sign_flip_p(differences: np.ndarray, *, n_signs: int = N_SIGNS, seed: int = 0) -> float:
    """Two-sided p of a mean difference of zero: how often signs given at random make it as large.

    Exact where differences are symmetric about zero; all signs are enumerated for up to twelve differences.

    Args:
        differences: one per seed.
        n_signs: how many are drawn where there are more; p is then ``(1 + as large) / (1 + n_signs)``.
        seed: of the signs.
    """
    signs = _signs(len(differences), n_signs, seed)
    observed, scale = abs(differences.sum()), np.abs(differences).sum()
    as_large = (np.abs(signs @ differences) >= observed - 1e-12 * scale).sum()
    drawn = len(differences) > MOST_ENUMERATED
    return float((as_large + drawn) / (len(signs) + drawn))


def smallest_p(n: int, n_signs: int = N_SIGNS) -> float:
    """The smallest p that ``sign_flip_p`` can give for ``n`` differences: two of all signs, or none of those drawn."""
    return 2.0 ** (1 - n) if n <= MOST_ENUMERATED else 1 / (1 + n_signs)


def effect_size(differences: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over standard deviation of paired differences, ``(effect, low, high)``.

    ``effect`` is Cohen's d_z with the exact small-sample correction of Hedges (1981, J. Educ. Stat. 6:107),
    ``Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2))`` for ``m = n - 1``. The interval is that of the population's d_z: t is
    noncentral with ``sqrt(n) d_z``, so that the limits are the ``d_z`` for which the t found lies at either tail.

    Args:
        differences: one per seed, three or more that are not all equal.
    """
    n = len(differences)
    t = differences.mean() / differences.std(ddof=1) * n**0.5
    m, tail = n - 1, (1 - confidence) / 2
    correction = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / (m / 2) ** 0.5
    # The inverse is less sure where t is negative, so that side is had by symmetry.
    limits = np.sign(t or 1.0) * _noncentrality(abs(t), m, np.array([1 - tail, tail])) / n**0.5
    return float(correction * t / n**0.5), float(limits.min()), float(limits.max())


def _noncentrality(t: float, m: int, p: np.ndarray) -> np.ndarray:
    """For which noncentral t with ``m`` degrees of freedom is ``t`` the quantile ``p``.

    scipy's search takes longer the larger ``t`` is. There only the estimate of the standard deviation varies still, so that
    ``t / noncentrality`` is the root of ``m`` over a chi-squared variable (to 3e-4 of the value, from 300 on).
    """
    return t * np.sqrt(chi2.isf(p, m) / m) if t > LARGEST_T else nctdtrinc(m, p, t)


def _seeded(table: pd.DataFrame, reference: str, value: str, family: Sequence[str]) -> pd.DataFrame:
    """The rows with a seed, checked."""
    for column in (*KEYS, "seed", value, *family):
        if column not in table:
            raise unknown_name("column", column, map(str, table.columns))
    seeded = table[table["seed"].notna()]
    seeds = seeded.groupby("model", sort=False)["seed"].agg(set)
    if reference not in seeds:
        raise unknown_name("model with seeds", reference, map(str, seeds.index))
    if len(seeds) == 1:
        raise InputError(f"contrasts need a model beside {reference} that has seeds, but the table has none")
    for model, own in seeds.items():
        if not own & seeds[reference]:
            raise InputError(
                f"{model} (seeds {_shown(own)}) and {reference} (seeds {_shown(seeds[reference])}) have no seed in common, "
                "so nothing can be paired; train both with the same seeds"
            )
    twice = seeded.duplicated([*KEYS, "seed"])
    if twice.any():
        first = seeded[twice].iloc[0]
        raise InputError(
            f"one score per seed and layer is needed, but {twice.sum()} occur again (first: {first['model']}, seed "
            f"{first['seed']}, layer {first['layer']!r}, {first['benchmark']}); pass one study's table"
        )
    if "n_stimuli" in seeded:
        for benchmark, counts in seeded.groupby("benchmark", sort=False)["n_stimuli"].agg(set).items():
            if len(counts) > 1:
                raise InputError(
                    f"scores on {benchmark} are over {_shown(counts)} stimuli, and contrasts need the same ones; score all "
                    "models on the same data"
                )
    return seeded


def _shown(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def _contrast(differences: np.ndarray, confidence: float) -> dict[str, float | int | str]:
    n = len(differences)
    row: dict[str, float | int | str] = {**dict.fromkeys(NUMBERS, float("nan")), "n_seeds": n, "note": ""}
    if n:
        row["difference"] = float(differences.mean())
    if n < MIN_SEEDS:
        return row | {"note": f"{n} seeds have both scores, and inference over seeds needs {MIN_SEEDS}"}
    low, high = seed_interval(differences, confidence)
    row |= {"low": low, "high": high, "p": sign_flip_p(differences), "smallest_p": smallest_p(n)}
    if differences.std() <= 1e-12 * np.abs(differences).max():
        return row | {
            "note": "all seeds differ from the reference by the same amount, so that no effect size is defined"
        }
    effect, low, high = effect_size(differences, confidence)
    return row | {"effect": effect, "effect_low": low, "effect_high": high}


def _with_reasons(found: pd.DataFrame, seeded: pd.DataFrame, value: str) -> list[str]:
    """The notes, with what the table says of scores that are missing."""
    if "note" not in seeded:
        return list(found["note"])
    told = seeded[seeded[value].isna()].groupby(KEYS)["note"].agg(list).to_dict()
    notes = []
    for *here, model, reference, note in found[[*KEYS, "reference", "note"]].itertuples(index=False):
        reasons = (reason for name in (model, reference) for reason in told.get((*here, name), []))
        notes.append("; ".join(filter(None, dict.fromkeys([note, *reasons]))))
    return notes


def false_discoveries(found: pd.DataFrame, family: Sequence[str] = ()) -> pd.Series:
    """The column ``p`` adjusted for the false discovery rate (Benjamini & Hochberg 1995) within families.

    NaN stay NaN and count for nothing.

    Args:
        found: one test per row.
        family: columns that tell families apart; all rows are one by default.
    """
    tested = found.dropna(subset="p")
    families = tested.groupby(list(family), sort=False)["p"] if family else [((), tested["p"])]
    adjusted = [pd.Series(false_discovery_control(p.to_numpy()), p.index) for _, p in families if len(p)]
    return pd.concat([pd.Series(dtype=float), *adjusted]).reindex(found.index)


@functools.cache
def _signs(n: int, n_signs: int, seed: int) -> np.ndarray:
    """All ways to give ``n`` numbers signs where these are few, else some drawn at random, ``(ways, n)``."""
    if n <= MOST_ENUMERATED:
        return 1.0 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_signs, n))
