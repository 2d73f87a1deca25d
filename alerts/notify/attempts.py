"""The delivery log: one line for each attempt to send a message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from driftline.alerts.tables import attempts


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went.

    Parameters
    ----------
    number
        The how manieth of its message.
    outcome
        What became of the message: ``delivered``, ``pending`` (to be tried again), ``dead``, or
        ``lease_lost`` when somebody else had taken it meanwhile.
    status, error, answer
        HTTP status or exit code, in a few words what was wrong, and the first 1,000 characters of
        the answer.
    """

    message_id: str
    channel: str
    number: int
    time: datetime
    duration_ms: int
    outcome: str
    status: int | None
    error: str | None
    answer: str | None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"time": self.time.isoformat()}


def add_attempt(connection: Connection, attempt: Attempt) -> None:
    """Write one line in the caller's transaction."""
    connection.execute(
        insert(attempts).values(**{name: getattr(attempt, name) for name in Attempt.__slots__})
    )


def list_attempts(
    connection: Connection,
    *,
    channel: str | None = None,
    message_id: str | None = None,
    limit: int = 100,
) -> list[Attempt]:
    """Return attempts, newest first: of one channel, of one message, or all."""
    query = select(attempts).order_by(attempts.c.id.desc()).limit(limit)
    if channel is not None:
        query = query.where(attempts.c.channel == channel)
    if message_id is not None:
        query = query.where(attempts.c.message_id == message_id)
    return [
        Attempt(**{name: row[name] for name in Attempt.__slots__})
        for row in connection.execute(query).mappings()
    ]
