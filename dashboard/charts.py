"""Figures as plain plotly dicts, made from frames; pure, and every number comes from the frame.

A figure holds no text or ground colour: assets/style.css gives them by theme. All text from data is
escaped, since plotly.js reads a subset of HTML in labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.canvas import (
    Figure,
    axis,
    columns,
    extent,
    interval,
    layout,
    level,
    middle,
    safe,
    selection,
    short,
)
from driftline.dashboard.frames import WindowRun
from driftline.dashboard.theme import GREY, HARD, REFERENCE, SOFT, WINDOW
from driftline.dashboard.wording import count, number, percent, plural, span
from driftline.monitors.report.comparison import Comparison

FLOOR = 0.05
"""Ratios below a twentieth of the bound are drawn there: they all mean "far from a violation"."""

BAR_PX = 25
LANE = 0.2
"""Reference above, window below the middle of their line, so that intervals never overlap."""
_TICKS = (0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def timeline_figure(
    monitor: str, runs: Sequence[WindowRun], selected: str | None, keep: str | None = None
) -> Figure:
    """Draw all windows of a monitor: greatest drift over its bound, and how many violations.

    The upper panel has a logarithmic axis, on which 1 is the bound. An unseen column over each
    window carries its address as ``customdata``, for the click; ``keep`` is the feature to keep.
    """
    known = [run for run in runs if run.ratio is not None]
    top = max([2.0, *(run.ratio * 1.6 for run in known if run.ratio is not None)])
    groups = (
        ("keeps all constraints", "circle-open", GREY, 6, _kept),
        ("violations", "diamond", SOFT, 8, _soft),
        ("violations that season cannot explain", "triangle-up", HARD, 9, _hard),
    )
    points = [
        _points([run for run in known if belongs(run)], name, symbol, colour, size)
        for name, symbol, colour, size, belongs in groups
    ]
    failed = [run for run in runs if run.state == "failed"]
    bars = [
        _bars(runs, [run.hard_count for run in runs], HARD),
        _bars(runs, [run.violation_count - run.hard_count for run in runs], SOFT),
    ]
    drawn = layout(margin={"l": 46, "r": 12, "t": 8, "b": 36})
    drawn |= {
        "barmode": "stack",
        "bargap": 0.25,
        "xaxis": axis(anchor="y2", type="date", showgrid=False, **extent(runs)),
        "yaxis": axis(
            domain=[0.36, 1.0],
            type="log",
            range=[float(np.log10(FLOOR * 0.8)), float(np.log10(top))],
            tickvals=list(_TICKS),
            ticktext=[f"{tick:g}×" for tick in _TICKS],
            title={"text": "drift ÷ bound"},
        ),
        "yaxis2": axis(
            domain=[0.0, 0.26],
            range=[0, max([2.0, *(run.violation_count * 1.1 for run in runs)])],
            nticks=3,
            title={"text": "violations"},
        ),
        "yaxis3": axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False),
        "shapes": [level(1), *selection(runs, selected)],
    }
    links = [monitor_link(monitor, window=run.stamp, keep=keep) for run in runs]
    opening = columns(runs, links, [_story(run) for run in runs], "y3")
    return {"data": [*points, _failures(failed), *bars, opening], "layout": drawn}


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw one feature: bars are the reference, diamonds the window, with 95 % intervals."""
    places = np.arange(len(comparison.labels), dtype=np.float64)
    labels = [short(label) for label in comparison.labels]
    reference, window = 100 * comparison.reference, 100 * comparison.window
    ends = [comparison.reference_high, comparison.window_high]
    most = 100 * max((float(end.max()) for end in ends if end.size), default=1.0)
    drawn = layout(margin={"l": 8, "r": 14, "t": 6, "b": 40})
    drawn |= {
        "bargap": 0.3,
        # A diamond at 0 % needs room, or it covers the label.
        "xaxis": axis(
            range=[-0.02 * most, 1.02 * most], ticksuffix=" %", title={"text": "share of rows"}
        ),
        "yaxis": axis(
            autorange=False,
            range=[len(labels) - 0.4, -0.6],
            tickvals=places,
            ticktext=labels,
            automargin=True,
            showgrid=False,
            ticks="",
        ),
        "shapes": [_band(float(place)) for place in places[comparison.moved]],
    }
    text = [
        f"<b>{safe(label)}</b><br>reference {percent(ref)} ({percent(a)}–{percent(b)})"
        f"<br>window {percent(now)} ({percent(c)}–{percent(d)})"
        for label, ref, a, b, now, c, d in zip(
            comparison.labels,
            comparison.reference,
            comparison.reference_low,
            comparison.reference_high,
            comparison.window,
            comparison.window_low,
            comparison.window_high,
            strict=True,
        )
    ]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "reference",
        "x": reference,
        "y": places - LANE,
        "width": 0.36,
        "marker": {"color": REFERENCE, "opacity": 0.78},
        "error_x": interval(
            100 * comparison.reference_low, 100 * comparison.reference_high, reference, GREY
        ),
        "hovertext": text,
        "hoverinfo": "text",
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "window",
        "x": window,
        "y": places + LANE,
        "marker": {"symbol": "diamond", "size": 8, "color": WINDOW, "line": {"width": 0}},
        "error_x": interval(
            100 * comparison.window_low, 100 * comparison.window_high, window, WINDOW
        ),
        "hovertext": text,
        "hoverinfo": "text",
        "cliponaxis": False,
    }
    return {"data": [bars, points], "layout": drawn}


