"""The queue of asynchronous invocations: accepted once, claimed by one server at a time.

::

    Queued      waits, or is under way at the server that has its lease
    Completed   its answer lies at the output location
    Failed      why lies at the failure location
    Expired     nobody came to it in time; why lies at the failure location
    Erased      asked to be forgotten, answered or not (erasing.py); without an end until its files
                are gone, and no server can still be writing one
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, delete, func, insert, or_, select, true, update

from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.serving.tables import async_lease, async_requests

AsyncStatus = Literal["Queued", "Completed", "Failed", "Expired", "Erased"]

# Servers that may end over one request before it is given up.
MAX_ATTEMPTS = 3
# How long it is known what came of a request.
KEPT = timedelta(days=7)
_DROPPED_AT_ONCE = 10_000
_table = async_requests.c


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncRequest:
    """One accepted invocation."""

    id: str
    endpoint: str
    inference_id: str
    input_location: str | None
    content: bytes | None
    headers: Mapping[str, str]
    output_location: str
    failure_location: str
    timeout_s: int
    received_at: datetime
    expires_at: datetime
    status: AsyncStatus = "Queued"
    failure_reason: str | None = None
    attempts: int = 0
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The requests of an endpoint that are not answered yet."""

    count: int
    oldest: datetime


_COLUMNS = [_table[field.name] for field in fields(AsyncRequest)]


def put_request(connection: Connection, request: AsyncRequest) -> None:
    """Store a request: from now on it is answered, or said why not."""
    values = {field.name: getattr(request, field.name) for field in fields(AsyncRequest)}
    connection.execute(insert(async_requests).values(**values, next_attempt_at=request.received_at))


def get_request(connection: Connection, endpoint: str, inference_id: str) -> AsyncRequest:
    """Return the newest request of an endpoint with an inference id."""
    row = connection.execute(
        select(*_COLUMNS)
        .where(_table.endpoint == endpoint, _table.inference_id == inference_id)
        .order_by(_table.received_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f'endpoint "{endpoint}" has no asynchronous invocation "{inference_id[:64]}"; ended '
            f"ones are known for {KEPT.days} days"
        )
    return request_of(row)


def claim(
    engine: Engine,
    owner: str,
    endpoint: str,
    count: int,
    now: datetime,
    *,
    is_expired: bool = False,
) -> list[AsyncRequest]:
    """Take the oldest requests that no server works on, at most so many; or those too late."""
    is_free = (
        _table.status == "Queued", _table.endpoint == endpoint, _table.next_attempt_at <= now,
        or_(async_lease.is_over(now), async_lease.is_too_long(now)),
        _table.expires_at <= now if is_expired else true(),
    )  # fmt: skip
    with engine.begin() as connection:
        found = connection.scalars(
            select(_table.id).where(*is_free).order_by(_table.received_at).limit(count)
        ).all()
        if not found:
            return []
        rows = connection.execute(
            update(async_requests)
            # Asked again: another server may have taken some meanwhile.
            .where(_table.id.in_(found), *is_free)
            .values(**async_lease.taken(owner, now), attempts=_table.attempts + 1)
            .returning(*_COLUMNS)
        ).all()
    return sorted((request_of(row) for row in rows), key=lambda one: one.received_at)


def renew(engine: Engine, owner: str, ids: Collection[str], now: datetime) -> None:
    """Keep the requests that a server works on."""
    with engine.begin() as connection:
        connection.execute(
            update(async_requests)
            .where(_table.id.in_(ids), _table.status == "Queued", async_lease.is_owned(owner))
            .values(**async_lease.taken(owner, now))
        )


def give_back(
    engine: Engine, owner: str, ids: Collection[str], at: datetime, *, counts: bool
) -> None:
    """Let requests wait until a time; an attempt that does not count was none of theirs."""
    values: dict[str, Any] = {**async_lease.released(), "next_attempt_at": at}
    if not counts:
        values["attempts"] = _table.attempts - 1
    with engine.begin() as connection:
        connection.execute(
            update(async_requests)
            .where(_table.id.in_(ids), _table.status == "Queued", async_lease.is_owned(owner))
            .values(**values)
        )


def close(
    connection: Connection,
    owner: str,
    request: AsyncRequest,
    status: AsyncStatus,
    now: datetime,
    reason: str | None = None,
) -> bool:
    """Store what came of a request; False when another server has it, which says so itself."""
    changed = connection.execute(
        update(async_requests)
        .where(_table.id == request.id, _table.status == "Queued", async_lease.is_owned(owner))
        .values(
            status=status, failure_reason=reason, ended_at=now, content=None,
            **async_lease.released(),
        )
    )  # fmt: skip
    return bool(changed.rowcount)


def is_held(engine: Engine, owner: str, request: AsyncRequest) -> bool:
    """Whether a request still waits for the answer of the server that took it."""
    with read_connection(engine) as connection:
        found = connection.scalar(
            select(_table.id).where(
                _table.id == request.id, _table.status == "Queued", async_lease.is_owned(owner)
            )
        )
    return found is not None


def is_erased(connection: Connection, request: AsyncRequest) -> bool:
    """Whether a request was asked to be forgotten while a server had it."""
    return connection.scalar(select(_table.status).where(_table.id == request.id)) == "Erased"


def backlogs(connection: Connection) -> Mapping[str, Backlog]:
    """Return what waits or is under way, by endpoint."""
    query = (
        select(_table.endpoint, func.count(), func.min(_table.received_at))
        .where(_table.status == "Queued")
        .group_by(_table.endpoint)
    )
    return {endpoint: Backlog(count, at) for endpoint, count, at in connection.execute(query)}


def expire_unserved(connection: Connection, served: Collection[str], now: datetime) -> None:
    """End requests that are over, of endpoints that nobody serves any more."""
    connection.execute(
        update(async_requests)
        .where(
            _table.status == "Queued", _table.expires_at <= now, _table.endpoint.not_in(served),
            async_lease.is_over(now),
        )
        .values(status="Expired", failure_reason="no endpoint answered", ended_at=now, content=None)
    )  # fmt: skip


def drop_ended(connection: Connection, now: datetime) -> None:
    """Forget requests that ended long ago."""
    old = select(_table.id).where(_table.ended_at < now - KEPT).limit(_DROPPED_AT_ONCE)
    connection.execute(delete(async_requests).where(_table.id.in_(old)))


def request_of(row: Row[tuple[Any, ...]]) -> AsyncRequest:
    """Return a request from its row."""
    return AsyncRequest(**{field.name: getattr(row, field.name) for field in fields(AsyncRequest)})
