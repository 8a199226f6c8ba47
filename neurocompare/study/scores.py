"""Scoring a study's models: each is probed once for all benchmarks that share its stimuli, each ceiling is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurocompare.benchmark import Benchmark
from neurocompare.cells import Cell
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS, Ceiling, Metric, OverTime, data_for
from neurocompare.model import Given, Model
from neurocompare.probe import probe
from neurocompare.representation import Representation
from neurocompare.score import Score, score_layers, undefined
from neurocompare.stimuli import StimulusSet

Layers = dict[str, Representation] | InputError


@dataclass(frozen=True)
class Scorer:
    """What the scores of all models have in common.

    Attributes:
        benchmarks: by name.
        metrics: that are asked for, by benchmark.
    """

    benchmarks: Mapping[str, Benchmark]
    metrics: Mapping[str, Iterable[str]]
    _ceilings: dict[tuple[str, str], Ceiling] = field(default_factory=dict)

    def scores(self, model: Model | Given, seed: int | None, cells: Iterable[Cell]) -> Iterator[tuple[Cell, Score]]:
        """Score a model on the benchmark and by the metric of each cell."""
        description = {**model.describe(), "seed": seed}
        probed: dict[tuple[str, bool], Layers] = {}
        for cell in cells:
            benchmark, metric = self.benchmarks[cell.benchmark], METRICS[cell.metric]
            shown = (benchmark.stimuli.fingerprint, isinstance(metric, OverTime))
            if shown not in probed:  # regions of one experiment share their stimuli
                probed[shown] = self._probed(model, benchmark.stimuli, over_time=shown[1])
            yield cell, self._scored(description, probed[shown], benchmark, metric)

    def _scored(self, description: dict[str, Any], layers: Layers, benchmark: Benchmark, metric: Metric) -> Score:
        ceiling = self._ceiling(benchmark, metric)
        try:
            if isinstance(layers, InputError):
                raise layers
            return score_layers(description, layers, benchmark, metric, ceiling)
        except InputError as reason:
            return undefined(description, benchmark, metric, str(reason), ceiling)

    def _ceiling(self, benchmark: Benchmark, metric: Metric) -> Ceiling:
        key = (benchmark.name, metric.name)
        if key not in self._ceilings:
            self._ceilings[key] = metric.ceiling(data_for(metric, benchmark.data))
        return self._ceilings[key]

    def _probed(self, model: Model | Given, stimuli: StimulusSet, *, over_time: bool) -> Layers:
        """The model's layers, or why it has none for these stimuli: some controls look for what not all stimuli have."""
        asked = (METRICS[name] for names in self.metrics.values() for name in names)
        keep = any(m.needs_features for m in asked if isinstance(m, OverTime) == over_time)
        try:
            return probe(model, stimuli, keep_features=keep, average_time=not over_time)
        except InputError as reason:
            if isinstance(model, Model):
                raise
            return reason
