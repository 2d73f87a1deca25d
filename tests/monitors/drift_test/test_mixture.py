"""Columns that were counted over hours of their own are judged by these hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.spans import Span
from driftline.monitors.drift_test.window_counts import WindowCounts

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, tzinfo=UTC)
FIRST_HOUR = 480_000


def counted(seed: int, days: int) -> BlockCounts:
    """Return hours of one column whose shares follow the hour of the day."""
    rng = np.random.default_rng(seed)
    hours = FIRST_HOUR + 10_000 * seed + np.arange(24 * days)
    share = 0.5 + 0.3 * np.sin(hours * 2 * np.pi / 24)
    first = rng.binomial(60, share)
    counts = np.stack([first, 60 - first, *[0 * first] * 3], axis=1).astype(np.int32)
    return BlockCounts(hours, {f"x{seed}": counts})


def column(blocks: BlockCounts, name: str) -> ReferenceColumn:
    cells = Cells(name, "string", levels=("a", "b"))
    return ReferenceColumn(cells, blocks.counts[name].sum(axis=0).astype(np.float64))


def test_each_column_is_expected_as_by_its_own_hours() -> None:
    one, two = counted(1, 30), counted(2, 45)
    names = {"x1": column(one, "x1"), "x2": column(two, "x2")}
    both = DriftTest(names, BlockCounts(one.hours, one.counts, (two,)), timedelta(hours=1))
    window = WindowCounts(START, START + timedelta(hours=1), 60, {})
    span = Span((window,), 1, 1)

    found = both.reference_model.expect(span)

    for name, blocks in (("x1", one), ("x2", two)):
        alone = DriftTest({name: names[name]}, blocks, timedelta(hours=1)).reference_model
        expected, layout = alone.expect(span), both.reference_model.layout
        at = [layout.names.index(name)]
        assert found.cells[layout.cell_places(at)] == pytest.approx(expected.cells, abs=0)
        assert found.rows[at] == pytest.approx(expected.rows, abs=0)
        assert found.effect[layout.places(at)] == pytest.approx(expected.effect, abs=0)
        assert found.cluster_effect[layout.places(at)] == pytest.approx(
            expected.cluster_effect, abs=0
        )


def test_drift_is_found_in_either_part_and_in_no_other() -> None:
    one, two = counted(1, 30), counted(2, 45)
    names = {"x1": column(one, "x1"), "x2": column(two, "x2")}
    drift_test = DriftTest(names, BlockCounts(one.hours, one.counts, (two,)), DAY)
    usual, moved = np.array([720, 720, 0, 0, 0]), np.array([1300, 140, 0, 0, 0])

    for drifted in names:
        cells = {name: moved if name == drifted else usual for name in names}
        found = drift_test.judge(WindowCounts(START, START + DAY, 1440, cells))
        assert found.drifted == (drifted,)
