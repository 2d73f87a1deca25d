"""The pages of the set-up: baselines, channels, settings in force, tokens, and the audit log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from dash import html

from driftline.access.audit import AuditEntry
from driftline.access.changes import changed_fields
from driftline.access.credentials import Token
from driftline.access.tokens import is_valid
from driftline.alerts.notify.channels import ChannelStatus
from driftline.dashboard.address import Address, baseline_link, link_to, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm_panels import channel_health
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.queries.setup import ENTRIES_SHOWN, SIZE, BaselineLine, SetupView
from driftline.dashboard.queries.views import ChannelLine
from driftline.dashboard.words import count, plural

NAMES = {"": "Baselines", "channels": "Channels", "settings": "Settings", "tokens": "Tokens"}
USERS_SHOWN = 5
CHANNEL = """kind: Channel
name: team
spec:
  type: webhook
  url: https://hooks.example.com/driftline
"""
"""What a first channel looks like."""
INIT = "driftline init DATA --channel URL"
"""What makes it together with a monitor and the alarms that notify it."""


def page(view: SetupView) -> html.Div:
    """Lay out one tab of the set-up."""
    name = NAMES[view.tab]
    under, parts = {
        "": _baselines, "channels": _channels, "settings": _settings, "tokens": _tokens
    }[view.tab](view)  # fmt: skip
    return ui.place_page("Setup", name, under, *parts)


def _baselines(view: SetupView) -> tuple[str, list[ui.Cell]]:
    why = "No baseline is stored yet. Deploying a model with a reference makes one."
    none = ui.empty(why, "driftline apply -f baseline.yaml")

    def users(line: BaselineLine) -> ui.Cell:
        links = [html.A(one.name, href=monitor_link(one.name)) for one in line.users[:USERS_SHOWN]]
        more = ui.more_of(len(line.users) - USERS_SHOWN)
        return html.Div([ui.stack(*links), *more]) if links else ui.faint("none")

    listed = ui.list_panel(
        "Baselines",
        view.baselines,
        {
            "Baseline": lambda of: html.A(of.name, href=baseline_link(of.name), className="strong"),
            "Versions": lambda one: count(len(one.versions)),
            "In use": lambda one: ", ".join(map(str, one.numbers_in_use)) or "–",
            "Newest made": lambda one: (
                ui.when(one.versions[-1].created_at, view.now) if one.versions else "–"
            ),
            "Rows": lambda one: count(one.versions[-1].row_count) if one.versions else "–",
            "Used by": users,
        },
        ui.pager(view.number, SIZE, view.total, partial(link_to, "setup", text=view.text)),
        why="No baseline has this name." if view.text else [none],
        label="Baselines, by name",
        numeric=("Versions", "Rows"),
    )
    box = [ui.filters(ui.filter_box(view.text, "Filter by name"))]
    return plural(view.total, "baseline"), [*box * bool(view.baselines or view.text), listed]


def _channels(view: SetupView) -> tuple[str, list[ui.Cell]]:
    why = "No notification channel is configured, so alarms are shown here and sent to no one."
    sent = partial(link_to, "messages")

    def ways(one: ChannelStatus) -> ui.Cell:
        name = one.channel.name
        forms = [("test", "Send a test")] + [("enable", "Enable")] * (not one.enabled)
        buttons = [act_button(*form, {"channel": name}, about=name) for form in forms]
        return ui.stack(*buttons)

    listed = ui.list_panel(
        "Channels",
        view.channels,
        {
            "Channel": lambda one: ui.over(html.B(one.channel.name), one.channel.type),
            "Sends to": lambda one: ui.clipped(one.channel.shown_url or "–"),
            "Health": lambda one: channel_health(ChannelLine(one.channel.name, (), one)),
            "Changed": lambda one: ui.when(one.updated_at, view.now),
            "Sent": lambda one: html.A("Notifications", href=sent(channel=one.channel.name)),
            "Action": ways,
        },
        why=[ui.empty(why, INIT), *ui.resource_file(CHANNEL, "channel-yaml")],
        label="Channels, by name",
    )
    return plural(len(view.channels), "channel"), [listed]


def _settings(view: SetupView) -> tuple[str, list[ui.Cell]]:
    """List the settings in force, as `driftline settings` does; they are changed in the file."""
    listed = ui.list_panel(
        "Settings",
        view.settings,
        {
            "Setting": lambda one: html.Code(f"{one['section']}.{one['key']}"),
            "Value": lambda one: html.Code(json.dumps(one["value"], default=str)),
            "From": lambda one: one["source"],
            "Meaning": lambda one: one["about"] or "–",
        },
        why="No setting says this."
        if view.text
        else "This dashboard was started without settings.",
        label="Settings in force, secrets hidden",
        kind="cards settings",
    )
    box = ui.filters(ui.filter_box(view.text, "Filter by name or meaning"))
    return "those of the dashboard's process; read-only", [box, listed]


def _tokens(view: SetupView) -> tuple[str, list[ui.Cell]]:
    make = ui.empty("A new token's secret is shown once, by the command that makes it.",
                    "driftline token create NAME --role viewer")  # fmt: skip
    valid = {one.name for one in view.tokens
             if is_valid(one.revoked_at, one.expires_at, view.now)}  # fmt: skip

    def state(one: Token) -> ui.Cell:
        if one.name not in valid:
            return ui.faint("revoked" if one.revoked_at else "expired")
        if one.expires_at is None:
            return "valid"
        return html.Div(["until ", ui.when(one.expires_at, view.now)])

    listed = ui.list_panel(
        "Tokens",
        view.tokens,
        {
            "Token": lambda one: html.B(one.name),
            "Roles": lambda one: ", ".join(sorted(one.roles)),
            "Endpoints": lambda of: (
                "all" if of.endpoints is None else ", ".join(sorted(of.endpoints))
            ),
            "Made": lambda one: ui.over(ui.when(one.created_at, view.now), f"by {one.created_by}"),
            "State": state,
            "Action": lambda one: (
                act_button("revoke", "Revoke", {"token": one.name}, about=one.name)
                if one.name in valid
                else ui.faint("–")
            ),
        },
        make,
        why=[ui.empty("No token has been made yet."), make],
        label="Tokens, by name",
    )
    several = plural(len(view.tokens), "token")
    return f"{len(valid)} of {several} valid" if view.tokens else "no token", [listed]


def audit_page(entries: Sequence[AuditEntry], now: datetime, asked: Address) -> html.Div:
    """Lay out the newest entries, with what they are narrowed to and the way back to all."""
    narrowed = ", ".join(one for one in (asked.subject, asked.target, asked.day) if one)
    listed = {"": "All"} | ({narrowed: narrowed} if narrowed else {})
    ways = ui.choices("Entries", listed, narrowed, lambda one: "" if one else link_to("audit"))
    several = len(entries)
    under = f"the newest {several}" if several == ENTRIES_SHOWN else f"{several} entries"
    return ui.place_page("Setup", "Audit", under, entry_panel(entries, now), beside=[ways])


def entry_panel(
    entries: Sequence[AuditEntry],
    now: datetime,
    title: str = "Who changed what, read rows or was refused",
) -> html.Section:
    """List entries, the newest first; each name and day leads to what is about it."""
    here = partial(link_to, "audit")

    def who(one: AuditEntry) -> ui.Cell:
        way = "without a log-in" if one.via == "off" else f"by {one.via}"
        return ui.over(html.A(one.subject, href=here(subject=one.subject)), way)

    def what(one: AuditEntry) -> ui.Cell:
        target = html.A(one.target, href=here(target=one.target))
        changed = changed_fields(one.before, one.after)
        return ui.over(html.Span([f"{one.action} ", target]), *changed)

    return ui.list_panel(
        title,
        entries,
        {
            "When": lambda one: html.A(ui.when(one.at, now), href=here(day=f"{one.at:%Y-%m-%d}")),
            "Who": who,
            "What": what,
            "Status": lambda one: str(one.status) if one.status else "done",
        },
        why="Nothing is noted of this.",
        label="Entries, the newest first",
    )
