"""The page of all messages: how each fares and why; those that failed can be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from dash import html

from driftline.alerts.notify.deliveries import Delivery
from driftline.dashboard.address import alarm_link, list_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.queries.notifications import MessagesView
from driftline.dashboard.words import delivery_words, duration, plural

AGAIN = ("dead", "superseded", "muted", "grouped")
"""Statuses of messages that can be sent again: not sent, and not about to be."""

LONGEST = timedelta(days=7)
"""A message that takes longer from its change to its end was not waiting for its receiver."""

NO_NOTIFICATION = (
    "No notification has been sent yet. An alarm sends one to the channels in its actions when its "
    "state changes."
)

ORDER = ("dead", "pending", "delivering", "waiting", "muted", "grouped", "superseded")


def page(view: MessagesView) -> html.Div:
    """Lay out the list, newest first, with the ways to narrow it."""
    dead = view.counts.get("dead", 0)
    total = sum(view.counts.values())
    under = plural(total, "notification")
    under += f" · {dead:,} failed" if dead else " · none failed"
    if view.channel:
        under += f" · to {view.channel}"
    return ui.place_page("Alerts", "Notifications", under, _filters(view), _list(view))


def message_table(
    messages: Sequence[Delivery],
    now: datetime,
    label: str,
    *,
    of_one: bool = False,
    kind: str = "cards sent",
) -> html.Div:
    """List messages: what each said, to whom, how it fares, and a way to send it again.

    ``of_one``: all are of one alarm, which need not be named.
    """

    def alarm(one: Delivery) -> ui.Cell:
        link = html.A(one.alarm_name, href=alarm_link(one.alarm_name), className="strong")
        return ui.stack(*([] if of_one else [link]), ui.state_chip(one.state, small=True))

    return ui.table(
        messages,
        {
            "When": lambda one: ui.when(one.created_at, now),
            "State" if of_one else "Alarm": alarm,
            "To": lambda one: html.A(one.channel, href=list_link("messages", channel=one.channel)),
            "Result": lambda one: _result(one, now),
        },
        label=label,
        kind=kind,
        tone=lambda one: "dead" if one.status == "dead" else "",
    )


def _filters(view: MessagesView) -> html.Div:
    statuses: dict[str | None, str] = {None: f"all {sum(view.counts.values()):,}"}
    for status in (*ORDER, *sorted(set(view.counts) - set(ORDER))):
        if view.counts.get(status) or status == view.status == "dead":
            words = delivery_words(status)
            statuses[status] = f"{words} {view.counts.get(status, 0):,}"
    here = partial(list_link, "messages", status=view.status, channel=view.channel)
    clear = html.A(f"✕ channel {view.channel}", href=here(channel=None), className="button small")
    return ui.filters(
        ui.choices(
            "Status of the notifications", statuses, view.status, lambda one: here(status=one)
        ),
        *([clear] if view.channel else []),
    )


def _list(view: MessagesView) -> html.Section:
    title, shown = "Notifications", len(view.messages)
    if not view.counts:
        return ui.panel(title, [ui.empty(NO_NOTIFICATION)])
    if not view.messages:
        clear = html.P(html.A("Show all notifications", href="/messages", className="button"))
        return ui.panel(title, [ui.empty("No notification matches this filter."), clear])
    asked = view.counts.get(view.status, 0) if view.status else sum(view.counts.values())
    note = f"the newest {shown} of {asked:,}" if asked > shown else ""
    body = message_table(view.messages, view.now, "Notifications, newest first")
    return ui.panel(title, [body], note=note)


def _result(one: Delivery, now: datetime) -> ui.Cell:
    """Show how a message fares and why; one that nobody will get stands out."""
    tries = [plural(one.attempts, "attempt")] if one.attempts else []
    if one.last_status:
        tries.append(f"HTTP {one.last_status}")
    if one.last_error and one.last_error != f"answered {one.last_status}":
        tries.append(one.last_error)
    # A replayed year is sent by today's clock: what took longer than any wait says nothing.
    if one.finished_at and one.finished_at - one.created_at < LONGEST:
        tries.append(f"after {duration(one.finished_at - one.created_at)}")
    elif one.status == "pending" and one.attempts and not one.finished_at:
        wait = one.next_attempt_at - now
        due = f"in {duration(wait)}" if wait > timedelta() else "is due"
        tries.append(f"next attempt {due}")
    if one.reason and one.status != "delivered":
        tries.append(one.reason)
    look = "alarm-text" if one.status == "dead" else ""
    about = f"{one.alarm_name} to {one.channel}"
    again = act_button("redeliver", "Send again", {"id": one.id}, about=about)
    return html.Div(
        [
            html.Span(delivery_words(one.status), className=look),
            ui.faint(", ".join(tries), line=True),
            *([again] if one.status in AGAIN else []),
        ]
    )
