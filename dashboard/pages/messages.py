"""The page of all messages: how each fares and why; those given up can be sent again."""

from __future__ import annotations

from datetime import datetime

from dash import html

from driftline.dashboard.address import alarm_link, messages_link
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    empty,
    marked,
    panel,
    state_chip,
    table,
    when,
)
from driftline.dashboard.queries.alarm_views import MessageLine
from driftline.dashboard.queries.notification_views import MessagesView
from driftline.dashboard.words import DELIVERIES, plural

AGAIN = ("dead", "superseded", "muted", "grouped")
"""Statuses of messages that can be sent again: not sent, and not about to be."""

ORDER = ("dead", "pending", "delivering", "waiting", "muted", "grouped", "superseded")
HEADS = ["When", "Alarm", "Told", "To", "Result", "Again"]


def page(view: MessagesView) -> html.Div:
    """Lay out the list, newest first, with the ways to narrow it."""
    dead = view.counts.get("dead", 0)
    total = sum(view.counts.values())
    under = f"{plural(total, 'message')} kept"
    under += f" · {dead:,} given up" if dead else " · none given up"
    if view.channel:
        under += f" · to {view.channel}"
    head = html.Div(
        [html.H1("Messages", tabIndex=-1), html.P(under, className="under")],
        className="title-text",
    )
    return marked(
        html.Div(
            [
                crumbs("Messages"),
                html.Div([head, _filters(view)], className="title"),
                _list(view),
            ],
            className="page",
        ),
        data_title="Messages",
    )


def message_rows(
    messages: tuple[MessageLine, ...], now: datetime
) -> tuple[list[list[Cell]], list[str]]:
    """Give the rows of a table of messages under :data:`HEADS`, and their tones."""
    rows = [_row(one, now) for one in messages]
    return rows, ["dead" if one.status == "dead" else "" for one in messages]


def _filters(view: MessagesView) -> html.Div:
    known = [*ORDER, *sorted(set(view.counts) - set(ORDER))]
    links = [_status(view, None, f"all {sum(view.counts.values()):,}")]
    links += [
        _status(view, one, f"{DELIVERIES.get(one, one)} {view.counts.get(one, 0):,}")
        for one in known
        if view.counts.get(one) or one == view.status == "dead"
    ]
    nav = marked(html.Nav(links, className="choices"), aria_label="Status of the messages")
    clear: list[Cell] = []
    if view.channel:
        href = messages_link(status=view.status)
        clear = [html.A(f"✕ channel {view.channel}", href=href, className="button small")]
    return html.Div([nav, *clear], className="filters")


def _status(view: MessagesView, status: str | None, words: str) -> html.A:
    link = html.A(words, href=messages_link(status=status, channel=view.channel))
    return marked(link, aria_current="page") if view.status == status else link


def _list(view: MessagesView) -> html.Section:
    title = "Messages"
    if not view.messages:
        if not view.counts:
            return panel(title, [empty("No message has been due yet.")])
        clear = html.P(html.A("Show all messages", href="/messages", className="button"))
        return panel(title, [empty("No message matches this filter."), clear])
    rows, tones = message_rows(view.messages, view.now)
    asked = view.counts.get(view.status, 0) if view.status else sum(view.counts.values())
    shown = len(view.messages)
    note = f"the newest {shown} of {asked:,}" if asked > shown else ""
    body = table(HEADS, rows, label="Messages, newest first", kind="cards messages", tones=tones)
    return panel(title, [body], note=note)


def _row(one: MessageLine, now: datetime) -> list[Cell]:
    words = "✓ delivered" if one.status == "delivered" else DELIVERIES.get(one.status, one.status)
    facts = [plural(one.attempts, "attempt")] if one.attempts else []
    if one.code:
        facts.append(f"HTTP {one.code}")
    facts += [text for text in (one.reason, one.error) if text and text != f"answered {one.code}"]
    result = html.Div(
        [
            html.Span(words, className="alarm-text" if one.status == "dead" else ""),
            html.Span(", ".join(facts), className="faint line"),
        ]
    )
    again: Cell = html.Span("–", className="faint")
    if one.status in AGAIN:
        about = f"{one.alarm} to {one.channel}"
        again = act_button("redeliver", "Send again", {"id": one.id}, about=about)
    return [
        when(one.time, now),
        html.A(one.alarm, href=alarm_link(one.alarm)),
        state_chip(one.state, small=True),
        html.A(one.channel, href=messages_link(channel=one.channel)),
        result,
        again,
    ]
