"""Blocks that remember or lie far out: false alarms within the level, and little lost without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from driftline.stats.block_series import SeriesVariation, series_of_estimates
from driftline.stats.blocks import BlockVariation, variation_of_estimates

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


@pytest.mark.parametrize("rows", [1.0, 1_000.0])
def test_a_block_of_most_rows_hides_none_of_what_the_others_vary_by(rows: float) -> None:
    rng = np.random.default_rng(5)
    chance = np.full(28, CHANCE)
    chance[3] /= rows
    values = rng.normal(0.0, np.sqrt(chance)) + rng.normal(0.0, 2.0, 28)
    plain = variation_of_estimates(values, chance)

    found = series_of_estimates(values, chance, tails=math.inf)

    assert np.var(found.values, ddof=1) == pytest.approx(plain.variance + plain.chance)
    assert found.reach(LEVEL, 0.1) == pytest.approx(plain.reach(LEVEL, 0.1), rel=0.25)


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


@pytest.mark.parametrize("blocks", [28, 60, 90])
def test_a_window_of_several_days_is_surer_than_one_by_as_much_as_they_are_alike(
    blocks: int,
) -> None:
    rng, known, wider = np.random.default_rng(8), CHANCE * (1.0 / 7.0 + 1.0 / blocks), []
    for _ in range(60):
        one = days("alike", blocks, rng)
        week, lasting = (
            series(one, longer=longer, remembered=0.2).reach(LEVEL, known) for longer in (7.0, 1.0)
        )
        assert week < lasting
        wider.append(week / (-stats.norm.ppf(LEVEL) * math.sqrt(known)))

    # The two-sample test's is 1; of days whose part lasts for a whole week 1.4 to 2.0.
    assert np.median(wider) < (1.6 if blocks < 60 else 1.25)


def test_few_blocks_far_apart_have_students_law() -> None:
    values = np.array([-3.0, 1.0, 2.0])

    reach = series_of_estimates(values, np.full(3, 1e-6), tails=math.inf).reach(LEVEL, 1e-6)

    assert reach > 0.9 * stats.t.isf(LEVEL, 2) * values.std(ddof=1) * math.sqrt(4 / 3)


def test_days_that_seem_to_forget_may_remember_all_the_same() -> None:
    wavering = np.tile([1.0, -1.0], 14)  # Which differ by no more than chance makes them.
    known = CHANCE * (1 / 7 + 1 / 28)

    forgetful, wary = (
        series(wavering, longer=7.0, remembered=one).reach(LEVEL, known) for one in (0.0, 0.2)
    )

    assert forgetful < wary < series(wavering).reach(LEVEL, known)


@pytest.mark.parametrize("law", ["remember", "differ"])
@pytest.mark.parametrize("blocks", [28, 60, 90])
def test_weeks_beside_days_keep_the_level(law: str, blocks: int) -> None:
    rng, errors = np.random.default_rng([2, blocks]), []
    weeks = days(law, 7 * 50_000, rng).reshape(-1, 7).mean(axis=1)
    for _ in range(40):
        reference = days(law, blocks, rng)
        law_of = series(reference, longer=7.0, remembered=0.2)
        bound = reference.mean() + law_of.reach(LEVEL, CHANCE * (1.0 / 7.0 + 1.0 / blocks))
        errors.append(np.mean(weeks > bound))

    assert np.mean(errors) < 1.7 * LEVEL


@pytest.mark.parametrize("shared", [0.0, 0.01, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("count", [2, 12, 60])
def test_windows_since_the_reference_keep_the_level_however_much_days_differ(
    pytestconfig: pytest.Config, count: int, shared: float
) -> None:
    # Windows of 200 times a block's rows, which tell what blocks of a reference of 60 cannot.
    rng, blocks, own = np.random.default_rng(7), 60, 0.005
    errors, bounds = [], []
    for _ in range(400 if pytestconfig.getoption("full") else 100):
        reference = rng.normal(0.0, math.sqrt(1.0 + shared), blocks)
        values = rng.normal(0.0, math.sqrt(own + shared), count)
        law = series(reference, remembered=0.2)
        law = law.with_later(values, np.full(count, own), 1 / blocks, tolerance=0.0)
        bounds.append(law.reach(LEVEL, own + 1 / blocks))
        # The mean's own error is taken as it is on average: few references have its tails.
        error = math.sqrt(own + shared + (1 + shared) / blocks)
        errors.append(special.ndtr(-bounds[-1] / error))

    # Without them up to 1.8 times; the mean over references.
    assert np.mean(errors) < 2.5 * LEVEL
    # A change of 0.8 of a block's error is within the bounds of 60 blocks alone.
    assert series(np.tile([1.0, -1.0], 30)).reach(LEVEL, own + 1 / blocks) > 0.8
    assert count < 12 or shared > 0.0 or np.mean(np.array(bounds) < 0.8) > 0.9


def test_a_window_that_is_a_change_tells_nothing_of_those_without() -> None:
    rng, chance = np.random.default_rng(0), np.full(13, 0.005)
    law, usual = series(days("alike", 60, rng)), rng.normal(0.0, 0.07, 12)

    same = law.with_later(usual, chance[:12], 1 / 60, tolerance=0.1)
    beside = law.with_later(np.append(usual, 0.9), chance, 1 / 60, tolerance=0.1)
    within = law.with_later(np.append(usual, 0.1), chance, 1 / 60, tolerance=0.1)

    assert beside == same
    assert (len(same.later), len(within.later)) == (12, 13)
