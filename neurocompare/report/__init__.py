"""A study's folder becomes one HTML page that needs nothing else: no network, no server, no other file.

It shows what was run, scores layer by layer with their ceilings, rules against each other with intervals, accuracy against
score, how brain and networks arrange the stimuli, every score with a link to its file, and the methods with their sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.files import write_text
from neurocompare.report.document import page
from neurocompare.report.geometry import Geometry, geometries
from neurocompare.report.record import Record, read
from neurocompare.study import Study


def write(study: Study, path: Path, *, representations: bool = True) -> Path:
    """Write the report of a study, finished or in part, to ``path``.

    Args:
        study: with at least one score.
        path: of the page; its links to scores are relative to where it lies.
        representations: probe the trained networks again for their RDMs, for which stimuli and weights must be at hand; what
            cannot be had is named on the page.
    Returns:
        ``path``.
    Raises:
        InputError: the study has no score yet, or a file of it is damaged.
    """
    record = read(study, path.parent)
    found: list[Geometry] = []
    without = [] if representations else ["it was asked for without representations"]
    if representations:
        found, without = _geometries(study)
    write_text(path, page(record, found, without))
    return path


def _geometries(study: Study) -> tuple[list[Geometry], list[str]]:
    benchmarks, reasons = [], []
    for name, loaded in _benchmarks(study):
        if isinstance(loaded, Benchmark):
            benchmarks.append(loaded)
        else:
            reasons.append(f"{name}: {loaded}")
    try:
        return geometries(study, benchmarks), reasons
    except InputError as reason:  # a damaged run, or stimuli that its networks cannot see
        return [], [*reasons, str(reason)]


def _benchmarks(study: Study) -> Iterator[tuple[str, Benchmark | InputError]]:
    """Each benchmark of a study, or why it cannot be had."""
    for name, metrics in study.spec.benchmarks.items():
        alone = Study(study.spec.model_copy(update={"benchmarks": {name: metrics}}), study.folder)
        try:
            yield name, alone.models.benchmarks[name]
        except InputError as reason:
            yield name, reason


__all__ = ["Geometry", "Record", "page", "read", "write"]
