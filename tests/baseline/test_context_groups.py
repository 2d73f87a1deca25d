"""Which values of a declared column are told apart."""

from __future__ import annotations

import numpy as np

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.context_groups import BASE, CONTEXT_GROUPS, context_groups, group_members


def test_the_most_frequent_level_is_what_others_are_compared_with() -> None:
    counts = {"south": 60, "north": 30, "west": 10}
    cells = text_cells("region", "string", counts, complete=True, row_count=100)
    held = np.array([*counts.values(), *[0] * (cells.size - 3)])

    groups = context_groups(cells, held)

    assert groups == [BASE, 0, 1, *[BASE] * (cells.size - 3)]
    assert group_members(groups).sum(axis=0).tolist() == [1, 1]


def test_levels_beyond_the_most_frequent_are_one_group() -> None:
    counts = {f"r{at:02}": 100 - at for at in range(20)}
    cells = text_cells("region", "string", counts, complete=True, row_count=2_000)
    held = np.array([*counts.values(), *[0] * (cells.size - 20)])

    groups = context_groups(cells, held)

    assert groups[:CONTEXT_GROUPS].count(BASE) in (0, 1)
    assert len(set(groups[CONTEXT_GROUPS:20])) == 1
    assert len(set(groups[:20])) == CONTEXT_GROUPS + 1


def test_numbers_are_grouped_with_their_neighbours_and_empty_ones_apart() -> None:
    values = np.arange(1_000.0)
    cells = number_cells("load", "double", values, np.ones(values.size))
    held = np.bincount(np.searchsorted(cells.edges, values, side="right"), minlength=cells.size)
    held[-2] = 5

    groups = np.array(context_groups(cells, held))

    kept = groups[:-2][held[:-2] > 0]
    changes = np.flatnonzero(np.diff(kept))
    assert len(changes) == CONTEXT_GROUPS - 1, "each group is one stretch of numbers"
    assert groups[-2] > BASE
    assert (groups == groups[-2]).sum() == 1


def test_a_holiday_written_as_0_and_1_is_two_groups() -> None:
    values = np.array([0.0, 1.0])
    cells = number_cells("holiday", "int64", values, np.array([97.0, 3.0]))
    held = np.bincount(
        np.searchsorted(cells.edges, values, side="right"), weights=[97, 3], minlength=cells.size
    )

    groups = np.array(context_groups(cells, held))

    assert sorted(groups[held > 0]) == [BASE, 0]
