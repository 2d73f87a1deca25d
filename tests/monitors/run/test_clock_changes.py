"""No window is lost or doubled on days on which clocks change, on a leap day, or by a clock that is
set back while schedulers run (expressions alone: test_schedule.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select

from driftline.baseline import store
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run.scheduler import Scheduler

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("schedule", "start", "step", "hours"),
    [
        # 2024-03-31: 02:00 to 03:00 is left out; 2024-10-27: it comes twice.
        ("cron(0 * ? * * *)", datetime(2024, 3, 30, 23, tzinfo=UTC), HOUR, [1] * 6),
        ("cron(0 * ? * * *)", datetime(2024, 10, 26, 22, tzinfo=UTC), HOUR, [1] * 6),
        ("cron(30 2 ? * * *)", datetime(2024, 3, 29, 1, 30, tzinfo=UTC), DAY, [24, 23.5, 23.5]),
        ("cron(0 0 ? * * *)", datetime(2024, 3, 29, 23, tzinfo=UTC), DAY, [24, 23, 24]),
        ("cron(0 0 ? * * *)", datetime(2024, 10, 25, 22, tzinfo=UTC), DAY, [24, 25, 24]),
        ("cron(0 0 ? * * *)", datetime(2024, 2, 27, 23, tzinfo=UTC), DAY, [24, 24, 24]),
    ],
    ids=["hours in spring", "hours in autumn", "a time left out", "day of 23", "day of 25", "leap"],
)
def test_each_window_has_one_execution(
    engine, root, reference, schedule, start, step, hours
) -> None:
    store.put(root, "flights", reference, lambda: start)
    monitor = MonitorDefinition(
        "one", endpoint="flights", baseline="flights", schedule=schedule,
        time_zone="Europe/Berlin", start=start,
    )  # fmt: skip
    with engine.begin() as connection:
        put_definition(connection, monitor, start)
    clock = start

    def new() -> Scheduler:
        return Scheduler(engine, root, lambda _: reference.signature, now=lambda: clock)

    one, ran = new(), []
    for _ in range(len(hours) + 1):
        # Forward by half a step, back by a whole one, as a clock that was wrong; then where it is.
        for moved in (step / 2, -step, step * 3 / 2):
            clock += moved
            ran += one.step()
        one = new()  # Another scheduler goes on where it finds the monitor.

    # What a clock that was ahead has run is run again, with the same answer, when it has ended.
    windows = sorted({each.id: each.window for each in ran}.values(), key=lambda one: one.start)
    with engine.connect() as connection:
        assert len(connection.execute(select(tables.executions.c.id)).all()) == len(windows)
    assert windows[0].start == start
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert [window.length / HOUR for window in windows][: len(hours)] == hours
