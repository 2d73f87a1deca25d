"""Weights and instance counts that autoscaling and people changed since the last apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from driftline.errors import ConflictError
from driftline.serving.resources import store
from driftline.serving.resources.deployments import active_deployment
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
    """Change a variant of an endpoint as it runs now; None: as it is.

    ConflictError while the endpoint is deployed: the sizes of its fleets are the deployment's.
    """
    if active_deployment(endpoint) is not None:
        raise ConflictError(f"{endpoint} is being deployed; change its variants when that is over")
    columns, key, edition = overrides.c, endpoint.name.casefold(), endpoint.running_edition
    before = overrides_of(connection, [endpoint]).get((key, variant.casefold()), {})
    changed = {"weight": weight, "instance_count": instance_count}
    changed = before | {name: value for name, value in changed.items() if value is not None}
    is_old = (columns.variant == variant.casefold()) | (columns.edition != edition)
    connection.execute(delete(overrides).where(columns.endpoint == key, is_old))
    connection.execute(
        insert(overrides).values(
            endpoint=key, variant=variant.casefold(), edition=edition, **changed, reason=reason
        )
    )
    store.count_change(connection, "Endpoint")


def overridden(
    connection: Connection, endpoints: list[store.Stored], variants: list[DesiredVariant]
) -> list[DesiredVariant]:
    """Return variants of some endpoints with what was changed of them."""
    changes = overrides_of(connection, endpoints)
    return [replace(one, **changes.get(one.key, {})) for one in variants]


def overrides_of(
    connection: Connection, endpoints: list[store.Stored]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what was changed of variants of some endpoints, by endpoint and variant."""
    editions = {(one.name.casefold(), one.running_edition) for one in endpoints}
    is_of = overrides.c.endpoint.in_([name for name, _ in editions])
    return {
        (row.endpoint, row.variant): {
            name: value
            for name in ("weight", "instance_count")
            if (value := getattr(row, name)) is not None
        }
        for row in connection.execute(select(overrides).where(is_of))
        if (row.endpoint, row.edition) in editions
    }
