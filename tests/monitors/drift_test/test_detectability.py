"""Columns that no window could violate are told from those that were judged and kept."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import DEFERRED, UNDECIDABLE
from driftline.monitors.drift_test.drift_test import INSUFFICIENT, DriftTest, DriftTestResult
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, reference, window

DAY = timedelta(days=1)
DAYS, ROWS = 40, 200


def drift_test(
    rng: np.random.Generator, scales: tuple[int, ...] = (1,), days: int = DAYS
) -> DriftTest:
    """So many days: of "slow" each is wholly a or b for eight days, of "x" its rows are alike."""
    a = {
        "slow": np.where(np.arange(days) // 8 % 2, ROWS, 0),
        "x": rng.binomial(ROWS, 0.5, days),
    }
    tables = {}
    for name, counts in a.items():
        tables[name] = np.zeros((24 * days, flag(name).size), dtype=np.int64)
        tables[name][::24] = flags(counts, np.full(days, ROWS))
    columns, blocks = reference({name: flag(name) for name in tables}, tables)
    return DriftTest(columns, blocks, DAY, scales=scales)


def day(of: int, rows: int = ROWS, number: int = 0) -> object:
    cells = flags(np.array([of]), np.array([rows]))[0]
    half = flags(np.array([rows // 2]), np.array([rows]))[0]
    return window({"slow": cells, "x": half}, START + number * DAY, DAY)


@pytest.mark.parametrize("of", [0, 100, 200])
def test_a_column_that_may_lie_anywhere_is_not_judged(rng: np.random.Generator, of: int) -> None:
    found = drift_test(rng).judge(day(of))

    assert found.notes == {"slow": UNDECIDABLE}
    assert not found.drifted


def test_what_lies_beyond_all_that_was_seen_is_told_of_it_all_the_same(
    rng: np.random.Generator,
) -> None:
    counts = np.zeros(flag().size, dtype=np.int64)
    counts[-3] = ROWS  # All unseen.
    other = flags(np.array([ROWS // 2]), np.array([ROWS]))[0]

    found = drift_test(rng).judge(window({"slow": counts, "x": other}, START, DAY))

    assert found.drifted == ("slow",)
    assert found.notes == {}


def test_too_few_rows_are_said_to_be_too_few(rng: np.random.Generator) -> None:
    assert drift_test(rng).judge(day(10, rows=20)).notes == {
        "slow": INSUFFICIENT,
        "x": INSUFFICIENT,
    }


def test_a_column_that_is_empty_though_values_are_expected_is_not_judged_by_these(
    rng: np.random.Generator,
) -> None:
    rule = drift_test(rng)
    counts = np.zeros(flag().size, dtype=np.int64)
    counts[-2] = ROWS

    found = rule.judge(window({"slow": counts, "x": counts}, START, DAY))

    assert found.drifts["x"].drifted, "by its gaps"
    assert "x" not in found.notes


def test_a_monitor_says_so_in_every_window_where_no_span_of_it_could_tell(
    rng: np.random.Generator,
) -> None:
    rule = drift_test(rng, (1, 2))
    days = [day(0, number=number) for number in range(2)]

    found = [rule.judge(days[0]), rule.judge(days[1], days[:1])]

    assert [one.notes for one in found] == [{"slow": UNDECIDABLE}] * 2
    assert all(one.remedies["slow"] for one in found)


def test_what_only_a_longer_span_can_show_is_left_to_it() -> None:
    cells = {"x": flags(np.array([5000]), np.array([10_000]))}
    columns, _ = reference({"x": flag("x")}, cells)
    hour = window({"x": flags(np.array([18]), np.array([36]))[0]}, START, HOUR)
    strict = Budget(false_alarms_per_year=1e-12)

    alone = DriftTest(columns, None, HOUR, budget=strict)
    later = DriftTest(columns, None, HOUR, budget=strict, scales=(1, 2, 4, 8))

    assert alone.judge(hour).notes == {"x": UNDECIDABLE}
    assert later.judge(hour).notes == {"x": UNDECIDABLE}
    assert later.judge(hour).remedies == {"x": DEFERRED}


def test_the_bound_that_is_shown_is_one_that_something_can_break(rng: np.random.Generator) -> None:
    a = np.minimum(rng.normal(0.94, 0.03, DAYS) * ROWS, ROWS).astype(np.int64)
    table = np.zeros((24 * DAYS, flag().size), dtype=np.int64)
    table[::24] = flags(a, np.full(DAYS, ROWS))
    rule = DriftTest(*reference({"x": flag()}, {"x": table}), DAY)

    for of, is_drift in ((0, True), (100, True), (190, False), (200, False)):
        counts = flags(np.array([of]), np.array([ROWS]))[0]
        found = rule.judge(window({"x": counts}, START, DAY))
        drift = found.drifts["x"]
        assert not found.notes
        assert drift.drifted == is_drift
        assert drift.bound < max(drift.share_reference, 1.0 - drift.share_reference)


def test_where_nothing_could_break_a_column_it_has_no_bound(rng: np.random.Generator) -> None:
    assert drift_test(rng).judge(day(100)).drifts["slow"].bound == np.inf


def test_independent_rows_are_judged(rng: np.random.Generator) -> None:
    cells = flags(np.array([15]), np.array([30]))[0]

    assert "x" not in drift_test(rng).judge(window({"slow": cells, "x": cells}, START, HOUR)).notes


@pytest.mark.parametrize(
    ("days", "remedy"),
    [
        (16, "11 more days of reference and 4 days in one check"),
        (40, "4 days in one check and 290 more days of reference if it is seasonal"),
    ],
)
def test_what_would_help_is_said(rng: np.random.Generator, days: int, remedy: str) -> None:
    found = drift_test(rng, days=days).judge(day(100))

    assert found.notes == {"slow": UNDECIDABLE}
    assert found.remedies == {"slow": remedy}


def test_of_a_monitor_days_come_together_by_themselves(rng: np.random.Generator) -> None:
    days = [
        drift_test(rng, (1, 2), days=number).judge(day(100)).remedies for number in (16, 40, 330)
    ]

    assert days == [
        {"slow": "11 more days of reference"},
        {"slow": "290 more days of reference"},
        {"slow": "a distance with a limit of your own would judge it"},
    ]


def test_rows_too_few_to_be_judged_are_told_how_many_it_takes(rng: np.random.Generator) -> None:
    found = drift_test(rng).judge(day(10, rows=20))

    assert found.remedies == {"slow": "at least 30 rows", "x": "at least 30 rows"}


def test_as_many_independent_rows_as_are_said_to_be_needed_are_judged() -> None:
    columns, _ = reference({"x": flag("x")}, {"x": flags(np.array([5000]), np.array([10_000]))})
    rule = DriftTest(columns, budget=Budget(false_alarms_per_year=1e-12))

    def judged(rows: int) -> DriftTestResult:
        return rule.judge(window({"x": flags(np.array([rows // 2]), np.array([rows]))[0]}))

    found = judged(36)
    assert found.notes == {"x": UNDECIDABLE}
    needed = int(found.remedies["x"].partition(" ")[0])
    assert 36 < needed < 300
    assert not judged(needed).notes
