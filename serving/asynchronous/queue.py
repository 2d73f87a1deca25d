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

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, insert, select

from driftline.errors import NotFoundError
from driftline.serving.tables import async_queue, async_requests

AsyncStatus = Literal["Queued", "Completed", "Failed", "Expired", "Erased"]

# Servers that may end over one request before it is given up.
MAX_ATTEMPTS = 3
# How long it is known what came of a request.
KEPT = timedelta(days=7)
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
    return _request(row)


def claim(
    connection: Connection, owner: str, count: int, now: datetime, *where: ColumnElement[bool]
) -> list[AsyncRequest]:
    """Take the oldest requests that no server works on, at most so many."""
    return [_request(row) for row in async_queue.claim(connection, owner, now, count, *where)]


def _request(row: Row[tuple[Any, ...]]) -> AsyncRequest:
    return AsyncRequest(**{field.name: getattr(row, field.name) for field in fields(AsyncRequest)})
