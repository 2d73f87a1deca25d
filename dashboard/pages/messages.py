"""The page of all messages: how each fares and why; those that failed can be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dash import html

from driftline.alerts.notify.deliveries import Delivery
from driftline.dashboard.address import alarm_link, messages_link
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.parts import (
    Cell,
    choices,
    crumbs,
    empty,
    faint,
    heading,
    layout,
    panel,
    state_chip,
    table,
    when,
)
from driftline.dashboard.queries.notifications import MessagesView
from driftline.dashboard.words import delivery_words, plural

AGAIN = ("dead", "superseded", "muted", "grouped")
"""Statuses of messages that can be sent again: not sent, and not about to be."""

ORDER = ("dead", "pending", "delivering", "waiting", "muted", "grouped", "superseded")


def page(view: MessagesView) -> html.Div:
    """Lay out the list, newest first, with the ways to narrow it."""
    dead = view.counts.get("dead", 0)
    total = sum(view.counts.values())
    under = plural(total, "notification")
    under += f" · {dead:,} failed" if dead else " · none failed"
    if view.channel:
        under += f" · to {view.channel}"
    return layout(
        "Notifications",
        crumbs("Notifications"),
        heading("Notifications", under, _filters(view)),
        _list(view),
    )


def message_table(messages: Sequence[Delivery], now: datetime, label: str) -> html.Div:
    """List messages: what each said, to whom, how it fares, and a way to send it again."""
    return table(
        messages,
        {
            "When": lambda one: when(one.created_at, now),
            "Alarm": lambda one: html.A(one.alarm_name, href=alarm_link(one.alarm_name)),
            "State": lambda one: state_chip(one.state, small=True),
            "To": lambda one: html.A(one.channel, href=messages_link(channel=one.channel)),
            "Result": _result,
            "Again": _again,
        },
        label=label,
        kind="cards messages",
        tone=lambda one: "dead" if one.status == "dead" else "",
    )


def _filters(view: MessagesView) -> html.Div:
    statuses: dict[str | None, str] = {None: f"all {sum(view.counts.values()):,}"}
    for status in (*ORDER, *sorted(set(view.counts) - set(ORDER))):
        if view.counts.get(status) or status == view.status == "dead":
            words = delivery_words(status)
            statuses[status] = f"{words} {view.counts.get(status, 0):,}"
    options = (
        (words, messages_link(status=status, channel=view.channel), status == view.status)
        for status, words in statuses.items()
    )
    clear: list[Cell] = []
    if view.channel:
        href = messages_link(status=view.status)
        clear = [html.A(f"✕ channel {view.channel}", href=href, className="button small")]
    return html.Div([choices("Status of the notifications", options), *clear], className="filters")


def _list(view: MessagesView) -> html.Section:
    title = "Notifications"
    if not view.messages:
        if not view.counts:
            return panel(title, [empty("No notification yet.")])
        clear = html.P(html.A("Show all notifications", href="/messages", className="button"))
        return panel(title, [empty("No notification matches this filter."), clear])
    asked = view.counts.get(view.status, 0) if view.status else sum(view.counts.values())
    shown = len(view.messages)
    note = f"the newest {shown} of {asked:,}" if asked > shown else ""
    return panel(
        title, [message_table(view.messages, view.now, "Notifications, newest first")], note=note
    )


def _result(one: Delivery) -> Cell:
    facts = [plural(one.attempts, "attempt")] if one.attempts else []
    if one.last_status:
        facts.append(f"HTTP {one.last_status}")
    reasons = (one.reason, one.last_error)
    facts += [text for text in reasons if text and text != f"answered {one.last_status}"]
    words = html.Span(
        delivery_words(one.status), className="alarm-text" if one.status == "dead" else ""
    )
    return html.Div([words, faint(", ".join(facts), line=True)])


def _again(one: Delivery) -> Cell:
    if one.status not in AGAIN:
        return faint("–")
    about = f"{one.alarm_name} to {one.channel}"
    return act_button("redeliver", "Send again", {"id": one.id}, about=about)
