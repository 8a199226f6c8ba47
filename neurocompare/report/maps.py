"""Charts of RDMs: two beside each other with their stimuli in the plane, and a map of all RDMs."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from neurocompare.report.charts import Chart, blank
from neurocompare.report.geometry import Geometry, classical_scaling, rank_correlations
from neurocompare.report.style import INK, line_of, literal, marker_of, number, shown, tick

# Okabe & Ito's colours, then again in other shapes.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
LINE = "#D5DAE0"
_SHAPES = ("circle", "square", "diamond", "triangle-up")
MOST_GROUPS = 12  # labels that fit along an RDM


@dataclass(frozen=True)
class Atlas:
    """What the page shows of one set of stimuli.

    Attributes:
        id: unique on the page.
        title, note: above it.
        choices: names of the RDMs to choose from, by group (the brain, each network); their place in ``payload``.
        start: which are shown at first, left and right.
        rdms, planes: a chart for either side, filled from ``payload`` on the page.
        overview: the map of all RDMs.
        payload: JSON: ranks of dissimilarities in per cent (base64 of uint8, condensed), points and captions.
        without: of layers that are not among the choices, why.
        models: whose layers there are.
    """

    id: str
    title: str
    note: str
    choices: dict[str, list[tuple[int, str]]]
    start: tuple[int, int]
    rdms: list[Chart]
    planes: list[Chart]
    overview: Chart
    payload: str
    without: Sequence[str]
    models: Sequence[str]


def atlas(geometry: Geometry, index: int) -> Atlas:
    """The charts of one set of stimuli.

    Args:
        geometry: its RDMs.
        index: makes ids unique.
    """
    names = [("brain", name) for name in geometry.brain] + list(geometry.layers)
    rdms = np.stack([*geometry.brain.values(), *geometry.layers.values()])
    choices: dict[str, list[tuple[int, str]]] = {}
    for place, (group, name) in enumerate(names):
        choices.setdefault(shown(group), []).append((place, name))
    id_, sides, planes = f"stimuli-{index}", ("left", "right"), _planes(rdms)
    overview, caption = _overview(names, rdms)
    reach = 1.1 * max(float(np.abs(points).max()) for points, _ in planes)
    return Atlas(
        id_,
        geometry.stimuli,
        _note(geometry),
        choices,
        (0, _deepest(geometry)),
        [Chart(f"{id_}-rdm-{side}", "", "", _rdm_figure(geometry)) for side in sides],
        [Chart(f"{id_}-plane-{side}", "", "", _plane_figure(geometry, reach)) for side in sides],
        Chart(f"{id_}-map", "", caption, overview),
        _payload(rdms, planes),
        geometry.without,
        list(dict.fromkeys(model for model, _ in geometry.layers)),
    )


def _note(geometry: Geometry) -> str:
    n, total = len(geometry.ids), geometry.total
    of = f"{n} stimuli" if n == total else f"{n} of {total} stimuli, taken evenly"
    return f"{of}{', sorted by label' if any(geometry.labels) else ''}."


def _deepest(geometry: Geometry) -> int:
    """The last layer but the readout of the first network; the brain again where there is no network."""
    if not geometry.layers:
        return 0
    first = next(iter(geometry.layers))[0]
    own = [place for place, (model, _) in enumerate(geometry.layers) if model == first]
    return len(geometry.brain) + own[max(len(own) - 2, 0)]


def _planes(rdms: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Stimuli in the plane for each RDM, of one size and turned towards the first; with a caption."""
    planes: list[tuple[np.ndarray, str]] = []
    for rdm in rdms:
        points, share = classical_scaling(2 * rdm)
        points /= np.linalg.norm(points) or 1.0
        turned = points @ orthogonal_procrustes(points, planes[0][0])[0] if planes else points
        planes.append((turned, f"{100 * share:.0f} % of the whole lies in this plane"))
    return planes


def _payload(rdms: np.ndarray, planes: Sequence[tuple[np.ndarray, str]]) -> str:
    ranks = np.round(100 * (rankdata(rdms, axis=1) - 1) / max(rdms.shape[1] - 1, 1)).astype(np.uint8)
    placed = [{"points": np.round(points, 4).tolist(), "caption": caption} for points, caption in planes]
    return json.dumps({"rdms": [base64.b64encode(row.tobytes()).decode() for row in ranks], "planes": placed})


def _rdm_figure(geometry: Geometry) -> go.Figure:
    names = [literal(f"{i} ({label})" if label else i) for i, label in zip(geometry.ids, geometry.labels, strict=True)]
    figure = blank(330)
    title = {"text": "percentile", "side": "right", "font": {"size": 11}}
    bar = {"title": title, "thickness": 10, "len": 0.8, "outlinewidth": 0}
    figure.add_heatmap(
        z=[[None]], zmin=0, zmax=100, colorscale="Cividis", colorbar=bar, meta=names,
        hovertemplate="%{text}<br>percentile %{z}<extra></extra>",
    )  # fmt: skip
    n, groups = len(names), _groups(geometry.labels)
    axis: dict[str, Any] = {
        "range": [-0.5, n - 0.5],
        "showgrid": False,
        "constrain": "domain",
        "ticks": "",
        "showline": False,
        "zeroline": False,
    }
    middles = [(start + stop - 1) / 2 for _, start, stop in groups]
    figure.update_xaxes(**axis, showticklabels=False, constraintoward="left")
    figure.update_yaxes(
        **{**axis, "range": [n - 0.5, -0.5]}, scaleanchor="x", constraintoward="top", tickfont={"size": 10},
        tickvals=middles, ticktext=[tick(label, 11) for label, *_ in groups],
    )  # fmt: skip
    for _, _, stop in groups[:-1]:
        for ends in ({"x0": -0.5, "x1": n - 0.5, "y0": stop - 0.5, "y1": stop - 0.5},
                     {"y0": -0.5, "y1": n - 0.5, "x0": stop - 0.5, "x1": stop - 0.5}):  # fmt: skip
            figure.add_shape(type="line", **ends, line={"color": "white", "width": 1})
    figure.update_layout(margin={"l": 12, "r": 12, "t": 8, "b": 8})
    return figure


