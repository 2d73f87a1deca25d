"""The panels that alarms of all kinds share: verdict, why, messages, what keeps it quiet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from dash import html

from driftline.alerts.evaluation.cause import Cause
from driftline.alerts.evaluation.diagnosis import Finding
from driftline.alerts.evaluation.explain import NotifiedAction
from driftline.alerts.notify.deliveries import Delivery
from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard import words as say
from driftline.dashboard.actions import LENGTHS
from driftline.dashboard.address import alarm_link, link_to
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import act_button, act_form, choice, field
from driftline.dashboard.queries.views import AlarmChange, AlarmLine, ChannelLine, StoryView

OTHERS_SHOWN = 20
AGAIN = ("failed", "superseded", "muted")
"""Statuses of messages that can be sent again: not sent, and not about to be."""


def verdict(view: StoryView) -> str:
    """Return the state of the alarm, and since when, in one sentence."""
    alarm = view.alarm
    word = {"ALARM": "Firing", "OK": "OK"}.get(alarm.state, "Insufficient data")
    return f"{word} for {say.duration(view.now - alarm.since)}, since {say.moment(alarm.since)}"


def verdict_panel(view: StoryView) -> html.Div:
    """Show the alarm's state first, with its cause and the link to the rows."""
    alarm, link = view.alarm, view.alarm.latest_link or view.alarm.link
    first = ui.way(alarm.link, "") if alarm.latest else []
    cause = html.P([alarm.cause, *(" " * bool(first)), *first], className="cause")
    # Named apart from the one in the cause, which leads to what made the alarm fire.
    words = "Open the newest window" if alarm.latest else ui.way_words(link or "")
    button = html.P(html.A(words, href=link, className="button"))
    return ui.verdict_box(
        {"ALARM": "alarm", "OK": "ok"}.get(alarm.state, "none"),
        ui.stack(ui.state_chip(alarm.state), html.H2(verdict(view))),
        cause if alarm.cause else None,
        *ui.now_line(alarm),
        html.P(say.short_reason(alarm.reason), className="faint reason"),
        button if link and alarm.state == "ALARM" else None,
    )


def channels(view: StoryView) -> html.Section:
    """List whom the alarm notifies, and how they fare."""
    why = "This alarm notifies no channel. Name one in its alarm_actions, then apply it."
    return ui.list_panel(
        "Notified channels",
        view.channels,
        {
            "Channel": lambda one: html.Div(
                [html.B(one.name), ui.faint(f" {one.status.channel.format if one.status else ''}")]
            ),
            "States": lambda one: ui.stack(*(ui.state_chip(of, small=True) for of in one.states)),
            "Health": channel_health,
            "Test": lambda one: act_button(
                "test", "Send a test", {"channel": one.name}, about=f"to {one.name}"
            ),
        },
        why=[ui.empty(why, "driftline apply -f alarms.yaml")],
        label="Channels",
        note="" if view.alarm.actions_enabled else "its actions are disabled",
    )


def channel_health(one: ChannelLine) -> ui.Cell:
    """Show what is wrong with a channel, or that it works."""
    return html.Span(f"✕ {one.health}", className="alarm-text") if one.health else "✓ works"


def history(view: StoryView) -> html.Section:
    """List the changes of state with their causes and the way to the window and its rows."""

    def change(one: AlarmChange) -> ui.Cell:
        to = ui.marked(html.Span("→"), aria_label="to")
        return ui.stack(ui.state_chip(one.old, small=True), to, ui.state_chip(one.new, small=True))

    none = ui.in_time("Its state has not changed since it was created.")
    return change_panel("State history", view.changes, view.now, {"Change": change}, none)


def change_panel(
    title: str, changes: Sequence[AlarmChange], now: datetime,
    middle: Mapping[str, Callable[[AlarmChange], ui.Cell]], none: str, note: str = "",
) -> html.Section:  # fmt: skip
    """List changes of alarms' states, newest first: when, what is asked for, and why."""

    def why(one: AlarmChange) -> ui.Cell:
        words = one.cause or say.short_reason(one.reason)
        return html.Div([html.Span(words, className="clip", title=one.reason), *ui.way(one.link)])

    return ui.list_panel(
        title,
        changes,
        {"When": lambda one: ui.when(one.time, now), **middle, "Why": why},
        why=none,
        label="Changes of state",
        kind="cards tall",
        note=note,
    )


