"""A user's function is asked with rows in the form that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import driftline as dl
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.predictor import as_predictor


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
    answers = as_predictor(predict)(TABLE)

    assert answers == pytest.approx(NAMED.predict(NUMBERS))


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
    assert {metric.label for metric in report.metrics} == {"on time" if has_names else ""}
    assert report.details.get("positive") == ("on time" if has_names else None)
    assert [violation.feature_name for violation in report.violations].count("ndcg") <= 1
    assert not report.passed
    assert f'"{label}"' in baseline.documents["analysis.json"]


def test_a_function_that_takes_no_form_is_one_sentence() -> None:
    def broken(rows: object) -> object:
        raise ValueError("no model")

    with pytest.raises(InputError, match=r"takes none of an Arrow table \(no model\), a pandas da"):
        as_predictor(broken)(TABLE)
    with pytest.raises(InputError, match=r"answers of shape \(\) to 2 rows.*expected one answer"):
        as_predictor(lambda rows: 1.0)(TABLE)
    with pytest.raises(InputError, match=r'takes column "b", which is no feature .* known: a$'):
        as_predictor(NAMED.predict)(TABLE.select(["a"]))
    with pytest.raises(InputError, match=r"Regression; .* such as predict=model.predict$"):
        as_predictor(LinearRegression())
    with pytest.raises(InputError, match=r"such as predict=model.predict_proba$"):
        dl.Baseline.fit(NUMBERS, predict=LogisticRegression())  # type: ignore[arg-type]


def test_what_a_model_raises_is_one_sentence() -> None:
    lacking = NUMBERS.assign(a=np.nan)
    baseline = dl.Baseline.fit(NUMBERS, predict=NAMED.predict)

    with pytest.raises(InputError, match="the model refused the rows: ValueError: Input X contain"):
        dl.check(lacking, baseline, predict=NAMED.predict)
    with pytest.raises(InputError, match="the model refused the rows: ZeroDivisionError: divis"):
        dl.check(NUMBERS, baseline, predict=lambda rows: 1 / 0)
