"""Channels: where messages go. A secret goes in and signs; nothing here ever shows it."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import Connection, Row, delete, insert, select, update

from driftline.alerts import tables
from driftline.alerts.addresses import check_url
from driftline.alerts.errors import ChannelError, ChannelInUse, UnknownChannel

__all__ = [
    "Channel",
    "ChannelStatus",
    "Format",
    "Secret",
    "delete_channel",
    "get_channel",
    "list_channels",
    "put_channel",
]

Format = Literal["driftline", "sns"]

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)  # Standard Webhooks 1.0.0, "Signing scheme".
_NEW_SECRET_BYTES = 32


class Secret:
    """A signing secret, ``whsec_`` and base64, that does not show in texts or dictionaries."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the secret itself, for signing and storing only."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is one."""
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(self._text, other._text)

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def new(cls) -> Secret:
        """Make a new random one."""
        return cls(_PREFIX + base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)).decode())


@dataclass(frozen=True, slots=True)
class Channel:
    """A target of messages.

    Parameters
    ----------
    name
        As alarms name it in their actions.
    url
        An ``http(s)`` address; whether it may be reached is decided anew at each sending.
    secret
        Signs each message (Standard Webhooks); None keeps the one there is, or makes one.
    format
        ``driftline``: our own body with the cause; ``sns``: the envelope that receivers of
        CloudWatch alarms expect.
    type
        Only ``webhook`` so far.

    Raises
    ------
    ChannelError
        Naming the channel and what was expected; never the secret.
    """

    name: str
    url: str
    secret: Secret | str | None = None
    format: Format = "driftline"
    type: str = "webhook"

    def __post_init__(self) -> None:
        where = f'channel "{self.name}"'
        if _NAME.fullmatch(self.name) is None:
            raise ChannelError(
                f"channel name {self.name[:80]!r}; expected letters, digits and inner hyphens, "
                "at most 63 of them"
            )
        if self.type != "webhook":
            raise ChannelError(f'{where}: type "{self.type}"; expected webhook')
        if self.format not in get_args(Format):
            raise ChannelError(f'{where}: format "{self.format}"; expected driftline or sns')
        check_url(self.url)
        if isinstance(self.secret, str):
            object.__setattr__(self, "secret", Secret(self.secret))
        if self.secret is not None:
            _check_secret(where, self.signing_secret)

    @property
    def signing_secret(self) -> str:
        """The secret as text; empty when the channel was not stored yet and has none."""
        return self.secret.reveal() if isinstance(self.secret, Secret) else ""

    def as_dict(self) -> dict[str, object]:
        """Give the channel as plain JSON values, without the secret."""
        return {"name": self.name, "type": self.type, "url": self.url, "format": self.format}


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """A stored channel and how it fares."""

    channel: Channel
    enabled: bool
    disabled_reason: str | None
    failure_count: int
    updated_at: datetime

    def as_dict(self) -> dict[str, object]:
        """Give it as plain JSON values, without the secret."""
        return self.channel.as_dict() | {
            "enabled": self.enabled,
            "disabled_reason": self.disabled_reason,
            "failure_count": self.failure_count,
            "updated_at": self.updated_at.isoformat(),
        }


def put_channel(connection: Connection, channel: Channel, now: datetime) -> Channel:
    """Store a channel, or replace the one of its name; a disabled one is enabled again.

    Returns
    -------
    Channel
        With its secret: the one given, else the one it had, else a new one.
    """
    table = tables.channels
    old = _find(connection, channel.name)
    if channel.secret is None:
        channel = replace(channel, secret=Secret(old.secret) if old is not None else Secret.new())
    values = {
        "type": channel.type,
        "url": channel.url,
        "secret": channel.signing_secret,
        "format": channel.format,
    }
    if old is None:
        connection.execute(
            insert(table).values(
                name=channel.name,
                **values,
                created_at=now,
                updated_at=now,
                enabled=True,
                failure_count=0,
            )
        )
    elif not old.enabled or any(getattr(old, key) != value for key, value in values.items()):
        connection.execute(
            update(table)
            .where(table.c.name == channel.name)
            .values(**values, updated_at=now, enabled=True, disabled_reason=None, failure_count=0)
        )
    return channel


def get_channel(connection: Connection, name: str) -> ChannelStatus:
    """Give a stored channel; none of the name is UnknownChannel."""
    row = _find(connection, name)
    if row is None:
        raise UnknownChannel(f'channel "{name}" does not exist; expected the name of a channel')
    return _status(row)


def list_channels(connection: Connection) -> list[ChannelStatus]:
    """Give all channels by name."""
    query = select(tables.channels).order_by(tables.channels.c.name)
    return [_status(row) for row in connection.execute(query)]


def delete_channel(connection: Connection, name: str) -> None:
    """Remove a channel; messages that it still owed are given up.

    Raises
    ------
    UnknownChannel
        When there is none of the name.
    ChannelInUse
        When alarms name it; the first of them stands in the message.
    """
    table = tables.channels.c
    # Locked in full: messages to it that are being queued or marked come before or after.
    connection.execute(select(table.name).where(table.name == name).with_for_update())
    get_channel(connection, name)
    for row in connection.execute(select(tables.alarms.c.name, tables.alarms.c.definition)):
        if name in _channels_of(row.definition):
            raise ChannelInUse(
                f'channel "{name}" is an action of alarm "{row.name}"; change that alarm first'
            )
    outbox = tables.outbox
    connection.execute(
        update(outbox)
        .where(outbox.c.channel == name, outbox.c.status.in_(("pending", "delivering")))
        .values(status="dead", last_error="channel deleted")
    )
    connection.execute(delete(tables.channels).where(tables.channels.c.name == name))


def _channels_of(definition: Mapping[str, list[str]]) -> set[str]:
    keys = ("alarm_actions", "ok_actions", "insufficient_data_actions")
    return {name for key in keys for name in definition.get(key, [])}


def _find(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(
        select(tables.channels).where(tables.channels.c.name == name)
    ).one_or_none()


def _status(row: Row[tuple[object, ...]]) -> ChannelStatus:
    channel = Channel(
        name=row.name, url=row.url, secret=Secret(row.secret), format=row.format, type=row.type
    )
    return ChannelStatus(
        channel=channel,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        failure_count=row.failure_count,
        updated_at=row.updated_at,
    )


def _check_secret(where: str, text: str) -> None:
    """Check the form of a secret; the message never quotes it."""
    least, most = _SECRET_BYTES
    try:
        size = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith(_PREFIX) or not least <= size <= most:
        raise ChannelError(
            f"{where}: the secret is not {_PREFIX} and base64 of {least} to {most} bytes; "
            "leave it out to have one made"
        )
