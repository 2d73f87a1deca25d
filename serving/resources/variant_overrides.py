"""Weights and instance counts that autoscaling and people changed since the last apply."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from driftline.serving.resources import store
from driftline.serving.resources.endpoints import DesiredVariant
from driftline.serving.tables import variant_overrides as overrides


def override(
    connection: Connection,
    endpoint: store.Stored,
    variant: str,
    *,
    reason: str,
    weight: float | None = None,
    instance_count: int | None = None,
) -> None:
    """Change a variant of an endpoint as it is now; None: as applied."""
    columns, key = overrides.c, endpoint.name.casefold()
    is_old = (columns.variant == variant.casefold()) | (columns.edition != endpoint.edition)
    connection.execute(delete(overrides).where(columns.endpoint == key, is_old))
    connection.execute(
        insert(overrides).values(
            endpoint=key, variant=variant.casefold(), edition=endpoint.edition, weight=weight,
            instance_count=instance_count, reason=reason,
        )
    )  # fmt: skip
    store.count_change(connection, "Endpoint")


def overridden(
    connection: Connection, endpoints: list[store.Stored], variants: list[DesiredVariant]
) -> list[DesiredVariant]:
    """Return variants of some endpoints with what was changed of them."""
    editions = {(one.name.casefold(), one.edition) for one in endpoints}
    changes = {
        (row.endpoint, row.variant): {
            name: value
            for name in ("weight", "instance_count")
            if (value := getattr(row, name)) is not None
        }
        for row in connection.execute(select(overrides))
        if (row.endpoint, row.edition) in editions
    }
    return [replace(one, **changes.get(one.key, {})) for one in variants]
