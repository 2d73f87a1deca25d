"""Transform jobs in the database: who works on one, and which of its files are done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from driftline.capture.erasure.clearing import ERASED, words_of
from driftline.database.engine import read_connection
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, DriftlineError, NotFoundError
from driftline.serving.tables import transform_jobs, transform_queue
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.validation import nearest

# A job whose processes end so often over one file is at fault itself.
MAX_ATTEMPTS = 5

_jobs = transform_jobs.c
# Without the inputs, which may be many.
_shown = select(*(column for column in _jobs if column is not _jobs.inputs))


class LeaseLostError(DriftlineError):
    """Another process has the job."""


@dataclass(frozen=True, slots=True)
class TransformJob:
    """A job as it is stored."""

    name: str
    spec: TransformJobSpec
    status: JobStatus
    failure_reason: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    signature: str | None
    attempts: int  # Processes that took it since a file was done.
    model: PinnedModel | None
    file_count: int | None
    files_done: int
    record_count: int

    @property
    def counts(self) -> JobCounts | None:
        """How far it is; None before its files are looked for."""
        if self.file_count is None:
            return None
        return JobCounts(self.file_count, self.files_done, self.record_count)


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """The model of a server's job as it was when the job was created; later ones change nothing."""

    file: str  # Relative to the storage root.
    trust_pickle: bool
    positive: str | None  # The endpoint's, if the job answers as one does.
    # Of the rows that a model by itself answers, in the table of an endpoint.
    captured_signature: str | None = None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How far a job is: its files, those that are done, and the records of these."""

    files: int
    files_done: int
    records: int


def create_job(
    connection: Connection,
    spec: TransformJobSpec,
    *,
    by: str,
    now: datetime,
    model: PinnedModel | None = None,
    signature: str | None = None,
) -> None:
    """Store a new job; ConflictError when there is one of its name."""
    name = spec.transform_job_name
    if connection.scalar(select(_jobs.name).where(_jobs.key == name.casefold())) is not None:
        raise ConflictError(f'transform job "{name}" exists already; choose another name')
    connection.execute(
        insert(transform_jobs).values(
            key=name.casefold(), name=name, spec=spec.model_dump(mode="json"),
            status="InProgress", created_by=by, created_at=now, next_attempt_at=now,
            model=model and asdict(model), signature=signature,
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
    connection: Connection,
    *,
    status: JobStatus | None = None,
    name_contains: str = "",
    after: Place | None = None,
    limit: int,
) -> list[TransformJob]:
    """Return jobs, the newest first; those behind a place of that order."""
    order = [_jobs.created_at, _jobs.key]
    query = _shown.where(
        _jobs.key.contains(name_contains.casefold(), autoescape=True),
        is_behind(after, order, descending=True),
    )
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


def claim_jobs(
    connection: Connection, owner: str, now: datetime, limit: int, running: Collection[str] = ()
) -> list[TransformJob]:
    """Take jobs that no process works on, at most so many, save for those that run here."""
    is_new = _jobs.name.not_in(running)
    return [_job(row) for row in transform_queue.claim(connection, owner, now, limit, is_new)]


def clear_reasons(
    connection: Connection,
    ids: Collection[str],
    endpoint: str | None,
    *,
    dry_run: bool = False,
) -> int:
    """Clear the reasons of failed jobs that name an id, or belong to an endpoint; count them.

    With those of an endpoint go those of jobs of a model by itself: their records may be the same.
    """
    named = words_of(ids) if ids else None
    rows = connection.execute(
        select(_jobs.key, _jobs.spec, _jobs.failure_reason).where(
            _jobs.failure_reason.is_not(None), _jobs.failure_reason != ERASED
        )
    )
    meant = [
        row.key
        for row in rows
        if (named is not None and named.search(row.failure_reason))
        or (endpoint is not None and _may_be_of(row.spec, endpoint))
    ]
    if not dry_run:
        for key in meant:
            connection.execute(
                update(transform_jobs).where(_jobs.key == key).values(failure_reason=ERASED)
            )
    return len(meant)


def _may_be_of(spec: Mapping[str, Any], endpoint: str) -> bool:
    of = spec.get("endpoint_name")
    return of is None or of.casefold() == endpoint.casefold()


def described(job: TransformJob) -> dict[str, Any]:
    """Return a job as plain JSON values, as the programming interface does."""
    times = {
        "creation_time": job.created_at,
        "transform_start_time": job.started_at,
        "transform_end_time": job.ended_at,
    }
    return {
        **job.spec.model_dump(mode="json"),
        "transform_job_status": job.status,
        "failure_reason": job.failure_reason,
        **{name: time and time.isoformat() for name, time in times.items()},
        "progress": job.counts and asdict(job.counts),
    }


class OwnedJob:
    """A job that this process works on; every write is refused once another one has it."""

    def __init__(self, engine: Engine, name: str, owner: str) -> None:
        self._engine, self._owner = engine, owner
        self._key = name.casefold()

    def begin(self, now: datetime) -> TransformJob | None:
        """Return the job; None when it has ended, or this owner does not have it."""
        try:
            self.keep(now, started_at=func.coalesce(_jobs.started_at, now))
        except LeaseLostError:
            return None
        with read_connection(self._engine) as connection:
            return get_job(connection, self._key)

    def inputs(self) -> list[list[str]] | None:
        """Return path and output of each file of the job; None before they are stored."""
        with read_connection(self._engine) as connection:
            return connection.scalar(select(_jobs.inputs).where(_jobs.key == self._key))

    def keep(self, now: datetime, **values: Any) -> bool:  # noqa: ANN401 - of a row
        """Renew the lease and store values; return whether the job is to stop."""
        with self._engine.begin() as connection:
            if not transform_queue.renew(connection, self._owner, [self._key], now, **values):
                raise LeaseLostError("another process works on this transform job")
            query = select(_jobs.status).where(_jobs.key == self._key)
            return connection.scalar(query) == "Stopping"

    def end(self, status: JobStatus, now: datetime, reason: str | None = None) -> None:
        """Store how the job ended, and give it back."""
        with self._engine.begin() as connection:
            transform_queue.finish(connection, self._owner, self._key, status, now, reason)

    def give_back(self, at: datetime, *, counts: bool, **values: object) -> None:
        """Let another process go on from a time."""
        with self._engine.begin() as connection:
            transform_queue.retry(connection, self._owner, [self._key], at, counts=counts, **values)


def _job(row: Row[tuple[Any, ...]]) -> TransformJob:
    found = {field.name: getattr(row, field.name) for field in fields(TransformJob)}
    spec, model = TransformJobSpec.model_validate(row.spec), row.model
    return TransformJob(**{**found, "spec": spec, "model": model and PinnedModel(**model)})
