"""How names and numbers look on the page, in text and in charts; a model looks as it does in ``neurocompare.plot``."""

from __future__ import annotations

import html
import math
import textwrap
from typing import Any

from markupsafe import Markup

from neurocompare.metrics import METRICS
from neurocompare.plot import style_of
from neurocompare.rules import RULES

NOTHING = "–"  # an en dash alone stands for what is not there
INK, MUTED = "#1F2328", "#59636E"
_DASHES = {"-": ("solid", ""), "--": ("dash", "5 3"), ":": ("dot", "1.5 2.5"), "-.": ("dashdot", "6 2.5 1.5 2.5")}
# Matplotlib's marker: plotly's, its size beside the others', and its outline in a box of 12 units.
_MARKS = {
    "o": ("circle", 1.0, "M6 2.4a3.6 3.6 0 1 0 .01 0z"),
    "s": ("square", 0.9, "M3 3h6v6H3z"),
    "D": ("diamond", 1.0, "M6 1.5 10.5 6 6 10.5 1.5 6z"),
    "^": ("triangle-up", 1.05, "M6 2 10 9.4H2z"),
    "v": ("triangle-down", 1.05, "M6 10 2 2.6h8z"),
    "P": ("cross", 1.05, "M4.5 2h3v2.5H10v3H7.5V10h-3V7.5H2v-3h2.5z"),
    "X": ("x", 1.0, "M2 4 4 2l2 2 2-2 2 2-2 2 2 2-2 2-2-2-2 2-2-2 2-2z"),
    "<": ("triangle-left", 1.05, "M2 6 9.4 2v8z"),
    ">": ("triangle-right", 1.05, "M10 6 2.6 2v8z"),
    ".": ("circle", 0.6, "M6 4a2 2 0 1 0 .01 0z"),
    "d": ("diamond-tall", 1.1, "M6 1l2.5 5L6 11 3.5 6z"),
    "*": ("star", 1.3, "M6 1 7.3 4.4 11 4.6 8.1 6.9 9.1 10.5 6 8.4 2.9 10.5 3.9 6.9 1 4.6 4.7 4.4z"),
    "x": ("x-thin-open", 1.0, "M2.5 2.5 9.5 9.5M9.5 2.5 2.5 9.5"),
    "_": ("line-ew-open", 1.2, "M2 6h8"),
    "|": ("line-ns-open", 1.2, "M6 2v8"),
    "+": ("cross-thin-open", 1.1, "M6 2v8M2 6h8"),
    "1": ("y-down-open", 1.2, "M6 6v4M6 6 2.5 3M6 6l3.5-3"),
    "2": ("y-up-open", 1.2, "M6 6V2M6 6 2.5 9M6 6l3.5 3"),
    "h": ("hexagon", 1.0, "M6 1.5 9.9 3.8v4.4L6 10.5 2.1 8.2V3.8z"),
    "p": ("pentagon", 1.0, "M6 1.5 10.3 4.6 8.6 9.6H3.4L1.7 4.6z"),
}  # fmt: skip
_MARKER = 7  # pixels


def shown(name: str) -> str:
    """A model or a metric as it is written."""
    return name.replace("_", " ")


def short(name: str) -> str:
    """A rule's abbreviation, any other name in full."""
    return RULES[name].short if name in RULES else shown(name)


def metric_label(metric: str) -> str:
    """What a metric's raw score is, for axes."""
    return METRICS[metric].label if metric in METRICS else metric


def number(value: float | None, digits: int = 3) -> str:
    """With a minus sign that is as wide as a plus; a dash for what is not there."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    return (text[1:] if text.startswith("-") and not text.strip("-0.") else text).replace("-", "−")


def interval(low: float, high: float, digits: int = 3) -> str:
    """Both ends in brackets, or a dash."""
    return NOTHING if math.isnan(low) else f"[{number(low, digits)}, {number(high, digits)}]"


def band(lower: float, upper: float) -> str:
    """A noise ceiling."""
    if math.isnan(lower):
        return NOTHING
    ends = number(lower), number(upper)
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def literal(text: str) -> str:
    """Text that plotly shows as it is: it would take tags for formatting."""
    return html.escape(str(text), quote=False)


def tick(name: str, width: int = 17) -> str:
    """A name as a label of an axis, in lines of ``width`` characters."""
    return "<br>".join(map(literal, textwrap.wrap(shown(name), width))) or literal(name)


def colour_of(model: str) -> str:
    """As ``plot.style_of`` has it, for the web."""
    colour = style_of(model)[0]
    return "#000000" if colour == "k" else colour


def faint(model: str, opacity: float) -> str:
    """The colour, see-through."""
    red, green, blue = (int(colour_of(model)[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def marker_of(model: str, scale: float = 1.0) -> dict[str, Any]:
    """For plotly."""
    symbol, size, _ = _MARKS[style_of(model)[1]]
    colour = colour_of(model)
    edge = {"color": colour, "width": 1.6} if "open" in symbol else {"width": 0}
    return {"symbol": symbol, "size": _MARKER * size * scale, "color": colour, "line": edge}


def line_of(model: str, width: float = 1.6) -> dict[str, Any]:
    """For plotly."""
    return {"color": colour_of(model), "dash": _DASHES[style_of(model)[2]][0], "width": width}


def swatch(model: str) -> Markup:
    """Line and marker of a model as a small drawing, for legends and tables."""
    _, mark, dash = style_of(model)
    symbol, _, outline = _MARKS[mark]
    painted = "none" if "open" in symbol else "currentColor"
    return Markup(
        '<svg class="swatch" style="color:{}" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">'
        '<path d="M1 6h26" stroke="currentColor" stroke-width="1.6" stroke-dasharray="{}"/>'
        '<path d="{}" transform="translate(8 0)" fill="{}" stroke="currentColor" stroke-width="{}"/></svg>'
    ).format(colour_of(model), _DASHES[dash][1], outline, painted, 1.6 if painted == "none" else 0)
