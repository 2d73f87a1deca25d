"""The figure of all windows of a monitor of data quality: drift and violations; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import count, number, plural, span

TICKS = (0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def timeline_figure(
    monitor: str, runs: Sequence[WindowRun], selected: str | None, keep: str | None = None
) -> canvas.Figure:
    """Draw all windows of a monitor: greatest drift over its bound, and how many violations.

    The upper panel has a logarithmic axis, on which 1 is the bound. ``keep`` is the feature to keep
    in the addresses of the windows.
    """
    ratios = [run.ratio for run in runs if run.ratio is not None]
    broken = [run for run in runs if run.state == "violations" and run.ratio is not None]
    kept = [run for run in runs if run.state == "ok" and run.ratio is not None]
    points = [
        _points(kept, "keeps all constraints", "circle-open", canvas.GREY, 6),
        _points(
            [run for run in broken if not run.hard_count], "violations", "diamond", canvas.SOFT, 8
        ),
        _points(
            [run for run in broken if run.hard_count],
            "violations that season cannot explain", "triangle-up", canvas.HARD, 9,
        ),
    ]  # fmt: skip
    failed = [run for run in runs if run.state == "failed"]
    at = [canvas.middle(run) for run in failed]
    crosses = canvas.markers(
        at, [canvas.FLOOR] * len(failed), "x-thin", canvas.GREY, 8, edge=2, name="failed"
    )
    bars = [
        _bars(runs, [run.hard_count for run in runs], canvas.HARD),
        _bars(runs, [run.violation_count - run.hard_count for run in runs], canvas.SOFT),
    ]
    most = max([2.0, *(run.violation_count * 1.1 for run in runs)])
    highest = max([2.0, *(ratio * 1.6 for ratio in ratios)])
    return canvas.over_windows(
        250,
        runs,
        selected,
        [
            canvas.ratio_axis(highest, TICKS, "drift ÷ bound", domain=[0.36, 1.0]),
            canvas.axis("violations", domain=[0.0, 0.26], range=[0, most], nticks=3),
        ],
        [*points, crosses, *bars],
        [monitor_link(monitor, window=run.stamp, keep=keep) for run in runs],
        [_story(run) for run in runs],
        [canvas.level(1)],
    )


def _points(
    runs: Sequence[WindowRun], name: str, symbol: str, colour: str, size: int
) -> canvas.Figure:
    ratios = [max(canvas.FLOOR, run.ratio or 0.0) for run in runs]
    times = [canvas.middle(run) for run in runs]
    if symbol == "circle-open" and len(runs) > canvas.MANY_WINDOWS:
        return canvas.lines(times, ratios, colour, name=name, connectgaps=False)
    return canvas.markers(times, ratios, symbol, colour, size, edge=1.5, name=name)


def _bars(runs: Sequence[WindowRun], counts: Sequence[int], colour: str) -> canvas.Figure:
    times, values = [canvas.middle(run) for run in runs], np.asarray(counts, dtype=np.int32)
    if len(runs) > canvas.MANY_WINDOWS:
        line = {"width": 1, "color": colour, "shape": "hvh"}
        more: canvas.Figure = {"yaxis": "y2", "stackgroup": "violations"}
        return canvas.lines(times, values, line=line, fillcolor=colour) | more
    return canvas.bars(runs, values, "y2", {"color": colour})


def _story(run: WindowRun) -> list[str]:
    story = [f"<b>{span(run)}</b>"]
    if run.failure:
        story.append(canvas.short(run.failure, 80))
    else:
        story.append(f"{count(run.row_count)} rows, {plural(run.violation_count, 'violation')}")
    if run.ratio is not None:
        story.append(f"drift {number(run.ratio)} × its bound")
    if run.cause:
        story.append(canvas.short(run.cause, 80))
    return story
