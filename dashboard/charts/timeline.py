"""Figures of all windows: of a monitor, of an endpoint's monitors, of its columns; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode

import numpy as np

from driftline.dashboard import words as say
from driftline.dashboard.address import RANGE, monitor_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.views import Mark, MonitorLine
from driftline.monitors.executions import Execution
from driftline.monitors.run.drift_map import DriftMap

TICKS = (0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
ROW_PX = 34
SEASONAL = "violation within the seasonal range"


@dataclass(frozen=True, slots=True)
class Look:
    """How a window is drawn, and how a legend and its state's chip show the same."""

    symbol: str  # As the charts' library names it.
    colour: str
    size: int
    glyph: str
    tone: str  # Of the glyph.
    words: str


LOOKS = {
    "none": Look("line-ew", canvas.GREY, 7, "–", "faint", "not judged"),
    "failed": Look("x", canvas.GREY, 8, say.STATES["failed"][0], "faint", "failed"),
    "ok": Look("circle-open", canvas.GREY, 7, "○", "faint", "none"),
    "partly": Look(
        "circle-open-dot", canvas.GREY, 7, say.STATES["partly"][0], "faint", "none, partly judged"
    ),
    "worse": Look(
        "diamond-open", canvas.SOFT, 8, say.STATES["worse"][0], "soft-text",
        f"worse {say.WITHIN_BOUND}",
    ),
    "soft": Look("diamond", canvas.SOFT, 9, "◆", "soft-text", SEASONAL),
    "alarm": Look(
        "triangle-up", canvas.HARD, 10, say.STATES["violations"][0], "alarm-text", "violation"
    ),
}  # fmt: skip
"""Windows by how they stand, the worst last: it is drawn on top."""

QUIET = ("ok", "partly")

MAP_ROW_PX = 18
BOUND = 1.0
MOST = 2.0
"""Ratios above are drawn as this: twice the bound. The colours do not follow the data, so that a
quiet month does not look alarming."""

COLOURS = [[0.0, "#e4edf5"], [0.499, "#86b4d8"], [0.5, "#d9660f"], [1.0, "#8f3900"]]
"""Blue below the bound, vermilion from it on: Okabe and Ito's. All of what lies beyond stands out
more than all below, also where the dark theme turns lightness round."""


def timeline_figure(
    monitor: str, runs: Sequence[Execution], selected: str | None, keep: str | None = None
) -> canvas.Figure:
    """Draw all windows of a monitor: greatest drift over its bound, and how many violations.

    The upper panel has a logarithmic axis, on which 1 is the bound. ``keep`` is the feature to keep
    in the addresses of the windows.
    """
    measured = [run for run in runs if run.max_drift_ratio is not None]
    points = [
        _points([run for run in measured if _look(run) == look], look)
        for look in (*QUIET, "worse", "soft", "alarm")
    ]
    quiet = [run for run in measured if _look(run) in QUIET]
    if len(quiet) > canvas.MANY_WINDOWS:
        points[0] = canvas.lines(*_places(quiet), canvas.GREY, name="ok", connectgaps=False)
    failed = [canvas.middle(run.window) for run in runs if run.state == "failed"]
    floor = [canvas.FLOOR] * len(failed)
    crosses = canvas.markers(failed, floor, "x", canvas.GREY, 8, edge=2, name="failed")
    broken = [run for run in runs if run.violation_count]
    hard, both = (np.array([getattr(run, of) for run in broken], dtype=np.float64)
                  for of in ("page_count", "violation_count"))  # fmt: skip
    sides = canvas.sides_of([run.window for run in broken], 0.75)
    bars = [
        canvas.boxes(sides, np.zeros(len(broken)), hard, canvas.HARD, yaxis="y2"),
        canvas.boxes(sides, hard, both, canvas.SOFT, yaxis="y2"),
    ]
    most = max([2.0, *(run.violation_count * 1.1 for run in runs)])
    highest = max([2.0, *((run.max_drift_ratio or 0.0) * 1.6 for run in measured)])
    upper = canvas.axis(
        "drift ÷ bound", domain=[0.36, 1.0], type="log",
        range=[float(np.log10(canvas.FLOOR * 0.8)), float(np.log10(highest))],
        tickvals=list(TICKS), ticktext=[f"{tick:g}×" for tick in TICKS],
    )  # fmt: skip
    lower = canvas.axis("violations", domain=[0.0, 0.26], range=[0, most], nticks=3)
    links = [monitor_link(monitor, window=run.window.stamp, keep=keep) for run in runs]
    data, stories = [*points, crosses, *bars], [_story(run) for run in runs]
    level = canvas.level(1)
    return canvas.over_windows(
        250, [run.window for run in runs], selected, [upper, lower], data, links, stories, [level]
    )


