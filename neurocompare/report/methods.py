"""The methods of a study in sentences, made of the provenance of its scores and of nothing else.

Citations stand in the text as ``[@key; @key]``; ``segments`` takes the text apart for a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from neurocompare.controls import CONTROLS
from neurocompare.inference import MIN_SEEDS
from neurocompare.report.geometry import Geometry
from neurocompare.report.record import Record
from neurocompare.report.references import Reference, cited, entries
from neurocompare.report.style import NOTHING, band, metric_label, shown
from neurocompare.rules import RULES

# What a metric or a control is cited for; a metric is looked up by its name, then by the first word of it.
_OF_METRIC: dict[str, tuple[str, ...]] = {
    "rsa": ("kriegeskorte2008rsa",),
    "cka": ("kornblith2019",),
    "krk2014": ("khalighrazavi2014",),
    "cadieu2014": ("cadieu2014",),
    "tuckute2023": ("tuckute2023",),
    "brainscore": ("schrimpf2018",),
}
_OF_CONTROL = {"shuffled_labels": ("zhang2017",), "hmax_c2": ("serre2007",)}
_OF_OPTIMIZER = {"Adam": ("kingma2015",)}
_OF_DATASET: dict[str, tuple[str, ...]] = {
    "digits": ("alpaydin1998",),
    "cifar10_jpeg": ("krizhevsky2009",),
    "tiny_imagenet40": ("le2015",),
    "spoken_words": ("jackson2018",),
    "speakers": ("jackson2018",),
    "everyday_sounds": ("piczak2015",),
    "hearing": ("jackson2018", "piczak2015"),
}
_OF_PACKAGE = {
    "torch": ("paszke2019",),
    "numpy": ("harris2020",),
    "scipy": ("virtanen2020",),
    "scikit-learn": ("pedregosa2011",),
    "xarray": ("hoyer2017",),
}


class Methods:
    """Sentences, and the works that they cite in order of first mention.

    Attributes:
        paragraphs: ``(heading, texts)``.
        references: every work cited.
    """

    def __init__(self, record: Record, geometries: Sequence[Geometry] = ()) -> None:
        self.record, self._geometries = record, geometries
        self._cited: dict[str, Reference] = {}
        makers = {
            "Networks and training": self._training,
            "Controls": self._controls,
            "Recordings": self._benchmarks,
            "Scores and ceilings": self._scores,
            "Inference": self._inference,
            "Representations": self._representations,
            "Software": self._software,
        }
        made = [(heading, list(filter(None, maker()))) for heading, maker in makers.items()]
        one = {"Scores and ceilings"}  # a paragraph for each metric; elsewhere sentences follow each other
        self.paragraphs = [(h, texts if h in one else [" ".join(texts)]) for h, texts in made if texts]

    @property
    def references(self) -> list[Reference]:
        """In order of first mention."""
        return list(self._cited.values())

    def letter(self, reference: Reference) -> str:
        """What tells a work from others of the same authors and year: nothing, or a letter."""
        same = sorted(key for key, other in self._cited.items() if other.label == reference.label)
        return "" if len(same) < 2 else "abcdefghijklmnopqrstuvwxyz"[same.index(reference.key)]

    def segments(self, text: str) -> Iterator[tuple[str, Reference | None]]:
        """The text in parts, each plain, or a label with the work that it stands for."""
        for part in re.split(r"(\[@[\w-]+(?:; @[\w-]+)*\])", text):
            keys = re.findall(r"@([\w-]+)", part) if part.startswith("[@") else []
            if not keys or not set(keys) <= set(self._cited):
                yield part, None
                continue
            for place, key in enumerate(keys):
                yield "; " if place else "(", None
                yield self._cited[key].label + self.letter(self._cited[key]), self._cited[key]
            yield ")", None

    def _cite(self, works: Iterable[Reference]) -> str:
        """Marks for works, with a space before them; nothing for none."""
        found = {work.key: work for work in works}
        for key, work in found.items():
            self._cited.setdefault(key, work)
        return f" [{'; '.join(f'@{key}' for key in found)}]" if found else ""

    def _by_key(self, keys: Iterable[str]) -> str:
        return self._cite(entries()[key] for key in keys)

    def _training(self) -> Iterator[str]:
        record, rules = self.record, self.record.models("rule")
        trainings = {name: records for name, records in record.trainings.items() if name in rules}
        if not trainings:
            return
        every = [training for records in trainings.values() for training in records]
        named = [f"{shown(rule)} ({RULES[rule].short}){self._cite(cited(RULES[rule].reference))}" for rule in rules]
        network = f"Networks of one architecture ({settings(record.spec.network)})" if record.spec else "Networks"
        dataset = "; ".join(
            f"{_plain(name)}{self._by_key(_OF_DATASET.get(str(name), ()))}" for name in _distinct(every, "dataset")
        )
        yield f"{network} were trained on {dataset} under {_count(len(rules), 'learning rule')}: {_listed(named)}."
        yield f"Their families are those of a review of the field{self._by_key(['lillicrap2020'])}."
        epochs = _said(every, "epochs")
        optimizer = _said(every, "optimizer") + self._by_key(
            key for name in _distinct(every, "optimizer") for key in _OF_OPTIMIZER.get(str(name), ())
        )
        yield (
            f"Each saw {_said(every, 'train_items')} training items for {epochs} epoch{'' if epochs == '1' else 's'} in "
            f"batches of {_said(every, 'batch_size')}; {optimizer} minimised {_said(every, 'loss')} at learning rates of "
            f"{_rates(trainings)}."
        )
        special = {rule: _distinct(records, "rule_settings") for rule, records in trainings.items()}
        told = [f"{shown(rule)}: {_plain(v)}" for rule, values in special.items() for v in values if v]
        yield f"Settings of rules: {'; '.join(told)}." if told else ""
        seeds = sorted({int(seed) for seed in record.table["seed"].dropna()})
        yield (
            f"There were {_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))}). A seed sets the initial weights, what "
            "a rule draws, and the order of the data, so that networks of one seed differ by their rule alone."
        )

    def _controls(self) -> Iterator[str]:
        names = self.record.models("control")
        told = [f"{shown(n)} ({CONTROLS[n].description}){self._by_key(_OF_CONTROL.get(n, ()))}" for n in names]
        yield f"Controls were {_listed(told)}." if told else ""
        regions = self.record.models("region")
        yield f"Brain regions that served as models of others: {_listed(regions)}." if regions else ""

    def _benchmarks(self) -> Iterator[str]:
        told: dict[str, str] = {}
        for score in self.record.scores:
            data = score["provenance"]["benchmark"]
            works = cited(data["citation"])
            source = self._cite(works) or f" ({data['citation']})"
            told.setdefault(
                score["benchmark"],
                f"{score['benchmark']}{source} has {score['n_stimuli']} stimuli and "
                f"{_count(score['n_units'], self.record.units_of(score['benchmark']))}.",
            )
        yield from told.values()
        if self.record.only_simulated:
            yield "All of these data are simulated; scores on them say nothing about brains."

    def _scores(self) -> Iterator[str]:
        by_metric: dict[str, list[Mapping[str, Any]]] = {}
        for score in self.record.scores:
            by_metric.setdefault(score["metric"], []).append(score)
        for metric, scores in by_metric.items():
            first = scores[0]
            keys = _OF_METRIC.get(metric) or _OF_METRIC.get(metric.split("_")[0], ())
            label = first.get("label") or metric_label(metric)
            told = [f"{shown(metric)}: {label}{self._by_key(keys)}; {protocol(first['provenance']['metric'])}."]
            ceilings = {s["benchmark"]: s for s in scores}.values()
            found = [f"{s['benchmark']} {_ceiling(s)}" for s in ceilings]
            nili = self._by_key(["nili2014"]) if any("Nili" in s["ceiling_method"] for s in ceilings) else ""
            told += [f"Normalized by {shown(first['formula'])}.", f"Noise ceilings{nili}: {'; '.join(found)}."]
            yield " ".join(told)

    def _inference(self) -> Iterator[str]:
        yield (
            "Seeds are a random factor. Means and 95 % Student's t intervals are over seeds, and no interval is given for "
            f"fewer than {MIN_SEEDS}. Where one layer stands for a network, it is the one with the highest mean score among "
            "the networks of the other seeds, so that a network's own luck does not choose its layer; the stimuli are the "
            "same, so what is special to them still may."
        )
        yield (
            "Contrasts are paired within seeds: mean difference, its t interval, a two-sided p from flipping the signs of "
            "the differences, q (p adjusted for false discoveries over all contrasts "
            f"shown{self._by_key(['benjamini1995'])}), and the effect size d: mean over standard "
            "deviation of the differences, corrected for small "
            f"samples{self._by_key(['hedges1981'])}."
        )
        yield "Stimuli and subjects were not resampled: intervals do not speak for other stimuli or subjects."

    def _representations(self) -> Iterator[str]:
        if self._geometries:
            yield (
                "RDMs shown hold 1 - Pearson r over features or neuroids, or the dissimilarities as published, averaged "
                "over subjects. Stimuli and RDMs were placed in the plane by classical "
                f"scaling{self._by_key(['torgerson1952'])}: stimuli by their dissimilarities as squared distances, RDMs by "
                "the distance of their standardised ranks."
            )

    def _software(self) -> Iterator[str]:
        found: dict[str, list[str]] = {}
        for provenance in self.record.provenances:
            for name, version in provenance["versions"].items():
                if version not in found.setdefault(name, []):
                    found[name].append(version)
        told = [f"{name} {' and '.join(vs)}{self._by_key(_OF_PACKAGE.get(name, ()))}" for name, vs in found.items()]
        yield f"Made with {_listed(told)}." if told else ""
        mixed = [name for name, versions in found.items() if len(versions) > 1]
        yield f"Scores of one study were made with several versions of {_listed(mixed)}." if mixed else ""


def settings(values: Mapping[str, Any]) -> str:
    """A network's or a rule's settings in words."""
    named = dict(values)
    kind = str(named.pop("architecture", ""))
    return "; ".join(filter(None, [kind, *(f"{shown(key)} {_plain(value)}" for key, value in named.items())]))


def protocol(metric: Mapping[str, Any]) -> str:
    """How a metric works, of what its provenance says."""
    parts = []
    if "distance" in metric:
        parts.append(f"RDMs of layers by {shown(str(metric['distance']))}")
    if "comparison" in metric:
        whom = "the mean RDM over subjects" if metric.get("group") else "the RDM of each subject, then averaged"
        parts.append(f"compared with {whom}")
    if "predictor" in metric:
        parts.append(f"predictions by {_kind(metric['predictor'])}")
    splits = metric.get("splits")
    if isinstance(splits, Mapping):
        held = f", {100 * splits['test_size']:.0f} % of stimuli held out" if "test_size" in splits else ""
        number = f"{splits['n_splits']} " if "n_splits" in splits else ""
        seed = f", seed {splits['seed']}" if "seed" in splits else ""
        parts.append(f"{number}{str(splits.get('kind', '')).lower()} splits{held}{seed}")
    return "; ".join(parts) or f"settings as in the provenance ({metric.get('kind', 'unknown')})"


def _ceiling(score: Mapping[str, Any]) -> str:
    ends = band(score["ceiling_lower"], score["ceiling_upper"])
    return f"{'none' if ends == NOTHING else ends} ({score['ceiling_method']})"


def _kind(part: Any) -> str:
    if not isinstance(part, Mapping):
        return shown(str(part))
    items = [(k, v) for k, v in part.items() if k not in ("kind", "needs_features", "penalties") and v is not False]
    told = [shown(k) if v is True else f"{shown(k)} {_plain(v)}" for k, v in items]
    penalties = part.get("penalties")
    if isinstance(penalties, Sequence) and penalties:
        told.insert(0, f"{len(penalties)} penalties from {min(penalties):g} to {max(penalties):g}")
    return f"{part.get('kind', '')}{f' ({_listed(told)})' if told else ''}"


def _rates(trainings: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    by_rate: dict[str, list[str]] = {}
    for rule, records in trainings.items():
        by_rate.setdefault(" and ".join(f"{rate:g}" for rate in _distinct(records, "learning_rate")), []).append(rule)
    if len(by_rate) == 1:
        return next(iter(by_rate))
    return _listed([f"{rate} ({_listed([shown(rule) for rule in rules])})" for rate, rules in by_rate.items()])


def _distinct(records: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """The values of a key, each once, in order of first appearance."""
    found: dict[str, Any] = {json.dumps(r[key], sort_keys=True): r[key] for r in records if key in r}
    return list(found.values())


def _said(records: Iterable[Mapping[str, Any]], key: str) -> str:
    return " or ".join(map(_plain, _distinct(records, key))) or "an unknown number of"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(str(key))} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else shown(str(value))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _listed(items: Sequence[str]) -> str:
    return " and ".join(items) if len(items) < 3 else f"{', '.join(items[:-1])} and {items[-1]}"
