"""What pages of a monitor share: the choice of its windows, its alarms' history, the execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from dash import html

from driftline.dashboard.address import alarm_link
from driftline.dashboard.pages.parts import (
    Cell,
    empty,
    fact,
    marked,
    panel,
    state_chip,
    table,
    way_words,
    when,
)
from driftline.dashboard.queries.views import AlarmChange, MonitorLine, WindowRun
from driftline.dashboard.words import count, number, schedule_text, span

Link = Callable[[WindowRun], str]
"""Gives the address of the same page in another window."""


def head(monitor: MonitorLine, run: WindowRun | None, link: Link) -> html.Div:
    """Name the monitor and offer its windows."""
    words = " · ".join(
        [
            f"{monitor.kind} of {monitor.endpoint}",
            f"baseline {monitor.baseline}",
            schedule_text(monitor.schedule),
            f"false alarms allowed: {number(monitor.false_alarms_per_year)} a year",
        ]
    )
    title = html.Div([html.H1(monitor.name, tabIndex=-1), html.P(words, className="under")])
    if run is None:
        return html.Div([title], className="title")
    return html.Div([title, picker(monitor, run, link)], className="title")


def picker(monitor: MonitorLine, run: WindowRun, link: Link) -> html.Nav:
    """Offer the windows: one back, one forward, or any from a list."""
    stamps = [entry.stamp for entry in monitor.runs]
    place = stamps.index(run.stamp) if run.stamp in stamps else len(stamps) - 1
    before = monitor.runs[place - 1] if place > 0 else None
    after = monitor.runs[place + 1] if place + 1 < len(stamps) else None
    choices = [html.Li(_choice(entry, run, link)) for entry in reversed(monitor.runs)]
    return marked(
        html.Nav(
            [
                _step(before, "‹", "Earlier window", link),
                html.Details(
                    [
                        html.Summary([html.Span(span(run)), html.Span("▾", className="faint")]),
                        html.Ul(choices),
                    ],
                    className="windows",
                ),
                _step(after, "›", "Later window", link),
            ],
            className="picker",
        ),
        aria_label="Window",
    )


def changes_panel(changes: Sequence[AlarmChange], now: datetime) -> html.Section:
    """List how the monitor's alarms changed their states."""
    if not changes:
        return panel("Alarm history", [empty("No alarm of this monitor has changed its state.")])
    rows: list[list[Cell]] = []
    for change in changes:
        name = html.A(change.alarm, href=alarm_link(change.alarm))
        why: list[Cell] = [
            html.Span(change.cause or change.reason, className="clip", title=change.reason)
        ]
        if change.link:
            why.append(html.A(way_words(change.link), href=change.link, className="line"))
        rows.append(
            [
                when(change.time, now),
                html.Div([name, state_chip(change.new, small=True)], className="stack"),
                html.Div(why),
            ]
        )
    heads = ["When", "Alarm", "Why"]
    return panel("Alarm history", [table(heads, rows, label="Changes of state", kind="cards tall")])


def record_panel(
    monitor: MonitorLine, run: WindowRun, facts: Sequence[tuple[str, Cell]], documents: str | None
) -> html.Section:
    """Say where the verdict comes from, for whoever wants to follow it."""
    entries: Sequence[tuple[str, Cell]] = [
        ("Execution", html.Code(run.execution)),
        ("Rows judged", count(run.row_count)),
        *facts,
        ("Baseline", f"{monitor.baseline} {monitor.baseline_version}".strip()),
        ("Documents", html.Code(documents) if documents else "none were written"),
    ]
    return panel(
        "This execution", [html.Dl([fact(*entry) for entry in entries], className="facts")]
    )


def _choice(entry: WindowRun, shown: WindowRun, link: Link) -> html.A:
    """Offer one window in the list."""
    note = f"{entry.violation_count}" if entry.violation_count else ""
    found = html.A(
        [
            html.Span(span(entry)),
            html.Span(note, className="number"),
            state_chip(entry.state, small=True),
        ],
        href=link(entry),
    )
    return marked(found, aria_current="page") if entry.stamp == shown.stamp else found


def _step(run: WindowRun | None, glyph: str, label: str, link: Link) -> html.A | html.Span:
    if run is None:
        return marked(html.Span(glyph, className="step off"), aria_hidden="true")
    return marked(
        html.A(glyph, href=link(run), className="step", title=f"{label}: {span(run)}"),
        aria_label=f"{label}: {span(run)}",
    )
