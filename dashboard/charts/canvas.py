"""What all figures share: colours, axes, traces, the time axis with its windows, safe labels; pure.

The two sides of every comparison are Okabe and Ito's blue (reference) and vermilion (window),
which also differ by shape. A figure holds no text or ground colour: assets/style.css gives them by
theme. All text from data is escaped, since plotly.js reads a subset of HTML in labels.

References
----------
Okabe and Ito, Color Universal Design, 2008. WCAG 2.2, 1.4.3 and 1.4.11 for the contrasts.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from driftline.alerts.evaluation.preview import AlarmPoint, StateSpan
from driftline.capture.windows.window import Window
from driftline.dashboard.words import local

Figure = dict[str, Any]  # As plotly.js has it.
Ends = Sequence[str] | np.ndarray
Sides = tuple[Ends, Ends]
"""Where each of several things begins and ends along an axis: times, or numbers."""

REFERENCE = "#0072B2"
WINDOW = "#D55E00"
HARD = "#D55E00"
SOFT = "#B87A00"
"""Okabe and Ito's orange, darkened to 3:1 against white."""
GREY = "#7d8894"
SLOW = "#b4578e"  # As --failed-fill in assets/style.css.
FAINT = "rgba(125,136,148,0.25)"
CLEAR = "rgba(0,0,0,0)"
REFERENCE_GROUND = "rgba(0,114,178,0.16)"
SPAN_GROUND = "rgba(125,136,148,0.22)"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
LABEL_CHARACTERS = 34
MANY_WINDOWS = 120
"""Beyond so many, what is no violation is drawn as a line alone: marks would cover each other, and
each is a node of the document."""
FEWEST_WINDOWS = 4
"""The time axis has room for at least so many windows."""

DAY_MS = 86_400_000
FLOOR = 0.05
"""Ratios below a twentieth of the bound are drawn there: they all mean "far from a violation"."""


def layout(height_px: int, *margin: int, **more: object) -> Figure:
    """Start a layout with margins left, right, top, bottom: no ground of its own, no drag."""
    return {
        "height": height_px, "paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": GREY},
        "margin": dict(zip("lrtb", margin, strict=True)),
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 12}},
        "dragmode": False, "autosize": True, "showlegend": False, "hovermode": "closest",
    } | more  # fmt: skip


def axis(title: str = "", **more: object) -> Figure:
    """Start an axis: quiet lines, no zoom."""
    return {
        "fixedrange": True, "zeroline": False, "gridcolor": FAINT, "linecolor": FAINT,
        "tickfont": {"size": 11},
        "title": {"font": {"size": 11}} | ({"text": title} if title else {}),
    } | more  # fmt: skip


def row_axis(labels: Sequence[str], foot: float = 0.4) -> Figure:
    """Create an axis with one labelled row for each entry, the first on top."""
    return axis(
        autorange=False,
        range=[len(labels) - foot, -(1 - foot)],
        tickvals=np.arange(len(labels), dtype=np.float64),
        ticktext=[short(label) for label in labels],
        automargin=True,
        showgrid=False,
        ticks="",
    )


def markers(
    x: object, y: object, symbol: str, colour: object, size: int, *, edge: float = 0, **more: object
) -> Figure:
    """Draw points; ``edge`` is the width of their outline, for hollow symbols."""
    look: Figure = {"symbol": symbol, "size": size, "color": colour}
    if edge:
        look["line"] = {"width": edge, "color": colour}
    return _scatter(x, y, more, mode="markers", marker=look, cliponaxis=False)


def lines(x: object, y: object, colour: str = "", **more: object) -> Figure:
    """Draw a line through points; without a colour the unseen edge of a filled area."""
    look = {"width": 1, "color": colour} if colour else {"width": 0}
    return _scatter(x, y, more, mode="lines", line=look)


def _scatter(x: object, y: object, more: Mapping[str, object], **look: object) -> Figure:
    hover = "text" if "hovertext" in more else "skip"
    return {"type": "scatter", "x": x, "y": y, "hoverinfo": hover, **look, **more}


def boxes(
    sides: Sides, low: np.ndarray, high: np.ndarray, colour: str, *, is_across: bool = False,
    yaxis: str = "y", name: str = "",
) -> Figure:  # fmt: skip
    """Fill a box for each entry between its sides, and from low to high: upwards, or across.

    All are one node of the document; bars are two each, and so are intervals of marks.
    """
    corners = [at for a, b in zip(*sides, strict=True) for at in (a, b, b, a, None)]
    ends = np.stack([low, low, high, high, np.full(len(low), np.nan)], axis=1).ravel()
    x, y = (ends, corners) if is_across else (corners, ends)
    return lines(x, y, mode="none", fill="toself", fillcolor=colour, yaxis=yaxis, name=name)


def whiskers(
    sides: Sides, at: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, *,
    is_across: bool = False, name: str = "",
) -> Figure:  # fmt: skip
    """Draw intervals around values as thin boxes; none to an end that is not known."""
    low, high = (np.where(np.isfinite(end), end, at) for end in (low, high))
    ends = np.minimum(low, at), np.maximum(high, at)
    return boxes(sides, *ends, colour, is_across=is_across, name=name)


