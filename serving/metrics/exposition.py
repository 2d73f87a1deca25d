"""``GET /metrics``: what Prometheus reads, from this process's counters and from the stores.

Traffic is counted as it passes. Monitors, alarms, notifications and the spool are read at the
scrape, so that one scrape covers the whole installation. Names that users choose become labels
under a cap; what is left out is itself counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Literal

import pyarrow as pa
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.capture.audit.note import read_note
from driftline.capture.line.instruments import Collected, Counted, HostTaps, Spools
from driftline.capture.tables.dataset import read_gaps
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.executions import FAILED
from driftline.monitors.run.overdue import overdue
from driftline.monitors.tables import definitions, executions
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.metrics.alarm_families import SeriesCap, alarm_families, gauge

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Series of one family: a Prometheus server copes with some thousands of one target.
MAX_SERIES = 2_000
_STORES = {
    "database": "Whether the database takes writes.",
    "disks": "Whether every disk that is used takes writes.",
    "storage": "Whether the bucket answers, where the storage is one.",
}
# What a run says of itself, by its column in the table of executions.
_RUN = {
    "rows": ("row_count", "Rows of the last window that was judged."),
    "violations": ("violation_count", "Violations of that window."),
    "pages": ("page_count", "Violations of it that no season can bring."),
    "max_drift_ratio": (
        "max_drift_ratio", "Largest distance over its bound; above 1 is a violation.",
    ),
}  # fmt: skip
# What the tap of this process counts and no page holds; the rest is told of all taps of the host.
TAP = {
    "stored": "Requests that the tap of this process has recorded.",
    "faults": "Faults of the tap of this process itself.",
}

Part = Literal["all", "server", "installation"]


class Exposition:
    """The metrics of one server, in a registry, and of the installation that it belongs to."""

    def __init__(
        self,
        context: ServerContext,
        registry: CollectorRegistry,
        tap_counters: Callable[[], Mapping[str, int]],
        *,
        health: Health | None = None,
        readiness: Callable[[], Mapping[str, bool]] = dict,
        max_series: int = MAX_SERIES,
    ) -> None:
        self._registry = registry
        self._registry.register(Counted("driftline_tap_", lambda: _own(tap_counters()), TAP))
        self._registry.register(HostTaps(context.spool_dir))
        self._registry.register(Spools(context.spool_dir))
        self._registry.register(_Health(health or Health(context), readiness))
        self._installation = CollectorRegistry()
        self._installation.register(_Installation(context, max_series))

    def count(
        self, prefix: str, counters: Callable[[], Mapping[str, int]], about: Mapping[str, str]
    ) -> None:
        """Show what another part of the server counts for itself, with one sentence on each."""
        self._registry.register(Counted(prefix, counters, about))

    def render(self, of: Part = "all") -> bytes:
        """Write a part, or everything, in Prometheus' text format.

        Each server reports the same of the installation. Whoever scrapes several asks each for its
        own part and one for the installation's, or sums would count it once a server.
        """
        own = generate_latest(self._registry) if of != "installation" else b""
        return own + (generate_latest(self._installation) if of != "server" else b"")


class _Health(Collected):
    """Whether the stores take writes, as this server reaches them, and its endpoints answer."""

    def __init__(self, health: Health, readiness: Callable[[], Mapping[str, bool]]) -> None:
        self._health, self._readiness = health, readiness

    def collect(self) -> Iterator[Metric]:
        """Return whether each takes writes, or answers."""
        problems = self._health.problems
        for name, about in _STORES.items():
            yield gauge(f"{name}_up", about, "", [((), float(name not in problems))])
        yield gauge(
            "endpoint_ready",
            "Whether a worker of this server could answer for the endpoint now.",
            "endpoint",
            (([name], float(is_ready)) for name, is_ready in self._readiness().items()),
        )


class _Installation(Collected):
    """Looks the installation's state up, each time it is asked."""

    def __init__(self, context: ServerContext, max_series: int) -> None:
        self._context = context
        self._max_series = max_series

    def collect(self) -> Iterator[Metric]:
        """Return all families; those of a store that does not answer are left out, and said so."""
        cap = SeriesCap(self._max_series)
        yield from _losses(self._context.root, cap)
        found: list[Metric] = []
        try:
            with read_connection(self._context.engine) as connection:
                found = [
                    *self._monitors(connection, cap),
                    *alarm_families(connection, cap, self._context.now()),
                ]
        except SQLAlchemyError as error:
            log.warning("metrics without database error=%s", type(error).__name__)
        yield from found
        about = "Series that the cap on names of users' own has left out."
        yield gauge("series_left_out", about, "", [((), cap.left_out)])

    def _monitors(self, connection: Connection, cap: SeriesCap) -> Iterator[Metric]:
        """Return the last window of each monitor, and which monitors are overdue."""
        newest = (
            select(executions.c.monitor, func.max(executions.c.window_end).label("end"))
            .where(executions.c.is_current)
            .group_by(executions.c.monitor)
            .subquery()
        )
        join = (executions.c.monitor == newest.c.monitor) & (
            executions.c.window_end == newest.c.end
        )
        query = (
            select(executions)
            .join(newest, join)
            .join(definitions, definitions.c.name == executions.c.monitor)
            .where(executions.c.is_current)
            .order_by(executions.c.monitor)
        )
        rows = cap.take(connection.execute(query).mappings())
        names = "monitor endpoint kind"
        labels = [[row[one] for one in names.split()] for row in rows]
        for name, (column, about) in _RUN.items():
            values = (row[column] for row in rows)
            yield gauge(f"monitor_{name}", about, names, zip(labels, values, strict=True))
        failed = (float(row["status"] == FAILED) for row in rows)
        about = "Whether that window could not be judged."
        yield gauge("monitor_failed", about, names, zip(labels, failed, strict=True))
        now = self._context.now()
        yield gauge(
            "monitor_overdue_seconds",
            "How long the oldest window that is due has waited.",
            "monitor endpoint",
            (
                ([one.monitor, one.endpoint], (now - one.due_at).total_seconds())
                for one in cap.take(overdue(connection, now))
            ),
        )


def _own(counters: Mapping[str, int]) -> dict[str, int]:
    return {name: counters[name] for name in TAP if name in counters}


def _losses(root: str, cap: SeriesCap) -> Iterator[Metric]:
    """Return what is told of losses: gaps by reason, and what the last audit has found."""
    try:
        gaps, audited = read_gaps(root), read_note(root)
    except (DriftlineError, OSError, pa.ArrowException) as error:
        log.warning("metrics without losses error=%s", error)
        return
    lost = Counter[tuple[str, str]]()
    for gap in gaps:
        lost[gap.endpoint, gap.reason] += gap.records or 0
    records = CounterMetricFamily(
        "driftline_gap_records",
        "Requests that are lost, as gaps in the tables tell; of unknown size is 0.",
        labels=["endpoint", "reason"],
    )
    for labels in cap.take(sorted(lost)):
        records.add_metric(labels, lost[labels])
    yield records
    if audited is not None:
        about = "When the last audit was made, Unix time."
        time_s = datetime.fromisoformat(audited["time"]).timestamp()
        yield gauge("audit_time_seconds", about, "", [((), time_s)])
        about = "Whether the last audit found every record stored once, or counted."
        yield gauge("audit_adds_up", about, "", [((), float(audited["adds_up"]))])
