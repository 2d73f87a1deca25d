"""Commands about alarms on a running server: how they stand and why, and what people set."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.alarm_text import explained
from driftline.app.commands.resources import moment
from driftline.app.commands.terminal import harmless
from driftline.errors import InputError

Name = Annotated[str, typer.Argument(help="Name of the alarm, metric or composite.")]
Names = Annotated[list[str], typer.Argument(help="Names of alarms, metric or composite.")]
_PAGE = 1000


@options.with_server
def list_alarms(
    state: Annotated[
        Literal["OK", "ALARM", "INSUFFICIENT_DATA"] | None,
        typer.Option("--state", help="Only alarms in this state."),
    ] = None,
    kind: Annotated[
        Literal["metric", "composite"] | None, typer.Option("--kind", help="Only of this kind.")
    ] = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin so.")] = "",
    channel: Annotated[
        str | None, typer.Option("--channel", help="Only those that tell this channel.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only with this tag.")
    ] = None,
    parents_of: Annotated[
        str | None,
        typer.Option("--parents-of", metavar="NAME", help="Only composites that look at it."),
    ] = None,
    children_of: Annotated[
        str | None,
        typer.Option("--children-of", metavar="NAME", help="Only what this composite looks at."),
    ] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """List alarms of all kinds with their states.

    Example: driftline alarm list --state ALARM
    """
    found: list[dict[str, Any]] = []
    after: str | None = ""
    with server.connect() as client:
        while after is not None:
            page = client.alarms(
                kind=kind, state=state, prefix=prefix, channel=channel, tag=tag or [],
                parents_of=parents_of, children_of=children_of, after=after, limit=_PAGE,
            )  # fmt: skip
            found += page["items"]
            after = page["next"]
    if as_json:
        options.show_json(found)
        return
    rows = [
        {
            "name": harmless(one["name"]),
            "kind": one["kind"],
            "state": one["state_value"],
            "since": moment_of(one["state_transitioned_timestamp"]),
            "actions": _actions(one),
        }
        for one in found
    ]
    options.show_table(["name", "kind", "state", "since", "actions"], rows)
    for one in found:
        if one.get("unreadable"):
            typer.echo(harmless(f"driftline: {one['unreadable']}"), err=True)


@options.with_server
def get_alarm(
    name: Name, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Show one alarm: its definition and where it stands.

    Example: driftline alarm get "flights drift"
    """
    with server.connect() as client:
        found = client.alarm(name)
    if as_json:
        options.show_json(found)
        return
    for key, value in found.items():
        if value not in (None, "", [], {}):
            typer.echo(harmless(f"{key}: {value}"))


@options.with_server
def explain(
    name: Name, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Say why an alarm is in its state.

    Shows the window that is judged (X breaching, 0 good, - missing), the rule that decided, when
    it is judged next, what is wrong where data are missing, and what became of its actions.

    Example: driftline alarm explain "flights drift"
    """
    with server.connect() as client:
        found = client.explain_alarm(name)
    if as_json:
        options.show_json(found)
    else:
        typer.echo(harmless("\n".join(explained(found))))


@options.with_server
def history(
    name: Name,
    type_: Annotated[
        Literal["ConfigurationUpdate", "StateUpdate", "Action"] | None,
        typer.Option("--type", help="Only items of this type."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="First time, RFC 3339.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End, not in it.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Most items.")] = 100,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """List what happened to an alarm, newest first; also after it was deleted.

    Example: driftline alarm history "flights drift" --type StateUpdate
    """
    with server.connect() as client:
        found = client.alarm_history(
            name,
            limit=limit,
            type=type_,
            start=moment(start, "--from"),
            end=moment(end, "--to"),
            order="oldest" if oldest else "newest",
        )
    if as_json:
        options.show_json(found)
        return
    rows = [
        {
            "time": moment_of(one["timestamp"]),
            "type": one["history_item_type"],
            "what": harmless(one["history_summary"]),
        }
        for one in found
    ]
    options.show_table(["time", "type", "what"], rows)


@options.with_server
def set_state(
    name: Name,
    state: Annotated[
        Literal["OK", "ALARM", "INSUFFICIENT_DATA"], typer.Argument(help="The state to be in.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; messages quote it.")
    ] = "set by hand",
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Put an alarm into a state and run its actions, to try what they do.

    The next evaluation puts a metric alarm back, mostly within seconds; a composite alarm stays
    until one of its children changes.

    Example: driftline alarm set-state "flights drift" ALARM --reason "a fire drill"
    """
    with server.connect() as client:
        changes = client.set_alarm_state(name, state, reason)
    if as_json:
        options.show_json(changes)
        return
    for one in changes:
        typer.echo(harmless(f"{one['alarm_name']}: {one['old']} -> {one['new']}"))
    if not changes:
        typer.echo(harmless(f"{name}: {state} already; only the reason is new"))


@options.with_server
def enable(
    names: Names, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Switch the actions of alarms on.

    Example: driftline alarm enable "flights drift"
    """
    _switch(names, server, as_json=as_json, enabled=True)


@options.with_server
def disable(
    names: Names, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Switch the actions of alarms off; their states go on changing.

    For a time only, a silence is better: it says why and ends by itself.

    Example: driftline alarm disable "flights drift"
    """
    _switch(names, server, as_json=as_json, enabled=False)


@options.with_server
def tag(
    name: Name,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Tags to add.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="KEY", help="Tag to remove.")
    ] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Add tags to an alarm and remove others; without any, show them.

    Example: driftline alarm tag "flights drift" team=ops --remove draft
    """
    added = {}
    for text in tags or []:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise InputError(f'tag "{text}"; expected KEY=VALUE')
        added[key] = value
    with server.connect() as client:
        found = client.tag_alarm(name, added, without=remove or [])
    if as_json:
        options.show_json(found)
        return
    for key, value in sorted(found.items()):
        typer.echo(harmless(f"{key}={value}"))


@options.with_server
def delete(
    names: Names, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Delete alarms; refused while a composite alarm looks at one. Their history stays.

    Example: driftline alarm delete "flights drift"
    """
    gone: list[str] = []
    try:
        with server.connect() as client:
            for name in names:
                client.delete_alarm(name)
                gone.append(name)
                if not as_json:
                    typer.echo(harmless(f"deleted {name}"))
    finally:  # Also of some, when one of them is refused.
        if as_json and gone:
            options.show_json({"deleted": gone})


def moment_of(text: str) -> str:
    """Write a time of an answer for people, to the second."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")


def _switch(names: list[str], server: options.Server, *, as_json: bool, enabled: bool) -> None:
    with server.connect() as client:
        client.switch_alarm_actions(*names, enabled=enabled)
    if as_json:
        options.show_json({"names": names, "actions_enabled": enabled})
        return
    for name in names:
        typer.echo(harmless(f"{name}: actions {'on' if enabled else 'off'}"))


def _actions(alarm: dict[str, Any]) -> str:
    """Say in a word whether an alarm's actions run."""
    if alarm.get("unreadable"):
        return "unreadable"
    if not alarm["actions_enabled"]:
        return "off"
    if alarm.get("actions_suppressed_by"):
        return f"held ({alarm['actions_suppressed_by']})"
    lists = ("alarm_actions", "ok_actions", "insufficient_data_actions")
    return "on" if any(alarm[key] for key in lists) else "none"
