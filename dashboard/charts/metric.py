"""The figure of one measured metric over time; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.views import KindView, MetricHistory, WindowRun
from driftline.dashboard.words import number, percent, plural, span
from driftline.monitors.results.metric import MetricResult

WINDOW_GROUND = "rgba(213,94,0,0.20)"


def metric_figure(view: KindView) -> canvas.Figure:
    """Draw one metric over all windows: values with 95% intervals over the reference's band.

    The bound is drawn as steps, since it follows the number of rows; windows in violation are
    triangles. Below, where labels are needed, the share of each window's rows that has one.
    """
    history, labels, runs = view.history, view.labels, view.monitor.runs
    assert history is not None
    times = [canvas.middle(run) for run in runs]
    data = [*_spans(times, history), *_points(times, history)]
    floor = 0.0 if labels is None else 0.34
    panels = [canvas.axis(domain=[floor, 1.0], range=_range(history), nticks=6)]
    if labels is not None:
        data.append(_labels(times, view))
        lower: canvas.Figure = {"domain": [0.0, 0.22], "range": [0, 104], "nticks": 3}
        panels.append(canvas.axis("labelled", ticksuffix="%", **lower))
    return canvas.over_windows(
        runs,
        view.run.stamp if view.run else None,
        panels,
        data,
        [monitor_link(view.monitor.name, window=run.stamp, keep=view.kept) for run in runs],
        [_story(view, history, run, index) for index, run in enumerate(runs)],
        _reference(history.metric),
    )


def metric_height(view: KindView) -> int:
    """Return the height in pixels at which the figure of a metric over time can be read."""
    return 310 if view.labels is not None else 230


def _range(history: MetricHistory) -> list[float]:
    """Choose the range: all values, reference and bounds; intervals as far as they are not wild."""
    line = history.metric
    ends = (line.reference, line.reference_low, line.reference_high)
    firm = [*history.value, *history.bound, *(end for end in ends if end is not None)]
    known = np.array([value for value in firm if np.isfinite(value)])
    if not known.size:
        return [0.0, 1.0]
    low, high = float(known.min()), float(known.max())
    room = high - low or abs(high) or 1.0
    wide = [end for end in (*history.low, *history.high) if np.isfinite(end)]
    low = min(low, max([min(wide, default=low), low - room]))
    high = max(high, min([max(wide, default=high), high + room]))
    return [low - 0.06 * room, high + 0.06 * room]


def _reference(line: MetricResult) -> list[canvas.Figure]:
    shapes: list[canvas.Figure] = []
    low, high = canvas.finite(line.reference_low), canvas.finite(line.reference_high)
    if low is not None and high is not None:
        shapes.append(canvas.rectangle(canvas.REFERENCE_GROUND, yref="y", y0=low, y1=high))
    if (value := canvas.finite(line.reference)) is not None:
        shapes.append(canvas.level(value, colour=canvas.REFERENCE, dash="solid"))
    return shapes


def _spans(times: Sequence[str], history: MetricHistory) -> list[canvas.Figure]:
    """Shade the 95% intervals between windows, and draw the bound as steps."""
    spans: list[canvas.Figure] = []
    known = np.isfinite(history.low) & np.isfinite(history.high)
    # A fill runs over gaps, so each stretch of windows with intervals is one of its own.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        part = slice(int(start), int(stop))
        fill: canvas.Figure = {"fill": "tonexty", "fillcolor": WINDOW_GROUND}
        for ends, more in ((history.low, {}), (history.high, fill)):
            spans.append(canvas.lines(list(times[part]), ends[part], connectgaps=False) | more)
    steps = {"width": 1, "color": canvas.GREY, "dash": "dash", "shape": "hvh"}
    bound = canvas.lines(list(times), history.bound, name="bound", line=steps, connectgaps=False)
    return [*spans, bound]


def _points(times: Sequence[str], history: MetricHistory) -> list[canvas.Figure]:
    """Draw the values, those in violation as triangles, and a line through all of them.

    Those worse than the reference beyond both intervals are hollow where they are no violation.
    """
    known, is_long = np.isfinite(history.value), len(times) > canvas.MANY_WINDOWS
    drawn = [canvas.lines(list(times), history.value, canvas.WINDOW)]
    for chosen, symbol, colour, size in (
        (known & ~history.violated & ~history.apart, "diamond", canvas.WINDOW, 7),
        (known & history.apart, "diamond-open", canvas.SOFT, 9),
        (known & history.violated, "triangle-up", canvas.HARD, 11),
    ):
        if is_long and symbol == "diamond":
            continue
        value = history.value[chosen]
        low, high = (
            np.where(np.isfinite(ends[chosen]), ends[chosen], value)
            for ends in (history.low, history.high)
        )
        drawn.append(
            canvas.markers(
                list(np.array(times)[chosen]), value, symbol, colour, size,
                error_y={} if is_long else canvas.interval(low, high, value, colour),
            )
        )  # fmt: skip
    return drawn


def _labels(times: Sequence[str], view: KindView) -> canvas.Figure:
    """Draw the share of rows with a label; a window that waits for more is hollow."""
    assert view.labels is not None
    if len(times) > canvas.MANY_WINDOWS:
        line = {"width": 1, "color": canvas.GREY, "shape": "hvh"}
        share = 100 * view.labels.share
        return canvas.lines(times, share, line=line, yaxis="y2", fill="tozeroy")
    colours = [
        canvas.CLEAR if run.state == "unlabelled" else canvas.GREY for run in view.monitor.runs
    ]
    return {
        "type": "bar",
        "x": list(times),
        "y": 100 * view.labels.share,
        "yaxis": "y2",
        "width": canvas.widths(view.monitor.runs, 0.75),
        "marker": {"color": colours, "line": {"width": 1, "color": canvas.GREY}},
        "hoverinfo": "skip",
    }


def _story(view: KindView, history: MetricHistory, run: WindowRun, index: int) -> list[str]:
    """Return the hover text of a measured window."""
    story = [f"<b>{span(run)}</b>"]
    value, low, high = (float(ends[index]) for ends in (history.value, history.low, history.high))
    if math.isfinite(value):
        ends = f" ({number(low)} to {number(high)})" if math.isfinite(low) else ""
        story.append(f"{canvas.safe(history.metric.key)} {number(value)}{ends}")
    else:
        story.append(canvas.short(run.failure, 80) if run.failure else "no value")
    if view.labels is not None and math.isfinite(view.labels.share[index]):
        story.append(f"{percent(float(view.labels.share[index]))} of rows have a label")
    if run.violation_count:
        story.append(plural(run.violation_count, "violation"))
    return story
