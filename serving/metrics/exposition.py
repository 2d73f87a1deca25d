"""``GET /metrics``: what Prometheus reads, from counters and, at each scrape, the stores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar

import pyarrow as pa
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from sqlalchemy import Connection, and_, func, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.counts import count_by
from driftline.alerts.notify.rows import OPEN, STATUSES, is_grouped
from driftline.alerts.notify.silences import list_silences
from driftline.alerts.tables import alarms, channels, datapoints, metrics, outbox, passes
from driftline.capture.audit.note import read_note
from driftline.capture.line.instruments import Collected, Counted, HostTaps, Spools
from driftline.capture.tables.dataset import read_gaps
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.executions import UNJUDGED
from driftline.monitors.report.datapoints import DATA_METRICS
from driftline.monitors.run.planning import list_states, overdue
from driftline.monitors.tables import definitions, executions
from driftline.serving.context import ServerContext
from driftline.serving.health import Health

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
    "unjudged_count": ("unjudged_count", "Its columns or metrics that could not be judged."),
    "max_drift_ratio": (
        "max_drift_ratio", "Largest distance over its bound; above 1 is a violation.",
    ),
}  # fmt: skip
Part = Literal["all", "server", "installation"]
T = TypeVar("T")
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
_DRIFT = "feature_baseline_drift_"


class Exposition:
    """The metrics of one server, in a registry, and of the installation that it belongs to."""

    def __init__(
        self,
        context: ServerContext,
        registry: CollectorRegistry,
        *,
        health: Health | None = None,
        readiness: Callable[[], Mapping[str, bool]] = dict,
        max_series: int = MAX_SERIES,
    ) -> None:
        self._registry = registry
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
        unjudged = (float(row["status"] in UNJUDGED) for row in rows)
        about = "Whether that window was not judged: it failed, or had too few rows."
        yield gauge("monitor_unjudged", about, names, zip(labels, unjudged, strict=True))
        now = self._context.now()
        yield gauge(
            "monitor_overdue_seconds",
            "How long the oldest window that is due has waited.",
            "monitor endpoint",
            (
                ([one.monitor, one.endpoint], (now - one.due_at).total_seconds())
                for one in cap.take(overdue(connection, now, list_states(connection)))
            ),
        )


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


class SeriesCap:
    """Takes as many series of each family as allowed in one scrape, and counts the rest."""

    def __init__(self, max_series: int) -> None:
        self._max_series, self.left_out = max_series, 0

    def take(self, found: Iterable[T], series_each: int = 1) -> list[T]:
        """Take from the front; each thing makes ``series_each`` series."""
        everything = iter(found)
        taken = list(islice(everything, self._max_series // series_each))
        self.left_out += series_each * sum(1 for _ in everything)
        return taken


def gauge(
    name: str, about: str, labels: str, samples: Iterable[tuple[Iterable[object], float | None]]
) -> GaugeMetricFamily:
    """Return a family of gauges, each with the values of its labels; those without a value go."""
    family = GaugeMetricFamily(f"driftline_{name}", about, labels=labels.split())
    for values, value in samples:
        if value is not None:
            family.add_metric(list(map(str, values)), value)
    return family


def alarm_families(connection: Connection, cap: SeriesCap, now: datetime) -> Iterator[Metric]:
    """Return states of alarms, how far judging is, what became of messages, and drift."""
    yield from _states(connection, cap)
    # The part that lags furthest: each holds a share of the alarms.
    query = select(passes.c.cadence_s, func.min(passes.c.judged_until)).group_by(passes.c.cadence_s)
    yield gauge(
        "alarms_judged_seconds_ago",
        "Time since the last judged tick of the clock, by the seconds between two ticks; "
        "0: those that follow their datapoints.",
        "cadence_s",
        (
            ([cadence_s], until and max((now - until).total_seconds(), 0.0))
            for cadence_s, until in connection.execute(query)
        ),
    )
    yield from _messages(connection, cap, now)
    active = len(list_silences(connection, now, status="ACTIVE"))
    yield gauge("silences_active", "Silences that hold messages back now.", "", [((), active)])
    yield _features(connection, cap)


def _features(connection: Connection, cap: SeriesCap) -> Metric:
    """Return the newest distance of each feature from its baseline, the largest first."""
    newest = (
        select(datapoints.c.metric_id, func.max(datapoints.c.time).label("time"))
        .join(metrics, metrics.c.id == datapoints.c.metric_id)
        .where(metrics.c.namespace == DATA_METRICS, metrics.c.name.startswith(_DRIFT))
        .group_by(datapoints.c.metric_id)
        .subquery()
    )
    is_newest = and_(
        datapoints.c.metric_id == newest.c.metric_id, datapoints.c.time == newest.c.time
    )
    query = (
        select(metrics.c.name, metrics.c.dimensions, datapoints.c.maximum)
        .join(datapoints, metrics.c.id == datapoints.c.metric_id)
        .join(newest, is_newest)
        .order_by(datapoints.c.maximum.desc(), metrics.c.name)
    )
    names = ("MonitoringSchedule", "Endpoint")
    return gauge(
        "feature_drift_distance",
        "Distance of a feature from its baseline in the last window that was judged.",
        "monitor endpoint feature",
        (
            ([*(dimensions.get(one, "") for one in names), name.removeprefix(_DRIFT)], distance)
            for name, dimensions, distance in cap.take(connection.execute(query))
        ),
    )


def _states(connection: Connection, cap: SeriesCap) -> Iterator[Metric]:
    """Return each alarm's state, one series for each state as Prometheus has its enums."""
    counts = count_by(connection, alarms.c.state, ~alarms.c.only_scales)
    states = (([one], counts.get(one, 0)) for one in STATES)
    yield gauge("alarms", "Alarms by their state, but those that only scale.", "state", states)
    query = select(alarms.c.name, alarms.c.kind, alarms.c.severity, alarms.c.state).order_by(
        alarms.c.state != "ALARM", alarms.c.name
    )
    yield gauge(
        "alarm_state",
        "1 for the state that the alarm is in.",
        "alarm kind severity state",
        (
            ([*labels, one], float(one == state))
            for *labels, state in cap.take(connection.execute(query), len(STATES))
            for one in STATES
        ),
    )


def _messages(connection: Connection, cap: SeriesCap, now: datetime) -> Iterator[Metric]:
    """Return messages by what became of them, and channels that fail."""
    counts = count_by(connection, outbox.c.status)
    statuses = (([one], counts.get(one, 0)) for one in STATUSES)
    yield gauge("messages", "Messages of alarms by what became of them.", "status", statuses)
    # What a newer message lists has not arrived before that one does.
    still_open = select(outbox.c.id).where(outbox.c.status.in_(OPEN))
    is_listed = (outbox.c.status == "superseded") & outbox.c.carrier_id.in_(still_open)
    oldest = connection.scalar(
        select(func.min(outbox.c.created_at)).where(
            outbox.c.status.in_(OPEN) | is_listed, ~is_grouped()
        )
    )
    waited_s = (now - oldest).total_seconds() if oldest is not None else 0.0
    yield gauge(
        "oldest_message_seconds",
        "How long the oldest message that has not arrived, and is still to, has waited.",
        "",
        [((), max(waited_s, 0.0))],
    )
    failing = select(channels.c.name, channels.c.failure_count).where(channels.c.enabled)
    order = channels.c.failure_count.desc(), channels.c.name
    yield gauge(
        "channel_failures",
        "Attempts in a row that a channel that is on has failed; 0 is well.",
        "channel",
        (([name], count) for name, count in cap.take(connection.execute(failing.order_by(*order)))),
    )
