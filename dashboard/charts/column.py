"""The figure of one column over all windows: distance, missing values, what it holds; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import column_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.views import ColumnHistory, ColumnView, ReferenceSummary, WindowRun
from driftline.dashboard.words import number, percent, span

PANEL_PX = 130
TICKS = (0.05, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

# What is drawn in a panel, the shapes behind it, and its axis.
Panel = tuple[list[canvas.Figure], list[canvas.Figure], canvas.Figure]


def column_figure(view: ColumnView) -> canvas.Figure:
    """Draw a column's distance against its bound, its share missing, and its mean over time.

    The third panel is there for numbers: the mean of each window in the span from its least to its
    greatest value, over the band from the 5th to the 95th percentile of the reference.
    """
    history, runs = _history(view), view.shown.monitor.runs
    times = [canvas.middle(run) for run in runs]
    names = _panels(view)
    data: list[canvas.Figure] = []
    shapes: list[canvas.Figure] = []
    panels: list[canvas.Figure] = []
    for place, name in enumerate(names):
        traces, behind, scale = _PANELS[name](view, times, canvas.key_of(place))
        panels.append(scale | {"domain": _domain(place, len(names)), "nticks": 4})
        data += traces
        shapes += behind
    return canvas.over_windows(
        runs,
        view.shown.run.stamp if view.shown.run else None,
        panels,
        data,
        [column_link(view.shown.monitor.name, view.column, window=run.stamp) for run in runs],
        [_story(run, history, index) for index, run in enumerate(runs)],
        shapes,
    )


def column_height(view: ColumnView) -> int:
    """Return the height in pixels at which each panel has room for its axis."""
    return 58 + PANEL_PX * len(_panels(view))


def _history(view: ColumnView) -> ColumnHistory:
    assert view.history is not None
    return view.history


def _panels(view: ColumnView) -> list[str]:
    """Name the panels that have something to show."""
    history = _history(view)
    missing = max(view.reference.missing if view.reference else 0.0,
                  np.nanmax(history.missing, initial=0.0))  # fmt: skip
    panels = [
        name
        for name, is_there in (
            ("distance", not np.isnan(history.distance).all()),
            ("missing", missing != 0),
            ("mean", not np.isnan(history.mean).all()),
        )
        if is_there
    ]
    return panels or ["missing"]


def _domain(place: int, count: int) -> list[float]:
    """Part the height among the panels, the first on top, with a gap between them."""
    gap = 0.07 if count > 1 else 0.0
    height = (1.0 - gap * (count - 1)) / count
    low = 1.0 - (place + 1) * height - place * gap
    return [max(0.0, low), min(1.0, low + height)]


def _distance(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    """Draw each window's distance over its own bound, on a logarithmic axis where 1 is the bound.

    The set of values that moved most, and with it the bound, differs from window to window. While
    no bound is known, the distance stands alone.
    """
    history = _history(view)
    values, behind = history.distance, [canvas.level(1.0, yref=key)]
    if np.isnan(history.bound).all():
        scale, behind = canvas.axis("distance", range=[0, 1.05]), []
    else:
        values = np.maximum(canvas.FLOOR, history.distance / history.bound)
        top = max(2.0, 1.6 * float(np.nanmax(values, initial=1.0)))
        scale = canvas.ratio_axis(top, TICKS, "distance ÷ bound")
    return _points(times, values, history, key, "circle", canvas.GREY), behind, scale


def _missing(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    history = _history(view)
    values = 100 * history.missing
    shares, behind = [2.0], []
    if not np.isnan(values).all():
        shares.append(float(np.nanmax(values)))
    if view.reference is not None:
        shares.append(100 * view.reference.missing)
        behind.append(canvas.level(shares[-1], yref=key, colour=canvas.REFERENCE, dash="dot"))
    bars: canvas.Figure = {
        "type": "bar",
        "x": list(times),
        "y": values,
        "width": canvas.widths(view.shown.monitor.runs, 0.75),
        "yaxis": key,
        "marker": {"color": [canvas.HARD if broken else canvas.GREY for broken in history.broken]},
        "hoverinfo": "skip",
    }
    return [bars], behind, canvas.axis("missing", range=[0, max(shares) * 1.1], ticksuffix="%")


def _mean(view: ColumnView, times: Sequence[str], key: str) -> Panel:
    """Draw the mean in the span of each window's values, over the reference's band."""
    history, reference = _history(view), view.reference
    edge: canvas.Figure = {"yaxis": key, "connectgaps": False}
    fill: canvas.Figure = {"fill": "tonexty", "fillcolor": canvas.SPAN_GROUND}
    traces = [
        canvas.lines(list(times), history.low) | edge,
        canvas.lines(list(times), history.high) | edge | fill,
        canvas.lines(list(times), history.mean, canvas.WINDOW, yaxis=key),
        *_points(times, history.mean, history, key, "diamond", canvas.WINDOW),
    ]
    return traces, _reference(reference, key), canvas.axis("mean", range=_scale(history, reference))


_PANELS = {"distance": _distance, "missing": _missing, "mean": _mean}


def _reference(reference: ReferenceSummary | None, key: str) -> list[canvas.Figure]:
    """Shade the middle nine tenths of the reference, with its median and mean."""
    if reference is None or reference.p05 is None or reference.p95 is None:
        return []
    return [
        canvas.rectangle(canvas.REFERENCE_GROUND, yref=key, y0=reference.p05, y1=reference.p95),
        *(
            canvas.level(value, yref=key, colour=canvas.REFERENCE, dash=dash)
            for value, dash in ((reference.median, "solid"), (reference.mean, "dot"))
            if value is not None
        ),
    ]


def _scale(history: ColumnHistory, reference: ReferenceSummary | None) -> list[float]:
    """Choose the range: the means and the reference's band; a wild least or greatest is cut off."""
    firm = list(history.mean[~np.isnan(history.mean)])
    if reference is not None:
        firm += [value for value in (reference.p05, reference.p95) if value is not None]
    low, high = min(firm), max(firm)
    room = (high - low or abs(high) or 1.0) * 0.35
    tight = 0.03 * (high - low or 1.0)
    return [
        max(low - room, float(np.nanmin(history.low)) - tight),
        min(high + room, float(np.nanmax(history.high)) + tight),
    ]


def _points(
    times: Sequence[str], values: np.ndarray, history: ColumnHistory, key: str, symbol: str,
    colour: str,
) -> list[canvas.Figure]:  # fmt: skip
    """Draw the windows that keep every constraint, then those in violation."""
    groups = ((~history.broken, symbol, colour, 5), (history.broken, "triangle-up", canvas.HARD, 9))
    return [
        canvas.markers(list(np.array(times)[shown]), values[shown], look, paint, size, yaxis=key)
        for shown, look, paint, size in groups
    ]


def _story(run: WindowRun, history: ColumnHistory, index: int) -> list[str]:
    """Return the hover text of a column in a window."""
    story = [f"<b>{span(run)}</b>"]
    distance, bound, missing, mean, low, high = (
        float(values[index])
        for values in (
            history.distance, history.bound, history.missing, history.mean, history.low,
            history.high,
        )
    )  # fmt: skip
    if not np.isnan(distance):
        against = "" if np.isnan(bound) else f" of {number(bound)}"
        story.append(f"distance {number(distance)}{against}")
    if not np.isnan(missing):
        story.append(f"missing {percent(missing)}")
    if not np.isnan(mean):
        story.append(f"mean {number(mean)}, {number(low)} to {number(high)}")
    if history.causes[index]:
        story.append(canvas.short(history.causes[index], 80))
    return story if len(story) > 1 else [*story, "not measured"]
