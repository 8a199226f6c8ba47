"""Interactive charts: tables in, plotly figures out.

They show what ``neurocompare.plot`` draws on paper, and say more where the pointer is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from neurocompare.inference import over_seeds, seed_interval
from neurocompare.inference.layers import CHOSEN
from neurocompare.plot import CEILING
from neurocompare.report.style import (
    INK,
    MUTED,
    colour_of,
    faint,
    interval,
    line_of,
    literal,
    marker_of,
    metric_label,
    number,
    short,
    shown,
    tick,
)

FONT = 'Helvetica Neue, Helvetica, Arial, "Liberation Sans", sans-serif'
GRID, LINE = "#ECEEF0", "#B8BEC4"
ROW = 30  # pixels that a model takes in a chart of contrasts
_NOTE: dict[str, Any] = {"showarrow": False, "font": {"size": 10.5, "color": MUTED}}


@dataclass(frozen=True)
class Chart:
    """One figure of the page.

    Attributes:
        id: unique on the page.
        title: above it.
        note: below it, one line.
        figure: of plotly.
        benchmark, metric: what it is about.
    """

    id: str
    title: str
    note: str
    figure: go.Figure
    benchmark: str = ""
    metric: str = ""

    @property
    def json(self) -> str:
        """For plotly.js; the same figure gives the same text."""
        return str(self.figure.to_json(engine="json"))


def panels(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The part of a table for each benchmark and metric, in order of first appearance."""
    for (benchmark, metric), part in table.groupby(["benchmark", "metric"], sort=False):
        yield str(benchmark), str(metric), part


def by_layer(table: pd.DataFrame, notes: Mapping[tuple[str, str], str]) -> list[Chart]:
    """Score against layer, a chart for each benchmark and metric: means over seeds, their intervals, the ceiling.

    Args:
        table: as ``Score.table`` makes it.
        notes: what stands below a chart, by benchmark and metric.
    """
    charts = []
    for index, (benchmark, metric, part) in enumerate(panels(table)):
        figure = blank(340, metric_label(metric))
        summary = over_seeds(part).dropna(subset="mean")
        _frame(figure, part, summary[["mean", "low", "high"]].to_numpy().ravel())
        places, names = _draw_layers(figure, summary, _each_seed(part))
        figure.update_xaxes(tickvals=places, ticktext=names, tickangle=-40, showgrid=False)
        note = notes.get((benchmark, metric), "")
        charts.append(Chart(f"layers-{index}", benchmark, note, figure, benchmark, metric))
    return charts


def contrasts(found: pd.DataFrame) -> list[Chart]:
    """Each model less the reference, with 95 % intervals, a chart for each benchmark and metric.

    Args:
        found: as ``inference.contrasts`` makes it, one row per model.
    """
    charts = []
    for index, (benchmark, metric, part) in enumerate(panels(found)):
        reference, n = str(part["reference"].iloc[0]), len(part)
        figure = blank(ROW * n + 90)
        title = f"score less that of {literal(shown(reference))}"
        figure.update_xaxes(title_text=title, zeroline=True, zerolinecolor=INK, zerolinewidth=1, showgrid=True)
        for row, values in enumerate(part.to_dict("records")):
            _whisker(figure, values, n - 1 - row)
        names = [tick(name, 22) for name in part["model"]]
        figure.update_yaxes(tickvals=list(range(n))[::-1], ticktext=names, range=[-0.6, n - 0.4], showgrid=False)
        lowest = part["smallest_p"].min()
        note = f"{_counts(part['n_seeds'])}" + (f"; no p can be below {number(lowest)}" if lowest == lowest else "")
        charts.append(Chart(f"contrasts-{index}", benchmark, f"{note}.", figure, benchmark, metric))
    return charts


def against_accuracy(chosen: pd.DataFrame) -> list[Chart]:
    """Score against accuracy in the task: a small mark for each network, a large one for their mean.

    Args:
        chosen: one row per model and seed, or, of a model with one seed, one per layer.
    """
    charts = []
    for index, (benchmark, metric, part) in enumerate(panels(chosen)):
        trained = part.dropna(subset=["task_accuracy", "raw"])
        if trained.empty:
            continue
        figure = blank(320, metric_label(metric))
        _frame(figure, part, part["raw"])
        _level(figure, part[part["model"] == "untrained"])
        for model, own in trained.groupby("model", sort=False):
            _cloud(figure, str(model), own)
        figure.update_xaxes(title_text="test accuracy in the task trained on", tickformat="~%", showgrid=True)
        note = f"{_counts(trained.groupby('model')['seed'].nunique())}."
        charts.append(Chart(f"accuracy-{index}", benchmark, note, figure, benchmark, metric))
    return charts