def _points(runs: Sequence[Execution], look: str) -> canvas.Figure:
    drawn = LOOKS[look]
    size, places = drawn.size - 1, _places(runs)
    return canvas.markers(*places, drawn.symbol, drawn.colour, size, edge=1.5, name=look)


def _places(runs: Sequence[Execution]) -> tuple[list[str], list[float]]:
    ratios = [max(canvas.FLOOR, run.max_drift_ratio or 0.0) for run in runs]
    return [canvas.middle(run.window) for run in runs], ratios


def looks_of(runs: Iterable[Execution]) -> list[Look]:
    """Return the looks of windows, the worst first, for a legend."""
    found = {_look(run) for run in runs}
    return [look for name, look in reversed(LOOKS.items()) if name in found]


def _story(run: Execution) -> list[str]:
    story = [f"<b>{say.span(run.window)}</b>"]
    story.append(canvas.short(run.failure_reason or run.headline, 80))
    if run.max_drift_ratio is not None:
        story.append(f"drift {say.number(run.max_drift_ratio)} × its bound")
    if run.cause:
        story.append(canvas.short(run.cause, 80))
    return story


MARK_LOOKS = {"deployments": "triangle-down", "definitions": "square-open",
              "baselines": "diamond-tall-open", "silences": "circle-x-open",
              "labels": "line-ns-open"}  # fmt: skip
"""The lanes of what happened, below the monitors, with their symbols."""


def health_figure(lines: Sequence[MonitorLine], marks: Sequence[Mark] = ()) -> canvas.Figure:
    """Draw each window of each monitor as a mark, a row a monitor; baselines' changes as ticks.

    All rows begin where the first one does; one is grey before the newest windows that are drawn.
    """
    traces: list[canvas.Figure] = []
    shapes: list[canvas.Figure] = []
    last = max(line.runs[-1].window_end for line in lines)
    shortest = min(line.runs[-1].window.length for line in lines)
    starts = (line.runs[0].window_start for line in lines)
    first = min(last - canvas.FEWEST_WINDOWS * shortest, *starts)
    first = max(first, RANGE.get().start or first)
    for row, line in enumerate(lines):
        if first < line.runs[0].window_start:
            x0, x1 = canvas.naive(first), canvas.naive(line.runs[0].window_start)
            shapes.append(canvas.rectangle(canvas.FAINT, x0=x0, x1=x1, y0=row - 0.3, y1=row + 0.3))
        for look, drawn in LOOKS.items():
            runs = [run for run in line.runs if _look(run) == look]
            size = 3 if look in QUIET and len(line.runs) > canvas.MANY_WINDOWS else drawn.size
            traces.append(
                canvas.markers(
                    [canvas.middle(run.window) for run in runs], [row] * len(runs), drawn.symbol,
                    drawn.colour, size, edge=1.5,
                    customdata=[monitor_link(line.name, window=run.window.stamp) for run in runs],
                    hovertext=[_health_story(line, run) for run in runs],
                )
            )  # fmt: skip
        for before, after in pairwise(run for run in line.runs if run.baseline_version):
            if before.baseline_version != after.baseline_version:
                at, line_look = (
                    canvas.naive(after.window_start),
                    {"color": canvas.REFERENCE, "width": 2},
                )
                ends = {"x0": at, "x1": at, "y0": row - 0.4, "y1": row + 0.4}
                shapes.append({"type": "line", "line": line_look, **ends})
    # What happened before the first window is in the table alone.
    since = first - shortest
    marks = [one for one in marks if (one.end or one.start or last) >= since]
    lanes = [lane for lane in MARK_LOOKS if any(one.lane == lane for one in marks)]
    first = min([first, *(max(since, one.start) for one in marks if one.start)])
    last = max([last, *(one.start for one in marks if one.start)])
    for row, lane in enumerate(lanes, len(lines)):
        own = [one for one in marks if one.lane == lane]
        places = [canvas.naive(one.start or first) for one in own]
        for start, one in zip(places, own, strict=True):
            if one.lane == "silences":  # Of one without an end nobody knows more than that.
                end = canvas.naive(one.end or last)
                place = {"x0": start, "x1": end, "y0": row - 0.15, "y1": row + 0.15}
                shapes.append(canvas.rectangle(canvas.FAINT, **place))
        said = [f"<b>{canvas.safe(one.words)}</b><br>{mark_words(one)}" for one in own]
        y, mark = [row] * len(own), (MARK_LOOKS[lane], canvas.REFERENCE, 9)
        traces.append(canvas.markers(places, y, *mark, edge=1.5, hovertext=said))
    rows = canvas.row_axis([*(line.name for line in lines), *lanes], foot=0.5)
    times = canvas.date_axis(range=[canvas.naive(first), canvas.naive(last)])
    height = 60 + ROW_PX * max(2, len(lines) + len(lanes))
    layout = canvas.layout(height, 40, 12, 8, 38, shapes=shapes, xaxis=times, yaxis=rows)
    return {"data": traces, "layout": layout}


