"""Runs remember what they counted, and the next window is judged together with it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from driftline.baseline import versions as baselines
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import Execution
from driftline.monitors.run import captured_window, execution
from driftline.monitors.run.past_windows import read_history
from driftline.monitors.window_history.store import Key, put, read
from driftline.stats.day_scores import DaySums
from tests.monitors.conftest import DAY, START, Append, clock, run_day, weather
from tests.servers.postgres import both_in_full

HOUR = timedelta(hours=1)
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")


@pytest.fixture
def judge(engine: Engine, root: str, reference: Baseline):
    baselines.put(root, "flights", reference, clock)

    def one(day: int, definition: MonitorDefinition = DEFINITION, **options) -> Execution:
        return run_day(engine, root, reference, definition, day, **options)

    return one


@pytest.fixture
def remembered(engine: Engine, reference: Baseline):
    def read_all() -> list[tuple[int, int]]:
        key = Key.of(DEFINITION, reference.version)
        with engine.connect() as connection:
            found = read(connection, key, START + 99 * DAY, reference.cell_ids)
        return [((one.start - START) // DAY, one.row_count) for one in found if one.start]

    return read_all


@pytest.fixture
def connection(engine: Engine):
    with engine.begin() as connection:
        yield connection


@pytest.mark.first(3)
@pytest.mark.parametrize(("count", "sums"), [(256, [64] * 3), (255, []), (64, []), (512, [64] * 4)])
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
        put(connection, Key.of(DEFINITION, reference.version), one, reference.cell_ids)
    window = Window(begin + (count - 1) * HOUR, begin + count * HOUR)

    history = read_history(connection, DEFINITION, reference, window, row_count=7, annotations=())
    found = history.past

    expected = [*sums[:-1], *(one - 1 for one in sums[-1:])]
    assert [int(one.days["temp"].sums.sum()) for one in found.days] == expected
    assert [one.row_count for one in found.days] == [7 * one for one in expected]
    before = found.with_days
    counted = [hour for one in before for hour in one.days["temp"].sums.ravel().tolist()]
    own = 62 if sums else min(len(kept), 63)  # With those in `days` none counts twice.
    assert sum(counted) == sum(expected) + own


@both_in_full
def test_a_judged_window_is_remembered_with_its_execution(
    judge, engine: Engine, reference: Baseline, append: Append, rng
) -> None:
    rows = weather(rng, 300)
    append(0, rows)

    judge(0)

    key = Key.of(DEFINITION, reference.version)
    with engine.connect() as connection:
        (found,) = read(connection, key, START + DAY, reference.cell_ids)
    assert (found.start, found.end, found.row_count) == (START, START + DAY, 300)
    assert {*rows} <= {*found.cells}
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


def test_counts_go_when_the_rows_do_but_not_before_the_longest_span_can_miss_them(
    judge, append: Append, rng, remembered
) -> None:
    for day in (0, 10, 70):
        append(day, weather(rng, 60))
        judge(day, retention=timedelta(days=1))

    # The longest span is 64 windows: of day 70, those that end after day 7.
    assert remembered() == [(10, 60), (70, 60)]
