"""The figure of an endpoint's monitors over one time axis: how each window stands; pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.views import MonitorLine, WindowRun
from driftline.dashboard.words import STATES, plural, span

ROW_PX = 34

LOOKS = {
    "alarm": ("triangle-up", canvas.HARD, 10),
    "soft": ("diamond", canvas.SOFT, 9),
    "ok": ("circle-open", canvas.GREY, 7),
    "none": ("x-thin", canvas.GREY, 7),
}
"""Symbol, colour and size of a window by how it stands."""


def health_figure(lines: Sequence[MonitorLine]) -> canvas.Figure:
    """Draw each window of each monitor as a mark, a row a monitor; baselines' changes as ticks."""
    traces: list[canvas.Figure] = []
    shapes: list[canvas.Figure] = []
    for row, line in enumerate(lines):
        for look, (symbol, colour, size) in LOOKS.items():
            runs = [run for run in line.runs if _look(run) == look]
            traces.append(
                canvas.markers(
                    [canvas.middle(run) for run in runs], [row] * len(runs), symbol, colour, size,
                    edge=1.5,
                    customdata=[monitor_link(line.name, window=run.stamp) for run in runs],
                    hovertext=[_story(line, run) for run in runs],
                    hoverinfo="text",
                )
            )  # fmt: skip
        for before, after in pairwise(run for run in line.runs if run.baseline_version):
            if before.baseline_version != after.baseline_version:
                at = canvas.naive(after.start)
                look_of = {"color": canvas.REFERENCE, "width": 2}
                ends = {"x0": at, "x1": at, "y0": row - 0.4, "y1": row + 0.4}
                shapes.append({"type": "line", "line": look_of} | ends)
    rows = canvas.row_axis([line.name for line in lines], foot=0.5)
    height, times = 60 + ROW_PX * max(2, len(lines)), canvas.date_axis()
    drawn = canvas.layout(height, 40, 12, 8, 38, shapes=shapes, xaxis=times, yaxis=rows)
    return {"data": traces, "layout": drawn}


def _look(run: WindowRun) -> str:
    tone = STATES[run.state][2]
    if run.state == "violations" and run.hard_count == 0:
        return "soft"
    return tone if tone in ("alarm", "ok") else "none"


def _story(line: MonitorLine, run: WindowRun) -> str:
    words = [f"<b>{canvas.safe(line.name)}</b>", span(run), STATES[run.state][1]]
    if run.violation_count:
        words.append(plural(run.violation_count, "violation"))
    if run.cause or run.failure:
        words.append(canvas.short(run.failure or run.cause or "", 80))
    return "<br>".join(words)