def messages(view: StoryView) -> html.Section:
    """List the messages: attempts, status code, when, and those that failed."""
    failed = sum(one.status == "failed" for one in view.messages)
    return message_panel(
        view.messages,
        view.now,
        "Notifications",
        ui.in_time("This alarm has sent no notification yet."),
        note=html.Span(f"✕ {failed} failed", className="alarm-text") if failed else "",
        of_one=True,
    )


def message_panel(
    messages: Sequence[Delivery], now: datetime, label: str, why: str | Sequence[ui.Cell], *,
    note: ui.Cell = "", of_one: bool = False,
) -> html.Section:  # fmt: skip
    """List messages: what each said, to whom, how it fares, and a way to send it again.

    ``of_one``: all are of one alarm, which need not be named.
    """

    def alarm(one: Delivery) -> ui.Cell:
        link = html.A(one.alarm_name, href=alarm_link(one.alarm_name), className="strong")
        return ui.stack(None if of_one else link, ui.state_chip(one.state, small=True))

    return ui.list_panel(
        "Notifications",
        messages,
        {
            "When": lambda one: ui.when(one.created_at, now),
            "State" if of_one else "Alarm": alarm,
            "To": lambda one: html.A(one.channel, href=link_to("messages", channel=one.channel)),
            "Result": lambda one: _delivery(one, now),
        },
        why=why,
        label=label,
        kind="cards tall sent" if of_one else "cards sent",
        tone=lambda one: "failed" if one.status == "failed" else "",
        note=note,
    )


def _delivery(one: Delivery, now: datetime) -> ui.Cell:
    """Show the status of a notification and why; one that nobody will get is highlighted."""
    tries = [say.plural(one.attempts, "attempt")] if one.attempts else []
    if one.last_status:
        tries.append(f"HTTP {one.last_status}")
    if one.last_error and one.last_error != f"answered {one.last_status}":
        tries.append(one.last_error)
    # Sent ahead of this clock, it was by another than its alarm fired by: no wait lies between.
    if one.finished_at and one.finished_at <= now:
        tries.append(f"after {say.duration(one.finished_at - one.created_at)}")
    elif one.status == "pending" and one.attempts and not one.finished_at:
        wait = one.next_attempt_at - now
        due = f"in {say.duration(wait)}" if wait > timedelta() else "is due"
        tries.append(f"next attempt {due}")
    if one.reason and one.status != "delivered":
        tries.append(one.reason)
    look = "alarm-text" if one.status == "failed" else ""
    about = f"{one.alarm_name} to {one.channel}"
    again = act_button("redeliver", "Send again", {"id": one.id}, about=about)
    said = html.Span(say.delivery_words(one.status), className=look)
    return html.Div([said, ui.faint(", ".join(tries), line=True), *[again] * (one.status in AGAIN)])


def alarm_links(alarms: Sequence[AlarmLine]) -> html.Div:
    """List alarms with their states, as many as there is room for."""
    links = []
    for one in alarms[:OTHERS_SHOWN]:
        link = html.A(one.name, href=alarm_link(one.name))
        words: list[ui.Cell] = [link, " ", ui.state_chip(one.state, small=True)]
        links.append(html.Span(words, className="line"))
    return html.Div([*links, *ui.more_of(len(alarms) - len(links))])


def quiet_panel(view: StoryView) -> html.Section:
    """Show what suppresses notifications of the alarm now, and offer to do so for a while."""
    parts: list[ui.Cell] = []
    alarm = view.alarm
    said = [html.Li(f"◌ {words}") for words in alarm.quiet]
    none = html.P("Its notifications are not suppressed.", className="sentence")
    parts.append(html.Ul(said, className="sentence") if said else none)
    parts += [_silence(one, view.now) for one in view.silences]
    word, enabled = ("Disable", "false") if alarm.actions_enabled else ("Enable", "true")
    switch = act_button("switch", f"{word} its actions", {"alarm": alarm.name, "enabled": enabled})
    return ui.panel("Suppression", [*parts, silence_form(alarm.name), switch], name="quiet")


