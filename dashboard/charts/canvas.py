"""What all figures share: axes, ground, the time axis with its windows, safe labels; pure.

A figure holds no text or ground colour: assets/style.css gives them by theme. All text from data is
escaped, since plotly.js reads a subset of HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from driftline.dashboard.charts.theme import CLEAR, FAINT, FONT, GREY
from driftline.dashboard.queries.views import WindowRun

Figure = dict[str, object]

LABEL_CHARACTERS = 26

FEWEST_WINDOWS = 14
"""The time axis has room for at least so many windows."""


def layout(margin: dict[str, int], **given: object) -> Figure:
    """Start a layout: no ground of its own, no drag."""
    return {
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": GREY},
        "margin": margin,
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 12}},
        "dragmode": False,
        "autosize": True,
        "showlegend": False,
        "hovermode": "closest",
    } | given


def axis(**given: object) -> Figure:
    """Start an axis: quiet lines, no zoom."""
    return {
        "fixedrange": True,
        "zeroline": False,
        "gridcolor": FAINT,
        "linecolor": FAINT,
        "tickfont": {"size": 11},
        "title": {"font": {"size": 11}},
    } | {
        key: (
            {"font": {"size": 11}} | value if key == "title" and isinstance(value, dict) else value
        )
        for key, value in given.items()
    }


def naive(time: datetime) -> str:
    """Write a time for plotly.js, which has no time zones and draws it as it stands: in UTC."""
    return time.replace(tzinfo=None).isoformat()


def middle(run: WindowRun) -> str:
    """Write the middle of a window, where its marks stand."""
    return naive(run.start + (run.end - run.start) / 2)


def extent(runs: Sequence[WindowRun]) -> Figure:
    """Leave room before the first windows: one alone would fill the chart."""
    if not runs:
        return {}
    length = runs[-1].end - runs[-1].start
    first = min(runs[0].start, runs[-1].end - FEWEST_WINDOWS * length)
    return {"range": [naive(first - length / 2), naive(runs[-1].end + length / 2)]}


def columns(
    runs: Sequence[WindowRun], links: Sequence[str], stories: Sequence[str], yaxis: str
) -> Figure:
    """Lay an unseen column over each window, so that a click anywhere in it opens the window.

    ``links`` travel as ``customdata``; ``stories`` are HTML that was made safe before.
    """
    return {
        "type": "bar",
        "name": "windows",
        "x": [middle(run) for run in runs],
        "y": [1] * len(runs),
        "width": [1_000 * (run.end - run.start).total_seconds() for run in runs],
        "yaxis": yaxis,
        "marker": {"color": CLEAR, "line": {"width": 0}},
        "customdata": list(links),
        "hovertext": list(stories),
        "hoverinfo": "text",
    }


def selection(runs: Sequence[WindowRun], selected: str | None) -> list[Figure]:
    """Shade the window that the page shows."""
    return [
        {
            "type": "rect",
            "yref": "paper",
            "x0": naive(run.start),
            "x1": naive(run.end),
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "fillcolor": "rgba(125,136,148,0.22)",
            "line": {"width": 1, "color": GREY},
        }
        for run in runs
        if run.stamp == selected
    ]


def level(value: float, *, yref: str = "y", dash: str = "dash", colour: str = GREY) -> Figure:
    """Draw a line across a panel at a value: a bound, a threshold, the reference."""
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": yref,
        "y0": value,
        "y1": value,
        "layer": "below",
        "line": {"color": colour, "width": 1, "dash": dash},
    }


def band(low: float, high: float, colour: str, *, yref: str = "y") -> Figure:
    """Shade the values between two across a panel."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": yref,
        "y0": low,
        "y1": high,
        "layer": "below",
        "fillcolor": colour,
        "line": {"width": 0},
    }


def interval(low: np.ndarray, high: np.ndarray, at: np.ndarray, colour: str) -> Figure:
    """Make error bars from the ends of intervals; values and ends have one shape."""
    return {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(0.0, high - at),
        "arrayminus": np.maximum(0.0, at - low),
        "color": colour,
        "thickness": 1.5,
        "width": 0,
    }


def safe(text: str) -> str:
    """Escape text from data."""
    return html.escape(text, quote=False)


def short(text: str, most: int = LABEL_CHARACTERS) -> str:
    """Cut a label, then escape it for plotly."""
    return safe(text if len(text) <= most else text[: most - 1] + "…")
