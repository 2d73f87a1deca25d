"""Figures as plain plotly dicts, made from frames; pure, and every number comes from the frame.

A figure holds no text or ground colour: assets/style.css gives them by theme. All text from data is
escaped, since plotly.js reads a subset of HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.frames import Comparison, WindowRun
from driftline.dashboard.theme import CLEAR, FAINT, FONT, GREY, HARD, REFERENCE, SOFT, WINDOW
from driftline.dashboard.wording import count, number, percent, plural, span

__all__ = ["Figure", "comparison_figure", "comparison_height", "timeline_figure"]

Figure = dict[str, object]

FLOOR = 0.05
"""Ratios below a twentieth of the bound are drawn there: they all mean "far from a violation"."""

BAR_PX = 25
LANE = 0.2
"""Reference above, window below the middle of their line, so that intervals never overlap."""
LABEL_CHARACTERS = 26

FEWEST_WINDOWS = 14
"""The time axis has room for at least so many windows."""

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
    layout = _layout(margin={"l": 46, "r": 12, "t": 8, "b": 36})
    layout |= {
        "barmode": "stack",
        "bargap": 0.25,
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": _axis(anchor="y2", type="date", showgrid=False, **_extent(runs)),
        "yaxis": _axis(
            domain=[0.36, 1.0],
            type="log",
            range=[float(np.log10(FLOOR * 0.8)), float(np.log10(top))],
            tickvals=list(_TICKS),
            ticktext=[f"{tick:g}×" for tick in _TICKS],
            title={"text": "drift ÷ bound"},
        ),
        "yaxis2": _axis(
            domain=[0.0, 0.26],
            range=[0, max([2.0, *(run.violation_count * 1.1 for run in runs)])],
            nticks=3,
            title={"text": "violations"},
        ),
        "yaxis3": _axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False),
        "shapes": [_bound_line(), *_selection(runs, selected)],
    }
    columns = _columns(monitor, runs, keep)
    return {"data": [*points, _failures(failed), *bars, columns], "layout": layout}


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw one feature: bars are the reference, diamonds the window, with 95 % intervals."""
    places = np.arange(len(comparison.labels), dtype=np.float64)
    labels = [_short(label) for label in comparison.labels]
    reference, window = 100 * comparison.reference, 100 * comparison.window
    ends = [comparison.reference_high, comparison.window_high]
    most = 100 * max((float(end.max()) for end in ends if end.size), default=1.0)
    layout = _layout(margin={"l": 8, "r": 14, "t": 6, "b": 40})
    layout |= {
        "showlegend": False,
        "bargap": 0.3,
        "hovermode": "closest",
        # A diamond at 0 % needs room, or it covers the label.
        "xaxis": _axis(
            range=[-0.02 * most, 1.02 * most], ticksuffix=" %", title={"text": "share of rows"}
        ),
        "yaxis": _axis(
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
        f"<b>{_safe(label)}</b><br>reference {percent(ref)} ({percent(a)}–{percent(b)})"
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
        "error_x": _interval(comparison.reference_low, comparison.reference_high, reference, GREY),
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
        "error_x": _interval(comparison.window_low, comparison.window_high, window, WINDOW),
        "hovertext": text,
        "hoverinfo": "text",
        "cliponaxis": False,
    }
    return {"data": [bars, points], "layout": layout}


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
        "x": [_middle(run) for run in runs],
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
        "x": [_middle(run) for run in runs],
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
        "x": [_middle(run) for run in runs],
        "y": np.asarray(counts, dtype=np.int32),
        "width": [0.75 * 1_000 * (run.end - run.start).total_seconds() for run in runs],
        "yaxis": "y2",
        "marker": {"color": colour},
        "hoverinfo": "skip",
    }


def _columns(monitor: str, runs: Sequence[WindowRun], keep: str | None) -> Figure:
    """Lay an unseen column over each window, so that a click anywhere in it opens the window."""
    return {
        "type": "bar",
        "name": "windows",
        "x": [_middle(run) for run in runs],
        "y": [1] * len(runs),
        "width": [1_000 * (run.end - run.start).total_seconds() for run in runs],
        "yaxis": "y3",
        "marker": {"color": CLEAR, "line": {"width": 0}},
        "customdata": [monitor_link(monitor, window=run.stamp, keep=keep) for run in runs],
        "hovertext": [_story(run) for run in runs],
        "hoverinfo": "text",
    }


def _extent(runs: Sequence[WindowRun]) -> Figure:
    """Leave room before the first windows: one alone would fill the chart."""
    if not runs:
        return {}
    length = runs[-1].end - runs[-1].start
    first = min(runs[0].start, runs[-1].end - FEWEST_WINDOWS * length)
    ends = (first - length / 2, runs[-1].end + length / 2)
    return {"range": [end.replace(tzinfo=None).isoformat() for end in ends]}


def _story(run: WindowRun) -> str:
    """Say in a hover what a window found."""
    lines = [f"<b>{span(run)}</b>"]
    if run.failure:
        lines.append(_short(run.failure, 80))
    else:
        lines.append(f"{count(run.row_count)} rows, {plural(run.violation_count, 'violation')}")
    if run.ratio is not None:
        lines.append(f"drift {number(run.ratio)} × its bound")
    if run.cause:
        lines.append(_short(run.cause, 80))
    return "<br>".join(lines)


def _middle(run: WindowRun) -> str:
    # plotly.js has no time zones: text without an offset is drawn as it stands, which is UTC here.
    return (run.start + (run.end - run.start) / 2).replace(tzinfo=None).isoformat()


def _bound_line() -> Figure:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 1,
        "y1": 1,
        "layer": "below",
        "line": {"color": GREY, "width": 1, "dash": "dash"},
    }


def _selection(runs: Sequence[WindowRun], selected: str | None) -> list[Figure]:
    """Shade the window that the page shows."""
    return [
        {
            "type": "rect",
            "yref": "paper",
            "x0": run.start.replace(tzinfo=None).isoformat(),
            "x1": run.end.replace(tzinfo=None).isoformat(),
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "fillcolor": "rgba(125,136,148,0.22)",
            "line": {"width": 1, "color": GREY},
        }
        for run in runs
        if run.stamp == selected
    ]


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


def _interval(low: np.ndarray, high: np.ndarray, at: np.ndarray, colour: str) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(0.0, 100 * high - at),
        "arrayminus": np.maximum(0.0, at - 100 * low),
        "color": colour,
        "thickness": 1.5,
        "width": 0,
    }


def _axis(**given: object) -> Figure:
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


def _layout(margin: dict[str, int]) -> Figure:
    return {
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": GREY},
        "margin": margin,
        "hoverlabel": {"align": "left", "font": {"family": FONT, "size": 12}},
        "dragmode": False,
        "autosize": True,
    }


def _safe(text: str) -> str:
    return html.escape(text, quote=False)


def _short(text: str, most: int = LABEL_CHARACTERS) -> str:
    """Cut a label, then escape it for plotly."""
    return _safe(text if len(text) <= most else text[: most - 1] + "…")
