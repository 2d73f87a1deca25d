"""Columns that no window could violate are told from those that were judged and kept."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.drift_test.drift_test import INSUFFICIENT, DriftTest
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, reference, window

DAY = timedelta(days=1)
DAYS, ROWS = 40, 200


def decider(rng: np.random.Generator, scales: tuple[int, ...] = (1,)) -> DriftTest:
    """Forty days: of "slow" each is wholly a or b for eight days, of "x" its rows are alike."""
    a = {
        "slow": np.where(np.arange(DAYS) // 8 % 2, ROWS, 0),
        "x": rng.binomial(ROWS, 0.5, DAYS),
    }
    tables = {}
    for name, counts in a.items():
        tables[name] = np.zeros((24 * DAYS, flag(name).size), dtype=np.int64)
        tables[name][::24] = flags(counts, np.full(DAYS, ROWS))
    columns, blocks = reference({name: flag(name) for name in tables}, tables)
    return DriftTest(columns, blocks, DAY, scales=scales)


def day(of: int, rows: int = ROWS, number: int = 0) -> object:
    cells = flags(np.array([of]), np.array([rows]))[0]
    half = flags(np.array([rows // 2]), np.array([rows]))[0]
    return window({"slow": cells, "x": half}, START + number * DAY, DAY)


@pytest.mark.parametrize("of", [0, 100, 200])
def test_a_column_that_may_lie_anywhere_is_not_judged(rng: np.random.Generator, of: int) -> None:
    found = decider(rng).judge(day(of))

    assert found.notes == {"slow": UNDECIDABLE}
    assert not found.drifted


def test_what_lies_beyond_all_that_was_seen_is_told_of_it_all_the_same(
    rng: np.random.Generator,
) -> None:
    counts = np.zeros(flag().size, dtype=np.int64)
    counts[-3] = ROWS  # All unseen.
    other = flags(np.array([ROWS // 2]), np.array([ROWS]))[0]

    found = decider(rng).judge(window({"slow": counts, "x": other}, START, DAY))

    assert found.drifted == ("slow",)
    assert found.notes == {}


def test_too_few_rows_are_said_to_be_too_few(rng: np.random.Generator) -> None:
    assert decider(rng).judge(day(10, rows=20)).notes == {"slow": INSUFFICIENT, "x": INSUFFICIENT}


def test_a_column_that_is_empty_though_values_are_expected_is_not_judged_by_these(
    rng: np.random.Generator,
) -> None:
    rule = decider(rng)
    counts = np.zeros(flag().size, dtype=np.int64)
    counts[-2] = ROWS

    found = rule.judge(window({"slow": counts, "x": counts}, START, DAY))

    assert found.drifts["x"].drifted, "by its gaps"
    assert "x" not in found.notes


def test_of_a_monitor_the_longest_span_has_the_last_word(rng: np.random.Generator) -> None:
    rule = decider(rng, (1, 2))
    days = [day(0, number=number) for number in range(2)]

    notes = [rule.judge(days[0]).notes, rule.judge(days[1], days[:1]).notes]

    ends = [(round((START + i * DAY).timestamp()) // 86400 + 1) % 2 == 0 for i in range(2)]
    assert [bool(one) for one in notes] == ends


def test_independent_rows_are_judged(rng: np.random.Generator) -> None:
    cells = flags(np.array([15]), np.array([30]))[0]

    assert "x" not in decider(rng).judge(window({"slow": cells, "x": cells}, START, HOUR)).notes
