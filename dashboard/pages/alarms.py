"""The page of all alarms: how each stands, since when, what it watches, and who was told."""

from __future__ import annotations

from dash import dcc, html

from driftline.alerts.notify.incidents import Incident
from driftline.dashboard.address import alarm_link, alarms_link, incident_link, monitor_link
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    delivery_text,
    empty,
    marked,
    panel,
    state_chip,
    table,
    when,
)
from driftline.dashboard.queries.alarm_views import AlarmsView
from driftline.dashboard.queries.views import AlarmLine
from driftline.dashboard.words import STATES, moment, plural

SHOWN = 200
"""Rows on a page; more would take seconds to draw."""

SEVERITIES = ("page", "ticket", "digest")
INCIDENTS_SHOWN = 10
MEMBERS_SHOWN = 12

STATES_SHOWN = ("ALARM", "INSUFFICIENT_DATA", "OK")


def page(view: AlarmsView) -> html.Div:
    """Lay out the list, worst first, with the ways to narrow it."""
    firing = view.counts["ALARM"]
    under = " · ".join(
        [plural(len(view.alarms), "alarm"), f"{firing} firing" if firing else "none is firing"]
    )
    head = html.Div(
        [html.H1("Alarms", tabIndex=-1), html.P(under, className="under")], className="title-text"
    )
    return marked(
        html.Div(
            [
                crumbs("Alarms"),
                html.Div([head, _filters(view)], className="title"),
                *_incidents(view),
                _list(view),
            ],
            className="page",
        ),
        data_title="Alarms",
    )


def _filters(view: AlarmsView) -> html.Div:
    """Offer the states with their counts, and a text to look for."""
    links = [_state(view, None, f"all {len(view.alarms)}")]
    links += [
        _state(view, state, f"{STATES[state][0]} {STATES[state][1].lower()} {view.counts[state]}")
        for state in STATES_SHOWN
    ]
    box = dcc.Input(
        id="filter",
        type="search",
        value=view.text or "",
        placeholder="Filter by name, metric or monitor",
        maxLength=200,
        debounce=False,
        autoComplete="off",
    )
    label = html.Label([html.Span("Filter", className="hidden"), box], htmlFor="filter")
    states = marked(html.Nav(links, className="choices"), aria_label="State of the alarms")
    kinds = marked(
        html.Nav([_severity(view, one) for one in (None, *SEVERITIES)], className="severities"),
        aria_label="Severity of the alarms",
    )
    return html.Div([states, kinds, label], className="filters")


def _severity(view: AlarmsView, severity: str | None) -> html.A:
    href = alarms_link(state=view.state, text=view.text, severity=severity)
    words = {None: "any severity", "digest": "digest"}.get(severity, f"{severity}s")
    link = html.A(words, href=href)
    return marked(link, aria_current="page") if view.severity == severity else link


def _incidents(view: AlarmsView) -> list[html.Section]:
    """Show what went off together, before the single alarms; one alone stands in the list."""
    shared = [one for one in view.incidents if len(one.alarms) > 1]
    if not shared:
        return []
    items = [
        html.Li(
            [
                html.Span(one.severity, className=f"tag {one.severity}"),
                html.A(one.cause or one.id, href=incident_link(one.id), className="strong clip"),
                html.Span(_extent(one), className="faint"),
                html.Span(_members(one), className="clip"),
            ]
        )
        for one in shared[:INCIDENTS_SHOWN]
    ]
    note = html.A("all incidents", href="/incidents")
    return [panel("Open incidents", [html.Ul(items, className="incident-list")], note=note)]


def _members(one: Incident) -> str:
    names = [member.name for member in one.alarms if member.left_at is None]
    more = len(names) - MEMBERS_SHOWN
    return ", ".join(names[:MEMBERS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _extent(one: Incident) -> str:
    count = plural(sum(member.left_at is None for member in one.alarms), "alarm")
    where = f" of {one.endpoint}" if one.endpoint else ""
    return f"{count}{where}, since {moment(one.onset_at)}"


def _state(view: AlarmsView, state: str | None, words: str) -> html.A:
    link = html.A(words, href=alarms_link(state=state, text=view.text, severity=view.severity))
    return marked(link, aria_current="page") if view.state == state else link


def _list(view: AlarmsView) -> html.Section:
    found = view.shown
    if not view.alarms:
        why = "No alarm is declared yet. Deploying a model with a reference declares the usual ones"
        return panel("All alarms", [empty(f"{why}.", "driftline apply -f alarms.yaml")])
    if not found:
        clear = html.P(html.A("Show all alarms", href=alarms_link(), className="button"))
        return panel("All alarms", [empty("No alarm matches this filter."), clear])
    heads = ["State", "Alarm", "Since", "Watches", "Monitor", "Last message"]
    rows = [_row(view, alarm) for alarm in found[:SHOWN]]
    note = f"the first {SHOWN} of {len(found)}; narrow them by the filter" * (len(found) > SHOWN)
    return panel(
        "All alarms" if len(found) == len(view.alarms) else f"{len(found)} of them",
        [table(heads, rows, label="Alarms, worst first", kind="cards alarm-list")],
        note=note,
    )


def _row(view: AlarmsView, alarm: AlarmLine) -> list[Cell]:
    """Show one alarm as the cells of a row."""
    name = html.Div(
        [
            html.A(alarm.name, href=alarm_link(alarm.name), className="strong"),
            html.Span(alarm.severity, className=f"tag {alarm.severity}"),
            *([html.Span("composite", className="tag kind")] * (alarm.kind == "composite")),
            *(
                [html.A("incident", href=incident_link(alarm.incident), className="tag kind")]
                if alarm.incident
                else []
            ),
        ],
        className="stack",
    )
    quiet = [html.Span(f"◌ {words}", className="held line") for words in alarm.quiet]
    why = [html.Span(alarm.cause, className="clip faint", title=alarm.cause)] if alarm.cause else []
    monitor: Cell = "–"
    if alarm.monitor:
        monitor = html.A(alarm.monitor, href=monitor_link(alarm.monitor))
    return [
        state_chip(alarm.state),
        html.Div([name, *why, *quiet]),
        when(alarm.since, view.now),
        _condition(alarm),
        monitor,
        _told(alarm),
    ]


def _condition(alarm: AlarmLine) -> Cell:
    if alarm.kind == "metric":
        return alarm.condition
    return html.Code(alarm.condition, className="clip", title=alarm.condition)


def _told(alarm: AlarmLine) -> Cell:
    """Say what was last told, to whom, and whether it arrived."""
    if not alarm.told:
        return html.Span("nothing told yet", className="faint")
    return html.Div(
        [
            html.Div(
                [state_chip(line.state, small=True), html.Span(line.channel), delivery_text(line)],
                className="stack",
            )
            for line in alarm.told
        ]
    )
