"""Figures of what kinds of monitors measure, for the tabs of an endpoint's page; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.dashboard.charts import canvas
from driftline.dashboard.words import number, percent, span
from driftline.monitors.executions import Execution
from driftline.monitors.run.series import MetricHistory
from driftline.monitors.run.stored_report import Bin

ESTIMATED = "#009E73"
"""Okabe and Ito's green: what is estimated without labels."""

ESTIMATED_GROUND = "rgba(0,158,115,0.32)"
WINDOW_GROUND = "rgba(213,94,0,0.16)"
SQUARE_PX = 250
NAMED_RANKS = 20


def curve_figure(
    sides: Sequence[tuple[str, np.ndarray, np.ndarray]], titles: tuple[str, str],
    chosen: tuple[float, float], *, has_diagonal: bool = False,
) -> canvas.Figure:  # fmt: skip
    """Draw a curve for each side, "reference" or "window", in the unit square, and one point."""
    looks = {
        "reference": {"color": canvas.REFERENCE, "width": 2, "dash": "dash"},
        "window": {"color": canvas.WINDOW, "width": 2, "dash": "solid"},
    }
    data = [canvas.lines(x, y, name=name, line=looks[name]) for name, x, y in sides]
    data.append(canvas.markers([chosen[0]], [chosen[1]], "circle", canvas.WINDOW, 11))
    return {"data": data, "layout": _square(titles, has_diagonal=has_diagonal)}


def calibration_figure(bins: Sequence[Bin]) -> canvas.Figure:
    """Draw the share of positives by probability, with 95% intervals."""
    x, y, low, high = np.array([(one.probability, one.share, one.low, one.high) for one in bins]).T
    text = [
        f"said {percent(one.probability)}, came {percent(one.share)} "
        f"({percent(one.low)} to {percent(one.high)}) of {one.count:,.0f} rows"
        for one in bins
    ]
    points = canvas.markers(x, y, "diamond", canvas.WINDOW, 8, hovertext=text)
    layout = _square(("predicted probability", "share of positives"), has_diagonal=True)
    most = min(1.0, 1.1 * float(max([0.1, *x, *high])))
    layout |= {name: layout[name] | {"range": [0, most]} for name in ("xaxis", "yaxis")}
    spans = canvas.whiskers((x - most / 250, x + most / 250), y, low, high, canvas.WINDOW)
    return {"data": [canvas.lines(x, y, canvas.WINDOW), spans, points], "layout": layout}


def _square(titles: tuple[str, str], *, has_diagonal: bool) -> canvas.Figure:
    diagonal = canvas.straight(dash="dot", x0=0, y0=0, x1=1, y1=1)
    return canvas.layout(
        SQUARE_PX, 52, 12, 8, 42,
        xaxis=canvas.axis(titles[0], range=[0, 1], nticks=5),
        yaxis=canvas.axis(titles[1], range=[0, 1.02], nticks=5),
        shapes=[diagonal] if has_diagonal else [],
    )  # fmt: skip


def estimates_figure(
    runs: Sequence[Execution], by_labels: MetricHistory, without: MetricHistory
) -> canvas.Figure:
    """Draw one metric by labels beside the same estimated without, each with its interval."""
    windows = [run.window for run in runs]
    times = list(map(canvas.middle, windows))
    # Each interval is a box over its own window, so that none reaches to another.
    sides = canvas.sides_of(windows)
    data: list[canvas.Figure] = []
    for history, colour, ground, symbol, name in (
        (without, ESTIMATED, ESTIMATED_GROUND, "square-open", "estimated"),
        (by_labels, canvas.WINDOW, WINDOW_GROUND, "diamond", "by labels"),
    ):
        low, high = history.low, history.high
        text = [
            f"<b>{span(window)}</b><br>{name} {number(value)} ({number(a)} to {number(b)})"
            for window, value, a, b in zip(windows, history.value, low, high, strict=True)
        ]
        marks = canvas.markers(times, history.value, symbol, colour, 7, edge=1.5, hovertext=text)
        data += [
            canvas.boxes(sides, low, high, ground),
            canvas.lines(times, history.value, colour),
            *([marks] if len(runs) <= canvas.MANY_WINDOWS else []),
        ]
    values = canvas.axis(nticks=6)
    layout = canvas.layout(240, 58, 12, 8, 38, xaxis=canvas.date_axis(), yaxis=values)
    return {"data": data, "layout": layout}


def coverage_figure(ages: np.ndarray, shares: np.ndarray, texts: Sequence[str]) -> canvas.Figure:
    """Draw the share of rows with a label by the age of their window, in days."""
    points = canvas.markers(ages, 100 * shares, "circle", canvas.GREY, 8, hovertext=texts)
    layout = canvas.layout(
        240, 58, 12, 8, 42,
        xaxis=canvas.axis("days since the window's end", rangemode="tozero", nticks=8),
        yaxis=canvas.axis(range=[0, 104], ticksuffix="%", nticks=5),
    )  # fmt: skip
    return {"data": [canvas.lines(ages, 100 * shares, canvas.GREY), points], "layout": layout}


def slope_figure(moves: Sequence[tuple[str, int, int]], far: int) -> canvas.Figure:
    """Draw each feature's rank before and now, joined; those that moved ``far`` stand out."""
    shown = [one for one in moves if min(one[1:]) <= NAMED_RANKS]
    last = max([1, *(max(one[1:]) for one in shown)])
    data: list[canvas.Figure] = []
    for name, before, now in shown:
        colour = canvas.WINDOW if abs(now - before) >= far else canvas.GREY
        text = f"<b>{canvas.safe(name)}</b><br>rank {before} in the reference, {now} in the window"
        line = {"color": colour, "width": 2.5 if colour == canvas.WINDOW else 1}
        data.append(
            canvas.lines(
                [0, 1], [before, now], mode="lines+markers", line=line, cliponaxis=False,
                marker={"size": 8, "color": colour}, hovertext=text,
            )
        )  # fmt: skip
    sides = []
    for at, key in ((0, 1), (1, 2)):
        names = {int(one[key]): one[0] for one in shown}
        ranks = sorted(names)
        sides.append(
            canvas.axis(
                range=[last + 0.6, 0.4], tickvals=ranks, showgrid=False, automargin=True, ticks="",
                ticktext=[f"{rank} {canvas.short(names[rank], 22)}" if at == 0
                          else f"{canvas.short(names[rank], 22)} {rank}" for rank in ranks],
            )
        )  # fmt: skip
    right = sides[1] | {"overlaying": "y", "side": "right"}
    # Without a trace of its own plotly leaves an axis out.
    unseen = canvas.markers([1], [1], "circle", canvas.CLEAR, 1, yaxis="y2")
    layout = canvas.layout(
        50 + 22 * max(4, last), 20, 20, 26, 8, yaxis=sides[0], yaxis2=right,
        xaxis=canvas.axis(
            range=[-0.03, 1.03], tickvals=[0, 1], ticktext=["reference", "window"], side="top",
            showgrid=False,
        ),
    )  # fmt: skip
    return {"data": [*data, unseen], "layout": layout}
