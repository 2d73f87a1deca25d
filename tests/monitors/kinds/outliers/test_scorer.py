"""The score of a row: against ECOD's own formula on raw rows, and by what it promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.scorer import OUTLIER_SCORE, RowScorer, row_scorer


def batch_of(frame: pd.DataFrame) -> pa.RecordBatch:
    return pa.Table.from_pandas(frame, preserve_index=False).combine_chunks().to_batches()[0]


def scores_of(scorer: RowScorer, frame: pd.DataFrame) -> np.ndarray:
    return scorer.score(batch_of(frame))


def skewed(rows: int, seed: int) -> pd.DataFrame:
    """Five independent columns, of which each leans to one side."""
    random = np.random.default_rng(seed)
    columns = {
        "gamma": random.gamma(2.0, 3.0, rows),
        "lognormal": random.lognormal(1.0, 0.8, rows),
        "left": -random.gamma(3.0, 1.0, rows),
        "weibull": random.weibull(1.2, rows),
        "square": random.random(rows) ** 3,
    }
    return pd.DataFrame(columns)


def ecod(reference: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The paper's score, row by row from its definition: Li et al., TKDE 2022, algorithm 1."""
    sums = np.zeros((3, len(rows)))
    for name in reference.columns:
        known = np.sort(reference[name].to_numpy())
        values = rows[name].to_numpy()
        left = -np.log(np.searchsorted(known, values, side="right") / len(known))
        right = -np.log((len(known) - np.searchsorted(known, values, side="left")) / len(known))
        sums += left, right, left if stats.skew(known) < 0 else right
    return sums.max(axis=0)


def test_ranks_are_those_of_ecod_up_to_the_width_of_cells() -> None:
    reference = skewed(20_000, seed=1)
    inside = skewed(20_000, seed=2)
    low, high = reference.min(), reference.max()
    inside = inside[((inside >= low) & (inside <= high)).all(axis=1)]
    scorer = row_scorer(Baseline.fit(reference))

    found = scorer.parts(batch_of(inside)).tails
    expected = ecod(reference, inside)

    # A cell holds a thirty-second of the rows, at the tails less: ranks of ordinary rows blur.
    assert stats.spearmanr(found, expected).statistic > 0.995
    assert np.mean(found - expected) == pytest.approx(0.0, abs=0.05)
    oddest = np.argsort(-expected)[:100]
    assert np.count_nonzero(stats.rankdata(-found)[oddest] <= 200) >= 90


def test_a_column_that_leans_left_is_looked_at_on_the_left() -> None:
    numbers = {one.column: one for one in row_scorer(Baseline.fit(skewed(20_000, seed=3))).numbers}

    assert [name for name, one in numbers.items() if one.is_left_skewed] == ["left"]


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


def test_new_rows_of_the_same_kind_exceed_a_score_as_seldom_as_it_says(known: RowScorer) -> None:
    found = scores_of(known, mixed(60_000, seed=5))

    # The bound holds with 95% confidence over samples; these seeds are far below it.
    for score in (2.0, 3.0, OUTLIER_SCORE):
        share = float(np.mean(found >= score))
        assert 0.02 * 10**-score < share < 1.2 * 10**-score, score


def test_columns_that_are_nearly_one_keep_the_promise_too() -> None:
    """All leave their range together, but not all in the same rows: that is no broken pair."""
    random = np.random.default_rng(14)

    def rows(count: int) -> pd.DataFrame:
        values = random.normal(size=(count, 1)) + 0.1 * random.normal(size=(count, 12))
        return pd.DataFrame(values, columns=[f"c{at}" for at in range(12)])

    found = scores_of(row_scorer(Baseline.fit(rows(20_000))), rows(60_000))

    assert np.mean(found >= OUTLIER_SCORE) <= 1e-4


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
    assert found[1_234] >= OUTLIER_SCORE


def test_a_text_that_was_never_seen_is_odder_than_a_rare_and_a_common_one(known: RowScorer) -> None:
    ordinary = mixed(1, seed=7)
    frame = pd.concat([ordinary.assign(text=text) for text in ("level 0", "level 45", "new")])

    parts = known.parts(batch_of(frame))
    common, rare, unseen = parts.strongest

    assert common < rare <= unseen


def test_rows_score_the_same_however_they_are_cut() -> None:
    # Weeks of the same rows, cut at other places: batches decide nothing.
    scorer = row_scorer(Baseline.fit(mixed(5_000, seed=8)))
    batch = batch_of(mixed(10_000, seed=9))
    whole = scorer.score(batch)

    for step in (1_000, 777):
        cut = [scorer.score(batch.slice(at, step)) for at in range(0, batch.num_rows, step)]
        np.testing.assert_array_equal(np.concatenate(cut), whole)


def test_a_single_row_is_scored(known: RowScorer) -> None:
    assert scores_of(known, mixed(1, seed=10)).shape == (1,)