def sides_of(runs: Sequence[Window], part: float = 1.0) -> tuple[list[str], list[str]]:
    """Return where a part of each window begins and ends, in its middle."""
    rests = [(run.end - run.start) * (1 - part) / 2 for run in runs]
    starts = [naive(run.start + rest) for run, rest in zip(runs, rests, strict=True)]
    return starts, [naive(run.end - rest) for run, rest in zip(runs, rests, strict=True)]


def edges_of(runs: Sequence[Window]) -> list[str]:
    """Return where windows that follow each other meet, and both ends."""
    return [naive(run.start) for run in runs] + [naive(run.end) for run in runs[-1:]]


def rectangle(colour: str, **place: object) -> Figure:
    """Shade a part of a figure, across it where ``x0`` or ``y0`` is not given."""
    if "x0" not in place:
        place |= {"xref": "paper", "x0": 0, "x1": 1}
    if "y0" not in place:
        place |= {"yref": "paper", "y0": 0, "y1": 1}
    return {"type": "rect", "layer": "below", "fillcolor": colour, "line": {"width": 0}} | place


def level(value: float, *, yref: str = "y", dash: str = "dash", colour: str = GREY) -> Figure:
    """Draw a line across a panel at a value: a bound, a threshold, the reference."""
    return straight(colour, dash=dash, xref="paper", x0=0, x1=1, yref=yref, y0=value, y1=value)


def straight(colour: str = GREY, *, dash: str = "solid", **ends: object) -> Figure:
    """Draw a straight line below the marks."""
    line = {"color": colour, "width": 1, "dash": dash}
    return {"type": "line", "layer": "below", "line": line, **ends}


def naive(time: datetime) -> str:
    """Write a time for plotly.js, which has no time zones and draws it as it stands."""
    return local(time).replace(tzinfo=None).isoformat()


def middle(span: Window | AlarmPoint | StateSpan) -> str:
    """Write the middle of a window or another span, where its marks stand."""
    return naive(span.start + (span.end - span.start) / 2)


def date_axis(**more: object) -> Figure:
    """Create an axis of times, which it writes as the pages do: ``18 Nov``, the year below."""
    formats = (
        ("M1", None, "%b\n%Y"),
        (DAY_MS, None, "%-d %b\n%Y"),
        (None, DAY_MS, "%H:%M\n%-d %b"),
    )
    stops = [{"dtickrange": [low, high], "value": text} for low, high, text in formats]
    return axis(type="date", showgrid=False, tickformatstops=stops) | more


def key_of(place: int) -> str:
    """Return plotly's name of the axis of a panel, the first being 0."""
    return "y" if place == 0 else f"y{place + 1}"


def over_windows(
    height_px: int, runs: Sequence[Window], selected: str | None, panels: Sequence[Figure],
    data: Sequence[Figure], links: Sequence[str], stories: Sequence[Sequence[str]],
    shapes: Sequence[Figure] = (),
) -> Figure:  # fmt: skip
    """Lay panels below each other over a monitor's windows, the selected one shaded.

    ``panels`` are their axes, the first on top. An unseen column over each window carries its
    address, so that a click anywhere in it opens the window; ``stories`` are lines of safe HTML.
    """
    top = len(panels)
    # The unseen axis over all panels on which the columns stand.
    over = axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False)
    axes = {f"yaxis{key_of(at)[1:]}": one for at, one in enumerate([*panels, over])}
    times = date_axis(anchor=key_of(top - 1))
    if runs:  # With room before the first windows: one alone would fill the chart.
        length = runs[-1].end - runs[-1].start
        first = min(runs[0].start, runs[-1].end - FEWEST_WINDOWS * length)
        times["range"] = [naive(first - length / 2), naive(runs[-1].end + length / 2)]
    edge = {"width": 1, "color": GREY}
    ends = [(naive(run.start), naive(run.end)) for run in runs if run.stamp == selected]
    chosen = [rectangle(SPAN_GROUND, x0=start, x1=end, line=edge) for start, end in ends]
    drawn = layout(
        height_px, 66, 12, 8, 38,
        xaxis=times, shapes=[*shapes, *chosen], **axes,
    )  # fmt: skip
    said = [["<br>".join(story) for story in stories]]
    columns = unseen(edges_of(runs), [0, 1], [list(links)], said, name="windows", yaxis=key_of(top))
    return {"data": [*data, columns], "layout": drawn}


def unseen(
    x: object, y: object, links: Sequence[Sequence[str | None]], said: Sequence[Sequence[str]],
    **more: object,
) -> Figure:  # fmt: skip
    """Lay unseen cells between edges, so that a click anywhere in one follows its link."""
    return {
        "type": "heatmap", "x": x, "y": y, "z": np.zeros((len(said), len(said[0]) if said else 0)),
        "colorscale": [[0, CLEAR], [1, CLEAR]], "showscale": False, "customdata": links,
        "hovertext": said, "hoverinfo": "text", **more,
    }  # fmt: skip


def finite(value: float | None) -> float | None:
    """Return a number that can be drawn, else None."""
    return value if value is not None and math.isfinite(value) else None


def safe(text: str) -> str:
    """Escape text from data."""
    return html.escape(text, quote=False)


def short(text: str, most: int = LABEL_CHARACTERS) -> str:
    """Cut a label, then escape it for plotly."""
    return safe(text if len(text) <= most else text[: most - 1] + "…")
