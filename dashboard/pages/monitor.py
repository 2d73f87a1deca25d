"""The page of one monitor: its windows over time, and in one window what moved and which rows."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts.timeline import timeline_figure
from driftline.dashboard.pages.annotations import expected_words, mark_panel
from driftline.dashboard.pages.columns import (
    comparison_panel,
    feature_panel,
    row_panel,
    violations_text,
)
from driftline.dashboard.pages.held import HELD, held_panel
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    empty,
    graph,
    keyed,
    marked,
    panel,
)
from driftline.dashboard.pages.windows import Link, changes_panel, head, record_panel
from driftline.dashboard.queries.views import (
    MonitorLine,
    MonitorView,
    WindowDetail,
    WindowRun,
)
from driftline.dashboard.queries.warm_up import held_words
from driftline.dashboard.words import (
    RATIO,
    count,
    plural,
    span,
)


def page(view: MonitorView) -> html.Div:
    """Lay out one monitor: the verdict, time, features beside the chosen one, rows, alarms."""
    monitor, detail = view.monitor, view.detail
    title = monitor.name if detail is None else f"{monitor.name}, {span(detail.run)}"
    top = [crumbs(monitor.name), head(monitor, detail.run if detail else None, _link(view))]
    if detail is None:
        waiting = empty(
            "No window has been judged yet: the first one is judged when it is over.",
            f"driftline monitor run {monitor.name}",
        )
        return marked(html.Div([*top, waiting], className="page"), data_title=title)
    return marked(
        html.Div(
            [
                *top,
                _verdict(view, detail),
                *held_panel(view.held),
                _timeline(monitor, detail.run, view.kept),
                html.Div(
                    [feature_panel(view, detail), comparison_panel(view)],
                    className="pair wide-left",
                ),
                row_panel(view, detail),
                *mark_panel(view.marks),
                html.Div(
                    [
                        changes_panel(view.changes, view.now),
                        record_panel(monitor, detail.run, _facts(detail), detail.documents),
                    ],
                    className="pair",
                ),
            ],
            className="page",
        ),
        data_title=title,
    )


def verdict(monitor: MonitorLine, detail: WindowDetail) -> str:
    """Say in one sentence how the window stands."""
    run = detail.run
    where = f"{span(run)}, {plural(run.row_count, 'row')}" if run.row_count else span(run)
    if run.state == "failed":
        return f"Not judged: {run.failure or 'the execution failed'} ({span(run)})"
    if run.state == "insufficient":
        return f"Too few rows to judge any feature, so this is no pass ({where})"
    if run.violation_count == 0:
        if not detail.features:
            return f"No violation, but this window's documents are gone ({where})"
        judged = sum(feature.judged for feature in detail.features)
        if held := held_words(_held(detail)):
            return f"{held[0].upper()}{held[1:]}; no violation besides ({where})"
        return f"Every constraint is kept: {plural(judged, 'feature')} judged ({where})"
    return f"{violations_text(detail)} ({where})"


def _verdict(view: MonitorView, detail: WindowDetail) -> html.Div:
    """Say how the window stands, its top cause and where the guilty rows sit."""
    run = detail.run
    tones = {"ok": "ok", "failed": "failed", "insufficient": "none"}
    held = held_words(_held(detail))
    if held:
        tones.pop("ok")
    tone = tones.get(run.state, "alarm" if run.hard_count else "soft")
    words = verdict(view.monitor, detail)
    if run.state == "ok" and (expected := expected_words(view.marks)):
        words = f"{expected}, and {held or 'no other'} ({span(run)})"
    lines: list[Cell] = [html.H2(words)]
    if detail.cause:
        lines.append(html.P(detail.cause, className="cause"))
    if detail.segment and detail.segment not in (detail.cause or ""):
        lines.append(html.P(["Where: ", html.B(detail.segment)], className="cause"))
    lines += [html.P(sentence, className="faint") for sentence in view.notes]
    return html.Div(lines, className=f"verdict small {tone}")


def _held(detail: WindowDetail) -> tuple[str, ...]:
    return tuple(feature.name for feature in detail.features if feature.note == HELD)


def _timeline(monitor: MonitorLine, run: WindowRun, keep: str | None) -> html.Section:
    """Draw all windows; a click opens one."""
    broken = sum(entry.violation_count > 0 for entry in monitor.runs)
    summary = (
        f"{plural(len(monitor.runs), 'window')}, {broken} with violations; "
        f"shown: {span(run)}, {plural(run.violation_count, 'violation')}"
    )
    legend = html.Span(
        [
            keyed(html.Span("▲", className="alarm-text"), "violation, not the season"),
            keyed(html.Span("◆", className="soft-text"), "violation season could explain"),
            keyed(html.Span("○", className="faint"), "none"),
            html.Span("click a window to open it"),
        ],
        className="legend",
    )
    drawn = graph("timeline", timeline_figure(monitor.name, monitor.runs, run.stamp, keep), 250)
    figure = html.Figure(
        [
            marked(html.Div(drawn, role="img"), aria_label=f"Drift over time: {summary}"),
            html.Figcaption(summary, className="hidden"),
        ]
    )
    meaning = html.P([html.B("Drift ÷ bound"), f": {RATIO}."], className="note")
    return panel("Windows", [figure, meaning], note=legend)


def _link(view: MonitorView) -> Link:
    """Give the way to another window; a chosen feature stays."""
    return lambda run: monitor_link(view.monitor.name, window=run.stamp, keep=view.kept)


def _facts(detail: WindowDetail) -> list[tuple[str, Cell]]:
    return [("Arrived late", count(detail.late)), ("Not readable", count(detail.unparsed))]
