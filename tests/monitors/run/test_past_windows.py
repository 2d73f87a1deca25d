"""Runs remember what they counted, and the next window is judged together with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, update

from driftline.baseline import store as baselines
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import PastWindows
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.data_quality.day_checks import windows_before
from driftline.monitors.run import captured_window, execution
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.past_windows import cell_ids, read_history, read_told
from driftline.monitors.tables import executions
from driftline.monitors.window_history.store import Key, put, read
from driftline.stats.day_scores import DaySums
from tests.monitors.conftest import DAY, START, Append, weather
from tests.servers.postgres import both_databases

HOUR = timedelta(hours=1)
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")


def clock() -> datetime:
    return datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


@pytest.fixture
def judge(engine: Engine, root: str, reference: Baseline):
    baselines.put(root, "flights", reference, clock)

    def one(day: int, definition: MonitorDefinition = DEFINITION, **options) -> Execution:
        window = Window(START + day * DAY, START + (day + 1) * DAY)
        return run(Job(
            engine, root, definition, window,
            now=clock, signature=reference.signature, **options,
        ))  # fmt: skip

    return one


@pytest.fixture
def remembered(engine: Engine, reference: Baseline):
    def read_all() -> list[tuple[int, int]]:
        key = Key.of(DEFINITION, reference.version)
        with engine.connect() as connection:
            found = read(connection, key, START + 99 * DAY, cell_ids(reference))
        return [((one.start - START) // DAY, one.row_count) for one in found if one.start]

    return read_all


@pytest.fixture
def connection(engine: Engine):
    with engine.begin() as connection:
        yield connection


@pytest.mark.parametrize(("count", "sums"), [(512, [64] * 7), (384, [64] * 2), (383, []), (64, [])])
def test_where_a_long_span_of_hours_ends_the_days_of_all_its_windows_are_read(
    connection: Connection, reference: Baseline, count: int, sums: list[int]
) -> None:
    begin = EPOCH + 512 * 900 * HOUR  # Where spans of all lengths begin.
    kept = sorted(set(range(count - 1)) - {count - 3, count - 70})
    for at in kept:
        start = begin + at * HOUR
        days = DaySums(np.array([(start - EPOCH) // DAY]), np.ones((1, 1)), np.ones((1, 1)))
        cells = {"temp": np.array([7])}
        one = WindowCounts(start, start + HOUR, 7, cells, {}, {"temp": days})
        put(connection, Key.of(DEFINITION, reference.version), one, cell_ids(reference))
    window = Window(begin + (count - 1) * HOUR, begin + count * HOUR)

    found = read_history(connection, DEFINITION, reference, window, row_count=7, annotations=())

    expected = [*sums[:-1], *(one - 1 for one in sums[-1:])]
    assert [int(one.days["temp"].sums.sum()) for one in found.days] == expected
    assert [one.row_count for one in found.days] == [7 * one for one in expected]
    before = windows_before(PastWindows(found.counts, days=found.days))
    counted = [hour for one in before for hour in one.days["temp"].sums.ravel().tolist()]
    own = 62 if sums else min(len(kept), 63)  # With those in `days` none counts twice.
    assert sum(counted) == sum(expected) + own


@both_databases
def test_a_judged_window_is_remembered_with_its_execution(
    judge, engine: Engine, reference: Baseline, append: Append, rng
) -> None:
    rows = weather(rng, 300)
    append(0, rows)

    judge(0)

    key = Key.of(DEFINITION, reference.version)
    with engine.connect() as connection:
        (found,) = read(connection, key, START + DAY, cell_ids(reference))
    assert (found.start, found.end, found.row_count) == (START, START + DAY, 300)
    assert sorted(found.cells) == sorted(rows)
    levels = reference.cells["origin"].levels
    counted = [int(np.sum(rows["origin"] == level)) for level in levels]
    assert found.cells["origin"][: len(levels)].tolist() == counted


def test_the_windows_before_are_handed_to_the_judgement_in_order(
    judge, append: Append, rng, monkeypatch
) -> None:
    seen: list[list[int]] = []
    judged = captured_window.evaluate_captured

    def spy(*arguments, past, **options):
        seen.append([(one.start - START) // DAY for one in past.counts])
        return judged(*arguments, past=past, **options)

    monkeypatch.setattr(execution, "evaluate_captured", spy)
    for day in range(4):
        append(day, weather(rng, 60))
    for day in (0, 2, 1, 3):
        judge(day)

    assert seen == [[], [0], [0], [0, 1, 2]]


def test_a_window_of_late_rows_is_remembered_anew(judge, append: Append, rng, remembered) -> None:
    append(0, weather(rng, 60))
    append(1, weather(rng, 60))
    judge(0)
    judge(1)
    append(0, weather(rng, 40), spool="late")

    judge(0)

    assert remembered() == [(0, 100), (1, 60)]


@both_databases
def test_a_window_without_rows_is_not_remembered(judge, remembered) -> None:
    assert judge(0).status == "NoData"
    assert remembered() == []


def test_counts_go_when_the_rows_do_but_not_before_the_longest_span_can_miss_them(
    judge, append: Append, rng, remembered
) -> None:
    for day in (0, 10, 70):
        append(day, weather(rng, 60))
        judge(day, retention=timedelta(days=1))

    # The longest span is 64 windows: of day 70, those that end after day 7.
    assert remembered() == [(10, 60), (70, 60)]


def test_what_sagemaker_is_asked_for_remembers_nothing(
    judge, append: Append, rng, remembered
) -> None:
    append(0, weather(rng, 60))
    judge(0, replace(DEFINITION, compat=True))

    assert remembered() == []


def test_the_same_past_gives_the_same_report(judge, root: str, append: Append, rng) -> None:
    windows = [weather(rng, 80) for _ in range(5)]
    for day, rows in enumerate(windows):
        append(day, rows)
    live = [judge(day) for day in range(5)]
    again = MonitorDefinition("filled", endpoint="flights", baseline="flights")

    filled = [judge(day, again) for day in range(5)]

    def documents(found: list[Execution]) -> list[str]:
        return [Path(root, one.folder, "report.json").read_text() for one in found]

    assert documents(filled) == documents(live)


def test_a_window_of_a_lifetime_reaches_back_no_further_than_times_do(
    engine: Engine, root: str, reference: Baseline, append: Append, rng
) -> None:
    baselines.put(root, "flights", reference, clock)
    append(0, weather(rng, 60))
    window = Window(datetime(1985, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC))

    found = run(Job(engine, root, DEFINITION, window, now=clock, signature=reference.signature))

    assert found.row_count == 60


def broken(rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = weather(rng, 300)
    return {**values, "wind": values["wind"] * 1000}


@pytest.fixture
def told(engine: Engine, reference: Baseline):
    def read_day(
        day: int, version: str = reference.version, *, length: timedelta = DAY, **fields: object
    ) -> int:
        definition = replace(DEFINITION, **fields)
        window = Window(START + day * DAY, START + day * DAY + length)
        with engine.connect() as connection:
            return len(read_told(connection, definition, version, window))

    return read_day


def test_causes_are_remembered_of_one_endpoint_and_one_version_of_its_baseline(
    judge, told, append: Append, rng
) -> None:
    append(0, broken(rng))
    judge(0)

    assert told(1) == 1
    assert told(1, endpoint="trains") == 0
    assert told(1, "another") == 0
    # Twice the longest span of hours, 512 of them.
    assert told(41, length=HOUR, schedule="external") == 1
    assert told(44, length=HOUR, schedule="external") == 0


def test_a_span_that_somebody_asked_for_tells_the_timetable_nothing(
    engine: Engine, root: str, reference: Baseline, told, append: Append, rng
) -> None:
    baselines.put(root, "flights", reference, clock)
    append(0, broken(rng))
    append(1, broken(rng))
    for start, end in ((START, START + DAY / 2), (START + DAY / 2, START + 1.5 * DAY)):
        window = Window(start, end)
        run(Job(engine, root, DEFINITION, window, now=clock, signature=reference.signature))

    assert told(1) == told(2) == 0
    assert told(2, schedule="external") == 2


@both_databases
def test_what_was_told_stays_told_when_its_window_fails_later(
    judge, told, engine: Engine, append: Append, rng
) -> None:
    append(0, broken(rng))
    judge(0)
    with engine.begin() as connection:
        connection.execute(update(executions).values(is_current=False))

    assert told(1) == 1


def test_a_cause_that_an_older_window_brings_up_later_is_still_news(
    judge, told, append: Append, rng
) -> None:
    append(0, weather(rng, 60))
    append(1, weather(rng, 60))
    judge(0)
    judge(1)
    append(0, broken(rng), spool="late")

    assert judge(0).violation_count
    assert told(2) == 0, "no alarm looks back"
    append(2, broken(rng))
    judge(2)
    assert told(3) == 1
