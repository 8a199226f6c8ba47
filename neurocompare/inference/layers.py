"""Which layer a score is reported for, chosen on what the score does not use.

The best of many layers scores high partly by chance, on these stimuli and for this network. Choosing on one part of the
stimuli and scoring on the other leaves the first kind of chance out; choosing by other seeds leaves out the second. The
splits of an encoding score overlap, so what one of them holds out has chosen the layer in another: here the stimuli are
divided before there are any splits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Metric
from neurocompare.representation import Representation

CHOSEN = "chosen"


@dataclass(frozen=True)
class NestedChoice:
    """Scores on each part of the stimuli, of the layer that was best on the rest.

    Attributes:
        layers: chosen, one per fold.
        raw, ceiling, normalized: on the fold's own stimuli, ``(folds,)``.
        formula: of the normalization.
    """

    layers: tuple[str, ...]
    raw: np.ndarray
    ceiling: np.ndarray
    normalized: np.ndarray
    formula: str

    def row(self) -> dict[str, float | str]:
        """Means over folds, under the names of ``Score.table``; ``chosen_layer`` says which layers."""
        return {
            "layer": CHOSEN,
            "chosen_layer": ", ".join(dict.fromkeys(self.layers)),
            "raw": float(self.raw.mean()),
            "ceiling": float(self.ceiling.mean()),
            "normalized": float(self.normalized.mean()),
            "formula": self.formula,
        }


def nested_layer_choice(
    representations: Mapping[str, Representation], data: xr.DataArray, metric: Metric, *, folds: int = 2, seed: int = 0
) -> NestedChoice:
    """Score each fold of the stimuli by the layer that scores best on the others.

    A layer for which the metric is undefined on the others is not chosen.

    Args:
        representations: by layer, over the data's stimuli.
        data: responses or RDMs; ``Benchmark.grouped_data`` knows equal stimuli.
        metric: chooses and scores.
        folds: how many parts, see ``stimulus_folds``.
        seed: of the folds.
    Raises:
        InputError: as ``stimulus_folds``; or the metric is undefined for all layers on some part, or for the chosen one.
    """
    parts = stimulus_folds(data, folds, seed)
    layers, raws, ceilings, normalized = [], [], [], []
    for number, own in enumerate(parts):
        others = [stimulus for other, part in enumerate(parts) if other != number for stimulus in part]
        best = _best_layer(representations, select_stimuli(data, others), metric)
        held_out = select_stimuli(data, own)
        raw, ceiling = metric.score(representations[best], held_out), metric.ceiling(held_out)
        layers.append(best)
        raws.append(metric.aggregate(raw)[0])
        ceilings.append(ceiling.value)
        normalized.append(metric.normalize(raw, ceiling))
    return NestedChoice(tuple(layers), np.array(raws), np.array(ceilings), np.array(normalized), metric.formula)


def stimulus_folds(data: xr.DataArray, folds: int = 2, seed: int = 0) -> list[list[str]]:
    """The distinct stimuli in parts of equal size.

    Stimuli of equal content (coord ``content``) stay together, and each label is dealt out evenly where there are labels.

    Args:
        data: responses or RDMs.
        folds: how many parts.
        seed: of the random order in which they are dealt.
    Raises:
        InputError: fewer than two parts, or more than there are distinct stimuli.
    """
    ids = assembly.stimulus_ids(data)
    contents = assembly.contents(data)
    labels = assembly.stimulus_coord(data, "label") or [""] * len(ids)
    label_of = dict(zip(contents, labels, strict=True))
    if not 2 <= folds <= len(label_of):
        raise InputError(f"folds need to be two or more, and no more than distinct stimuli: {folds} of {len(label_of)}")
    distinct = list(label_of)
    shuffled = [distinct[k] for k in np.random.default_rng(seed).permutation(len(distinct))]
    dealt = {content: place % folds for place, content in enumerate(sorted(shuffled, key=label_of.__getitem__))}
    return [[i for i, content in zip(ids, contents, strict=True) if dealt[content] == fold] for fold in range(folds)]


def select_stimuli(data: xr.DataArray, ids: Collection[str]) -> xr.DataArray:
    """Responses or RDMs over some of their stimuli, all presentations of each, in the data's own order.

    Raises:
        InputError: a stimulus that the data lack.
    """
    wanted = set(ids)
    missing = wanted - set(assembly.stimulus_ids(data))
    if missing:
        raise InputError(
            f"the data lack {len(missing)} of the {len(wanted)} stimuli asked for (first: {min(missing)!r})"
        )
    if not assembly.is_rdms(data):
        return data.isel(presentation=np.isin(data["stimulus_id"].values.astype(str), list(wanted)))
    inside = [np.isin(data[name].values.astype(str), list(wanted)) for name in ("stimulus_1", "stimulus_2")]
    return data.isel(pair=inside[0] & inside[1])


def chosen_by_other_seeds(table: pd.DataFrame, value: str = "raw") -> pd.DataFrame:
    """For each seed of a model the layer that is best, on average, for the model's other seeds.

    Other networks, but the same stimuli: what is special to a network does not choose its layer, what is special to the
    stimuli still does. ``nested_layer_choice`` is for that.

    Args:
        table: as ``Score.table`` makes it.
        value: the column to choose by.
    Returns:
        One row per benchmark, metric, model and seed, with the columns of the table; ``layer`` is ``"chosen"``, and the
        column ``chosen_layer`` says which it was. NaN, with a note, where there are several layers but no other seed.
    """
    parts = [_by_other_seeds(part, value) for _, part in table.groupby(["benchmark", "metric", "model"], sort=False)]
    return pd.concat(parts, ignore_index=True)


def _best_layer(representations: Mapping[str, Representation], data: xr.DataArray, metric: Metric) -> str:
    scores, reason = {}, "there are none"
    for layer, representation in representations.items():
        try:
            scores[layer] = metric.aggregate(metric.score(representation, data))[0]
        except InputError as error:
            reason = str(error)
    defined = {layer: score for layer, score in scores.items() if not np.isnan(score)}
    if not defined:
        raise InputError(
            f"no layer can be chosen by {metric.name} on {len(assembly.stimulus_ids(data))} stimuli: {reason}"
        )
    return max(defined, key=defined.__getitem__)


def _by_other_seeds(part: pd.DataFrame, value: str) -> pd.DataFrame:
    """The same for one model on one benchmark."""
    seeds = part["seed"].astype(object).where(part["seed"].notna(), "none")
    only = part["layer"].iloc[0] if part["layer"].nunique() == 1 else None
    rows = []
    for seed in dict.fromkeys(seeds):
        own, others = part[seeds == seed], part[seeds != seed]
        means = others.groupby("layer", sort=False)[value].mean().dropna()
        layer = only if len(means) == 0 else means.idxmax()
        rows.append(_row_of(own, layer, value).assign(layer=CHOSEN, chosen_layer=layer))
    return pd.concat(rows)


def _row_of(own: pd.DataFrame, layer: object, value: str) -> pd.DataFrame:
    """One seed's row of a layer; without scores where there is none."""
    row = own[own["layer"] == layer].head(1)
    if len(row):
        return row
    row = own.head(1).copy()
    row[[name for name in (value, "raw", "error", "normalized") if name in row]] = np.nan
    row["note"] = "a layer is chosen by other seeds, and there are none that have a score"
    return row
