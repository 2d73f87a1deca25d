"""Rows where the reference has none, though each of their values is usual."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

import driftline as dl
from driftline.baseline.store import Baseline


def clusters(random: np.random.Generator, rows: int) -> np.ndarray:
    return random.choice([-5.0, 5.0], (rows, 1)) + random.normal(size=(rows, 3))


def ring(random: np.random.Generator, rows: int) -> np.ndarray:
    angle, radius = random.uniform(0, 2 * np.pi, rows), random.normal(5, 0.5, rows)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"c{at}" for at in range(values.shape[1])])


@pytest.mark.parametrize("law", [clusters, ring])
def test_rows_in_a_hole_rank_as_with_the_local_outlier_factor(law: object) -> None:
    random = np.random.default_rng(5)
    reference, usual = law(random, 2_000), law(random, 1_000)  # type: ignore[operator]
    rows = np.concatenate([usual, random.normal(0, 0.7, (50, usual.shape[1]))])
    is_odd = np.arange(len(rows)) >= 1_000

    scores = dl.outlier_scores(frame(rows), Baseline.fit(frame(reference))).to_pandas()

    oracle = -LocalOutlierFactor(novelty=True).fit(reference).score_samples(rows)
    assert roc_auc_score(is_odd, oracle) > 0.99
    assert roc_auc_score(is_odd, scores["outlier_score"]) > 0.99
    assert not scores["is_outlier"][~is_odd].any()


def nearly_one(random: np.random.Generator, rows: int) -> pd.DataFrame:
    values = random.normal(size=(rows, 1)) + 0.3 * random.normal(size=(rows, 5))
    return frame(values).assign(c4=random.choice([-5.0, 5.0], rows))


@pytest.mark.parametrize("gone", ["column", "values"])
def test_what_is_missing_says_nothing_of_the_other_columns(gone: str) -> None:
    random = np.random.default_rng(10)
    baseline = Baseline.fit(nearly_one(random, 20_000))
    rows = nearly_one(random, 5_000)
    broken = rows[:500].assign(c0=-rows["c0"])
    one = rows.drop(columns="c1") if gone == "column" else rows.assign(c1=np.nan)

    scores = dl.outlier_scores(one, baseline).to_pandas()
    found = dl.outlier_scores(broken.reindex(columns=one.columns), baseline).to_pandas()

    assert scores["is_outlier"].mean() <= 5e-4
    assert found["is_outlier"].mean() > 0.2  # Of the columns that are left, the pair is broken.


def tight(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    cluster = random.integers(0, 2, (rows, 1)) * 6.0
    return cluster + random.normal(0, 0.3, (rows, columns))


@pytest.mark.parametrize(("columns", "seed"), [(2, 3), (4, 0), (8, 1)])
def test_rows_between_tight_clusters_are_outliers_though_a_cell_spans_both(
    columns: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    baseline = Baseline.fit(frame(tight(random, 20_000, columns)))
    rows = tight(random, 22_000, columns)
    rows[:100] = random.normal(3, 0.2, (100, columns))

    scores = dl.outlier_scores(frame(rows), baseline).to_pandas()

    assert scores["is_outlier"][:100].all()
    assert scores["is_outlier"][100:].mean() < 3e-4
    assert dl.check(frame(rows[:2_000]), baseline, kind="outliers").violations