def test_columns_that_tell_nothing_make_nothing_odd() -> None:
    rows = 5_000
    frame = pd.DataFrame(
        {
            "constant": np.full(rows, 7.0),
            "empty": pd.Series([None] * rows, dtype="float64"),
            "id": [f"order {at}" for at in range(rows)],
            "x": np.random.default_rng(11).normal(size=rows),
        }
    )
    scorer = row_scorer(Baseline.fit(frame))
    new = frame.assign(id=[f"order {at}" for at in range(rows, 2 * rows)])

    assert np.mean(scores_of(scorer, new) >= 2.0) < 0.02
    assert scores_of(scorer, new.head(1).assign(constant=8.0)) > scores_of(scorer, new.head(1))


def test_a_repeated_value_at_the_end_of_a_column_is_no_tail() -> None:
    """Half of the rows hold the maximum: mid-ranks make it ordinary."""
    reference = pd.DataFrame({"x": np.r_[np.arange(1_000), np.full(1_000, 1_000)].astype(float)})
    (column,) = row_scorer(Baseline.fit(reference)).numbers

    codes, values = column.codes(batch_of(pd.DataFrame({"x": [1_000.0]})))
    left, right = column.tails(codes, values)

    # F = (1000 + 500) / 2000, and what is above it is a quarter.
    assert left[0] == pytest.approx(-np.log(0.75), abs=1e-3)
    assert right[0] == pytest.approx(-np.log(0.25), abs=1e-3)


def test_missing_and_unfit_values_are_as_odd_as_they_are_rare() -> None:
    values: list[object] = [*np.random.default_rng(12).normal(size=990).tolist(), *[None] * 10]
    scorer = row_scorer(Baseline.fit(pd.DataFrame({"x": values})))
    (column,) = scorer.numbers

    codes, numbers = column.codes(pa.RecordBatch.from_pydict({"x": ["1.5", None, "many"]}))

    left, _ = column.tails(codes, numbers)
    assert left[1] == pytest.approx(-np.log(0.01), abs=1e-4)
    assert left[2] == pytest.approx(np.log(2 * 1_000), abs=1e-4)  # Never: half a row of all.


def test_columns_that_come_new_are_not_looked_at(known: RowScorer) -> None:
    frame = mixed(100, seed=13)

    np.testing.assert_array_equal(
        scores_of(known, frame.assign(extra=1e9)), scores_of(known, frame)
    )


def test_a_reference_of_few_rows_is_refused() -> None:
    with pytest.raises(InputError, match="made of 1 rows; outliers need 100"):
        row_scorer(Baseline.fit(pd.DataFrame({"x": [1.0]})))


def test_gaps_that_come_together_in_the_reference_are_as_rare_as_they_are_there() -> None:
    """One row in a thousand lacks ten columns at once, as when a source is down."""
    random = np.random.default_rng(15)

    def rows(count: int) -> pd.DataFrame:
        values = random.normal(size=(count, 10))
        values[random.random(count) < 0.001] = np.nan
        return pd.DataFrame(values, columns=[f"c{at}" for at in range(10)])

    found = scores_of(row_scorer(Baseline.fit(rows(20_000))), rows(30_000))

    assert np.mean(found >= OUTLIER_SCORE) <= 1e-4


def test_rows_that_lie_further_off_score_more_within_the_range_and_beyond() -> None:
    """Two columns of correlation 0.9: the order is that of the true distance."""
    shape = np.array([[1.0, 0.9], [0.9, 1.0]])
    known = np.random.default_rng(16).multivariate_normal([0.0, 0.0], shape, 20_000)
    rows = [(0, 2.5), (0, 3), (2, -2), (0, 4), (0, 5), (-3, 3), (-6, 6)]
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=float)
    true = [row @ np.linalg.inv(shape) @ row for row in frame.to_numpy()]

    found = scores_of(row_scorer(Baseline.fit(pd.DataFrame(known, columns=["a", "b"]))), frame)

    assert np.argsort(found).tolist() == np.argsort(true).tolist()
    assert len(set(found)) == len(rows)


def test_a_measured_number_between_two_frequent_ones_is_not_rare() -> None:
    """Degrees converted from whole ones in Celsius, then a feed in whole Fahrenheit."""
    random = np.random.default_rng(17)
    celsius = np.round(random.normal(8.0, 8.0, 20_000))
    scorer = row_scorer(Baseline.fit(pd.DataFrame({"temp": celsius * 1.8 + 32.0})))
    (temp,) = scorer.numbers

    codes, values = temp.codes(batch_of(pd.DataFrame({"temp": [46.4, 47.0, 48.2]})))
    _, right = temp.tails(codes, values)

    assert temp.cells.names[codes[1]] != temp.cells.names[codes[0]]
    assert right[1] <= right[2] + 1e-6


def test_a_code_between_two_known_ones_is_as_rare_as_one_that_was_never_seen() -> None:
    known = np.random.default_rng(18).integers(1, 6, 20_000).astype(float)
    (stars,) = row_scorer(Baseline.fit(pd.DataFrame({"stars": known}))).numbers

    codes, values = stars.codes(batch_of(pd.DataFrame({"stars": [3.0, 3.5]})))
    _, right = stars.tails(codes, values)

    assert right[0] < 1.0
    assert right[1] == pytest.approx(np.log(2 * 20_000), abs=1e-3)
