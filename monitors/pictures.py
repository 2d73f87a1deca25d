"""Small pictures for a report's page, as SVG text: bars beside each other, and intervals.

Plain shapes and classes; colours come from the page's style, so that they follow light and dark.
Every text of the data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from driftline.monitors.comparison import Comparison
from driftline.monitors.metric import MetricResult
from driftline.monitors.violation import percent

__all__ = ["comparison_bars", "interval_line", "scale_of"]

ROW, LABEL, BARS, VALUE = 30, 190, 300, 110
THICK = 11
LABEL_LENGTH = 28
LINE_WIDTH, LINE_HEIGHT = 220, 22
# Space at each end of a line, as a share of what is shown.
MARGIN = 0.08


def comparison_bars(comparison: Comparison) -> str:
    """Draw the shares of one column, reference above window; what moved is marked.

    Whiskers are the window's 95 % intervals.
    """
    most = max(float(np.max(comparison.reference)), float(np.max(comparison.window_high)), 1e-9)
    height = ROW * len(comparison.labels) + 4
    parts = [
        f'<svg viewBox="0 0 {LABEL + BARS + VALUE} {height}" role="img" class="bars" '
        f'aria-label="{escape(comparison.feature)}: reference beside window">'
    ]
    for number, label in enumerate(comparison.labels):
        top = ROW * number + 3
        reference, now = float(comparison.reference[number]), float(comparison.window[number])
        low, high = float(comparison.window_low[number]), float(comparison.window_high[number])
        moved = " moved" if comparison.moved[number] else ""
        shown = label if len(label) <= LABEL_LENGTH else f"{label[: LABEL_LENGTH - 1]}…"
        middle = top + THICK * 1.5
        scale = BARS / most
        parts.append(
            f"<g><title>{escape(label)}: reference {percent(reference)}, now {percent(now)}"
            f"</title>"
            f'<text class="label{moved}" x="{LABEL - 8}" y="{top + THICK + 4}">{escape(shown)}'
            f"</text>"
            f'<rect class="reference" x="{LABEL}" y="{top}" width="{reference * scale:.1f}" '
            f'height="{THICK}"/>'
            f'<rect class="window{moved}" x="{LABEL}" y="{top + THICK}" '
            f'width="{now * scale:.1f}" height="{THICK}"/>'
            f'<line class="whisker" x1="{LABEL + low * scale:.1f}" y1="{middle}" '
            f'x2="{LABEL + high * scale:.1f}" y2="{middle}"/>'
            f'<text class="value" x="{LABEL + BARS + 6}" y="{top + THICK + 4}">'
            f"{percent(reference)} → {percent(now)}</text></g>"
        )
    parts.append("</svg>")
    return "".join(parts)


def scale_of(metrics: Sequence[MetricResult]) -> tuple[float, float]:
    """Give the span of numbers that all finite values, intervals and bounds lie in."""
    found = [
        one
        for metric in metrics
        for one in (
            metric.value, metric.low, metric.high, metric.reference, metric.reference_low,
            metric.reference_high, metric.bound,
        )
        if one is not None and math.isfinite(one)
    ]  # fmt: skip
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    room = (high - low) * MARGIN or 0.5
    return low - room, high + room


def interval_line(metric: MetricResult, scale: tuple[float, float]) -> str:
    """Draw one number with its interval, the reference's band and where a violation begins."""
    if metric.value is None or not math.isfinite(metric.value):
        return ""
    low, high = scale

    def at(value: float) -> float:
        inside = min(max(value, low), high)
        return (inside - low) / (high - low) * LINE_WIDTH

    middle = LINE_HEIGHT / 2
    parts = [
        f'<svg viewBox="0 0 {LINE_WIDTH} {LINE_HEIGHT}" class="line" role="img" '
        f'aria-label="{escape(metric.name)}">',
        f'<line class="axis" x1="0" y1="{middle}" x2="{LINE_WIDTH}" y2="{middle}"/>',
    ]
    if metric.reference is not None and math.isfinite(metric.reference):
        first = at(metric.reference if metric.reference_low is None else metric.reference_low)
        last = at(metric.reference if metric.reference_high is None else metric.reference_high)
        parts.append(
            f'<rect class="reference" x="{first:.1f}" y="4" '
            f'width="{max(last - first, 2):.1f}" height="{LINE_HEIGHT - 8}"/>'
        )
    if metric.bound is not None and math.isfinite(metric.bound):
        parts.append(
            f'<line class="bound" x1="{at(metric.bound):.1f}" y1="2" '
            f'x2="{at(metric.bound):.1f}" y2="{LINE_HEIGHT - 2}"/>'
        )
    kind = "window moved" if metric.violated else "window"
    if metric.low is not None and metric.high is not None:
        parts.append(
            f'<line class="whisker" x1="{at(metric.low):.1f}" y1="{middle}" '
            f'x2="{at(metric.high):.1f}" y2="{middle}"/>'
        )
    parts.append(f'<circle class="{kind}" cx="{at(metric.value):.1f}" cy="{middle}" r="4"/></svg>')
    return "".join(parts)
