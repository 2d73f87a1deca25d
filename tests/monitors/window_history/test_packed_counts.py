"""Counts of a window as bytes come back as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts
from driftline.monitors.window_history.store import pack, put, read, unpack
from driftline.stats.day_scores import DaySums
from tests.monitors.conftest import DAY, START
from tests.monitors.window_history.test_store import KEY

COUNT = st.integers(0, 2**62)


@given(st.dictionaries(st.text(max_size=5), st.lists(COUNT, max_size=6), max_size=4))
def test_what_is_unpacked_is_what_was_packed(cells: dict[str, list[int]]) -> None:
    arrays = {name: np.array(counts, np.int64) for name, counts in cells.items()}
    counts = WindowCounts(None, None, 0, arrays)

    found = unpack(pack(counts, {name: f"id of {name}" for name in cells}))

    assert {name: one[:2] for name, one in found.items()} == {
        name: [f"id of {name}", counts] for name, counts in cells.items()
    }


def test_last_runs_and_scores_of_days_come_back_beside_the_counts(engine: Engine) -> None:
    cells = {"a": np.array([1, 2]), "b": np.array([3]), "c": np.array([4])}
    of_a = DaySums(np.array([-3, 20_000]), np.array([[1.5, -2.25]] * 2), np.full((2, 2), 24.0))
    of_c = DaySums(np.array([7]), np.array([[0.5]]), np.array([[300.0]]))
    runs, days = {"b": LastRun(1, 7)}, {"c": of_c, "a": of_a}

    with engine.begin() as connection:
        ids = {name: f"id of {name}" for name in cells}
        put(connection, KEY, WindowCounts(START, START + DAY, 7, cells, runs, days), ids)
        (found,) = read(connection, KEY, START + DAY, ids)

    assert found.last_runs == runs
    assert {name: one.tolist() for name, one in found.cells.items()} == {
        "a": [1, 2],
        "b": [3],
        "c": [4],
    }
    assert all(one.dtype == np.int64 for one in found.cells.values())
    assert sorted(found.days) == ["a", "c"]
    for name, one in days.items():
        for part in ("days", "sums", "rows"):
            assert getattr(found.days[name], part).tolist() == getattr(one, part).tolist()
