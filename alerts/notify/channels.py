"""Stored channels: where messages go. What is secret goes in sealed and is opened for sending."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Row, case, delete, func, insert, select, update

from driftline.alerts import tables
from driftline.alerts.alarms.actions import channel_of
from driftline.alerts.alarms.known import names_in, unknown_name
from driftline.alerts.errors import ChannelError, ChannelInUse, UnknownChannel
from driftline.alerts.notify.channel import Channel, secrets_of
from driftline.alerts.notify.outbox import give_up
from driftline.alerts.notify.receivers.receiver import OpenChannel, Style
from driftline.alerts.notify.secrets import Secret, Vault
from driftline.errors import UnavailableError

TEST_FAILED = "test_failed"
"""The outcome of an attempt that was a test, and did not arrive."""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """A stored channel and how it fares.

    ``failed_test``, in lists, is what a failed test was answered, if nothing was sent since.
    """

    channel: Channel
    enabled: bool
    disabled_reason: str | None
    failure_count: int
    updated_at: datetime
    failed_test: str | None = None

    @property
    def problem(self) -> str | None:
        """The problem of a channel; None for one that works."""
        if not self.enabled:
            return self.disabled_reason or "switched off"
        if self.failed_test:
            return f"failed its test: {self.failed_test}"
        return f"failed {self.failure_count} times in a row" if self.failure_count else None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values, without the secret."""
        return self.channel.as_dict() | {
            "enabled": self.enabled,
            "disabled_reason": self.disabled_reason,
            "failure_count": self.failure_count,
            "updated_at": self.updated_at.isoformat(),
        }


def put_channel(
    connection: Connection, channel: Channel, now: datetime, *, vault: Vault | None = None
) -> Channel:
    """Store a channel, or replace the one of its name; a disabled one is enabled again."""
    vault = vault or Vault()
    table = tables.channels
    old = _find(connection, channel.name)
    # What another type calls its secret is none of this one.
    is_kept = old is not None and old.type == channel.type and bool(old.secret)
    held = vault.unseal(old.secret) if old is not None and is_kept else ""
    if channel.secret is None and channel.type == "webhook":
        channel = replace(channel, secret=Secret(held) if held else Secret.new())
    elif channel.secret is None and (key := channel.receiver.key) is not None:
        raise ChannelError(f'channel "{channel.name}": {key} is missing')
    shown = {
        "type": channel.type,
        "url": channel.shown_url,
        "format": channel.format,
        "options": channel.shown_options,
    }
    hidden = _hidden(channel)
    fresh = shown | {"secret": vault.seal(channel.secret_text), "updated_at": now}
    if old is None:
        values = fresh | {"name": channel.name, "sealed": _sealed(vault, hidden)}
        connection.execute(
            insert(table).values(**values, created_at=now, enabled=True, failure_count=0)
        )
        return channel
    was = {key: vault.unseal(text) for key, text in old.sealed.items()}
    is_same = old.enabled and held == channel.secret_text and was == hidden
    if is_same and all(getattr(old, key) == value for key, value in shown.items()):
        return channel
    values = fresh | {"sealed": _sealed(vault, hidden)}
    values |= {"enabled": True, "disabled_reason": None, "failure_count": 0}
    connection.execute(update(table).where(table.c.name == channel.name).values(**values))
    return channel


def get_channel(connection: Connection, name: str) -> ChannelStatus:
    """Return a stored channel; UnknownChannel for an unknown name."""
    row = _find(connection, name)
    if row is None:
        names = names_in(connection, tables.channels)
        raise UnknownChannel(unknown_name("channel", name, names))
    return _status(row)


def enable_channel(connection: Connection, name: str, now: datetime) -> ChannelStatus:
    """Switch a channel on again that a receiver's 410 switched off; none is UnknownChannel.

    What was given up meanwhile stays so, until it is sent again by hand.
    """
    if get_channel(connection, name).enabled:
        return get_channel(connection, name)
    table = tables.channels
    values = {"enabled": True, "disabled_reason": None, "failure_count": 0, "updated_at": now}
    connection.execute(update(table).where(table.c.name == name).values(**values))
    return get_channel(connection, name)


