"""``GET /metrics``: what Prometheus reads, from this process's counters and from the stores.

Traffic is counted as it passes. Monitors, alarms, messages and the spool are looked up when asked
for, so that one scrape tells of the whole installation, whichever process did the work. Names that
users choose (monitors, alarms, endpoints of theirs) become labels under a cap: what is left out is
itself a number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.tables import alarms, outbox
from driftline.capture.waiting import oldest_waiting_ns
from driftline.monitors.standing import overdue
from driftline.monitors.tables import definitions, executions
from driftline.serving.context import ServerContext

__all__ = ["CONTENT_TYPE", "Exposition"]

log = logging.getLogger(__name__)

T = TypeVar("T")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Series of one family: a Prometheus server copes with some thousands of one target.
MAX_SERIES = 2_000
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
# What a run says of itself, by column of the table of executions.
RUN_GAUGES = {
    "row_count": ("driftline_monitor_rows", "Rows of the last window that was judged."),
    "violation_count": ("driftline_monitor_violations", "Violations of that window."),
    "page_count": ("driftline_monitor_pages", "Violations of it that no season can bring."),
    "max_drift_ratio": (
        "driftline_monitor_max_drift_ratio",
        "Largest distance over its bound; above 1 is a violation.",
    ),
}
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Exposition:
    """The metrics of one server, and of the installation that it belongs to.

    Parameters
    ----------
    context
        Database, spool and clock.
    tap_counters
        Gives what the tap has counted in this process.
    max_series
        Largest number of series with labels that users choose, of each family.
    """

    def __init__(
        self,
        context: ServerContext,
        tap_counters: Callable[[], Mapping[str, int]],
        *,
        max_series: int = MAX_SERIES,
    ) -> None:
        self._registry = CollectorRegistry()
        self._count = Counter(
            "driftline_invocations",
            "Invocations answered, by endpoint and status.",
            ["endpoint", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "driftline_invocation_seconds",
            "Time from an invocation's first byte to the last byte of its answer.",
            ["endpoint"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._registry.register(_Installation(context, tap_counters, max_series))

    def observe(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one invocation; of an endpoint that does not exist, the name is empty."""
        self._count.labels(endpoint, str(code)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def render(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Cap:
    """Takes of each family as many series as allowed, and counts what it leaves out.

    One for each scrape: two may run at once.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self.left_out = 0

    def take(self, found: Iterable[T], series_each: int = 1) -> list[T]:
        """Take from the front; each thing makes ``series_each`` series."""
        everything = iter(found)
        taken = list(islice(everything, self._max_series // series_each))
        self.left_out += series_each * sum(1 for _ in everything)
        return taken


class _Installation(Collector):
    """Looks the installation's state up, each time it is asked."""

    def __init__(
        self,
        context: ServerContext,
        tap_counters: Callable[[], Mapping[str, int]],
        max_series: int,
    ) -> None:
        self._context = context
        self._tap_counters = tap_counters
        self._max_series = max_series

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give all families; those of a store that does not answer are left out, and said so."""
        cap = _Cap(self._max_series)
        for name, value in self._tap_counters().items():
            yield CounterMetricFamily(
                f"driftline_tap_{name}", f"Requests that the tap has {name}.", value=value
            )
        yield from _spool(self._context.spool_dir)
        found: list[Metric] = []
        is_up = True
        try:
            with self._context.engine.connect() as connection:
                found = [*self._monitors(connection, cap), *_alarms(connection, cap)]
        except SQLAlchemyError as error:
            is_up = False
            log.warning("metrics without database error=%s", type(error).__name__)
        yield from found
        yield GaugeMetricFamily(
            "driftline_database_up", "Whether the database answers.", value=float(is_up)
        )
        yield GaugeMetricFamily(
            "driftline_series_left_out",
            "Series that the cap on names of users' own has left out.",
            value=cap.left_out,
        )

    def _monitors(self, connection: Connection, cap: _Cap) -> Iterator[Metric]:
        """Give the last window of each monitor, and which monitors are overdue."""
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
        for column, (name, about) in RUN_GAUGES.items():
            family = GaugeMetricFamily(name, about, labels=names)
            for row in rows:
                if row[column] is not None:
                    family.add_metric([row[one] for one in names], row[column])
            yield family
        ended = GaugeMetricFamily(
            "driftline_monitor_window_end_seconds", "End of that window, Unix time.", labels=names
        )
        failed = GaugeMetricFamily(
            "driftline_monitor_failed", "Whether that window could not be judged.", labels=names
        )
        for row in rows:
            values = [row[one] for one in names]
            ended.add_metric(values, row["window_end"].timestamp())
            failed.add_metric(values, float(row["status"] == "Failed"))
        yield from (ended, failed)
        late = GaugeMetricFamily(
            "driftline_monitor_overdue_seconds",
            "How long the oldest window that is due has waited.",
            labels=["monitor", "endpoint"],
        )
        now = self._context.now()
        for one in cap.take(overdue(connection, now)):
            late.add_metric([one.monitor, one.endpoint], (now - one.due_at).total_seconds())
        yield late


def _alarms(connection: Connection, cap: _Cap) -> Iterator[Metric]:
    """Give each alarm's state, one series for each state as Prometheus has its enums."""
    states = GaugeMetricFamily(
        "driftline_alarm_state",
        "1 for the state that the alarm is in.",
        labels=["alarm", "state"],
    )
    query = select(alarms.c.name, alarms.c.state).order_by(alarms.c.name)
    for name, state in cap.take(connection.execute(query), len(STATES)):
        for one in STATES:
            states.add_metric([name, one], float(one == state))
    yield states
    messages = GaugeMetricFamily(
        "driftline_messages", "Messages of alarms by what became of them.", labels=["status"]
    )
    by_status = select(outbox.c.status, func.count()).group_by(outbox.c.status)
    for status, count in connection.execute(by_status):
        messages.add_metric([status], count)
    yield messages


def _spool(folder: Path) -> Iterator[Metric]:
    """Measure what waits in the spool to be stored."""
    size = 0
    for spool in folder.glob("*/"):
        try:
            found = [file.stat() for file in spool.glob("*.dls")]
        except FileNotFoundError as error:
            # A segment went while it was looked at; the next scrape sees the rest.
            log.debug("spool changed while measured error=%s", error.strerror)
            continue
        size += sum(file.st_size for file in found)
    now_ns = time.time_ns()
    oldest_ns = oldest_waiting_ns(folder) or now_ns
    yield GaugeMetricFamily("driftline_spool_bytes", "Bytes in the spool's segments.", value=size)
    yield GaugeMetricFamily(
        "driftline_spool_oldest_seconds",
        "Age of the oldest record that is neither stored nor with the broker; 0 without any.",
        value=max(now_ns - oldest_ns, 0) / 1e9,
    )
