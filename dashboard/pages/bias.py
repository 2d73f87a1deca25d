"""What the page of a bias monitor shows of one window: which group is worse off, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dash import html

from driftline.dashboard.charts.intervals import forest_figure, forest_height
from driftline.dashboard.metric_words import title_of
from driftline.dashboard.pages.parts import Cell, empty, graph, keyed, marked, panel, table
from driftline.dashboard.queries.metric_views import KindView
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import count, number, percent, plural, reason
from driftline.monitors.results.metric import MetricResult

RATIOS = ("DI",)
"""Metrics whose neutral value is 1."""

UNBOUNDED = ("TE", "GE", "KL", "DCA", "DCAcc", "DCR", "CI")
"""Metrics on scales of their own, or that measure no harm: in the table, not in the figure."""

ROWS_SHOWN = 24


def bias_parts(view: KindView, run: WindowRun) -> Sequence[html.Section | html.Div]:
    """Show who is worse off in words, the forest plot, and how large the groups are."""
    if not view.metrics:
        return ()
    return (
        html.Div([_forest(view), _groups(view)], className="pair wide-left"),
    )  # fmt: skip


def sentence(line: MetricResult) -> str:
    """Say in words what a difference in positive predictions, or their ratio, means for a group.

    DPPL is the others' share less the group's: above 0 the group gets fewer.
    """
    group = f"rows with {line.facet} = {line.facet_value}" if line.facet_value else line.facet
    if line.value is None or not math.isfinite(line.value):
        why = f": {reason(line.note)}" if line.note else ""
        return f"{group}: cannot be told{why}"
    neutral = 1.0 if line.name in RATIOS else 0.0
    low, high = line.low, line.high
    if low is not None and high is not None and low <= neutral <= high:
        return f"{group}: no difference in positive predictions can be told"
    if line.name in RATIOS:
        word = "fewer" if line.value < 1 else "more"
        return f"{group} get {word} positive predictions: {number(line.value)} times the others'"
    word = "fewer" if line.value > 0 else "more"
    size = f"{number(100 * abs(line.value), 2)} points"
    ends = ""
    if low is not None and high is not None:
        a, b = sorted((abs(low), abs(high)))
        ends = f" ({number(100 * a, 2)} to {number(100 * b, 2)})"
    return f"{group} get {word} positive predictions than the others, by {size}{ends}"


def _told(view: KindView) -> list[MetricResult]:
    """Pick the metric that the sentences are about: DPPL for each group, else DI."""
    for name in ("DPPL", "DI"):
        found = [line for line in view.metrics if line.name == name]
        if found:
            return sorted(found, key=_harm, reverse=True)
    return []


def _harm(line: MetricResult) -> float:
    if line.value is None or not math.isfinite(line.value):
        return -math.inf
    return 1 - line.value if line.name in RATIOS else line.value


def _forest(view: KindView) -> html.Section:
    """Draw a row for each group and metric; ratios have an axis of their own."""
    title = "Groups against the others"
    told = [html.Li(sentence(line)) for line in _told(view)]
    drawn = [line for line in view.metrics if _is_drawn(line)]
    drawn.sort(key=lambda line: (not line.violated, not line.judged))
    parts: list[Cell] = [html.Ul(told, className="told")] if told else []
    for name, lines in (
        ("differences", [line for line in drawn if line.name not in RATIOS]),
        ("ratios", [line for line in drawn if line.name in RATIOS]),
    ):
        if lines:
            parts.append(_figure(name, lines[:ROWS_SHOWN]))
    if not drawn:
        parts.append(empty("No metric of a group has a value in this window."))
    legend = html.Span(
        [
            keyed(html.Span("◆", className="window-text"), "window"),
            keyed(html.Span("▲", className="alarm-text"), "violation"),
            keyed(html.Span("□", className="reference-text"), "reference"),
            keyed(html.Span(className="key ground ok"), "allowed"),
            html.Span("lines are 95 % intervals"),
        ],
        className="legend",
    )
    return panel(title, parts, note=legend)


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
    drawn = graph(f"forest-{name}", forest_figure(lines, labels, neutral), forest_height(lines))
    return html.Figure(
        [
            html.Figcaption(summary, className="note"),
            marked(html.Div(drawn, role="img"), aria_label=summary),
        ]
    )


def _groups(view: KindView) -> html.Section:
    """Say how large the groups are, and what they get: small ones cannot be judged."""
    title = "Groups"
    if not view.groups:
        return panel(title, [empty("The document holds no counts of groups.")])
    whole = view.run.row_count if view.run else None
    rows: list[list[Cell]] = []
    for line in view.groups:
        own = [one for one in view.metrics if one.group == line.name]
        small = sum(one.note == "insufficient_data" for one in own)
        broken = [title_of(one.name) for one in own if one.violated]
        words: Cell = "within its bounds"
        if broken:
            words = html.Span(f"▲ {', '.join(broken)}", className="alarm-text")
        elif small == len(own):
            words = html.Span("too few rows to judge", className="faint")
        share = percent(line.rows / whole) if whole else "–"
        size = html.Div([count(line.rows), html.Span(share, className="faint line")])
        against = html.Span(f"others {percent(line.others)}", className="faint line")
        get = html.Div([percent(line.positive), against])
        rows.append([html.B(line.name), size, get, words])
    heads = ["Group", "Rows", "Predicted positive", "Found"]
    body = table(heads, rows, label=title, kind="cards", numeric=(1, 2))
    warnings = [html.P(words, className="finding") for words in view.warnings]
    return panel(title, [body, *warnings])