def along_training(chosen: pd.DataFrame) -> list[Chart]:
    """Score against the steps that were taken: means over seeds with their intervals, or of one seed each layer.

    Args:
        chosen: one row per model, step and seed, or, of a model with one seed, one per layer.
    """
    charts = []
    for index, (benchmark, metric, part) in enumerate(panels(chosen)):
        figure = blank(320, metric_label(metric))
        _frame(figure, part, part["raw"])
        for (model, layer), own in part.dropna(subset="raw").groupby(["model", "layer"], sort=False):
            _course(figure, str(model), "" if layer == CHOSEN else f", {literal(str(layer))}", own)
        figure.update_xaxes(title_text="steps of training", type="log", showgrid=True, **_steps(part))
        note = f"{_counts(part.groupby('model')['seed'].nunique())}."
        charts.append(Chart(f"along-{index}", benchmark, note, figure, benchmark, metric))
    return charts


def blank(height: int, y_title: str = "") -> go.Figure:
    """A figure in the style of the page, with nothing in it.

    Args:
        height: in pixels; the width is what there is.
        y_title: of the axis.
    """
    axis: dict[str, Any] = {
        "linecolor": LINE,
        "ticks": "outside",
        "tickcolor": LINE,
        "zeroline": False,
        "automargin": True,
    }
    axis |= {"gridcolor": GRID, "title": {"font": {"size": 12}, "standoff": 6}}
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 54, "r": 12, "t": 16, "b": 12},
            "font": {"family": FONT, "size": 11.5, "color": INK},
            "showlegend": False,
            "hovermode": "closest",
            "hoverlabel": {"bgcolor": "white", "bordercolor": LINE, "font": {"color": INK, "size": 12}},
            "xaxis": {**axis},
            "yaxis": {**axis, "title": {**axis["title"], "text": literal(y_title)}, "showgrid": True},
        }
    )


def _frame(figure: go.Figure, part: pd.DataFrame, values: Iterable[float]) -> None:
    """The ceiling as a grey band over the whole width, as in every figure of the library, and room for all values and 0."""
    lower, upper = part["ceiling_lower"].iloc[0], part["ceiling_upper"].iloc[0]
    ends = [0.0, *(v for v in (*values, upper) if np.isfinite(v))]
    room = 0.06 * ((max(ends) - min(ends)) or 1.0)
    figure.update_yaxes(range=[min(ends) - room, max(ends) + room])
    if not np.isfinite(lower):
        return
    edge = {"color": CEILING, "width": 1.5 if upper - lower < 0.01 else 0}
    figure.add_shape(
        type="rect", xref="paper", x0=0, x1=1, y0=lower, y1=upper, fillcolor=CEILING, line=edge, layer="below"
    )
    figure.add_annotation(xref="paper", x=1, y=upper, text="noise ceiling", xanchor="right", yanchor="bottom", **_NOTE)


def _draw_layers(figure: go.Figure, summary: pd.DataFrame, each: dict[Any, str]) -> tuple[list[float], list[str]]:
    """Networks layer by layer, then beside them what does not have their layers; the ticks of the axis and their names."""
    lines = [(str(model), line) for model, line in summary.groupby("model", sort=False)]
    longest = max((line for _, line in lines), key=len, default=summary)
    layers = list(longest["layer"]) if len(longest) > 1 else []
    places, names = [float(place) for place in range(len(layers))], [tick(layer) for layer in layers]
    beside = len(layers) + 0.4
    for model, line in lines:
        if len(line) > 1 and set(line["layer"]) <= set(layers):
            _line(figure, model, line, [places[layers.index(layer)] for layer in line["layer"]], each, shaded=True)
            continue
        x = [beside + 0.3 * step for step in range(len(line))]
        _line(figure, model, line, x, each, shaded=False)
        places.append((x[0] + x[-1]) / 2)
        names.append(tick(short(model).rpartition(".")[2], 14))
        beside = x[-1] + 0.75
    return places, names


def _line(
    figure: go.Figure, model: str, line: pd.DataFrame, x: Sequence[float], each: dict[Any, str], *, shaded: bool
) -> None:
    texts = [
        f"<b>{literal(shown(model))}</b>, {literal(row['layer'])}<br>{number(row['mean'])} "
        f"{_interval_words(row)}<br>{each[model, row['layer']]}"
        for row in line.to_dict("records")
    ]
    sure = line["low"].notna().all()
    bars = {"array": list(line["high"] - line["mean"]), "color": colour_of(model), "thickness": 1.2, "width": 3}
    figure.add_scatter(
        x=list(x), y=list(line["mean"]), text=texts, hovertemplate="%{text}<extra></extra>", meta=model,
        mode="lines+markers", line=line_of(model), marker=marker_of(model), error_y=bars if sure and not shaded else None,
    )  # fmt: skip
    if shaded and sure:
        figure.add_scatter(
            x=[*x, *x[::-1]], y=[*line["high"], *line["low"][::-1]], fill="toself", fillcolor=faint(model, 0.1),
            mode="lines", line={"width": 0}, hoverinfo="skip", meta=model,
        )  # fmt: skip


