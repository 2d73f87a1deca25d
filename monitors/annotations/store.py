"""Annotations in the database: stored, listed, withdrawn. SQL."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    func,
    insert,
    or_,
    select,
    update,
)

from driftline.database.paging import Place, is_behind
from driftline.errors import ConflictError, NotFoundError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.tables import annotations_table


def put_annotation(connection: Connection, annotation: Annotation) -> Annotation:
    """Store an annotation, and return it with its id; older ones stay as history."""
    values = asdict(annotation)
    del values["id"]
    identity = connection.execute(
        insert(annotations_table).values(values).returning(annotations_table.c.id)
    ).scalar_one()
    return get_annotation(connection, annotation.monitor, identity)


def get_annotation(
    connection: Connection,
    monitor: str,
    identity: int,
) -> Annotation:
    """Return one annotation of a monitor; NotFoundError when it has none of that id."""
    chosen = annotations_table.c.monitor == monitor, annotations_table.c.id == identity
    query = select(annotations_table).where(*chosen)
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError(
            f'monitor "{monitor}" has no mark {identity}; `driftline monitor marks {monitor}` '
            "lists them"
        )
    return _read(row)


def list_annotations(
    connection: Connection,
    monitor: str,
    *,
    verdict: str | None = None,
    after: Place | None = None,
    limit: int | None = None,
) -> list[Annotation]:
    """Return a monitor's annotations, withdrawn ones too, newest first."""
    table = annotations_table.c
    chosen = select(annotations_table).where(
        table.monitor == monitor,
        is_behind(after, [table.id], descending=True),
    )
    if verdict is not None:
        chosen = chosen.where(table.verdict == verdict)
    query = chosen.order_by(table.id.desc()).limit(limit)
    return [_read(row) for row in connection.execute(query)]


def annotations_between(
    connection: Connection,
    monitor: str,
    start: datetime,
    end: datetime,
) -> list[Annotation]:
    """Return active annotations of windows that start in [start, end), newest first."""
    last = func.coalesce(annotations_table.c.until, annotations_table.c.window_end)
    query = (
        select(annotations_table)
        .where(
            annotations_table.c.monitor == monitor,
            annotations_table.c.withdrawn_at.is_(None),
            annotations_table.c.window_start < end,
            or_(last > start, annotations_table.c.window_end > start),
        )
        .order_by(annotations_table.c.id.desc())
    )
    return [_read(row) for row in connection.execute(query)]


def withdraw_annotation(
    connection: Connection, annotation: Annotation, *, by: str, now: datetime
) -> Annotation:
    """Withdraw an annotation; it stays as history."""
    changed = connection.execute(
        update(annotations_table)
        .where(annotations_table.c.id == annotation.id, annotations_table.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now, withdrawn_by=by)
    )
    if changed.rowcount == 0:
        raise ConflictError(f"mark {annotation.id} was withdrawn before; expected one that stands")
    return replace(annotation, withdrawn_by=by, withdrawn_at=now)


def _read(row: Row[tuple[Any, ...]]) -> Annotation:
    return Annotation(**{one.name: getattr(row, one.name) for one in fields(Annotation)})
