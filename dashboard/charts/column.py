"""The figure of one column over all windows: distance, missing values, what it holds; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import column_link
from driftline.dashboard.charts.canvas import (
    Figure,
    axis,
    band,
    columns,
    extent,
    layout,
    level,
    middle,
    selection,
    short,
)
from driftline.dashboard.charts.theme import GREY, HARD, REFERENCE, WINDOW
from driftline.dashboard.queries.metric_views import ColumnHistory, ColumnView, ReferenceSummary
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import number, percent, span

SPAN_GROUND = "rgba(125,136,148,0.22)"
REFERENCE_GROUND = "rgba(0,114,178,0.16)"
PANEL_PX = 130

FLOOR = 0.05
"""Ratios below a twentieth of the bound are drawn there: they all mean "far from a violation"."""

TICKS = (0.05, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def column_figure(view: ColumnView) -> Figure:
    """Draw a column's distance against its bound, its share missing, and its mean over time.

    The third panel is there for numbers: the mean of each window in the span from its least to its
    greatest value, over the band from the 5th to the 95th percentile of the reference. An unseen
    column over each window carries its address, for the click.
    """
    assert view.history is not None
    runs, history = view.monitor.runs, view.history
    times = [middle(run) for run in runs]
    shown = _panels(view)
    drawn = layout(margin={"l": 58, "r": 12, "t": 8, "b": 38})
    data: list[Figure] = []
    shapes = selection(runs, view.detail.run.stamp if view.detail else None)
    for place, name in enumerate(shown):
        key = "y" if place == 0 else f"y{place + 1}"
        traces, marks, scale = _PANELS[name](view, times, key)
        data += traces
        shapes += marks
        drawn[f"yaxis{key[1:]}"] = axis(domain=_domain(place, len(shown)), nticks=4, **scale)
    top = f"y{len(shown) + 1}"
    drawn[f"yaxis{top[1:]}"] = axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False)
    last = "y" if len(shown) == 1 else f"y{len(shown)}"
    drawn["xaxis"] = axis(anchor=last, type="date", showgrid=False, **extent(runs))
    drawn["shapes"] = shapes
    name, column = view.monitor.name, view.column
    links = [column_link(name, column, window=run.stamp) for run in runs]
    stories = [_story(run, history, index) for index, run in enumerate(runs)]
    data.append(columns(runs, links, stories, top))
    return {"data": data, "layout": drawn}


def column_height(view: ColumnView) -> int:
    """Give the height in pixels at which each panel has room for its axis."""
    return 58 + PANEL_PX * len(_panels(view))


def _panels(view: ColumnView) -> list[str]:
    """Name the panels that have something to show."""
    history = view.history
    assert history is not None
    found = [] if np.isnan(history.distance).all() else ["distance"]
    if not _is_whole(view):
        found.append("missing")
    if not np.isnan(history.mean).all():
        found.append("mean")
    return found or ["missing"]


def _is_whole(view: ColumnView) -> bool:
    """Say whether no value was missing in any window, nor in the reference."""
    assert view.history is not None
    missing = view.history.missing
    before = view.reference.missing if view.reference else 0.0
    return bool(before == 0 and np.nanmax(missing, initial=0.0) == 0)


def _domain(place: int, count: int) -> list[float]:
    """Part the height among the panels, the first on top, with a gap between them."""
    gap = 0.07 if count > 1 else 0.0
    height = (1.0 - gap * (count - 1)) / count
    low = 1.0 - (place + 1) * height - place * gap
    return [max(0.0, low), min(1.0, low + height)]


Panel = tuple[list[Figure], list[Figure], Figure]


def _distance(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    """Draw each window's distance over its own bound, on a logarithmic axis where 1 is the bound.

    The set of values that moved most, and with it the bound, differs from window to window. While
    no bound is known, the distance stands alone.
    """
    history = view.history
    assert history is not None
    broken = history.broken
    if np.isnan(history.bound).all():
        values, title = history.distance, "distance"
        scale: Figure = {"range": [0, 1.05]}
        marks: list[Figure] = []
    else:
        values, title = np.maximum(FLOOR, history.distance / history.bound), "distance ÷ bound"
        top = max(2.0, 1.6 * float(np.nanmax(values, initial=1.0)))
        scale = {
            "type": "log",
            "range": [float(np.log10(FLOOR * 0.8)), float(np.log10(top))],
            "tickvals": list(TICKS),
            "ticktext": [f"{tick:g}×" for tick in TICKS],
        }
        marks = [level(1.0, yref=key)]
    traces = [
        _points(times, values, ~broken, "circle", GREY, 5, key),
        _points(times, values, broken, "triangle-up", HARD, 9, key),
    ]
    return traces, marks, scale | {"title": {"text": title}}


def _missing(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    history = view.history
    assert history is not None
    values = 100 * history.missing
    marks: list[Figure] = []
    most = [float(np.nanmax(values))] if not np.isnan(values).all() else []
    if view.reference is not None:
        marks.append(level(100 * view.reference.missing, yref=key, colour=REFERENCE, dash="dot"))
        most.append(100 * view.reference.missing)
    top = max([*most, 2.0]) * 1.1
    bars: Figure = {
        "type": "bar",
        "x": list(times),
        "y": values,
        "width": [750 * (run.end - run.start).total_seconds() for run in view.monitor.runs],
        "yaxis": key,
        "marker": {"color": [HARD if broken else GREY for broken in history.broken]},
        "hoverinfo": "skip",
    }
    return [bars], marks, {"range": [0, top], "ticksuffix": " %", "title": {"text": "missing"}}


def _mean(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    """Draw the mean in the span of each window's values, over the reference's band."""
    history, reference = view.history, view.reference
    assert history is not None
    marks = _reference(reference, key)
    traces = [
        *_span(times, history, key),
        _line(times, history.mean, key),
        _points(times, history.mean, ~history.broken, "diamond", WINDOW, 5, key),
        _points(times, history.mean, history.broken, "triangle-up", HARD, 9, key),
    ]
    return traces, marks, {"range": _scale(history, reference), "title": {"text": "mean"}}


_PANELS = {"distance": _distance, "missing": _missing, "mean": _mean}


def _reference(reference: ReferenceSummary | None, key: str) -> list[Figure]:
    """Shade the middle nine tenths of the reference, with its median and mean."""
    if reference is None or reference.p05 is None or reference.p95 is None:
        return []
    found = [band(reference.p05, reference.p95, REFERENCE_GROUND, yref=key)]
    for value, dash in ((reference.median, "solid"), (reference.mean, "dot")):
        if value is not None:
            found.append(level(value, yref=key, colour=REFERENCE, dash=dash))
    return found


def _scale(history: ColumnHistory, reference: ReferenceSummary | None) -> list[float]:
    """Choose the range: the means and the reference's band; a wild least or greatest is cut off."""
    known = list(history.mean[~np.isnan(history.mean)])
    if reference is not None:
        known += [value for value in (reference.p05, reference.p95) if value is not None]
    low, high = min(known), max(known)
    room = (high - low or abs(high) or 1.0) * 0.35
    ends = [np.nanmin(history.low), np.nanmax(history.high)]
    tight = 0.03 * (high - low or 1.0)
    return [max(low - room, float(ends[0]) - tight), min(high + room, float(ends[1]) + tight)]


