"""The page of a monitor that measures, of whatever kind: what was measured, how surely."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dash import html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts.metric import metric_figure, metric_height
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages import windows
from driftline.dashboard.pages.attribution import attribution_parts
from driftline.dashboard.pages.bias import bias_parts
from driftline.dashboard.pages.quality import quality_parts
from driftline.dashboard.queries.views import KindView, WindowRun
from driftline.dashboard.words import (
    count,
    number,
    percent,
    plural,
    reason,
    sentence,
    span,
    title_of,
)
from driftline.monitors.kind import kind_named, metric_spec
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.unjudged import unjudged_metrics, unjudged_sentence

PANELS = {"quality": quality_parts, "bias": bias_parts, "attribution": attribution_parts}
"""What kinds can show of the chosen window besides their metrics; others show `metric_parts`."""

SIDES = {"LessThanThreshold": "≥", "GreaterThanThreshold": "≤"}
"""The side of the bound that is no violation."""

NO_DOCUMENT = "This window has no document: it was not judged, or retention deleted it."
CAUSES_SHOWN = 5

WITHIN_SEASON = "than the reference (intervals apart), within what season explains"
"""What stands between none and a violation: no chance, and no more than the bound leaves room."""


def page(view: KindView) -> html.Div:
    """Lay out one monitor: the verdict, one metric over time, what its kind shows, all metrics."""
    run = view.run
    if run is None:
        return windows.monitor_page(view)
    kind = kind_named(view.monitor.definition.kind)
    parts = [
        verdict_of(view, run),
        over_time(view, run),
        *(part for name in kind.panels for part in PANELS.get(name, metric_parts)(view, run)),
        _metrics(view, run),
    ]
    if view.rows is not None:
        parts.append(windows.row_list(view.monitor.name, run, view.rows))
    elif run.violation_count and (why := ui.lacking("analyst")):
        parts.append(ui.panel(windows.ROWS, [ui.empty(why)], name="rows"))
    labelled: list[tuple[str, ui.Cell]] = [("With a label", count(view.found.labelled_count))]
    return windows.monitor_page(view, parts, labelled if view.labels is not None else ())


def verdict(view: KindView, run: WindowRun) -> str:
    """Return the state of the window in one sentence."""
    where = windows.place_words(run)
    if run.state == "unlabelled":
        return f"Waiting for labels: no ground truth has arrived for {span(run)} yet"
    if run.state == "empty":
        return f"No data: no request fell into this window ({span(run)})"
    if run.state == "failed":
        return f"The run failed: this window is not judged ({span(run)})"
    if run.state == "stopped":
        return f"Not judged: {run.failure or 'the run was stopped'} ({span(run)})"
    if run.violation_count:
        return f"{plural(run.violation_count, 'violation')} ({where})"
    if expected := windows.expected_words(view.annotations):
        return f"{expected}, no others ({where})"
    if view.report is None:
        return f"No violation, but this window's documents have been deleted ({where})"
    judged = sum(one.judged and one.value is not None for one in view.found.metrics)
    if run.state == "insufficient":
        return f"Nothing could be judged ({where})"
    count = f": {plural(judged, 'metric')} judged" if judged else ""
    return f"No violations{count} ({where})"


def verdict_of(view: KindView, run: WindowRun) -> html.Div:
    """Show how the window stands, its gravest causes, and what is known of its labels."""
    tones = {"ok": "ok", "failed": "failed"} | dict.fromkeys(
        ("unlabelled", "insufficient", "empty", "stopped"), "none"
    )
    season = _within_season(view)
    tone = tones.get(run.state, "alarm" if run.hard_count else "soft")
    if season and tone == "ok":
        tone = "soft"
    lines: list[ui.Cell] = [html.H2(verdict(view, run)), *windows.failed_lines(run)]
    gravest = [one for one in view.found.gravest_first if one.words not in (run.cause or "")]
    causes = [one.named for one in gravest[:CAUSES_SHOWN]]
    lines += [html.P(one, className="cause") for one in (run.cause, *causes) if one]
    lines += [html.P(one, className="cause") for one in season]
    if unjudged := unjudged_sentence(unjudged_metrics(view.found.metrics), "metric"):
        lines.append(html.P(sentence(unjudged), className="cause"))
    lines += windows.note_lines(view)
    if view.labels is not None and run.row_count:
        share = view.found.labelled_count / run.row_count
        rest = "; the rest may still arrive" if share < 1 else ""
        lines.append(html.P(f"{percent(share)} of its rows have a label{rest}", className="faint"))
        if lost := _lost_labels(view):
            lines.append(html.P(lost, className="cause"))
    if run.state == "unlabelled":
        hint = "It is judged as soon as they arrive. Load labels with"
        lines.append(html.P([hint, " ", html.Code("driftline truth load FILE"), "."]))
    return ui.verdict_box(tone, *lines)


def worse_side(metric: MetricResult) -> str:
    """Return "lower" or "higher" where a metric is worse beyond both intervals but no violation."""
    if metric.violated or not metric.judged:
        return ""
    ends = (metric.low, metric.high, metric.reference_low, metric.reference_high)
    low, high, reference_low, reference_high = (math.nan if end is None else end for end in ends)
    if metric.operator == "LessThanThreshold" and high < reference_low:
        return "lower"
    return "higher" if metric.operator == "GreaterThanThreshold" and low > reference_high else ""


def _within_season(view: KindView) -> list[str]:
    """Return which metrics are worse than the reference but no violation, a sentence a side."""
    sides: dict[str, list[str]] = {}
    for one in view.found.metrics:
        if side := worse_side(one):
            where = " ".join(part for part in (one.group, one.label) if part)
            name = title_of(one.name) + (f" of {where}" if where else "")
            sides.setdefault(side, []).append(name)
    return [sentence(f"{', '.join(names)}: {side} {WITHIN_SEASON}")
            for side, names in sides.items()]  # fmt: skip


def _lost_labels(view: KindView) -> str:
    """Return which labels came and do not count; empty when all of them do."""
    parts, unfit, stray = [], view.found.unfit_label_count, view.found.stray_label_count
    if unfit:
        parts.append(f"{plural(unfit, 'label')} of another type than the reference's")
    if stray:
        parts.append(f"{plural(stray, 'label')} for a row that the request does not have")
    return f"Not counted: {' and '.join(parts)}" if parts else ""


def over_time(view: KindView, run: WindowRun) -> html.Section:
    """Draw the chosen metric over all windows; a click opens one."""
    metric, history = view.chosen, view.history
    if metric is None or history is None:
        why = "No window has a measured metric yet."
        return ui.panel(
            "Over all windows", [ui.empty(why, f"driftline monitor run {view.monitor.name}")]
        )
    known = sum(math.isfinite(value) for value in history.value)
    broken = int(history.violated.sum())
    apart = int(history.apart.sum())
    side = "lower" if metric.operator == "LessThanThreshold" else "higher"
    more = f", {apart} {side} {WITHIN_SEASON}" if apart else ""
    summary = f"{plural(known, 'window')} measured, {broken} in violation{more}; shown: {span(run)}"
    title = f"{title_of(metric.name)}{f' of {metric.group}' if metric.group else ''}"
    title += f", {metric.label}" if metric.label else ""
    title = title[:1].upper() + title[1:]
    words = f"{title} over time: {summary}"
    runs, labels = view.monitor.runs, view.labels
    columns: dict[str, Callable[[int], float | str | None]] = {
        "Window": lambda at: span(runs[at]),
        "Value": lambda at: float(history.value[at]),
        "Low": lambda at: float(history.low[at]),
        "High": lambda at: float(history.high[at]),
        "Bound": lambda at: float(history.bound[at]),
        **({} if labels is None else {"Labelled": lambda at: float(labels.share[at])}),
    }
    drawn = metric_figure(view), metric_height(view)
    parts: list[ui.Cell] = [ui.figure("timeline", *drawn, words, range(len(runs)), columns)]
    if meaning := metric_spec(metric.name).meaning:
        name = html.B(title_of(metric.name))
        parts.append(html.P([name, f": {meaning}."], className="note"))
    if view.unread:
        left = plural(view.unread, "window")
        parts.append(html.P(f"The intervals of {left} are still being read.", className="note"))
    signs = ui.legend(
        ui.glyph("◆", "window-text", "window, with its 95% interval"),
        ui.glyph("▲", "alarm-text", "violation"),
        *([ui.glyph("◇", "soft-text", f"{side}, within season")] if apart else []),
        ui.swatch("pale", "reference"),
        ui.glyph("╌", "faint", "bound"),
        *([ui.swatch("span", "share with a label")] if view.labels is not None else []),
        html.Span("click a window to open it"),
    )
    return ui.panel(f"{title} over all windows", parts, note=signs)


def metric_parts(view: KindView, run: WindowRun) -> Sequence[html.Section]:
    """Explain the kind's metrics beside their values, for kinds without a panel of their own."""
    specs = kind_named(view.monitor.definition.kind).metrics
    values = {
        spec.name: [number(one.value) for one in view.found.metrics if one.name == spec.name]
        for spec in specs
    }
    entries = [
        (title_of(spec.name), html.Div([", ".join(shown), ui.faint(spec.meaning, line=True)]))
        for spec in specs
        if (shown := values[spec.name])
    ]
    return [ui.panel("What it measures", [ui.facts(entries)])] if entries else []


