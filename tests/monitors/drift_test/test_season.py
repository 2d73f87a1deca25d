"""The reference at the same time of the week: grids, their choice, what they expect."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.drift_test import DriftTest
from tests.monitors.drift_test.streams import HOUR, START, flag, flags, reference, window

FIRST = round(START.timestamp()) // 3600
WEEKS = 4
HOURS = np.arange(FIRST, FIRST + WEEKS * 168)
OF_DAY, WEEKDAY = (HOURS - FIRST) % 24, (HOURS - FIRST) // 24 % 7


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


def test_a_night_is_compared_with_nights(rng: np.random.Generator) -> None:
    shares = np.where(OF_DAY < 12, 0.2, 0.6)

    usual, grid = judged(shares, rng, share=0.2, hour=3)
    odd, _ = judged(shares, rng, share=0.6, hour=3)

    assert grid == "hour of day"
    assert not usual.drifted
    assert odd.drifted
    assert odd.share_reference == pytest.approx(0.2, abs=0.02)
