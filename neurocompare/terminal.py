"""What the command line shows: bars and notes on standard error, results on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from neurocompare.inference import over_seeds
from neurocompare.score import Score

T = TypeVar("T")
# What goes to a file or a pipe is not folded to 80 columns.
console = Console(width=None if sys.stdout.isatty() else 170)
notes = Console(stderr=True, width=None if sys.stderr.isatty() else 170)


class Bars:
    """Progress bars with the time left; ``track`` fits the library's ``Track``."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=notes)

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Show a bar while the items are gone through."""
        task = self.progress.add_task(description, total=total)
        for item in items:
            yield item
            self.progress.advance(task)
        self.progress.remove_task(task)


class _Once(logging.Filter):
    """Lets each distinct message pass once: a study probes many networks of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in self.seen
        self.seen.add(message)
        return new


def show_logs(*packages: str) -> None:
    """Show what the packages log, from level INFO."""
    handler = RichHandler(console=notes, show_time=False, show_path=False, show_level=False)
    handler.addFilter(_Once())
    for name in packages:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def show_paths(paths: Iterable[Path]) -> None:
    """A line per file written."""
    for path in paths:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)


def show_rows(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> None:
    """A plain table."""
    table = Table(*header, box=None, show_header=bool(header))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_score(score: Score) -> None:
    """A row per layer, and how the ceiling was had."""
    table, attrs = score.table(), score.data.attrs
    view = Table(title=f"{attrs['model']} on {attrs['benchmark']}, {attrs['metric']}", title_justify="left")
    numbers = ("raw", "error", "ceiling", "normalized", "effective_dimensionality")
    for column in ("layer", "raw", "± s.e.", "ceiling", attrs["formula"], "effective dimensionality", "features"):
        view.add_column(column, justify="left" if column == "layer" else "right")
    for row in table.to_dict("records"):
        view.add_row(row["layer"], *(_number(row[name], 3) for name in numbers), f"{row['n_features']:,}")
    console.print(view)
    console.print(f"ceiling: {attrs['ceiling_method']}", highlight=False)
    _show_notes(table)


def show_study(table: pd.DataFrame) -> None:
    """For each metric a row per model and layer, a column per benchmark: the mean raw score over seeds."""
    for metric, part in table.groupby("metric", sort=False):
        console.print(_metric_table(str(metric), part))
    trained = table.dropna(subset="task_accuracy").drop_duplicates(["model", "seed"])
    for model, values in trained.groupby("model", sort=False)["task_accuracy"]:
        console.print(f"test accuracy, {model}: {values.mean():.3f} (mean of {len(values)})", highlight=False)
    _show_notes(table)


def show_contrasts(found: pd.DataFrame) -> None:
    """For each benchmark and metric a row per model: its difference from the reference, and how sure that is."""
    columns = ("difference", "95 % interval", "p", "q", "effect (d)", "interval of d", "seeds")
    for (benchmark, metric), part in found.groupby(["benchmark", "metric"], sort=False):
        title = f"{benchmark}, {metric}: less {part['reference'].iloc[0]}, same seeds"
        view = Table("model", title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
        for column in columns:
            view.add_column(column, justify="right", no_wrap=True)
        for row in part.to_dict("records"):
            numbers = [_number(row[name], 3) for name in ("difference", "p", "q")]
            numbers.insert(1, _interval(row["low"], row["high"], 3))
            effect = (_number(row["effect"], 1), _interval(row["effect_low"], row["effect_high"], 1))
            view.add_row(row["model"], *numbers, *effect, str(row["n_seeds"]))
        console.print(view)
    smallest = found["smallest_p"].dropna().unique()
    if smallest.size:
        console.print(
            f"p: signs of the differences flipped, {', '.join(f'{p:.3g}' for p in sorted(smallest))} at least with so few "
            "seeds; q: p after Benjamini & Hochberg over all rows; d: differences over their standard deviation",
            highlight=False,
        )
    _show_notes(found)


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"


def _interval(low: float, high: float, digits: int) -> str:
    return "-" if pd.isna(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"


def _metric_table(metric: str, table: pd.DataFrame) -> Table:
    summary = over_seeds(table)
    benchmarks = list(dict.fromkeys(summary["benchmark"]))
    title = f"{metric}: raw score, mean over seeds ± half of the 95 % t interval"
    view = Table("model", "layer", title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for benchmark in benchmarks:
        view.add_column(benchmark.replace(".", "\n"), justify="right", no_wrap=True)
    cells = {
        (row["model"], row["layer"], row["benchmark"]): _cell(row["mean"], row["high"])
        for row in summary.to_dict("records")
    }
    for model, part in summary.groupby("model", sort=False):
        scored = part.dropna(subset="mean")
        for index, layer in enumerate(dict.fromkeys((part if scored.empty else scored)["layer"])):
            shown = str(model) if index == 0 else ""
            view.add_row(shown, layer, *(cells.get((model, layer, benchmark), "") for benchmark in benchmarks))
    ceilings = table.drop_duplicates("benchmark").set_index("benchmark")
    view.add_row("noise ceiling", "", *(_band(ceilings.loc[benchmark]) for benchmark in benchmarks))
    return view


def _cell(mean: float, high: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.3f}" if pd.isna(high) else f"{mean:.3f}±{high - mean:.3f}"


def _band(row: pd.Series) -> str:
    low, high = row["ceiling_lower"], row["ceiling_upper"]
    return "none" if pd.isna(low) else f"{low:.3f}-{high:.3f}"


def _show_notes(table: pd.DataFrame) -> None:
    for note in dict.fromkeys(filter(None, table["note"])):
        console.print(f"note: {note}", highlight=False)


def show_status(status: pd.DataFrame, worker: Mapping[str, Any] | None, seconds_left: float | None) -> None:
    """How many scores are done, running, planned and failed, for each model; who works on them; reasons of failures."""
    states = ("done", "running", "planned", "failed")
    counts = (
        status.groupby(["model", "state"], sort=False)
        .size()
        .unstack(fill_value=0)
        .reindex(columns=states, fill_value=0)
    )
    view = Table("model", *states, box=SIMPLE)
    for column in view.columns[1:]:
        column.justify = "right"
    for model, row in counts.loc[list(dict.fromkeys(status["model"]))].iterrows():
        view.add_row(str(model), *(str(n) if n else "" for n in row))
    view.add_section()
    view.add_row("all", *map(str, counts.sum()))
    console.print(view)
    if worker is not None:
        left = (
            "" if seconds_left is None else f"; about {timedelta(seconds=round(seconds_left))} left at its pace so far"
        )
        console.print(
            f"process {worker['pid']} of {worker['user']} on {worker['host']} works on it{left}", highlight=False
        )
    show_failures(status)


def show_failures(status: pd.DataFrame) -> int:
    """Each distinct reason, and which models it befell; returns how many scores failed."""
    failed = status[status["state"] == "failed"]
    for reason, part in failed.groupby("reason", sort=False):
        seeds = part[["model", "seed"]].drop_duplicates()
        names = (m if pd.isna(s) else f"{m} (seed {s})" for m, s in seeds.itertuples(index=False))
        console.print(
            f"[bold red]failed[/] {len(part)} scores of {', '.join(names)}: {escape(str(reason))}", highlight=False
        )
    return len(failed)
