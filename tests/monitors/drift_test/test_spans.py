"""Which spans end with a window: aligned blocks, and small windows with those before them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from driftline.monitors.drift_test.spans import spans_ending_with, window_index
from driftline.monitors.drift_test.window_counts import WindowCounts
from tests.monitors.drift_test.streams import HOUR, START, flags, window

SCALES = (1, 2, 4, 8)


def hour(number: int, rows: int = 100) -> WindowCounts:
    """The window that begins so many hours after a multiple of 64 hours since 1970."""
    counts = flags(np.array([rows // 2]), np.array([rows]))[0]
    return window({"x": counts}, START + number * HOUR)


def found(last: WindowCounts, past: list[WindowCounts]) -> list[tuple[int, int, int]]:
    """Scale, windows and rows of each span."""
    return [
        (one.scale, len(one.windows), one.row_count)
        for one in spans_ending_with(last, past, SCALES, HOUR)
    ]


def test_windows_are_numbered_since_1970() -> None:
    assert window_index(START, HOUR) % 64 == 0
    assert window_index(START + timedelta(minutes=59), HOUR) == window_index(START, HOUR)


def test_blocks_end_where_their_length_says() -> None:
    past = [hour(i) for i in range(8)]

    assert found(hour(0), []) == [(1, 1, 100)]
    assert found(hour(3), past[:3]) == [(1, 1, 100), (2, 2, 200), (4, 4, 400)]
    assert [one[0] for one in found(hour(7), past[:7])] == [1, 2, 4, 8]


def test_missing_windows_are_not_in_the_sum() -> None:
    assert found(hour(7), [hour(1), hour(5)])[-1] == (8, 3, 300)


def test_windows_that_lie_elsewhere_are_passed_over() -> None:
    nowhere = window({"x": flags(np.array([1]), np.array([2]))[0]})

    assert found(hour(1), [hour(-1), nowhere, hour(1), hour(2), hour(0)]) == [
        (1, 1, 100),
        (2, 2, 200),
    ]


def test_the_order_of_the_past_is_of_no_matter() -> None:
    past = [hour(i, rows=20 + i) for i in range(7)]

    assert found(hour(7), past) == found(hour(7), past[::-1])


def test_a_small_window_is_pooled_with_as_many_before_it_as_it_takes() -> None:
    past = [hour(i, rows=12) for i in range(5)]

    spans = spans_ending_with(hour(4, rows=12), past, SCALES, HOUR)

    assert [(one.scale, len(one.windows), one.width) for one in spans] == [(1, 3, 4)]
    assert spans[0].start == START + 2 * HOUR


def test_a_small_window_with_too_little_before_it_is_in_no_span() -> None:
    assert found(hour(4, rows=12), [hour(3, rows=12)]) == []


def test_a_window_without_rows_does_not_bring_back_those_before_it() -> None:
    assert found(hour(4, rows=0), [hour(3)]) == []


def test_rows_of_no_known_time_are_judged_alone() -> None:
    nowhere = window({"x": flags(np.array([50]), np.array([100]))[0]})

    assert [len(one.windows) for one in spans_ending_with(nowhere, [hour(0)], SCALES, HOUR)] == [1]
