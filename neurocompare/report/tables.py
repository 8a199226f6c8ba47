"""The tables of the page: what was run, scores at a glance, and every score with a link to its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup

from neurocompare.controls import CONTROLS
from neurocompare.inference import chosen_by_other_seeds, over_seeds, seed_interval
from neurocompare.inference.layers import CHOSEN
from neurocompare.report.charts import panels
from neurocompare.report.record import KINDS, Record, kind_of
from neurocompare.report.references import cited
from neurocompare.report.style import NOTHING, band, interval, metric_label, number
from neurocompare.rules import RULES

COLOURS = mpl.colormaps["cividis"]


@dataclass(frozen=True)
class Cell:
    """One mean score at a glance: ``text``, ``interval``, and ``style``, colours by its share of what can be reached."""

    text: str
    interval: str
    style: Markup


@dataclass(frozen=True)
class Glance:
    """Models by benchmarks.

    Attributes:
        columns: ``(benchmark, metric, ceiling, whether the colours go by the ceiling)``.
        groups: of rows, one for each kind of model: ``(model, layer, cells)``; None where there is no score.
    """

    columns: list[tuple[str, str, str, bool]]
    groups: list[list[tuple[str, str, list[Cell | None]]]]


@dataclass(frozen=True)
class Row:
    """One model's layer on one benchmark: numbers for sorting, and every network's score with its file.

    Attributes:
        mean, low, high, normalized, dimensionality: over seeds.
        each: ``(seed, score, link, number of the note or None)``.
    """

    benchmark: str
    metric: str
    model: str
    layer: str
    depth: int
    mean: float
    low: float
    high: float
    normalized: float
    formula: str
    ceiling: str
    upper: float
    dimensionality: float
    each: list[tuple[str, str, str, int | None]]

    @property
    def defined(self) -> int:
        """Networks that have a score."""
        return sum(note is None for *_, note in self.each)

    @staticmethod
    def value(number: float) -> str:
        """For sorting; nothing for NaN."""
        return "" if np.isnan(number) else repr(number)


def chosen_layers(table: pd.DataFrame) -> pd.DataFrame:
    """One row per network: the layer that is best for the other seeds; every layer where there are no other seeds to ask."""
    alone = table.groupby(["benchmark", "metric", "model"], sort=False)["seed"].transform("nunique") < 2
    parts = [table[alone].assign(chosen_layer=table[alone]["layer"])]
    if not alone.all():
        parts.insert(0, chosen_by_other_seeds(table[~alone]))
    return pd.concat(parts, ignore_index=True)


def chosen_along(learning: pd.DataFrame) -> pd.DataFrame:
    """The same at each step of a table along training."""
    return pd.concat([chosen_layers(part) for _, part in learning.groupby("step")], ignore_index=True)


def glance(record: Record, chosen: pd.DataFrame) -> Glance:
    """Mean scores of all models on all benchmarks.

    Args:
        record: of the study.
        chosen: as ``chosen_layers`` leaves its table.
    """
    summary = over_seeds(chosen.assign(depth=0))
    columns, cells = [], {}
    for benchmark, metric, part in panels(summary):
        first = chosen[(chosen["benchmark"] == benchmark) & (chosen["metric"] == metric)].iloc[0]
        upper = float(first["ceiling_upper"])
        known = bool(np.isfinite(upper))
        columns.append((benchmark, metric, band(first["ceiling_lower"], upper), known))
        reach = upper if known else float(part["mean"].max())
        for row in part.to_dict("records"):
            cells[benchmark, metric, row["model"], row["layer"]] = _cell(row, reach)
    order = dict.fromkeys(zip(summary["model"], summary["layer"], strict=True))
    kinds = {model: kind_of(model, record) for model, _ in order}
    groups = []
    for kind in KINDS:
        own = [(model, layer) for model, layer in order if kinds[model] == kind]
        rows = [
            (model, "" if layer == CHOSEN else layer, [cells.get((b, m, model, layer)) for b, m, *_ in columns])
            for model, layer in own
        ]
        groups.append([row for row in rows if any(row[2])])
    return Glance(columns, [group for group in groups if group])


def score_rows(record: Record) -> tuple[list[Row], list[str]]:
    """Every score, one row per model and layer; and why some are undefined, for notes numbered from 1."""
    reasons: dict[str, int] = {}
    rows = []
    for benchmark, metric, part in panels(record.table):
        for (model, layer), own in part.groupby(["model", "layer"], sort=False):
            first, raw = own.iloc[0], own["raw"].to_numpy(float)
            low, high = seed_interval(raw[~np.isnan(raw)])
            rows.append(
                Row(
                    benchmark, metric, str(model), str(layer), int(first["depth"]),
                    float(own["raw"].mean()), low, high, float(own["normalized"].mean()), str(first["formula"]),
                    band(first["ceiling_lower"], first["ceiling_upper"]), float(first["ceiling_upper"]),
                    float(own["effective_dimensionality"].mean()),
                    [_network(row, reasons) for row in own.to_dict("records")],
                )
            )  # fmt: skip
    return rows, list(reasons)


def rules(record: Record) -> list[dict[str, Any]]:
    """What the study has trained: each rule with its source, learning rates, and accuracy over seeds."""
    found = []
    for name in record.models("rule"):
        trainings = record.trainings.get(name, [])
        accuracy = np.array([training["test_accuracy"] for training in trainings if "test_accuracy" in training])
        rates = sorted({training["learning_rate"] for training in trainings if "learning_rate" in training})
        low, high = seed_interval(100 * accuracy)
        found.append(
            {
                "name": name,
                "short": RULES[name].short,
                "family": RULES[name].family,
                "source": RULES[name].reference,
                "works": cited(RULES[name].reference),
                "rate": ", ".join(f"{rate:g}" for rate in rates),
                "accuracy": number(100 * accuracy.mean(), 1) if accuracy.size else NOTHING,
                "interval": interval(low, high, 1),
                "n": accuracy.size,
            }
        )
    return found


def others(record: Record) -> list[tuple[str, str]]:
    """Each control, and each region that is a model of others, with what it is."""
    told = [(name, CONTROLS[name].description) for name in record.models("control")]
    told += [(name, "a region of the brain as a model of others") for name in record.models("region")]
    return told + [(name, "") for name in record.models("model")]


def benchmarks(record: Record) -> list[dict[str, Any]]:
    """Each benchmark with its size, metrics and ceilings, source and licence."""
    found: dict[str, dict[str, Any]] = {}
    for score in record.scores:
        data = score["provenance"]["benchmark"]
        units = record.units_of(score["benchmark"]) + ("" if score["n_units"] == 1 else "s")
        row = found.setdefault(
            score["benchmark"],
            {
                "size": f"{score['n_stimuli']} stimuli, {score['n_units']} {units}",
                "source": data["citation"], "works": cited(data["citation"]), "licence": data["licence"],
                "sha256": data["sha256"], "metrics": {},
            },
        )  # fmt: skip
        ceiling = band(score["ceiling_lower"], score["ceiling_upper"])
        label = score.get("label") or metric_label(score["metric"])
        row["metrics"].setdefault(score["metric"], (label, ceiling, score["ceiling_method"]))
    return [{"name": name, **row} for name, row in found.items()]


def ceiling_notes(record: Record) -> dict[tuple[str, str], str]:
    """What stands below a chart of scores, by benchmark and metric: what was recorded, and how the ceiling was had."""
    notes = {}
    for row in benchmarks(record):
        for metric, (_, ceiling, method) in row["metrics"].items():
            words = f"Ceiling {ceiling}: {method}" if ceiling != NOTHING else f"No ceiling; {method}"
            notes[row["name"], metric] = f"{row['size']}. {words}."
    return notes


def _cell(row: Mapping[Any, Any], reach: float) -> Cell | None:
    if np.isnan(row["mean"]):
        return None
    share = float(np.clip(row["mean"] / reach, 0, 1)) if reach > 0 else 0.0
    colour = np.array(COLOURS(share)[:3])
    # Relative luminance as in WCAG 2; where it is .179 black and white stand out equally.
    light = np.array([0.2126, 0.7152, 0.0722]) @ np.where(
        colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4
    )
    ink, paint = "#000" if light > 0.179 else "#fff", "rgb({:.0f},{:.0f},{:.0f})".format(*255 * colour)
    return Cell(
        number(row["mean"]), interval(row["low"], row["high"], 2), Markup("background:{};color:{}").format(paint, ink)
    )


def _network(row: Mapping[Any, Any], reasons: dict[str, int]) -> tuple[str, str, str, int | None]:
    seed = "no seed" if pd.isna(row["seed"]) else f"seed {row['seed']}"
    undefined = bool(np.isnan(row["raw"]))
    note = reasons.setdefault(row["note"] or "no reason was kept", len(reasons) + 1) if undefined else None
    return seed, "undefined" if undefined else number(row["raw"]), row.get("file", ""), note
