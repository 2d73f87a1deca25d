"""Stored silences: put, list, expire; who is muted now, and what is sent when that is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, Row, insert, or_, select, update

from driftline.alerts import tables as common
from driftline.alerts.alarms.known import names_in, unknown_name
from driftline.alerts.documents import Time
from driftline.alerts.errors import SilenceError, UnknownSilence
from driftline.alerts.notify.silence import Silence, SilenceState
from driftline.alerts.tables import silences


@dataclass(frozen=True, slots=True)
class Muting:
    """That messages are held back: by which silence, and until when."""

    silence: str
    until: datetime

    @property
    def columns(self) -> dict[str, object]:
        """Return what the outbox says of a message that is held back."""
        return {
            "silence": self.silence,
            "reason": f'held back by silence "{self.silence}" until {self.until.isoformat()}',
            "next_attempt_at": self.until,
        }


class ShownSilence(Silence):
    """A silence, and what it does."""

    status: str
    created_at: Time
    updated_at: Time
    expired_at: Time | None


@dataclass(frozen=True, slots=True)
class SilenceRecord:
    """A stored silence and when it was made, changed and ended by hand."""

    silence: Silence
    created_at: datetime
    updated_at: datetime
    expired_at: datetime | None

    def shown(self, now: datetime) -> ShownSilence:
        """Return it with what it does at a time."""
        return ShownSilence.model_construct(
            **dict(self.silence), status=self.silence.state(now, self.expired_at),
            created_at=self.created_at, updated_at=self.updated_at, expired_at=self.expired_at,
        )  # fmt: skip


def put_silence(connection: Connection, silence: Silence, now: datetime) -> SilenceRecord:
    """Store a silence, or replace the one of its name, which is then no longer expired.

    A silence without a start begins now.
    """
    old = _find(connection, silence.name)
    end = silence.last_end
    if end is not None and end <= now:
        raise SilenceError(
            f'silence "{silence.name}": it is over since {end.isoformat()}; expected a later end'
        )
    if silence.schedule is None and silence.starts_at is None:
        begun = old.starts_at if old is not None and old.expired_at is None else now
        silence = silence.changed(starts_at=min(begun or now, now))
    values = {
        "definition": silence.as_dict(),
        "starts_at": silence.starts_at,
        "ends_at": end,
        "updated_at": now,
        "expired_at": None,
    }
    if old is None:
        connection.execute(insert(silences).values(name=silence.name, created_at=now, **values))
    else:
        connection.execute(update(silences).where(silences.c.name == silence.name).values(**values))
        _look_again(connection, silence.name)
    return get_silence(connection, silence.name)


def expire_silence(connection: Connection, name: str, now: datetime) -> SilenceRecord:
    """End a silence; it stays, so that muted messages can name it."""
    record = get_silence(connection, name)
    if record.silence.state(now, record.expired_at) != "EXPIRED":
        connection.execute(
            update(silences).where(silences.c.name == name).values(expired_at=now, updated_at=now)
        )
        _look_again(connection, name)
    return get_silence(connection, name)


def get_silence(connection: Connection, name: str) -> SilenceRecord:
    """Return a stored silence; UnknownSilence for an unknown name."""
    row = _find(connection, name)
    if row is None:
        raise UnknownSilence(unknown_name("silence", name, names_in(connection, silences, name)))
    return _record(row)


def list_silences(
    connection: Connection,
    now: datetime,
    *,
    status: SilenceState | None = None,
) -> list[SilenceRecord]:
    """Return all silences by name, or those in a state."""
    rows = connection.execute(select(silences).order_by(silences.c.name)).all()
    return [
        record
        for record in map(_record, rows)
        if status is None or record.silence.state(now, record.expired_at) == status
    ]


class Silences:
    """The silences that count in one transaction, read when they are first asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since: datetime | None = None
        self._found: list[Silence] = []

    def muting(self, labels: Mapping[str, str], time: datetime) -> Muting | None:
        """Return which silence holds back messages of an alarm: the one that does so longest."""
        if self._since is None or time < self._since:
            self._since, self._found = time, self._read(time)
        found = [
            Muting(silence.name, until)
            for silence in self._found
            if silence.fits(labels) and (until := silence.mutes_until(time)) is not None
        ]
        return max(found, key=lambda one: one.until, default=None)

    def _read(self, time: datetime) -> list[Silence]:
        table = silences.c
        query = select(silences).where(
            table.expired_at.is_(None), or_(table.ends_at.is_(None), table.ends_at > time)
        )
        return [_silence(row) for row in self._connection.execute(query.order_by(table.name))]


def _look_again(connection: Connection, name: str) -> None:
    """Mark the notifications that a silence holds back for another look."""
    outbox = common.outbox
    connection.execute(
        update(outbox)
        .where(
            outbox.c.silence == name,
            outbox.c.status == "muted",
            outbox.c.finished_at.is_(None),
        )
        .values(next_attempt_at=outbox.c.created_at)
    )


def _find(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(silences).where(silences.c.name == name)).one_or_none()


def _record(row: Row[tuple[object, ...]]) -> SilenceRecord:
    return SilenceRecord(_silence(row), row.created_at, row.updated_at, row.expired_at)


def _silence(row: Row[tuple[object, ...]]) -> Silence:
    return _parsed(row.name, json.dumps(row.definition, sort_keys=True))


@lru_cache(maxsize=1024)
def _parsed(name: str, definition: str) -> Silence:
    # Every change of state asks every silence: in a storm thousands a second.
    return Silence.read(name, json.loads(definition))
