"""How blocks of the reference differ: nothing learnt from noise, what they share found."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.monitors.kinds.multivariate.blocks import sample_blocks, tail_scale
from driftline.stats.blocks import NO_BLOCKS


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


def test_the_tails_scale_is_that_of_their_law() -> None:
    rng = np.random.default_rng(0)
    # E|x|^k = k! for Laplace's law, of variance 2: Bernstein's condition holds with a scale of 1.
    assert tail_scale(rng.laplace(size=400_000)) == pytest.approx(1.0, rel=0.15)
    # A coin's moments are all 1, of variance 1: a third, by the third of them.
    assert tail_scale(rng.choice([-1.0, 1.0], 1_000)) == pytest.approx(1.0 / 3.0)
    assert tail_scale(np.array([np.nan, 0.0])) == 0.0


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_the_tails_scale_is_at_most_a_third_of_the_largest_row(values: list[float]) -> None:
    found = np.array(values)

    assert tail_scale(found) <= np.abs(found).max() / 3.0 * (1.0 + 1e-9)


def test_bernsteins_bound_holds_for_means_of_rows_with_heavy_tails() -> None:
    # scipy's law of a sum of 300 exponential rows, against the bound from 20,000 drawn ones.
    rows = np.random.default_rng(1).exponential(size=20_000) - 1.0
    scale = tail_scale(rows) / 300

    for nats in (3.0, 9.0, 16.0):
        reach = NO_BLOCKS.reach(np.exp(-nats), 1.0 / 300, scale)
        true = -stats.gamma.logsf(300 * (1.0 + reach), 300)

        assert true > nats
        # Without the tails' scale it would be too sure.
        assert -stats.gamma.logsf(300 * (1 + NO_BLOCKS.reach(np.exp(-nats), 1 / 300)), 300) < nats
