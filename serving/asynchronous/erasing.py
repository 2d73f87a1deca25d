"""Erases what is kept of requests beside their captured rows: queued bodies, answers, reasons.

In two steps, so that neither a kill nor a server that is about to answer leaves anything. One
transaction clears the row; from then on no server claims or closes it. Files are removed after
that, and once more when the lease of the server that worked on it has run out.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, func, or_, select, true, update

from driftline.alerts import tables as alert_tables
from driftline.alerts.metrics.identity import chunks
from driftline.alerts.notify.erasing import clear_told
from driftline.capture.erasure.clearing import ClearedRequests
from driftline.database.dialects import write_anew
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.formats.location import Location, locate
from driftline.serving.asynchronous.outcome import message_number
from driftline.serving.jobs.store import clear_reasons
from driftline.serving.tables import async_requests, jobs

log = logging.getLogger(__name__)

_CHANGED_TABLES = (
    async_requests.name, jobs.name, alert_tables.outbox.name, alert_tables.attempts.name
)  # fmt: skip
# What `Location.replace` puts behind the name of a file that it is writing.
_WRITING = "[0-9a-f]" * 32
_table = async_requests.c
_NOTHING: dict[str, object] = {
    "status": "Erased", "content": None, "headers": {}, "input_location": None,
    "failure_reason": None, "ended_at": None,
}  # fmt: skip


def clear_requests(
    engine: Engine,
    endpoint: str | None,
    inference_ids: Collection[str],
    /,
    *,
    of_rows: bool = False,
    dry_run: bool = False,
) -> ClearedRequests:
    """Clear asynchronous invocations of inference ids, and reasons of jobs, in SQL.

    ``of_rows``: rows go, perhaps without ids. `remove_files` removes the files of answers.
    """
    if not inference_ids and not of_rows:
        return ClearedRequests()
    is_of = true() if endpoint is None else func.lower(_table.endpoint) == endpoint.lower()
    rows: list[Row[Any]] = []
    with engine.begin() as connection:
        for some in chunks(sorted(inference_ids)):
            # Locked: a server that answers one meanwhile finds it erased.
            query = select(async_requests).where(_table.inference_id.in_(some), is_of)
            rows += connection.execute(query.with_for_update()).all()
        kept = [row for row in rows if row.status != "Erased"]
        if not dry_run:
            for row in kept:
                connection.execute(update(async_requests).where(_table.id == row.id), _NOTHING)
        cleared = ClearedRequests(
            len(kept),
            messages=sum(
                clear_told(connection, some, dry_run=dry_run)
                for some in chunks([message_number(row.id) for row in kept])
            ),
            jobs=clear_reasons(connection, endpoint, dry_run=dry_run),
            found=frozenset(row.inference_id for row in rows),
            unanswered=frozenset(row.inference_id for row in kept if row.status == "Queued"),
        )
    if not dry_run and (rows or cleared.jobs):
        write_anew(engine, _CHANGED_TABLES)
        log.info("erased invocations=%d jobs=%d", cleared.invocations, cleared.jobs)
    return cleared


def remove_files(engine: Engine, now: datetime) -> None:
    """Remove files of erased invocations, and look again where a server may still write."""
    is_erased = _table.status == "Erased", _table.ended_at.is_(None)
    is_over = or_(_table.lease_until.is_(None), _table.lease_until <= now)
    with read_connection(engine) as connection:
        rows = connection.execute(select(async_requests).where(*is_erased)).all()
    for row in rows:
        for where in (row.output_location, row.failure_location):
            with suppress(NotFoundError):  # The file is gone with its bucket.
                _remove_file(locate(where))
        ended = update(async_requests).where(_table.id == row.id, *is_erased, is_over)
        with engine.begin() as connection:
            connection.execute(ended.values(ended_at=now, lease_owner=None, lease_until=None))


def _remove_file(place: Location) -> None:
    place.remove_file()
    if place.is_local:
        path = Path(place.path)
        for part in path.parent.glob(f".{glob.escape(path.name)}.{_WRITING}"):
            part.unlink(missing_ok=True)
