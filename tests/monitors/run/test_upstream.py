"""Windows of monitors that depend on others: run behind those, or not, and then it says why."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, event, select, update

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors import tables
from driftline.monitors.definitions import (
    DefinitionError,
    MonitorDefinition,
    get_definition,
    put_definition,
)
from driftline.monitors.executions import UNFINISHED, Execution
from driftline.monitors.run import lease
from driftline.monitors.run.cancel import cancel, pending
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.overdue import overdue
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.status import list_states
from driftline.monitors.schedule import due_windows
from tests.clock import Clock
from tests.servers.postgres import both_databases

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = "cron(0 * ? * * *)"
FIRST = MonitorDefinition("first", endpoint="e", baseline="b", schedule=HOURLY, start=START)
SECOND = replace(FIRST, name="second", depends_on=("first",))


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def house(engine: Engine, tmp_path) -> Engine:
    """An endpoint without any traffic: its windows have NoData, those of no baseline Failed."""
    values = np.random.default_rng(1).normal(size=200)
    store.put(str(tmp_path), "b", Baseline.fit(pa.table({"x": values})), lambda: START)
    return engine


@pytest.fixture
def scheduler(house: Engine, tmp_path, clock: Clock):
    signature = store.get(str(tmp_path), "b").signature
    return lambda: Scheduler(house, str(tmp_path), lambda _: signature, now=clock)


def put(house: Engine, *definitions: MonitorDefinition) -> None:
    with house.begin() as connection:
        for one in definitions:
            put_definition(connection, one, START)


def until_still(one: Scheduler) -> list[Execution]:
    """Step until nothing is run any more."""
    found: list[Execution] = []
    while ran := one.step():
        found += ran
    return found


def told(ran: list[Execution]) -> list[tuple[str, int, str]]:
    """Return monitor, hour and status of what was run."""
    return [(one.monitor, (one.window_end - START) // HOUR, one.status) for one in ran]


def test_a_window_comes_behind_those_of_the_monitor_that_it_depends_on(
    house, scheduler, clock
) -> None:
    put(house, replace(SECOND, priority=1000), FIRST, replace(SECOND, name="a", delay_s=60))
    clock.time = START + 2 * HOUR

    ran = told(until_still(scheduler()))

    assert ran == [
        ("first", 1, "NoData"), ("first", 2, "NoData"), ("a", 1, "NoData"),
        ("second", 1, "NoData"), ("second", 2, "NoData"),
    ]  # fmt: skip


def test_what_waits_says_for_whom_and_is_overdue_with_that_reason(house, scheduler, clock) -> None:
    put(house, replace(FIRST, delay_s=7200), SECOND)
    clock.time = START + 2 * HOUR

    assert scheduler().step() == []

    with house.connect() as connection:
        found = {one.monitor: one.failure for one in overdue(connection, clock.time)}
        second = get_definition(connection, "second")
    assert found == {"second": 'waits for monitor "first"'}
    (waiting,) = pending(house, second, clock.time)
    assert (waiting.start, waiting.end, waiting.waits_for) == (START, START + HOUR, "first")


# What waits for what is the same on both databases; each is asked once, the cheaper one for all.
@pytest.mark.parametrize(
    ("backend", "schedule"),
    [
        *(("sqlite", one) for one in ("cron(0 0 ? * * *)", "rate(6 hours)", "rate(25 minutes)")),
        pytest.param("postgresql", "rate(6 hours)", marks=pytest.mark.postgres),
    ],
)
def test_a_longer_or_shorter_window_waits_for_all_that_end_within_it(
    house, scheduler, clock, schedule
) -> None:
    put(house, FIRST, replace(SECOND, schedule=schedule))
    one = scheduler()
    for minutes in range(20, 25 * 60, 20):
        clock.time = START + timedelta(minutes=minutes)
        done = (clock.time - START) // HOUR
        for execution in until_still(one):
            if execution.monitor == "second":
                assert execution.window_end <= START + (done + 1) * HOUR
                assert execution.status == "NoData"
    with house.connect() as connection:
        begins = {state.definition.name: state.begin for state in list_states(connection)}
    assert begins["first"] == START + 24 * HOUR
    assert begins["second"] >= START + 24 * HOUR - timedelta(minutes=45)


@both_databases
@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_window_whose_upstream_failed_is_not_run_until_both_are_backfilled(
    house, scheduler, clock, tmp_path, is_stopped
) -> None:
    bad = replace(FIRST, baseline="b" if is_stopped else "none")
    third = replace(SECOND, name="third", depends_on=("second",))
    put(house, bad, SECOND, third)
    if is_stopped:
        clock.time = START + HOUR
        cancel(house, bad, Window(START, START + HOUR), by="ada", now=clock.time)
    clock.time = START + HOUR
    status = "Stopped" if is_stopped else "Failed"

    ran = until_still(scheduler())

    assert told(ran) == [("first", 1, status), ("second", 1, status), ("third", 1, status)]
    assert ran[1].failure_reason == (
        f'not run: monitor "first" has {status} for [2024-03-01T00:00:00Z, 2024-03-01T01:00:00Z); '
        "backfill it, then this one"
    )
    assert ran[2].failure_reason.startswith('not run: monitor "second" has')
    with house.connect() as connection:
        points = connection.execute(select(tables.executions.c.monitor)).all()
        assert len(points) == 3
    signature = store.get(str(tmp_path), "b").signature
    again = [
        run(Job(
            house, str(tmp_path), replace(one, baseline="b"), Window(START, START + HOUR),
            now=clock, signature=signature, keeps_order=True,
        ))
        for one in (third, bad, SECOND, third)
    ]  # fmt: skip
    assert [one.status for one in again] == [status, "NoData", "NoData", "NoData"]


@both_databases
def test_a_result_that_stands_is_not_taken_back_by_its_upstream(house, tmp_path, clock) -> None:
    put(house, FIRST, SECOND)
    clock.time, window = START + HOUR, Window(START, START + HOUR)
    job = Job(
        house, str(tmp_path), FIRST, window, now=clock, keeps_order=True,
        signature=store.get(str(tmp_path), "b").signature,
    )  # fmt: skip
    run(job)
    before = run(replace(job, definition=SECOND))
    with house.begin() as connection:
        of_first = tables.executions.c.monitor == "first"
        connection.execute(update(tables.executions).where(of_first).values(status="Failed"))

    assert run(replace(job, definition=SECOND)) == before


@both_databases
def test_windows_that_the_upstream_passes_by_are_not_run(house, scheduler, clock) -> None:
    put(house, replace(FIRST, catch_up="last"), SECOND)
    clock.time = START + 3 * HOUR

    ran = until_still(scheduler())

    assert told(ran) == [
        ("first", 3, "NoData"), ("second", 1, "Stopped"), ("second", 2, "Stopped"),
        ("second", 3, "NoData"),
    ]  # fmt: skip
    assert "passed by its windows from 2024-03-01T00:00:00+00:00 on" in ran[1].failure_reason


def test_windows_before_the_upstream_began_do_not_wait_for_it(house, scheduler, clock) -> None:
    put(house, replace(FIRST, start=START + 2 * HOUR), SECOND)
    clock.time = START + 3 * HOUR

    ran = told(until_still(scheduler()))

    assert ran == [("first", 3, "NoData")] + [("second", hour, "NoData") for hour in (1, 2, 3)]


def test_windows_of_an_older_schedule_of_the_upstream_are_results_too(
    house, scheduler, clock
) -> None:
    put(house, replace(FIRST, schedule="rate(4 hours)"))
    clock.time = START + 4 * HOUR
    one = scheduler()
    until_still(one)
    put(house, FIRST, replace(SECOND, schedule="rate(6 hours)"))
    clock.time = START + 6 * HOUR

    assert told(until_still(one)) == [
        ("first", 5, "NoData"), ("first", 6, "NoData"), ("second", 6, "NoData"),
    ]  # fmt: skip


@both_databases
def test_windows_wait_for_the_runs_that_somebody_else_starts(
    house, scheduler, clock, tmp_path
) -> None:
    outside = replace(FIRST, schedule="external")
    put(house, outside, SECOND)
    one = scheduler()
    clock.time = START + 2 * HOUR
    assert one.step() == []

    job = Job(
        house, str(tmp_path), outside, Window(START, START + HOUR), now=clock,
        signature=store.get(str(tmp_path), "b").signature,
    )  # fmt: skip
    run(job)
    assert told(until_still(one)) == [("second", 1, "NoData")]
    run(replace(job, window=Window(START + HOUR, START + 2 * HOUR), definition=replace(
        outside, baseline="none"
    )))  # fmt: skip
    assert told(until_still(one)) == [("second", 2, "Failed")]


@both_databases
def test_one_that_nobody_can_read_is_waited_for(house, scheduler, clock) -> None:
    put(house, FIRST, SECOND)
    with house.begin() as connection:
        of_first = tables.definitions.c.name == "first"
        connection.execute(update(tables.definitions).where(of_first).values(kind="no-such"))
    clock.time = START + HOUR

    assert scheduler().step() == []
    with house.connect() as connection:
        (late,) = overdue(connection, clock.time + HOUR)
    assert late.failure == 'waits for monitor "first"'


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"depends_on": ("Second",)}, "names the monitor itself; expected others"),
        ({"depends_on": ("first", "First")}, "has 2 names; expected at most 50, each once"),
        ({"schedule": "external"}, 'with schedule "external"; expected another schedule'),
        ({"catch_up": "none"}, 'with catch_up "none", which passes by each window'),
    ],
)
def test_a_wrong_dependency_is_one_sentence(changes, sentence) -> None:
    with pytest.raises(DefinitionError, match=f'^monitor "second": depends_on {sentence}'):
        replace(SECOND, **changes)


def test_the_look_of_a_scheduler_asks_nothing_for_each_monitor(house, scheduler, clock) -> None:
    put(house, replace(FIRST, delay_s=86_400))
    one, counts, statements = scheduler(), [], []
    event.listen(house, "before_cursor_execute", lambda *given: statements.append(given[2]))
    clock.time = START + HOUR
    for number in (2, 40):
        put(house, *(replace(SECOND, name=f"m{one}") for one in range(number)))
        one.step()  # Reads the definitions that are new.
        statements.clear()
        one.step()
        counts.append(len(statements))

    assert counts[0] == counts[1] <= 2


@pytest.mark.parametrize(
    ("backend", "seed"),
    [
        *(("sqlite", seed) for seed in range(3)),
        pytest.param("postgresql", 1, marks=pytest.mark.postgres),
    ],
)
def test_whatever_depends_on_what_each_window_is_run_once_and_never_before(
    house, scheduler, clock, seed
) -> None:
    """Random graphs, schedules, delays and priorities; two schedulers, and some that die."""
    rng = random.Random(seed)
    graph: dict[str, MonitorDefinition] = {}
    for number in range(7):
        others = rng.sample(sorted(graph), rng.randint(0, min(2, number)))
        one = replace(
            FIRST, name=f"{rng.choice('abc')}{number}", depends_on=tuple(others),
            schedule=rng.choice([HOURLY, "rate(30 minutes)", "rate(3 hours)", "rate(50 minutes)"]),
            delay_s=rng.choice([0, 0, 900.0]), priority=rng.choice([-1, 0, 5]),
            baseline="none" if number == 0 and seed % 2 else "b",
        )  # fmt: skip
        graph[one.name] = one
    put(house, *rng.sample(list(graph.values()), len(graph)))
    both, ran = [scheduler(), scheduler()], []

    for _ in range(14):
        clock.time += timedelta(minutes=rng.choice([5, 20, 45, 60]))
        if rng.random() < 0.5:
            with house.connect() as connection:
                state = rng.choice(list_states(connection))
            lease.take(house, state, "killed", clock.time)  # Runs out when the clock moves on.
        ran += rng.choice(both).step()
    clock.time += timedelta(minutes=6)
    ran += until_still(both[0])

    results: dict[tuple[str, Window], str] = {}
    for one in ran:
        for other in map(graph.get, graph[one.monitor].depends_on):
            before = due_windows(other.timetable, START, one.window_end)
            ended = [results.get((other.name, window)) for window in before]
            assert None not in ended, f"{one.monitor} {one.window} before {other.name}"
        assert (one.monitor, one.window) not in results
        results[one.monitor, one.window] = one.status
    for one in graph.values():
        due = [*due_windows(one.timetable, START, clock.time - timedelta(seconds=one.delay_s))]
        upstream = [graph[name] for name in one.depends_on]
        free = [w for w in due if all(_has_run(other, w.end, results) for other in upstream)]
        assert [w for w in due if (one.name, w) in results] == free
        for window in free:
            ended = [
                results[other.name, w]
                for other in upstream
                for w in due_windows(other.timetable, START, window.end)
                if w.end > window.start
            ]
            is_bad = one.baseline == "none" or any(status in UNFINISHED for status in ended)
            assert results[one.name, window] == ("Failed" if is_bad else "NoData")


def _has_run(other: MonitorDefinition, until: datetime, results) -> bool:
    return all((other.name, one) in results for one in due_windows(other.timetable, START, until))
