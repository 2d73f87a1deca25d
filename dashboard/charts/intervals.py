"""Figures of one window by rows with intervals: values of a feature, features, groups; pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from driftline.dashboard.charts import canvas
from driftline.dashboard.words import number, percent
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.results.measured import Measured
from driftline.stats.intervals import wilson_of_each

BEYOND_GROUND = "rgba(213,94,0,0.16)"
CHOSEN_GROUND = "rgba(213,94,0,0.10)"
LANE = 0.2
"""Reference above, window below the middle of their row, so that intervals never overlap."""
FOREST_LANE = 0.17
WHISKER = 0.03
TICKS = 8
"""Of an axis of bars, more or less."""


def comparison_figure(
    comparison: Comparison, links: Sequence[str | None] | None = None
) -> canvas.Figure:
    """Draw one feature: bars are the reference, diamonds the window, with 95% intervals.

    ``links``: where a click on a bar leads.
    """
    found = comparison
    reference = (found.reference, found.reference_low, found.reference_high)
    window = (found.window, found.window_low, found.window_high)
    text = [
        f"<b>{canvas.safe(label)}</b><br>reference {percent(ref)} ({percent(a)}–{percent(b)})"
        f"<br>window {percent(now)} ({percent(c)}–{percent(d)})"
        for label, ref, a, b, now, c, d in zip(found.labels, *reference, *window, strict=True)
    ]
    most = 100 * max([*found.reference_high, *found.window_high], default=1.0)
    drawn = canvas.layout(
        60 + 25 * len(found.labels), 8, 14, 6, 40,
        bargap=0.3, barmode="overlay",
        # A diamond at 0% needs room, or it covers the label.
        xaxis=canvas.axis("share of rows", range=[-0.02 * most, 1.02 * most], ticksuffix="%"),
        yaxis=canvas.row_axis(found.labels),
        shapes=[
            canvas.rectangle(CHOSEN_GROUND, y0=float(place) - 0.5, y1=float(place) + 0.5)
            for place in np.flatnonzero(found.moved)
        ],
    )  # fmt: skip
    # Each in its lane of the row.
    places = np.arange(len(found.labels), dtype=np.float64)
    before, before_low, before_high = (100 * values for values in reference)
    now, low, high = (100 * values for values in window)
    bars: canvas.Figure = {
        "type": "bar", "orientation": "h", "name": "reference", "x": before, "y": places - LANE,
        "width": 0.36, "marker": {"color": canvas.REFERENCE, "opacity": 0.78},
        "hoverinfo": "skip",
    }  # fmt: skip
    spans = [
        canvas.whiskers(_around(middle), *side, colour, is_across=True)
        for middle, side, colour in (
            (places - LANE, (before, before_low, before_high), canvas.GREY),
            (places + LANE, (now, low, high), canvas.WINDOW),
        )
    ]
    diamonds = canvas.markers(now, places + LANE, "diamond", canvas.WINDOW, 8, name="window")
    whole = canvas.unseen(
        [-most, 2 * most], np.arange(len(places) + 1) - 0.5,
        [[link] for link in links or ()], [[words] for words in text],
    )  # fmt: skip
    return {"data": [bars, *spans, diamonds, whole], "layout": drawn}


def _around(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sides of the thin boxes of intervals, in rows or bars."""
    return places - WHISKER, places + WHISKER


def is_dense(comparison: Comparison) -> bool:
    """Whether a feature is drawn in bars of equal width: numbers, many of them.

    A set that is no stretch of numbers, such as missing values, is in none of these bars.
    """
    moved = comparison.moved.any()
    return len(comparison.borders) > 0 and bool(comparison.moved_shape.any() or not moved)