def silence_form(name: str) -> html.Form:
    """Offer to suppress the notifications of an alarm for a while."""
    fields: list[ui.Cell] = [
        choice("length", "For", {key: say.duration(one) for key, one in LENGTHS.items()}, "2h"),
        field("comment", "Reason", hint="new model rolls out", is_required=True),
    ]
    return act_form("silence", fields, "Silence", {"alarms": [name]})


def _silence(record: SilenceRecord, now: datetime) -> html.Div:
    one = record.silence
    until = one.mutes_until(now)
    who = f" by {one.created_by}" if one.created_by else ""
    end = f"until {say.moment(until)}" if until is not None else ""
    about = f" for {about_words(record)}, {end}{who}{': ' if one.comment else ''}{one.comment}"
    words = html.P([html.B(one.name), about])
    return html.Div([words, end_button(one.name)], className="finding-box")


def end_button(silence: str) -> html.Form:
    """Offer to end a silence."""
    return act_button("expire", "End now", {"name": silence}, about=silence)


def about_words(record: SilenceRecord) -> str:
    """Return which alarms a silence is about."""
    names = [*map(str, record.silence.matchers), *record.silence.alarm_names]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def why_panel(view: StoryView) -> html.Section:
    """Show in the words of ``driftline alarm explain`` why the alarm is in its state."""
    why, title = view.why, "Why it is in this state"
    if why is None:
        return ui.panel(title, f"It cannot be judged now: {view.why_not}", name="why")
    parts: list[ui.Cell] = []
    if why.problem:
        parts.append(html.P(f"✕ {why.problem}", className="alarm-text sentence"))
    parts.append(html.P(say.sentence(why.decided), className="sentence"))
    parts += [_finding(one) for one in why.findings]
    entries: list[tuple[str, ui.Cell | None]] = []
    if why.judged != why.state:
        entries.append(("Evaluates to", ui.state_chip(why.judged, small=True)))
    entries += _cause_facts(why)
    if (last := why.last_alarm) is not None:
        span = f"{say.moment(last.since)} to {say.moment(last.until)}"
        entries += [("Last in alarm", f"{span}: {last.cause}"), *_cause_facts(last)]
    lines = [html.Li(_action(one)) for one in why.actions]
    if why.actions_reason:
        lines.append(html.Li(say.sentence(why.actions_reason)))
    notified = html.Ul(lines) if why.actions else say.sentence(why.actions_reason or "nobody")
    entries += [("Next evaluation", why.next_evaluation), ("Notified", notified)]
    return ui.panel(title, [*parts, ui.facts(entries)], name="why")


def _cause_facts(cause: Cause) -> list[tuple[str, ui.Cell | None]]:
    """Lead to the window of a cause, and give the command that lists its rows."""
    at = cause.window
    link = html.A(say.moment(at), href=cause.page) if at is not None else None
    rows = html.Code(cause.rows) if cause.rows is not None else None
    return [("Window", link), ("Contributing rows", rows)]


def _finding(finding: Finding) -> html.Div:
    parts: list[ui.Cell] = [html.P(html.B(finding.metric))]
    parts += [html.P(say.sentence(words)) for words in (finding.problem, finding.mend)]
    if finding.similar:
        listed = html.Ul([html.Li(html.Code(str(one))) for one in finding.similar])
        parts += [html.P("Similar metrics that have data:"), listed]
    return html.Div(parts, className="finding-box")


def _action(action: NotifiedAction) -> list[ui.Cell]:
    words = {"disabled": "not notified", "suppressed": "suppressed"}.get(action.status)
    said = words or say.delivery_words(action.status).replace("_", " ")
    has_failed, reason = action.status == "failed", f" · {action.why}" if action.why else ""
    status = html.Span(said, className="alarm-text" if has_failed else "")
    again: list[ui.Cell] = [" ", html.A("Send again", href=link_to("messages", status="failed"))]
    return [html.B(action.channel), " ", status, reason, *again * has_failed]
