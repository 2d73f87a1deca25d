"""How blocks of the reference differ: nothing learnt from noise, what they share found."""

from datetime import timedelta

import numpy as np

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.monitors.kinds.multivariate.blocks import sample_blocks


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
