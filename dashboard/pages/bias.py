"""What the page of a bias monitor shows of one window: which group is worse off, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dash import html

from driftline.dashboard.charts.intervals import forest_figure, forest_height
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.documents import Group
from driftline.dashboard.queries.views import KindView, WindowRun
from driftline.dashboard.words import count, number, percent, plural, reason, title_of
from driftline.monitors.results.metric import INSUFFICIENT, MetricResult

RATIOS = ("DI",)
"""Metrics whose neutral value is 1."""

UNBOUNDED = ("TE", "GE", "KL", "DCA", "DCAcc", "DCR", "CI")
"""Metrics on scales of their own, or that measure no harm: in the table, not in the figure."""

ROWS_SHOWN = 24


def bias_parts(view: KindView, run: WindowRun) -> Sequence[html.Section | html.Div]:
    """Show who is worse off in words, the forest plot, and how large the groups are."""
    return (
        (ui.pair(forest_panel(view.found.metrics), _groups(view), wide_left=True),)
        if view.found.metrics
        else ()
    )


def sentence(line: MetricResult) -> str:
    """Return in words what a difference in positive predictions, or their ratio, means for a group.

    DPPL is the others' share less the group's: above 0 the group gets fewer.
    """
    group = f"rows with {line.facet} = {line.facet_value}" if line.facet_value else line.facet
    if line.value is None or not math.isfinite(line.value):
        why = f": {reason(line.note)}" if line.note else ""
        return f"{group}: unknown{why}"
    is_ratio, neutral = line.name in RATIOS, neutral_of(line.name)
    low, high = line.low, line.high
    if low is not None and high is not None and low <= neutral <= high:
        return f"{group}: no significant difference in positive predictions"
    word = "fewer" if (line.value < 1 if is_ratio else line.value > 0) else "more"
    if is_ratio:
        return f"{group} get {word} positive predictions: {number(line.value)} times the others'"
    ends = ""
    if low is not None and high is not None:
        a, b = sorted((abs(low), abs(high)))
        ends = f" ({number(100 * a, 2)} to {number(100 * b, 2)})"
    size = f"{number(100 * abs(line.value), 2)} points"
    return f"{group} get {word} positive predictions than the others, by {size}{ends}"


def neutral_of(name: str) -> float:
    """Return the value of a metric at which groups are treated alike."""
    return 1.0 if name in RATIOS else 0.0


def _harm(line: MetricResult) -> float:
    if line.value is None or not math.isfinite(line.value):
        return -math.inf
    return 1 - line.value if line.name in RATIOS else line.value


def forest_panel(metrics: Sequence[MetricResult]) -> html.Section:
    """Draw a row for each group and metric; ratios have an axis of their own."""
    by_name = ([one for one in metrics if one.name == name] for name in ("DPPL", "DI"))
    worded = sorted(next(filter(None, by_name), []), key=_harm, reverse=True)
    drawn = [line for line in metrics if _is_drawn(line)]
    drawn.sort(key=lambda line: (not line.violated, not line.judged))
    parts: list[ui.Cell] = []
    if worded:
        parts.append(html.Ul([html.Li(sentence(line)) for line in worded], className="worded"))
    for name, lines in (
        ("differences", [line for line in drawn if line.name not in RATIOS]),
        ("ratios", [line for line in drawn if line.name in RATIOS]),
    ):
        if lines:
            parts.append(_figure(name, lines[:ROWS_SHOWN]))
        if len(lines) > ROWS_SHOWN:
            words = f"{ROWS_SHOWN} of {len(lines):,} {name} are drawn, violations first; "
            rest = html.A("all of them as a table", href="#metrics")
            parts.append(html.P([words, rest, "."], className="note"))
    if not drawn:
        parts.append(ui.empty("No metric of a group has a value in this window."))
    signs = ui.legend(
        ui.glyph("◆", "window-text", "window"),
        ui.glyph("▲", "alarm-text", "violation"),
        ui.glyph("□", "reference-text", "reference"),
        ui.swatch("ground ok", "allowed"),
        html.Span("lines are 95% intervals"),
    )
    return ui.panel("Groups against the others", parts, note=signs)


def _is_drawn(line: MetricResult) -> bool:
    return bool(
        line.facet
        and line.value is not None
        and math.isfinite(line.value)
        and (line.name not in UNBOUNDED or line.violated)
    )


def _figure(name: str, lines: Sequence[MetricResult]) -> html.Figure:
    neutral = 1.0 if name == "ratios" else 0.0
    labels = [f"{line.name}  {line.group}" for line in lines]
    broken = sum(line.violated for line in lines)
    words = "1 is parity" if name == "ratios" else "0 is parity, above 0 the group is worse off"
    summary = f"{plural(len(lines), name.removesuffix('s'))}, {broken} in violation; {words}"
    figure, height = forest_figure(lines, labels, neutral), forest_height(lines)
    return ui.figure(f"forest-{name}", figure, height, summary, lines, ui.METRIC_COLUMNS)


def _groups(view: KindView) -> html.Section:
    """Show how large the groups are, and what they get: small ones cannot be judged."""
    if not view.found.groups:
        return ui.panel("Groups", [ui.empty("The document holds no counts of groups.")])
    body = ui.table(
        view.found.groups,
        {
            "Group": lambda one: html.B(one.name),
            "Rows": lambda one: _size(view, one),
            "Predicted positive": lambda one: html.Div(
                [
                    percent(one.group.positive),
                    ui.faint(f"others {percent(one.others.positive)}", line=True),
                ]
            ),
            "Found": lambda one: _found(view, one),
        },
        label="Groups",
        kind="cards",
        numeric=("Rows", "Predicted positive"),
    )
    warnings = [html.P(words, className="finding") for words in view.found.details.warnings]
    return ui.panel("Groups", [body, *warnings])


def _size(view: KindView, one: Group) -> ui.Cell:
    whole = view.run.row_count if view.run else None
    share = percent(one.group.rows / whole) if whole else "–"
    return html.Div([count(one.group.rows), ui.faint(share, line=True)])


def _found(view: KindView, one: Group) -> ui.Cell:
    metrics = [metric for metric in view.found.metrics if metric.group == one.name]
    if broken := [title_of(metric.name) for metric in metrics if metric.violated]:
        return html.Span(f"▲ {', '.join(broken)}", className="alarm-text")
    if any(metric.judged for metric in metrics):
        return "within its bounds"
    is_small = any(metric.note == INSUFFICIENT for metric in metrics)
    return ui.faint("too few rows to judge" if is_small else "not judged")
