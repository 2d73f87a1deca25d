"""The score of a row, by what it promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.scorer import RowScorer, row_scorer


def batch_of(frame: pd.DataFrame) -> pa.RecordBatch:
    return pa.Table.from_pandas(frame, preserve_index=False).combine_chunks().to_batches()[0]


def scores_of(scorer: RowScorer, frame: pd.DataFrame) -> np.ndarray:
    return scorer.score(batch_of(frame))


def mixed(rows: int, seed: int) -> pd.DataFrame:
    """Numbers that hang together, a repeated number, gaps, and texts of all kinds."""
    random = np.random.default_rng(seed)
    both = random.multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]], rows)
    gaps = random.normal(size=rows)
    gaps[random.random(rows) < 0.1] = np.nan
    names = np.array([f"level {at}" for at in range(60)])
    return pd.DataFrame(
        {
            "one": both[:, 0],
            "two": both[:, 1],
            "heavy": random.standard_t(2, rows),
            "zeros": np.where(random.random(rows) < 0.6, 0.0, random.exponential(size=rows)),
            "count": random.poisson(2, rows),
            "gaps": gaps,
            "text": names[np.minimum(random.geometric(0.15, rows), 60) - 1],
            "flag": random.random(rows) < 0.2,
        }
    )


@pytest.fixture(scope="module")
def known() -> RowScorer:
    return row_scorer(Baseline.fit(mixed(40_000, seed=4)))


@pytest.mark.full
def test_new_rows_of_the_same_kind_exceed_a_score_as_seldom_as_it_says(known: RowScorer) -> None:
    found = scores_of(known, mixed(60_000, seed=5))

    for score in (2.0, 3.0):
        assert float(np.mean(found >= score)) < 2.0 * 10**-score, score
    # Ten of the sample's 20,000 rows, as many of new ones: each is known to a third.
    assert np.count_nonzero(known.sample_scores >= known.threshold) == 10
    assert 10 < np.count_nonzero(found >= known.threshold) < 70


def test_a_small_reference_is_not_mute() -> None:
    random = np.random.default_rng(3)
    mixing = random.normal(size=(5, 5))
    reference = Baseline.fit(pd.DataFrame(random.normal(size=(1_000, 5)) @ mixing))
    scorer = row_scorer(reference)
    values = random.normal(size=(1_000, 5)) @ mixing
    values[:40] = random.uniform(values.min(axis=0), values.max(axis=0), (40, 5))

    frame = pd.DataFrame(values)
    is_odd = scores_of(scorer, frame) >= scorer.threshold
    report = dl.check(frame, reference, kind="outliers")

    assert is_odd[:40].sum() >= 20
    assert is_odd[40:].sum() <= 40
    assert [one.constraint_check_type for one in report.violations] == ["outlier_share_check"]
    assert dl.check(frame[40:], reference, kind="outliers").passed


PLANTED = {
    "a number far out": {"heavy": 1e6},
    "a number below all": {"one": -40.0, "two": -40.0},
    "a pair that breaks its correlation": {"one": 2.5, "two": -2.5},
    "infinite": {"heavy": np.inf},
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_row_is_an_outlier_and_worse_than_all_others(
    known: RowScorer, change: dict[str, float]
) -> None:
    frame = mixed(2_000, seed=6)
    for name, value in change.items():
        frame.loc[1_234, name] = value

    found = scores_of(known, frame)

    assert np.argmax(found) == 1_234
    assert found[1_234] >= known.threshold


def test_missing_and_unfit_values_are_as_odd_as_they_are_rare() -> None:
    values: list[object] = [*np.random.default_rng(12).normal(size=990).tolist(), *[None] * 10]
    scorer = row_scorer(Baseline.fit(pd.DataFrame({"x": values})))
    (column,) = scorer.numbers

    codes, numbers = column.codes(pa.RecordBatch.from_pydict({"x": ["1.5", None, "many"]}))

    left, _ = column.tails(codes, numbers)
    assert left[1] == pytest.approx(-np.log(0.01), abs=1e-4)
    assert left[2] == pytest.approx(np.log(2 * 1_000), abs=1e-4)  # Never: half a row of all.


def test_a_reference_of_few_rows_is_refused() -> None:
    with pytest.raises(InputError, match="made of 1 rows; outliers need 100"):
        row_scorer(Baseline.fit(pd.DataFrame({"x": [1.0]})))


def with_text(rows: int, seed: int) -> pd.DataFrame:
    """Two numbers that nearly sum to zero, a text and a number of two groups; no gaps."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    group = np.where(random.random(rows) < 0.5, -3.0, 3.0)
    return pd.DataFrame(
        {
            "x": x,
            "y": 0.1 * random.normal(size=rows) - x,
            "c": random.choice(list("abcd"), rows),
            "h": group + random.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def full() -> Baseline:
    return Baseline.fit(with_text(4_000, seed=20))


@pytest.mark.first(1)
@pytest.mark.parametrize("gone", ["x", "c", "h"])
def test_what_is_missing_says_nothing_of_the_other_columns(full: Baseline, gone: str) -> None:
    frame = with_text(2_000, seed=21)
    lacking = dl.check(frame.drop(columns=gone), full, kind="outliers")
    empty = dl.check(frame.assign(**{gone: None}), full, kind="outliers")

    assert lacking.passed
    assert not lacking.details["worst"]
    assert str(lacking.details["missing_note"]).startswith("not looked at, as the data lack 1 col")
    assert "each column is looked at alone" in str(lacking.details["missing_note"])
    assert not empty.violations
    assert not empty.details["worst"]


@pytest.mark.first(1)
@pytest.mark.parametrize("value", ["new", None])
def test_a_text_never_seen_or_a_first_gap_is_as_odd_as_half_a_row(
    full: Baseline, value: str | None
) -> None:
    frame = with_text(2_000, seed=22)
    frame.loc[::50, "c"] = value

    scores = dl.outlier_scores(frame, full).to_pandas()["outlier_score"]

    assert scores[::50].max() <= np.log10(2 * 4_000)
    assert dl.check(frame, full, kind="outliers").passed
