"""The page of all alarms: how each stands, since when, what it watches, and who was notified."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import alarm_link, list_link, monitor_link
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
    """Offer the states with their counts, and a text to look for."""
    states: dict[str | None, str] = {None: f"all {view.counts.total():,}"}
    for state in ("ALARM", "INSUFFICIENT_DATA", "OK"):
        sign, word, _ = STATES[state]
        states[state] = f"{sign} {mid_sentence(word)} {view.counts[state]:,}"
    by_state = (
        (words, list_link("alarms", state=state, text=view.text, severity=view.severity),
         state == view.state)
        for state, words in states.items()
    )  # fmt: skip
    by_severity = (
        (
            words,
            list_link("alarms", state=view.state, text=view.text, severity=one),
            one == view.severity,
        )
        for one, words in SEVERITIES.items()
    )
    return html.Div(
        [
            ui.choices("State of the alarms", by_state),
            ui.choices("Severity of the alarms", by_severity),
            ui.filter_box(view.text, "Filter by name, metric or monitor"),
        ],
        className="filters",
    )


def _list(view: AlarmsView) -> html.Section:
    if not view.counts:
        return ui.panel("All alarms", [ui.no_alarms()])
    if not view.shown:
        clear = html.P(html.A("Show all alarms", href=list_link("alarms"), className="button"))
        return ui.panel("All alarms", [ui.empty("No alarm matches this filter."), clear])
    body = ui.table(
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
        label="Alarms, worst first",
        kind="cards alarm-list",
    )
    title = "All alarms" if view.total == view.counts.total() else f"{view.total:,} of them"

    def link(number: int) -> str:
        return list_link(
            "alarms", state=view.state, text=view.text, severity=view.severity, number=number
        )

    return ui.panel(title, [body, *ui.pager(view.number, view.size, view.total, link)])


def _name(alarm: AlarmLine) -> ui.Cell:
    """Name an alarm, with its cause and what keeps it quiet."""
    name = ui.stack(
        html.A(alarm.name, href=alarm_link(alarm.name), className="strong"),
        ui.tag(alarm.severity),
        *([ui.tag("composite", "kind")] * (alarm.kind == "composite")),
        *ui.incident_tag(alarm.incident),
    )
    causes = (alarm.cause, alarm.latest and f"Now: {alarm.latest}")
    cause = [ui.clipped(words, "clip faint") for words in causes if words]
    quiet = [html.Span(f"◌ {words}", className="held line") for words in alarm.quiet]
    return html.Div([name, *cause, *quiet])


def _last_message(alarm: AlarmLine) -> ui.Cell:
    """Show what was last sent, to whom, and whether it arrived."""
    if not alarm.deliveries:
        return ui.faint("none yet")
    return html.Div(
        [
            ui.stack(
                ui.state_chip(one.state, small=True),
                html.Span(one.channel),
                html.Span(
                    delivery_words(one.status),
                    className="alarm-text" if one.status == "dead" else "",
                    title=one.last_error
                    or (f"HTTP {one.last_status}" * bool(one.last_status))
                    or None,
                ),
            )
            for one in alarm.deliveries
        ]
    )
