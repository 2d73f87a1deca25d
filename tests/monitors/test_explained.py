"""Selected rows beside the others: what differs comes first, chance is none, and time is kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.predicate import Predicate
from driftline.monitors.explained import FALSE_ALARM, explain
from tests.monitors.conftest import weather


def batches(rows, size: int = 1000):
    return pa.table(rows).to_batches(max_chunksize=size)


def explained(reference, rows, where, **more):
    return explain([(True, batches(rows))], where, reference, **{"within_s": 60.0, **more})


def test_what_tells_the_selected_rows_comes_first_with_its_segment(reference) -> None:
    rows = weather(np.random.default_rng(5), 8000)
    is_one = rows["carrier"] == "UA"
    rows["temp"] = np.where(is_one, rows["temp"] + 30.0, rows["temp"])

    found = explained(reference, rows, [Predicate("temp", "gt", 90.0)])

    first, *others, last = found.columns
    assert (first.column, first.differs) == ("carrier", True)
    assert not any(one.differs for one in others)
    assert (last.column, last.is_selecting) == ("temp", True)
    assert found.place.segment is not None
    assert found.place.segment.words == 'carrier = "UA"'
    assert found.selected_count == int((rows["temp"] > 90).sum())
    assert (found.row_count, found.compared, found.is_cut) == (8000, 8000, False)
    assert first.selected[first.labels.index("UA")] == pytest.approx(
        np.mean(rows["carrier"][rows["temp"] > 90] == "UA")
    )
    assert found.listed.num_rows == 50
    assert min(found.listed["temp"].to_pylist()) > 90


def test_random_rows_differ_no_more_often_than_chance_allows(reference) -> None:
    """The chance that any column of a selection is said to differ is 1%: of 20, 5 never."""
    alarms = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        rows = weather(random, 1500)
        rows["key"] = random.uniform(0, 1, 1500)
        found = explained(reference, rows, [Predicate("key", "lt", 0.2)])
        alarms += any(one.differs for one in found.columns)
        assert found.place.segment is None, seed

    # P(Binomial(20, 0.01) >= 5) is 1e-6.
    assert alarms < 5
    assert FALSE_ALARM == 0.01


def test_rows_of_a_window_are_compared_with_those_of_others(reference) -> None:
    random = np.random.default_rng(3)
    now, before = weather(random, 1500), weather(random, 6000)
    now["wind"] = now["wind"] * 3

    found = explain([(True, batches(now)), (False, batches(before))], [], reference, within_s=60.0)

    assert found.columns[0].column == "wind"
    assert [one.column for one in found.columns if one.differs] == ["wind"]
    assert (found.selected_count, found.row_count) == (1500, 7500)


@pytest.mark.parametrize("limit", [5000.0, -5000.0])
def test_all_or_none_selected_leaves_nothing_to_compare(reference, limit: float) -> None:
    rows = weather(np.random.default_rng(2), 300)

    found = explained(reference, rows, [Predicate("temp", "lt", limit)])

    assert (found.columns, found.compared, found.row_count) == ((), 0, 300)


def test_conditions_hold_together(reference) -> None:
    rows = weather(np.random.default_rng(2), 4000)
    where = [Predicate("temp", "gt", 60.0), Predicate("origin", "in", values=("EWR", "JFK"))]

    found = explained(reference, rows, where)

    chosen = (rows["temp"] > 60) & (rows["origin"] != "LGA")
    assert found.selected_count == int(chosen.sum())
    assert {one.column for one in found.columns if one.is_selecting} == {"temp", "origin"}
