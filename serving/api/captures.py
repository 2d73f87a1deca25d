"""Routes of what was captured, and the counts by which every stage can be reconciled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import func, select

from driftline.alerts.counts import counts as alert_counts
from driftline.capture.dataset import CaptureStats, Dataset
from driftline.monitors.tables import executions
from driftline.serving import resource_store as store
from driftline.serving.context import ServerContext

__all__ = ["router"]


def router(context: ServerContext, tap_counters: Callable[[], Mapping[str, int]]) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["capture"])

    @routes.get("/endpoints/{name}/capture")
    def capture(name: str) -> dict[str, Any]:
        """Count what the capture table of an endpoint holds, and what is known to be lost."""
        with context.engine.connect() as connection:
            endpoint = store.get(connection, "Endpoint", name)
        return _shown(Dataset(context.root, endpoint.name).stats())

    @routes.get("/counts")
    def counts() -> dict[str, Any]:
        """Count what each stage has done: tap, capture tables, executions, alarms, deliveries."""
        with context.engine.connect() as connection:
            names = [row.name for row in store.list_kind(connection, "Endpoint")]
            by_status = connection.execute(
                select(executions.c.status, func.count()).group_by(executions.c.status)
            )
            found = {
                "tap": dict(tap_counters()),
                "executions_by_status": {str(status): count for status, count in by_status},
                "alerts": alert_counts(connection).as_dict(),
            }
        tables = {name: Dataset(context.root, name).stats() for name in names}
        return {
            **found,
            "capture": {
                name: {
                    "requests": stats.requests,
                    "rows": stats.rows,
                    "failed": stats.failed,
                    "unparsed": stats.unparsed,
                    "dropped": stats.dropped,
                }
                for name, stats in tables.items()
            },
        }

    return routes


def _shown(stats: CaptureStats) -> dict[str, Any]:
    found = asdict(stats) | {"dropped": stats.dropped}
    for key in ("oldest", "newest"):
        found[key] = _iso(found[key])
    for gap in found["gaps"]:
        gap["first_time"], gap["last_time"] = _iso(gap["first_time"]), _iso(gap["last_time"])
    return found


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
