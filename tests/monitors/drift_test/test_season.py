"""The reference at the same time of the week: grids, their choice, what they expect."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.reference_blocks import ReferenceBlocks
from driftline.monitors.drift_test.season import GRIDS, SeasonTable, hours_of, possible_grids
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, reference, window

NONE, DAY, WEEKEND, WEEK = GRIDS
FIRST = round(START.timestamp()) // 3600
WEEKS = 4
HOURS = np.arange(FIRST, FIRST + WEEKS * 168)
OF_DAY, WEEKDAY = (HOURS - FIRST) % 24, (HOURS - FIRST) // 24 % 7


def test_hours_of_the_week_begin_on_monday() -> None:
    assert (WEEK.cells(HOURS) == (HOURS - FIRST) % 168).all()
    assert (WEEKEND.cells(HOURS) == (WEEKDAY >= 5) * 24 + OF_DAY).all()
    assert (DAY.cells(HOURS) == OF_DAY).all()


@pytest.mark.parametrize(
    ("days", "unit_h", "expected"),
    [
        (3, 1, (NONE,)),
        (7, 1, (NONE, DAY)),
        (14, 1, (NONE, DAY, WEEKEND)),
        (28, 1, GRIDS),
        (28, 24, (NONE, WEEKEND, WEEK)),
        (28, 168, (NONE,)),
    ],
)
def test_a_grid_needs_a_reference_that_fills_it(days, unit_h, expected) -> None:
    assert possible_grids(HOURS[: days * 24], unit_h) == expected


def test_hours_that_are_touched_in_part_count_in_part() -> None:
    hours, covered = hours_of(START + HOUR / 2, START + 2 * HOUR + HOUR / 4)

    assert hours.tolist() == [FIRST, FIRST + 1, FIRST + 2]
    assert covered == pytest.approx([0.5, 1, 0.25])


def test_a_block_mixes_the_reference_by_its_own_rows(rng: np.random.Generator) -> None:
    # p = sum w_c p_c, 1/n = sum w_c^2 / n_c.
    a, rows = rng.integers(10, 40, HOURS.size), rng.integers(50, 90, HOURS.size)
    table = SeasonTable.of(DAY, HOURS, rows.astype(float), flags(a, rows))
    spans = [(START + h * HOUR, START + (h + 1) * HOUR, m) for h, m in ((3, 30.0), (4, 90.0))]

    shares, n = table.matched(table.weights(spans))

    p = [a[h == OF_DAY].sum() / rows[h == OF_DAY].sum() for h in (3, 4)]
    sizes = [rows[h == OF_DAY].sum() for h in (3, 4)]
    assert shares[0] == pytest.approx(0.25 * p[0] + 0.75 * p[1])
    assert n == pytest.approx(1 / (0.25**2 / sizes[0] + 0.75**2 / sizes[1]))


def test_a_day_is_compared_with_the_same_days_of_the_week(rng: np.random.Generator) -> None:
    rows = rng.integers(50, 90, HOURS.size)
    a = rng.binomial(rows, 0.3)
    table = SeasonTable.of(WEEK, HOURS, rows.astype(float), flags(a, rows))
    tuesday = START + timedelta(days=1)

    shares, n = table.matched(table.weights([(tuesday, tuesday + timedelta(days=1), 500.0)]))

    assert shares[0] == pytest.approx(a[WEEKDAY == 1].sum() / rows[WEEKDAY == 1].sum())
    assert n == pytest.approx(rows[WEEKDAY == 1].sum())


def test_an_hour_that_the_reference_does_not_know_is_compared_with_all_of_it() -> None:
    nine_to_five = (OF_DAY >= 9) & (OF_DAY < 17)
    hours, rows = HOURS[nine_to_five], np.full(nine_to_five.sum(), 100)
    table = SeasonTable.of(DAY, hours, rows.astype(float), flags(np.full(rows.size, 40), rows))

    shares, n = table.matched(table.weights([(START, START + HOUR, 50.0)]))

    assert shares[0] == pytest.approx(0.4)
    assert n == pytest.approx(rows.sum())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("length_h", "unit_h"), [(1, 1), (6, 1), (64, 1), (24, 24), (72, 24)])
def test_a_block_expects_what_the_rest_of_the_reference_holds_at_such_hours(
    rng: np.random.Generator, grid, length_h, unit_h
) -> None:
    rows = rng.integers(20, 90, HOURS.size)
    counts = flags(rng.binomial(rows, 0.3), rows)
    cut = ReferenceBlocks.of(HOURS, rows.astype(float), grid, length_h=length_h, unit_h=unit_h)

    held, expected = cut.shares(counts)

    # Written out for one block in the middle.
    ids = HOURS // length_h
    chosen = np.unique(ids)[len(cut.rows) // 2]
    inside = ids == chosen
    around = max(24, length_h) if np.unique(ids).size >= 10 else 0
    low = chosen * length_h - around
    far = (low > HOURS) | (low + length_h + 2 * around <= HOURS)
    share = np.zeros(counts.shape[1])
    for unit in np.unique(HOURS[inside] // unit_h):
        of_unit = inside & (HOURS // unit_h == unit)
        alike = [far & (grid.cells(HOURS) == kind) for kind in grid.cells(HOURS[of_unit])]
        rest = sum(counts[one].sum(axis=0) for one in alike)
        share += rows[of_unit].sum() / rows[inside].sum() * rest / rest.sum()
    at = len(cut.rows) // 2 - int((~cut.keep[: len(cut.rows) // 2]).sum())
    assert held[at] == pytest.approx(counts[inside].sum(axis=0))
    assert expected[at] == pytest.approx(share)


def judged(
    shares: np.ndarray, rng: np.random.Generator, share: float, hour: int
) -> tuple[ColumnDrift, str]:
    """Judge an hour after four weeks with the given shares; give the verdict and the grid."""
    rows = np.full(HOURS.size, 400)
    counts = flags(rng.binomial(rows, shares), rows)
    columns, blocks = reference({"x": flag()}, {"x": counts})
    drift_test = DriftTest(columns, blocks, HOUR)
    start = START + timedelta(weeks=WEEKS) + hour * HOUR
    own = flags(np.array([round(400 * share)]), np.array([400]))[0]
    verdict = drift_test.judge(window({"x": own}, start)).drifts["x"]
    dispersion = drift_test.reference_model.seasonal
    assert dispersion is not None
    return verdict, dispersion.grids[0].name


def test_a_column_without_a_season_is_compared_with_all_of_the_reference(
    rng: np.random.Generator,
) -> None:
    verdict, grid = judged(np.full(HOURS.size, 0.3), rng, share=0.3, hour=3)

    assert grid == "none"
    assert verdict.reference_counts.sum() == pytest.approx(400 * HOURS.size)


def test_a_night_is_compared_with_nights(rng: np.random.Generator) -> None:
    shares = np.where(OF_DAY < 12, 0.2, 0.6)

    usual, grid = judged(shares, rng, share=0.2, hour=3)
    odd, _ = judged(shares, rng, share=0.6, hour=3)

    assert grid == "hour of day"
    assert not usual.drifted
    assert odd.drifted
    assert odd.share_reference == pytest.approx(0.2, abs=0.02)


def test_sundays_are_compared_with_sundays(rng: np.random.Generator) -> None:
    shares = np.where(WEEKDAY == 6, 0.6, 0.2)

    verdict, grid = judged(shares, rng, share=0.6, hour=6 * 24 + 3)

    assert grid == "hour of week"
    assert not verdict.drifted
