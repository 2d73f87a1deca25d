"""Transform jobs in the database: who works on one, and which of its files are done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Row, insert, select, update

from driftline.capture.erasure.clearing import ERASED
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.tables import transform_jobs, transform_queue
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.validation import nearest

_jobs = transform_jobs.c
# Without the inputs, which may be many.
_shown = select(*(column for column in _jobs if column is not _jobs.inputs))


class PinnedModel(BaseModel):
    """The model of a job as it was when the job was created; later ones change nothing."""

    file: str  # Relative to the storage root.
    trust_pickle: bool
    positive: str | None  # The endpoint's, if the job answers as one does.
    description: Mapping[str, Any]
    environment: tuple[tuple[str, str], ...] = ()  # Of its process.
    signature: str | None = None  # The endpoint's, by which records are read.


class TransformJob(BaseModel):
    """A job as it is stored."""

    name: str
    spec: TransformJobSpec
    status: JobStatus
    failure_reason: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    model: PinnedModel
    file_count: int | None  # None before they are looked for.
    files_done: int
    record_count: int


def create_job(
    connection: Connection, spec: TransformJobSpec, model: PinnedModel, now: datetime
) -> None:
    """Store a new job; ConflictError when there is one of its name."""
    name = spec.transform_job_name
    if connection.scalar(select(_jobs.name).where(_jobs.key == name.casefold())) is not None:
        raise ConflictError(f'transform job "{name}" exists already; choose another name')
    connection.execute(
        insert(transform_jobs).values(
            key=name.casefold(), name=name, spec=spec.model_dump(mode="json"),
            status="InProgress", created_at=now, next_attempt_at=now,
            model=model.model_dump(),
        )
    )  # fmt: skip


def get_job(connection: Connection, name: str) -> TransformJob:
    """Return a job; NotFoundError, with the nearest name, when there is none of it."""
    row = connection.execute(_shown.where(_jobs.key == name.casefold())).one_or_none()
    if row is None:
        near = nearest(name, connection.execute(select(_jobs.name)).scalars())
        raise NotFoundError(f'transform job "{name}" does not exist; {near or "there is none yet"}')
    return _job(row)


def list_jobs(
    connection: Connection, *, status: JobStatus | None = None, after: Place | None = None,
    limit: int,
) -> list[TransformJob]:  # fmt: skip
    """Return jobs, the newest first; those behind a place of that order."""
    order = [_jobs.created_at, _jobs.key]
    query = _shown.where(is_behind(after, order, descending=True))
    if status is not None:
        query = query.where(_jobs.status == status)
    rows = connection.execute(query.order_by(*(one.desc() for one in order)).limit(limit))
    return [_job(row) for row in rows]


def stop_job(connection: Connection, name: str) -> TransformJob:
    """Ask a job to stop; ConflictError when it has ended."""
    changed = connection.execute(
        update(transform_jobs)
        .where(_jobs.key == name.casefold(), transform_queue.is_unfinished())
        .values(status="Stopping")
    )
    job = get_job(connection, name)
    if not changed.rowcount:
        raise ConflictError(f'transform job "{job.name}" is {job.status}; it has ended already')
    return job


def clear_reasons(connection: Connection, endpoint: str | None, *, dry_run: bool) -> int:
    """Clear and count why jobs failed: a reason quotes a record, and does not say whose."""
    query = select(_jobs.key, _jobs.spec["endpoint_name"].as_string().label("endpoint"))
    rows = connection.execute(
        query.where(_jobs.failure_reason.is_not(None), _jobs.failure_reason != ERASED)
    )
    of = endpoint and endpoint.casefold()
    keys = [row.key for row in rows if of is None or (row.endpoint or of).casefold() == of]
    if not dry_run:
        cleared = update(transform_jobs).where(_jobs.key.in_(keys))
        connection.execute(cleared.values(failure_reason=ERASED))
    return len(keys)


def _job(row: Row[tuple[Any, ...]]) -> TransformJob:
    return TransformJob.model_validate(dict(row._mapping))
