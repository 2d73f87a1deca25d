"""Which values of a declared column are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.context_groups import BASE, CONTEXT_GROUPS, UNKNOWN, ContextGroups


def test_the_most_frequent_level_is_what_others_are_compared_with() -> None:
    counts = {"south": 60, "north": 30, "west": 10}
    cells = text_cells("region", "string", counts, complete=True, row_count=100)
    held = np.array([*counts.values(), *[0] * (cells.size - 3)])

    found = ContextGroups.of(cells, held)

    assert found.groups == (BASE, 0, 1, *[UNKNOWN] * (cells.size - 3))
    assert found.usual == (0.3, 0.1)
    assert found.indicators.sum(axis=0).tolist() == [1, 1]


def test_rows_of_no_known_value_count_as_the_usual_mix() -> None:
    cells = text_cells("region", "string", {"south": 60, "north": 40}, complete=True, row_count=100)
    found = ContextGroups.of(cells, np.array([60, 40, *[0] * (cells.size - 2)]))
    hours = np.zeros((3, cells.size), np.int64)
    hours[0, :2] = 30, 10
    hours[1, -2] = 7
    hours[2, [0, 1, -2]] = 10, 30, 60

    assert found.shares(hours)[:, 0].tolist() == pytest.approx([0.25, 0.4, 0.54])
    assert found.shares(None).tolist() == [[0.4]]


def test_numbers_are_grouped_with_their_neighbours_and_empty_ones_apart() -> None:
    values = np.arange(1_000.0)
    cells = number_cells("load", "double", values, np.ones(values.size))
    held = np.bincount(np.searchsorted(cells.edges, values, side="right"), minlength=cells.size)
    held[-2] = 5

    groups = np.array(ContextGroups.of(cells, held).groups)

    kept = groups[:-2][held[:-2] > 0]
    changes = np.flatnonzero(np.diff(kept))
    assert len(changes) == CONTEXT_GROUPS - 1, "each group is one stretch of numbers"
    assert groups[-2] > BASE
    assert (groups == groups[-2]).sum() == 1
    assert groups[0] == groups[1], "below the reference's least number"
    assert groups[-3] == groups[-4] == kept[-1], "and above its greatest"
