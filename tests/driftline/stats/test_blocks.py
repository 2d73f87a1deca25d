"""How blocks of a reference differ: nothing learnt from noise, what they share found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats

from driftline.stats.blocks import (
    NO_BLOCKS,
    BlockVariation,
    laws_of_means,
    variation_of_estimates,
    variation_of_means,
)


def test_independent_rows_share_little_and_blocks_that_differ_share_much() -> None:
    rng = np.random.default_rng(0)
    rows, blocks = rng.normal(size=(40, 100)), np.repeat(np.arange(40), 100)

    alone = variation_of_means(rows.ravel(), blocks)
    shared = variation_of_means((rows + rng.normal(size=(40, 1))).ravel(), blocks)

    # A block's mean of 100 independent rows has variance 0.01.
    assert alone.variance < 0.005
    # Truth: 1.
    assert 0.7 < shared.variance < 1.5


def test_rows_that_count_as_independent_have_the_normal_law() -> None:
    of_rows = np.full(2, 0.03)

    bound, variance, freedom = laws_of_means(np.zeros((1, 2)), np.ones((1, 2)), of_rows)

    assert bound.tolist() == variance.tolist() == of_rows.tolist()
    assert np.isinf(freedom).all()


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_all_estimators_find_the_same_variance_between_blocks(spread: float) -> None:
    rng = np.random.default_rng(4)
    blocks, size = 400, 200
    middles = 0.5 + spread * rng.choice([-1.0, 1.0], blocks) / 2
    hits = rng.binomial(size, middles).astype(np.float64)
    values = (np.arange(size) < hits[:, None]).astype(np.float64).ravel()

    shares = hits / size
    usual = shares.mean() * (1 - shares.mean()) / size
    by_estimates = variation_of_estimates(shares, np.full(blocks, usual))
    sums, counts = (hits - size * shares.mean())[:, None], np.full((blocks, 1), size)
    by_sums = laws_of_means(sums, counts, np.zeros(1), usual * size)[1] / (1.0 + 1.0 / blocks)
    by_means = variation_of_means(values, np.repeat(np.arange(blocks), size))

    truth = (spread / 2) ** 2
    for found in (
        float(by_estimates.variance),
        float(by_sums[0]) * usual * size,
        float(by_means.variance),
    ):
        # Of 400 blocks chance moves each by 0.07 of the usual variance; one is an upper bound.
        assert 0.95 * truth - 0.4 * usual <= found <= 1.25 * truth + 0.4 * usual


def test_without_rows_part_it_is_students_prediction_and_without_blocks_the_normal_law() -> None:
    # Hahn 1970 for B blocks that are known without chance; scipy.stats for both laws.
    for blocks in (3, 12, 60):
        known = BlockVariation(4.0, 0.0, blocks)
        error = 2.0 * math.sqrt(1.0 + 1.0 / blocks)

        chance = stats.t.sf(3.0 / error, blocks - 1)
        assert np.exp(-known.nats(3.0, 0.0)) == pytest.approx(chance, rel=1e-4)
        assert known.reach(1e-5, 0.0) == pytest.approx(
            stats.t.isf(1e-5, blocks - 1) * error, rel=1e-4
        )
    assert np.exp(-NO_BLOCKS.nats(3.0, 4.0)) == pytest.approx(stats.norm.sf(1.5))
    assert NO_BLOCKS.reach(1e-5, 4.0) == pytest.approx(stats.norm.isf(1e-5) * 2.0)
    # Many blocks that differ by chance alone are as good as none.
    many = BlockVariation(0.0, 1.0, 10_000)
    assert np.exp(-many.nats(6.0, 4.0)) == pytest.approx(stats.norm.sf(3.0), rel=0.02)


def test_few_blocks_are_those_of_drawn_ones() -> None:
    # 4 million draws: variances that 12 blocks leave.
    rng = np.random.default_rng(1)
    variances = np.maximum(1.5 * 11 / rng.chisquare(11, 4_000_000) - 1.0, 0.0) * (13 / 12)
    found = BlockVariation(0.5, 1.0, 12)

    for distance in (2.0, 4.0, 8.0):
        drawn = special.ndtr(-distance / np.sqrt(0.3 + variances)).mean()
        chance = np.exp(-found.nats(distance, 0.3))
        assert chance == pytest.approx(drawn, rel=0.03)
        assert found.reach(chance, 0.3) == pytest.approx(distance, rel=1e-6)


@example(variance=0.0, blocks=2, known=[1.0, 2.0])  # A law of many magnitudes.
@given(
    variance=st.floats(-1.0, 10.0),
    blocks=st.integers(2, 366),
    known=st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=2),
)
def test_more_rows_never_make_less_certain(variance, blocks, known) -> None:
    found, (few, many) = BlockVariation(variance, 1.0, blocks), sorted(known)[::-1]

    assert found.nats(3.0, many) >= found.nats(3.0, few)
    assert found.reach(1e-4, many) <= found.reach(1e-4, few) * (1 + 1e-9)


def test_a_window_keeps_its_level_however_much_blocks_share() -> None:
    # Whatever part of a block's variance is shared, and however many times its rows a window has:
    # at level 1e-3, over 80 references of 12 blocks, never more than three times as often.
    rng = np.random.default_rng(2)
    for shared in (0.0, 0.25, 1.0, 4.0):
        for known in (1.0, 0.1):
            own = (1.0 + shared) * rng.chisquare(11, 80) / 11 - 1.0
            reach = [BlockVariation(one, 1.0, 12).reach(1e-3, known + 1 / 12) for one in own]
            error = math.sqrt(known + 1 / 12 + shared * 13 / 12)

            assert special.ndtr(-np.array(reach) / error).mean() < 3e-3
