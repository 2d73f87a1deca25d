"""How blocks of the reference differ: nothing learnt from noise, what they share found."""

from datetime import timedelta

import numpy as np
import pytest
from scipy import optimize, stats

from driftline.baseline.derived_rows import UNKNOWN_HOUR
from driftline.baseline.sample import RowSample
from driftline.monitors.kinds.multivariate.blocks import (
    distance_needed,
    mean_dependence,
    student_distance,
    student_nats,
    time_blocks,
    weigh,
)


def sample(hours: np.ndarray) -> RowSample:
    return RowSample({"x": np.zeros(len(hours), np.uint8)}, hours, len(hours))


def test_days_are_blocks_and_rows_without_time_are_in_none() -> None:
    hours = np.append(np.repeat(np.arange(24 * 10), 4), UNKNOWN_HOUR)

    blocks = time_blocks(sample(hours), timedelta(days=1), 0.1)

    assert blocks[:-1].tolist() == (hours[:-1] // 24).tolist()
    assert blocks[-1] == -1


def test_windows_too_long_for_the_reference_are_halved() -> None:
    hours = np.repeat(np.arange(24 * 8), 4)

    blocks = time_blocks(sample(hours), timedelta(days=4), 0.5)

    assert blocks.max() + 1 == 8


def test_hours_of_a_long_reference_are_blocks_though_few_rows_of_each_are_kept() -> None:
    hours = np.repeat(np.arange(24 * 200), 4)

    blocks = time_blocks(sample(hours), timedelta(hours=1), 0.0002)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4_800, 4)) + rng.normal(size=(4_800, 1))
    shared = mean_dependence(rows.sum(axis=1), np.full(4_800, 4.0), 2.0)

    assert blocks.max() + 1 == 24 * 200
    # Half of a row's variance is its hour's.
    assert 0.45 < shared.variance < 0.6


def test_too_short_a_reference_has_no_blocks() -> None:
    assert (time_blocks(sample(np.repeat([0, 1, 2], 50)), timedelta(hours=1), 0.3) == -1).all()


def test_independent_rows_share_little_and_blocks_that_differ_share_much() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 100))

    alone = mean_dependence(rows.sum(axis=1), np.full(40, 100.0))
    shared = mean_dependence((rows + rng.normal(size=(40, 1))).sum(axis=1), np.full(40, 100.0), 2.0)

    # A block's mean of 100 independent rows has variance 0.01; the upper bound adds 45 % of it.
    assert alone.variance < 0.01
    # Truth: half of a row's variance is its block's.
    assert 0.35 < shared.variance < 1.2
    assert shared.between(1e6, 1e6) > 0.3


def test_a_surprising_block_raises_the_variance_of_its_mean_alone() -> None:
    sums = np.random.default_rng(1).normal(size=(30, 5)) * 10
    calm = mean_dependence(sums, np.full((30, 5), 100.0))
    sums[7, 2] = 200.0

    assert calm.tail.tolist() == [1.0] * 5
    tail = mean_dependence(sums, np.full((30, 5), 100.0)).tail
    assert tail[2] > 1.4
    assert np.delete(tail, 2).tolist() == [1.0] * 4


@pytest.mark.parametrize(("variance", "largest"), [(0.01, 0.0), (0.01, 0.2), (1e-4, 1.0)])
def test_the_bound_is_where_the_evidence_suffices(variance: float, largest: float) -> None:
    found = distance_needed(12.0, variance, largest)

    # An independent way: find the root of the evidence by bisection.
    root = optimize.brentq(
        lambda at: float(weigh(np.asarray(at), np.asarray(variance), largest)) - 12.0, 1e-9, 1e3
    )
    assert found == pytest.approx(root, rel=1e-6)


def test_few_blocks_give_no_more_certainty_than_they_have() -> None:
    rng = np.random.default_rng(0)
    trials, rows, alpha = 200_000, 1e4, 1e-4
    blocks = rng.normal(size=(8, trials))
    distance = np.abs(rng.normal(size=trials) - blocks.mean(axis=0))

    # Means of blocks that differ by 1, a hundred times more than their rows say.
    sums = (blocks - blocks.mean(axis=0)) * rows
    shared = mean_dependence(sums, np.full(sums.shape, rows), 1.0)
    by_bound = weigh(distance, shared.between(1e9, rows))
    nats = student_nats(distance, *shared.student(1e9, rows))

    needed = np.log(2 / alpha)
    assert np.mean(by_bound > needed) > 3 * alpha
    assert np.mean(np.minimum(by_bound, nats) > needed) <= 1.5 * alpha
    reach = student_distance(float(needed), *shared.student(1e9, rows))
    assert ((distance > reach) == (nats > needed)).all()


def test_rows_that_count_as_independent_have_the_normal_law() -> None:
    alone = mean_dependence(np.zeros((1, 2)), np.ones((1, 2)))

    variance, freedom = alone.student(100.0, 50.0)

    assert variance == pytest.approx(0.03)
    assert np.isinf(freedom).all()
    assert student_nats(0.5, variance, freedom) == pytest.approx(-stats.norm.logsf(0.5 / 0.03**0.5))
