"""Routes of what was captured, and the counts by which every stage can be reconciled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, func, select

from driftline.alerts.counts import counts as alert_counts
from driftline.capture.dataset import CaptureStats, Dataset, list_endpoints
from driftline.errors import NotFoundError
from driftline.monitors.tables import executions
from driftline.serving import resource_store as store
from driftline.serving.context import ServerContext

__all__ = ["router"]


def router(context: ServerContext, tap_counters: Callable[[], Mapping[str, int]]) -> APIRouter:
    """Give the routes."""
    routes = APIRouter(tags=["capture"])

    @routes.get("/capture")
    def captures() -> dict[str, Any]:
        """Count what was captured, by endpoint, also of those that were never declared."""
        with context.engine.connect() as connection:
            declared = _signatures(connection)
        names = sorted(declared | dict.fromkeys(list_endpoints(context.root), False))
        return {"items": [_counted(context.root, name, declared) for name in names]}

    @routes.get("/endpoints/{name}/capture")
    def capture(name: str) -> dict[str, Any]:
        """Count what the capture table of an endpoint holds, and what is known to be lost."""
        with context.engine.connect() as connection:
            declared = _signatures(connection)
            if name not in declared and name not in list_endpoints(context.root):
                try:
                    name = store.get(connection, "Endpoint", name).name
                except NotFoundError as error:
                    raise NotFoundError(f"{error}; nor was anything captured as that") from None
        return _counted(context.root, name, declared)

    @routes.get("/counts")
    def counts() -> dict[str, Any]:
        """Count what each stage has done: tap, capture tables, executions, alarms, deliveries."""
        with context.engine.connect() as connection:
            names = _signatures(connection) | dict.fromkeys(list_endpoints(context.root), False)
            by_status = connection.execute(
                select(executions.c.status, func.count()).group_by(executions.c.status)
            )
            found = {
                "tap": dict(tap_counters()),
                "executions_by_status": {str(status): count for status, count in by_status},
                "alerts": alert_counts(connection).as_dict(),
            }
        tables = {name: Dataset(context.root, name).stats() for name in sorted(names)}
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


def _signatures(connection: Connection) -> dict[str, bool]:
    """Name the declared endpoints, each with whether it has a signature."""
    rows = store.list_kind(connection, "Endpoint")
    return {row.name: row.made.get("signature") is not None for row in rows}


def _counted(root: str, name: str, declared: Mapping[str, bool]) -> dict[str, Any]:
    """Count one endpoint's table; without a signature its bodies are kept raw, and it says so."""
    known = {"endpoint": name, "declared": name in declared, "typed": declared.get(name, False)}
    return known | _shown(Dataset(root, name).stats())


def _shown(stats: CaptureStats) -> dict[str, Any]:
    found = asdict(stats) | {"dropped": stats.dropped}
    for key in ("oldest", "newest"):
        found[key] = _iso(found[key])
    for gap in found["gaps"]:
        gap["first_time"], gap["last_time"] = _iso(gap["first_time"]), _iso(gap["last_time"])
    return found


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
