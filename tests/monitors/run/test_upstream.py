"""Windows of monitors that depend on others: run behind those, or not, and then it says why."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors import tables
from driftline.monitors.definitions import (
    DefinitionError,
    MonitorDefinition,
    put_definition,
)
from driftline.monitors.executions import UNFINISHED, Execution
from driftline.monitors.run import lease
from driftline.monitors.run.cancel import cancel
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.status import list_states
from driftline.monitors.run.upstream import why_not_run
from driftline.monitors.schedule import due_windows
from tests.clock import Clock
from tests.servers.postgres import both_in_full

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = "cron(0 * ? * * *)"
FIRST = MonitorDefinition("first", endpoint="e", baseline="b", schedule=HOURLY, start=START)
SECOND = replace(FIRST, name="second", depends_on=("first",))


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


def test_a_reason_names_the_monitor_of_another_endpoint_or_that_cannot_be_read(
    house, scheduler, clock
) -> None:
    unread = replace(SECOND, name="third", depends_on=("gone",))
    put(house, replace(FIRST, endpoint="other", baseline="none"), SECOND, unread)
    clock.time = START + HOUR

    ran = until_still(scheduler())

    assert told(ran) == [("first", 1, "Failed"), ("second", 1, "Failed")]
    assert ran[1].failure_reason.startswith('not run: monitor "first" has Failed for [2024-03-01')
    with house.connect() as connection:
        assert why_not_run(connection, unread, Window(START, START + HOUR)) == (
            "Stopped", 'not run: monitor "gone" cannot be read; backfill it, then this one'
        )  # fmt: skip


# What waits for what is the same on both databases; each is asked once, the cheaper one for all.
@pytest.mark.parametrize(
    ("backend", "schedule"),
    [
        *(("sqlite", one) for one in ("rate(6 hours)", "rate(25 minutes)")),
        pytest.param("postgresql", "rate(6 hours)", marks=[pytest.mark.postgres, pytest.mark.full]),
    ],
)
def test_a_longer_or_shorter_window_waits_for_all_that_end_within_it(
    house, scheduler, clock, schedule
) -> None:
    put(house, FIRST, replace(SECOND, schedule=schedule))
    one = scheduler()
    for minutes in range(20, 13 * 60, 20):
        clock.time = START + timedelta(minutes=minutes)
        done = (clock.time - START) // HOUR
        for execution in until_still(one):
            if execution.monitor == "second":
                assert execution.window_end <= START + (done + 1) * HOUR
                assert execution.status == "NoData"
    with house.connect() as connection:
        begins = {state.definition.name: state.begin for state in list_states(connection)}
    assert begins["first"] == START + 12 * HOUR
    assert begins["second"] >= START + 12 * HOUR - timedelta(minutes=45)


@both_in_full
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


@pytest.mark.parametrize(
    ("backend", "seed"),
    [
        ("sqlite", 0),
        pytest.param("sqlite", 1, marks=pytest.mark.full),
        pytest.param("postgresql", 1, marks=[pytest.mark.postgres, pytest.mark.full]),
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
