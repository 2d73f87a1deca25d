"""The metrics of ``/metrics`` on alarms, notifications and single features.

Users choose these names, so a cap holds for the labels: firing alarms and the largest drift come
first, and the rest is counted. Totals are never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, and_, func, select

from driftline.alerts.counts import count_by
from driftline.alerts.notify.rows import OPEN, STATUSES, is_grouped
from driftline.alerts.notify.silences import list_silences
from driftline.alerts.tables import alarms, channels, datapoints, metrics, outbox, passes
from driftline.monitors.report.datapoints import DATA_METRICS

T = TypeVar("T")
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
_DRIFT = "feature_baseline_drift_"


class SeriesCap:
    """Takes of each family as many series as allowed, and counts what it leaves out.

    One for each scrape: two may run at once.
    """

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
    counts = count_by(connection, alarms.c.state)
    states = (([one], counts.get(one, 0)) for one in STATES)
    yield gauge("alarms", "Alarms by their state.", "state", states)
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
