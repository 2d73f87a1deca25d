"""Distributions: exact while few, on the grid within the stated error, the same in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.distribution import (
    CELLS_MAX,
    RELATIVE_ERROR,
    Distribution,
)

VALUES = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9)


def same(one, other):
    assert one.on_grid == other.on_grid
    assert one.values.tolist() == other.values.tolist()
    np.testing.assert_allclose(one.counts, other.counts, rtol=1e-12)


def test_few_values_are_kept_as_they_are():
    found = Distribution.of([3.0, -1.0, 3.0, 0.0], [1, 2, 0.5, 4])
    assert found.values.tolist() == [-1.0, 0.0, 3.0]
    assert found.counts.tolist() == [2.0, 4.0, 1.5]
    assert found.count == 7.5


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e30])
def test_many_values_move_by_no_more_than_the_stated_share_of_themselves(scale):
    values = np.concatenate([np.linspace(-7, 9, 1601), [0.0]]) * scale
    found = Distribution.of(values)
    assert found.on_grid
    assert len(found.values) < len(set(values.tolist()))
    assert found.count == len(values)
    # A value's cell keeps its rank, so the k-th of one stands for the k-th of the other.
    moved = np.repeat(found.values, found.counts.astype(int))
    true = np.sort(values)
    assert np.all(np.abs(moved - true) <= RELATIVE_ERROR * np.abs(true) * (1 + 1e-9))
    assert 0.0 in found.values


def test_a_range_beyond_the_cells_loses_only_what_is_next_to_zero():
    values = np.concatenate([10.0 ** np.arange(-200, 0, 0.05), [5e90, -5e90]])
    values = np.concatenate([values, 10.0 ** np.linspace(60, 100, 5000)])
    found = Distribution.of(values)
    assert len(found.values) <= CELLS_MAX
    assert found.count == len(values)
    assert abs(found.values[0] / -5e90 - 1) <= RELATIVE_ERROR
    assert abs(found.values[-1] / 1e100 - 1) <= RELATIVE_ERROR


@given(st.lists(st.lists(VALUES, min_size=1, max_size=120), min_size=1, max_size=5))
def test_merging_in_pieces_and_in_any_order_is_merging_at_once(parts):
    each = [Distribution.of(part) for part in parts]
    at_once = Distribution.merge(each)
    piecewise = each[-1]
    for one in reversed(each[:-1]):
        piecewise = Distribution.merge([piecewise, one])
    same(at_once, piecewise)
    same(at_once, Distribution.of([value for part in parts for value in part]))


@given(st.lists(VALUES, max_size=400), st.sampled_from([1.0, 3.0, 0.25]))
def test_bytes_bring_back_what_was_written(values, count):
    made = Distribution.of(values, [count] * len(values))
    same(Distribution.from_bytes(made.to_bytes()), made)
    assert len(made.to_bytes()) <= 4 + 16 * len(made.values)


@pytest.mark.parametrize("data", [b"", b"\x01\x00\x05\x00abc", b"\x09\x00\x00\x00"])
def test_bytes_that_are_none_of_ours_are_refused(data):
    with pytest.raises(DatapointError, match="distribution of"):
        Distribution.from_bytes(data)
