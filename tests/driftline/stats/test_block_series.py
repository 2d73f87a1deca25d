"""Blocks that remember or lie far out: false alarms within the level, and little lost without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.stats.block_series import SeriesVariation
from driftline.stats.blocks import BlockVariation

LEVEL = 1e-3
# Of a block's value by its rows, and how many times as far apart days lie by themselves.
CHANCE, SHARED = 1.0, 3.0


def series(values: np.ndarray, **changed: float) -> SeriesVariation:
    """Return what blocks of these values leave possible."""
    away, blocks = values - values.mean(), len(values)
    usual = {"beside": blocks}
    return SeriesVariation(
        float(values.var(ddof=1)) - CHANCE, CHANCE, blocks, values=tuple(away.tolist()),
        **{**usual, **changed},
    )  # fmt: skip


def days(law: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw days that nothing changes."""
    if law == "remember":
        found = rng.normal(size=count)
        for day in range(1, count):
            found[day] = 0.8 * found[day - 1] + 0.6 * found[day]
    elif law == "heavy":
        found = rng.standard_t(3, count) / math.sqrt(3.0)
    else:
        found = rng.normal(size=count) * (law == "differ")
    return SHARED * found + rng.normal(0.0, math.sqrt(CHANCE), count)


def error(law: str, blocks: int, references: int = 40) -> tuple[float, float]:
    """Return the share of windows, by levels, that ring by this law, and by that of alike days."""
    rng = np.random.default_rng([1, blocks])
    later = np.sort(days(law, 200_000, rng))
    found = np.zeros(2)
    for _ in range(references):
        reference = days(law, blocks, rng)
        one = series(reference)
        plain = BlockVariation(one.variance, CHANCE, blocks)
        for at, law_of in enumerate((one, plain)):
            bound = reference.mean() - law_of.reach(LEVEL, CHANCE * (1.0 + 1.0 / blocks))
            found[at] += np.searchsorted(later, bound) / len(later) / references / LEVEL
    return float(found[0]), float(found[1])


@pytest.mark.parametrize("blocks", [28, 60, 90])
def test_days_that_follow_each_other_keep_the_level(blocks: int) -> None:
    ours, plain = error("remember", blocks)

    assert ours < 1.0 and plain > 2.0, (ours, plain)


@pytest.mark.parametrize(("blocks", "most"), [(28, 1.7), (60, 1.2), (90, 1.0)])
def test_days_with_heavy_tails_keep_the_level_if_they_are_many(blocks: int, most: float) -> None:
    # 28 days mostly lack the worst of a year, and nothing tells that there are such.
    ours, plain = error("heavy", blocks)

    assert ours < most and plain > 3.0, (ours, plain)


@pytest.mark.parametrize(("blocks", "wider"), [(28, 1.06), (60, 1.04), (90, 1.03), (366, 1.02)])
def test_days_that_are_alike_cost_little(blocks: int, wider: float) -> None:
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(20):
        one = series(days("alike", blocks, rng))
        known = CHANCE * (1.0 + 1.0 / blocks)
        plain = BlockVariation(one.variance, CHANCE, blocks)
        ratios.append(one.reach(LEVEL, known) / plain.reach(LEVEL, known))

    assert np.median(ratios) < wider


def test_a_block_far_out_makes_another_likely() -> None:
    usual = np.random.default_rng(4).normal(0.0, 2.0, 60)
    bad = usual.copy()
    bad[30] = 25.0

    reach, far = (series(one).reach(LEVEL, 1.0) for one in (usual, bad))

    assert reach < 10.0
    assert far > 25.0
    # The spread of normal days of the same variance is half of it.
    assert far > 1.6 * BlockVariation(bad.var(ddof=1) - 1.0, 1.0, 60).reach(LEVEL, 1.0)


@settings(max_examples=30, deadline=None)
@given(
    law=st.sampled_from(["remember", "heavy", "differ", "alike"]),
    blocks=st.integers(10, 100),
    seed=st.integers(0, 1000),
    known=st.floats(0.001, 100.0),
)
def test_no_bound_widens_with_rows(law, blocks, seed, known) -> None:
    one = series(days(law, blocks, np.random.default_rng(seed)))
    rows = [one.reach(LEVEL, known * more) for more in (1.0, 0.3, 0.01)]

    assert rows == sorted(rows, reverse=True)


def test_longer_windows_have_lighter_tails() -> None:
    reference = days("heavy", 60, np.random.default_rng(6))
    day, week = (series(reference, days=one).reach(LEVEL, 1.0) for one in (1, 7))

    assert week < day


def test_blocks_without_a_difference_have_the_law_of_chance() -> None:
    one = SeriesVariation(0.0 - CHANCE, CHANCE, 12, values=(0.0,) * 12)

    assert one.reach(LEVEL, 1.0) == pytest.approx(-stats.norm.ppf(LEVEL), rel=1e-6)


def test_the_reach_is_where_the_chance_is_the_level() -> None:
    one = series(days("remember", 40, np.random.default_rng(7)))

    assert one.tail(one.reach(LEVEL, 0.5), 0.5) == pytest.approx(LEVEL, rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 4.4e-15])
@pytest.mark.parametrize("blocks", [14, 60])
def test_blocks_that_only_rounding_tells_apart_have_the_law_of_their_rows(
    noise: float, blocks: int
) -> None:
    same = SeriesVariation(-CHANCE, CHANCE, blocks, beside=blocks, values=(noise,) * blocks)
    plain = BlockVariation(-CHANCE, CHANCE, blocks, beside=blocks)

    assert same.reach(LEVEL, CHANCE) == plain.reach(LEVEL, CHANCE)
