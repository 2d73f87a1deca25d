"""The page of all alarms: how each stands, since when, what it watches, and who was notified."""

from __future__ import annotations

from functools import partial

from dash import html

from driftline.dashboard.address import alarm_link, incident_link, list_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.alarm_views import AlarmLine, AlarmsView
from driftline.dashboard.words import STATES, delivery_words, mid_sentence, plural

SEVERITIES = {None: "any severity", "page": "pages", "ticket": "tickets", "digest": "digest"}


def page(view: AlarmsView) -> html.Div:
    """Lay out the list, worst first, with the ways to narrow it."""
    firing = view.counts["ALARM"]
    under = " · ".join(
        [plural(view.counts.total(), "alarm"), f"{firing:,} firing" if firing else "none is firing"]
    )
    return ui.place_page("Alerts", "Alarms", under, _filters(view), _list(view))


def _filters(view: AlarmsView) -> html.Div:
    states: dict[str | None, str] = {None: f"all {view.counts.total():,}"}
    for state in ("ALARM", "INSUFFICIENT_DATA", "OK"):
        sign, word, _ = STATES[state]
        states[state] = f"{sign} {mid_sentence(word)} {view.counts[state]:,}"
    here = _here(view)
    return ui.filters(
        ui.choices("State of the alarms", states, view.state, lambda one: here(state=one)),
        ui.choices(
            "Severity of the alarms", SEVERITIES, view.severity, lambda one: here(severity=one)
        ),
        ui.filter_box(view.text, "Filter by name, metric or monitor"),
    )


def _here(view: AlarmsView) -> partial[str]:
    return partial(list_link, "alarms", state=view.state, text=view.text, severity=view.severity)


def _list(view: AlarmsView) -> html.Section:
    clear = html.P(html.A("Show all alarms", href=list_link("alarms"), className="button"))
    why = [ui.empty("No alarm matches this filter."), clear] if view.counts else [ui.no_alarms()]
    return ui.list_panel(
        "All alarms" if view.total in (0, view.counts.total()) else f"{view.total:,} of them",
        view.shown,
        {
            "State": lambda alarm: ui.state_chip(alarm.state),
            "Alarm": _name,
            "Since": lambda alarm: ui.when(alarm.since, view.now),
            "Watches": lambda alarm: (
                alarm.condition
                if alarm.kind == "metric"
                else html.Code(alarm.condition, className="clip", title=alarm.condition)
            ),
            "Monitor": lambda alarm: (
                html.A(alarm.monitor, href=monitor_link(alarm.monitor)) if alarm.monitor else "–"
            ),
            "Last notification": _last_message,
        },
        why,
        ui.pager(view.number, view.size, view.total, _here(view)),
        label="Alarms, worst first",
        kind="cards alarm-list",
    )


def _name(alarm: AlarmLine) -> ui.Cell:
    name = ui.stack(
        html.A(alarm.name, href=alarm_link(alarm.name), className="strong"),
        ui.tag(alarm.severity),
        ui.tag("composite", "kind") if alarm.kind == "composite" else None,
        ui.tag("incident", "kind", incident_link(alarm.incident)) if alarm.incident else None,
    )
    causes = (alarm.cause, alarm.latest and f"Now: {alarm.latest}")
    cause = [ui.clipped(words, "clip faint") for words in causes if words]
    quiet = [html.Span(f"◌ {words}", className="held line") for words in alarm.quiet]
    return html.Div([name, *cause, *quiet])


def _last_message(alarm: AlarmLine) -> ui.Cell:
    sent = []
    for one in alarm.deliveries:
        look = "alarm-text" if one.status == "dead" else ""
        why = one.last_error or (f"HTTP {one.last_status}" if one.last_status else None)
        result = html.Span(delivery_words(one.status), className=look, title=why)
        sent.append(ui.stack(ui.state_chip(one.state, small=True), html.Span(one.channel), result))
    return html.Div(sent) if sent else ui.faint("none yet")
