"""Processing jobs in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Row, insert, select, update

from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.processing.definition import ProcessingJobSpec
from driftline.serving.tables import processing_jobs, processing_queue
from driftline.serving.transform.definition import JobStatus
from driftline.validation import nearest

_jobs = processing_jobs.c


class ProcessingJob(BaseModel):
    """A job as it is stored."""

    name: str
    spec: ProcessingJobSpec
    status: JobStatus
    failure_reason: str | None
    exit_message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def create_job(connection: Connection, spec: ProcessingJobSpec, now: datetime) -> None:
    """Store a new job; ConflictError when there is one of its name."""
    name = spec.processing_job_name
    if connection.scalar(select(_jobs.name).where(_jobs.key == name.casefold())) is not None:
        raise ConflictError(f'processing job "{name}" exists already; choose another name')
    values = {"status": "InProgress", "created_at": now, "next_attempt_at": now}
    document = spec.model_dump(mode="json")
    connection.execute(
        insert(processing_jobs).values(key=name.casefold(), name=name, spec=document, **values)
    )


def get_job(connection: Connection, name: str) -> ProcessingJob:
    """Return a job; NotFoundError, with the nearest name, when there is none of it."""
    query = select(processing_jobs).where(_jobs.key == name.casefold())
    row = connection.execute(query).one_or_none()
    if row is None:
        near = nearest(name, connection.execute(select(_jobs.name)).scalars())
        raise NotFoundError(
            f'processing job "{name}" does not exist; {near or "there is none yet"}'
        )
    return _job(row)


def list_jobs(
    connection: Connection, *, status: JobStatus | None = None, after: Place | None = None,
    limit: int,
) -> list[ProcessingJob]:  # fmt: skip
    """Return jobs, the newest first; those behind a place of that order."""
    order = [_jobs.created_at, _jobs.key]
    query = select(processing_jobs).where(is_behind(after, order, descending=True))
    if status is not None:
        query = query.where(_jobs.status == status)
    rows = connection.execute(query.order_by(*(one.desc() for one in order)).limit(limit))
    return [_job(row) for row in rows]


def stop_job(connection: Connection, name: str) -> ProcessingJob:
    """Ask a job to stop; ConflictError when it has ended."""
    changed = connection.execute(
        update(processing_jobs)
        .where(_jobs.key == name.casefold(), processing_queue.is_unfinished())
        .values(status="Stopping")
    )
    job = get_job(connection, name)
    if not changed.rowcount:
        raise ConflictError(f'processing job "{job.name}" is {job.status}; it has ended already')
    return job


def _job(row: Row[tuple[Any, ...]]) -> ProcessingJob:
    return ProcessingJob.model_validate(dict(row._mapping))
