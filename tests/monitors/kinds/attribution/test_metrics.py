"""Shares, level and NDCG as functions of sums, and how the engine judges them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import ndcg_score

from driftline.monitors.engine.block_test import judge
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.attribution.metrics import attribution_metrics, ndcg
from driftline.monitors.kinds.attribution.sums import Importance, joined, sums_by_block

SIZES = np.array([30.0, 25.0, 20.0, 12.0, 8.0, 5.0])
FEATURES = tuple("abcdef")
METRICS = attribution_metrics(FEATURES, 1)
DAILY = 1 / 365
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
REFERENCES, WINDOWS = 6, 10


def drawn(
    random: np.random.Generator, rows: int, *, day: float = 0.0, doubled: int | None = None
) -> np.ndarray:
    """Exponential attributions; a day changes how much the first feature counts."""
    sizes = SIZES / SIZES.sum()
    if doubled is not None:
        others = sizes.sum() - sizes[doubled]
        sizes = np.where(
            np.arange(len(sizes)) == doubled, 2 * sizes, sizes * (1 - sizes[doubled] / others)
        )
    sizes = sizes * np.where(np.arange(len(sizes)) == 0, np.exp(day), 1.0)
    return (random.exponential(size=(rows, len(sizes))) * sizes).astype(np.float32)


def of_days(random: np.random.Generator, days: int, swing: float) -> Reference:
    rows = [drawn(random, 70, day=swing * random.normal()) for _ in range(days)]
    times = np.repeat(np.arange(days) * (DAY // MICROSECOND), 70)
    whole = np.concatenate(rows)
    importance = Importance.of_rows(FEATURES, whole)
    return Reference(METRICS, joined([importance]), sums_by_block([whole], times, DAY))


def judged(reference: Reference, rows: np.ndarray) -> list[Any]:
    window = joined([Importance.of_rows(FEATURES, rows)])
    return judge(reference, window, length=1.0, level=DAILY)


def test_sums_give_the_means_shares_and_level_of_the_rows(rng: np.random.Generator) -> None:
    first, second = drawn(rng, 200), -drawn(rng, 200)
    sides = [Importance.of_rows(FEATURES, rows) for rows in (first, second)]

    found = attribution_metrics(FEATURES, 2).measure(joined(sides).sum(axis=0))

    for values, rows in zip(np.split(found, 2), (first, second), strict=True):
        means = np.abs(rows.astype(np.float64)).mean(axis=0)
        np.testing.assert_allclose(values, [*means / means.sum(), means.sum()], rtol=1e-12)
    part = sides[0].only("ca")
    assert (part.features, part.count) == (("c", "a"), 200)
    np.testing.assert_allclose(part.mean, sides[0].mean[[2, 0]])


@pytest.mark.parametrize(
    ("reference", "window", "score", "error"),
    [
        # SageMaker's developer guide (printed as 0.69).
        ([0.70, 0.50, 0.05], [0.10, 0.20, 0.70], 0.6876, 5e-5),
        # Measured with scikit-learn.
        ([0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1], 0.950, 6e-4),
        ([0.4, 0.3, 0.2, 0.1], [0.0, 0.0, 0.0, 0.0], 0.874, 6e-4),
        ([1, 1, 1, 1], [0.1, 0.9, 0.2, 0.3], 1.0, 1e-12),
        ([0.0, 0.0], [0.1, 0.9], np.nan, 0.0),
        ([0.3], [0.1], np.nan, 0.0),
    ],
)
def test_ndcg_of_known_situations(
    reference: list[float], window: list[float], score: float, error: float
) -> None:
    found = ndcg(np.array(reference, float), np.array(window, float))

    assert found == pytest.approx(score, abs=error, nan_ok=True)


COUNTED = arrays(np.float64, 7, elements=st.integers(0, 3).map(float))


@given(reference=COUNTED, window=COUNTED)
@settings(deadline=None)
def test_ties_are_averaged_as_scikit_learn_does(reference: np.ndarray, window: np.ndarray) -> None:
    score = ndcg_score(reference[None], window[None]) if reference.any() else np.nan

    assert ndcg(reference, window) == pytest.approx(score, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("swing", "least"), [(0.0, 0.9), (0.3, 0.3)])
def test_windows_without_a_change_ring_seldom_and_a_doubled_share_is_named(
    swing: float, least: float
) -> None:
    random, false, found = np.random.default_rng(31), 0, 0
    for _ in range(REFERENCES):
        reference = of_days(random, 28, swing)
        for _ in range(WINDOWS):
            day = swing * random.normal()
            false += any(one.violated for one in judged(reference, drawn(random, 300, day=day)))
            changed = judged(reference, drawn(random, 300, day=day, doubled=3))
            found += changed[3].violated

    # A sixth of a false alarm is allowed: two are one chance in 85.
    assert false <= 1
    assert found >= least * REFERENCES * WINDOWS


def test_a_window_that_lacks_a_rare_flag_is_no_change() -> None:
    def with_flag(seed: int, rows: int, flagged: int) -> np.ndarray:
        found = np.abs(np.random.default_rng(seed).normal(size=(rows, 6)))
        found[:, 2] = np.where(np.arange(rows) < flagged, 50.0, 0.0)
        return found.astype(np.float32)

    # One in a hundred rows: one in twenty windows of 300 has none, and one in fifty seven or more.
    rows = joined([Importance.of_rows(FEATURES, with_flag(0, 3_000, 30))])
    reference = Reference(METRICS, rows)

    for flagged in range(8):
        assert not any(one.violated for one in judged(reference, with_flag(1, 300, flagged)))
    assert judged(reference, with_flag(1, 300, 40))[2].violated
    assert judged(reference, with_flag(1, 3_000, 0))[2].violated
