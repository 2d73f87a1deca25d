"""The page of a monitor of model quality, bias or attribution: what was measured, how surely."""

from __future__ import annotations

import math

from dash import html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts.metric import metric_figure, metric_height
from driftline.dashboard.metric_words import title_of
from driftline.dashboard.pages.annotations import expected_words, mark_panel
from driftline.dashboard.pages.attribution import attribution_parts
from driftline.dashboard.pages.bias import bias_parts
from driftline.dashboard.pages.parts import Cell, crumbs, empty, graph, keyed, marked, panel, table
from driftline.dashboard.pages.quality import quality_parts
from driftline.dashboard.pages.rows import listed
from driftline.dashboard.pages.windows import Link, changes_panel, head, record_panel
from driftline.dashboard.queries.metric_views import KindView
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import count, number, percent, plural, reason, span
from driftline.monitors.kind import kind_named, metric_spec
from driftline.monitors.results.metric import MetricResult

PANELS = {"quality": quality_parts, "bias": bias_parts, "attribution": attribution_parts}
"""What kinds can show of the chosen window besides their metrics."""

SIDES = {"LessThanThreshold": "≥", "GreaterThanThreshold": "≤"}
"""The side of the bound that is no violation."""


def page(view: KindView) -> html.Div:
    """Lay out one monitor: the verdict, one metric over time, what its kind shows, all metrics."""
    monitor, run = view.monitor, view.run
    title = monitor.name if run is None else f"{monitor.name}, {span(run)}"
    top = [crumbs(monitor.name), head(monitor, run, _link(view))]
    if run is None:
        waiting = empty(
            "No window has been judged yet: the first one is judged when it is over.",
            f"driftline monitor run {monitor.name}",
        )
        return marked(html.Div([*top, waiting], className="page"), data_title=title)
    record = record_panel(monitor, run, _facts(view), view.documents)
    return marked(
        html.Div(
            [
                *top,
                _verdict(view, run),
                _time(view, run),
                *(
                    part
                    for name in kind_named(view.kind).panels
                    for part in PANELS[name](view, run)
                ),
                _metrics(view, run),
                *([listed(monitor.name, run, view.rows)] if view.rows is not None else ()),
                *mark_panel(view.marks),
                html.Div([changes_panel(view.changes, view.now), record], className="pair"),
            ],
            className="page",
        ),
        data_title=title,
    )


def verdict(view: KindView, run: WindowRun) -> str:
    """Say in one sentence how the window stands."""
    where = f"{span(run)}, {plural(run.row_count, 'row')}" if run.row_count else span(run)
    if run.state == "unlabelled":
        return f"Waits for labels: no ground truth has come for {span(run)} yet"
    if run.state == "failed":
        return f"Not judged: {run.failure or 'the execution failed'} ({span(run)})"
    if run.violation_count:
        return f"{plural(run.violation_count, 'violation')} ({where})"
    if expected := expected_words(view.marks):
        return f"{expected}, and no other ({where})"
    judged = sum(one.judged and one.value is not None for one in view.metrics)
    if not judged:
        gone = "No violation, but this window's documents are gone"
        return f"{'Nothing could be judged' if view.metrics else gone} ({where})"
    return f"Every bound is kept: {plural(judged, 'metric')} judged ({where})"


def _link(view: KindView) -> Link:
    return lambda run: monitor_link(view.monitor.name, window=run.stamp, keep=view.kept)


def _verdict(view: KindView, run: WindowRun) -> html.Div:
    tone = {"ok": "ok", "failed": "failed", "unlabelled": "none", "insufficient": "none"}.get(
        run.state, "alarm" if run.hard_count else "soft"
    )
    lines: list[Cell] = [html.H2(verdict(view, run))]
    if view.cause:
        lines.append(html.P(view.cause, className="cause"))
    said = [words for _, words in view.violations if words and words not in (view.cause or "")]
    lines += [html.P(words, className="cause") for words in said[:5]]
    lines += [html.P(sentence, className="faint") for sentence in view.notes]
    if view.labels is not None and run.row_count:
        share = view.labelled / run.row_count
        rest = "; the rest may still come" if share < 1 else ""
        lines.append(html.P(f"{percent(share)} of its rows have a label{rest}", className="faint"))
        if lost := _lost_labels(view):
            lines.append(html.P(lost, className="cause"))
    if run.state == "unlabelled":
        hint = "It is judged as soon as they have. Labels are loaded with"
        lines.append(html.P([hint, " ", html.Code("driftline truth load FILE"), "."]))
    return html.Div(lines, className=f"verdict small {tone}")


