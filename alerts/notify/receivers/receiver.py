"""A receiver: one type of channel, its options, and how it renders and sends a notification."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from pydantic import ConfigDict
from sqlalchemy import Row

from driftline.alerts.alarms.alarm import StateChange
from driftline.alerts.alarms.composite import AnyDefinition
from driftline.alerts.documents import Document
from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.event import Event
from driftline.alerts.notify.receivers.refusals import FINAL_CODES, is_final_status
from driftline.alerts.notify.secrets import Secret


class Options(Document):
    """The fields of ``spec`` that one receiver takes beside those of every channel.

    A field's ``description`` says what is expected of it; errors quote it, and no secret.
    """

    model_config = ConfigDict(strict=False)
    error = ChannelError

    @classmethod
    def checked(cls, values: Mapping[str, object]) -> Self:
        """Return the options of a channel; the other keys of the values are not looked at."""
        return cls.from_dict(
            {key: value for key, value in values.items() if key in cls.model_fields}
        )


@dataclass(frozen=True, slots=True)
class Style:
    """How a channel wants its notifications written."""

    type: str = "webhook"
    format: str = "driftline"
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Row[Any] | None) -> Style:
        """Read it from a row of channels; our own where there is none."""
        return cls(row.type, row.format, row.options) if row is not None else cls()

    @property
    def has_values(self) -> bool:
        """Whether the channel may be sent values of single rows."""
        return self.options.get("include_values") is True


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered notification: the bytes that every attempt sends, and their content type."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a receiver words.

    Parameters
    ----------
    event
        What happened: a change of state, a group, a test.
    message_id
        The ``webhook-id``; SNS's MessageId.
    style
        The channel's.
    dashboard_url
        What relative links are put behind.
    change, definition
        Of one change of state; None for every other event.
    configured_at
        When the alarm was last changed.
    is_after_mute
        Whether a mute rule that is over held it back.
    suppressed_by
        What held the actions of a composite alarm back meanwhile.
    """

    event: Event
    message_id: str
    style: Style = field(default_factory=Style)
    dashboard_url: str = ""
    change: StateChange | None = None
    definition: AnyDefinition | None = None
    configured_at: datetime | None = None
    is_after_mute: bool = False
    suppressed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A rendered notification on its way."""

    id: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel with its secrets; for the moment of sending only.

    Parameters
    ----------
    url
        As a secret: it may hold a token.
    secrets
        All that sign, the newest first, or the service's key; empty where neither is needed.
    authorization
        The header of the name, if one is sent.
    """

    name: str
    style: Style
    url: Secret
    secrets: tuple[Secret, ...] = ()
    authorization: Secret | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered.

    Parameters
    ----------
    status
        HTTP status, or the exit code of a program; None where there is neither.
    text
        First 4 kB of what it said.
    retry_after_s
        For how long it asks to be left alone, at most one hour; None when it does not.
    is_http
        Whether the status is HTTP's.
    """

    status: int | None
    text: str = ""
    retry_after_s: float | None = None
    is_http: bool = True

    @property
    def is_success(self) -> bool:
        """Whether it took the message: 2xx only, a redirect is not followed; exit code 0."""
        if self.is_http:
            return self.status is not None and 200 <= self.status < 300
        return self.status == 0

    @property
    def is_refused(self) -> bool:
        """Whether it would answer the same to any other attempt (most of 4xx, of sysexits.h)."""
        if self.is_http:
            return is_final_status(self.status)
        return self.status in FINAL_CODES

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more, ever (410)."""
        return self.is_http and self.status == 410

    @property
    def problem(self) -> str | None:
        """In a few words, why it did not take the message; None when it did."""
        if self.is_success:
            return None
        return f"answered {self.status}" if self.is_http else f"ended with code {self.status}"


class Attempt(Protocol):
    """One attempt to send one message; what a receiver's ``send`` is handed."""

    channel: OpenChannel
    message: Outgoing
    now: datetime
    commands: Mapping[str, str]
    allow_networks: Sequence[str]

    async def post(
        self, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post the message, or another body, to an address that the guard lets through."""

    async def run(
        self,
        argv: Sequence[str],
        stdin: bytes,
        environment: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
    ) -> Answer:
        """Run a program with this on its standard input."""


def stored_body(body: bytes, is_ours: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - JSON
    """Return a stored body that a receiver wrote itself; another's is ChannelError."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not is_ours(found):
        raise ChannelError("the message was written for another type of channel")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A type of channel.

    Parameters
    ----------
    options
        What its channels take.
    render
        Words a notification; called once, every attempt sends the same bytes.
    send
        Makes one attempt; raises ChannelError where it cannot.
    render_again
        Puts an event's words into a stored body and leaves alone what opens or closes an alert;
        raises where the body was written for another type. By default it is rendered anew.
    url
        Whether a channel needs a URL: of HTTP, one that a default may stand for, one in the
        receiver's own schemes, or none.
    key
        The field that holds the service's key; its channels sign nothing.
    needs
        The option that a channel cannot do without.
    groups_itself
        Whether it keeps the state of each alarm: it is then sent every change, ungrouped.
    """

    options: type[Options]
    render: Callable[[Notification], Message]
    send: Callable[[Attempt], Awaitable[Answer]]
    render_again: Callable[[bytes, Event], Message] | None = None
    url: Literal["http", "optional", "own", "none"] = "http"
    key: str | None = None
    needs: str | None = None
    groups_itself: bool = False
