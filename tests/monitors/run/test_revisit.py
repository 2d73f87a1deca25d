"""Windows that late records or labels belong to are judged again, and no others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from sqlalchemy import Engine, delete, select

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.labels.labels import label_folder
from driftline.capture.labels.labels import put as put_labels
from driftline.capture.spool.frame import Flag
from driftline.capture.windows.window import Window
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution
from driftline.monitors.run import scheduler
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.window_queue import request
from tests.clock import Clock
from tests.monitors.conftest import DAY, START, Append, weather
from tests.servers.postgres import both_in_full
from tests.together import together

DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)
REVISIT_S = 300.0
RESTED = timedelta(seconds=REVISIT_S)
DIMENSIONS = {"Endpoint": "flights", "MonitoringSchedule": "daily"}


@pytest.fixture
def clock() -> Clock:
    """Three days are over."""
    return Clock(START + 3 * DAY)


@pytest.fixture
def house(engine: Engine, root: str, reference: Baseline, append: Append, rng) -> Engine:
    versions.put(root, "flights", reference, lambda: START)
    for day in range(3):
        append(day, weather(rng, 60))
    with engine.begin() as connection:
        put_definition(connection, DAILY, START)
    return engine


@pytest.fixture
def late(append: Append, rng) -> Callable[[int], None]:
    """Store sixty more records of a day, by another spool; their winds are out of all bounds."""
    count = 0

    def put(day: int) -> None:
        nonlocal count
        count += 60
        rows = weather(rng, 60)
        append(day, {**rows, "wind": rows["wind"] - 1000.0}, spool="late", first=count)

    return put


@pytest.fixture
def one(house: Engine, root: str, reference: Baseline, clock: Clock) -> Scheduler:
    """A scheduler that has run the three days."""
    made = Scheduler(house, root, lambda _: reference.signature, now=clock, revisit_s=REVISIT_S)
    assert days(made.step()) == [0, 1, 2]
    return made


def days(ran: list[Execution]) -> list[int]:
    return [(one.window_start - START) // DAY for one in ran]


def executions_of(engine: Engine, day: int) -> list[tuple[bool, int]]:
    query = select(tables.executions).where(tables.executions.c.window_start == START + day * DAY)
    with engine.connect() as connection:
        found = connection.execute(query.order_by(tables.executions.c.row_count)).all()
    return [(row.is_current, row.row_count) for row in found]


def test_the_window_of_late_records_is_judged_again_and_no_other(one, house, late) -> None:
    late(1)

    again = one.step()

    assert days(again) == [1]
    assert again[0].row_count == 120
    assert again[0].violation_count > 0
    assert executions_of(house, 1) == [(False, 60), (True, 120)]
    assert executions_of(house, 0) == [(True, 60)]
    assert one.step() == []


@both_in_full
def test_what_comes_in_the_first_moments_of_a_run_by_hand_is_judged_too(
    house, root, reference, late, clock, append, rng
) -> None:
    """Day 1 lies before the monitor's first window, so that only a run by hand judges it."""
    mine = replace(DAILY, name="mine", start=None)
    with house.begin() as connection:
        connection.execute(delete(tables.definitions))
        put_definition(connection, mine, clock())
    append(3, weather(rng, 60))
    clock.time += DAY
    looking = Scheduler(
        house, root, lambda _: reference.signature, now=clock, revisit_s=0.0,
        lease_clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    assert days(looking.step()) == [3]

    def after_the_rows_were_read() -> datetime:
        late(1)
        assert looking.step() == []
        return clock()

    window = Window(START + DAY, START + 2 * DAY)
    by_hand = run(
        Job(house, root, mine, window, now=after_the_rows_were_read, signature=reference.signature)
    )
    again = looking.step()

    assert (by_hand.row_count, days(again)) == (60, [1])
    assert again[0].row_count == 120


@both_in_full
def test_a_window_is_judged_again_once_in_a_while_however_often_it_is_touched(
    one, late, clock
) -> None:
    late(1)
    first = one.step()
    late(1)
    clock.time += RESTED / 2
    too_soon = one.step()
    late(2)
    clock.time += RESTED / 2

    later = one.step()

    assert days(first) == [1]
    assert too_soon == []
    assert days(later) == [1, 2]
    assert [found.row_count for found in later] == [180, 120]


@both_in_full
def test_what_one_scheduler_leaves_another_finishes(
    one, house, root, reference, clock, late, monkeypatch
) -> None:
    monkeypatch.setattr(scheduler, "WINDOWS_PER_TURN", 2)
    for day in range(3):
        late(day)
    first = one.step()
    other = Scheduler(house, root, lambda _: reference.signature, now=clock, revisit_s=REVISIT_S)

    assert days(first) == [0, 1]
    assert days(other.step()) == [2]


@both_in_full
def test_two_schedulers_judge_each_touched_window_again_once(
    one, house, root, reference, clock, late
) -> None:
    for day in range(3):
        late(day)
    other = Scheduler(house, root, lambda _: reference.signature, now=clock, revisit_s=REVISIT_S)

    first, second = together(one.step, other.step)

    assert sorted(days(first + second)) == [0, 1, 2]
    assert [executions_of(house, day) for day in range(3)] == [[(False, 60), (True, 120)]] * 3


def test_a_changed_definition_judges_touched_windows_by_what_it_says_now(
    one, house, late, clock
) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, false_alarms_per_year=2.0), START)
    late(1)

    (again,) = one.step()

    assert again.definition_version == 2


