"""How blocks of the reference differ: nothing learnt from noise, what they share found."""

from datetime import timedelta

import numpy as np
import pytest
from scipy import optimize

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.monitors.kinds.multivariate.blocks import (
    distance_needed,
    sample_blocks,
    weigh,
)


def sample(hours: np.ndarray) -> RowSample:
    return RowSample({"x": np.zeros(len(hours), np.uint8)}, hours, len(hours))


def test_days_are_blocks_and_rows_without_time_are_in_none() -> None:
    hours = np.append(np.repeat(np.arange(24 * 10), 4), UNKNOWN_HOUR)

    blocks = sample_blocks(sample(hours), timedelta(days=1), 0.1)

    assert blocks[:-1].tolist() == (hours[:-1] // 24).tolist()
    assert blocks[-1] == -1


def test_windows_too_long_for_the_reference_are_halved() -> None:
    hours = np.repeat(np.arange(24 * 8), 4)

    blocks = sample_blocks(sample(hours), timedelta(days=4), 0.5)

    assert blocks.max() + 1 == 8


def test_hours_of_a_long_reference_are_blocks_though_few_rows_of_each_are_kept() -> None:
    hours = np.repeat(np.arange(24 * 200), 4)

    blocks = sample_blocks(sample(hours), timedelta(hours=1), 0.0002)

    assert blocks.max() + 1 == 24 * 200


def test_too_short_a_reference_has_no_blocks() -> None:
    assert (sample_blocks(sample(np.repeat([0, 1, 2], 50)), timedelta(hours=1), 0.3) == -1).all()


def test_without_times_the_order_of_the_rows_stands_for_them() -> None:
    rows = RowSample({"x": np.zeros(1_000, np.uint8)}, None, 1_000)

    tenths = sample_blocks(rows, None, 0.1)
    halves = sample_blocks(rows, timedelta(days=1), 0.5)

    assert np.bincount(tenths).tolist() == [100] * 10
    assert halves.max() + 1 == 8
    assert (np.diff(tenths) >= 0).all()
    assert (sample_blocks(RowSample({"x": np.zeros(3, np.uint8)}, None, 3), None, 0.3) == -1).all()


@pytest.mark.parametrize(("variance", "largest"), [(0.01, 0.0), (0.01, 0.2), (1e-4, 1.0)])
def test_the_bound_is_where_the_evidence_suffices(variance: float, largest: float) -> None:
    found = distance_needed(12.0, variance, largest)

    # An independent way: find the root of the evidence by bisection.
    root = optimize.brentq(
        lambda at: float(weigh(np.asarray(at), np.asarray(variance), largest)) - 12.0, 1e-9, 1e3
    )
    assert found == pytest.approx(root, rel=1e-6)
