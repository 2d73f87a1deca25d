"""Windows of a past span are run oldest first, once, and page nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import Engine, select

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.baseline import versions
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, get_definition, put_definition
from driftline.monitors.run.backfill import expect_history, missed_windows
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.run.scheduler import Scheduler
from tests.monitors.conftest import DAY, START, weather
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


NEW = MonitorDefinition("daily", endpoint="flights", baseline="flights")
MADE = START + 4 * DAY
SPAN = Window(START, START + 6 * DAY)
ALARM = AlarmDefinition(
    alarm_name="any", namespace="Driftline", metric_name="violations",
    dimensions={"Endpoint": "flights", "MonitoringSchedule": "daily"},
    period=86_400, evaluation_periods=1, threshold=0.5,
    comparison_operator="GreaterThanThreshold",
)  # fmt: skip


@pytest.fixture
def house(engine: Engine, root, reference, append, rng) -> Engine:
    """A monitor that was made on the fifth day; the winds before were out of all bounds."""
    versions.put(root, "flights", reference, lambda: START)
    for day in range(5):
        rows = weather(rng, 60)
        append(day, rows if day == 4 else {**rows, "wind": rows["wind"] - 1000.0})
    with engine.begin() as connection:
        put_definition(connection, NEW, MADE)
        put_alarm(connection, ALARM, MADE)
    return engine


def missed(house, root, *, again: bool = False):
    with house.connect() as connection:
        definition = get_definition(connection, "daily")
    return missed_windows(house, root, definition, SPAN, again=again)


def run_all(house, root, reference, windows) -> list[str]:
    with house.connect() as connection:
        definition = get_definition(connection, "daily")
    jobs = [
        Job(house, root, definition, one, now=lambda: MADE, signature=reference.signature)
        for one in windows
    ]
    return [run(job).status for job in jobs]


def days(windows) -> list[int]:
    return [(one.start - START) // DAY for one in windows]


def test_windows_that_the_schedule_has_passed_are_missed_until_they_were_run(
    house, root, reference
) -> None:
    before = missed(house, root)
    run_all(house, root, reference, before.windows[:3])
    after = missed(house, root)

    assert (days(before.windows), before.ran_count, before.live_count) == ([0, 1, 2, 3], 0, 2)
    assert (days(after.windows), after.ran_count, after.live_count) == ([3], 3, 2)
    assert days(missed(house, root, again=True).windows) == [0, 1, 2, 3]


@pytest.mark.parametrize("expects", [True, False])
def test_an_alarm_that_has_judged_nothing_yet_does_not_judge_what_is_backfilled(
    house, root, reference, expects: bool
) -> None:
    time = MADE

    def now() -> datetime:
        return time

    evaluator = Evaluator(house, now=now)
    if expects:
        expect_history(house, NEW)
    assert "CompletedWithViolations" in run_all(house, root, reference, missed(house, root).windows)
    evaluator.step()
    with house.connect() as connection:
        state = get_alarm(connection, "any").state
    time = MADE + DAY
    Scheduler(house, root, lambda _: reference.signature, now=now).step()
    evaluator.step()

    # Without being told, it would have paged for the windows of before.
    assert state == ("INSUFFICIENT_DATA" if expects else "ALARM")
    with house.connect() as connection:
        assert get_alarm(connection, "any").state == "OK"
        assert len(connection.execute(select(tables.executions)).all()) == 5


def test_a_span_of_too_many_windows_is_refused(house, root) -> None:
    definition = replace(NEW, schedule="rate(1 minute)")

    with pytest.raises(InputError, match="backfill a part at a time"):
        missed_windows(house, root, definition, Window(START, START + 8 * DAY), again=False)