def _lost_labels(view: KindView) -> str:
    """Say which labels came and do not count; empty when all of them do."""
    parts = []
    if view.unfit:
        parts.append(f"{plural(view.unfit, 'label')} of another type than the reference's")
    if view.stray:
        parts.append(f"{plural(view.stray, 'label')} for a row that the request does not have")
    return f"Not counted: {' and '.join(parts)}" if parts else ""


def _time(view: KindView, run: WindowRun) -> html.Section:
    """Draw the chosen metric over all windows; a click opens one."""
    if view.chosen is None or view.history is None:
        why = "No window has a measured metric yet."
        return panel("Over all windows", [empty(why, f"driftline monitor run {view.monitor.name}")])
    line = view.chosen
    known = [value for value in view.history.value if math.isfinite(value)]
    broken = int(view.history.violated.sum())
    summary = f"{plural(len(known), 'window')} measured, {broken} in violation; shown: {span(run)}"
    title = f"{title_of(line.name)}{f' of {line.group}' if line.group else ''}"
    title += f", {line.label}" if line.label else ""
    drawn = graph("timeline", metric_figure(view), metric_height(view))
    figure = html.Figure(
        [
            marked(html.Div(drawn, role="img"), aria_label=f"{title} over time: {summary}"),
            html.Figcaption(summary, className="note"),
        ]
    )
    parts: list[Cell] = [figure]
    if meaning := metric_spec(line.name).meaning:
        parts.append(html.P([html.B(title_of(line.name)), f": {meaning}."],
                            className="note"))  # fmt: skip
    if view.unread:
        left = plural(view.unread, "window")
        parts.append(html.P(f"The intervals of {left} are still being read.", className="note"))
    return panel(f"{title} over all windows", parts, note=_legend(view))


def _legend(view: KindView) -> html.Span:
    signs = [
        keyed(html.Span("◆", className="window-text"), "window, with its 95 % interval"),
        keyed(html.Span("▲", className="alarm-text"), "violation"),
        keyed(html.Span(className="key pale"), "reference"),
        keyed(html.Span("╌", className="faint"), "bound"),
    ]
    if view.labels is not None:
        signs.append(keyed(html.Span(className="key span"), "share with a label"))
    return html.Span([*signs, html.Span("click a window to open it")], className="legend")


def _metrics(view: KindView, run: WindowRun) -> html.Section:
    """List all metrics of the window, violations first, then as the document has them."""
    if not view.metrics:
        why = "This window's document holds no metric."
        if not view.documents:
            why = "This window has no document: it was not judged, or retention took it."
        return panel("All metrics", [empty(why)])
    order = {None: 2, "ticket": 1, "page": 0}
    ranked = sorted(view.metrics, key=lambda one: (order.get(one.severity, 1), not one.judged))
    heads = ["Metric", "Window", "95 % interval", "Reference", "Bound", "Rows"]
    rows = [_metric(view, run, line) for line in ranked]
    tones = [
        "chosen" if line == view.chosen else "" if line.violated else "kept" for line in ranked
    ]
    broken = sum(line.violated for line in view.metrics)
    note = f"{plural(len(view.metrics), 'metric')}, {broken or 'none'} in violation"
    body = table(
        heads, rows, label="All metrics", kind="cards metrics", tones=tones, numeric=(1, 2, 3, 4, 5)
    )
    return panel("All metrics", [body], note=note, name="metrics")


def _metric(view: KindView, run: WindowRun, line: MetricResult) -> list[Cell]:
    """Show one metric as the cells of a row."""
    link = html.A(
        title_of(line.name),
        href=monitor_link(view.monitor.name, window=run.stamp, metric=line.key),
        className="strong" if line.violated else "",
        title=metric_spec(line.name).meaning or None,
    )
    parts: list[Cell] = [link]
    if line.group:
        parts.append(html.Span(line.group, className="faint"))
    if line.label:
        parts.append(html.Span(line.label, className="faint"))
    if line.severity:
        parts.append(html.Span(f"▲ {line.severity}", className=f"tag {line.severity}"))
    name: list[Cell] = [html.Div(parts, className="stack")]
    if line.note:
        name.append(html.Span(reason(line.note), className="faint line"))
    value: Cell = number(line.value)
    if line.violated:
        value = html.B(number(line.value), className="alarm-text")
    return [
        html.Div(name),
        value,
        _ends(line.low, line.high),
        html.Div([number(line.reference), _faint(_ends(line.reference_low, line.reference_high))]),
        f"{SIDES.get(line.operator, '')} {number(line.bound)}".strip() if line.judged else "–",
        count(line.count) if line.count else "–",
    ]


def _ends(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{number(low)} – {number(high)}"


def _faint(text: str) -> html.Span:
    return html.Span("" if text == "–" else text, className="faint line")


def _facts(view: KindView) -> list[tuple[str, Cell]]:
    if view.labels is None:
        return []
    return [("With a label", count(view.labelled))]