def _metrics(view: KindView, run: WindowRun) -> html.Section:
    """List all metrics of the window, violations first, then as the document has them."""
    metrics = view.found.metrics
    if not metrics:
        why = "This window's document holds no metric."
        if view.report is None:
            why = NO_DOCUMENT
        return ui.panel("All metrics", [ui.empty(why)])
    order = {None: 2, "ticket": 1, "page": 0}
    body = ui.table(
        sorted(metrics, key=lambda one: (order.get(one.severity, 1), not one.judged)),
        {
            "Metric": lambda one: _name(view, run, one),
            "Window": lambda one: (
                html.B(number(one.value), className="alarm-text")
                if one.violated
                else number(one.value)
            ),
            "95% interval": lambda one: _ends(one.low, one.high) or one.unbounded or "–",
            "Reference": lambda one: html.Div(
                [
                    number(one.reference),
                    ui.faint(_ends(one.reference_low, one.reference_high), line=True),
                ]
            ),
            "Bound": lambda one: (
                f"{SIDES.get(one.operator, '')} {number(one.bound)}".strip() if one.judged else "–"
            ),
            "Rows": lambda one: count(one.count) if one.count else "–",
        },
        label="All metrics",
        kind="cards metrics",
        tone=lambda one: "chosen" if one == view.chosen else "" if one.violated else "kept",
        numeric=("Window", "95% interval", "Reference", "Bound", "Rows"),
    )
    broken = sum(one.violated for one in metrics)
    note = f"{plural(len(metrics), 'metric')}, {broken or 'none'} in violation"
    return ui.panel("All metrics", [body], note=note, name="metrics")


def _name(view: KindView, run: WindowRun, metric: MetricResult) -> ui.Cell:
    link = html.A(
        title_of(metric.name),
        href=monitor_link(view.monitor.name, window=run.stamp, metric=metric.key),
        className="strong" if metric.violated else "",
        title=metric_spec(metric.name).meaning or None,
    )
    parts: list[ui.Cell] = [link, *(ui.faint(one) for one in (metric.group, metric.label) if one)]
    if metric.severity:
        parts.append(ui.tag(f"▲ {metric.severity}", metric.severity))
    note: list[ui.Cell] = [ui.faint(reason(metric.note), line=True)] if metric.note else []
    if side := worse_side(metric):
        note.append(html.Span(f"◇ {side} {WITHIN_SEASON}", className="soft-word line"))
    return html.Div([ui.stack(*parts), *note])


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(low)} – {number(high)}"
