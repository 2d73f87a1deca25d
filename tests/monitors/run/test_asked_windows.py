"""Windows that somebody asks a scheduler to run: once, in order, whoever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from driftline.baseline import versions
from driftline.capture.windows.window import Window
from driftline.errors import UnavailableError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run import scheduler as module
from driftline.monitors.run.cancel import cancel
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.window_queue import claim, put, remove, request, requested
from tests.monitors.conftest import DAY, START, weather
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START + 2 * DAY)
NOW = START + 3 * DAY
FIRST, SECOND = Window(START, START + DAY), Window(START + DAY, START + 2 * DAY)
HALF = Window(START, START + DAY / 2)


@pytest.fixture
def house(engine: Engine, root, reference, append, rng) -> Engine:
    """Three captured days, of which the monitor's schedule begins with the third."""
    versions.put(root, "flights", reference, lambda: START)
    with engine.begin() as connection:
        put_definition(connection, DAILY, NOW)
    for day in range(3):
        append(day, weather(rng, 60))
    return engine


def wish(engine: Engine, *windows: Window, now: datetime = NOW) -> None:
    with engine.begin() as connection:
        request(connection, "daily", windows, by="ada", now=now)


def waiting(engine: Engine):
    with engine.connect() as connection:
        return requested(connection, ["daily"], 100)[0]


@pytest.fixture
def scheduler(house, root, reference):
    return Scheduler(house, root, lambda _: reference.signature, now=lambda: NOW)


def ran(scheduler: Scheduler) -> list[Window]:
    return [one.window for one in scheduler.step()]


def queued(engine: Engine) -> list[tuple[Window, str, str]]:
    columns = tables.windows.c
    with engine.connect() as connection:
        rows = connection.execute(select(tables.windows).order_by(columns.window_start))
        return [
            (Window(row.window_start, row.window_end), row.reason, row.added_by) for row in rows
        ]


@pytest.mark.parametrize("is_planned_first", [True, False])
def test_a_request_that_is_taken_back_leaves_the_schedules_own_window(
    house, scheduler, is_planned_first: bool
) -> None:
    due = Window(NOW - DAY, NOW)
    if not is_planned_first:
        wish(house, due)
    with house.begin() as connection:
        put(connection, "daily", [due], tables.SCHEDULED, at=NOW)
    if is_planned_first:
        wish(house, due)
    assert queued(house) == [(due, tables.SCHEDULED, "ada")]

    cancel(house, DAILY, due, by="ada", now=NOW)

    assert queued(house) == [(due, tables.SCHEDULED, "")]
    assert ran(scheduler) == [due]


def test_a_window_that_is_asked_for_while_it_is_run_is_run_again(house, scheduler) -> None:
    wish(house, FIRST)
    assert claim(house, "daily", "me", NOW) is not None
    with house.begin() as connection:
        request(connection, "daily", [FIRST], by="bob", now=NOW)
        remove(connection, "daily", FIRST, "me")

    assert [one.added_by for one in waiting(house)] == ["bob"]
    assert FIRST in ran(scheduler)
    assert waiting(house) == []


def test_another_schedule_leaves_windows_that_are_asked_for_or_have_changed(house) -> None:
    due = Window(NOW - DAY, NOW)
    with house.begin() as connection:
        put(connection, "daily", [due], tables.SCHEDULED, at=NOW)
        put(connection, "daily", [FIRST], tables.CHANGED, at=NOW)
    wish(house, due)

    with house.begin() as connection:
        put_definition(connection, replace(DAILY, schedule="cron(0 12 ? * * *)"), NOW)

    assert queued(house) == [(FIRST, tables.CHANGED, ""), (due, tables.REQUESTED, "ada")]


def test_windows_that_are_asked_for_are_run_behind_those_that_are_due(house, scheduler) -> None:
    wish(house, SECOND, FIRST, HALF)
    wish(house, FIRST)

    first, then = ran(scheduler), ran(scheduler)

    assert first == [Window(NOW - DAY, NOW), HALF, FIRST, SECOND]
    assert (then, waiting(house)) == ([], [])
    with house.connect() as connection:
        assert connection.scalar(select(tables.positions.c.planned_until)) == NOW


def test_a_window_that_cannot_be_run_is_kept_with_the_reason_and_tried_again(
    house, scheduler, monkeypatch
) -> None:
    def refuse(_job):
        raise UnavailableError("the store does not answer")

    scheduler.step()
    wish(house, FIRST, SECOND)
    with monkeypatch.context() as patch:
        patch.setattr(module, "run", refuse)
        assert ran(scheduler) == []
    (kept, _) = waiting(house)
    at_once = ran(scheduler)  # The first rests, the second need not.
    wish(house, FIRST)  # Whoever asks again does not wait.

    assert (kept.window, kept.attempts, kept.failure_reason, kept.added_by) == (
        FIRST, 1, "the store does not answer", "ada",
    )  # fmt: skip
    assert kept.next_attempt_at == NOW + timedelta(seconds=scheduler.poll_s)
    assert (at_once, ran(scheduler)) == ([SECOND], [FIRST])


def test_a_cancelled_window_is_run_again_when_it_is_asked_for(house, scheduler) -> None:
    cancel(house, DAILY, Window(NOW - DAY, NOW), by="ada", now=NOW)
    scheduler.step()
    wish(house, Window(NOW - DAY, NOW))

    (again,) = scheduler.step()

    assert again.status == "Completed"
