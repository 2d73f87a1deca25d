"""Windows are run when they are due, in order, once, however many schedulers there are."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select, update

from driftline.baseline import versions
from driftline.baseline.cache import BaselineCache
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.database.queue import LEASE
from driftline.monitors import tables
from driftline.monitors.check_context import Predictor
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run import progress
from driftline.monitors.run.job import Job
from driftline.monitors.run.planning import list_states, overdue
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.window_queue import claim, put, request
from driftline.monitors.tables import SCHEDULED
from tests.clock import Clock
from tests.monitors.conftest import DAY, START, append_day, weather
from tests.servers.commands import talking
from tests.servers.postgres import both_databases, both_in_full

DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


def waiting(house: Engine):
    with house.connect() as connection:
        return connection.execute(select(tables.windows)).one()


def waiting_from(house: Engine) -> list[datetime]:
    columns = tables.windows.c
    with house.connect() as connection:
        query = select(columns.window_start).order_by(columns.window_start)
        return list(connection.scalars(query))


@pytest.fixture(scope="module")
def six_days(tmp_path_factory: pytest.TempPathFactory, reference: Baseline) -> Path:
    """A root with six captured days; to copy it costs a thirtieth of writing the days."""
    root, rng = tmp_path_factory.mktemp("six-days"), np.random.default_rng(20240101)
    versions.put(str(root), "flights", reference, lambda: START)
    for day in range(6):
        append_day(str(root), reference.signature, day, weather(rng, 60))
    return root


@pytest.fixture
def house(engine: Engine, root: str, six_days: Path) -> Engine:
    shutil.copytree(six_days, root)
    with engine.begin() as connection:
        put_definition(connection, DAILY, START)
    return engine


def scheduler(
    house: Engine, root: str, reference: Baseline, clock: Clock, **more: object
) -> Scheduler:
    return Scheduler(house, root, lambda _: reference.signature, now=clock, **more)


@both_in_full
def test_days_of_another_clock_are_its_windows(house, root, reference, clock) -> None:
    """Clocks were set forward in Berlin on 2024-03-31."""
    start = datetime.fromisoformat("2024-03-30T00:00+01:00")
    with house.begin() as connection:
        berlin = replace(DAILY, schedule="0 0 * * *", time_zone="Europe/Berlin", start=start)
        put_definition(connection, berlin, START)
    clock.time = start + timedelta(hours=71)

    ran = scheduler(house, root, reference, clock).step()

    assert [run.window.length / timedelta(hours=1) for run in ran] == [24, 23, 24]
    assert ran[0].window_start == start


@both_in_full
def test_a_window_waits_for_the_delay_of_its_monitor(house, root, reference, clock) -> None:
    with house.begin() as connection:
        connection.execute(update(tables.definitions).values(delay_s=3600.0))
    one = scheduler(house, root, reference, clock)
    clock.time = START + DAY + timedelta(minutes=59)
    early = one.step()
    clock.time = START + DAY + timedelta(minutes=60)

    assert early == []
    assert len(one.step()) == 1


@both_in_full
@pytest.mark.parametrize(
    ("schedule", "start", "expected"),
    [
        ("NOW", None, (4 * DAY, 5 * DAY)),
        ("now", START, (0 * DAY, 5 * DAY)),
        ("NOW(-PT72H/-P1D)", None, (2 * DAY, 4 * DAY)),
        ("NOW(/-P1D)", None, (3 * DAY, 4 * DAY)),
    ],
)
def test_now_runs_once_over_its_window(
    house, root, reference, clock, schedule: str, start: datetime | None, expected
) -> None:
    new = MonitorDefinition(
        "new", endpoint="flights", baseline="flights", schedule=schedule, start=start
    )
    clock.time = START + 5 * DAY
    with house.begin() as connection:
        put_definition(connection, new, clock.time)
        connection.execute(tables.definitions.delete().where(tables.definitions.c.name != "new"))
    one = scheduler(house, root, reference, clock)
    early = one.step() if schedule.casefold() == "now" else []  # Rows may wait in the spool.

    clock.time += timedelta(seconds=15)
    ran = one.step()
    clock.time += 3 * DAY
    with house.begin() as connection:
        put_definition(connection, replace(new, owner="ann"), clock.time)
    again = one.step()

    assert early == again == []
    assert [(run.window_start - START, run.window_end - START) for run in ran] == [expected]
    assert ran[0].row_count == 60 * ((expected[1] - expected[0]) // DAY)


@both_in_full
def test_a_lease_that_another_holds_is_respected_until_it_runs_out(
    house, root, reference, clock
) -> None:
    clock.time = START + DAY
    with house.begin() as connection:
        put(connection, "daily", [Window(START, START + DAY)], SCHEDULED, at=START)
    assert claim(house, "daily", "another", clock()) is not None
    one = scheduler(house, root, reference, clock)
    held = one.step()
    clock.time += LEASE

    assert held == []
    assert len(one.step()) == 1


@both_in_full
def test_a_broken_monitor_does_not_keep_others_from_running(house, root, reference, clock) -> None:
    with house.begin() as connection:
        broken = MonitorDefinition("broken", endpoint="other", baseline="flights", start=START)
        put_definition(connection, broken, START)
    clock.time = START + DAY
    (Path(root) / "capture" / "other").mkdir(parents=True)
    (Path(root) / "capture" / "other" / "_delta_log").write_text("not a folder")

    ran = scheduler(house, root, reference, clock).step()

    assert "daily" in {one.monitor for one in ran}


WORKER = """
import sys
from datetime import datetime, timedelta
from driftline.baseline import versions
from driftline.monitors.run.scheduler import Scheduler
from tests.monitors.conftest import START, DAY
from tests.servers.postgres import open_url

