"""Which rows each span holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.kinds.multivariate.judgement import HOUR, Earlier, spans_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURLY = Window(NOON, NOON + HOUR)
NOW = {"a": np.array([7, 8], np.uint8)}


def before(hours: list[int], start: int) -> Earlier:
    """Rows that came so many hours before noon, each with a code of its own."""
    noon = (NOON - EPOCH) // HOUR
    came = np.array([noon - one if one >= 0 else UNKNOWN_HOUR for one in hours])
    return Earlier({"a": np.arange(len(hours), dtype=np.uint8)}, came, NOON - start * HOUR)


def given(window: Window | None, earlier: Earlier | None) -> list[tuple[int, list[int]]]:
    return [(one.windows, one.codes["a"].tolist()) for one in spans_of(NOW, window, earlier)]


def test_rows_without_windows_before_them_are_the_only_span() -> None:
    assert given(None, None) == [(1, [7, 8])]
    assert given(HOURLY, None) == [(1, [7, 8])]


def test_a_span_holds_the_last_windows_and_no_rows_of_unknown_time() -> None:
    earlier = before([15, 14, 4, 3, -1, 1], start=15)

    assert given(HOURLY, earlier) == [
        (1, [7, 8]),
        (4, [3, 5, 7, 8]),
        (16, [0, 1, 2, 3, 5, 7, 8]),
    ]


def test_no_span_is_longer_than_what_there_is() -> None:
    assert given(HOURLY, before([5, 2], start=5)) == [
        (1, [7, 8]),
        (4, [1, 7, 8]),
        (6, [0, 1, 7, 8]),
    ]


def test_a_span_without_more_rows_is_not_looked_at_again() -> None:
    assert given(HOURLY, before([1], start=15)) == [(1, [7, 8]), (4, [0, 7, 8])]
    assert given(HOURLY, before([9], start=15)) == [(1, [7, 8]), (16, [0, 7, 8])]


def test_windows_under_an_hour_are_joined_by_whole_hours() -> None:
    quarter = Window(NOON + timedelta(minutes=45), NOON + HOUR)

    (_, (windows, codes), *_) = given(quarter, before([0, 1], start=1))

    assert (windows, codes) == (4, [0, 7, 8])
