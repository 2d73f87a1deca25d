"""What a segment may hold of rows whose values were shifted, scaled or cut off."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.stats.moved_values import UsualRows, most_held

# A town at each distance; the segment is the town at 900, in the middle of the cell from 800.
MILES = np.array([100.0, 200, 300, 400, 500, 600, 700, 900, 1000, 1100, 1200])
CELLS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 8])


def usual(inside: dict[int, float], rows: float = 100.0) -> UsualRows:
    held = np.zeros(9)
    held[list(inside)] = list(inside.values())
    return UsualRows(MILES, np.full(MILES.size, rows), CELLS, held)


def share(moved: list[float], inside: dict[int, float], least: float = 1.0) -> float:
    return most_held(usual(inside), np.array(moved), len(moved), least, np.inf)


def test_rows_that_come_as_one_value_may_all_have_been_one_segments() -> None:
    """All came from one value inside of a cell: as many of its rows as the segment has there."""
    assert share([897.0] * 20, {7: 100.0}) == pytest.approx(1.0, abs=0.05)


def test_rows_as_far_apart_as_the_segments_values_never_are_were_not_all_its() -> None:
    """As far apart, or in the same proportions, lay two other values and more beside 900."""
    assert share([250.0, 450], {7: 100.0}) == pytest.approx(1 / 2, abs=0.05)
    assert share([250.0, 850], {7: 100.0}) < 0.4


def test_what_is_cut_off_may_have_been_anything_beyond() -> None:
    """Each value alone had too few rows."""
    above, below = {6: 100.0, 7: 300.0, 8: 100.0}, {0: 100.0, 1: 100.0, 2: 100.0, 3: 100.0}

    assert share([650.0] * 30, above, least=250) > 0.9
    assert share([450.0] * 30, below, least=250) > 0.9
    assert share([450.0] * 30, {2: 100.0, 6: 100.0}, least=250) < 0.4


def test_what_came_beyond_all_were_the_largest_or_the_smallest() -> None:
    """Of the middle, larger ones would have come, too; of the end, only where it is as spread."""
    middle, end = {6: 100.0, 7: 100.0}, {8: 100.0}

    assert share([650.0] * 3, middle) > 0.9
    assert share([5000.0, 5300, 5700], middle) < 0.4
    assert share([5000.0] * 3, end) > 0.9
    assert share([1500.0, 5000], end) < 0.3
    # The smallest come above where all are turned round, not by a factor.
    assert share([5000.0] * 3, {0: 100.0}) > 0.9
    assert share([5000.0, 20_000.0], {0: 100.0}) < 0.3
    assert share([-20_000.0, -5000.0], {0: 100.0}) < 0.3
