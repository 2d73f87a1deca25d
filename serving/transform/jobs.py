"""Transform jobs in the database: who works on one, and how far each of its files is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from driftline.capture.erasure.clearing import ERASED, words_of
from driftline.database.engine import read_connection
from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, DriftlineError, NotFoundError
from driftline.serving.tables import transform_files, transform_jobs, transform_lease
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.validation import nearest

# A job whose processes end so often without going forward is at fault itself.
MAX_ATTEMPTS = 5
_DROPPED_AT_ONCE = 1_000
RUNNING: tuple[JobStatus, ...] = ("InProgress", "Stopping")

FileStatus = Literal["waiting", "running", "written", "done"]
_jobs, _files = transform_jobs.c, transform_files.c


class LeaseLostError(DriftlineError):
    """Another process has the job."""


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far one file of a job is."""

    ordinal: int
    path: str
    output_key: str
    size: int  # Of what offsets count, 0 where it is not known.
    edition: str
    status: FileStatus = "waiting"
    input_offset: int = 0
    output_offset: int = 0
    record_count: int = 0


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
    is_listed: bool
    attempts: int  # Processes that took it since it last went forward.
    model: PinnedModel | None


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
    """How far a job is, over all of its files."""

    files: int
    files_done: int
    size: int  # Bytes of text, or rows of Parquet.
    position: int
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
            status="InProgress", created_by=by, created_at=now, is_listed=False, attempts=0,
            model=model and asdict(model), signature=signature,
        )
    )  # fmt: skip


def get_job(connection: Connection, name: str) -> TransformJob:
    """Return a job; NotFoundError, with the nearest name, when there is none of it."""
    row = connection.execute(
        select(transform_jobs).where(_jobs.key == name.casefold())
    ).one_or_none()
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
    query = select(transform_jobs).where(
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
        .where(_jobs.key == name.casefold(), _jobs.status.in_(RUNNING))
        .values(status="Stopping")
    )
    job = get_job(connection, name)
    if not changed.rowcount:
        raise ConflictError(f'transform job "{job.name}" is {job.status}; it has ended already')
    return job


def drop_ended(connection: Connection, before: datetime) -> int:
    """Forget some jobs that ended before a time, and how far their files were; count them."""
    is_old = (_jobs.created_at < before) & (_jobs.ended_at < before)
    keys = connection.scalars(select(_jobs.key).where(is_old).limit(_DROPPED_AT_ONCE)).all()
    for table, key in ((transform_files, _files.job), (transform_jobs, _jobs.key)):
        connection.execute(delete(table).where(key.in_(keys)))
    return len(keys)


