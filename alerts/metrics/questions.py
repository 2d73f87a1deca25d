"""Questions about metrics: GetMetricStatistics and ListMetrics, by their rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, or_, select

from driftline.alerts.errors import DatapointError, FieldConflict, MissingField
from driftline.alerts.metrics.datapoint import UNIT_NAMES, check_metric, check_unit, metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.statistic import STATISTICS, check_statistic
from driftline.alerts.metrics.summary import Metric, Summary
from driftline.alerts.tables import metrics as metric_table

# CloudWatch API reference, GetMetricStatistics and ListMetrics.
POINTS_MAX: Final = 1440
PAGE_MAX: Final = 500
LISTED_FOR: Final = timedelta(weeks=2)
RECENT: Final = timedelta(hours=3)
_SHORT_PERIODS_S = (1, 5, 10, 20, 30)
_PERIOD_MAX_S = 86_400
# CloudWatch API reference, StartTime: periods by which starts are rounded, and else ages.
_DIVISIONS_S: Final = frozenset((5, 10, 20, 30))
_FIVE_MINUTES_FROM: Final = timedelta(days=15)
_HOURS_PAST: Final = timedelta(days=63)
# How many metrics are looked at between two looks at the database, filters on dimensions open.
_ROWS_PER_LOOK = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsRequest:
    """What GetMetricStatistics asks."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    start: datetime  # Half-open, aware; periods are counted from the start, rounded down.
    end: datetime
    period_s: int
    statistics: Sequence[str]  # Plain and extended ones, such as ``p99``; one at least.
    unit: str | None = None  # None: each unit apart.

    def __post_init__(self) -> None:
        check_metric(self.namespace, self.name, self.dimensions)
        if not self.statistics:
            raise MissingField(
                "At least one of the parameters Statistics and ExtendedStatistics must be "
                "specified."
            )
        for statistic in self.statistics:
            check_statistic(statistic)
        check_unit(self.unit)
        check_period(self.period_s)
        if self.start >= self.end:
            raise DatapointError("The parameter StartTime must be less than the parameter EndTime.")
        # Whole ones: a day of minutes may be asked for in the middle of a minute.
        count = (self.end - self.start) // timedelta(seconds=self.period_s)
        if count > POINTS_MAX:
            raise FieldConflict(
                f"You have requested up to {count} datapoints, which exceeds the limit of "
                f"{POINTS_MAX}. You may reduce the datapoints requested by increasing Period, or "
                "decreasing the time range."
            )


@dataclass(frozen=True, slots=True)
class MetricPage:
    """Some metrics, and where the next ones begin; None after the last."""

    metrics: Sequence[Metric]
    next_token: str | None


def check_period(period_s: int) -> None:
    """Check a period against CloudWatch's."""
    is_long = period_s % 60 == 0 and 60 <= period_s <= _PERIOD_MAX_S
    if not is_long and period_s not in _SHORT_PERIODS_S:
        raise DatapointError(
            f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 up to "
            f"{_PERIOD_MAX_S}; it is {period_s}."
        )


def aligned_start(start: datetime, now: datetime, periods_s: Iterable[int]) -> datetime:
    """Round the start of a query down as CloudWatch does: the older, the coarser.

    To the minute, five minutes from 15 days on, the hour past 63 days; to a division of a minute
    where 5, 10, 20 or 30 s is the period, or all periods are such.
    """
    age, periods = now - start, set(periods_s)
    step_s = 60
    if age > _HOURS_PAST:
        step_s = 3600
    elif age >= _FIVE_MINUTES_FROM:
        step_s = 300
    elif periods and periods <= _DIVISIONS_S:
        step_s = math.lcm(*periods)
    return datetime.fromtimestamp(start.timestamp() // step_s * step_s, UTC)


def metric_statistics(
    connection: Connection, asked: StatisticsRequest, now: datetime
) -> list[dict[str, Any]]:
    """Answer GetMetricStatistics."""
    start = aligned_start(asked.start, now, [asked.period_s])
    units = [asked.unit] if asked.unit is not None else list(UNIT_NAMES)
    key = metric_key(asked.namespace, asked.name, asked.dimensions)
    needs = not set(asked.statistics) <= set(STATISTICS)
    requests = [SeriesRequest(key, start, asked.end, asked.period_s, unit, needs) for unit in units]
    found = []
    for unit, series in zip(units, read_many(connection, requests), strict=True):
        for index, summary in series.items():
            values = _statistics(summary, asked.statistics)
            if values:
                time = start + timedelta(seconds=index * asked.period_s)
                found.append({"timestamp": time, "unit": unit, **values})
    return sorted(found, key=lambda one: (one["timestamp"], one["unit"]))


def _statistics(summary: Summary, names: Sequence[str]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    extended: dict[str, float] = {}
    for name in names:
        value = summary.get(name)
        if value is None:
            continue
        if name in STATISTICS:
            plain["sample_count" if name == "SampleCount" else name.lower()] = value
        else:
            extended[name] = value
    return plain | ({"extended_statistics": extended} if extended else {})


def aws_metrics(
    connection: Connection,
    now: datetime,
    *,
    namespace: str | None = None,
    name: str | None = None,
    dimensions: Sequence[tuple[str, str | None]] = (),
    only_recent: bool = False,
    next_token: str | None = None,
    limit: int = PAGE_MAX,
) -> MetricPage:
    """Answer ListMetrics: metrics with data in the last two weeks, in the order of their start."""
    after = _after(next_token)
    table = metric_table.c
    since = now - (RECENT if only_recent else LISTED_FOR)
    query = select(table.id, table.namespace, table.name, table.dimensions).where(
        or_(table.active_at >= since, table.covered_until >= since)
    )
    if namespace is not None:
        query = query.where(table.namespace == namespace)
    if name is not None:
        query = query.where(table.name == name)
    query = query.order_by(table.id).limit(_ROWS_PER_LOOK)
    found: list[Metric] = []
    while rows := connection.execute(query.where(table.id > after)).all():
        for row in rows:
            if not _has(row.dimensions, dimensions):
                continue
            if len(found) == limit:
                return MetricPage(found, str(after))
            after = row.id
            found.append(Metric(row.namespace, row.name, dict(row.dimensions)))
        after = rows[-1].id
    return MetricPage(found, None)


def _after(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise DatapointError(
            f"The value {token[:80]} for parameter NextToken is invalid; expected that of a page."
        )
    return int(token)


def _has(dimensions: Mapping[str, str], wanted: Sequence[tuple[str, str | None]]) -> bool:
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted)