def _groups(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Runs of one label, where there are labels and few enough: ``(label, start, stop)``."""
    found, start = [], 0
    for label, run in itertools.groupby(labels):
        stop = start + len(list(run))
        found.append((label, start, stop))
        start = stop
    return found if any(labels) and len(found) <= MOST_GROUPS else []


def _plane_figure(geometry: Geometry, reach: float) -> go.Figure:
    """Points come later; ``meta`` of a trace says which stimuli it holds."""
    figure = blank(390 if any(geometry.labels) else 300)
    for order, label in enumerate(dict.fromkeys(geometry.labels)):
        rows = [row for row, own in enumerate(geometry.labels) if own == label]
        shape, colour = divmod(order, len(_COLOURS))
        marker = {"color": _COLOURS[colour], "symbol": _SHAPES[shape % len(_SHAPES)], "size": 7, "opacity": 0.85}
        names = [literal(f"{geometry.ids[row]} ({label})" if label else geometry.ids[row]) for row in rows]
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker=marker, name=literal(label), text=names, meta=rows,
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    _bare(figure)
    figure.update_xaxes(constrain="domain", constraintoward="left", range=[-reach, reach])
    figure.update_yaxes(constrain="domain", constraintoward="top", range=[-reach, reach])
    legend = {"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "font": {"size": 10.5}, "itemclick": False}
    figure.update_layout(showlegend=any(geometry.labels), legend=legend, margin={"l": 12, "r": 12, "t": 8, "b": 8})
    return figure


def _overview(names: Sequence[tuple[str, str]], rdms: np.ndarray) -> tuple[go.Figure, str]:
    """Every RDM a point; the layers of a network are joined from input to output, regions of the brain are named."""
    figure = blank(420)
    rho = rank_correlations(rdms)
    points, share = (
        classical_scaling(squareform(2 * (1 - rho), checks=False)) if len(rdms) > 1 else (np.zeros((1, 2)), 1)
    )
    regions = [place for place, (group, _) in enumerate(names) if group == "brain"]
    for group in dict.fromkeys(group for group, _ in names):
        places = [place for place, (own, _) in enumerate(names) if own == group]
        sizes = np.linspace(5, 11, len(places)).tolist()
        look: dict[str, Any] = {"mode": "lines+markers", "line": line_of(group, 1.2)}
        look["marker"] = {**marker_of(group), "size": sizes}
        if group == "brain":
            labels = [f"<b>{literal(names[place][1])}</b>" for place in places]
            star = {"symbol": "star", "size": 15, "color": "white", "line": {"color": INK, "width": 1.6}}
            upper = points[places, 1] >= np.median(points[places, 1])  # so that names of neighbours do not meet
            right = points[places, 0] > (points[:, 0].min() + points[:, 0].max()) / 2
            sides = [
                f"{'top' if u else 'bottom'} {'left' if r else 'right'}" for u, r in zip(upper, right, strict=True)
            ]
            look = {"mode": "markers+text", "marker": star, "text": labels, "textposition": sides}
        texts = [_relations(names, rho, place, regions) for place in places]
        x, y = points[places, 0].tolist(), points[places, 1].tolist()
        figure.add_scatter(x=x, y=y, hovertext=texts, hoverinfo="text", meta=group, cliponaxis=False, **look)
    _bare(figure)
    room = 0.12 * np.ptp(points, axis=0).max() + 1e-9
    for update, column in ((figure.update_xaxes, points[:, 0]), (figure.update_yaxes, points[:, 1])):
        update(range=[float(column.min()) - room, float(column.max()) + room])
    return figure, f"{100 * share:.0f} % of the whole lies in this plane"


def _relations(names: Sequence[tuple[str, str]], rho: np.ndarray, place: int, regions: Sequence[int]) -> str:
    group, name = names[place]
    head = f"<b>{literal(name if group == 'brain' else shown(group))}</b>" + (
        "" if group == "brain" else f", {literal(name)}"
    )
    rows = [f"ρ with {literal(names[r][1])}: {number(float(rho[place, r]), 2)}" for r in regions if r != place]
    return "<br>".join([head, *rows])


def _bare(figure: go.Figure) -> None:
    """Axes without numbers, since only distances mean anything, and with one scale."""
    axis = {
        "showticklabels": False,
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "mirror": True,
        "linecolor": LINE,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis, scaleanchor="x")
    figure.update_layout(margin={"l": 12, "r": 12, "t": 12, "b": 12})
