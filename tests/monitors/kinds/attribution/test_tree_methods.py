"""Methods of trees, as a notebook has them, are explained by the trees themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import driftline as dl
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.predictor import FunctionPredictor


def frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])


TRAIN = frame(900, 1)
SCORE = 2 * TRAIN.a + TRAIN.b * TRAIN.c
LATE = np.where(SCORE > 0, "on time", "late")
NUMBER = (SCORE > 0).astype(int)


def logit(chances: np.ndarray) -> np.ndarray:
    odds: np.ndarray = np.log(chances[:, 1] / chances[:, 0])
    return odds[:, None]


def itself(answers: np.ndarray) -> np.ndarray:
    return answers.reshape(len(answers), -1)


@pytest.mark.parametrize(
    ("fitted", "units", "scale"),
    [
        (lambda: RandomForestClassifier(5, max_depth=3).fit(TRAIN, LATE).predict_proba,
         "probability", lambda chances: chances[:, 1:]),
        (lambda: HistGradientBoostingClassifier(max_iter=9).fit(TRAIN, LATE).predict_proba,
         "margin", logit),
        (lambda: GradientBoostingRegressor(n_estimators=9).fit(TRAIN.to_numpy(), SCORE).predict,
         "value", itself),
        (lambda: make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=9))
         .fit(TRAIN[["c", "a", "b"]], SCORE).predict, "value", itself),
        (lambda: Pipeline([("as is", "passthrough"),
                           ("model", GradientBoostingRegressor(n_estimators=9))])
         .fit(TRAIN[["c", "a", "b"]], SCORE).predict, "value", itself),
        (lambda: xgboost.XGBClassifier(n_estimators=9).fit(TRAIN, NUMBER).predict_proba,
         "margin", logit),
        (lambda: lightgbm.LGBMClassifier(n_estimators=9, verbose=-1).fit(TRAIN, NUMBER)
         .predict_proba, "margin", logit),
    ],
    ids=["forest", "histograms", "boosting", "pipeline", "passthrough", "xgboost", "lightgbm"],
)  # fmt: skip
def test_trees_say_exactly_what_their_answers_are(
    fitted: Callable[[], Any], units: str, scale: Callable[[np.ndarray], np.ndarray]
) -> None:
    model = FunctionPredictor(fitted())
    assert model.method == "tree_path_dependent"
    rows = pa.Table.from_pandas(frame(50, 2))
    taken = rows if model.features is None else rows.select(list(model.features))
    found = model.contributions(taken, taken.slice(0, 5))

    told = found.values.sum(axis=2) + found.expected
    np.testing.assert_allclose(told, scale(model(taken)), rtol=1e-3, atol=1e-4)
    assert model.method_units == units


def test_a_notebooks_trees_are_judged_by_their_own_method_alone() -> None:
    model = HistGradientBoostingClassifier(max_iter=9).fit(TRAIN, LATE)
    swapped = HistGradientBoostingClassifier(max_iter=9).fit(
        TRAIN.rename(columns={"a": "b", "b": "a"})[["a", "b", "c"]], LATE
    )
    baseline = dl.Baseline.fit(TRAIN, predict=model.predict_proba)

    clean = dl.check(frame(600, 3), baseline, predict=model.predict_proba)
    other = dl.check(frame(600, 3), baseline, predict=swapped.predict_proba)

    assert {one.details["method"] for one in (clean, other)} == {"tree_path_dependent"}
    assert [one.passed for one in (clean, other)] == [True, False]
    assert clean.details["positive"] == "on time"
    with pytest.raises(InputError, match="which this model does not offer; make the baseline"):
        dl.check(frame(600, 3), baseline, predict=lambda rows: model.predict_proba(rows))


@pytest.mark.parametrize(
    "kind",
    [xgboost.XGBClassifier, pytest.param(lightgbm.LGBMClassifier, marks=pytest.mark.full)],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_models_of_categories_get_them_again(kind: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    rows = frame(900, 1).assign(
        only=pd.Categorical(["k"] * 900),
        word=pd.Categorical(rng.choice(["u", "v", "w"], 900)),
        size=pd.Categorical(rng.choice([10, 20], 900)),
    )
    target = (rows.a + 2 * (rows.word == "u") - 2 * (rows["size"] == 10).astype(int) > 0) * 1
    quiet = {"verbose": -1} if kind is lightgbm.LGBMClassifier else {"enable_categorical": True}
    model = kind(n_estimators=9, **quiet).fit(rows, target)
    baseline = dl.Baseline.fit(rows, predict=model.predict_proba)

    same = dl.check(rows, baseline, predict=model.predict_proba)
    one = dl.check(rows.assign(word="u"), baseline, predict=model.predict_proba)

    assert (same.details["method"], same.passed) == ("tree_path_dependent", True)
    explained = FunctionPredictor(model.predict_proba)
    plain = pa.Table.from_pandas(rows.astype({"only": str, "word": str, "size": int}))
    found = explained.contributions(plain, plain.slice(0, 0))
    told = found.values.sum(axis=2) + found.expected
    np.testing.assert_allclose(told, logit(model.predict_proba(rows)), rtol=1e-3, atol=1e-4)
    assert "word" in one.cause
    with pytest.raises(InputError, match='column "only" comes as text: where the model was fitted'):
        dl.Baseline.fit(rows, predict=lambda some: model.predict_proba(some))


class OtherScale(lightgbm.LGBMRegressor):
    """Trains and predicts on another scale than its rows have."""

    def fit(self, rows: Any, labels: Any) -> Any:  # type: ignore[override] # As a user writes it.
        return super().fit(rows * 1_000, labels)

    def predict(self, rows: Any, **named: Any) -> Any:  # type: ignore[override]
        return super().predict(rows * 1_000, **named)


@pytest.mark.full
def test_trees_that_do_not_explain_the_rows_themselves_are_asked_as_any_function() -> None:
    rows = pd.DataFrame({name: np.random.default_rng(3).normal(size=400) for name in "abc"})
    linear: Any = lightgbm.LGBMRegressor(n_estimators=5, linear_tree=True, verbose=-1)
    several = xgboost.XGBRegressor(n_estimators=5, multi_strategy="multi_output_tree")

    for model, labels in (
        (linear, rows["a"]),
        (several, rows[["a", "b"]]),
        (OtherScale(n_estimators=5, verbose=-1), rows["a"]),
    ):
        predict = model.fit(rows, labels).predict
        assert FunctionPredictor(predict).method == "permutation"
