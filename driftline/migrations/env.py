"""Alembic's environment: the tables of every package, on the connection that it gets."""

from __future__ import annotations

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import TypeDecorator

from driftline.access.tables import metadata as access
from driftline.alerts.tables import metadata as alerts
from driftline.monitors.tables import metadata as monitors
from driftline.serving.tables import metadata as serving


def _render(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write a type of ours as the plain one below it: a migration must outlive our code."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[access, alerts, monitors, serving],
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