database, root = sys.argv[1:]
signature = versions.get(root, "flights").signature
scheduler = Scheduler(
    open_url(database), root, lambda _: signature, now=lambda: START + 6 * DAY
)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    for execution in scheduler.step():
        print(execution.window_start.isoformat(), flush=True)
"""


@both_databases
def test_two_schedulers_on_one_database_run_each_window_once(house, root, database_url) -> None:
    with ExitStack() as started:
        workers = [started.enter_context(talking(WORKER, database_url, root)) for _ in range(2)]
        for _, _, printed in workers:
            assert printed.readline() == "ready\n"
        for _, told, _ in workers:
            told.write("go\n")
        ran = Counter("".join(printed.read() for _, _, printed in workers).split())

        assert [worker.wait(60) for worker, _, _ in workers] == [0, 0]
    assert ran == {(START + day * DAY).isoformat(): 1 for day in range(6)}
    with house.connect() as connection:
        assert len(connection.execute(select(tables.executions)).all()) == 6


@both_in_full
def test_a_scheduler_that_is_killed_loses_no_window_and_doubles_none(
    house, root, reference, clock, database_url
) -> None:
    with talking(WORKER, database_url, root) as (_, told, printed):
        printed.readline()
        told.write("go\n")
        pause, seen, end = threading.Event(), 0, time.monotonic() + 60
        while seen < 2 and time.monotonic() < end:
            with house.connect() as connection:
                seen = len(connection.execute(select(tables.executions)).all())
            pause.wait(0.02)
    assert seen >= 2

    clock.time = START + 6 * DAY + timedelta(minutes=10)
    scheduler(house, root, reference, clock).step()

    with house.connect() as connection:
        rows = connection.execute(select(tables.executions)).all()
    assert sorted(row.window_start for row in rows) == [START + day * DAY for day in range(6)]
    assert all(row.is_current for row in rows)


@pytest.mark.first(3)
@pytest.mark.parametrize(("catch_up", "expected"), [("all", [1, 2, 3, 4]), ("last", [4])])
def test_what_was_missed_is_caught_up_as_the_monitor_says(
    house, root, reference, clock, catch_up: str, expected: list[int]
) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, catch_up=catch_up), START)
    one = scheduler(house, root, reference, clock)
    clock.time = START + DAY
    assert len(one.step()) == 1
    clock.time = START + 5 * DAY + timedelta(hours=3)

    ran = one.step()

    assert [(run.window_start - START) // DAY for run in ran] == expected
    assert one.step() == []
    clock.time = START + 6 * DAY
    assert [(run.window_start - START) // DAY for run in one.step()] == [5]


def test_a_paused_monitor_runs_again_from_its_new_start(house, root, reference, clock) -> None:
    clock.time = START + 3 * DAY
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, paused=True), START)
    paused = scheduler(house, root, reference, clock).step()
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, start=START + 2 * DAY), START)

    found = scheduler(house, root, reference, clock).step()

    assert paused == []
    assert [one.window_start for one in found] == [START + 2 * DAY]


def test_monitors_of_higher_priority_come_first(house, root, reference, clock) -> None:
    with house.begin() as connection:
        for name, priority in (("low", -1), ("high", 10), ("higher", 11)):
            put_definition(connection, replace(DAILY, name=name, priority=priority), START)
    clock.time = START + 2 * DAY

    ran = scheduler(house, root, reference, clock).step()

    assert [run.monitor for run in ran[::2]] == ["higher", "high", "daily", "low"]


def test_a_run_that_takes_too_long_has_failed_and_the_next_gets_its_turn(
    house, root, reference, clock, monkeypatch
) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, timeout_s=30.0), START)
    seconds = iter(range(0, 1000, 20))
    slow = partial(Job, timer=lambda: next(seconds))
    monkeypatch.setattr("driftline.monitors.run.scheduler.Job", slow)
    clock.time = START + 2 * DAY

    ran = scheduler(house, root, reference, clock).step()

    assert [run.status for run in ran] == ["Failed", "Failed"]
    assert ran[0].failure_reason == (
        "ended after 30 s; give the monitor a longer timeout_s or shorter windows"
    )
    with house.connect() as connection:
        assert connection.execute(select(tables.windows)).all() == []


def test_a_window_that_cannot_be_run_is_tried_again_later_and_says_why(
    house, root, reference, clock
) -> None:
    log = Path(root) / "capture" / "flights" / "_delta_log"
    log.rename(log.with_name("away"))
    log.write_text("not a folder")
    one = scheduler(house, root, reference, clock, poll_s=5.0)
    clock.time = START + DAY + timedelta(hours=1)
    begun, tries = clock.time, []
    for _ in range(250):
        assert one.step() == []
        if waiting(house).attempts > len(tries):
            tries.append((clock.time - begun).total_seconds())
        clock.time += timedelta(seconds=5)
    with house.connect() as connection:
        (late,) = overdue(connection, clock.time, list_states(connection))
    log.unlink()
    log.with_name("away").rename(log)
    clock.time = waiting(house).next_attempt_at
    ran = one.step()

    assert tries == [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]
    assert late.failure
    assert [run.status for run in ran] == ["Completed"]
    with house.connect() as connection:
        assert connection.execute(select(tables.windows)).all() == []


def test_another_schedule_takes_the_place_of_windows_that_wait(
    house, root, reference, clock
) -> None:
    log = Path(root) / "capture" / "flights" / "_delta_log"
    log.rename(log.with_name("away"))
    log.write_text("not a folder")
    one = scheduler(house, root, reference, clock)
    clock.time = START + 2 * DAY
    assert one.step() == []
    assert waiting_from(house) == [START, START + DAY]
    log.unlink()
    log.with_name("away").rename(log)
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, schedule="cron(0 0/12 ? * * *)"), START)

    ran = one.step()

    assert [run.window_start for run in ran] == [START + half * DAY / 2 for half in range(4)]


def test_windows_that_somebody_asks_for_are_run_without_a_schedule(
    house, root, reference, clock
) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, schedule="external", start=None), START)
        request(connection, "daily", [Window(START, START + DAY)], by="ada", now=START)
    clock.time = START + 2 * DAY

    ran = scheduler(house, root, reference, clock).step()

    assert [(run.window_start, run.row_count) for run in ran] == [(START, 60)]


def test_a_paused_monitor_runs_the_windows_that_somebody_asks_for_alone(
    house, root, reference, clock
) -> None:
    first, second = (Window(START + day * DAY, START + (day + 1) * DAY) for day in range(2))
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, paused=True), START)
        put(connection, "daily", [first], SCHEDULED, at=START)
        request(connection, "daily", [second], by="ada", now=START)
    clock.time = START + 4 * DAY
    one = scheduler(house, root, reference, clock)

    ran = [*one.step(), *one.step()]

    assert [(run.window_start, run.row_count) for run in ran] == [(START + DAY, 60)]
    assert waiting_from(house) == [START]


@both_databases
def test_a_lease_is_renewed_as_long_as_a_run_lasts(
    house, root, reference, clock, monkeypatch
) -> None:
    monkeypatch.setattr(progress, "WRITE_EVERY_S", 0.01)
    clock.time = START + DAY
    other, ran, pause = scheduler(house, root, reference, clock), [], threading.Event()

    class SlowBaselines(BaselineCache):
        def get(self, *given: object) -> Baseline:
            clock.time += LEASE  # As long as it was claimed for.
            end = time.monotonic() + 20
            while waiting(house).lease_until <= clock.time:
                assert time.monotonic() < end
                pause.wait(0.01)
            ran.extend(other.step())
            return super().get(*given)

    one = scheduler(house, root, reference, clock, baselines=SlowBaselines())

    assert len(one.step()) == 1
    assert ran == []


def test_a_model_that_is_slow_to_answer_holds_up_no_other_monitor(
    house, root, reference, clock
) -> None:
    with house.begin() as connection:
        slow = replace(DAILY, name="a-slow", kind="attribution", priority=1)
        put_definition(connection, slow, START)
    is_asked, may_answer, stop = threading.Event(), threading.Event(), threading.Event()

    def open_model(endpoint: str, variant: str | None) -> Predictor:
        is_asked.set()
        may_answer.wait(60)
        return lambda rows: np.zeros(rows.num_rows)

    make = partial(scheduler, house, root, reference, clock, predictors=open_model)
    clock.time = START + DAY
    explaining = threading.Thread(target=make(asks_models=True, poll_s=0.05).run, args=(stop,))
    explaining.start()
    try:
        assert is_asked.wait(60)
        ran = make(asks_models=False).step()
    finally:
        stop.set()
        may_answer.set()
        explaining.join(60)

    assert [one.monitor for one in ran] == ["daily"]