def list_channels(connection: Connection) -> list[ChannelStatus]:
    """Return all channels by name."""
    channels, attempts = tables.channels, tables.attempts
    last = select(func.max(attempts.c.id)).where(attempts.c.channel == channels.c.name)
    newest = last.correlate(channels).scalar_subquery()
    # What was tried before the channel was changed says nothing of it as it is.
    is_failed = (attempts.c.outcome == TEST_FAILED) & (attempts.c.time >= channels.c.updated_at)
    query = (
        select(channels, case((is_failed, attempts.c.error)).label("failed_test"))
        .outerjoin(attempts, attempts.c.id == newest)
        .order_by(channels.c.name)
    )
    rows = connection.execute(query)
    return [replace(_status(row), failed_test=row.failed_test) for row in rows]


def open_channels(
    connection: Connection, names: Iterable[str], vault: Vault
) -> dict[str, OpenChannel | Exception]:
    """Open channels for sending; in the place of one that cannot be opened stands the error.

    Looks references up, so it must not run where a slow file would hold up a transaction.
    """
    query = select(tables.channels).where(tables.channels.c.name.in_(set(names)))
    return {row.name: _opened(row, vault) for row in connection.execute(query)}


def delete_channel(connection: Connection, name: str, now: datetime) -> None:
    """Remove a channel; messages that it still owed are given up."""
    table = tables.channels.c
    # Locked in full: messages to it that are being queued or marked come before or after.
    connection.execute(select(table.name).where(table.name == name).with_for_update())
    get_channel(connection, name)
    for row in connection.execute(select(tables.alarms.c.name, tables.alarms.c.definition)):
        if name in channels_of(row.definition):
            raise ChannelInUse(
                f'channel "{name}" is an action of alarm "{row.name}"; change that alarm first'
            )
    give_up(connection, name, now, "channel deleted")
    connection.execute(delete(tables.channels).where(tables.channels.c.name == name))


def channels_of(definition: object) -> set[str]:
    """Return the channels that a stored definition names, also one that cannot be read whole."""
    if not isinstance(definition, Mapping):
        return set()
    keys = ("alarm_actions", "ok_actions", "insufficient_data_actions")
    lists = [found for key in keys if isinstance(found := definition.get(key) or [], list)]
    names = [name for found in lists for name in found if isinstance(name, str)]
    return {channel for name in names if (channel := channel_of(name)) is not None}


def _find(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(
        select(tables.channels).where(tables.channels.c.name == name)
    ).one_or_none()


def _hidden(channel: Channel) -> dict[str, str]:
    """Return a channel's secrets other than those that sign."""
    found = {"url": channel.url} if channel.shown_url != channel.url else {}
    if (header := channel.options.get("authorization")) is not None:
        found["authorization"] = str(header)
    return found


def _sealed(vault: Vault, found: Mapping[str, str]) -> dict[str, str]:
    return {key: vault.seal(text) for key, text in found.items()}


def _status(row: Row[tuple[object, ...]]) -> ChannelStatus:
    channel = Channel(
        name=row.name, url=row.url, format=row.format, type=row.type, options=row.options
    )
    return ChannelStatus(
        channel=channel,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        failure_count=row.failure_count,
        updated_at=row.updated_at,
    )


def _opened(row: Row[tuple[object, ...]], vault: Vault) -> OpenChannel | Exception:
    where = f'channel "{row.name}"'
    try:
        more = {key: vault.unseal(text) for key, text in row.sealed.items()}
        signing = secrets_of(where, row.type, vault.open(row.secret)) if row.secret else ()
        header = more.get("authorization")
        return OpenChannel(
            name=row.name,
            style=Style.of(row),
            url=vault.open(more.get("url", row.url)),
            secrets=signing,
            authorization=Secret(header) if header is not None else None,
            options=row.options,
        )
    except (ChannelError, UnavailableError) as error:
        return error