def density_figure(
    comparison: Comparison, links: Sequence[str | None] | None = None
) -> canvas.Figure:
    """Draw both sides of numbers over each other, in bars of equal width.

    The second side has its 95% intervals (Wilson). What lies beyond is in the outermost bars.
    """
    found, (first, second) = comparison, comparison.shape
    low, high = wilson_of_each(second * found.window_rows, found.window_rows).T
    borders = _border_words(found.borders)
    inner = (f"{a} to {b}" for a, b in pairwise(borders[1:-1]))
    labels = (f"below {borders[1]}", *inner, f"{borders[-2]} or above")
    # Some of the places where bars meet, evenly, and the last.
    step = max(1, (len(borders) - 1) // TICKS)
    at = [*range(0, len(borders) - 1 - step // 2, step), len(borders) - 1]
    text = [
        f"{label}<br>reference {percent(then)}<br>window {percent(now)} ({percent(a)}–{percent(b)})"
        for label, then, now, a, b in zip(labels, first, second, low, high, strict=True)
    ]
    # Bar k lies from k - 0.5 to k + 0.5.
    ends_of = np.arange(len(labels) + 1) - 0.5
    areas = [
        canvas.lines(ends_of, 100 * np.append(side, side[-1:]), name=name, fill="tozeroy",
                     line={"width": 2, "color": colour, "shape": "hv"})
        for name, side, colour in (
            ("reference", first, canvas.REFERENCE), ("window", second, canvas.WINDOW)
        )
    ]  # fmt: skip
    places, ends = np.arange(len(labels)), (100 * second, 100 * low, 100 * high)
    spans = canvas.whiskers(_around(places), *ends, canvas.WINDOW, name="window, 95%")
    drawn = canvas.layout(
        240, 52, 30, 8, 40,
        xaxis=canvas.axis(
            "the outermost bars hold all beyond", showgrid=False, automargin=True,
            range=[-0.5, len(labels) - 0.5], tickmode="array",
            tickvals=[place - 0.5 for place in at], ticktext=[borders[place] for place in at],
        ),
        yaxis=canvas.axis("share of rows", ticksuffix="%", rangemode="tozero", nticks=5),
        shapes=[
            canvas.rectangle(CHOSEN_GROUND, x0=float(place) - 0.5, x1=float(place) + 0.5)
            for place in np.flatnonzero(found.moved_shape)
        ],
    )  # fmt: skip
    most = 100 * max([*first, *second, *high], default=1.0)
    whole = canvas.unseen(ends_of, [0, 1.1 * most], [list(links or ())], [text])
    return {"data": [*areas, spans, whole], "layout": drawn}


def _border_words(borders: np.ndarray) -> list[str]:
    """Write the places where bars meet, with as many figures as tell neighbours apart."""
    widest, step = np.abs(borders).max(), np.diff(borders).min()
    figures = int(np.clip(np.ceil(np.log10(widest / step)) + 1, 3, 15))
    return [number(float(border), figures) for border in borders]


def forest_figure(rows: Sequence[Measured], labels: Sequence[str], neutral: float) -> canvas.Figure:
    """Draw one row for each metric: value with interval, the reference's, what is a violation."""
    ends = _forest_ends(rows, neutral)
    drawn = canvas.layout(
        44 + 34 * len(rows), 8, 14, 6, 30,
        xaxis=canvas.axis(range=ends, nticks=7),
        yaxis=canvas.row_axis(labels, foot=0.5),
        shapes=[
            canvas.straight(x0=neutral, x1=neutral, yref="paper", y0=0, y1=1),
            *(_beyond(row, at, ends) for at, row in enumerate(rows) if row.bound is not None),
        ],
    )  # fmt: skip
    groups: dict[str, list[tuple[int, Measured]]] = {name: [] for name in _SIDES}
    for at, row in enumerate(rows):
        if canvas.finite(row.reference) is not None:
            groups["reference"].append((at, row))
        groups["violation" if row.violated else "window"].append((at, row))
    sides = [one for name, side in groups.items() for one in _side(side, name, ends)]
    return {"data": sides, "layout": drawn}


def _forest_ends(rows: Sequence[Measured], neutral: float) -> list[float]:
    """Choose the axis: values and references; intervals and bounds up to twice as far.

    The bound of a ratio may lie hundreds of times as far away as every value.
    """
    firm = [neutral, *_known(rows, "value", "reference")]
    low, high = min(firm), max(firm)
    room = max(high - low, 0.02)
    wide = _known(rows, "low", "high", "reference_low", "reference_high", "bound")
    low = min(low, max(min(wide, default=low), low - room))
    high = max(high, min(max(wide, default=high), high + room))
    return [low - 0.06 * room, high + 0.06 * room]


def _beyond(row: Measured, place: int, ends: Sequence[float]) -> canvas.Figure:
    """Shade the side of a row's bound that is a violation; of the other side nothing is known."""
    assert row.bound is not None
    bound = min(max(row.bound, ends[0]), ends[1])
    low, high = (bound, ends[1]) if row.operator == "GreaterThanThreshold" else (ends[0], bound)
    return canvas.rectangle(BEYOND_GROUND, x0=low, x1=high, y0=place - 0.42, y1=place + 0.42)


_SIDES = {
    "reference": ("square-open", canvas.REFERENCE, 8, -FOREST_LANE, 2),
    "window": ("diamond", canvas.WINDOW, 9, FOREST_LANE, 0),
    "violation": ("triangle-up", canvas.HARD, 12, FOREST_LANE, 0),
}


def _side(
    rows: Sequence[tuple[int, Measured]], name: str, ends: Sequence[float]
) -> list[canvas.Figure]:
    """Draw the reference's or the window's values, each in its lane of the row."""
    symbol, colour, size, lane, edge = _SIDES[name]
    keys = ("value", "low", "high")
    if name == "reference":
        keys = ("reference", "reference_low", "reference_high")
    values = [[getattr(row, key) for key in keys] for _, row in rows]
    at, low, high = np.array(values, dtype=np.float64).reshape(-1, 3).T
    at = np.clip(at, ends[0], ends[1])
    places, said = np.array([place + lane for place, _ in rows]), [_story(row) for _, row in rows]
    marks = canvas.markers(at, places, symbol, colour, size, edge=edge, name=name, hovertext=said)
    return [canvas.whiskers(_around(places), at, low, high, colour, is_across=True), marks]


def _story(row: Measured) -> str:
    ends = f" ({number(row.low)} to {number(row.high)})" if row.low is not None else ""
    sides = f"reference {number(row.reference)}<br>window {number(row.value)}{ends}"
    return f"<b>{canvas.safe(row.key)}</b><br>{sides}"


def _known(rows: Sequence[Measured], *names: str) -> list[float]:
    values = (canvas.finite(getattr(row, name)) for row in rows for name in names)
    return [value for value in values if value is not None]
