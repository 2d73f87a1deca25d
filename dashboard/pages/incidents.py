"""The pages of incidents: alarms that went off together, and what was sent about them."""

from __future__ import annotations

from dash import html

from driftline.alerts.notify.incidents import Incident
from driftline.dashboard.address import alarm_link, incident_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm_panels import silence_form
from driftline.dashboard.pages.messages import message_table
from driftline.dashboard.queries.notifications import IncidentsView, IncidentView
from driftline.dashboard.words import duration, moment, plural

ALARMS_SHOWN = 5
SILENCED_MAX = 100


def page(view: IncidentsView) -> html.Div:
    """Lay out the incidents, open ones first."""
    count = sum(one.closed_at is None for one in view.incidents)
    under = f"{plural(count, 'incident')} open" if count else "none is open"
    listed = ui.list_panel(
        "Alarms that fired together",
        view.incidents,
        {
            "Status": lambda one: ui.stack(_chip(one), ui.tag(one.severity)),
            "Cause": _cause,
            "Endpoint": lambda one: one.endpoint or "–",
            "Began": lambda one: ui.when(one.onset_at, view.now),
            "Alarms": _names,
        },
        "No alarm has fired yet. Alarms of one endpoint that fire together become an incident.",
        label="Incidents, open ones first",
        kind="cards incidents",
    )
    return ui.place_page("Alerts", "Incidents", under, listed)


def incident_page(view: IncidentView) -> html.Div:
    """Lay out one incident: the cause, its alarms, what was sent, a way to silence them all."""
    one = view.incident
    name = one.cause or one.id
    is_open = one.closed_at is None
    lasted = duration((one.closed_at or view.now) - one.opened_at)
    said = (
        f"{'Open' if is_open else 'Closed, was open'} for {lasted}, since {moment(one.opened_at)}"
    )
    messages: ui.Cell = ui.empty("This incident has sent no notification yet.")
    if view.messages:
        messages = message_table(view.messages, view.now, "Notifications of the incident")
    return ui.layout(
        f"Incident {name}",
        ui.crumbs(("Incidents", "/incidents"), one.id),
        ui.heading(name, f"Incident {one.id}", ui.tag(one.severity)),
        ui.verdict_box("alarm" if is_open else "ok", ui.stack(_chip(one), html.H2(said))),
        ui.pair(_alarms(view), _facts(view), wide_left=True),
        ui.panel("Notifications", [messages]),
    )


def _chip(one: Incident) -> html.Span:
    if one.closed_at is None:
        return html.Span("▲ Open", className="chip alarm")
    return html.Span("✓ Closed", className="chip ok")


def _cause(one: Incident) -> ui.Cell:
    link = html.A(one.cause or one.id, href=incident_link(one.id), className="strong clip")
    return html.Div([link, ui.faint(", ".join(one.features[:ALARMS_SHOWN]), line=True)])


def _names(one: Incident) -> ui.Cell:
    links = [
        html.A(member.name, href=alarm_link(member.name), className="line")
        for member in one.alarms[:ALARMS_SHOWN]
    ]
    return html.Div([*links, *ui.more_of(len(one.alarms) - len(links))])


def _alarms(view: IncidentView) -> html.Section:
    def state(name: str) -> ui.Cell:
        known = view.states.get(name)
        return ui.state_chip(known, small=True) if known else ui.faint("deleted")

    body = ui.table(
        view.incident.alarms,
        {
            "Alarm": lambda one: html.A(one.name, href=alarm_link(one.name), className="strong"),
            "State": lambda one: state(one.name),
            "Joined": lambda one: ui.when(one.joined_at, view.now),
            "Left": lambda one: ui.when(one.left_at, view.now) if one.left_at else "still active",
            "Fired": lambda one: f"{one.count:,}×",
        },
        label="Alarms of the incident",
        kind="cards tall",
    )
    return ui.panel("Alarms", [body], note=plural(len(view.incident.alarms), "alarm"))


def _facts(view: IncidentView) -> html.Section:
    one = view.incident
    shared = ui.facts(
        {
            "Endpoint": one.endpoint or "–",
            "Features": ", ".join(one.features) or "–",
            "Onset": moment(one.onset_at),
            "Opened": moment(one.opened_at),
            "Closed": moment(one.closed_at) if one.closed_at is not None else "–",
        }
    )
    names = [member.name for member in one.alarms if member.left_at is None][:SILENCED_MAX]
    return ui.panel("In common", [shared, silence_form(names) if names else None])
