"""Small pictures for a report's page, as SVG text: bars beside each other, and intervals.

Plain shapes and classes; colours come from the page's style, so that they follow light and dark,
and are named in the picture besides, for a page that is shown without its style.
Every text of the data is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

import numpy as np

from driftline.monitors.report.comparison import Comparison
from driftline.monitors.results.metric import NUMBERS, MetricResult
from driftline.monitors.results.violation import percent

# Width of the longest bar, in units of the picture: a share of whatever width there is.
BARS = 100
# For readers that are not allowed any style, such as of a page that Jenkins keeps.
THEN, NOW, MOVED = "#0072b2", "#8a929c", "#d55e00"
MARKED = ' class="moved"'
SHAPE_UNITS = 40
LINE_WIDTH, LINE_HEIGHT = 220, 22
# Space at each end of a line, as a share of what is shown.
MARGIN = 0.08
# Where a name may go on in the next line: after a sign between words, before a capital.
WORD_ENDS = re.compile(r"(?<=[_./:])(?=[^_./:])|(?<=[a-z0-9])(?=[A-Z])")


def name_html(name: str) -> str:
    """Return a name as HTML that breaks between its words where it is too long for a line."""
    return "<wbr>".join(escape(word) for word in WORD_ENDS.split(name))


def comparison_bars(comparison: Comparison) -> str:
    """Draw the shares of one column as a table, reference above window; what moved is marked.

    Lines are the window's 95% intervals. The words are cells, not parts of the picture, so that
    they keep their size on a narrow screen.
    """
    most = max(float(np.max(comparison.reference)), float(np.max(comparison.window_high)), 1e-9)
    scale = BARS / most
    rows = []
    for number, label in enumerate(comparison.labels):
        reference, now = float(comparison.reference[number]), float(comparison.window[number])
        low, high = float(comparison.window_low[number]), float(comparison.window_high[number])
        moved = bool(comparison.moved[number])
        kind, colour = ("moved", MOVED) if moved else ("now", NOW)
        rows.append(
            f"<tr{MARKED * moved}>"
            f'<th scope="row">{escape(label)}</th><td class="plot">'
            f'<svg width="300" height="20" viewBox="0 0 {BARS} 20" preserveAspectRatio="none" '
            f'aria-hidden="true"><rect class="then" fill="{THEN}" y="1" height="9" '
            f'width="{reference * scale:.2f}"/><rect class="{kind}" fill="{colour}" y="10" '
            f'height="9" width="{now * scale:.2f}"/><line class="whisker" stroke="#000" '
            f'x1="{low * scale:.2f}" x2="{high * scale:.2f}" y1="14.5" y2="14.5"/></svg></td>'
            f'<td class="value">{percent(reference)} → {percent(now)}</td></tr>'
        )
    return f'<table class="bars"><tbody>{"".join(rows)}</tbody></table>'


def shape_line(shape: np.ndarray, *, moved: bool) -> str:
    """Draw how values lie, shape (2, bars): the reference as ground, the window as a line.

    Each side fills the height; "" without bars.
    """
    if not shape.shape[1]:
        return ""
    steps = []
    for side in shape / np.maximum(shape.max(axis=1, keepdims=True), 1e-9):
        # Whole units, one for each bar: there may be thousands of these pictures.
        tops = [f"V{round(SHAPE_UNITS * (1 - float(one)))}h1" for one in side]
        steps.append(f"M0 {SHAPE_UNITS}{''.join(tops)}V{SHAPE_UNITS}")
    return (
        f'<svg class="shape" width="96" height="20" viewBox="0 0 {shape.shape[1]} {SHAPE_UNITS}" '
        'preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="then" fill="{THEN}" d="{steps[0]}"/>'
        f'<path class="{"moved" if moved else "now"}" fill="none" stroke="{MOVED}" '
        f'vector-effect="non-scaling-stroke" d="{steps[1]}"/></svg>'
    )


def scale_of(metrics: Sequence[MetricResult]) -> tuple[float, float]:
    """Return the span of numbers that all finite values, intervals and bounds lie in."""
    found = [
        one
        for metric in metrics
        for one in (getattr(metric, name) for name in NUMBERS)
        if one is not None and math.isfinite(one)
    ]
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
        f'<svg width="{LINE_WIDTH}" height="{LINE_HEIGHT}" '
        f'viewBox="0 0 {LINE_WIDTH} {LINE_HEIGHT}" class="line" role="img" '
        f'aria-label="{escape(metric.name)}">',
        f'<line class="axis" stroke="#8888" x1="0" y1="{middle}" x2="{LINE_WIDTH}" y2="{middle}"/>',
    ]
    if metric.reference is not None and math.isfinite(metric.reference):
        first = at(metric.reference if metric.reference_low is None else metric.reference_low)
        last = at(metric.reference if metric.reference_high is None else metric.reference_high)
        parts.append(
            f'<rect class="band" fill="{THEN}" x="{first:.1f}" y="4" '
            f'width="{max(last - first, 2):.1f}" height="{LINE_HEIGHT - 8}"/>'
        )
    if metric.bound is not None and math.isfinite(metric.bound):
        parts.append(
            f'<line class="bound" stroke="{MOVED}" x1="{at(metric.bound):.1f}" y1="2" '
            f'x2="{at(metric.bound):.1f}" y2="{LINE_HEIGHT - 2}"/>'
        )
    kind, colour = ("moved", MOVED) if metric.violated else ("now", NOW)
    if metric.low is not None and metric.high is not None:
        parts.append(
            f'<line class="whisker" stroke="#000" x1="{at(metric.low):.1f}" y1="{middle}" '
            f'x2="{at(metric.high):.1f}" y2="{middle}"/>'
        )
    parts.append(
        f'<circle class="{kind}" fill="{colour}" cx="{at(metric.value):.1f}" cy="{middle}" '
        'r="4"/></svg>'
    )
    return "".join(parts)
