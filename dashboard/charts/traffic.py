"""The figure of an endpoint's traffic, hour by hour; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from driftline.capture.audit.traffic import HOUR, Requests
from driftline.capture.windows.window import Window
from driftline.dashboard.charts import canvas
from driftline.dashboard.words import count, moment, number

HEIGHT_PX = 300
SHARES = (0.5, 0.99)
"""Of the requests of an hour, those that are as fast as the latency that is drawn."""


def traffic_figure(hours: Sequence[datetime], counts: Sequence[Requests]) -> canvas.Figure:
    """Draw requests as stacked bars, and below them their latency, p50 and p99."""
    windows = [Window(hour, hour + HOUR) for hour in hours]
    stored, refused, lost, middle, slow = np.array([
        (one.stored, one.refused, one.lost, *map(one.latency.quantile_ms, SHARES))
        for one in counts
    ], dtype=np.float64).T  # fmt: skip
    none, sides = np.zeros(len(counts)), canvas.sides_of(windows, 0.8)
    bars = [
        canvas.boxes(sides, low, high, colour, yaxis=axis)
        for low, high, colour, axis in (
            (none, stored - refused, canvas.REFERENCE, "y"),
            (stored - refused, stored, canvas.HARD, "y"),
            (stored, stored + lost, canvas.SOFT, "y"),
            (none, middle, canvas.GREY, "y2"),
            (middle, slow, canvas.SLOW, "y2"),
        )
    ]
    said = [_story(hour, one) for hour, one in zip(hours, counts, strict=True)]
    top = max(1.0, float((stored + lost).max()))
    times = [canvas.middle(one) for one in windows]
    shown = canvas.unseen(times, [0, 1], [[None] * len(hours)], [said], yaxis="y3")
    over = canvas.axis(domain=[0.0, 1.0], range=[0, 1], anchor="x", visible=False, overlaying="y")
    layout = canvas.layout(
        HEIGHT_PX, 66, 12, 8, 38, xaxis=canvas.date_axis(anchor="y2"),
        yaxis=canvas.axis("requests", domain=[0.45, 1.0], range=[0, 1.05 * top], nticks=4),
        yaxis2=canvas.axis("ms", domain=[0.0, 0.36], rangemode="tozero", nticks=4), yaxis3=over,
    )  # fmt: skip
    return {"data": [*bars, shown], "layout": layout}


def _story(hour: datetime, one: Requests) -> str:
    slow = number(one.latency.quantile_ms(0.99))
    words = f"<b>{moment(hour)}</b><br>{count(one.stored)} captured, {count(one.refused)} refused"
    return f"{words}, {count(one.lost)} lost<br>p99 {slow} ms"
