from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.blocks import HOUR_LIMIT, HOUR_US, BlockCounter, BlockCounts
from driftline.errors import InputError

rows = st.lists(st.tuples(st.integers(0, 200 * HOUR_US), st.integers(0, 2)), max_size=100)


def counted(rows, parts=1):
    counter = BlockCounter({"x": 3})
    for part in np.array_split(np.array(rows, dtype=np.int64).reshape(-1, 2), parts):
        counter.update(part[:, 0], {"x": part[:, 1]})
    return counter.result()


@given(rows, st.integers(1, 5))
def test_counts_do_not_depend_on_how_the_rows_came(rows, parts):
    whole, split = counted(rows), counted(rows, parts)

    assert whole.hours.tolist() == split.hours.tolist()
    assert whole.counts["x"].tolist() == split.counts["x"].tolist()
    assert whole.counts["x"].sum() == len(rows)


def test_parts_without_rows_merge_to_none():
    assert not len(BlockCounter({"x": 3}).merge(BlockCounter({"x": 3})).result().hours)


@given(rows)
def test_each_row_is_in_the_hour_of_its_time(rows):
    found = counted(rows)

    for hour, counts in zip(found.hours, found.counts["x"], strict=True):
        mine = [code for time, code in rows if time // HOUR_US == hour]
        assert counts.tolist() == np.bincount(mine, minlength=3).tolist()


def test_hours_merge_to_utc_days():
    hours = np.array([0, 23, 24, 47, 48, 60])
    counts = {"x": np.array([[1, 0], [2, 1], [1, 1], [1, 0], [0, 2], [1, 0]], dtype=np.int32)}

    days = BlockCounts(hours, counts).blocks(timedelta(days=1))

    assert days["x"].tolist() == [[3, 1], [2, 1], [1, 2]]
    assert days["x"].dtype == np.int64


def test_a_ragged_end_is_no_block():
    hours = np.arange(49)
    counts = {"x": np.full((49, 1), 10, dtype=np.int32)}

    assert len(BlockCounts(hours, counts).blocks(timedelta(days=1))["x"]) == 2


@pytest.mark.parametrize("length", [timedelta(minutes=90), timedelta(0), timedelta(hours=-1)])
def test_blocks_are_whole_hours(length):
    with pytest.raises(InputError, match="expected a whole number of hours"):
        counted([(0, 0)]).blocks(length)


def test_hours_older_than_three_years_are_dropped():
    late = HOUR_LIMIT + 10

    found = counted([(hour * HOUR_US, 0) for hour in range(late)])

    assert len(found.hours) == HOUR_LIMIT
    assert found.hours[-1] == late - 1
