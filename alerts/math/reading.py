"""Series of metrics out of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection

from driftline.alerts.math.plan import Fetch
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.series import Series
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.alerts.metrics.statistic import STATISTICS
from driftline.alerts.metrics.summary import Summary

# Some 300 bytes each until they are a series; with the values' distribution ten times as much.
_PERIODS_AT_ONCE = 500_000
_SPREAD_WEIGHS = 10


def request_of(query: MetricQuery, start: int, end: int) -> SeriesRequest:
    """Return the request for a metric's data on [start, end), seconds since 1970."""
    assert query.period is not None and query.stat is not None
    return SeriesRequest(
        query.metric_key,
        datetime.fromtimestamp(start, UTC),
        datetime.fromtimestamp(end, UTC),
        query.period,
        query.unit,
        query.stat not in STATISTICS,
    )


def series_of(query: MetricQuery, found: Mapping[int, Summary], starts: Sequence[int]) -> Series:
    """Return the statistic of each period that has one, at the starts of the periods by place."""
    assert query.period is not None and query.stat is not None
    times, values = [], []
    for index in sorted(found):
        value = found[index].get(query.stat)
        if value is not None and np.isfinite(value):
            times.append(starts[index])
            values.append(value)
    return Series(np.array(times, dtype=np.int64), np.array(values, dtype=np.float64), query.period)


def _parts(queries: Sequence[MetricQuery], length_s: int) -> Iterator[Sequence[MetricQuery]]:
    """Cut queries so that what is read for a part, before it is a series, fits into memory."""
    first, periods = 0, 0
    for place, query in enumerate(queries):
        assert query.period is not None
        more = length_s // query.period * (1 if query.stat in STATISTICS else _SPREAD_WEIGHS)
        if place > first and periods + more > _PERIODS_AT_ONCE:
            yield queries[first:place]
            first, periods = place, 0
        periods += more
    yield queries[first:]


def fetch_from(connection: Connection, start: int, end: int) -> Fetch:
    """Return what reads series of metrics on [start, end) from the store."""

    def fetch(queries: Sequence[MetricQuery]) -> list[Series]:
        series: list[Series] = []
        for some in _parts(queries, end - start):
            found = read_many(connection, [request_of(query, start, end) for query in some])
            series += [
                series_of(query, one, range(start, end, query.period or 1))
                for query, one in zip(some, found, strict=True)
            ]
        return series

    return fetch
