"""The evidence of a share against the formula and scipy, its bound, and the budget of a year."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from driftline.monitors.drift_test.significance import (
    SHIFTS,
    blame,
    bounds,
    clustered_likelihood_ratio,
    likelihood_ratio,
)

shares = hnp.arrays(np.float64, 8, elements=st.floats(0, 1))


@given(st.floats(0, 1), st.integers(50, 10**6), st.integers(30, 10**5), st.floats(0, 0.2))
def test_evidence_rises_with_the_difference_and_is_nothing_within_the_tolerance(
    p, n, m, tolerance
) -> None:
    q = np.linspace(0, 1, 201)

    found = likelihood_ratio(np.full(201, p), n, q, m, tolerance=tolerance)

    assert (found[np.abs(q - p) <= tolerance] == 0).all()
    slack = 1e-9 * (1 + found.max())
    assert (np.diff(found[q >= p]) >= -slack).all()
    assert (np.diff(found[q <= p]) <= slack).all()


CLUSTERED = [(87, 1.0, 15.0), (40, 0.5, 15.0), (30, 10.0, 3.0), (10, 0.1, 1.5), (200, 150, 20.0)]


def of_one_cell(usual: float, reference: float, count: float, rows: float, effect: float) -> float:
    """Return the evidence of a count in a cell of clusters, where so many are usual."""
    return clustered_likelihood_ratio(
        np.array([usual / rows]), reference, np.array([count / rows]), rows, tolerance=0.0,
        effect=np.array([1.0]), cluster_effect=np.array([effect]), shift_effect=np.zeros(1),
    )[0]  # fmt: skip


@pytest.mark.parametrize(("count", "usual", "effect"), CLUSTERED)
def test_far_out_clusters_count_as_seldom_as_the_polya_aeppli_law_says(
    count, usual, effect
) -> None:
    # P(C >= c), summed over the number of clusters, whose sizes sum to a negative binomial.
    rows, end = 1e7, 2 / (effect + 1)
    number = np.arange(1, 400)
    chances = stats.poisson.logpmf(number, usual * end) + stats.nbinom.logsf(
        count - number - 1, number, end
    )
    expected = -special.logsumexp(chances)

    found = of_one_cell(usual, 1e13, count, rows, effect)

    assert found <= expected + 1e-6  # A bound: never more evidence than there is,
    assert found >= 0.5 * expected - 1  # and not much less.


def test_several_spans_at_once_weigh_what_each_weighs() -> None:
    rng = np.random.default_rng(5)
    p, q = rng.random(40) * 0.1, rng.random(40)
    rows = np.array([[50.0], [400.0], [30_000.0]])
    effects = 1 + 20 * rng.random((3, 40))
    shift = np.where(np.arange(40) % 3 == 0, 4.0, 0.0)

    def weigh(at: int | slice) -> np.ndarray:
        return clustered_likelihood_ratio(
            p, 1e5, q, rows[at], tolerance=0.01, effect=effects[at], cluster_effect=effects[at],
            shift_effect=shift,
        )  # fmt: skip

    assert np.array_equal(weigh(slice(None)), np.stack([weigh(at) for at in range(3)]))


def test_rows_in_clusters_pass_a_level_as_seldom_as_it_says() -> None:
    # 400,000 windows of geometric clusters, mean size 8; chance of a false failure under 1e-6.
    rng = np.random.default_rng(3)
    size, rows, usual = 8.0, 1e6, 2.0
    clusters = rng.poisson(usual / size, 400_000)
    counts = clusters + rng.negative_binomial(np.maximum(clusters, 1), 1 / size)
    counts[clusters == 0] = 0

    found = clustered_likelihood_ratio(
        np.full(counts.size, usual / rows),
        1e12,
        counts / rows,
        rows,
        tolerance=0.0,
        effect=np.full(counts.size, 2 * size - 1),
        cluster_effect=np.full(counts.size, 2 * size - 1),
        shift_effect=np.zeros(1),
    )

    for level in (1e-2, 1e-3, 1e-4):
        hits = int((2 * np.exp(-found) < level).sum())
        assert stats.poisson.sf(hits - 1, counts.size * level) > 1e-6


@example(p=0.125, n=50, m=30, effect=1.0, size=10.0, shift=0.0)
@given(
    st.floats(0, 1),
    st.integers(50, 10**6),
    st.integers(30, 10**5),
    st.floats(1, 60),
    st.floats(1, 60),
    st.sampled_from([0.0, 1.0, 7.0, 100.0]),
)
def test_clustered_evidence_rises_with_the_difference(p, n, m, effect, size, shift) -> None:
    q = np.linspace(0, 1, 401)

    found = clustered_likelihood_ratio(
        np.full(401, p),
        n,
        q,
        m,
        tolerance=0.01,
        effect=np.full(401, effect),
        cluster_effect=np.full(401, size),
        shift_effect=np.full(401, shift),
    )

    assert (found[np.abs(q - p) <= 0.01] == 0).all()
    # Two bounds of one chance take turns; where they do, the evidence may step back a little.
    slack = 0.02 * (1 + found.max())
    assert (np.diff(found[q >= p]) >= -slack).all()
    assert (np.diff(found[q <= p]) <= slack).all()


@given(shares, shares, st.integers(100, 10**6), st.integers(30, 10**5))
def test_without_a_tolerance_evidence_is_the_log_likelihood_ratio(p, q, n, m) -> None:
    # The G-test of a 2 x 2 table, half of scipy's statistic, with the reference's half row.
    smoothed = (p * n + 0.5) / (n + 1)
    found = likelihood_ratio(p, n, q, m, tolerance=0.0)

    for index in np.flatnonzero(np.abs(q - p) > np.abs(smoothed - p)):
        middle = (m * q[index] + n * smoothed[index]) / (m + n)
        expected = m * special.rel_entr([q[index], 1 - q[index]], [middle, 1 - middle]).sum()
        other = [smoothed[index], 1 - smoothed[index]]
        expected += n * special.rel_entr(other, [middle, 1 - middle]).sum()
        assert found[index] == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_evidence_is_half_of_scipys_g_statistic() -> None:
    # With counts so large that the half row of smoothing is nothing.
    table = np.array([[31_000, 69_000], [1_200_000, 2_800_000]])
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic

    found = likelihood_ratio(
        np.array([0.3]), 4_000_000.0, np.array([0.31]), 100_000.0, tolerance=0.0
    )

    assert 2 * found[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("p", [0.0, 0.001, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("above", [True, False])
def test_the_bound_is_where_the_evidence_reaches_the_target(p: float, above: bool) -> None:
    share, free, target = np.array([p]), np.array([0.002]), np.array([20.0])
    side = 1 if above else -1

    bound = bounds(
        share,
        10_000.0,
        np.array([above]),
        1_000.0,
        tolerance=free,
        effect=np.ones(1),
        cluster_effect=np.ones(1),
        shift_effect=np.zeros(1),
        target=target,
    )

    room = 1 - p if above else p
    if bound < 1:
        below, beyond = (
            likelihood_ratio(share, 10_000.0, share + side * by, 1_000.0, tolerance=free)[0]
            for by in (bound - 1e-6, bound + 1e-6)
        )
        assert below <= 20.0 < beyond
    else:
        most = likelihood_ratio(share, 10_000.0, share + side * room, 1_000.0, tolerance=free)
        assert most[0] <= 20.0


@pytest.mark.parametrize("p", [0.001, 0.02, 0.3, 0.5])
def test_false_alarms_of_one_set_stay_below_the_p_value(p: float) -> None:
    # 200,000 windows each; the bound 2 exp(-G) may be passed by chance of under 1e-6 (Poisson).
    rng = np.random.default_rng(5)
    x, a = rng.binomial(300, p, 200_000), rng.binomial(3000, p, 200_000)

    found = likelihood_ratio(a / 3000, 3000.0, x / 300, 300.0, tolerance=0.0)

    for level in (1e-2, 1e-3):
        hits = int((2 * np.exp(-found) < level).sum())
        assert stats.poisson.sf(hits - 1, 200_000 * level) > 1e-6


def test_a_far_cut_tells_no_more_than_the_shift_it_would_take() -> None:
    # 1% to 16%: a shift of ndtri(0.16) - ndtri(0.01) = 1.332 standard deviations.
    found = clustered_likelihood_ratio(
        np.array([0.01]),
        1e9,
        np.array([0.16]),
        1000.0,
        tolerance=0.0,
        effect=np.ones(1),
        cluster_effect=np.ones(1),
        shift_effect=np.array([100.0]),
    )

    assert found[0] == pytest.approx(1000 * 1.332**2 / 200, rel=1e-3)


def test_an_interval_tells_no_more_than_the_shift_that_would_fill_or_empty_it() -> None:
    """By the normal law, shifts by 1.2 and -1.5 of what lies from 2.0 to 2.1."""
    usual, filled, emptied = (
        stats.norm.cdf(2.1 - by) - stats.norm.cdf(2.0 - by) for by in (0.0, 1.2, -1.5)
    )
    limited, unlimited = (
        clustered_likelihood_ratio(
            np.full(4, usual),
            1e9,
            np.array([filled, emptied, 2 * usual, 9 * usual]),  # By no shift: near the middle.
            20_000.0,
            tolerance=0.0,
            effect=np.ones(4),
            cluster_effect=np.ones(4),
            shift_effect=np.full(4, effect),
            middle=np.array([2.05, 2.05, 0.3, 0.0]),
        )
        for effect in (1000.0, 0.0)
    )

    by_shift = 20_000 * np.array([1.2, 1.5]) ** 2 / 2000
    assert (limited[:2] < 1.1 * by_shift).all()
    assert (unlimited[:2] > 4 * by_shift).all()
    assert (limited[2:] > 0.8 * unlimited[2:]).all()


@example(p=0.05, q=0.12, rows=300, effect=1.0, middle=0.0)
@given(
    p=st.floats(1e-6, 0.6),
    q=st.floats(0, 1),
    rows=st.integers(30, 10**5),
    effect=st.floats(1, 100),
    middle=st.floats(-3, 3),
)
def test_an_interval_is_weighed_by_the_least_of_all_shifts(p, q, rows, effect, middle) -> None:
    def weigh(shift_effect: float) -> float:
        found = clustered_likelihood_ratio(
            np.array([p]),
            1e9,
            np.array([q]),
            float(rows),
            tolerance=0.0,
            effect=np.full(1, 2.0),
            cluster_effect=np.ones(1),
            shift_effect=np.full(1, shift_effect),
            middle=np.array([middle]),
        )
        return float(found[0])

    usual = (p * 1e9 + 0.5) / (1e9 + 1.0)
    moved = float(np.clip(q, 0.5 / (rows + 1), 1 - 0.5 / (rows + 1)))
    least = math.inf
    for shift in SHIFTS:
        by = min(shift, abs(middle)) if moved > usual else -shift
        filled = min(usual * math.exp(by * abs(middle) - by**2 / 2), 1 - 1e-9)
        beyond = moved > filled if moved > usual else moved < filled
        rest = special.rel_entr([moved, 1 - moved], [filled, 1 - filled]).sum() * beyond
        least = min(least, rows * (by**2 / (2 * effect) + rest / 2.0))

    assert weigh(effect) == pytest.approx(min(weigh(0.0), least), rel=1e-6, abs=1e-6)


@given(st.dictionaries(st.text(), st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_blame_sums_to_one(excess) -> None:
    assert math.fsum(blame(excess).values()) == pytest.approx(1)
    assert all(share > 0 for share in blame(excess).values())


def test_nobody_is_to_blame_for_nothing() -> None:
    assert blame({}) == {}


@pytest.mark.parametrize(("count", "usual", "effect"), [(3, 1e-5, 1.1), (4, 1e-4, 1.1)])
def test_small_clusters_where_none_are_usual_are_bounded_as_well_as_markov_can(
    count, usual, effect
) -> None:
    # The best y of all for P(C >= c) <= (exp(K) - 1) / (y^c - 1), K = l (y - 1) / (1 - q y),
    # searched on a grid of (1, 1/q): the two y that are tried must come within 1% of it.
    p = 2 / (effect + 1)
    ends = np.geomspace(1e-12, 1, 200_000) * (1 / (1 - p) - 1)
    y = np.concatenate([1 + ends[:-1], 1 / (1 - p) - ends[:-1]])
    mass = p * usual * (y - 1) / (1 - (1 - p) * y)
    height = count * np.log(y)
    best = np.nanmax(np.log(np.expm1(height)) - mass - np.log(-np.expm1(-mass)))
    rows = 1e7

    found = of_one_cell(usual, 1e16, count, rows, effect)

    assert 0.99 * best < found < best
