"""What data can hold that no metric can use: each is told, and no number is shown that means none.

One line a state, for model quality and bias alike.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

ROWS = 1_000
Columns = dict[str, np.ndarray]
Change = Callable[[Columns], None]


def scored(seed: int) -> Columns:
    """Two classes with a probability, and two groups."""
    rng = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-rng.normal(-1, 1.5, ROWS)))
    return {
        "id": np.arange(ROWS) + seed * ROWS,
        "truth": (rng.random(ROWS) < chance).astype(np.float64),
        "score": chance,
        "sex": rng.choice(["F", "M"], ROWS).astype(object),
    }


def valued(seed: int) -> Columns:
    """Values and their prediction, and two groups."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, ROWS)
    return {
        "id": np.arange(ROWS) + seed * ROWS,
        "truth": truth,
        "score": truth + rng.normal(0, 0.5, ROWS),
        "sex": rng.choice(["F", "M"], ROWS).astype(object),
    }


def put(name: str, value: object, count: int = ROWS) -> Change:
    def change(columns: Columns) -> None:
        if isinstance(value, str):
            columns[name] = columns[name].astype(object)
        columns[name][:count] = value

    return change


def words(columns: Columns) -> None:
    columns["truth"] = np.where(columns["truth"] > 0, "many", "few").astype(object)


def table(columns: Columns) -> pa.Table:
    return pa.table(columns)


@cache
def baseline(make: Callable[[int], Columns], **roles: object) -> Baseline:
    of_kind = {"probability": "score"} if make is scored else {"prediction": "score"}
    problem = {} if make is scored else {"problem": "regression", "positive": 0.5}
    return Baseline.fit(
        table(make(1)), label="truth", id="id", facet="sex=F", **of_kind, **problem, **roles
    )


QUALITY, BIAS = "model-quality", "bias"
SCORES = [
    # State, change, violation, words of the note, for each kind; None: nothing of either.
    ("9 of 10 scores are missing", put("score", math.nan, 900), "missing_predictions", "900 rows"),
    ("no score at all", put("score", math.nan), "missing_predictions", "1,000 rows without"),
    ("some scores are missing", put("score", math.nan, 20), None, "20 rows without a prediction"),
    ("infinite", put("score", math.inf, 1), "impossible_predictions", "1 prediction outside 0"),
    ("above 1", put("score", 7.0, 10), "impossible_predictions", "10 predictions outside 0 to 1"),
    ("below 0", put("score", -0.5, 10), "impossible_predictions", "10 predictions outside 0 to 1"),
    ("absurd", put("score", 1e66, 1), "impossible_predictions", "1 prediction outside 0 to 1"),
    ("ids come twice", put("id", 5, 11), None, r'10 rows with an id \("id"\) of an earlier row'),
]
VALUES = [
    ("9 of 10 are missing", put("score", math.nan, 900), "missing_predictions", "900 rows without"),
    ("infinite", put("score", math.inf, 1), "impossible_predictions", "infinite"),
    ("minus infinity", put("score", -math.inf, 1), "impossible_predictions", "infinite"),
]


