"""Weights and instance counts that autoscaling and people changed since the last apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from driftline.errors import ConflictError
from driftline.serving.resources import store
from driftline.serving.resources.deployments import active_deployment


def override(
    connection: Connection,
    endpoint: str,
    variant: str,
    *,
    reason: str,
    weight: float | None = None,
    instance_count: int | None = None,
) -> None:
    """Change a variant of an endpoint until another generation is ready; None: as it is.

    ConflictError while the endpoint is deployed: the sizes of its fleets are the deployment's.
    """
    store.hold_all(connection)
    row = store.get(connection, "Endpoint", endpoint)
    if active_deployment(row) is not None:
        raise ConflictError(f"{row} is being deployed; change its variants when that is over")
    changed = {"weight": weight, "instance_count": instance_count, "reason": reason}
    changed = {name: value for name, value in changed.items() if value is not None}
    overrides, key = overrides_of(row), variant.casefold()
    overrides = {**overrides, key: {**overrides.get(key, {}), **changed}}
    store.write(connection, row, made={**row.made, "overrides": overrides})


def overrides_of(endpoint: store.Stored) -> Mapping[str, Mapping[str, Any]]:
    """Return what was changed of an endpoint that runs, by variant, ignoring case."""
    return dict(endpoint.made.get("overrides", {}))
