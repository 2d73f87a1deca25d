"""The rule of drift: one decision in three forms, within its budget, patient where it must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from driftline.monitors.decision.significance import (
    BlockTable,
    alpha_per_column,
    blame,
    design_effect,
    evidence,
    scan,
    wilson_interval,
)

shares = hnp.arrays(np.float64, 8, elements=st.floats(0, 1))


@given(shares, shares, st.integers(100, 10**6), st.integers(30, 10**5), st.floats(0, 0.3))
def test_a_violation_is_a_small_p_value_is_a_distance_above_its_bound(
    p, q, n, m, tolerance
) -> None:
    found = scan(p * n, n, q * m, m, alpha=1e-4, tolerance=tolerance, effect=np.linspace(1, 40, 8))

    assert found.drifted == (found.evidence > found.needed)
    assert found.drifted == (found.distance > found.bound)
    if not math.isclose(found.evidence, found.needed, rel_tol=1e-9):
        assert found.drifted == (found.p_value < 1e-4)


@given(st.floats(0, 1), st.integers(50, 10**6), st.integers(30, 10**5), st.floats(0, 0.2))
def test_evidence_rises_with_the_difference_and_is_nothing_within_the_tolerance(
    p, n, m, tolerance
) -> None:
    q = np.linspace(0, 1, 201)

    found = evidence(np.full(201, p), n, q, m, tolerance=tolerance)

    assert (found[np.abs(q - p) <= tolerance] == 0).all()
    slack = 1e-9 * (1 + found.max())
    assert (np.diff(found[q >= p]) >= -slack).all()
    assert (np.diff(found[q <= p]) <= slack).all()


def test_the_bound_is_where_the_violation_begins() -> None:
    p, n, m, effect = np.array([0.3]), 10_000.0, 1_000.0, np.array([2.0])
    bound = scan(p * n, n, np.array([0.3]) * m, m, alpha=1e-5, tolerance=0.1, effect=effect).bound
    just = p + bound

    below = scan(p * n, n, (just - 1e-6) * m, m, alpha=1e-5, tolerance=0.1, effect=effect)
    above = scan(p * n, n, (just + 1e-6) * m, m, alpha=1e-5, tolerance=0.1, effect=effect)

    assert not below.drifted
    assert above.drifted


def test_the_tolerance_at_the_median_is_the_comparison_threshold() -> None:
    half = np.array([0.5])
    large = 1e9

    within = scan(
        half * large,
        large,
        (half + 0.0999) * large,
        large,
        alpha=1e-6,
        tolerance=0.1,
        effect=np.ones(1),
    )
    beyond = scan(
        half * large,
        large,
        (half + 0.1005) * large,
        large,
        alpha=1e-6,
        tolerance=0.1,
        effect=np.ones(1),
    )

    assert not within.drifted
    assert beyond.drifted


@pytest.mark.parametrize("p", [0.001, 0.02, 0.3, 0.5])
def test_false_alarms_of_one_set_stay_below_the_p_value(p: float) -> None:
    # 200,000 windows each; the bound 2 exp(-G) may be passed by chance of under 1e-6 (Poisson).
    rng = np.random.default_rng(5)
    x, a = rng.binomial(300, p, 200_000), rng.binomial(3000, p, 200_000)

    found = evidence(a / 3000, 3000.0, x / 300, 300.0, tolerance=0.0)

    for level in (1e-2, 1e-3):
        hits = int((2 * np.exp(-found) < level).sum())
        assert stats.poisson.sf(hits - 1, 200_000 * level) > 1e-6


def test_independent_rows_have_a_design_effect_near_one(rng: np.random.Generator) -> None:
    p = np.linspace(0.05, 0.95, 12)
    counts = rng.binomial(200, p, (90, 12)).astype(float)
    table = BlockTable(counts, np.full(90, 200.0))

    found = design_effect(counts.sum(axis=0), 18_000.0, (table,), window_rows=200)

    assert (found >= 1).all()
    assert found.max() < 2.5


def test_rows_that_come_in_clusters_have_the_clusters_size_as_design_effect(
    rng: np.random.Generator,
) -> None:
    p = np.linspace(0.1, 0.9, 9)
    counts = 25.0 * rng.binomial(20, p, (120, 9))
    table = BlockTable(counts, np.full(120, 500.0))

    found = design_effect(counts.sum(axis=0), 60_000.0, (table,), window_rows=500)

    assert (found > 20).all()
    assert (found < 60).all()


def test_a_window_with_more_rows_than_a_block_does_not_average_the_day_away(
    rng: np.random.Generator,
) -> None:
    counts = np.round(300 * rng.beta(2, 2, (60, 1)))
    table = BlockTable(counts, np.full(60, 300.0))

    usual = design_effect(counts.sum(axis=0), 18_000.0, (table,), window_rows=300)
    tenfold = design_effect(counts.sum(axis=0), 18_000.0, (table,), window_rows=3000)

    assert tenfold == pytest.approx(1 + 10 * (usual - 1))


def test_without_blocks_rows_count_as_independent() -> None:
    assert (design_effect(np.array([5.0, 9.0]), 10.0, (), window_rows=100) == 1).all()


def test_few_blocks_are_not_believed() -> None:
    table = BlockTable(np.full((5, 1), 50.0), np.full(5, 100.0))

    assert design_effect(np.array([250.0]), 500.0, (table,), window_rows=100) >= 2


def test_the_budget_is_shared_by_windows_and_columns() -> None:
    assert alpha_per_column(1.0, 365.0, 20) == pytest.approx(1 / 7300)


@given(st.dictionaries(st.text(), st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_blame_sums_to_one(excess) -> None:
    assert math.fsum(blame(excess).values()) == pytest.approx(1)
    assert all(share > 0 for share in blame(excess).values())


def test_nobody_is_to_blame_for_nothing() -> None:
    assert blame({}) == {}


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_wilsons(rows, share) -> None:
    count = round(share * rows)
    expected = stats.binomtest(count, rows).proportion_ci(0.95, method="wilson")

    assert wilson_interval(count, rows) == pytest.approx((expected.low, expected.high), abs=1e-9)