def clear_reasons(
    connection: Connection,
    ids: Collection[str],
    endpoint: str | None,
    *,
    dry_run: bool = False,
) -> int:
    """Clear the reasons of failed jobs that name an id, or are of an endpoint; count them.

    Together with those of an endpoint go those of jobs of a model by itself: their records may be
    the same.
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


def free_jobs(connection: Connection, now: datetime) -> list[TransformJob]:
    """Return the jobs that have not ended and that no process works on, the oldest first."""
    query = select(transform_jobs).where(_jobs.status.in_(RUNNING), _is_free(now))
    return [_job(row) for row in connection.execute(query.order_by(_jobs.created_at, _jobs.key))]


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(transform_lease.is_over(now), transform_lease.is_too_long(now))


def count_files(connection: Connection, names: Iterable[str]) -> Mapping[str, JobCounts]:
    """Return how far some jobs are, by the keys of their names."""
    is_done = _files.status == "done"
    query = (
        select(
            _files.job, func.count(), func.sum(is_done.cast(_files.ordinal.type)),
            func.sum(_files.size), func.sum(_files.input_offset),
            func.sum(_files.record_count),
        )
        .where(_files.job.in_([name.casefold() for name in names]))
        .group_by(_files.job)
    )  # fmt: skip
    return {row[0]: JobCounts(*map(int, row[1:])) for row in connection.execute(query)}


def described(job: TransformJob, counts: JobCounts | None) -> dict[str, Any]:
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
        "progress": None if counts is None else asdict(counts),
    }


class OwnedJob:
    """A job that this process works on; every write is refused once another one has it."""

    def __init__(self, engine: Engine, name: str, owner: str) -> None:
        self._engine, self.owner = engine, owner
        self._key = name.casefold()

    def reserve(self, now: datetime) -> bool:
        """Keep the job for a process of this owner that is about to start; False if it is gone."""
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(transform_jobs)
                .where(_jobs.key == self._key, _jobs.status.in_(RUNNING), _is_free(now))
                .values(**transform_lease.taken(self.owner, now))
            )
        return bool(changed.rowcount)

    def take(self, now: datetime) -> TransformJob | None:
        """Take the job's lease; None when it has ended, or somebody has it."""
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(transform_jobs)
                .where(
                    _jobs.key == self._key, _jobs.status.in_(RUNNING),
                    or_(_is_free(now), transform_lease.is_owned(self.owner)),
                )
                .values(
                    **transform_lease.taken(self.owner, now), attempts=_jobs.attempts + 1,
                    started_at=func.coalesce(_jobs.started_at, now),
                )
            )  # fmt: skip
            if not changed.rowcount:
                return None
            return get_job(connection, self._key)

    def renew(self, now: datetime) -> None:
        """Keep the job."""
        with self._owned() as connection:
            self._set(connection, **transform_lease.taken(self.owner, now))

    def is_stopping(self) -> bool:
        """Whether somebody has asked the job to stop."""
        with read_connection(self._engine) as connection:
            return get_job(connection, self._key).status == "Stopping"

    def learn(self, signature: str) -> None:
        """Store what the model is sent."""
        with self._owned() as connection:
            self._set(connection, signature=signature)

    def list_files(self, found: Iterable[FileProgress]) -> None:
        """Store the files of the job."""
        with self._owned() as connection:
            self._set(connection, is_listed=True)
            rows = [{"job": self._key, **asdict(one)} for one in found]
            if rows:
                connection.execute(insert(transform_files), rows)

    def files(self) -> list[FileProgress]:
        """Return the files, and how far each is."""
        names = [field.name for field in fields(FileProgress)]
        query = select(*(_files[name] for name in names)).where(_files.job == self._key)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(_files.ordinal)).all()
        return [FileProgress(*row) for row in rows]

    def note(self, file: FileProgress) -> None:
        """Store how far a file is."""
        with self._owned() as connection:
            self._set(connection, attempts=1, failure_reason=None)
            connection.execute(
                update(transform_files)
                .where(_files.job == self._key, _files.ordinal == file.ordinal)
                .values(**asdict(file))
            )

    def end(self, status: JobStatus, now: datetime, reason: str | None = None) -> None:
        """Store how the job ended, and give it back."""
        with self._owned() as connection:
            self._set(
                connection, status=status, ended_at=now, failure_reason=reason,
                **transform_lease.released(),
            )  # fmt: skip

    def release(self, reason: str | None = None) -> None:
        """Release the job, to be gone on with by another process; say what it waits for."""
        with self._engine.begin() as connection:
            connection.execute(
                update(transform_jobs)
                .where(_jobs.key == self._key, transform_lease.is_owned(self.owner))
                .values(**transform_lease.released(), attempts=0, failure_reason=reason)
            )

    def abandon(self) -> None:
        """Free the job of a process that is gone; that it took the job once more still counts."""
        with self._engine.begin() as connection:
            connection.execute(
                update(transform_jobs)
                .where(_jobs.key == self._key, transform_lease.is_owned(self.owner))
                .values(**transform_lease.released())
            )

    def _owned(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    def _set(self, connection: Connection, **values: Any) -> None:  # noqa: ANN401 - of a row
        changed = connection.execute(
            update(transform_jobs)
            .where(_jobs.key == self._key, transform_lease.is_owned(self.owner))
            .values(**values)
        )
        if not changed.rowcount:
            raise LeaseLostError("another process works on this transform job")


def _job(row: Row[tuple[Any, ...]]) -> TransformJob:
    found = {field.name: getattr(row, field.name) for field in fields(TransformJob)}
    spec, model = TransformJobSpec.model_validate(row.spec), row.model
    return TransformJob(**{**found, "spec": spec, "model": model and PinnedModel(**model)})
