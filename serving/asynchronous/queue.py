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

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from driftline.errors import NotFoundError
from driftline.serving.tables import async_requests

AsyncStatus = Literal["Queued", "Completed", "Failed", "Expired", "Erased"]
# A row of the table of requests.
AsyncRequest = Row[Any]

# Servers that may end over one request before it is given up.
MAX_ATTEMPTS = 3
# How long it is known what came of a request.
KEPT = timedelta(days=7)


def get_request(connection: Connection, endpoint: str, inference_id: str) -> AsyncRequest:
    """Return the newest request of an endpoint with an inference id."""
    table = async_requests.c
    row = connection.execute(
        select(async_requests)
        .where(table.endpoint == endpoint, table.inference_id == inference_id)
        .order_by(table.received_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f'endpoint "{endpoint}" has no asynchronous invocation "{inference_id[:64]}"; ended '
            f"ones are known for {KEPT.days} days"
        )
    return row
