"""The figure of one measured metric over time; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.canvas import (
    Figure,
    axis,
    band,
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
from driftline.dashboard.metric_frames import KindView, MetricHistory
from driftline.dashboard.theme import CLEAR, GREY, HARD, REFERENCE, WINDOW
from driftline.dashboard.wording import number, percent, plural, span
from driftline.monitors.results.metric import MetricResult

WINDOW_GROUND = "rgba(213,94,0,0.20)"
REFERENCE_GROUND = "rgba(0,114,178,0.16)"


def metric_figure(view: KindView) -> Figure:
    """Draw one metric over all windows: values with 95 % intervals over the reference's band.

    The bound is drawn as steps, since it follows the number of rows; windows in violation are
    triangles. Below, where labels are needed, the share of each window's rows that has one. An
    unseen column over each window carries its address, for the click.
    """
    history, labels, runs = view.history, view.labels, view.monitor.runs
    assert history is not None
    times = [middle(run) for run in runs]
    low = 0.34 if labels is not None else 0.0
    drawn = layout(margin={"l": 58, "r": 12, "t": 8, "b": 38}, bargap=0.25)
    drawn["xaxis"] = axis(
        anchor="y2" if labels is not None else "y", type="date", showgrid=False, **extent(runs)
    )
    drawn["yaxis"] = axis(domain=[low, 1.0], range=_range(history), nticks=6)
    data = [*_spans(times, history), *_marks(times, history)]
    if labels is not None:
        data.append(_labels(times, view))
        title = {"text": "labelled"}
        drawn["yaxis2"] = axis(
            domain=[0.0, 0.22], range=[0, 104], nticks=3, ticksuffix=" %", title=title
        )
    drawn["yaxis3"] = axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False)
    drawn["shapes"] = [
        *_reference(history.line),
        *selection(runs, view.run.stamp if view.run else None),
    ]
    name = view.monitor.name
    links = [monitor_link(name, window=run.stamp, keep=view.kept) for run in runs]
    stories = [_story(view, run, index) for index, run in enumerate(runs)]
    data.append(columns(runs, links, stories, "y3"))
    return {"data": data, "layout": drawn}


def metric_height(view: KindView) -> int:
    """Give the height in pixels at which the figure of a metric over time can be read."""
    return 310 if view.labels is not None else 230


def _range(history: MetricHistory) -> list[float]:
    """Choose the range: all values, reference and bounds; intervals as far as they are not wild."""
    line = history.line
    firm = [*history.value, *history.bound, *(
        end for end in (line.reference, line.reference_low, line.reference_high) if end is not None
    )]  # fmt: skip
    known = np.array([value for value in firm if np.isfinite(value)])
    if not known.size:
        return [0.0, 1.0]
    low, high = float(known.min()), float(known.max())
    room = high - low or abs(high) or 1.0
    wide = [end for end in (*history.low, *history.high) if np.isfinite(end)]
    low = min(low, max([min(wide, default=low), low - room]))
    high = max(high, min([max(wide, default=high), high + room]))
    return [low - 0.06 * room, high + 0.06 * room]


def _reference(line: MetricResult) -> list[Figure]:
    found: list[Figure] = []
    low, high = _finite(line.reference_low), _finite(line.reference_high)
    if low is not None and high is not None:
        found.append(band(low, high, REFERENCE_GROUND))
    value = _finite(line.reference)
    if value is not None:
        found.append(level(value, colour=REFERENCE, dash="solid"))
    return found


def _spans(times: Sequence[str], history: MetricHistory) -> list[Figure]:
    """Shade the 95 % intervals between windows, and draw the bound as steps."""
    edge: Figure = {"type": "scatter", "mode": "lines", "x": list(times), "hoverinfo": "skip",
                    "line": {"width": 0}, "connectgaps": False}  # fmt: skip
    spans: list[Figure] = []
    known = np.isfinite(history.low) & np.isfinite(history.high)
    # A fill runs over gaps, so each stretch of windows with intervals is one of its own.
    for start, stop in _stretches(known):
        part = slice(start, stop)
        spans.append({**edge, "x": list(times[part]), "y": history.low[part]})
        spans.append(
            {
                **edge,
                "x": list(times[part]),
                "y": history.high[part],
                "fill": "tonexty",
                "fillcolor": WINDOW_GROUND,
            }
        )
    steps: Figure = {
        **edge,
        "name": "bound",
        "y": history.bound,
        "line": {"width": 1, "color": GREY, "dash": "dash", "shape": "hvh"},
    }
    return [*spans, steps]


def _stretches(known: np.ndarray) -> list[tuple[int, int]]:
    """Give the runs of True in a boolean array, as half-open ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _marks(times: Sequence[str], history: MetricHistory) -> list[Figure]:
    known = np.isfinite(history.value)
    line: Figure = {
        "type": "scatter",
        "mode": "lines",
        "x": list(times),
        "y": history.value,
        "line": {"width": 1, "color": WINDOW},
        "hoverinfo": "skip",
    }
    kept = _points(times, history, known & ~history.violated, "diamond", WINDOW, 7)
    return [line, kept, _points(times, history, known & history.violated, "triangle-up", HARD, 11)]


def _points(
    times: Sequence[str], history: MetricHistory, chosen: np.ndarray, symbol: str, colour: str,
    size: int,
) -> Figure:  # fmt: skip
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [time for time, shown in zip(times, chosen, strict=True) if shown],
        "y": history.value[chosen],
        "error_y": interval(
            np.where(np.isfinite(history.low), history.low, history.value)[chosen],
            np.where(np.isfinite(history.high), history.high, history.value)[chosen],
            history.value[chosen],
            colour,
        ),
        "marker": {"symbol": symbol, "size": size, "color": colour},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _labels(times: Sequence[str], view: KindView) -> Figure:
    """Draw the share of rows with a label; a window that waits for more is hollow."""
    assert view.labels is not None
    share = 100 * view.labels.share
    waits = np.array([run.state == "unlabelled" for run in view.monitor.runs])
    return {
        "type": "bar",
        "x": list(times),
        "y": share,
        "yaxis": "y2",
        "width": [750 * (run.end - run.start).total_seconds() for run in view.monitor.runs],
        "marker": {
            "color": [CLEAR if wait else GREY for wait in waits],
            "line": {"width": 1, "color": GREY},
        },
        "hoverinfo": "skip",
    }


def _story(view: KindView, run: WindowRun, index: int) -> str:
    """Say in a hover what a window measured."""
    history = view.history
    assert history is not None
    lines = [f"<b>{span(run)}</b>"]
    value = float(history.value[index])
    if math.isfinite(value):
        ends = ""
        if math.isfinite(history.low[index]):
            low, high = float(history.low[index]), float(history.high[index])
            ends = f" ({number(low)} to {number(high)})"
        lines.append(f"{safe(history.line.key)} {number(value)}{ends}")
    elif run.failure:
        lines.append(short(run.failure, 80))
    else:
        lines.append("no value")
    if view.labels is not None and math.isfinite(view.labels.share[index]):
        lines.append(f"{percent(float(view.labels.share[index]))} of rows have a label")
    if run.violation_count:
        lines.append(plural(run.violation_count, "violation"))
    return "<br>".join(lines)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
