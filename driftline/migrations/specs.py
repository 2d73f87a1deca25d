"""Stored specs of resources on the way down: an older program refuses fields that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

Spec = dict[str, Any]


def rewrite_specs(kind: str, change: Callable[[Spec], Spec | None]) -> None:
    """Rewrite the stored specs of a kind of resources; None removes the resource."""
    table = sa.table(
        "serving_resources",
        sa.column("kind", sa.String()),
        sa.column("key", sa.String()),
        sa.column("spec", sa.JSON()),
    )
    connection = op.get_bind()
    of_kind = sa.select(table.c.key, table.c.spec).where(table.c.kind == kind)
    for key, spec in connection.execute(of_kind).all():
        same = table.c.kind == kind, table.c.key == key
        changed = change(spec)
        if changed is None:
            connection.execute(table.delete().where(*same))
        elif changed != spec:
            connection.execute(table.update().where(*same).values(spec=changed))


def without(spec: Spec, *fields: str) -> Spec:
    """Return a spec without some fields."""
    return {name: value for name, value in spec.items() if name not in fields}
