"""Marks in the database: put, listed, withdrawn; those that reach windows. SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from driftline.capture.windows.window import Window
from driftline.errors import ConflictError, NotFoundError
from driftline.monitors.annotations.annotation import Mark
from driftline.monitors.tables import definitions, marks


def put_mark(connection: Connection, mark: Mark) -> Mark:
    """Store a mark, half done; give it with its id. Older ones stay as history."""
    values: Mapping[str, object] = {
        "monitor": mark.monitor,
        "feature": mark.feature,
        "check_type": mark.check,
        "window_start": mark.window.start,
        "window_end": mark.window.end,
        "until": mark.until,
        "verdict": mark.verdict,
        "author": mark.author,
        "reason": mark.reason,
        "made_at": mark.made_at,
        "baseline_version_before": mark.version_before,
        "baseline_version_after": mark.version_after,
        "rows_from": None if mark.rows is None else mark.rows.start,
        "rows_to": None if mark.rows is None else mark.rows.end,
    }
    identity = connection.execute(insert(marks).values(values).returning(marks.c.id)).scalar_one()
    return get_mark(connection, mark.monitor, identity)


def get_mark(connection: Connection, monitor: str, identity: int) -> Mark:
    """Give one mark of a monitor; NotFoundError when it has none of that id."""
    chosen = marks.c.monitor == monitor, marks.c.id == identity
    row = connection.execute(select(marks).where(*chosen)).first()
    if row is None:
        raise NotFoundError(
            f'monitor "{monitor}" has no mark {identity}; `driftline monitor marks {monitor}` '
            "lists them"
        )
    return _read(row)


def list_marks(connection: Connection, monitor: str, *, limit: int | None = None) -> list[Mark]:
    """Give the marks of a monitor, withdrawn ones too, the newest first."""
    chosen = select(marks).where(marks.c.monitor == monitor)
    query = chosen.order_by(marks.c.id.desc()).limit(limit)
    return [_read(row) for row in connection.execute(query)]


def marks_between(
    connection: Connection, monitor: str, start: datetime, end: datetime
) -> list[Mark]:
    """Give the marks that stand and reach windows which start in [start, end), newest first."""
    last = func.coalesce(marks.c.until, marks.c.window_end)
    query = (
        select(marks)
        .where(
            marks.c.monitor == monitor,
            marks.c.withdrawn_at.is_(None),
            marks.c.window_start < end,
            or_(last > start, marks.c.window_end > start),
        )
        .order_by(marks.c.id.desc())
    )
    return [_read(row) for row in connection.execute(query)]


def withdraw_mark(connection: Connection, mark: Mark, *, by: str, now: datetime) -> Mark:
    """Take a mark back, half done again; it stays as history."""
    changed = connection.execute(
        update(marks)
        .where(marks.c.id == mark.id, marks.c.withdrawn_at.is_(None))
        .values(withdrawn_at=now, withdrawn_by=by, is_half_done=True)
    )
    if changed.rowcount == 0:
        raise ConflictError(f"mark {mark.id} was withdrawn before; expected one that stands")
    return mark.withdrawn(by, now)


def settle_mark(connection: Connection, mark: Mark) -> None:
    """Note that the windows which a mark is about were judged again since it was put or withdrawn.

    One that was withdrawn meanwhile stays half done.
    """
    connection.execute(
        update(marks)
        .where(marks.c.id == mark.id, marks.c.withdrawn_at.is_not_distinct_from(mark.withdrawn_at))
        .values(is_half_done=False)
    )


def half_done_marks(connection: Connection) -> list[Mark]:
    """Give the marks of monitors that there are whose windows are still to be judged again."""
    query = (
        select(marks)
        .join(definitions, definitions.c.name == marks.c.monitor)
        .where(marks.c.is_half_done)
        .order_by(marks.c.id)
    )
    return [_read(row) for row in connection.execute(query)]


def _read(row: Row[tuple[Any, ...]]) -> Mark:
    rows = None if row.rows_from is None else Window(row.rows_from, row.rows_to)
    return Mark(
        row.monitor,
        Window(row.window_start, row.window_end),
        row.verdict,
        row.reason,
        row.author,
        row.made_at,
        feature=row.feature,
        check=row.check_type,
        until=row.until,
        version_before=row.baseline_version_before,
        version_after=row.baseline_version_after,
        rows=rows,
        withdrawn_at=row.withdrawn_at,
        withdrawn_by=row.withdrawn_by,
        id=row.id,
    )
