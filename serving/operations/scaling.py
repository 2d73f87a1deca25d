"""Operations on scaling: what it did; policies are resources, of the kind ScalingPolicy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy import Connection, func, select

from driftline.database.paging import is_behind
from driftline.serving.operations.registry import Latest, Page, operation
from driftline.serving.tables import scaling_activities as table


@dataclass(frozen=True)
class ScalingActivity:
    """One change of the number of a variant's workers, by its policies."""

    id: int
    endpoint: str
    variant: str
    capacity_before: int
    capacity: int
    cause: str
    status: str  # InProgress, Successful, Overridden or Failed.
    status_message: str | None
    started_at: datetime
    ended_at: datetime | None


@operation(
    "GET /endpoints/{name}/scaling-activities", role="viewer", of="name",
    command="scaling history",
    columns="time=started_at variant from=capacity_before to=capacity status cause",
)  # fmt: skip
def scaling_activities(
    connection: Connection,
    page: Latest,
    name: Annotated[str, "The endpoint's name."],
    variant: Annotated[str | None, "Only of this variant."] = None,
) -> Page[ScalingActivity]:
    """List what scaling policies changed of an endpoint, newest first; kept for six weeks.

    Example: driftline scaling history flights
    """
    query = select(table).where(func.lower(table.c.endpoint) == name.casefold())
    if variant is not None:
        query = query.where(func.lower(table.c.variant) == variant.casefold())
    behind = is_behind(page.after(int), [table.c.id], descending=True)
    rows = connection.execute(query.where(behind).order_by(table.c.id.desc()).limit(page.count))
    found = [ScalingActivity(**row) for row in rows.mappings()]
    return page.of(found, lambda one: (one.id,))
