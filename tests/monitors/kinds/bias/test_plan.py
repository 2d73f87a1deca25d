"""The reference's blocks of time, beside which a window is judged."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.kinds.bias.change import Blocks
from driftline.monitors.kinds.bias.plan import blocks_of_groups, plan_of
from tests.monitors.kinds.bias.adult import people

DAY_US = 86_400_000_000


def blocks_of(times_us: np.ndarray, window: timedelta | None) -> Blocks:
    """Return the blocks of real people who came at such times."""
    table = people().slice(0, len(times_us))
    timed = table.append_column("at", pa.array(times_us).cast(pa.timestamp("us", "UTC")))
    reference = Baseline.fit(timed, label="income", positive=1, facet="sex=Female", timestamp="at")
    assert reference.outcomes is not None
    [blocks] = blocks_of_groups(plan_of(reference, reference.outcomes.roles), window)
    assert blocks is not None
    return blocks


@pytest.mark.parametrize(
    ("window", "days", "longer"),
    [
        (timedelta(weeks=1), 1, 7.0),
        (timedelta(days=30), 1, 30.0),
        (timedelta(days=1), 1, 1.0),
        (timedelta(hours=1), 1, 1.0),
        (timedelta(minutes=15), 1, 1.0),  # Blocks are hours at least.
        (None, 1, 1.0),
    ],
)
def test_a_window_lasts_for_one_block_or_more(
    window: timedelta | None, days: int, longer: float
) -> None:
    blocks = blocks_of(np.arange(16_000) * 30 * DAY_US // 16_000, window)

    assert (blocks.days, blocks.longer) == (days, longer)
    assert blocks.counts.sum() == 16_000


def test_a_week_of_rows_that_come_on_one_of_its_days_is_one_day() -> None:
    rows = np.arange(16_000)

    blocks = blocks_of(rows // 800 * 7 * DAY_US + rows % 800, timedelta(weeks=1))

    assert len(blocks.counts) == 20
    # Of 134 days from the first to the last 20 have rows.
    assert blocks.longer == pytest.approx(7 * 20 / 134, rel=0.01)
