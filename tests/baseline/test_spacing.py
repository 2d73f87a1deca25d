"""Rows kept at a stride: as many as allowed, evenly spaced, whatever the pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.baseline.spacing import SpacedRows


def kept(rows: SpacedRows) -> list[int]:
    table = rows.table()
    return table["x"].to_pylist() if table.num_columns else []


def filled(limit: int, first: int, count: int, piece: int) -> SpacedRows:
    """Take the numbers from `first` on, some at a time."""
    rows = SpacedRows(limit)
    for at in range(0, count, piece):
        values = np.arange(first + at, first + min(at + piece, count))
        rows.add(pa.table({"x": values[rows.turn(len(values))]}), len(values))
    return rows


@given(st.integers(1, 40), st.integers(0, 500), st.integers(1, 100))
def test_what_is_kept_follows_from_the_number_of_rows_alone(
    limit: int, count: int, piece: int
) -> None:
    rows = filled(limit, 0, count, piece)
    stride = 1
    while -(-count // stride) > limit:
        stride *= 2
    assert kept(rows) == list(range(0, count, stride))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(60, 90))
def test_parts_that_were_not_thinned_merge_to_the_rows_of_the_whole(
    counts: list[int], limit: int
) -> None:
    total, first = SpacedRows(limit), 0
    for count in counts:
        total = total.merge(filled(limit, first, count, 17))
        first += count
    assert kept(total) == kept(filled(limit, 0, first, 17))
    assert total.seen == first


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.integers(2, 20))
@example([65, 64, 128, 129], 2)
@example([118, 250, 7, 186, 228, 298], 3)
def test_thinned_parts_merge_to_rows_in_order_and_nearly_evenly_spaced(
    counts: list[int], limit: int
) -> None:
    total, first = SpacedRows(limit), 0
    for count in counts:
        total = total.merge(filled(limit, first, count, 13))
        first += count
    found = kept(total)
    assert len(found) <= limit
    assert all(a < b for a, b in pairwise(found))
    # A part out of step gives its next row, less than one stride later. At each doubling
    # that happens again, less than two strides in all, and a part's last row may be missing.
    assert all(b - a <= 5 * total.stride for a, b in pairwise(found))
    assert total.seen == first


@pytest.mark.parametrize("width", [1, 3])
def test_merging_changes_neither_input(width: int) -> None:
    one, two = filled(8, 0, 30 * width, 7), filled(8, 100, 30, 7)
    before = kept(one), kept(two)
    one.merge(two)
    assert (kept(one), kept(two)) == before
