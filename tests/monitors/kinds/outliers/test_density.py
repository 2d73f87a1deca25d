"""Rows where the reference has none, though each of their values is usual."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.outliers.scorer import OUTLIER_SCORE, row_scorer


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


def texts(random: np.random.Generator, rows: int, steps: int = 0) -> pd.DataFrame:
    first = random.integers(0, 8, rows)
    second = (first + random.integers(0, 3, rows) + steps) % 8
    return pd.DataFrame(
        {"a": np.array(list("ABCDEFGH"))[first], "b": np.array(list("stuvwxyz"))[second]}
    )


def test_a_pair_of_texts_that_was_never_seen_is_an_outlier() -> None:
    random = np.random.default_rng(6)
    baseline = Baseline.fit(texts(random, 20_000))

    new = dl.outlier_scores(texts(random, 200, steps=4), baseline).to_pandas()
    known = dl.outlier_scores(texts(random, 5_000), baseline).to_pandas()

    assert new["is_outlier"].all()
    assert set(new["reason"]) == {"no row of the reference is near"}
    assert known["outlier_score"].max() < 1


def test_numbers_that_are_rounded_anew_lie_in_no_hole() -> None:
    random = np.random.default_rng(7)
    degrees = random.normal(60, 15, (20_000, 3))
    baseline = Baseline.fit(frame(np.round(degrees)))

    scores = dl.outlier_scores(frame(random.normal(60, 15, (20_000, 3))), baseline).to_pandas()

    assert scores["is_outlier"].mean() < 5e-4


def test_columns_that_the_data_lack_make_no_row_lie_far() -> None:
    random = np.random.default_rng(8)
    baseline = Baseline.fit(frame(clusters(random, 2_000)))

    scores = row_scorer(baseline).score
    (batch,) = pa.Table.from_pandas(frame(clusters(random, 5_000))).to_batches()

    assert (scores(batch.select(["c0"])) >= OUTLIER_SCORE).mean() < 1e-3


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


def test_a_column_that_the_data_lack_is_named_once() -> None:
    random = np.random.default_rng(12)
    baseline = Baseline.fit(nearly_one(random, 2_000))

    report = dl.check(nearly_one(random, 500).drop(columns="c1"), baseline, kind="outliers")

    assert report.details["missing_note"] == "not looked at, as the data lack 1 column: c1"


def test_a_reference_with_gaps_knows_its_correlations() -> None:
    random = np.random.default_rng(11)
    known = nearly_one(random, 20_000)
    baseline = Baseline.fit(known.mask(random.random(known.shape) < 0.2))
    rows = nearly_one(random, 5_000)
    gaps = rows.mask(random.random(rows.shape) < 0.2)

    usual = dl.outlier_scores(gaps, baseline).to_pandas()
    broken = dl.outlier_scores(rows.assign(c0=-rows["c0"]), baseline).to_pandas()

    assert usual["is_outlier"].mean() <= 5e-4
    assert broken["is_outlier"].mean() > 0.2


def test_a_reference_with_many_outliers_says_so() -> None:
    random = np.random.default_rng(9)
    values = random.normal(size=(250, 5))
    clean = dl.check(frame(values), Baseline.fit(frame(values)), kind="outliers")
    values[:40] = random.uniform(-12, 12, (40, 5))

    found = dl.check(
        frame(values), Baseline.fit(frame(random.permutation(values))), kind="outliers"
    )

    assert "reference_note" not in clean.details
    assert str(found.details["reference_note"]).startswith("1")
    assert "of the reference's rows lie far from all others" in str(found.details["reference_note"])


CLEAN = {
    "zeros": lambda r, n: {f"c{at}": np.where(r.random(n) < 0.7, 0, r.exponential(size=n))
                           for at in range(2)},
    "a text": lambda r, n: {"a": r.choice(list("xyz"), n, p=[0.9, 0.05, 0.05]),
                            "b": r.normal(size=n)},
    "levels": lambda r, n: {"a": r.choice([f"c{at}" for at in range(60)], n,
                                          p=np.r_[0.5, np.full(59, 0.5 / 59)]),
                            "b": r.choice(list("uvw"), n)},
    "two lognormals": lambda r, n: {"a": r.lognormal(0, 1, n), "b": r.lognormal(0, 1, n)},
    "counts": lambda r, n: {"a": r.poisson(0.5, n), "b": r.poisson(2, n), "c": r.normal(size=n)},
    "heavy tails of all columns at once": lambda r, n: {
        f"c{at}": one for at, one in enumerate(
            (r.normal(size=(n, 5)) / np.sqrt(r.chisquare(2, (n, 1)) / 2)).T)},
}  # fmt: skip


@pytest.mark.parametrize("law", CLEAN)
@pytest.mark.parametrize("rows", [250, 1_000, 20_000])
def test_no_clean_reference_is_said_to_hold_outliers(law: str, rows: int) -> None:
    baseline = Baseline.fit(pd.DataFrame(CLEAN[law](np.random.default_rng(rows), rows)))

    density = row_scorer(baseline).density

    assert density is not None and density.lonely_share < 0.05


@pytest.mark.parametrize("ends", [[1.7e308, -1.7e308], [1.7e308, -1.7e308] + [0.5, -0.5] * 40])
def test_values_at_the_ends_of_a_double_are_no_overflow(ends: list[float]) -> None:
    random = np.random.default_rng(3)
    values = pd.DataFrame(
        {"a": random.choice(ends, 1_000), "b": random.normal(size=1_000), "c": 1.7e308}
    )
    values.loc[0, "c"] = -1.7e308

    baseline = Baseline.fit(values)
    scores = dl.outlier_scores(values, baseline).column(0).to_numpy()
    density = row_scorer(baseline).density

    assert np.isfinite(scores).all() and np.median(scores) < 1.5
    assert density is not None or len(ends) == 2
    if density is not None:
        numbers = {name: values[name].to_numpy() for name in values}
        assert np.isfinite(density.of_rows(numbers, {}, len(values))).all()


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


def test_rows_that_the_reference_has_across_its_clusters_are_no_outliers() -> None:
    random = np.random.default_rng(2)
    across = random.random(42_000) < 0.02
    rows = tight(random, 42_000, 3)
    rows[across, 0] = 6 - rows[across, 0]
    baseline = Baseline.fit(frame(rows[:20_000]))

    scores = dl.outlier_scores(frame(rows[20_000:]), baseline).to_pandas()

    assert scores["is_outlier"].mean() < 3e-4


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_in_corners_that_only_two_columns_together_tell_are_outliers(seed: int) -> None:
    random = np.random.default_rng(seed)

    def rows(count: int, wrong: int = 0) -> np.ndarray:
        second, third = random.random((2, count)) < 0.5
        first = second ^ third
        first[:wrong] ^= True
        sides = 6.0 * np.column_stack([first, second, third])
        return sides + 0.3 * random.normal(size=sides.shape)

    baseline = Baseline.fit(frame(rows(20_000)))

    odd = dl.outlier_scores(frame(rows(100, wrong=100)), baseline).to_pandas()
    usual = dl.outlier_scores(frame(rows(5_000)), baseline).to_pandas()

    assert odd["is_outlier"].mean() > 0.5
    assert usual["is_outlier"].mean() < 1e-3


def test_rows_in_a_hole_are_odd_by_columns_together() -> None:
    random = np.random.default_rng(9)
    window = ring(random, 1_000)
    window[:20] = random.normal(0, 0.3, (20, 2))

    report = dl.check(frame(window), Baseline.fit(frame(ring(random, 2_000))), kind="outliers")

    assert report.cause.endswith("odd by columns together (100% of them) most")
