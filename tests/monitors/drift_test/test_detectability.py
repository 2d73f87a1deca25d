"""Columns that no window could violate are told from those that were judged and kept."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.state import State
from tests.monitors.drift_test.streams import START, flag, flags, reference, window

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

    assert found.notes == {"slow": State.TOO_VARIABLE}
    assert not any(one.drifted for one in found.drifts.values())
