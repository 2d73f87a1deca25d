"""Counts of a window as bytes: back as they were, small, refused when they are of another kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.monitors.drift_test.window_counts import LastRun, WindowCounts
from driftline.monitors.window_history.store import Layout, pack, unpack
from driftline.stats.day_scores import DaySums

COUNT = st.integers(0, 2**62)


def window(cells: dict[str, list[int]]) -> tuple[WindowCounts, Layout]:
    arrays = {name: np.array(counts, np.int64) for name, counts in cells.items()}
    runs = {name: LastRun(len(counts), 7) for name, counts in cells.items() if counts}
    counts = WindowCounts(None, None, 0, arrays, runs)
    return counts, Layout.of(counts, {name: f"id of {name}" for name in cells})


@given(st.dictionaries(st.text(max_size=5), st.lists(COUNT, max_size=6), max_size=4))
def test_what_is_unpacked_is_what_was_packed(cells: dict[str, list[int]]) -> None:
    counts, layout = window(cells)

    found, runs, *_ = unpack(pack(counts, layout), layout)

    assert {name: one.tolist() for name, one in found.items()} == cells
    assert all(one.dtype == np.int64 for one in found.values())
    assert runs == counts.last_runs


@pytest.mark.parametrize("greatest", [255, 256, 65_535, 65_536, 2**32 - 1, 2**32])
def test_a_count_at_the_edge_of_a_width_is_not_cut(greatest: int) -> None:
    counts, layout = window({"a": [0, greatest]})

    assert unpack(pack(counts, layout), layout)[0]["a"].tolist() == [0, greatest]


def test_the_scores_of_days_come_back_beside_the_counts() -> None:
    counts, layout = window({"a": [1, 2], "b": [3], "c": [4]})
    of_a = DaySums(np.array([-3, 20_000]), np.array([[1.5, -2.25]] * 2), np.full((2, 2), 24.0))
    of_c = DaySums(np.array([7]), np.array([[0.5]]), np.array([[300.0]]))

    cells, _, days, *_ = unpack(pack(replace(counts, days={"c": of_c, "a": of_a}), layout), layout)

    assert {name: cell.tolist() for name, cell in cells.items()} == {
        "a": [1, 2],
        "b": [3],
        "c": [4],
    }
    assert sorted(days) == ["a", "c"]
    for name, one in {"a": of_a, "c": of_c}.items():
        assert days[name].days.tolist() == one.days.tolist()
        assert days[name].sums.tolist() == one.sums.tolist()
        assert days[name].rows.tolist() == one.rows.tolist()
