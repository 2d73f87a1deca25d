"""A user's function is asked with rows in the form that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.attribution import explaining
from driftline.monitors.kinds.attribution.asking import classes_of, taking_tables


def frame(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"a": rng.normal(size=rows), "b": rng.normal(size=rows), "c": rng.choice(["u", "v"], rows)}
    )


FRAME = frame()
TRUTH = FRAME.a - 2 * FRAME.b + (FRAME.c == "u")
NUMBERS = FRAME[["a", "b"]]
TABLE = pa.Table.from_pandas(NUMBERS)
NAMED = LinearRegression().fit(NUMBERS, TRUTH)


@pytest.mark.parametrize(
    "predict",
    [
        lambda rows: NAMED.predict(rows.to_pandas()),  # An Arrow table.
        lambda rows: NAMED.coef_[0] * rows.a + NAMED.coef_[1] * rows.b + NAMED.intercept_,
        lambda rows: rows[:, 0] * NAMED.coef_[0] + rows[:, 1] * NAMED.coef_[1] + NAMED.intercept_,
        NAMED.predict,
        LinearRegression().fit(NUMBERS.to_numpy(), TRUTH).predict,
        LinearRegression().fit(NUMBERS[["b", "a"]], TRUTH).predict,  # In its own order.
    ],
)
@pytest.mark.filterwarnings("error")
def test_functions_get_what_they_take(predict: Callable[..., Any]) -> None:
    answers = taking_tables(predict, TABLE)(TABLE)

    assert answers == pytest.approx(NAMED.predict(NUMBERS))


@pytest.mark.filterwarnings("error")
def test_methods_of_estimators_are_explained_as_they_are() -> None:
    encoder = make_column_transformer((OneHotEncoder(), ["c"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(FRAME, TRUTH > 0)

    for predict in (model.predict_proba, lambda rows: model.predict_proba(rows)[:, 1]):
        baseline = dl.Baseline.fit(FRAME, predict=predict)
        assert dl.check(FRAME, baseline, predict=predict).passed


def test_outputs_are_named_by_classes_only_where_they_are_their_probabilities() -> None:
    one = LogisticRegression().fit(NUMBERS, np.where(TRUTH > 0, "late", "on time"))
    labels = np.c_[TRUTH > 0, NUMBERS.a > 0].astype(int)
    both, swapped = (
        DecisionTreeClassifier(max_depth=3, random_state=0).fit(NUMBERS, found)
        for found in (labels, labels[:, ::-1])
    )
    uneven = DecisionTreeClassifier(max_depth=3).fit(NUMBERS, labels + np.r_[2, [0] * 299][:, None])

    assert classes_of(one.predict_proba) == ("late", "on time")
    assert [classes_of(found) for found in (one.predict, both.predict, uneven.predict)] == [()] * 3
    # Of two outputs each is judged: they took each other's place.
    report = dl.check(
        NUMBERS, dl.Baseline.fit(NUMBERS, predict=both.predict), predict=swapped.predict
    )
    assert not report.passed


@pytest.mark.parametrize("has_names", [True, False])
def test_of_two_outputs_that_sum_to_one_the_second_is_told(has_names: bool) -> None:
    rows = frame(900)[["a", "b"]]
    model = LogisticRegression().fit(rows, np.where(rows.a > 0, "late", "on time"))
    swapped = LogisticRegression().fit(rows, np.where(rows.b > 0, "late", "on time"))
    one, other = (
        each.predict_proba if has_names else lambda some, each=each: each.predict_proba(some)
        for each in (model, swapped)
    )

    baseline = dl.Baseline.fit(rows, predict=one)
    report = dl.check(rows, baseline, predict=other)

    label = "on time" if has_names else "label1"
    assert {metric.label for metric in report.metrics} == {label}
    assert report.details.get("positive") == ("on time" if has_names else None)
    assert [violation.feature_name for violation in report.violations].count("ndcg") <= 1
    assert not report.passed
    assert f'"{label}"' in baseline.documents["analysis.json"]


def both_told(model: LogisticRegression, monkeypatch: pytest.MonkeyPatch) -> Baseline:
    """A baseline as it was written before."""
    with monkeypatch.context() as patch:
        patch.setattr(explaining, "told_once", lambda explained: explained)
        return dl.Baseline.fit(frame(900)[["a", "b"]], predict=model.predict_proba)


def test_the_reference_decides_for_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LogisticRegression().fit(NUMBERS, TRUTH > 0)
    older = both_told(model, monkeypatch)
    newer = dl.Baseline.fit(frame(900)[["a", "b"]], predict=model.predict_proba)
    rng = np.random.default_rng(2)

    for count in (30, 100, 500) * 4:
        rows = pd.DataFrame(rng.normal(size=(count, 2)), columns=["a", "b"])
        told = [dl.check(rows, one, predict=model.predict_proba) for one in (older, newer)]
        assert [report.passed for report in told] == [True, True]
        labels = [{metric.label for metric in report.metrics} for report in told]
        assert labels == [{"false", "true"}, {"true"}]
    # What answers the same to all rows, what sums to something else, and what answers for one.
    odd = [
        lambda some: np.full((len(some), 2), 0.5),
        lambda some: 3 * model.predict_proba(some[["b", "a"]].rename(columns={"a": "b", "b": "a"})),
        lambda some: model.predict_proba(some[["a", "b"]])[:, 1],
    ]
    passed = []
    for predict in odd:
        report = dl.check(frame(900)[["a", "b"]], newer, predict=predict)
        assert len({metric.label for metric in report.metrics}) == 1
        passed.append(report.passed)
    assert passed == [False, False, True]


def test_a_method_and_a_function_of_two_outputs_are_held_against_one_alike() -> None:
    rows = frame(900)[["a", "b"]]
    model = LogisticRegression().fit(rows, np.where(rows.a > 0, "late", "on time"))
    baseline = dl.Baseline.fit(rows, predict=lambda some: model.predict_proba(some)[:, 1])

    reports = [
        dl.check(rows, baseline, predict=each)
        for each in (model.predict_proba, lambda some: model.predict_proba(some))
    ]

    values = [[(one.name, one.value) for one in report.metrics] for report in reports]
    assert values[0] == values[1]
    assert [report.passed for report in reports] == [True, True]
    # Of two outputs that are no chance and its rest nobody knows which one is meant.
    with pytest.raises(InputError, match="explains label0; the data explain label0, label1"):
        dl.check(rows, baseline, predict=lambda some: some[["a", "b"]])


def test_outputs_of_other_names_are_refused_as_before() -> None:
    rows = frame(900)[["a", "b"]]
    model = LogisticRegression().fit(rows, np.where(rows.a > 0, "late", "on time"))
    other = LogisticRegression().fit(rows, np.where(rows.a > 0, "no", "yes"))
    baseline = dl.Baseline.fit(rows, predict=model.predict_proba)

    with pytest.raises(InputError, match="explains on time; the data explain no, yes; expected"):
        dl.check(rows, baseline, predict=other.predict_proba)


def test_a_function_that_takes_no_form_is_one_sentence() -> None:
    def broken(rows: object) -> object:
        raise ValueError("no model")

    with pytest.raises(InputError, match=r"takes none of an Arrow table \(no model\), a pandas da"):
        taking_tables(broken, TABLE)
    with pytest.raises(InputError, match=r"answers of shape \(\) to 2 rows.*expected one answer"):
        taking_tables(lambda rows: 1.0, TABLE)
    with pytest.raises(InputError, match=r'takes column "b", which is no feature .* known: a$'):
        taking_tables(NAMED.predict, TABLE.select(["a"]))
    with pytest.raises(InputError, match=r"Regression; .* such as predict=model.predict$"):
        taking_tables(LinearRegression(), TABLE)
    with pytest.raises(InputError, match=r"such as predict=model.predict_proba$"):
        dl.Baseline.fit(NUMBERS, predict=LogisticRegression())  # type: ignore[arg-type]


def test_what_a_model_raises_is_one_sentence() -> None:
    lacking = NUMBERS.assign(a=np.nan)
    baseline = dl.Baseline.fit(NUMBERS, predict=NAMED.predict)

    with pytest.raises(InputError, match="the model refused the rows: ValueError: Input X contain"):
        dl.check(lacking, baseline, predict=NAMED.predict)
    with pytest.raises(InputError, match="the model refused the rows: ZeroDivisionError: divis"):
        dl.check(NUMBERS, baseline, predict=lambda rows: 1 / 0)


def test_a_model_that_was_fitted_on_texts_is_asked_with_texts():
    texts = ["good x", "bad y"] * 20
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0] * 20)

    found = taking_tables(model.predict_proba, pa.table({"text": texts}))(pa.table({"t": texts}))

    assert found.tolist() == model.predict_proba(texts).tolist()
