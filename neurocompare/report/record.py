"""What the finished part of a study says of itself: every score with its provenance and its file."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from neurocompare.controls import CONTROLS
from neurocompare.errors import InputError
from neurocompare.rules import RULES
from neurocompare.score import Score
from neurocompare.spec import StudySpec
from neurocompare.study import Study

KINDS = ("rule", "control", "region", "model")


class Missing(NamedTuple):
    """Scores that a model does not have: still to come, or, where there is a reason, failed."""

    model: str
    seed: int | None
    reason: str
    number: int


@dataclass(frozen=True)
class Record:
    """A study's finished scores.

    Attributes:
        name: of the study.
        table: as ``Score.table`` makes it, with the column ``file``: a link from the report to the score's netCDF.
        scores: of each file the attributes of its data, in order; ``provenance`` parsed.
        spec: of the study; None for a table from elsewhere.
        missing: what the study wants and has not got.
        learning: as ``Study.learning_table`` makes it; empty where nothing was scored along training.
    """

    name: str
    table: pd.DataFrame
    scores: Sequence[Mapping[str, Any]] = ()
    spec: StudySpec | None = None
    missing: Sequence[Missing] = ()
    learning: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def provenances(self) -> list[Mapping[str, Any]]:
        """Of every score."""
        return [score["provenance"] for score in self.scores]

    @property
    def trainings(self) -> dict[str, list[Mapping[str, Any]]]:
        """By rule or control the records of how its networks were trained, one per network."""
        found: dict[str, dict[Any, Mapping[str, Any]]] = {}
        for provenance in self.provenances:
            model = provenance["model"]
            if "training" in model:
                found.setdefault(model["model"], {})[model.get("seed")] = model["training"]
        return {name: list(records.values()) for name, records in found.items()}

    def models(self, *kinds: str) -> list[str]:
        """The models of some kinds (``KINDS``) in the table, in its order."""
        return [name for name in dict.fromkeys(self.table["model"]) if kind_of(name, self) in kinds]

    def units_of(self, benchmark: str) -> str:
        """What was recorded: "RDM" or "neuroid"; "unit" where no score tells."""
        units = (score.get("units") for score in self.scores if score["benchmark"] == benchmark)
        return next(filter(None, units), "unit")

    @property
    def only_simulated(self) -> bool:
        """No benchmark is a recording."""
        return all(str(name).startswith("simulated.") for name in self.table["benchmark"].unique())


def kind_of(model: str, record: Record) -> str:
    """What a model is, one of ``KINDS``."""
    if model in RULES:
        return "rule"
    if model in CONTROLS:
        return "control"
    benchmarks = {*record.table["benchmark"], *(record.spec.benchmarks if record.spec else ())}
    return "region" if model in benchmarks else "model"


def read(study: Study, beside: Path) -> Record:
    """Read every finished score once.

    Args:
        study: finished or in part.
        beside: the folder in which the report will lie; links start there.
    Raises:
        InputError: there is no score yet, or a file is damaged.
    """
    finished, _ = study.cells.present()
    tables, scores = [], []
    for cell in study.all_cells:
        if cell in finished:
            path = study.cells.score(cell)
            score = Score.load(path)
            tables.append(score.table().assign(file=_link(path, beside)))
            attrs = {**score.data.attrs, "units": _units(score)}
            scores.append({**attrs, "provenance": json.loads(score.data.attrs["provenance"])})
    if not tables:
        raise InputError(f"{study.folder} holds no scores yet; run the study first")
    open_ = [row for row in study.status().to_dict("records") if row["state"] != "done"]
    learning = study.learning_table() if study.spec.training.snapshots else pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return Record(study.spec.name, table, scores, study.spec, _missing(open_), learning)


def _missing(rows: list[dict[Any, Any]]) -> list[Missing]:
    """Of a study's ``status``."""
    counts = Counter(
        (
            row["model"],
            None if pd.isna(row["seed"]) else int(row["seed"]),
            "" if pd.isna(row["reason"]) else row["reason"],
        )
        for row in rows
    )
    return [Missing(*key, count) for key, count in counts.items()]


def _units(score: Score) -> str:
    """What a benchmark's units are, so far as one score shows; of responses RSA makes one RDM over all neuroids."""
    raw, n_units = score.data["raw"], score.data.attrs["n_units"]
    if "subject" not in raw.dims:
        return "neuroid" if len(raw.dims) > 1 else ""
    subjects = [str(subject) for subject in raw["subject"].values]
    return "neuroid" if subjects == ["all neuroids"] or (subjects == ["mean of 1"] and n_units > 1) else "RDM"


def _link(path: Path, beside: Path) -> str:
    """Relative, percent-encoded (so that nothing in it can be taken for a scheme)."""
    return quote(Path(os.path.relpath(path, beside)).as_posix())
