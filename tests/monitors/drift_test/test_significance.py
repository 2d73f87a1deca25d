"""The evidence of a share against the formula and scipy, its bound, and the budget of a year."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from driftline.monitors.drift_test.significance import (
    Comparison,
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


def compared(
    known: float, known_rows: float, rows: float, *, free: float = 0.0, cluster_effect: float = 1.0
) -> Comparison:
    """Compare one set, of which only the size of clusters is more than one row's."""
    one = np.ones(1)
    return Comparison(
        one * known, one * known_rows, one * rows, one * free, one, one * cluster_effect,
        0.0 * one, np.nan * one,
    )  # fmt: skip


def of_one_cell(usual: float, reference: float, count: float, rows: float, effect: float) -> float:
    """Return the evidence of a count in a cell of clusters, where so many are usual."""
    return compared(usual / rows, reference, rows, cluster_effect=effect).ratio(
        np.array([count / rows])
    )[0]


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

    bound = compared(p, 10_000.0, 1_000.0, free=0.002).bounds(np.array([above]), target)

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
