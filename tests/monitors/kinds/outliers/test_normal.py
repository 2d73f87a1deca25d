"""Normal scores of single numbers: against scipy's law, at ties, and beyond the range."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from driftline.baseline.store import Baseline
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.kinds.outliers.terms import NumberTerms


def terms_of(values: np.ndarray) -> NumberTerms:
    (column,) = row_scorer(Baseline.fit(pd.DataFrame({"x": values}))).numbers
    return column


def scores_of(column: NumberTerms, values: list[float]) -> np.ndarray:
    codes, numbers = column.codes(pa.RecordBatch.from_pydict({"x": values}))
    return column.normal.of_rows(codes, numbers, column.tails(codes, numbers))


@pytest.fixture(scope="module")
def normal() -> NumberTerms:
    return terms_of(np.random.default_rng(1).normal(size=20_000))


def test_a_normal_column_keeps_its_values(normal: NumberTerms) -> None:
    values = [-3.0, -2.6, -1.0, 0.0, 1.0, 2.6, 3.0]

    # A cell of the middle is a thirty-second of the rows wide, and tails fall within theirs.
    np.testing.assert_allclose(scores_of(normal, values), values, atol=0.25)


def test_no_two_values_of_a_tail_are_alike_within_the_range_or_beyond(normal: NumberTerms) -> None:
    outwards = np.linspace(2.5, 12.0, 60)

    assert (np.diff(scores_of(normal, outwards.tolist())) > 0).all()
    assert (np.diff(scores_of(normal, (-outwards).tolist())) < 0).all()
    assert np.isfinite(scores_of(normal, [-np.inf, np.inf])).all()


def test_new_rows_lie_no_further_out_than_a_sample_of_cells(normal: NumberTerms) -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=200_000)
    codes, _ = normal.codes(pa.RecordBatch.from_pydict({"x": rows}))
    inside = (codes > 0) & (codes < len(normal.cells.edges))

    drawn = normal.normal.of_sample(codes[inside], random.random(int(inside.sum())))
    read = scores_of(normal, rows[inside].tolist())

    for share in (0.0005, 0.005, 0.5, 0.995, 0.9995):
        known, new = np.quantile(drawn, share), np.quantile(read, share)
        assert abs(known) - 0.25 < abs(new) < abs(known) + 0.05


@pytest.mark.parametrize("others", [100, 5_000], ids=["all values counted", "by a sketch"])
def test_values_that_many_rows_share_have_their_mean_rank(others: int) -> None:
    """The least and the greatest value hold 0.8% of the rows each: no row lies beyond them."""
    inner = np.arange(19_680) % others / others
    column = terms_of(np.r_[np.full(160, -1.0), inner, np.full(160, 2.0)])
    edge = stats.norm.ppf(0.004)

    np.testing.assert_allclose(scores_of(column, [-1.0, 2.0]), [edge, -edge], atol=0.06)
    codes, _ = column.codes(pa.RecordBatch.from_pydict({"x": [-1.0] * 50 + [2.0] * 50}))
    drawn = column.normal.of_sample(codes, np.tile(np.linspace(0.01, 0.99, 50), 2))
    assert np.median(drawn[:50]) == pytest.approx(edge, abs=0.06)
    assert np.median(drawn[50:]) == pytest.approx(-edge, abs=0.06)


def test_infinite_values_of_the_reference_have_no_place_between_others() -> None:
    values = np.random.default_rng(3).normal(size=5_000)
    values[:20] = np.inf

    last = scores_of(terms_of(values), [np.inf])

    assert last == pytest.approx(stats.norm.ppf(0.99))
