"""The parts of a page that alarms of all kinds share: the verdict, history, messages, channels."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.parts import (
    Cell,
    empty,
    marked,
    panel,
    state_chip,
    table,
    way_words,
    when,
)
from driftline.dashboard.queries.alarm_views import ChannelLine, MessageLine, Story
from driftline.dashboard.words import DELIVERIES, duration, moment, plural, short_reason

LONGEST = timedelta(days=7)
"""A message that takes longer from its change to its end was not waiting for its receiver."""


def verdict(view: Story) -> str:
    """Say in one sentence how the alarm stands and since when."""
    alarm = view.alarm
    word = {"ALARM": "Firing", "OK": "All right"}.get(alarm.state, "Not decided: too little data")
    return f"{word} for {duration(view.now - alarm.since)}, since {moment(alarm.since)}"


def verdict_panel(view: Story) -> html.Div:
    """Say first how the alarm stands, with its cause and the way to the rows."""
    alarm = view.alarm
    tone = {"ALARM": "alarm", "OK": "ok"}.get(alarm.state, "none")
    head = html.Div([state_chip(alarm.state), html.H2(verdict(view))], className="stack")
    lines: list[Cell] = [head]
    if alarm.cause:
        lines.append(html.P(alarm.cause, className="cause"))
    lines.append(html.P(short_reason(alarm.reason), className="faint reason"))
    if alarm.link and alarm.state == "ALARM":
        lines.append(html.P(html.A(way_words(alarm.link), href=alarm.link, className="button")))
    return html.Div(lines, className=f"verdict small {tone}")


def channels(view: Story) -> html.Section:
    """List whom the alarm tells, and how they fare."""
    title = "Who is told"
    if not view.channels:
        why = "This alarm tells nobody. Name a channel in its alarm_actions, then apply it."
        return panel(title, [empty(why, "driftline apply -f alarms.yaml")])
    lines = [_channel(one) for one in view.channels]
    note = "" if view.alarm.actions_enabled else "its actions are switched off"
    return panel(
        title, [table(["Channel", "Told of", "Health"], lines, label="Channels", kind="cards")],
        note=note,
    )  # fmt: skip


def _channel(one: ChannelLine) -> list[Cell]:
    told = html.Div([state_chip(state, small=True) for state in one.states], className="stack")
    health: Cell = "✓ works"
    if one.health:
        health = html.Span(f"✕ {one.health}", className="alarm-text")
    name = html.Div([html.B(one.name), html.Span(f" {one.format}", className="faint")])
    return [name, told, health]


def history(view: Story) -> html.Section:
    """List the changes of state with their causes and the way to the window and its rows."""
    title = "State history"
    if not view.changes:
        return panel(title, [empty("Its state has not changed since it was made.")])
    rows: list[list[Cell]] = []
    for change in view.changes:
        reason = short_reason(change.reason)
        why = html.Span(change.cause or reason, className="clip", title=change.reason)
        way = (
            [html.A(way_words(change.link), href=change.link, className="line")]
            if change.link
            else []
        )
        states = html.Div(
            [
                state_chip(change.old, small=True),
                marked(html.Span("→"), aria_label="to"),
                state_chip(change.new, small=True),
            ],
            className="stack",
        )
        rows.append([when(change.time, view.now), states, html.Div([why, *way])])
    heads = ["When", "Change", "Why"]
    return panel(title, [table(heads, rows, label="Changes of state", kind="cards tall")])


def messages(view: Story) -> html.Section:
    """List the messages: attempts, status code, when, and those that were given up."""
    title = "Deliveries"
    if not view.messages:
        return panel(title, [empty("No message of this alarm has been due yet.")])
    dead = sum(one.status == "dead" for one in view.messages)
    rows = [_message(view, one) for one in view.messages]
    tones = ["dead" if one.status == "dead" else "" for one in view.messages]
    heads = ["When", "Told", "To", "Result"]
    body = table(heads, rows, label="Messages", kind="cards tall sent", tones=tones)
    note = html.Span(f"✕ {dead} given up", className="alarm-text") if dead else ""
    return panel(title, [body], note=note)


def _message(view: Story, one: MessageLine) -> list[Cell]:
    words = DELIVERIES.get(one.status, f"✓ {one.status}" if one.status == "delivered" else "")
    tries = [plural(one.attempts, "attempt")]
    if one.code:
        tries.append(f"HTTP {one.code}")
    if one.error and one.error != f"answered {one.code}":
        tries.append(one.error)
    # A replayed year is sent by today's clock: what took longer than any wait says nothing.
    if one.finished_at and one.finished_at - one.time < LONGEST:
        tries.append(f"after {duration(one.finished_at - one.time)}")
    elif one.next_at and one.attempts:
        wait = one.next_at - view.now
        tries.append(f"next try in {duration(wait)}" if wait > timedelta() else "next try is due")
    if one.reason and one.status != "delivered":
        tries.append(one.reason)
    again = []
    if one.status == "dead":
        about = f"to {one.channel}"
        again = [act_button("redeliver", "Send again", {"id": one.id}, about=about)]
    result = html.Div(
        [
            html.Span(words or one.status, className="alarm-text" if one.status == "dead" else ""),
            html.Span(", ".join(tries), className="faint line"),
            *again,
        ]
    )
    return [when(one.time, view.now), state_chip(one.state, small=True), one.channel, result]
