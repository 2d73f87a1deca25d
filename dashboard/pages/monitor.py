"""The page of one monitor: its windows over time, and in one window what moved and which rows."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import timeline_figure
from driftline.dashboard.frames import (
    MonitorLine,
    MonitorView,
    WindowDetail,
    WindowRun,
)
from driftline.dashboard.pages.columns import (
    comparison_panel,
    feature_panel,
    row_panel,
    violations_text,
)
from driftline.dashboard.parts import (
    Cell,
    crumbs,
    empty,
    fact,
    keyed,
    marked,
    panel,
    state_chip,
    table,
    when,
)
from driftline.dashboard.theme import CONFIG
from driftline.dashboard.wording import (
    RATIO,
    count,
    number,
    plural,
    schedule_text,
    span,
)

__all__ = ["page", "verdict"]


def page(view: MonitorView) -> html.Div:
    """Lay out one monitor: the verdict, time, features beside the chosen one, rows, alarms."""
    monitor, detail = view.monitor, view.detail
    title = monitor.name if detail is None else f"{monitor.name}, {span(detail.run)}"
    head = [crumbs(monitor.name), _head(view)]
    if detail is None:
        waiting = empty(
            "No window has been judged yet: the first one is judged when it is over.",
            f"driftline monitor run {monitor.name}",
        )
        return marked(html.Div([*head, waiting], className="page"), data_title=title)
    return marked(
        html.Div(
            [
                *head,
                _verdict(view, detail),
                _timeline(monitor, detail.run, view.kept),
                html.Div(
                    [feature_panel(view, detail), comparison_panel(view)],
                    className="pair wide-left",
                ),
                row_panel(view, detail),
                html.Div([_changes(view), _record(monitor, detail)], className="pair"),
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
    if run.violation_count == 0:
        judged = sum(feature.judged for feature in detail.features)
        return f"Every constraint is kept: {plural(judged, 'feature')} judged ({where})"
    return f"{violations_text(detail)} ({where})"


def _head(view: MonitorView) -> html.Div:
    """Name the monitor and offer its windows."""
    monitor = view.monitor
    words = " · ".join(
        [
            f"{monitor.kind} of {monitor.endpoint}",
            f"baseline {monitor.baseline}",
            schedule_text(monitor.schedule),
            f"false alarms allowed: {number(monitor.false_alarms_per_year)} a year",
        ]
    )
    title = html.Div([html.H1(monitor.name, tabIndex=-1), html.P(words, className="under")])
    if view.detail is None:
        return html.Div([title], className="title")
    return html.Div([title, _picker(monitor, view.detail.run, view.kept)], className="title")


def _picker(monitor: MonitorLine, run: WindowRun, keep: str | None) -> html.Nav:
    """Offer the windows: one back, one forward, or any from a list; a chosen feature stays."""
    stamps = [entry.stamp for entry in monitor.runs]
    place = stamps.index(run.stamp) if run.stamp in stamps else len(stamps) - 1
    before = monitor.runs[place - 1] if place > 0 else None
    after = monitor.runs[place + 1] if place + 1 < len(stamps) else None
    choices = [html.Li(_choice(monitor, entry, run, keep)) for entry in reversed(monitor.runs)]
    return marked(
        html.Nav(
            [
                _step(monitor, before, "‹", "Earlier window", keep),
                html.Details(
                    [
                        html.Summary([html.Span(span(run)), html.Span("▾", className="faint")]),
                        html.Ul(choices),
                    ],
                    className="windows",
                ),
                _step(monitor, after, "›", "Later window", keep),
            ],
            className="picker",
        ),
        aria_label="Window",
    )


def _choice(monitor: MonitorLine, entry: WindowRun, shown: WindowRun, keep: str | None) -> html.A:
    """Offer one window in the list."""
    note = f"{entry.violation_count}" if entry.violation_count else ""
    link = html.A(
        [
            html.Span(span(entry)),
            html.Span(note, className="number"),
            state_chip(entry.state, small=True),
        ],
        href=monitor_link(monitor.name, window=entry.stamp, keep=keep),
    )
    return marked(link, aria_current="page") if entry.stamp == shown.stamp else link


def _step(
    monitor: MonitorLine, run: WindowRun | None, glyph: str, label: str, keep: str | None
) -> html.A | html.Span:
    if run is None:
        return marked(html.Span(glyph, className="step off"), aria_hidden="true")
    return marked(
        html.A(
            glyph,
            href=monitor_link(monitor.name, window=run.stamp, keep=keep),
            className="step",
            title=f"{label}: {span(run)}",
        ),
        aria_label=f"{label}: {span(run)}",
    )


def _verdict(view: MonitorView, detail: WindowDetail) -> html.Div:
    """Say how the window stands, its top cause and where the guilty rows sit."""
    run = detail.run
    tone = {"ok": "ok", "failed": "failed"}.get(run.state, "alarm" if run.hard_count else "soft")
    lines: list[Cell] = [html.H2(verdict(view.monitor, detail))]
    if detail.cause:
        lines.append(html.P(detail.cause, className="cause"))
    if detail.segment and detail.segment not in (detail.cause or ""):
        lines.append(html.P(["Where: ", html.B(detail.segment)], className="cause"))
    lines += [html.P(sentence, className="faint") for sentence in view.notes]
    return html.Div(lines, className=f"verdict small {tone}")


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
    graph = dcc.Graph(
        id="timeline",
        figure=timeline_figure(monitor.name, monitor.runs, run.stamp, keep),
        config=CONFIG,
        style={"height": "250px"},
    )
    figure = html.Figure(
        [
            marked(html.Div(graph, role="img"), aria_label=f"Drift over time: {summary}"),
            html.Figcaption(summary, className="hidden"),
        ]
    )
    meaning = html.P([html.B("Drift ÷ bound"), f": {RATIO}."], className="note")
    return panel("Windows", [figure, meaning], note=legend)


def _changes(view: MonitorView) -> html.Section:
    """List how the monitor's alarms changed their states."""
    if not view.changes:
        return panel("Alarm history", [empty("No alarm of this monitor has changed its state.")])
    rows: list[list[Cell]] = []
    for change in view.changes:
        reason = change.cause or change.reason
        name: Cell = html.A(change.alarm, href=change.link) if change.link else change.alarm
        rows.append(
            [
                when(change.time, view.now),
                html.Div([name, state_chip(change.new, small=True)], className="stack"),
                html.Span(reason, className="clip", title=change.reason),
            ]
        )
    heads = ["When", "Alarm", "Why"]
    return panel("Alarm history", [table(heads, rows, label="Changes of state", kind="cards tall")])


def _record(monitor: MonitorLine, detail: WindowDetail) -> html.Section:
    """Say where the verdict comes from, for whoever wants to follow it."""
    run = detail.run
    facts: Sequence[tuple[str, Cell]] = [
        ("Execution", html.Code(run.execution)),
        ("Rows judged", count(run.row_count)),
        ("Arrived late", count(detail.late)),
        ("Not readable", count(detail.unparsed)),
        ("Baseline", f"{monitor.baseline} {monitor.baseline_version}".strip()),
        ("Documents", html.Code(detail.documents) if detail.documents else "none were written"),
    ]
    return panel("This execution", [html.Dl([fact(*entry) for entry in facts], className="facts")])
