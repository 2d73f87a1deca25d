"""The audit log: who did what, with what before and after; rows are added, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from driftline.access.principal import CURRENT, Principal
from driftline.access.tables import audit
from driftline.database.paging import Place, is_behind

TARGET_MAX = 500
# Another version of a baseline comes into use.
PROMOTE = "promote"
DELETE = "delete"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit log."""

    id: int
    at: datetime
    subject: str
    via: str
    action: str
    target: str
    status: int | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def record(
    connection: Connection,
    action: str,
    target: str,
    now: datetime,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    status: int | None = None,
    principal: Principal | None = None,
) -> None:
    """Note what the current principal does, in its transaction; callers leave out secrets."""
    who = principal or CURRENT.get()
    connection.execute(
        insert(audit).values(
            at=now,
            subject=who.subject,
            via=who.via,
            action=action,
            target=target[:TARGET_MAX],
            status=status,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
        )
    )


def deletions(connection: Connection, kind: str, names: Iterable[str]) -> dict[str, datetime]:
    """Return when resources of these names were deleted last; none for those that never were."""
    targets = {f"{kind}/{name}": name for name in names}
    query = select(audit.c.target, func.max(audit.c.at)).where(
        audit.c.target.in_(targets), audit.c.action == DELETE
    )
    rows = connection.execute(query.group_by(audit.c.target))
    return {targets[target]: at for target, at in rows}


def entries(
    connection: Connection,
    *,
    limit: int | None,
    after: Place | None = None,
    subject: str | None = None,
    target: str | None = None,
    targets: Collection[str] | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[AuditEntry]:
    """Return the newest entries first; those behind a place (id), of one target or of several."""
    query = select(audit).where(is_behind(after, [audit.c.id], descending=True))
    for column, value in (("subject", subject), ("target", target), ("action", action)):
        if value is not None:
            query = query.where(audit.c[column] == value)
    if targets is not None:
        query = query.where(audit.c.target.in_(targets))
    if since is not None:
        query = query.where(audit.c.at >= since)
    if until is not None:
        query = query.where(audit.c.at < until)
    rows = connection.execute(query.order_by(audit.c.id.desc()).limit(limit))
    return [AuditEntry(**row._mapping) for row in rows]
