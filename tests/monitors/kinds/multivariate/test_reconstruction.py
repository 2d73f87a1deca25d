"""Errors of reconstruction: those of scikit-learn's PCA, and what raises them named."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from driftline.monitors.kinds.multivariate.reconstruction import judge_reconstruction
from driftline.monitors.kinds.multivariate.scores import Score

ALPHA = 0.1 / 365
PLAN = tuple(Score(f"x{at}", f"x{at}") for at in range(6))


def rows(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 2)) @ np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1.0]])
    found = hidden + 0.5 * rng.normal(size=(count, 6))
    return (found / np.sqrt(1.25)).astype(np.float32)


def test_the_error_is_that_of_scikit_learn() -> None:
    reference, window = rows(4_000, 0), rows(1_000, 1)
    window[:, 0] = np.random.default_rng(2).permutation(window[:, 0])

    found = judge_reconstruction(PLAN, reference, window, np.full(4_000, -1), alpha=ALPHA)

    ratios = []
    for half, other in ((reference[1::2], reference[::2]), (reference[::2], reference[1::2])):
        one = PCA(2).fit(half)
        error = [
            ((part - one.inverse_transform(one.transform(part))) ** 2).sum(axis=1).mean()
            for part in (window, other)
        ]
        ratios.append(error[0] / error[1])
    assert found.directions == 2
    # scikit-learn takes the half's mean off first, which is near 0.
    assert found.ratio == pytest.approx(np.mean(ratios), rel=0.005)
    assert found.drifted
    assert found.columns[0][0] == "x0"
    assert found.low < found.ratio < found.high


def test_no_change_is_not_found_in_200_windows() -> None:
    reference, none = rows(2_000, 0), np.full(2_000, -1)
    found = [
        judge_reconstruction(PLAN, reference, rows(300, seed), none, alpha=0.01).drifted
        for seed in range(1, 201)
    ]

    # At most 2 are expected; more than 12 come by chance less than once in a million times.
    assert sum(found) <= 12


def test_few_days_that_differ_are_no_change() -> None:
    def day(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        shared = 0.3 + 0.6 * rng.random()  # How much three columns hang together on this day.
        columns = [
            np.sqrt(shared) * rng.normal(size=(500, 1)) + np.sqrt(1 - shared) * part
            for part in np.split(rng.normal(size=(500, 6)), 2, axis=1)
        ]
        return np.hstack(columns).astype(np.float32)

    blocks = np.repeat(np.arange(6), 500)
    found = []
    for seed in range(0, 700, 7):
        days = np.vstack([day(seed + at) for at in range(6)])
        found.append(judge_reconstruction(PLAN, days, day(seed + 6), blocks, alpha=0.01).drifted)

    # The three days of one half would be too few to know days by.
    assert sum(found) <= 6


def test_times_that_show_days_alike_cost_a_tenth_of_what_is_found_at_most() -> None:
    def pair(count: int, rho: float, rng: np.random.Generator) -> np.ndarray:
        found = rng.normal(size=(count, 4))
        found[:, 1] = rho * found[:, 0] + np.sqrt(1 - rho**2) * found[:, 1]
        return found.astype(np.float32)

    # 60 days of independent rows, and as many rows of a window whose correlation has changed.
    days, found = np.arange(20_000) * 60 // 20_000, {"timed": 0, "untimed": 0}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reference, window = pair(20_000, 0.8, rng), pair(20_000, 0.6, rng)
        for name, blocks in (("timed", days), ("untimed", np.full(20_000, -1))):
            one = judge_reconstruction(PLAN[:4], reference, window, blocks, alpha=0.01)
            found[name] += one.drifted

    assert found["untimed"] == 20
    assert found["timed"] >= 0.9 * found["untimed"]


def test_a_bound_never_widens_with_the_windows_rows() -> None:
    reference, days = rows(20_000, 0), np.arange(20_000) // 334
    window = rows(20_000, 1)
    bounds = [
        judge_reconstruction(PLAN, reference, window[:size], days, alpha=ALPHA).bound
        for size in (300, 1_000, 3_000, 20_000)
    ]

    assert [abs(one - 1.0) for one in bounds] == sorted([abs(one - 1.0) for one in bounds])[::-1]


def test_mornings_and_afternoons_are_on_both_sides() -> None:
    def day(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        found = rng.normal(size=(700, 6))
        found[:350, :3] += 1.5 * rng.normal(size=(350, 1))
        found[350:, 3:] += 1.5 * rng.normal(size=(350, 1))
        return (found / found.std(axis=0)).astype(np.float32)

    plan = [Score(f"x{at}", f"x{at}") for at in range(6)]
    week, halves = np.concatenate([day(seed) for seed in range(7)]), np.arange(4_900) // 350

    found = [
        judge_reconstruction(plan, week, day(seed), halves, alpha=0.1 / 365)
        for seed in range(7, 17)
    ]

    assert not any(one.drifted for one in found)
    assert np.mean([one.ratio for one in found]) == pytest.approx(1.0, abs=0.05)


def test_too_little_is_not_judged() -> None:
    none = np.full(150, -1)

    assert judge_reconstruction(PLAN, rows(150, 0), rows(500, 1), none, alpha=ALPHA) is None
    assert (
        judge_reconstruction(
            PLAN[:2], rows(900, 0)[:, :2], rows(500, 1)[:, :2], np.full(900, -1), alpha=ALPHA
        )
        is None
    )