@both_in_full
def test_a_new_schedule_judges_only_windows_that_it_has_run_itself(one, house, late) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, schedule="cron(0 12 ? * * *)"), START)
    late(1)

    assert one.step() == []


@pytest.mark.parametrize(("kind", "expected"), [("data-quality", []), ("model-quality", [1])])
def test_labels_touch_the_windows_of_kinds_that_need_them(
    house, root, reference, clock, kind, expected
) -> None:
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, kind=kind), START)
    looking = Scheduler(house, root, lambda _: reference.signature, now=clock, revisit_s=REVISIT_S)
    first = looking.step()
    labels = pa.table(
        {"key": [f"a-{1_000_000 + number}" for number in range(5)], "label": ["1"] * 5}
    )
    put_labels(root, "flights", labels, lambda: START + 3 * DAY)

    assert days(first) == [0, 1, 2]
    assert days(looking.step()) == expected


def test_ground_truth_files_are_loaded_before_a_run_and_later_on(
    house, root, reference, clock, tmp_path
):
    place = tmp_path / "truth"
    quality = replace(DAILY, name="quality", kind="model-quality", labels=str(place))
    with house.begin() as connection:
        put_definition(connection, quality, START)

    def upload(name: str, moment: datetime) -> None:
        file = place / f"{moment:%Y/%m/%d/%H}/{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        data = {"groundTruthData": {"data": "1", "encoding": "CSV"}}
        file.write_text(json.dumps({**data, "eventMetadata": {"eventId": name}}))
        os.utime(file, (moment.timestamp(), moment.timestamp()))

    def loaded() -> set[str]:
        rows = label_folder(root, "flights").catch_up().open()
        return set() if rows is None else set(rows.to_table()["key"].to_pylist())

    looking = Scheduler(house, root, lambda _: reference.signature, now=clock, revisit_s=REVISIT_S)
    upload("first", clock() - timedelta(hours=1))
    looking.step()
    before = loaded()
    clock.advance(seconds=REVISIT_S)
    upload("second", clock() - timedelta(hours=1))
    looking.step()
    with house.begin() as connection:  # A window that the schedule has not.
        asked = Window(START - 30 * DAY, START - 29 * DAY)
        request(connection, "quality", [asked], by="ada", now=clock())
    upload("third", asked.start)
    clock.advance(seconds=1)
    looking.step()

    assert (before, loaded()) == ({"first"}, {"first", "second", "third"})


def test_the_one_run_of_now_waits_for_requests_that_nobody_could_decode_before(
    house, root, reference, clock, append, rng
):
    append(5, {**weather(rng, 60), "flags": [int(Flag.REQUEST_UNPARSED)] * 60})
    clock.advance(days=3)
    with house.begin() as connection:
        put_definition(connection, replace(DAILY, name="now", schedule="NOW(-P1D/)"), clock())
        connection.execute(delete(tables.definitions).where(tables.definitions.c.name == "daily"))
    looking = Scheduler(house, root, lambda _: reference.signature, now=clock)

    clock.advance(seconds=60)
    early = looking.step()
    clock.advance(seconds=180)
    late = looking.step()

    assert early == []
    assert [one.status for one in late] == ["Failed"]
    assert "none of 60 captured requests could be decoded" in (late[0].failure_reason or "")


@pytest.fixture
def alarm(house: Engine, clock: Clock) -> Callable[[], str]:
    """An alarm on any violation; gives its state after one evaluation."""
    definition = AlarmDefinition(
        alarm_name="any", namespace="Driftline", metric_name="violations", dimensions=DIMENSIONS,
        period=86_400, evaluation_periods=1, threshold=0.5,
        comparison_operator="GreaterThanThreshold",
    )  # fmt: skip
    with house.begin() as connection:
        put_alarm(connection, definition, START)
    evaluator = Evaluator(house, now=clock)

    def state() -> str:
        evaluator.step()
        with house.connect() as connection:
            return get_alarm(connection, "any").state

    return state


@both_in_full
def test_another_verdict_on_the_newest_window_reaches_the_alarm(alarm, one, late) -> None:
    before = alarm()
    late(2)
    one.step()

    assert (before, alarm()) == ("OK", "ALARM")