def judged(make: Callable[[int], Columns], change: Change, kind: str, **roles: object) -> Report:
    columns = make(2)
    change(columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return check(table(columns), baseline(make), kind=kind, **roles)


def states(lines: list[tuple[str, Change, str | None, str]]) -> list[object]:
    return [pytest.param(*line[1:], id=line[0]) for line in lines]


def requires(report: Report, violation: str | None, note: str) -> None:
    assert {one.feature_name for one in report.violations} == ({violation} - {None})
    assert re.search(note, str(report.details["answers_note"]))
    assert note.split()[0] in report.html()
    for one in report.metrics:
        for value in (one.value, one.low, one.high, one.bound):
            assert value is None or abs(value) < 1e4, one.name


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
@pytest.mark.parametrize(("change", "violation", "note"), states(SCORES))
def test_scores_that_cannot_be_used_are_told(
    kind: str, change: Change, violation: str | None, note: str
) -> None:
    requires(judged(scored, change, kind), violation, note)


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
@pytest.mark.parametrize(("change", "violation", "note"), states(VALUES))
def test_values_that_cannot_be_used_are_told(
    kind: str, change: Change, violation: str | None, note: str
) -> None:
    requires(judged(valued, change, kind), violation, note)


def test_many_infinite_values_are_told_as_many() -> None:
    requires(
        judged(valued, put("score", math.inf), BIAS),
        "impossible_predictions",
        "1,000 predictions of infinite size",
    )


def test_an_absurd_value_is_told_and_a_bad_one_counts() -> None:
    requires(
        judged(valued, put("score", 1e66, 1), QUALITY),
        "impossible_predictions",
        "1 prediction beyond",
    )

    bad = judged(valued, put("score", 1e5, 1), QUALITY)

    assert {one.feature_name for one in bad.violations} >= {"rmse", "r2"}
    assert "answers_note" not in bad.details


def test_an_infinite_prediction_of_the_reference_hides_no_later_loss() -> None:
    broken = valued(1)
    broken["score"][0] = math.inf
    fitted = Baseline.fit(table(broken), label="truth", prediction="score", problem="regression")
    worse = valued(2)
    worse["score"] = np.random.default_rng(3).permutation(worse["score"])

    assert check(table(valued(3)), fitted, kind=QUALITY).passed
    report = check(table(worse), fitted, kind=QUALITY)

    assert {one.feature_name for one in report.violations} == {"mae", "mse", "rmse", "r2"}
    assert all(one.reference is None or one.reference < 2 for one in report.metrics)


@pytest.mark.parametrize(
    ("kind", "value", "note"),
    [
        (QUALITY, 0.5, "all 1,000 predictions are equal .0.5.: they tell nobody apart"),
        (BIAS, 0.5, "no prediction is positive, so that no group can be treated otherwise"),
        (BIAS, 0.9, "every prediction is positive, so that no group can be treated otherwise"),
    ],
)
def test_predictions_that_are_all_equal_are_told(kind: str, value: float, note: str) -> None:
    assert re.search(note, str(judged(scored, put("score", value), kind).details["answers_note"]))


@pytest.mark.parametrize(
    ("kind", "metric", "reason"),
    [(QUALITY, "auc", "no rows of the positive class"), (BIAS, "RD", "no_observed_positives")],
)
def test_labels_of_one_class_give_no_number(kind: str, metric: str, reason: str) -> None:
    report = judged(scored, put("truth", 0.0), kind)

    [found] = [one for one in report.metrics if one.name == metric]
    assert found.value is None
    assert reason in found.note


def test_an_empty_group_gives_no_number() -> None:
    report = judged(scored, put("sex", "M"), BIAS)

    assert not report.decided
    assert {one.note for one in report.metrics} <= {"insufficient_data"} | {
        one.note for one in report.metrics if one.name == "GE"
    }
    assert "too few" in report.summary


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
@pytest.mark.parametrize("make", [scored, valued])
def test_labels_of_another_type_are_one_sentence(kind: str, make: Callable[[int], Columns]) -> None:
    with pytest.raises(InputError, match='label "truth" holds few, many, and'):
        judged(make, words, kind)


def test_labels_that_are_no_number_of_that_size_are_told() -> None:
    report = judged(valued, put("truth", 1e60, 3), QUALITY)

    assert report.passed
    assert report.details["unfit_labels"] == 3
    assert "3 labels left out: infinite" in str(report.details["answers_note"])


def test_infinite_labels_are_told_by_bias_too() -> None:
    report = judged(valued, put("truth", -math.inf, 3), BIAS)

    assert report.passed
    assert report.details["unfit_labels"] == 3
    assert "3 labels left out: infinite" in str(report.details["answers_note"])
