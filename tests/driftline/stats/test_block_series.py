"""Blocks that remember or lie far out: false alarms within the level, and little lost without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from driftline.stats.block_series import SeriesVariation
from driftline.stats.blocks import BlockVariation

LEVEL = 1e-3
# Of a block's value by its rows, and how many times as far apart days lie by themselves.
CHANCE, SHARED = 1.0, 3.0
# Of later windows and what days share, those that every run looks at.
SEEN = {(2, 0.2), (12, 0.0)}
# Numbers of blocks beside the one that every run looks at.
IN_FULL = [pytest.param(blocks, marks=pytest.mark.full) for blocks in (28, 90)]


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


@pytest.mark.parametrize("blocks", [60, *IN_FULL])
def test_days_that_follow_each_other_keep_the_level(blocks: int) -> None:
    ours, plain = error("remember", blocks)

    assert ours < 1.0 and plain > 2.0, (ours, plain)


@pytest.mark.parametrize(
    ("blocks", "most"),
    [
        (60, 1.2),
        pytest.param(28, 1.7, marks=pytest.mark.full),
        pytest.param(90, 1.0, marks=pytest.mark.full),
    ],
)
def test_days_with_heavy_tails_keep_the_level_if_they_are_many(blocks: int, most: float) -> None:
    # 28 days mostly lack the worst of a year, and nothing tells that there are such.
    ours, plain = error("heavy", blocks)

    assert ours < most and plain > 3.0, (ours, plain)


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


def test_the_reach_is_where_the_chance_is_the_level() -> None:
    one = series(days("remember", 40, np.random.default_rng(7)))

    assert one.tail(one.reach(LEVEL, 0.5), 0.5) == pytest.approx(LEVEL, rel=1e-6)


@pytest.mark.parametrize("law", ["remember", "differ"])
@pytest.mark.parametrize("blocks", [60, *IN_FULL])
def test_weeks_beside_days_keep_the_level(law: str, blocks: int) -> None:
    rng, errors = np.random.default_rng([2, blocks]), []
    weeks = days(law, 7 * 50_000, rng).reshape(-1, 7).mean(axis=1)
    for _ in range(40):
        reference = days(law, blocks, rng)
        law_of = series(reference, longer=7.0, remembered=0.2)
        bound = reference.mean() + law_of.reach(LEVEL, CHANCE * (1.0 / 7.0 + 1.0 / blocks))
        errors.append(np.mean(weeks > bound))

    assert np.mean(errors) < 1.7 * LEVEL


@pytest.mark.parametrize(
    ("count", "shared"),
    [
        pytest.param(count, shared, marks=[] if (count, shared) in SEEN else pytest.mark.full)
        for count in (2, 12, 60)
        for shared in (0.0, 0.01, 0.05, 0.2, 1.0)
    ],
)
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
