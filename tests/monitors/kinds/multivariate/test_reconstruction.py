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
