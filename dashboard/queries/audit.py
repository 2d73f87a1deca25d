"""The audit log, read from the database: of one subject, one target or one day if asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, select

from driftline.access.audit import AuditEntry, entries
from driftline.access.principal import CURRENT
from driftline.alerts.tables import alarms as table
from driftline.dashboard.address import Address
from driftline.dashboard.queries.views import EndpointLine
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


def read_changes(connection: Connection, now: datetime, line: EndpointLine) -> AuditView | None:
    """Read the newest entries about an endpoint, its monitors, their baselines and its alarms.

    None for who may not read them.
    """
    if not CURRENT.get().may("admin") or CURRENT.get().endpoints is not None:
        return None
    alarms = connection.scalars(select(table.c.name).where(table.c.endpoint == line.name))
    monitors = [f"Monitor/{one.name}" for one in line.monitors]
    baselines = {f"Baseline/{one.definition.baseline}" for one in line.monitors}
    about = [*(f"Alarm/{one}" for one in alarms), *monitors, *baselines, f"Endpoint/{line.name}"]
    found = entries(connection, limit=SHOWN, targets=about)
    return AuditView(now, tuple(found), None, None, None)


def read_audit(engine: Engine, now: datetime, asked: Address) -> AuditView:
    """Read the newest entries."""
    subject, target, day = asked.subject, asked.target, asked.day
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
