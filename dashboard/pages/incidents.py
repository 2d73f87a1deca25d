"""The pages of incidents: alarms that went off together, and what was told of them."""

from __future__ import annotations

from dash import html

from driftline.alerts.notify.incidents import Incident
from driftline.dashboard.address import alarm_link, incident_link
from driftline.dashboard.pages.alarm_quiet import silence_form
from driftline.dashboard.pages.messages import HEADS, message_rows
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    empty,
    fact,
    marked,
    panel,
    state_chip,
    table,
    when,
)
from driftline.dashboard.queries.notification_views import IncidentsView, IncidentView
from driftline.dashboard.words import duration, moment, plural

ALARMS_SHOWN = 5
SILENCED_MAX = 100


def page(view: IncidentsView) -> html.Div:
    """Lay out the incidents, open ones first."""
    count = sum(one.closed_at is None for one in view.incidents)
    under = f"{plural(count, 'incident')} open" if count else "none is open"
    head = html.Div(
        [html.H1("Incidents", tabIndex=-1), html.P(under, className="under")],
        className="title-text",
    )
    title = "Alarms that went off together"
    if view.incidents:
        rows = [_row(view, one) for one in view.incidents]
        heads = ["Status", "Cause", "Endpoint", "Began", "Alarms"]
        parts: list[Cell] = [
            table(heads, rows, label="Incidents, open ones first", kind="cards incidents")
        ]
    else:
        parts = [empty("No alarm has gone off yet.")]
    return marked(
        html.Div(
            [crumbs("Incidents"), html.Div(head, className="title"), panel(title, parts)],
            className="page",
        ),
        data_title="Incidents",
    )


def incident_page(view: IncidentView) -> html.Div:
    """Lay out one incident: the cause, its alarms, what was told, a way to silence them all."""
    one = view.incident
    end = one.closed_at or view.now
    word = "Open" if one.closed_at is None else "Closed, was open"
    head = html.Div(
        [
            html.H1(one.cause or one.id, tabIndex=-1),
            html.P(f"Incident {one.id}", className="under"),
        ],
        className="title-text",
    )
    tone = "alarm" if one.closed_at is None else "ok"
    said = f"{word} for {duration(end - one.opened_at)}, since {moment(one.opened_at)}"
    return marked(
        html.Div(
            [
                crumbs(("Incidents", "/incidents"), one.id),
                html.Div([head, html.Span(one.severity, className=f"tag {one.severity}")],
                         className="title"),
                html.Div(html.Div([_chip(one), html.H2(said)], className="stack"),
                         className=f"verdict small {tone}"),
                html.Div([_alarms(view), _facts(view)], className="pair wide-left"),
                _messages(view),
            ],
            className="page",
        ),
        data_title=f"Incident {one.cause or one.id}",
    )  # fmt: skip


def _chip(one: Incident) -> html.Span:
    if one.closed_at is None:
        return html.Span("▲ Open", className="chip alarm")
    return html.Span("✓ Closed", className="chip ok")


def _row(view: IncidentsView, one: Incident) -> list[Cell]:
    links: list[Cell] = [
        html.A(member.name, href=alarm_link(member.name), className="line")
        for member in one.alarms[:ALARMS_SHOWN]
    ]
    if more := len(one.alarms) - len(links):
        links.append(html.Span(f"and {more:,} more", className="faint line"))
    features = ", ".join(one.features[:ALARMS_SHOWN])
    cause = html.Div(
        [
            html.A(one.cause or one.id, href=incident_link(one.id), className="strong clip"),
            html.Span(features, className="faint line"),
        ]
    )
    severity = html.Span(one.severity, className=f"tag {one.severity}")
    status = html.Div([_chip(one), severity], className="stack")
    return [status, cause, one.endpoint or "–", when(one.onset_at, view.now), html.Div(links)]


def _alarms(view: IncidentView) -> html.Section:
    rows: list[list[Cell]] = []
    for member in view.incident.alarms:
        state = view.states.get(member.name)
        chip: Cell = html.Span("deleted", className="faint")
        if state is not None:
            chip = state_chip(state, small=True)
        left: Cell = "still in it"
        if member.left_at is not None:
            left = when(member.left_at, view.now)
        name = html.A(member.name, href=alarm_link(member.name), className="strong")
        rows.append([name, chip, when(member.joined_at, view.now), left, f"{member.count:,}×"])
    heads = ["Alarm", "State", "Joined", "Left", "Went off"]
    body = table(heads, rows, label="Alarms of the incident", kind="cards tall")
    return panel("Alarms", [body], note=plural(len(rows), "alarm"))


def _facts(view: IncidentView) -> html.Section:
    one = view.incident
    facts: list[tuple[str, Cell]] = [
        ("Endpoint", one.endpoint or "–"),
        ("Features", ", ".join(one.features) or "–"),
        ("Data wrong since", moment(one.onset_at)),
        ("Opened", moment(one.opened_at)),
        ("Closed", moment(one.closed_at) if one.closed_at is not None else "–"),
    ]
    names = [member.name for member in one.alarms if member.left_at is None][:SILENCED_MAX]
    parts: list[Cell] = [html.Dl([fact(*entry) for entry in facts], className="facts")]
    if names:
        parts.append(silence_form(names))
    return panel("What they share", parts)


def _messages(view: IncidentView) -> html.Section:
    if not view.messages:
        return panel("Messages", [empty("No message of this incident has been due yet.")])
    rows, tones = message_rows(view.messages, view.now)
    body = table(HEADS, rows, label="Messages of the incident", kind="cards messages", tones=tones)
    return panel("Messages", [body])
