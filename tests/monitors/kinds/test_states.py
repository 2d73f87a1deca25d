"""What data can hold that no metric can use: each is told, and no number is shown that means none.

One line a state, for model quality and bias alike.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
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
    assert re.search(note, str(report.details.get("answers_note")))
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


def test_an_absurd_value_is_told_and_a_bad_one_counts() -> None:
    requires(
        judged(valued, put("score", 1e66, 1), QUALITY),
        "impossible_predictions",
        "1 prediction beyond",
    )

    bad = judged(valued, put("score", 1e5, 1), QUALITY)

    assert next(one.value for one in bad.metrics if one.name == "rmse") > 1e3
    assert "answers_note" not in bad.details


@pytest.mark.full
def test_an_infinite_prediction_of_the_reference_hides_no_later_loss() -> None:
    broken = valued(1)
    broken["score"][0] = math.inf
    fitted = Baseline.fit(table(broken), label="truth", prediction="score", problem="regression")
    worse = valued(2)
    worse["score"] = np.random.default_rng(3).permutation(worse["score"])

    assert check(table(valued(3)), fitted, kind=QUALITY).passed
    report = check(table(worse), fitted, kind=QUALITY)

    found = {one.feature_name for one in report.violations} - {"estimated_mse"}
    assert found == {"mae", "rmse", "r2"}
    # Of relative errors a label near 0 makes more, and the largest error is one row's.
    judged = [one for one in report.metrics if one.judged]
    assert all(one.reference is None or one.reference < 2 for one in judged)


@pytest.mark.parametrize(("kind", "value"), [(QUALITY, 0.5), (BIAS, 0.5), (BIAS, 0.9)])
def test_predictions_that_are_all_equal_are_told(kind: str, value: float) -> None:
    report = judged(scored, put("score", value), kind)

    [found] = [one for one in report.violations if one.feature_name == "equal_predictions"]
    assert found.severity == "page"
    assert re.match(r"all 1,000 predictions are (0.5|negative|positive) \(reference ", found.cause)


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
def test_equal_predictions_that_the_reference_may_have_by_chance_are_none(kind: str) -> None:
    rare = scored(1) | {"said": np.where(np.arange(ROWS) < 3, 1, 0)}
    fitted = Baseline.fit(table(rare), label="truth", prediction="said", facet="sex=F", positive=1)

    report = check(table(scored(2) | {"said": np.zeros(ROWS, int)}), fitted, kind=kind)
    other = check(table(scored(2) | {"said": np.ones(ROWS, int)}), fitted, kind=kind)

    assert "equal_predictions" not in {one.feature_name for one in report.violations}
    assert "equal_predictions" in {one.feature_name for one in other.violations}


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
@pytest.mark.parametrize("role", ["label", "prediction"])
def test_a_third_class_is_a_violation_with_its_count(kind: str, role: str) -> None:
    def said(seed: int) -> Columns:
        columns = scored(seed)
        for name, values in (("truth", columns["truth"]), ("said", columns["score"] > 0.5)):
            columns[name] = np.where(values, "yes", "no").astype(object)
        return columns

    roles = {"label": "truth", "prediction": "said", "facet": "sex=F", "positive": "yes"}
    fitted = Baseline.fit(table(said(1)), **roles)
    window = said(2)
    name = "truth" if role == "label" else "said"
    window[name][:3] = "maybe"

    assert check(table(said(3)), fitted, kind=kind).passed
    report = check(table(window), fitted, kind=kind)

    [found] = report.violations
    assert (found.feature_name, found.row_count, found.severity) == ("unknown_classes", 3, "ticket")
    assert f'{role} "{name}" = "maybe" (3x); they count as negative' in found.cause


def test_a_third_class_is_told_where_label_and_prediction_name_classes_differently() -> None:
    def said(seed: int) -> Columns:
        columns = scored(seed)
        columns["said"] = np.where(columns["score"] > 0.5, "approve", "reject").astype(object)
        return columns

    roles = {"label": "truth", "prediction": "said", "facet": "sex=F", "positive": [1, "approve"]}
    fitted = Baseline.fit(table(said(1)), **roles)
    window = said(2)
    window["said"][:3] = "maybe"

    assert check(table(said(3)), fitted, kind=BIAS).passed
    [found] = check(table(window), fitted, kind=BIAS).violations
    assert (found.feature_name, found.row_count) == ("unknown_classes", 3)
    assert 'prediction "said" = "maybe" (3x)' in found.cause
    # A model that nobody has heard yet may have names of its own.
    unheard = Baseline.fit(table(said(1)).drop_columns(["said"]), **{**roles, "prediction": None,
                           "positive": [1]})  # fmt: skip
    later = check(table(window), unheard, kind=BIAS, prediction="said", positive=[1, "approve"])
    assert "unknown_classes" not in {one.feature_name for one in later.violations}


@pytest.mark.parametrize("kind", [QUALITY, BIAS])
def test_predictions_that_got_lost_are_missed_beside_their_scores(kind: str) -> None:
    def said(seed: int, lost: int = 0) -> pa.Table:
        columns = scored(seed)
        known = np.arange(ROWS) >= lost
        return table(columns).append_column("said", pa.array(columns["score"] > 0.5, mask=~known))

    fitted = Baseline.fit(
        said(1), label="truth", prediction="said", probability="score", facet="sex=F"
    )

    assert check(said(3), fitted, kind=kind).passed
    [found] = check(said(2, lost=700), fitted, kind=kind).violations
    assert found.feature_name == "missing_predictions"
    assert "70% of 1,000 rows have no prediction" in found.cause


ANIMALS = ["cat", "cow", "dog"]


def animals(seed: int) -> Columns:
    """Three classes with a probability each."""
    rng = np.random.default_rng(seed)
    truth, chance = rng.integers(0, 3, ROWS), rng.dirichlet([1, 1, 1], ROWS)
    chance = (chance + np.eye(3)[truth]) / 2
    found = {f"p_{one}": chance[:, place] for place, one in enumerate(ANIMALS)}
    return {"truth": np.array(ANIMALS, object)[truth], **found}


def of_animals(columns: Columns) -> Baseline:
    said = [f"p_{one}" for one in ANIMALS]
    return Baseline.fit(table(columns), label="truth", probability=said, problem="multiclass")


def test_a_class_that_the_reference_never_has_leaves_nothing_to_estimate() -> None:
    window = animals(2)
    window["truth"][:5] = "emu"

    report = check(table(window), of_animals(animals(1)), kind=QUALITY)

    assert report.decided
    assert not [one for one in report.metrics if one.name.startswith("estimated_")]


def test_labels_that_are_no_number_of_that_size_are_told() -> None:
    report = judged(valued, put("truth", 1e60, 3), QUALITY)

    assert report.passed
    assert report.details["unfit_labels"] == 3
    assert "3 labels left out: infinite" in str(report.details["answers_note"])
    assert '): "truth" = 1e+60 (3x)' in str(report.details["answers_note"])


def test_labels_that_lack_are_none_that_are_no_number() -> None:
    def some(columns: Columns) -> None:
        columns["truth"] = columns["truth"].astype(str).astype(object)
        columns["truth"][:3] = " n/a"

    report = judged(valued, some, QUALITY)

    assert report.passed
    assert (report.details["rows_without_label"], report.details["unfit_labels"]) == (3, 0)
    assert "left out" not in str(report.details)


@pytest.mark.parametrize("name", ["truth", "score"])
def test_true_and_false_are_no_numbers_of_a_regression(name: str) -> None:
    def some(columns: Columns) -> None:
        columns[name] = columns[name] > 0

    with pytest.raises(InputError, match=f'"{name}" holds true and false, and a regression needs'):
        judged(valued, some, QUALITY)


def test_a_reference_of_true_and_false_is_said_to_be_the_reference() -> None:
    known = baseline(valued)
    place = known.outcomes.table.column_names.index("truth")
    truth = pa.array(known.outcomes.table["truth"].to_numpy() > 0)
    older = replace(
        known,
        rows=replace(known.outcomes, table=known.outcomes.table.set_column(place, "truth", truth)),
    )

    told = '^the reference of the baseline: label "truth" holds true .*; make it again$'
    with pytest.raises(InputError, match=told):
        check(table(valued(2)), older, kind=QUALITY)


def weeks(make: Callable[[int], Columns], *, lost: bool) -> Columns:
    """Ten weeks of rows, a hundred a day, of which most at weekends have no prediction if lost."""
    parts = [{name: values[:100] for name, values in make(day).items()} for day in range(70)]
    columns = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    day = np.repeat(np.arange(70), 100)
    columns["when"] = np.datetime64("2026-01-03T12:00", "us") + day * np.timedelta64(1, "D")
    columns["score"] = np.where(lost & (day % 7 < 2) & (columns["id"] % 5 < 3), np.nan,
                                columns["score"])  # fmt: skip
    return columns


@cache
def of_weeks(make: Callable[[int], Columns], lost: bool) -> Baseline:
    of_kind = {"probability": "score"} if make is scored else {"prediction": "score"}
    problem = {} if make is scored else {"problem": "regression", "positive": 0.5}
    return Baseline.fit(
        table(weeks(make, lost=lost)), label="truth", id="id", facet="sex=F", timestamp="when",
        **of_kind, **problem,
    )  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (scored, QUALITY),
        (valued, BIAS),
        pytest.param(scored, BIAS, marks=pytest.mark.full),
        pytest.param(valued, QUALITY, marks=pytest.mark.full),
    ],
)
def test_predictions_that_lack_at_weekends_alone_are_no_page_at_weekends(
    kind: str, make: Callable[[int], Columns]
) -> None:
    usual, whole = (of_weeks(make, lost) for lost in (True, False))
    saturday = {name: values[:100] for name, values in weeks(make, lost=True).items()}
    saturday["when"] = saturday["when"] + np.timedelta64(700, "D")

    like, new = (check(table(saturday), one, kind=kind) for one in (usual, whole))
    gone = check(table({**saturday, "score": np.full(100, np.nan)}), usual, kind=kind)

    assert {one.feature_name for one in like.violations} == set()
    for report in (new, gone):
        assert [one.severity for one in report.violations] == ["page"]
        assert report.violations[0].feature_name == "missing_predictions"


UNLABELLED = [
    ("a third is missing", put("score", math.nan, 334), "missing_predictions", "334 rows without"),
    ("no score at all", put("score", math.nan), "missing_predictions", "1,000 rows without"),
    ("percents", put("score", 55.0), "impossible_predictions", "1,000 .* outside 0 to 1"),
    ("all equal", put("score", 0.5), "equal_predictions", ""),
]


@pytest.mark.parametrize("labelled", [0, 300])
@pytest.mark.parametrize(("change", "violation", "note"), states(UNLABELLED))
def test_predictions_are_judged_on_all_rows_before_labels_come(
    change: Change, violation: str, note: str, labelled: int
) -> None:
    def unlabel(columns: Columns) -> None:
        change(columns)
        columns["truth"][labelled:] = math.nan

    known, report = judged(scored, change, QUALITY), judged(scored, unlabel, QUALITY)

    [cause] = [one.cause for one in report.violations if one.feature_name == violation]
    [expected] = [one for one in known.violations if one.feature_name == violation]
    assert (cause, expected.severity) == (expected.cause, "page")
    assert re.search(note, str(report.details.get("answers_note")))
    assert report.decided


@pytest.mark.parametrize("make", [scored, valued])
def test_predictions_that_lack_where_labels_do_are_as_in_the_reference(
    make: Callable[[int], Columns],
) -> None:
    def unasked(columns: Columns) -> None:
        columns["score"][:300] = columns["truth"][:300] = math.nan

    usual = make(1)
    unasked(usual)
    role = {"probability": "score"} if make is scored else {"prediction": "score"}
    fitted = Baseline.fit(table(usual), label="truth", **role)
    window = make(2)
    unasked(window)

    report = check(table(window), fitted, kind=QUALITY)
    window["score"][300:600] = math.nan
    lost = check(table(window), fitted, kind=QUALITY)

    assert report.passed
    assert "60% of 1,000 rows have no prediction (reference 30%)" in lost.cause
