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
from operator import itemgetter
from typing import Any, Literal

import pyarrow as pa
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from sqlalchemy import Connection, RowMapping, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.capture.audit.note import read_note
from driftline.capture.audit.report import audited_coverage
from driftline.capture.line.instruments import Collected, Counted, HostTaps, Spools
from driftline.capture.tables.dataset import read_gaps
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.executions import EMPTY, FAILED, INSUFFICIENT
from driftline.monitors.run.overdue import overdue
from driftline.monitors.tables import definitions, executions
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.metrics.alarm_families import (
    SeriesCap,
    alarm_families,
    feature_families,
    gauge,
)

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Series of one family: a Prometheus server copes with some thousands of one target.
MAX_SERIES = 2_000
_STORES = {
    "database": "Whether the database takes writes.",
    "disks": "Whether every disk that is used takes writes.",
    "storage": "Whether the bucket answers, where the storage is one.",
}
# What a run says of itself, by its row in the table of executions.
RUN_GAUGES: dict[str, tuple[str, Callable[[RowMapping], float | None]]] = {
    "rows": ("Rows of the last window that was judged.", itemgetter("row_count")),
    "violations": ("Violations of that window.", itemgetter("violation_count")),
    "pages": ("Violations of it that no season can bring.", itemgetter("page_count")),
    "max_drift_ratio": (
        "Largest distance over its bound; above 1 is a violation.", itemgetter("max_drift_ratio"),
    ),
    "window_end_seconds": (
        "End of that window, Unix time.", lambda row: row["window_end"].timestamp(),
    ),
    "failed": (
        "Whether that window could not be judged.", lambda row: float(row["status"] == FAILED),
    ),
    "insufficient": (
        "Whether that window had too little data to judge anything.",
        lambda row: float(row["status"] in (INSUFFICIENT, EMPTY)),
    ),
}  # fmt: skip
# What the last audit says of each endpoint.
AUDITED = {
    "stored_requests": "Requests that the table holds or has held, at the last audit.",
    "coverage_ratio": "Stored and decoded over stored, lost and missing, at the last audit.",
    "missing": "Records that are in no table and counted nowhere, at the last audit.",
    "doubled": "Records that are stored more than once, at the last audit.",
}
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
        self._health = health
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        """Return whether each takes writes, or answers."""
        problems = self._health.problems
        for name, about in _STORES.items():
            yield GaugeMetricFamily(
                f"driftline_{name}_up", about, value=float(name not in problems)
            )
        yield gauge(
            "driftline_endpoint_ready",
            "Whether a worker of this server could answer for the endpoint now.",
            ["endpoint"],
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
                    *feature_families(connection, cap),
                ]
        except SQLAlchemyError as error:
            log.warning("metrics without database error=%s", type(error).__name__)
        yield from found
        yield GaugeMetricFamily(
            "driftline_series_left_out",
            "Series that the cap on names of users' own has left out.",
            value=cap.left_out,
        )

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
        names = ["monitor", "endpoint", "kind"]
        labels = [[row[one] for one in names] for row in rows]
        for name, (about, value_of) in RUN_GAUGES.items():
            found = zip(labels, map(value_of, rows), strict=True)
            known = ((label, value) for label, value in found if value is not None)
            yield gauge(f"driftline_monitor_{name}", about, names, known)
        now = self._context.now()
        yield gauge(
            "driftline_monitor_overdue_seconds",
            "How long the oldest window that is due has waited.",
            ["monitor", "endpoint"],
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
    lost, unsized = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for gap in gaps:
        lost[gap.endpoint, gap.reason] += gap.records or 0
        unsized[gap.endpoint, gap.reason] += gap.records is None
    records = CounterMetricFamily(
        "driftline_gap_records",
        "Requests that are lost, as gaps in the tables tell.",
        labels=["endpoint", "reason"],
    )
    unknown = CounterMetricFamily(
        "driftline_gaps_of_unknown_size",
        "Gaps of which nobody knows how many requests they stand for.",
        labels=["endpoint", "reason"],
    )
    for labels in cap.take(sorted(lost), 2):
        records.add_metric(labels, lost[labels])
        unknown.add_metric(labels, unsized[labels])
    yield from (records, unknown)
    if audited is not None:
        yield from _audited(audited, cap)


def _audited(audited: Mapping[str, Any], cap: SeriesCap) -> Iterator[Metric]:
    """Return what the last audit has found; made once an hour, for it looks at all tables."""
    yield GaugeMetricFamily(
        "driftline_audit_time_seconds",
        "When the last audit was made, Unix time.",
        value=datetime.fromisoformat(audited["time"]).timestamp(),
    )
    yield GaugeMetricFamily(
        "driftline_audit_adds_up",
        "Whether the last audit found every record stored once, or counted.",
        value=float(audited["adds_up"]),
    )
    found = audited_coverage(audited)
    values: Mapping[str, Mapping[str, float | None]] = {
        "stored_requests": {name: float(one.stored) for name, one in found.items()},
        "coverage_ratio": {name: one.ratio for name, one in found.items()},
        "missing": audited["missing_by_endpoint"],
        "doubled": audited["doubled_by_endpoint"],
    }
    names = cap.take(sorted(found), len(AUDITED))
    for column, about in AUDITED.items():
        samples = (([name], values[column].get(name, 0.0)) for name in names)
        known = ((label, value) for label, value in samples if value is not None)
        yield gauge(f"driftline_capture_{column}", about, ["endpoint"], known)
