"""Series read out of the store, in parts that fit into memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from driftline.alerts.math.query import MetricQuery
from driftline.alerts.math.reading import fetch_from
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint

START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = 200


@pytest.mark.parametrize(("stat", "parts"), [("Average", 1), ("p99", 6)])
def test_many_long_series_with_distributions_are_read_one_part_after_the_other(engine, stat, parts):
    queries = [
        MetricQuery(id=f"m{n}", namespace="n", metric_name=f"m{n}", stat=stat, period=60)
        for n in range(METRICS)
    ]
    points = [
        Datapoint("n", one.metric_name, {}, START + timedelta(hours=1), values=[n, n])
        for n, one in enumerate(queries)
    ]
    with engine.begin() as connection:
        add(connection, points)
    statements = []
    begin, day = int(START.timestamp()), 86_400
    with engine.connect() as connection:
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: statements.append(statement),
        )
        found = fetch_from(connection, begin, begin + day)(queries)

    assert [one.as_dict() for one in found] == [{begin + 3600: float(n)} for n in range(METRICS)]
    # A day of minutes of 200 metrics: ten times as heavy with distributions.
    assert sum("alerts_blocks" in one for one in statements) >= parts
    assert (parts == 1) == (sum("alerts_blocks" in one for one in statements) == 1)
