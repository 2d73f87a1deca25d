"""Sums of windows in the database: kept beside counts, read for the next window, forgotten."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.window_history.store import put, read
from driftline.monitors.window_history.sums import clear_sums, put_sums, read_sums
from tests.monitors.conftest import DAY, START
from tests.monitors.window_history.test_store import IDS, KEY
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connection(engine: Engine):
    with engine.begin() as connection:
        yield connection


def window(day: int, *, days: int = 1, p_value: float = np.nan) -> WindowSums:
    start = START + day * DAY
    buckets = np.array([[day, 1.0], [0.25, 3.0], [0.0, 0.0]])
    return WindowSums(start, start + days * DAY, buckets, "recall", p_value)


def test_the_newest_windows_come_back_by_group_and_older_ones_as_totals(
    connection: Connection,
) -> None:
    for day in range(20):
        put_sums(connection, KEY, window(day, p_value=day / 100), 5)

    found = read_sums(connection, KEY, START + 20 * DAY, DAY)

    assert [(one.start - START) // DAY for one in found] == [*range(20)]
    assert [one.buckets.shape for one in found] == [(1, 2)] * 4 + [(3, 2)] * 16
    assert found[2].buckets.tolist() == [[2.25, 4.0]]
    assert found[19].buckets.tolist() == window(19).buckets.tolist()
    assert (found[19].layout, found[19].p_value) == ("recall", 0.19)


def test_sums_of_large_numbers_come_back_to_the_last_digit(connection: Connection) -> None:
    buckets = np.array([[1e9 + 1.0, 2e40], [0.0, 1e300 / 3.0]])  # float32 ends at 3.4e38.
    put_sums(connection, KEY, WindowSums(START, START + DAY, buckets), 5)

    [found] = read_sums(connection, KEY, START + DAY, DAY)

    assert found.buckets.tolist() == buckets.tolist()


def test_other_lengths_and_windows_to_come_are_left_out(connection: Connection) -> None:
    put_sums(connection, KEY, window(0), 5)
    put_sums(connection, KEY, window(1, days=2), 5)
    put_sums(connection, KEY, window(3), 5)

    found = read_sums(connection, KEY, START + 3 * DAY, DAY)

    assert [(one.start - START) // DAY for one in found] == [0]
    assert np.isnan(found[0].p_value)


def test_a_window_has_counts_and_sums_until_its_rows_are_erased(connection: Connection) -> None:
    start, end = START, START + DAY
    put(connection, KEY, WindowCounts(start, end, 5, {"temp": np.array([4, 1])}), IDS)
    put_sums(connection, KEY, window(0), 5)
    assert len(read_sums(connection, KEY, end, DAY)) == len(read(connection, KEY, end, IDS)) == 1

    clear_sums(connection, KEY.monitor, start, end)

    assert not read_sums(connection, KEY, end, DAY)
    assert len(read(connection, KEY, end, IDS)) == 1
