"""Points read where PostgreSQL knows nothing of them yet."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import event, insert, text

from driftline.alerts.metrics.block import Block
from driftline.alerts.metrics.points import points_of
from driftline.alerts.tables import blocks

HOUR = 3_600
METRICS = 1_000


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres)])
def backend(request):
    return request.param


def fill(engine, first, last):
    data = Block.of(np.arange(60), np.ones((60, 4)), [None] * 60).to_bytes()
    rows = [
        {"metric_id": metric, "start": hour * HOUR, "level_s": 60, "unit": 0, "data": data}
        for hour in range(first, last)
        for metric in range(METRICS)
    ]
    with engine.begin() as connection:
        connection.execute(insert(blocks), rows)


def test_blocks_of_some_metrics_are_found_by_their_key_however_new_they_are(engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE alerts_blocks SET (autovacuum_enabled = false)"))
    fill(engine, 0, 20)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE alerts_blocks"))
    fill(engine, 20, 24)
    asked = []
    with engine.connect() as connection:
        event.listen(
            connection,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, values, *_: asked.append((statement, values)),
        )
        found = points_of(
            connection, range(7, 57), 21 * HOUR, 24 * HOUR, range(0), with_spreads=False
        )
        statement, values = next(one for one in asked if "alerts_blocks" in one[0])
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN (ANALYZE) {statement}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert len(found.metric) == 50 * 180
    assert set(found.metric.tolist()) == set(range(7, 57))
    assert "pk_alerts_blocks" in plan
    assert "ix_alerts_blocks_level_s_start" not in plan


def test_thousands_of_years_are_asked_for_at_once(engine):
    fill(engine, 0, 1)
    with engine.connect() as connection:
        found = points_of(connection, [7], -6e10, 2e11, range(0), with_spreads=False)

    assert len(found.metric) == 60
