"""Jobs of all kinds in the database: what was asked, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping, Select, select, update

from driftline.capture.erasure.clearing import ERASED
from driftline.database.dialects import upsert
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.serving.tables import job_queue, jobs
from driftline.validation import nearest

JobKind = Literal["transform", "processing", "recommendation"]
JobStatus = Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"]
JobName = Annotated[str, Field(pattern=r"^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}$")]

_jobs = jobs.c
# Without the inputs, which may be many.
_shown = select(*(column for column in _jobs if column is not _jobs.inputs))


class JobExistsError(ConflictError):
    """There is a job of the kind and name."""


class Job(BaseModel):
    """A job as it is stored."""

    key: str
    kind: JobKind
    name: str
    spec: dict[str, Any]  # Of the form of its kind.
    said: dict[str, Any]  # By the client of AWS that created it.
    status: JobStatus
    failure_reason: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    model: dict[str, Any] | None  # That it asks, as it was when the job was created.
    # Of a transform job; the count is None before its files are looked for.
    file_count: int | None
    files_done: int
    record_count: int
    # Of a processing job: how it ended, as SageMaker's images say it; of a recommendation job: why
    # that configuration.
    exit_message: str | None
    results: list[dict[str, Any]] | None  # Of a recommendation job.


def create_job(
    connection: Connection, kind: JobKind, name: str, now: datetime, **values: object
) -> Job:
    """Store a new job, with its spec and what else it needs; JobExistsError when there is one."""
    row = {"key": _key(kind, name), "kind": kind, "name": name, "status": "InProgress"}
    new = upsert(connection, jobs).values(**row, created_at=now, next_attempt_at=now, **values)
    stored = new.on_conflict_do_nothing().returning(*_shown.selected_columns)
    found = connection.execute(stored).mappings().one_or_none()
    if found is None:
        raise JobExistsError(f'{kind} job "{name}" exists already; choose another name')
    return job_of(found)


def get_job(connection: Connection, kind: JobKind, name: str) -> Job:
    """Return a job; NotFoundError, with the nearest name, when there is none of it."""
    row = connection.execute(_shown.where(_jobs.key == _key(kind, name))).mappings().one_or_none()
    if row is None:
        names = connection.execute(select(_jobs.name).where(_jobs.kind == kind)).scalars()
        near = nearest(name, names) or "there is none yet"
        raise NotFoundError(f'{kind} job "{name}" does not exist; {near}')
    return job_of(row)


def list_jobs(
    connection: Connection, kind: JobKind, *, status: JobStatus | None = None,
    after: Place | None = None, limit: int,
) -> list[Job]:  # fmt: skip
    """Return jobs, the newest first; those behind a place of that order."""
    order = [_jobs.created_at, _jobs.key]
    query = select_jobs(kind).where(is_behind(after, order, descending=True))
    if status is not None:
        query = query.where(_jobs.status == status)
    rows = connection.execute(query.order_by(*(one.desc() for one in order)).limit(limit))
    return [job_of(row) for row in rows.mappings()]


def select_jobs(kind: JobKind) -> Select[Any]:
    """Return the query of all jobs of a kind, each of whose rows `job_of` reads."""
    return _shown.where(_jobs.kind == kind)


def stop_job(connection: Connection, kind: JobKind, name: str) -> Job:
    """Ask a job to stop; ConflictError when it has ended."""
    is_going = _jobs.key == _key(kind, name), job_queue.is_unfinished()
    changed = connection.execute(update(jobs).where(*is_going).values(status="Stopping"))
    job = get_job(connection, kind, name)
    if not changed.rowcount:
        raise ConflictError(f'{kind} job "{job.name}" is {job.status}; it has ended already')
    return job


def say(connection: Connection, kind: JobKind, name: str, said: Mapping[str, Any]) -> None:
    """Store what clients of AWS say of a job, in the place of what they said before."""
    of = update(jobs).where(_jobs.key == _key(kind, name))
    connection.execute(of.values(said=said))


def clear_reasons(connection: Connection, endpoint: str | None, *, dry_run: bool) -> int:
    """Clear and count why jobs failed: a reason quotes a record, and does not say whose."""
    query = select(_jobs.key, _jobs.spec["endpoint_name"].as_string().label("endpoint"))
    rows = connection.execute(
        query.where(_jobs.failure_reason.is_not(None), _jobs.failure_reason != ERASED)
    )
    of = endpoint and endpoint.casefold()
    keys = [row.key for row in rows if of is None or (row.endpoint or of).casefold() == of]
    if not dry_run:
        cleared = update(jobs).where(_jobs.key.in_(keys))
        connection.execute(cleared.values(failure_reason=ERASED))
    return len(keys)


def _key(kind: JobKind, name: str) -> str:
    return f"{kind}/{name.casefold()}"


def job_of(row: RowMapping) -> Job:
    """Return the job of a row."""
    return Job.model_validate(dict(row))