def comparison_height(comparison: Comparison) -> int:
    """Give the height in pixels at which each bar has room for its label."""
    return 60 + BAR_PX * len(comparison.labels)


def _kept(run: WindowRun) -> bool:
    return run.state == "ok"


def _soft(run: WindowRun) -> bool:
    return run.state == "violations" and run.hard_count == 0


def _hard(run: WindowRun) -> bool:
    return run.state == "violations" and run.hard_count > 0


def _points(runs: Sequence[WindowRun], name: str, symbol: str, colour: str, size: int) -> Figure:
    """Make one group of the upper panel."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [middle(run) for run in runs],
        "y": [max(FLOOR, run.ratio or 0.0) for run in runs],
        "marker": {
            "symbol": symbol,
            "size": size,
            "color": colour,
            "line": {"width": 1.5, "color": colour},
        },
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _failures(runs: Sequence[WindowRun]) -> Figure:
    """Mark the windows that could not be judged at the foot of the upper panel."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "failed",
        "x": [middle(run) for run in runs],
        "y": [FLOOR for _ in runs],
        "marker": {
            "symbol": "x-thin",
            "size": 8,
            "color": GREY,
            "line": {"width": 2, "color": GREY},
        },
        "hoverinfo": "skip",
    }


def _bars(runs: Sequence[WindowRun], counts: Sequence[int], colour: str) -> Figure:
    """Make one layer of the lower panel."""
    return {
        "type": "bar",
        "x": [middle(run) for run in runs],
        "y": np.asarray(counts, dtype=np.int32),
        "width": [0.75 * 1_000 * (run.end - run.start).total_seconds() for run in runs],
        "yaxis": "y2",
        "marker": {"color": colour},
        "hoverinfo": "skip",
    }


def _story(run: WindowRun) -> str:
    """Say in a hover what a window found."""
    lines = [f"<b>{span(run)}</b>"]
    if run.failure:
        lines.append(short(run.failure, 80))
    else:
        lines.append(f"{count(run.row_count)} rows, {plural(run.violation_count, 'violation')}")
    if run.ratio is not None:
        lines.append(f"drift {number(run.ratio)} × its bound")
    if run.cause:
        lines.append(short(run.cause, 80))
    return "<br>".join(lines)


def _band(place: float) -> Figure:
    """Shade one bar's line: it belongs to the set that the verdict names."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": place - 0.5,
        "y1": place + 0.5,
        "layer": "below",
        "fillcolor": "rgba(213,94,0,0.10)",
        "line": {"width": 0},
    }
