"""A change that was told and is over does not ring again with the longer spans that hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, number, window

ROWS = 1_000
SEEN = 0.3


def alarms(
    shares: Sequence[float],
    rows: Sequence[int] | int = ROWS,
    before: int = 0,
    missing: Sequence[int] = (),
) -> list[int]:
    """Judge windows with these shares of level a, one after the other; say which alarm."""
    counts = flags(np.array([round(SEEN * 100_000)]), np.array([100_000]))[0]
    drift_test = DriftTest(
        {"x": ReferenceColumn(flag(), counts.astype(float))}, length=HOUR, scales=SCALES
    )
    windows = [
        window({"x": one}, START + (before + at) * HOUR)
        for at, one in enumerate(
            flags(np.rint(np.array(shares) * rows), np.broadcast_to(rows, len(shares)))
        )
        if at not in missing
    ]
    drifted = []
    for at, one in enumerate(windows):
        past = windows[max(0, at - 63) : at]
        found = drift_test.judge(one, past).drifts
        if at % 4 == 3:
            alone = drift_test.judge(one, past, all_bounds=False).drifts  # As backtests ask.
            assert alone.keys() == found.keys()
            for name, drift in found.items():
                assert alone[name].drifted == drift.drifted
                assert (alone[name].bound == drift.bound) or not drift.drifted
        drifted += [at] * any(drift.drifted for drift in found.values())
    return drifted


# A short and a long one; at full length every place in a block of eight, odd and even lengths.
FAULTS = [(3, 1), (4, 7)]
MORE_FAULTS = [
    (2, 2), (7, 20), (0, 1), (5, 2), (1, 7), (6, 20), (1, 1), (2, 1), (4, 2), (6, 2), (7, 2),
    (0, 3), (3, 3), (5, 3), (6, 3), (2, 7), (7, 7), (0, 20), (1, 20),
]  # fmt: skip


def test_a_fault_rings_while_it_lasts_and_not_afterwards(pytestconfig: pytest.Config) -> None:
    for begin, lasts in FAULTS + MORE_FAULTS * pytestconfig.getoption("full"):
        shares = [SEEN] * begin + [0.6] * lasts + [SEEN] * (80 - begin - lasts)

        assert alarms(shares) == list(range(begin, begin + lasts)), (begin, lasts)


def test_a_change_that_stays_goes_on_to_ring() -> None:
    assert alarms([SEEN] * 5 + [0.6] * 40) == list(range(5, 45))


def test_another_change_of_the_same_column_is_told() -> None:
    assert alarms([0.6] * 4 + [SEEN] * 4 + [0.1] * 4 + [SEEN] * 20) == [0, 1, 2, 3, 8, 9, 10, 11]


def test_a_window_too_small_to_say_that_it_is_over_does_not_say_so() -> None:
    assert alarms([0.6, SEEN], rows=[1_000, 20]) == [0, 1]
    assert alarms([0.6, SEEN], rows=[1_000, 200]) == [0]


def test_a_fault_before_missing_windows_does_not_ring_again() -> None:
    assert alarms([0.6] * 4 + [SEEN] * 4, missing=(4, 5)) == [0, 1, 2, 3]


def test_a_shift_of_numbers_leaves_no_weak_cut_behind() -> None:
    rng = np.random.default_rng(0)
    cells = number()
    usual = np.zeros(cells.size)
    usual[1 : cells.size - 3] = 1_000
    drift_test = DriftTest({"x": ReferenceColumn(cells, usual)}, length=HOUR, scales=SCALES)
    shares = usual / usual.sum()
    shifted = np.roll(shares, 12) * (np.arange(cells.size) > 12)
    windows = [
        window(
            {"x": rng.multinomial(ROWS, (shifted if at in (33, 34) else shares) / part)},
            START + at * HOUR,
        )
        for at, part in ((at, (shifted if at in (33, 34) else shares).sum()) for at in range(64))
    ]

    told = [
        at
        for at, one in enumerate(windows)
        if drift_test.judge(one, windows[max(0, at - 63) : at]).drifts["x"].drifted
    ]

    assert told == [33, 34]
