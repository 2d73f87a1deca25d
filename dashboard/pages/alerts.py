"""The pages of alerts: alarms, notifications, silences; all lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from dash import html

from driftline.alerts.notify.deliveries import Delivery
from driftline.dashboard.address import Address, alarm_link, link_to, monitor_link
from driftline.dashboard.pages import alarm_panels
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.notifications import CountedSilence
from driftline.dashboard.queries.views import AlarmLine, AlarmsView
from driftline.dashboard.words import STATES, delivery_words, mid_sentence, moment, plural

SEVERITIES = {None: "any severity", "page": "pages", "ticket": "tickets"}
NO_NOTIFICATION = (
    "No notification has been sent yet. An alarm sends one to the channels in its actions when its "
    "state changes."
)
ORDER = ("failed", "pending", "sending", "muted", "superseded")
SILENCES_SHOWN = 200
STATUS = {
    "ACTIVE": ("◌ active", "alarm"),
    "SCHEDULED": ("– scheduled", "none"),
    "EXPIRED": ("✓ expired", "none"),
}


def alarms_page(view: AlarmsView) -> html.Div:
    """Lay out the list, worst first, with the ways to narrow it."""
    total, firing, chosen = view.counts.total(), view.firing, view.severity
    states: dict[str | None, str] = {None: f"all {total:,}"}
    for state in ("ALARM", "INSUFFICIENT_DATA", "OK"):
        sign, word, _ = STATES[state]
        states[state] = f"{sign} {mid_sentence(word)} {view.counts[state]:,}"
    here = partial(link_to, "alarms", state=view.state, text=view.text, severity=chosen)
    filters = ui.filters(
        ui.choices("State of the alarms", states, view.state, lambda one: here(state=one)),
        ui.choices("Severity of the alarms", SEVERITIES, chosen, lambda one: here(severity=one)),
        ui.filter_box(view.text, "Filter by name, metric or monitor"),
    )
    outside = f"{plural(view.outside, 'alarm')} left out: no change in the time that is shown"
    why: ui.Parts = [ui.no_alarms()]
    if view.counts:
        why = ui.no_match("alarm", link_to("alarms"))
    elif view.outside:
        why = f"{outside}."
    listed = ui.list_panel(
        f"{view.total:,} of them" if view.shown and view.total < total else "All alarms",
        view.shown,
        {
            "State": lambda alarm: ui.state_chip(alarm.state),
            "Alarm": _alarm_name,
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
        ui.pager(view.number, view.size, view.total, here),
        why=why,
        label="Alarms, worst first",
        kind="cards alarm-list",
    )
    under = f"{plural(total, 'alarm')} · {f'{firing:,} firing' if firing else 'none is firing'}"
    under += f" · {outside}" * bool(view.outside)
    return ui.place_page("Alerts", "Alarms", under, filters, listed)


def _alarm_name(alarm: AlarmLine) -> ui.Cell:
    name = ui.stack(
        html.A(alarm.name, href=alarm_link(alarm.name), className="strong"),
        ui.tag(alarm.severity),
        ui.tag("composite", "kind") if alarm.kind == "composite" else None,
    )
    causes = (alarm.cause, alarm.latest and f"Now: {alarm.latest}")
    cause = [ui.clipped(words, "clip faint") for words in causes if words]
    quiet = [html.Span(f"◌ {words}", className="held line") for words in alarm.quiet]
    return html.Div([name, *cause, *quiet])


def _last_message(alarm: AlarmLine) -> ui.Cell:
    sent = []
    for one in alarm.deliveries:
        look = "alarm-text" if one.status == "failed" else ""
        why = one.last_error or (f"HTTP {one.last_status}" if one.last_status else None)
        result = html.Span(delivery_words(one.status), className=look, title=why)
        sent.append(ui.stack(ui.state_chip(one.state, small=True), html.Span(one.channel), result))
    return html.Div(sent) if sent else ui.faint("none yet")


def messages_page(
    messages: Sequence[Delivery], counts: Mapping[str, int], asked: Address, now: datetime
) -> html.Div:
    """Lay out the list, newest first, with the ways to narrow it."""
    failed, total = counts.get("failed", 0), sum(counts.values())
    under = [plural(total, "notification"), f"{failed:,} failed" if failed else "none failed"]
    under += [f"to {asked.channel}"] if asked.channel else []
    statuses: dict[str | None, str] = {None: f"all {total:,}"}
    for status in (*ORDER, *sorted(set(counts) - set(ORDER))):
        if counts.get(status) or status == asked.status == "failed":
            words = delivery_words(status)
            statuses[status] = f"{words} {counts.get(status, 0):,}"
    here = partial(link_to, "messages", status=asked.status, channel=asked.channel)
    clear = html.A(f"✕ channel {asked.channel}", href=here(channel=None), className="button small")
    by_status = ui.choices(
        "Status of the notifications", statuses, asked.status, lambda one: here(status=one)
    )
    several, shown = counts.get(asked.status, 0) if asked.status else total, len(messages)
    note = f"the newest {shown} of {several:,}" if several > shown else ""
    why = ui.no_match("notification", "/messages") if counts else ui.in_time(NO_NOTIFICATION)
    label = "Notifications, newest first"
    listed = alarm_panels.message_panel(messages, now, label, why, note=note)
    filters = ui.filters(by_status, clear if asked.channel else None)
    return ui.place_page("Alerts", "Notifications", " · ".join(under), filters, listed)


def silences_page(silences: Sequence[CountedSilence], now: datetime) -> html.Div:
    """Lay out all silences, those in force first."""
    active = sum(status == "ACTIVE" for _, status, _ in silences)
    under = f"{plural(active, 'silence')} active" if active else "nothing is silenced now"
    muted = link_to("messages", status="muted")

    def status(entry: CountedSilence) -> ui.Cell:
        words, tone = STATUS[entry[1]]
        return html.Span(words, className=f"chip small {tone}")

    def until(entry: CountedSilence) -> str:
        record, status, _ = entry
        end = record.expired_at or record.silence.last_end
        if status == "ACTIVE":
            end = record.silence.mutes_until(now)
        return "no end" if end is None else moment(end)

    def suppressed(entry: CountedSilence) -> ui.Cell:
        return html.A(plural(entry[2], "notification"), href=muted) if entry[2] else "–"

    def end(entry: CountedSilence) -> ui.Cell:
        button = alarm_panels.end_button(entry[0].silence.name)
        return ui.faint("–") if entry[1] == "EXPIRED" else button

    listed = ui.list_panel(
        "Silences and maintenance windows",
        silences[:SILENCES_SHOWN],
        {
            "Status": status,
            "Silence": _silence_name,
            "Applies to": _about,
            "Until": until,
            "Suppressed": suppressed,
            "End": end,
        },
        why=[ui.empty("No silences yet. Add one on an alarm's page, or declare it.")],
        label="Silences, active first",
        kind="cards silences",
        note=f"the first {SILENCES_SHOWN} of {len(silences)}" * (len(silences) > SILENCES_SHOWN),
    )
    return ui.place_page("Alerts", "Silences", under, listed)


def _silence_name(entry: CountedSilence) -> ui.Cell:
    one = entry[0].silence
    by = f"by {one.created_by}" if one.created_by else ""
    return ui.over(html.B(one.name), ": ".join(filter(None, (by, one.comment))))


def _about(entry: CountedSilence) -> ui.Cell:
    schedule = entry[0].silence.schedule
    values = schedule.as_dict().values() if schedule is not None else ()
    when = [", ".join(str(value) for value in values if value)] * (schedule is not None)
    return ui.over(alarm_panels.about_words(entry[0]), *when)