def mark_words(one: Mark) -> str:
    """Write when something happened, or from when to when it lasted."""
    return " to ".join(say.moment(at) for at in (one.start, one.end) if at)


def _look(run: Execution) -> str:
    """Return the status of a window: a key of `LOOKS`."""
    looks = run.state, say.window_tone(run.state, run.page_count)
    return next((one for one in looks if one in LOOKS), "none")


def _health_story(line: MonitorLine, run: Execution) -> str:
    words = [f"<b>{canvas.safe(line.name)}</b>", say.span(run.window), say.STATES[run.state][1]]
    words += [
        canvas.short(one, 80) for one in (run.headline, run.failure_reason or run.cause) if one
    ]
    return "<br>".join(words)


def bound_words(ratio: float) -> str:
    """Write a ratio of a map of drift; an infinite one stands for another check."""
    if math.isnan(ratio):
        return "not judged"
    return f"{say.number(ratio)} × its bound" if np.isfinite(ratio) else "in violation by a check"


def map_figure(monitor: str, drift: DriftMap) -> canvas.Figure:
    """Draw drift over bound by column and window; what was not judged is left grey, never 0."""
    # What is alike in a row or a column of thousands of cells is written once.
    spans, worst = drift.folded()
    shown = {at: drift.windows[at] for at in np.unique(worst).tolist()}
    ways = {at: monitor_link(monitor, window=window.stamp) for at, window in shown.items()}
    whens = {at: say.span(window) for at, window in shown.items()}
    rows = [(f"&{urlencode({'feature': one})}", canvas.safe(one)) for one in drift.features]
    found = list(zip(rows, worst.tolist(), strict=True))
    links = [[ways[at] + end for at in places] for (end, _), places in found]
    values = np.take_along_axis(drift.ratios, worst, axis=1)
    stories = [
        [
            f"<b>{name}</b><br>{whens[at]}<br>{bound_words(ratio)}"
            for at, ratio in zip(places, ratios, strict=True)
        ]
        for ((_, name), places), ratios in zip(found, values.tolist(), strict=True)
    ]
    trace: canvas.Figure = {
        "type": "heatmap",
        "x": list(map(canvas.middle, spans)),
        "y": np.arange(len(drift.features), dtype=np.float64),
        "z": np.minimum(values, MOST).astype(np.float32),
        "zmin": 0.0, "zmax": MOST, "colorscale": COLOURS, "xgap": 1, "ygap": 1,
        "customdata": links, "hovertext": stories, "hoverinfo": "text", "hoverongaps": True,
        "colorbar": {
            "orientation": "h", "y": 1.0, "yanchor": "bottom", "thickness": 8, "len": 150,
            "lenmode": "pixels", "x": 1.0, "xanchor": "right", "tickvals": [0, BOUND, MOST],
            "ticktext": ["0", "bound", "2×"], "outlinewidth": 0,
        },
    }  # fmt: skip
    times, y = canvas.date_axis(tickangle=0, nticks=4), canvas.row_axis(drift.features, foot=0.5)
    height, ground = 90 + MAP_ROW_PX * max(4, len(drift.features)), canvas.FAINT
    drawn = canvas.layout(height, 40, 12, 44, 38, plot_bgcolor=ground, xaxis=times, yaxis=y)
    return {"data": [trace], "layout": drawn}