def _whisker(figure: go.Figure, row: dict[Any, Any], place: int) -> None:
    model, value = str(row["model"]), row["difference"]
    if value != value:
        return
    text = (
        f"<b>{literal(shown(model))}</b><br>difference {number(value)} {_interval_words(row)}<br>"
        f"p {number(row['p'])}, q {number(row['q'])}, d {number(row['effect'], 1)}<br>n = {row['n_seeds']} seeds"
    )
    bars = {"type": "data", "symmetric": False, "array": [row["high"] - value], "arrayminus": [value - row["low"]]}
    bars |= {"color": colour_of(model), "thickness": 1.8, "width": 5}
    figure.add_scatter(
        x=[value], y=[place], text=[text], hovertemplate="%{text}<extra></extra>", meta=model, mode="markers",
        marker=marker_of(model, 1.25), error_x=bars if row["low"] == row["low"] else None,
    )  # fmt: skip


def _cloud(figure: go.Figure, model: str, own: pd.DataFrame) -> None:
    x, y = own["task_accuracy"].astype(float), own["raw"]
    texts = [
        f"<b>{literal(shown(model))}</b>, {_seed(row['seed'])}<br>accuracy {row['task_accuracy']:.1%}<br>"
        f"score {number(row['raw'])} ({literal(row['chosen_layer'])})"
        for row in own.to_dict("records")
    ]
    few = {**marker_of(model, 0.8), "opacity": 0.45}
    figure.add_scatter(x=list(x), y=list(y), text=texts, hovertemplate="%{text}<extra></extra>", meta=model,
                       mode="markers", marker=few)  # fmt: skip
    if own["seed"].nunique() > 1:
        text = (
            f"<b>{literal(shown(model))}</b>, mean of {len(own)}<br>accuracy {x.mean():.1%}<br>score {number(y.mean())}"
        )
        figure.add_scatter(x=[x.mean()], y=[y.mean()], text=[text], hovertemplate="%{text}<extra></extra>", meta=model,
                           mode="markers", marker=marker_of(model, 1.5),
                           error_x=_bars(model, x), error_y=_bars(model, y))  # fmt: skip


def _course(figure: go.Figure, model: str, layer: str, own: pd.DataFrame) -> None:
    steps = [(step, part["raw"], part["task_accuracy"].mean()) for step, part in own.groupby("step")]
    texts = [
        f"<b>{literal(shown(model))}</b>{layer}<br>after {step} steps, accuracy {accuracy:.1%}<br>"
        f"score {number(values.mean())}, {values.size} seed{'s' if values.size > 1 else ''}"
        for step, values, accuracy in steps
    ]
    figure.add_scatter(
        x=[step for step, _, _ in steps], y=[values.mean() for _, values, _ in steps], text=texts, meta=model,
        hovertemplate="%{text}<extra></extra>", mode="lines+markers", line=line_of(model), marker=marker_of(model),
        error_y=_bars(model, *(values for _, values, _ in steps)),
    )  # fmt: skip


def _steps(part: pd.DataFrame) -> dict[str, Any]:
    """Ticks where networks were scored, and room beside them."""
    steps = sorted(int(step) for step in part["step"].unique())
    return {"tickvals": steps, "ticktext": list(map(str, steps)),
            "range": [np.log10(steps[0] / 1.3), np.log10(steps[-1] * 1.3)]}  # fmt: skip


def _bars(model: str, *samples: pd.Series) -> dict[str, Any] | None:
    """Half of the 95 % t interval of each sample over seeds, where there are enough."""
    half = [seed_interval(values.to_numpy())[1] - values.mean() for values in samples]
    bars = {"type": "data", "array": half, "color": colour_of(model), "thickness": 1.3, "width": 0}
    return bars if np.isfinite(half).all() else None


def _level(figure: go.Figure, untrained: pd.DataFrame) -> None:
    """How well the network does before it has learned anything."""
    level = untrained["raw"].mean()
    if level == level:
        figure.add_hline(y=level, line=line_of("untrained", 1.2), layer="below")
        figure.add_annotation(xref="paper", x=0, y=level, text="untrained", xanchor="left", yanchor="bottom", **_NOTE)


def _each_seed(part: pd.DataFrame) -> dict[Any, str]:
    """What each network scored, in words."""
    words = {}
    for (model, layer), rows in part.groupby(["model", "layer"], sort=False):
        each = ", ".join(f"{_seed(seed)}: {number(raw)}" for seed, raw in zip(rows["seed"], rows["raw"], strict=True))
        words[model, layer] = "one model, no seeds" if rows["seed"].isna().all() else each
    return words


def _seed(seed: Any) -> str:
    return "no seed" if pd.isna(seed) else f"seed {seed}"


def _interval_words(row: dict[Any, Any]) -> str:
    return "" if row["low"] != row["low"] else interval(row["low"], row["high"])


def _counts(numbers: pd.Series) -> str:
    ends = sorted({int(numbers.min()), int(numbers.max())})
    return f"n = {' to '.join(map(str, ends))} seed{'s' if ends[-1] > 1 else ''} per model"
