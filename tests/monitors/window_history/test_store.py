"""Counts of windows in the database: put, replaced, read for the next window, forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, select

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition, delete_definition, put_definition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.tables import window_counts
from driftline.monitors.window_history.store import Key, forget, put, read
from driftline.stats.day_scores import DaySums
from tests.monitors.conftest import DAY, START
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
KEY = Key.of(DEFINITION, "v1")
IDS = {"temp": "t1", "origin": "o1"}


def window(day: int, count: int = 5, *, days: int = 1) -> WindowCounts:
    start = START + day * DAY
    cells = {"temp": np.array([count, 0, 1]), "origin": np.array([count, 1])}
    return WindowCounts(start, start + days * DAY, count + 1, cells)


def starts(found: tuple[WindowCounts, ...]) -> list[int]:
    return [(one.start - START) // DAY for one in found if one.start is not None]


@pytest.fixture
def connection(engine: Engine):
    with engine.begin() as connection:
        yield connection


def test_windows_come_back_in_order_of_time_as_they_were(connection: Connection) -> None:
    for day in (2, 0, 1):
        put(connection, KEY, window(day, 10 + day), IDS)

    found = read(connection, KEY, START + 3 * DAY, IDS)

    assert starts(found) == [0, 1, 2]
    assert [one.row_count for one in found] == [11, 12, 13]
    assert found[2].end == START + 3 * DAY
    assert {name: counts.tolist() for name, counts in found[2].cells.items()} == {
        "origin": [12, 1],
        "temp": [12, 0, 1],
    }


def test_only_the_last_ones_before_the_moment_are_read(connection: Connection) -> None:
    for day in range(6):
        put(connection, KEY, window(day), IDS)

    assert starts(read(connection, KEY, START + 5 * DAY, IDS, limit=2)) == [3, 4]
    assert starts(read(connection, KEY, START + 5 * DAY, IDS, since=START + DAY)) == [1, 2, 3, 4]
    assert read(connection, KEY, START, IDS) == ()


def test_a_window_that_is_judged_anew_has_its_counts_replaced(connection: Connection) -> None:
    put(connection, KEY, window(0, 5), IDS)
    put(connection, KEY, window(0, 9), IDS)

    (found,) = read(connection, KEY, START + DAY, IDS)

    assert found.row_count == 10


def test_rows_of_overlapping_windows_count_once(connection: Connection) -> None:
    put(connection, KEY, window(0, days=2), IDS)
    put(connection, KEY, window(1), IDS)
    put(connection, KEY, window(2), IDS)

    assert starts(read(connection, KEY, START + 3 * DAY, IDS)) == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        {"endpoint": "trains"},
        {"schedule": "cron(0 * ? * * *)"},
        {"time_zone": "Europe/Berlin"},
        {"preprocess": "rows.py"},
    ],
)
def test_rows_of_another_source_are_not_mixed_in(connection: Connection, other) -> None:
    put(connection, KEY, window(0), IDS)
    changed = Key.of(replace(DEFINITION, **other), "v1")

    assert read(connection, changed, START + DAY, IDS) == ()


def test_a_newer_baseline_knows_what_was_counted_on_the_same_cells(connection: Connection) -> None:
    put(connection, KEY, window(0), IDS)
    newer = Key.of(DEFINITION, "v2")

    (found,) = read(connection, newer, START + DAY, {**IDS, "temp": "t2"})

    assert sorted(found.cells) == ["origin"]
    assert found.row_count == 6


def test_a_column_that_the_baseline_has_no_cells_of_is_known_by_its_version(
    connection: Connection,
) -> None:
    put(connection, KEY, window(0), IDS)

    (same,) = read(connection, KEY, START + DAY, {"temp": "t1"})
    (newer,) = read(connection, Key.of(DEFINITION, "v2"), START + DAY, {"temp": "t1"})

    assert sorted(same.cells) == ["origin", "temp"]
    assert sorted(newer.cells) == ["temp"]


def test_old_windows_are_forgotten_but_for_those_that_are_saved(connection: Connection) -> None:
    for day in range(6):
        put(connection, KEY, window(day), IDS)

    count = forget(connection, "daily", START + 4 * DAY, save=Window(START + DAY, START + 3 * DAY))

    assert count == 2
    assert starts(read(connection, KEY, START + 6 * DAY, IDS)) == [1, 2, 4, 5]


def test_what_a_monitor_remembers_goes_with_it(connection: Connection) -> None:
    now = datetime.fromisoformat("2024-02-01T00:00:00+00:00")
    put_definition(connection, DEFINITION, now)
    put(connection, KEY, window(0), IDS)
    put(connection, replace(KEY, monitor="other"), window(0), IDS)

    delete_definition(connection, "daily", now)

    left = connection.execute(select(window_counts.c.monitor)).scalars().all()
    assert left == ["other"]


def test_scores_of_days_serve_the_version_of_the_baseline_that_they_were_made_with(
    connection: Connection,
) -> None:
    days = DaySums(np.array([20_000]), np.array([[1.5, 0.25]]), np.array([[24.0, 23.0]]))
    put(connection, KEY, replace(window(0), days={"temp": days}), IDS)

    (same,) = read(connection, KEY, START + DAY, IDS)
    (other,) = read(connection, replace(KEY, baseline_version="v2"), START + DAY, IDS)

    assert same.days["temp"].sums.tolist() == [[1.5, 0.25]]
    assert same.days["temp"].rows.tolist() == [[24.0, 23.0]]
    assert other.days == {}
    assert sorted(other.cells) == ["origin", "temp"]
