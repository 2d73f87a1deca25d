"""Routes of what was captured, and the counts by which every stage can be reconciled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection, func, select

from driftline.alerts.counts import counts as alert_counts
from driftline.capture.audit.note import read_note
from driftline.capture.audit.report import document_of, report
from driftline.capture.erasure.erasures import erasure_counts
from driftline.capture.line.table_maintenance import NAMES
from driftline.capture.spool.backlog import Backlog, measure
from driftline.capture.spool.host_counts import EndpointCounts, read_counts
from driftline.capture.spool.paths import read_paths
from driftline.capture.tables.dataset import Dataset, Gap, list_endpoints, read_gaps
from driftline.capture.tables.forecast import forecast
from driftline.capture.tables.redecoding import decode_again
from driftline.capture.tables.writer_name import WriterName
from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError, NotFoundError
from driftline.monitors.tables import executions
from driftline.serving.api.requests import PAGE, Limit, PageToken, page_of
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import served_models, signature_of


def router(context: ServerContext, tap_counters: Callable[[], Mapping[str, int]]) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["capture"])

    _add_endpoints(routes, context)

    @routes.get("/capture/audit")
    def last_audit() -> dict[str, Any]:
        """Return what the last audit found: whether every number is stored once, or counted."""
        found = read_note(context.root)
        if found is None:
            raise NotFoundError("no audit was made yet; the scheduler makes one every hour")
        return found

    @routes.get("/counts")
    def counts() -> dict[str, Any]:
        """Count what each stage has done: tap, capture tables, executions, alarms, deliveries."""
        with read_connection(context.engine) as connection:
            names = _signatures(connection) | dict.fromkeys(list_endpoints(context.root), False)
            by_status = connection.execute(
                select(executions.c.status, func.count()).group_by(executions.c.status)
            )
            found = {
                "tap": dict(tap_counters()),
                "executions_by_status": {str(status): count for status, count in by_status},
                "alerts": alert_counts(connection).as_dict(),
            }
        gaps, audited = read_gaps(context.root), read_note(context.root) or {}
        tables = {
            name: report(context.root, name, now=context.now(), gaps=gaps, audit=audited)
            for name in sorted(names)
        }
        return {
            **found,
            "capture": {
                name: {
                    "requests": table.requests,
                    "rows": table.rows,
                    "failed": table.failed,
                    "unparsed": sum(table.unparsed.values()),
                    "decoder_faults": table.faults,
                    "cut": table.cut,
                    "dropped": table.overall.dropped,
                }
                for name, table in tables.items()
            },
        }

    _add_decoding(routes, context)
    return routes


def _add_endpoints(routes: APIRouter, context: ServerContext) -> None:
    @routes.get("/capture")
    def captures(
        prefix: Annotated[str, Query(max_length=63)] = "",
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """Count what was captured, by endpoint, also of those that were never declared."""
        (after,) = place_of(next_token, str) or ("",)
        with read_connection(context.engine) as connection:
            declared = _signatures(connection)
        names = declared | dict.fromkeys(list_endpoints(context.root), False)
        found = sorted(one for one in names if one.startswith(prefix) and one > str(after))
        told = _told(context)
        return page_of(
            found, limit, lambda one: (one,), lambda one: _counted(context, one, declared, told)
        )

    @routes.get("/endpoints/{name}/capture")
    def capture(name: str) -> dict[str, Any]:
        """Count what the capture table of an endpoint holds, and what is known to be lost."""
        with read_connection(context.engine) as connection:
            declared = _signatures(connection)
            if name not in declared and name not in list_endpoints(context.root):
                try:
                    name = store.get(connection, "Endpoint", name).name
                except NotFoundError as error:
                    raise NotFoundError(f"{error}; nor was anything captured as that") from None
        return _counted(context, name, declared, _told(context))


def _add_decoding(routes: APIRouter, context: ServerContext) -> None:
    # Of two at once one would do its work twice.
    turn = threading.Lock()

    @routes.post("/endpoints/{name}/capture/decoding")
    def decode(name: str) -> dict[str, Any]:
        """Read stored requests again, by the signature that the endpoint has now.

        For what came before the endpoint was declared, or its signature corrected. Asking again is
        safe; monitors judge the windows whose rows have changed again.
        """
        with read_connection(context.engine) as connection:
            endpoint = store.get(connection, "Endpoint", name).name
        signature = signature_of(context.engine, endpoint)
        if signature is None:
            raise InputError(
                f'Endpoint "{endpoint}" has no signature to decode by; declare it with a baseline '
                "or a signature, then decode again"
            )
        with turn:
            names = WriterName(context.spool_dir / NAMES)
            try:
                dataset = Dataset(context.root, endpoint, writer=f"upkeep-{names.name}")
                served = served_models(context.engine, endpoint)
                decoded = decode_again(dataset, signature, served=served)
                return {"endpoint": endpoint, **asdict(decoded)}
            finally:
                names.close()


def _signatures(connection: Connection) -> dict[str, bool]:
    """Name the declared endpoints, each with whether it has a signature."""
    rows = store.list_kind(connection, "Endpoint")
    return {row.name: row.made.get("signature") is not None for row in rows}


def _counted(
    context: ServerContext, name: str, declared: Mapping[str, bool], told: _Told
) -> dict[str, Any]:
    """Count one endpoint's table; without a signature its bodies are kept raw, and it says so."""
    audited = told.audit or {}
    found = report(
        context.root, name, now=context.now(), gaps=told.gaps, counts=told.counts, audit=audited
    )
    growth = forecast(context.root, name, retention_days=context.retention_days, now=context.now())
    return {
        "endpoint": name,
        "declared": name in declared,
        "typed": declared.get(name, False),
        "paths": told.paths.get(name, []),
        **document_of(found),
        "erased": told.erased.get(name, 0),
        "retention_days": context.retention_days,
        "forecast": asdict(growth),
        "spool": asdict(told.backlog),
        "audit": {
            "time": audited.get("time"),
            "missing": audited.get("missing_by_endpoint", {}).get(name, 0),
            "doubled": audited.get("doubled_by_endpoint", {}).get(name, 0),
        },
    }


@dataclass(frozen=True, slots=True)
class _Told:
    """Facts on all endpoints, read once for all of them."""

    gaps: list[Gap]
    counts: Mapping[str, EndpointCounts]
    backlog: Backlog
    audit: Mapping[str, Any] | None
    erased: Mapping[str, int]
    paths: Mapping[str, list[str]]


def _told(context: ServerContext) -> _Told:
    return _Told(
        read_gaps(context.root),
        read_counts(context.spool_dir),
        measure(context.spool_dir),
        read_note(context.root),
        erasure_counts(context.root),
        read_paths(context.spool_dir),
    )
