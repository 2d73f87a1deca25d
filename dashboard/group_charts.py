"""Figures of one window's metrics: groups in a forest plot, features by rank; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.dashboard.canvas import Figure, axis, interval, layout, safe, short
from driftline.dashboard.theme import GREY, HARD, REFERENCE, WINDOW
from driftline.dashboard.wording import number
from driftline.monitors.results.metric import MetricResult

ALLOWED_GROUND = "rgba(0,158,115,0.13)"
ROW_PX = 34
LANE = 0.17
"""Reference above, window below the middle of their row, so that intervals never overlap."""


def forest_figure(lines: Sequence[MetricResult], labels: Sequence[str], neutral: float) -> Figure:
    """Draw one row for each metric: value with interval, the reference's, and what is allowed.

    Parameters
    ----------
    lines
        In the order of the rows, first on top; with finite values.
    labels
        Their names, as text.
    neutral
        The value at which groups are treated alike: 0 for differences, 1 for ratios.
    """
    places = np.arange(len(lines), dtype=np.float64)
    ends = _forest_ends(lines, neutral)
    drawn = layout(margin={"l": 8, "r": 14, "t": 6, "b": 30})
    drawn["xaxis"] = axis(range=ends, nticks=7)
    drawn["yaxis"] = axis(
        autorange=False,
        range=[len(lines) - 0.5, -0.5],
        tickvals=places,
        ticktext=[short(label, 34) for label in labels],
        automargin=True,
        showgrid=False,
        ticks="",
    )
    drawn["shapes"] = [
        _neutral(neutral),
        *(_allowed(line, row, ends) for row, line in enumerate(lines) if line.bound is not None),
    ]
    rows = list(enumerate(lines))
    known = [(row, line) for row, line in rows if _finite(line.reference) is not None]
    return {
        "data": [
            _side(known, "reference", ends),
            _side([entry for entry in rows if not entry[1].violated], "window", ends),
            _side([entry for entry in rows if entry[1].violated], "violation", ends),
        ],
        "layout": drawn,
    }


def forest_height(lines: Sequence[MetricResult]) -> int:
    """Give the height in pixels at which each row has room for its label."""
    return 44 + ROW_PX * len(lines)


def ranking_figure(lines: Sequence[MetricResult], names: Sequence[str]) -> Figure:
    """Draw features by their attribution: bars are the reference, diamonds the window."""
    places = np.arange(len(lines), dtype=np.float64)
    window = np.array([line.value or 0.0 for line in lines])
    reference = np.array([line.reference or 0.0 for line in lines])
    most = max([1e-12, *_known(lines, "value", "high", "reference", "reference_high")])
    drawn = layout(margin={"l": 8, "r": 14, "t": 6, "b": 30}, bargap=0.3)
    drawn["xaxis"] = axis(range=[-0.02 * most, 1.03 * most], nticks=6)
    drawn["yaxis"] = axis(
        autorange=False,
        range=[len(lines) - 0.4, -0.6],
        tickvals=places,
        ticktext=[short(name) for name in names],
        automargin=True,
        showgrid=False,
        ticks="",
    )
    text = [
        f"<b>{safe(name)}</b><br>reference {number(line.reference)}<br>window {_told(line)}"
        for name, line in zip(names, lines, strict=True)
    ]
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "name": "reference",
        "x": reference,
        "y": places - 0.2,
        "width": 0.36,
        "marker": {"color": REFERENCE, "opacity": 0.78},
        "error_x": interval(
            _array(lines, "reference_low", reference),
            _array(lines, "reference_high", reference),
            reference,
            GREY,
        ),
        "hovertext": text,
        "hoverinfo": "text",
    }
    points: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": "window",
        "x": window,
        "y": places + 0.2,
        "marker": {"symbol": "diamond", "size": 8, "color": WINDOW},
        "error_x": interval(
            _array(lines, "low", window), _array(lines, "high", window), window, WINDOW
        ),
        "hovertext": text,
        "hoverinfo": "text",
        "cliponaxis": False,
    }
    return {"data": [bars, points], "layout": drawn}


def _forest_ends(lines: Sequence[MetricResult], neutral: float) -> list[float]:
    """Choose the axis: values and references; intervals and bounds up to twice as far.

    The bound of a ratio may lie hundreds of times as far away as every value.
    """
    firm = [neutral, *_known(lines, "value", "reference")]
    low, high = min(firm), max(firm)
    room = max(high - low, 0.02)
    wide = _known(lines, "low", "high", "reference_low", "reference_high", "bound")
    low = min(low, max(min(wide, default=low), low - room))
    high = max(high, min(max(wide, default=high), high + room))
    return [low - 0.06 * room, high + 0.06 * room]


def _neutral(value: float) -> Figure:
    return {
        "type": "line",
        "yref": "paper",
        "x0": value,
        "x1": value,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": GREY, "width": 1},
    }


def _allowed(line: MetricResult, row: int, ends: Sequence[float]) -> Figure:
    """Shade the side of a row's bound that is no violation."""
    assert line.bound is not None
    bound = min(max(line.bound, ends[0]), ends[1])
    low, high = (ends[0], bound) if line.operator == "GreaterThanThreshold" else (bound, ends[1])
    return {
        "type": "rect",
        "x0": low,
        "x1": high,
        "y0": row - 0.42,
        "y1": row + 0.42,
        "layer": "below",
        "fillcolor": ALLOWED_GROUND,
        "line": {"width": 0},
    }


_SIDES = {
    "reference": ("square-open", REFERENCE, 8, -LANE),
    "window": ("diamond", WINDOW, 9, LANE),
    "violation": ("triangle-up", HARD, 12, LANE),
}


def _side(rows: Sequence[tuple[int, MetricResult]], name: str, ends: Sequence[float]) -> Figure:
    """Draw the reference's or the window's values, each in its lane of the row."""
    symbol, colour, size, lane = _SIDES[name]
    keys = (
        ("reference", "reference_low", "reference_high")
        if name == "reference"
        else ("value", "low", "high")
    )
    lines = [line for _, line in rows]
    at = np.array([min(max(getattr(line, keys[0]), ends[0]), ends[1]) for line in lines])
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": at,
        "y": [row + lane for row, _ in rows],
        "marker": {
            "symbol": symbol,
            "size": size,
            "color": colour,
            "line": {"width": 2 if name == "reference" else 0, "color": colour},
        },
        "error_x": interval(_array(lines, keys[1], at), _array(lines, keys[2], at), at, colour),
        "hovertext": [
            f"<b>{safe(line.key)}</b><br>reference {number(line.reference)}<br>window {_told(line)}"
            for line in lines
        ],
        "hoverinfo": "text",
    }


def _told(line: MetricResult) -> str:
    ends = f" ({number(line.low)} to {number(line.high)})" if line.low is not None else ""
    return f"{number(line.value)}{ends}"


def _array(lines: Sequence[MetricResult], name: str, otherwise: np.ndarray) -> np.ndarray:
    """Collect one field as an array; where it is missing or infinite, the other value stands."""
    found = [_finite(getattr(line, name)) for line in lines]
    return np.array(
        [rest if value is None else value for value, rest in zip(found, otherwise, strict=True)]
    )


def _known(lines: Sequence[MetricResult], *names: str) -> list[float]:
    found = (_finite(getattr(line, name)) for line in lines for name in names)
    return [value for value in found if value is not None]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
