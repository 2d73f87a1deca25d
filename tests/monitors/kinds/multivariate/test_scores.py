"""Rows by cell as scores: normal scores of numbers, 0/1 of levels and gaps."""

import numpy as np
import pyarrow as pa
from scipy import stats

from driftline.baseline.store import Baseline
from driftline.monitors.kinds.multivariate.scores import (
    cell_counts,
    plan_scores,
    score_rows,
    score_tables,
)


def fitted(**columns: object) -> Baseline:
    return Baseline.fit(pa.table(columns))


def scores_of(baseline: Baseline) -> tuple[tuple, np.ndarray, np.ndarray]:
    codes, cells = baseline.sample.codes, baseline.cells
    counts = cell_counts(codes, cells)
    plan = plan_scores(counts, cells)
    tables, spreads = score_tables(plan, counts, cells)
    return plan, score_rows(plan, tables, codes), spreads


def test_a_number_gets_the_normal_scores_of_its_ranks() -> None:
    values = np.random.default_rng(0).lognormal(size=4_000)

    _, scores, spreads = scores_of(fitted(x=values))

    # scipy's ranks of the values themselves; cells of 3% of the rows lie within.
    exact = stats.norm.ppf((stats.rankdata(values) - 0.5) / len(values))
    assert np.corrcoef(exact, scores[:, 0])[0, 1] > 0.995
    assert abs(scores[:, 0].mean()) < 1e-3
    assert abs(scores[:, 0].std() - 1) < 1e-3
    assert spreads[0] > 0.97


def test_levels_and_gaps_have_columns_of_their_own() -> None:
    names = np.array(["a", "b", "c", None], dtype=object)
    drawn = np.random.default_rng(1).choice(4, 2_000, p=[0.5, 0.3, 0.1, 0.1])

    plan, scores, _ = scores_of(fitted(t=pa.array(names[drawn])))

    assert [one.label for one in plan] == ['t = "a"', 't = "b"', 't = "c"', "t is empty"]
    assert np.isnan(scores[drawn == 3, 0]).all()
    assert not np.isnan(scores[:, 3]).any()


def test_the_other_of_two_levels_says_nothing_more() -> None:
    plan, _, _ = scores_of(fitted(t=["yes", "no", "no"] * 100, flag=[True, False] * 150))

    assert [one.column for one in plan] == ["t", "flag"]


def test_columns_of_one_value_and_names_are_left_out() -> None:
    plan, _, _ = scores_of(fitted(one=[7] * 300, name=[f"n{at}" for at in range(300)]))

    assert plan == ()
