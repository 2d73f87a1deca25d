"""The longest run of production that agrees with itself, out of which a baseline can be made."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.cells import number_cells
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.warm_up.stable_span import stable_span
from tests.monitors.conftest import DAY, START

CELLS = {"x": number_cells("x", "double", np.linspace(-3, 3, 601), np.ones(601))}
HOUR = timedelta(hours=1)


def windows(
    shifts: list[float], rng: np.random.Generator, *, rows: int = 2_000, length: timedelta = DAY
) -> list[WindowCounts]:
    """Make windows of independent normal rows, each with its own mean."""
    found = []
    for number, shift in enumerate(shifts):
        start = START + number * length
        counts = CELLS["x"].count(pa.array(rng.normal(shift, 1, rows)))
        found.append(WindowCounts(start, start + length, rows, {"x": counts}))
    return found


def days(found) -> tuple[int, int] | None:
    return None if found is None else ((found.start - START) // DAY, (found.end - START) // DAY)


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([0] * 8, (0, 8)),
        ([0] * 3 + [1] * 5, (3, 8)),
        ([0] * 5 + [1] * 3, (0, 5)),
        ([0] * 4 + [1] * 4, (4, 8)),  # Of equal ones the newest.
        ([0] * 2 + [2] + [0] * 4, (3, 7)),
        # Neighbours that differ each time are how its days are.
        ([0, 1] * 3, (0, 6)),
    ],
)
def test_a_change_ends_the_run(shifts, expected, rng) -> None:
    found = stable_span(windows(shifts, rng), CELLS)

    assert days(found) == expected
    if found is not None and expected is not None:
        assert found.row_count == 2_000 * (expected[1] - expected[0])


def test_fewer_than_three_units_are_no_proposal(rng) -> None:
    assert stable_span(windows([0, 0], rng), CELLS) is None
    assert stable_span([], CELLS) is None


def test_hours_are_added_up_to_days(rng) -> None:
    # A season of hours, the same each day: hours disagree, days do not.
    shifts = [0.0 if hour % 24 < 12 else 1.0 for hour in range(5 * 24)]

    found = stable_span(windows(shifts, rng, rows=100, length=HOUR), CELLS)

    assert days(found) == (0, 5)


def test_days_that_wander_as_ever_agree(rng) -> None:
    # Days differ by more than independent rows would; by the median day they are alike.
    shifts = rng.normal(0, 0.15, 14).tolist()

    assert days(stable_span(windows(shifts, rng), CELLS)) == (0, 14)


def test_columns_that_differ_from_day_to_day_by_nature_are_left_out(rng) -> None:
    found = windows([0.0] * 6 + [1.0] * 8, rng)
    for day, one in enumerate(found):
        # As the day of the week does: each day has a value of its own.
        one.cells["weekday"] = np.zeros_like(one.cells["x"])
        one.cells["weekday"][3 * (day % 7)] = 2_000

    assert days(stable_span(found, {**CELLS, "weekday": CELLS["x"]})) == (6, 14)
    assert stable_span(found, {"weekday": CELLS["x"]}) is None


def test_windows_without_rows_enough_are_passed_over(rng) -> None:
    found = windows([0] * 4, rng)
    none = np.zeros_like(found[0].cells["x"])
    empty = WindowCounts(START + 4 * DAY, START + 5 * DAY, 3, {"x": none})

    assert days(stable_span([*found, empty], CELLS)) == (0, 4)