def _span(times: Sequence[str], history: ColumnHistory, key: str) -> list[Figure]:
    """Shade what lies between the least and the greatest value of each window."""
    edge = {"type": "scatter", "mode": "lines", "x": list(times), "yaxis": key,
            "line": {"width": 0}, "hoverinfo": "skip", "connectgaps": False}  # fmt: skip
    return [
        {**edge, "y": history.low},
        {**edge, "y": history.high, "fill": "tonexty", "fillcolor": SPAN_GROUND},
    ]


def _line(times: Sequence[str], values: np.ndarray, key: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(times),
        "y": values,
        "yaxis": key,
        "line": {"width": 1, "color": WINDOW},
        "hoverinfo": "skip",
    }


def _points(
    times: Sequence[str], values: np.ndarray, chosen: np.ndarray, symbol: str, colour: str,
    size: int, key: str,
) -> Figure:  # fmt: skip
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [time for time, shown in zip(times, chosen, strict=True) if shown],
        "y": values[chosen],
        "yaxis": key,
        "marker": {"symbol": symbol, "size": size, "color": colour},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _story(run: WindowRun, history: ColumnHistory, index: int) -> str:
    """Say in a hover how the column stood in a window."""
    lines = [f"<b>{span(run)}</b>"]
    distance, bound = history.distance[index], history.bound[index]
    if not np.isnan(distance):
        against = "" if np.isnan(bound) else f" of {number(float(bound))}"
        lines.append(f"distance {number(float(distance))}{against}")
    if not np.isnan(history.missing[index]):
        lines.append(f"missing {percent(float(history.missing[index]))}")
    if not np.isnan(history.mean[index]):
        ends = f"{number(float(history.low[index]))} to {number(float(history.high[index]))}"
        lines.append(f"mean {number(float(history.mean[index]))}, {ends}")
    if history.causes[index]:
        lines.append(short(history.causes[index], 80))
    return "<br>".join(lines) if len(lines) > 1 else f"{lines[0]}<br>not measured"
