"""The figure of measured metrics, or of one column, over a monitor's windows; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from driftline.capture.windows.window import Window
from driftline.dashboard.charts import canvas
from driftline.dashboard.words import number, percent, plural, span
from driftline.monitors.executions import Execution
from driftline.monitors.report.metric_words import title_of
from driftline.monitors.results.measured import Measured
from driftline.monitors.run.series import LabelHistory, MetricHistory

WINDOW_GROUND = "rgba(213,94,0,0.20)"
LABELS_SHARE = 0.5
"""Height of the panel of labels, in heights of a metric's."""
GAP = 0.12
WHISKER = 0.002
"""Width of an interval, in widths of the axis; at most 0.08 of a window."""
WILD = 10


def history_figure(
    runs: Sequence[Execution], selected: str | None, histories: Sequence[MetricHistory],
    links: Sequence[str], labels: LabelHistory | None = None,
) -> canvas.Figure:  # fmt: skip
    """Draw metrics over all windows: values with their intervals over the reference's band.

    Each has a panel. The bound is drawn as steps, since it follows the number of rows; windows in
    violation are triangles. Below, where labels are needed, the share of labelled rows.
    """
    windows = [run.window for run in runs]
    times = list(map(canvas.middle, windows))
    whole = len(histories) + (LABELS_SHARE if labels is not None else 0)
    data: list[canvas.Figure] = []
    shapes: list[canvas.Figure] = []
    panels: list[canvas.Figure] = []
    for place, history in enumerate(histories):
        key, top = canvas.key_of(place), 1 - place / whole
        title = title_of(history.metric.name) if len(histories) > 1 else ""
        low = 0.0 if whole == place + 1 else top - (1 - GAP) / whole
        panels.append(canvas.axis(title, domain=[low, top], range=_range(history), nticks=5))
        traces = [*_spans(times, history), *_points(windows, times, history)]
        data += [one | {"yaxis": key} for one in traces]
        shapes += _reference(history.metric, key)
    if labels is not None:
        sides, key = canvas.sides_of(windows, 0.75), canvas.key_of(len(panels))
        none = np.zeros(len(runs))
        data.append(canvas.boxes(sides, none, 100 * labels.share, canvas.GREY, yaxis=key))
        lower: canvas.Figure = {"domain": [0.0, (1 - GAP) * LABELS_SHARE / whole], "nticks": 3}
        panels.append(canvas.axis("labelled", ticksuffix="%", range=[0, 104], **lower))
    stories = [_story(histories, labels, run, index) for index, run in enumerate(runs)]
    height = 58 + 140 * len(histories) + 30 * (len(histories) == 1) + 80 * (labels is not None)
    return canvas.over_windows(height, windows, selected, panels, data, links, stories, shapes)


def _range(history: MetricHistory) -> list[float]:
    """Choose the range: all values and the reference; intervals and bounds that are not wild."""
    line, bounds = history.metric, np.abs(history.bound)
    ends = (line.reference, line.reference_low, line.reference_high)
    # Of a few windows the bound of a distance is 1, which nothing breaks; it would flatten them.
    usual = np.nanmedian(bounds) if np.isfinite(bounds).any() else 0.0
    bounds = history.bound[bounds <= WILD * usual] if usual else history.bound
    firm = [*history.value, *bounds, *(end for end in ends if end is not None)]
    known = np.array([value for value in firm if np.isfinite(value)])
    if not known.size:
        return [0.0, 1.0]
    low, high = float(known.min()), float(known.max())
    room = high - low or abs(high) or 1.0
    wide = [end for end in (*history.low, *history.high) if np.isfinite(end)]
    low = min(low, max([min(wide, default=low), low - room]))
    high = max(high, min([max(wide, default=high), high + room]))
    # Of shares that are all 0 no axis goes far below it.
    return [low - (0.06 if low < 0 or high > 0 else 0.01) * room, high + 0.06 * room]


def _reference(line: Measured, key: str) -> list[canvas.Figure]:
    shapes: list[canvas.Figure] = []
    low, high = canvas.finite(line.reference_low), canvas.finite(line.reference_high)
    if low is not None and high is not None:
        shapes.append(canvas.rectangle(canvas.REFERENCE_GROUND, yref=key, y0=low, y1=high))
    if (value := canvas.finite(line.reference)) is not None:
        shapes.append(canvas.level(value, yref=key, colour=canvas.REFERENCE, dash="solid"))
    return shapes


def _spans(times: Sequence[str], history: MetricHistory) -> list[canvas.Figure]:
    """Shade the intervals between windows, and draw the bound as steps."""
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


def _points(
    windows: Sequence[Window], times: Sequence[str], history: MetricHistory
) -> list[canvas.Figure]:
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
        # Each trace is eight nodes of the document, also without a point.
        if not chosen.any() or (is_long and symbol == "diamond"):
            continue
        places, value = list(np.array(times)[chosen]), history.value[chosen]
        if not is_long:
            part = min(0.08, WHISKER * max(canvas.FEWEST_WINDOWS, len(windows)))
            sides = canvas.sides_of([windows[at] for at in np.flatnonzero(chosen).tolist()], part)
            ends = history.low[chosen], history.high[chosen]
            if np.isfinite(ends).any():
                drawn.append(canvas.whiskers(sides, value, *ends, colour))
        drawn.append(canvas.markers(places, value, symbol, colour, size))
    return drawn


def _story(
    histories: Sequence[MetricHistory], labels: LabelHistory | None, run: Execution, index: int
) -> list[str]:
    story = [f"<b>{span(run.window)}</b>"]
    for one in histories:
        value, low, high = (float(ends[index]) for ends in (one.value, one.low, one.high))
        if math.isfinite(value):
            ends = f" ({number(low)} to {number(high)})" if math.isfinite(low) else ""
            story.append(f"{canvas.safe(title_of(one.metric.name))} {number(value)}{ends}")
    if len(story) == 1:
        story.append(canvas.short(run.failure_reason, 80) if run.failure_reason else "no value")
    if labels is not None and math.isfinite(labels.share[index]):
        story.append(f"{percent(float(labels.share[index]))} of rows have a label")
    if run.violation_count:
        story.append(plural(run.violation_count, "violation"))
    return story
