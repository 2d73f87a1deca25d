"""How blocks of a reference differ: nothing learnt from noise, what they share found."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from driftline.monitors.kinds.multivariate.blocks import student_distance, student_nats
from driftline.stats.blocks import (
    DAY_US,
    HOUR_US,
    NO_BLOCKS,
    BlockVariation,
    block_length,
    dispersion,
    series_length,
    time_blocks,
    variation_of_estimates,
    variation_of_means,
    variation_of_rows,
    variation_of_sums,
)


def test_an_hours_share_of_a_rows_variance_is_found_though_few_rows_of_each_are_kept() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4_800, 4)) + rng.normal(size=(4_800, 1))

    found = variation_of_means(rows.ravel(), np.repeat(np.arange(4_800), 4))

    # Truth: 1, half of a row's variance.
    assert 0.9 < found.variance < 1.1
    assert found.blocks == 4_800


def test_of_blocks_of_few_rows_none_is_a_surprise_by_itself() -> None:
    rng = np.random.default_rng(0)
    rows = rng.exponential(size=(4_800, 4)) - 1.0

    found = variation_of_means(rows.ravel(), np.repeat(np.arange(4_800), 4))

    # The farthest of 4,800 means of four rows lies 7 deviations out, and says nothing of its hour.
    assert found.variance < 0.02


def test_independent_rows_share_little_and_blocks_that_differ_share_much() -> None:
    rng = np.random.default_rng(0)
    rows, blocks = rng.normal(size=(40, 100)), np.repeat(np.arange(40), 100)

    alone = variation_of_means(rows.ravel(), blocks)
    shared = variation_of_means((rows + rng.normal(size=(40, 1))).ravel(), blocks)

    # A block's mean of 100 independent rows has variance 0.01.
    assert alone.variance < 0.005
    # Truth: 1.
    assert 0.7 < shared.variance < 1.5


def test_rows_without_a_value_and_blocks_of_none_count_for_nothing() -> None:
    rng = np.random.default_rng(3)
    rows, blocks = rng.normal(size=600), np.repeat(np.arange(6), 100)
    lacking = np.where(blocks == 4, np.nan, rows)
    kept = blocks != 4

    assert variation_of_means(lacking, blocks) == variation_of_means(rows[kept], blocks[kept])
    assert variation_of_means(rows, np.full(600, -1)) == NO_BLOCKS
    assert variation_of_means(rows, np.minimum(blocks, 1)) == NO_BLOCKS


@pytest.mark.parametrize("law", [NO_BLOCKS, BlockVariation(0.2, 1.0, 12)])
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_the_reach_is_where_the_evidence_suffices(law: BlockVariation, scale: float) -> None:
    for nats in (2.0, 9.0, 20.0):
        reach = law.reach(math.exp(-nats), 0.4, scale)

        assert law.nats(reach, 0.4, scale) == pytest.approx(nats, rel=1e-5)
    assert law.nats(3.0, 0.4) == pytest.approx(-math.log(law.tail(3.0, 0.4)))
    # Where the tail itself is no longer a number, what is stranger still is more evidence.
    assert law.nats(4e3, 0.4, scale) > law.nats(3e3, 0.4, scale) > 100.0


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.integers(4, 120),
    level=st.floats(1e-6, 0.05),
    variance=st.floats(0.3, 4.0),
    shared=st.floats(0.0, 4.0),
    beyond=st.floats(1.0, 3.0),
)
def test_what_the_largest_window_finds_is_found_the_more_often_the_more_rows_there_are(
    blocks: int, level: float, variance: float, shared: float, beyond: float
) -> None:
    law = BlockVariation(variance - 1.0, 1.0, blocks)
    change = beyond * law.reach(level, 1 / blocks)  # At least what bounds a window without end.
    rows = np.geomspace(0.1, 1e4, 12)  # Of the window, in those of a block.

    bounds = np.array([law.reach(level, 1 / one + 1 / blocks) for one in rows])
    found = special.ndtr((change - bounds) / np.sqrt(1 / rows + shared))

    assert (np.diff(bounds) <= 1e-9 * bounds[0]).all()
    assert (np.diff(found) >= -1e-9).all()


@settings(max_examples=20, deadline=None)
@given(
    blocks=st.sampled_from([28, 60, 90]),
    level=st.floats(1e-5, 0.05),
    shared=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    change=st.floats(0.2, 8.0),
)
def test_over_references_no_change_that_is_often_found_is_found_less_with_more_rows(
    blocks: int, level: float, shared: float, change: float
) -> None:
    middles = (np.arange(40) + 0.5) / 40  # Of equally likely references.
    variances = (1 + shared) * stats.chi2.ppf(middles, blocks - 1) / (blocks - 1)
    laws = [BlockVariation(float(one) - 1.0, 1.0, blocks) for one in variances]

    found = []
    for rows in np.geomspace(0.2, 200.0, 7):
        bounds = np.array([law.reach(level, 1 / rows + 1 / blocks) for law in laws])
        error = math.sqrt(1 / rows + shared + (1 + shared) / blocks)
        found.append(float(special.ndtr((change - bounds) / error).mean()))

    # Of what is hardly ever found few rows find some by luck, up to 3 windows in 100.
    often = [before for before, now in itertools.pairwise(found) if now < before - 0.003]
    assert max(often, default=0.0) < 0.1


def test_a_surprising_block_raises_the_variance_of_its_mean_alone() -> None:
    sums = np.random.default_rng(1).normal(size=(30, 5)) * 10
    calm = variation_of_sums(sums, np.full((30, 5), 100.0))
    sums[7, 2] = 200.0

    assert calm.tail.tolist() == [1.0] * 5
    tail = variation_of_sums(sums, np.full((30, 5), 100.0)).tail
    assert tail[2] > 1.4
    assert np.delete(tail, 2).tolist() == [1.0] * 4


def test_few_blocks_give_no_more_certainty_than_they_have() -> None:
    rng = np.random.default_rng(0)
    trials, rows, alpha = 200_000, 1e4, 1e-4
    blocks = rng.normal(size=(8, trials))
    distance = np.abs(rng.normal(size=trials) - blocks.mean(axis=0))

    # Means of blocks that differ by 1, a hundred times more than their rows say.
    sums = (blocks - blocks.mean(axis=0)) * rows
    shared = variation_of_sums(sums, np.full(sums.shape, rows), 1.0)
    by_bound = distance**2 / 2.0 / shared.between(1e9, rows)
    nats = student_nats(distance, *shared.student(1e9, rows))

    needed = np.log(2 / alpha)
    assert np.mean(by_bound > needed) > 3 * alpha
    assert np.mean(np.minimum(by_bound, nats) > needed) <= 1.5 * alpha
    reach = student_distance(float(needed), *shared.student(1e9, rows))
    assert ((distance > reach) == (nats > needed)).all()


def test_rows_that_count_as_independent_have_the_normal_law() -> None:
    alone = variation_of_sums(np.zeros((1, 2)), np.ones((1, 2)))

    variance, freedom = alone.student(100.0, 50.0)

    assert variance == pytest.approx(0.03)
    assert np.isinf(freedom).all()
    assert student_nats(0.5, variance, freedom) == pytest.approx(-stats.norm.logsf(0.5 / 0.03**0.5))


def test_days_begin_at_midnight_and_ragged_ends_are_in_no_block() -> None:
    times = np.concatenate([np.arange(20, 24), np.arange(24, 96), [97]]) * HOUR_US

    blocks = time_blocks(times, DAY_US, partial_share=0.5)

    assert blocks.tolist() == [-1] * 4 + [0] * 24 + [1] * 24 + [2] * 24 + [-1]


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_all_estimators_find_the_same_variance_between_blocks(spread: float) -> None:
    rng = np.random.default_rng(4)
    blocks, size = 400, 200
    middles = 0.5 + spread * rng.choice([-1.0, 1.0], blocks) / 2
    hits = rng.binomial(size, middles).astype(np.float64)
    values = (np.arange(size) < hits[:, None]).astype(np.float64).reshape(-1, 1)

    by_rows, _ = variation_of_rows(values, np.full(blocks, size))
    shares = hits / size
    usual = shares.mean() * (1 - shares.mean()) / size
    by_estimates = variation_of_estimates(shares, np.full(blocks, usual))
    by_sums = variation_of_sums(hits - size * shares.mean(), np.full(blocks, size), usual * size)
    by_means = variation_of_means(values.ravel(), np.repeat(np.arange(blocks), size))
    over = dispersion(hits[:, None], np.full(blocks, float(size)))

    truth = (spread / 2) ** 2
    for found in (
        float(np.asarray(by_rows.variance)[0]),
        float(by_estimates.variance),
        float(by_sums.estimate.variance) * usual * size,
        float(by_means.variance),
        (float(over[0]) - 1) * usual,
    ):
        # Of 400 blocks chance moves each by 0.07 of the usual variance; one is an upper bound.
        assert 0.95 * truth - 0.4 * usual <= found <= 1.25 * truth + 0.4 * usual


def test_without_blocks_nothing_is_added_and_nothing_is_guessed() -> None:
    assert float(NO_BLOCKS.added) == 0.0
    assert np.isinf(NO_BLOCKS.degrees(np.ones(2))).all()
    # Where the blocks decide alone, their number does (Satterthwaite).
    assert float(BlockVariation(1.0, 0.0, 12).degrees(0.0)) == pytest.approx(11.0)


def test_without_rows_part_it_is_students_prediction_and_without_blocks_the_normal_law() -> None:
    # Hahn 1970 for B blocks that are known without chance; scipy.stats for both laws.
    for blocks in (3, 12, 60):
        known = BlockVariation(4.0, 0.0, blocks)
        error = 2.0 * math.sqrt(1.0 + 1.0 / blocks)

        assert known.tail(3.0, 0.0) == pytest.approx(stats.t.sf(3.0 / error, blocks - 1), rel=1e-4)
        assert known.reach(1e-5, 0.0) == pytest.approx(
            stats.t.isf(1e-5, blocks - 1) * error, rel=1e-4
        )
    assert NO_BLOCKS.tail(3.0, 4.0) == pytest.approx(stats.norm.sf(1.5))
    assert NO_BLOCKS.reach(1e-5, 4.0) == pytest.approx(stats.norm.isf(1e-5) * 2.0)
    # Many blocks that differ by chance alone are as good as none.
    assert BlockVariation(0.0, 1.0, 10_000).tail(6.0, 4.0) == pytest.approx(
        stats.norm.sf(3.0), rel=0.02
    )


def test_few_blocks_are_those_of_drawn_ones() -> None:
    # 4 million draws: variances that 12 blocks leave.
    rng = np.random.default_rng(1)
    variances = np.maximum(1.5 * 11 / rng.chisquare(11, 4_000_000) - 1.0, 0.0) * (13 / 12)
    found = BlockVariation(0.5, 1.0, 12)

    for distance in (2.0, 4.0, 8.0):
        drawn = special.ndtr(-distance / np.sqrt(0.3 + variances)).mean()
        assert found.tail(distance, 0.3) == pytest.approx(drawn, rel=0.03)
        assert found.reach(found.tail(distance, 0.3), 0.3) == pytest.approx(distance, rel=1e-6)


@settings(max_examples=100, deadline=None)
@example(variance=0.0, blocks=2, known=[1.0, 2.0])  # A law of many magnitudes.
@given(
    variance=st.floats(-1.0, 10.0),
    blocks=st.integers(2, 366),
    known=st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=2),
)
def test_more_rows_never_make_less_certain(variance, blocks, known) -> None:
    found, (few, many) = BlockVariation(variance, 1.0, blocks), sorted(known)[::-1]

    assert found.tail(3.0, many) <= found.tail(3.0, few)
    assert found.reach(1e-4, many) <= found.reach(1e-4, few) * (1 + 1e-9)


def test_a_window_keeps_its_level_however_much_blocks_share() -> None:
    # Whatever part of a block's variance is shared, and however many times its rows a window has:
    # at level 1e-3, over 400 references of 12 blocks, never more than three times as often.
    rng = np.random.default_rng(2)
    for shared in (0.0, 0.25, 1.0, 4.0):
        for known in (1.0, 0.1):
            own = (1.0 + shared) * rng.chisquare(11, 400) / 11 - 1.0
            reach = [BlockVariation(one, 1.0, 12).reach(1e-3, known + 1 / 12) for one in own]
            error = math.sqrt(known + 1 / 12 + shared * 13 / 12)

            assert special.ndtr(-np.array(reach) / error).mean() < 3e-3


def test_blocks_are_as_long_as_the_window_or_halved_until_there_are_eight() -> None:
    def hours(window: timedelta | None, share: float = 1.0) -> float:
        return block_length(90 * 24 * HOUR_US, window, share) / HOUR_US

    assert hours(timedelta(weeks=1)) == 168
    assert hours(timedelta(days=30)) == 180
    assert hours(timedelta(minutes=10)) == 1
    # Without a window: the time that the reference took for so many rows.
    assert hours(None, share=0.1) == 216


@pytest.mark.parametrize(
    ("span", "window", "hours"),
    [
        (365, timedelta(weeks=1), 168),
        (90, timedelta(weeks=1), 24),
        (90, timedelta(days=64), 48),
        (120, timedelta(days=28), 96),
        (29, timedelta(days=1), 24),
        (9, timedelta(weeks=1), 24),
        (5, timedelta(weeks=1), 12),
        (29, timedelta(hours=6), 6),
    ],
)
def test_blocks_that_are_known_one_by_one_are_parts_of_the_window_in_whole_days(
    span: int, window: timedelta, hours: int
) -> None:
    assert series_length(span * DAY_US, window) == hours * HOUR_US
