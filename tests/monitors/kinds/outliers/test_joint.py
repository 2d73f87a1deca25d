"""Numbers that do not go together: against scipy's distance, and by name."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import mahalanobis

from driftline.monitors.kinds.outliers.joint import SHRINKAGE, fit_joint

NAMES = 4


def scores(rows: int, seed: int) -> np.ndarray:
    """Normal scores of four columns; the first two hang together closely."""
    shape = np.eye(NAMES)
    shape[0, 1] = shape[1, 0] = 0.9
    shape[2, 3] = shape[3, 2] = -0.4
    return np.random.default_rng(seed).multivariate_normal(np.zeros(NAMES), shape, rows).T


def test_the_distance_is_that_of_scipy() -> None:
    known, rows = scores(5_000, seed=1), scores(20, seed=2)
    spread = known.std(axis=1)
    shrunk = (1 - SHRINKAGE) * np.corrcoef(known) + SHRINKAGE * np.eye(NAMES)
    inverse = np.linalg.inv(shrunk * np.outer(spread, spread))

    joint = fit_joint(known)

    assert joint is not None
    expected = [mahalanobis(row, known.mean(axis=1), inverse) ** 2 / 2 for row in rows.T]
    np.testing.assert_allclose(joint.distance(rows), expected, rtol=1e-9)


def test_a_number_that_is_missing_adds_what_it_does_on_average() -> None:
    known, rows = scores(5_000, seed=1), scores(20, seed=2)
    joint = fit_joint(known)
    assert joint is not None
    gaps = rows.copy()
    gaps[1] = gaps[3, :10] = np.nan

    found = joint.distance(gaps)

    # The marginal covariance of what is there, by scipy; a squared deviation is 1 on average.
    covariance = np.linalg.inv(joint.precision) * np.outer(joint.spread, joint.spread)
    for row, distance in zip(gaps.T, found, strict=True):
        there = np.flatnonzero(~np.isnan(row))
        inverse = np.linalg.inv(covariance[np.ix_(there, there)])
        expected = mahalanobis(row[there], joint.mean[there], inverse) ** 2 + NAMES - len(there)
        np.testing.assert_allclose(distance, expected / 2, rtol=1e-9)


def test_the_pair_that_does_not_go_together_is_named() -> None:
    joint = fit_joint(scores(5_000, seed=3))
    rows = np.array([[2.0, -2.0, 0.0, 0.0], [0.0, 0.1, 3.0, 3.0]]).T

    assert joint is not None
    odd, other, nats = joint.partners(rows)

    assert [{int(one), int(two)} for one, two in zip(odd, other, strict=True)] == [{0, 1}, {2, 3}]
    assert nats[0] > nats[1] > 0
