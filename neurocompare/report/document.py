"""One self-contained page: a template filled with tables, charts and sentences.

Every name that came from data is escaped: in HTML by the template (autoescape), in embedded JSON by writing "<", ">" and "&"
as escapes, in charts by ``style.literal``. The page's own policy lets nothing run but its scripts, which it names by their
checksums, and lets nothing be fetched at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from neurocompare.errors import InputError
from neurocompare.inference import contrasts
from neurocompare.inference.layers import CHOSEN
from neurocompare.report import charts, tables
from neurocompare.report.geometry import Geometry
from neurocompare.report.maps import atlas
from neurocompare.report.methods import Methods, settings
from neurocompare.report.record import KINDS, Record
from neurocompare.report.references import bibtex
from neurocompare.report.style import NOTHING, interval, metric_label, number, short, shown, swatch

REFERENCE = "backprop"
MARK = 'document.documentElement.classList.add("js");'  # before anything is shown


def page(record: Record, geometries: Sequence[Geometry] = (), without: Sequence[str] = ()) -> str:
    """The report as HTML.

    The same record gives the same page.

    Args:
        record: of a study.
        geometries: of representations, one for each set of stimuli.
        without: why there are none, or not all.
    """
    chosen = tables.chosen_layers(record.table)
    found, reason = _contrasts(chosen)
    methods = Methods(record, geometries)
    rows, reasons = tables.score_rows(record)
    scripts = [Markup(MARK), Markup(get_plotlyjs()), Markup(_text("page.js"))]
    works = bibtex(methods.references)
    return (
        _environment()
        .get_template("page.html")
        .render(
            record=record,
            style=Markup(_text("page.css")),
            scripts=scripts,
            hashes=[_checksum(script) for script in scripts],
            rules=tables.rules(record),
            others=tables.others(record),
            counts=_counts(record),
            benchmarks=tables.benchmarks(record),
            facts=_facts(record),
            glance=tables.glance(record, chosen),
            layers=charts.by_layer(record.table, tables.ceiling_notes(record)),
            contrasts=charts.contrasts(found) if len(found) else [],
            contrast_rows=found.to_dict("records"),
            no_contrasts=reason,
            accuracy=charts.against_accuracy(chosen),
            along=charts.along_training(tables.chosen_along(record.learning)) if len(record.learning) else [],
            atlases=[atlas(geometry, index) for index, geometry in enumerate(geometries)],
            without=without,
            rows=rows,
            reasons=reasons,
            models=_legend(record),
            methods=methods,
            bibtex=works,
            bibtex_link=Markup("data:application/x-bibtex;charset=utf-8,{}").format(quote(works)),
        )
    )


def _contrasts(chosen: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rules and controls less the reference, at layers chosen by other seeds; or why there are none."""
    seeded = chosen[chosen["layer"] == CHOSEN]
    names = list(dict.fromkeys(seeded["model"]))
    if not names:
        return pd.DataFrame(), "they need models with two seeds or more, each to choose the other's layer"
    try:
        return contrasts(seeded, REFERENCE if REFERENCE in names else names[0]), ""
    except InputError as error:
        return pd.DataFrame(), str(error)


def _counts(record: Record) -> str:
    """What the study consists of, in one phrase."""
    nouns = {"rule": "learning rule", "control": "control", "region": "brain region", "model": "other model"}
    counted = [(len(record.models(kind)), noun) for kind, noun in nouns.items()]
    told = [f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counted if n]
    return " and ".join(told) if len(told) < 3 else f"{', '.join(told[:-1])} and {told[-1]}"


def _facts(record: Record) -> list[tuple[str, str]]:
    """What else the summary says, a line each."""
    spec, every = record.spec, [training for records in record.trainings.values() for training in records]
    seeds = sorted({int(seed) for seed in record.table["seed"].dropna()})
    facts = [("Seeds", ", ".join(map(str, seeds)) or "none")]
    if spec is not None:
        facts.append(("Network", settings(spec.network)))
    for label, key in (
        ("Trained on", "dataset"),
        ("Training items", "train_items"),
        ("Epochs", "epochs"),
        ("Batch size", "batch_size"),
        ("Optimizer", "optimizer"),
        ("Loss", "loss"),
    ):
        values = list(dict.fromkeys(str(training[key]) for training in every if key in training))
        facts += [(label, "; ".join(map(shown, values)))] if values else []
    versions: dict[str, dict[str, None]] = {}
    for provenance in record.provenances:
        for name, version in provenance["versions"].items():
            versions.setdefault(name, {})[version] = None
    told = ", ".join(f"{name} {'/'.join(found)}" for name, found in versions.items())
    return [*facts, ("Versions", told)] if told else facts


def _legend(record: Record) -> list[tuple[str, str]]:
    """Models with what the legend calls them."""
    names = [name for kind in KINDS for name in record.models(kind)]
    return [(name, f"{shown(name)} ({short(name)})" if short(name) != shown(name) else shown(name)) for name in names]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "short": short,
        "swatch": swatch,
        "number": number,
        "metric": metric_label,
        "embedded": embedded,
    }
    environment.globals |= {"interval": interval, "nothing": NOTHING}
    return environment


def embedded(json: str) -> Markup:
    """JSON for a ``<script>`` element, which nothing in it can end."""
    return Markup(json.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}))


def _text(name: str) -> str:
    return (resources.files("neurocompare.report") / "templates" / name).read_text(encoding="utf-8")


def _checksum(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
