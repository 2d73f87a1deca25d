"""The forecast of a table's size: by the median of its last whole days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from driftline.capture.line.sink import Sink
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.forecast import Forecast, forecast
from tests.capture.conftest import record

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


def test_the_last_seven_whole_days_count(
    root: str, spool_dir: Path, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for back, count in ((0, 50), (1, 10), (2, 0), (3, 400), (40, 5)):
        for _ in range(count):
            record(writer, at=NOW - timedelta(days=back))
    drain()
    sizes = {
        day.name[-10:]: sum(file.stat().st_size for file in day.iterdir())
        for day in Path(root, "capture", "flights").glob("event_date=*")
    }

    found = forecast(root, "flights", retention_days=90, now=NOW)

    # Of seven days, two had records: their mean, for the median is a day without.
    daily = round((sizes["2026-01-14"] + sizes["2026-01-12"]) / 7)
    assert found == Forecast(sum(sizes.values()), daily, 90 * daily, 7)


def test_a_young_table_is_judged_by_the_days_it_has(
    root: str, spool_dir: Path, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    record(writer, at=NOW)
    drain()
    assert forecast(root, "flights", retention_days=90, now=NOW).bytes_per_day is None
    for back in (1, 2):
        record(writer, at=NOW - timedelta(days=back))
    drain()

    found = forecast(root, "flights", retention_days=90, now=NOW)

    assert found.days == 2
    assert found.bytes_per_day and found.bytes_at_retention == 90 * found.bytes_per_day
