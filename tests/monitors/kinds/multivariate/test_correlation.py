"""Pairs of columns: what is measured agrees with numpy, what has changed is named."""

import numpy as np
import pytest

from driftline.monitors.kinds.multivariate.correlation import PairChange, correlations, judge_pairs
from driftline.monitors.kinds.multivariate.scores import Score

ALPHA = 0.3 / 365
NONE = np.zeros(0, np.int64)


def plan(count: int) -> tuple[Score, ...]:
    return tuple(Score(f"x{at}", f"x{at}") for at in range(count))


def rows(count: int, rho: float, seed: int, width: int = 4) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, width))
    found[:, 1] = rho * found[:, 0] + np.sqrt(1 - rho**2) * found[:, 1]
    return found.astype(np.float32)


def judged(
    reference: np.ndarray, window: np.ndarray, blocks: np.ndarray | None = None, **more: object
) -> list:
    ones = np.ones(reference.shape[1])
    at = np.full(len(reference), -1) if blocks is None else blocks
    known = correlations(reference)
    return judge_pairs(
        plan(len(ones)), reference, window, (ones, ones), at, known=known, alpha=ALPHA, **more
    )


def standardised(values: np.ndarray) -> np.ndarray:
    return ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float32)


def test_correlations_agree_with_numpy() -> None:
    values = standardised(rows(2_000, 0.6, 0))

    found = correlations(values)

    np.testing.assert_allclose(found.rho, np.corrcoef(values.T), atol=1e-5)
    assert (found.rows == 2_000).all()


def test_gaps_leave_out_their_pairs_only() -> None:
    values = rows(2_000, 0.6, 0)
    values[::2, 0] = np.nan

    found = correlations(values)

    # The cosine over the rows that hold both.
    held = values[1::2]
    cosine = held[:, 0] @ held[:, 1] / np.linalg.norm(held[:, 0]) / np.linalg.norm(held[:, 1])
    assert found.rho[0, 1] == pytest.approx(cosine, abs=1e-5)
    assert found.rows[0, 1] == 1_000
    assert found.rows[2, 1] == 2_000


def test_the_variance_of_fishers_z_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(3)
    # Heavy tails: the normal theory's variance, 1, would be far too small.
    draws = rng.standard_t(6, size=(2_000, 400)) * rng.gamma(2, size=(2_000, 400))
    other = 0.5 * draws + rng.standard_t(6, size=(2_000, 400))
    centred = [one - one.mean(axis=1, keepdims=True) for one in (draws, other)]
    rho = (centred[0] * centred[1]).sum(axis=1) / np.sqrt(
        (centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1)
    )
    observed = np.arctanh(rho).var() * 400

    both = np.column_stack([draws.ravel(), other.ravel()])

    assert correlations(standardised(both)).variance[0, 1] == pytest.approx(observed, rel=0.25)


def test_a_broken_correlation_is_named_with_its_pair() -> None:
    found = judged(rows(5_000, 0.81, 0), rows(1_000, 0.12, 1))

    worst = found[0]
    assert worst.name == "x0 × x1"
    assert worst.drifted
    assert worst.reference == pytest.approx(0.81, abs=0.03)
    assert worst.low < 0.12 < worst.high
    assert worst.p_value < 1e-6
    assert worst.ratio > 1
    assert not any(one.drifted for one in found[1:])


def test_a_pair_is_a_violation_just_when_it_lies_beyond_its_bound() -> None:
    for rho in (0.9, 0.72, 0.6, 0.5, 0.4):
        one = next(
            one for one in judged(rows(5_000, 0.6, 0), rows(2_000, rho, 1)) if one.name == "x0 × x1"
        )
        beyond = abs(one.window - one.reference) > abs(one.bound - one.reference)
        assert one.drifted == beyond == (one.ratio > 1)


def test_a_change_within_the_tolerance_is_none_however_many_rows() -> None:
    found = judged(rows(200_000, 0.50, 0), rows(200_000, 0.53, 1))

    assert not any(one.drifted for one in found)


def test_no_change_is_not_found_in_many_windows(pytestconfig: pytest.Config) -> None:
    windows, most = (200, 2) if pytestconfig.getoption("full") else (60, 1)
    reference = rows(5_000, 0.7, 0, width=8)
    strongest = [
        judged(reference, rows(400, 0.7, seed, width=8))[0] for seed in range(1, windows + 1)
    ]

    # Each passes with a chance of 8e-4 at most: three of 200, and two of 60, happen once in a
    # thousand times.
    assert sum(one.drifted for one in strongest) <= most


def test_what_days_of_the_reference_do_too_is_no_change() -> None:
    rng = np.random.default_rng(5)

    def day(seed: int) -> np.ndarray:
        return rows(300, float(np.clip(rng.normal(0.4, 0.3), -0.9, 0.9)), seed)

    reference = np.vstack([day(seed) for seed in range(30)])
    blocks = np.repeat(np.arange(30), 300)
    windows = [day(100 + seed) for seed in range(30)]

    alone = sum(judged(reference, one)[0].drifted for one in windows)
    known = sum(judged(reference, one, blocks)[0].drifted for one in windows)

    assert alone >= 5  # Taken for independent, days are changes.
    assert known == 0


def test_small_windows_find_what_the_normal_law_of_fishers_z_finds() -> None:
    # Of 300 rows a change from 0.8 to 0.6 lies 4.8 standard errors beyond the tolerance; six pairs
    # at this level ask for 3.8.
    reference = rows(20_000, 0.8, 0)
    found = [judged(reference, rows(300, 0.6, seed))[0].drifted for seed in range(1, 41)]

    assert np.mean(found) >= 0.6


def test_columns_whose_window_lies_in_one_cell_are_not_judged() -> None:
    reference, window = rows(2_000, 0.8, 0), rows(2_000, 0.8, 1)
    spreads = (np.ones(4), np.array([0.2, 1.0, 1.0, 1.0]))

    found: list[PairChange] = judge_pairs(
        plan(4), reference, window, spreads, np.full(2_000, -1),
        known=correlations(reference), alpha=ALPHA,
    )  # fmt: skip

    assert all("x0" not in one.name for one in found)


def test_too_few_rows_or_columns_give_no_pairs() -> None:
    assert judged(rows(2_000, 0.8, 0), rows(60, 0.8, 1)) == []
    assert judged(rows(500, 0.8, 0)[:, :1], rows(500, 0.8, 1)[:, :1]) == []


def test_each_look_needs_more_evidence_and_bounds_the_chance() -> None:
    reference, window = rows(4_000, 0.8, 0), rows(1_000, 0.6, 1)

    once, thrice = judged(reference, window)[0], judged(reference, window, looks=3)[0]

    assert thrice.needed == pytest.approx(once.needed + np.log(3))
    assert thrice.p_value == pytest.approx(3 * once.p_value)


@pytest.mark.parametrize(("rho", "is_over"), [(0.8, True), (0.3, False)])
def test_a_change_that_the_last_window_does_not_show_is_over(rho: float, *, is_over: bool) -> None:
    reference, window = rows(4_000, 0.8, 0), rows(1_000, 0.4, 1)

    found = judged(reference, window, newest=correlations(rows(300, rho, 2)))

    assert found[0].drifted is not is_over


def test_a_last_window_of_few_rows_says_nothing_of_what_is_over() -> None:
    newest = correlations(rows(60, 0.8, 2))

    assert judged(rows(4_000, 0.8, 0), rows(1_000, 0.4, 1), newest=newest)[0].drifted
