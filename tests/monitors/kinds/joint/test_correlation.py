"""Pairs of columns: what is measured agrees with numpy, what has changed is named."""

import numpy as np
import pytest

from driftline.monitors.kinds.joint.correlation import correlations, judge_pairs
from driftline.monitors.kinds.joint.scores import Score

ALPHA = 0.3 / 365


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
