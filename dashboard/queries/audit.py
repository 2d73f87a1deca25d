"""The audit log, read from the database: of one subject, one target or one day if asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from driftline.access.audit import AuditEntry, entries
from driftline.database.engine import read_connection
from driftline.errors import InputError

SHOWN = 200


@dataclass(frozen=True, slots=True)
class AuditView:
    """The newest entries first, and what they were narrowed to."""

    now: datetime
    entries: tuple[AuditEntry, ...]
    subject: str | None
    target: str | None
    day: str | None


def read_audit(
    engine: Engine, now: datetime, subject: str | None, target: str | None, day: str | None
) -> AuditView:
    """Read the newest entries."""
    try:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
        end = start + timedelta(days=1) if start else None
    except (ValueError, OverflowError) as error:
        raise InputError(f'day "{day}"; expected one such as 2026-01-31') from error
    with read_connection(engine) as connection:
        found = entries(
            connection, limit=SHOWN, subject=subject, target=target, since=start, until=end
        )
    return AuditView(now, tuple(found), subject, target, day)
