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
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import driftline as dl
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.categories import categories_of
from driftline.monitors.kinds.attribution.importance import Attributions
from driftline.monitors.kinds.attribution.tree_methods import TreeMethod, explaining_itself


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
    model = explaining_itself(fitted())
    assert isinstance(model, TreeMethod)
    rows = pa.Table.from_pandas(frame(50, 2))
    taken = rows if model.features is None else rows.select(list(model.features))
    found = model.contributions(taken, taken.slice(0, 5))

    told = found.values.sum(axis=2) + found.expected
    np.testing.assert_allclose(told, scale(model(taken)), rtol=1e-3, atol=1e-4)
    assert model.method_units == units


def test_a_notebooks_trees_are_judged_by_their_own_way_and_by_any_other() -> None:
    model = HistGradientBoostingClassifier(max_iter=9).fit(TRAIN, LATE)
    swapped = HistGradientBoostingClassifier(max_iter=9).fit(
        TRAIN.rename(columns={"a": "b", "b": "a"})[["a", "b", "c"]], LATE
    )
    baseline = dl.Baseline.fit(TRAIN, predict=model.predict_proba)

    clean = dl.check(frame(600, 3), baseline, predict=model.predict_proba)
    other = dl.check(frame(600, 3), baseline, predict=swapped.predict_proba)
    function = dl.check(frame(600, 3), baseline, predict=lambda rows: model.predict_proba(rows))

    assert [one.details["method"] for one in (clean, other, function)] == [
        "tree_path_dependent", "tree_path_dependent", "permutation",
    ]  # fmt: skip
    assert [one.passed for one in (clean, other, function)] == [True, False, True]
    assert clean.details["positive"] == "on time"
    assert Attributions.from_arrow(baseline.attributions).permuted is not None


def test_lightgbms_columns_keep_their_blanks_in_a_baseline() -> None:
    rows = TRAIN.rename(columns={"a": "bill amt"})[["b", "bill amt", "c"]]
    model: Any = lightgbm.LGBMRegressor(n_estimators=9, verbose=-1).fit(rows, SCORE)

    baseline = dl.Baseline.fit(rows, predict=model.predict)

    assert Attributions.from_arrow(baseline.attributions).features == ("b", "bill amt", "c")
    found = explaining_itself(model.predict)
    assert isinstance(found, TreeMethod)
    table = pa.Table.from_pandas(rows[["c", "bill amt", "b"]])
    values = found.contributions(table, table.slice(0, 0))
    told = values.values.sum(axis=2)[:, 0] + values.expected
    np.testing.assert_allclose(told, model.predict(rows), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [xgboost.XGBClassifier, lightgbm.LGBMClassifier])
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
    explained = explaining_itself(model.predict_proba)
    assert isinstance(explained, TreeMethod)
    plain = pa.Table.from_pandas(rows.astype({"only": str, "word": str, "size": int}))
    found = explained.contributions(plain, plain.slice(0, 0))
    told = found.values.sum(axis=2) + found.expected
    np.testing.assert_allclose(told, logit(model.predict_proba(rows)), rtol=1e-3, atol=1e-4)
    assert "word" in one.cause
    with pytest.raises(InputError, match='column "only" comes as text: where the model was fitted'):
        dl.Baseline.fit(rows, predict=lambda some: model.predict_proba(some))


@pytest.mark.parametrize(
    ("model", "units"),
    [
        (HistGradientBoostingClassifier(max_iter=9), "log-odds"),
        (lightgbm.LGBMClassifier(n_estimators=9, verbose=-1), "log-odds"),
        (lightgbm.LGBMClassifier(n_estimators=9, verbose=-1, sigmoid=2.0), "margin"),
        (GradientBoostingClassifier(n_estimators=9), "log-odds"),
        (GradientBoostingClassifier(n_estimators=9, loss="exponential"), "margin"),
    ],
)  # fmt: skip
def test_only_margins_whose_sigmoid_is_the_probability_are_log_odds(model: Any, units: str) -> None:
    predict = model.fit(TRAIN, NUMBER).predict_proba
    baseline = dl.Baseline.fit(TRAIN, predict=predict)

    report = dl.check(frame(600, 3), baseline, predict=predict)

    assert report.details["units"] == units
    assert Attributions.from_arrow(baseline.attributions).making.units == "margin"


@pytest.mark.parametrize("given", ["auto", ["size"]])
def test_which_columns_of_lightgbm_are_categories_is_known_or_not_said(given: Any) -> None:
    rng = np.random.default_rng(6)
    rows = pd.DataFrame({
        "size": rng.integers(0, 9, 900), "word": pd.Categorical(rng.choice(["u", "v"], 900)),
    })  # fmt: skip
    if given == "auto":
        rows["size"] = pd.Categorical(rows["size"], ordered=True)  # A number to the model.
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1)
    model.fit(rows, (rows["word"] == "u") * 1, categorical_feature=given)

    assert categories_of(model) == {}


def test_trees_of_another_unit_are_another_model_which_is_judged() -> None:
    model = xgboost.XGBClassifier(n_estimators=9).fit(TRAIN, NUMBER)
    forest = RandomForestClassifier(5, max_depth=3).fit(TRAIN, NUMBER)
    turned = RandomForestClassifier(5, max_depth=3).fit(
        TRAIN.rename(columns={"a": "c", "c": "a"})[["a", "b", "c"]], NUMBER
    )
    baseline = dl.Baseline.fit(TRAIN, predict=model.predict_proba)

    alike, other = (
        dl.check(frame(600, 3), baseline, predict=one.predict_proba) for one in (forest, turned)
    )

    for report in (alike, other):
        assert report.decided
        assert str(report.details["model_note"]).endswith('units of "margin", now of "probability"')
        [level] = [one for one in report.metrics if one.name == "level"]
        assert (level.bound, level.note) == (None, "incomparable: another model")
    assert "shares" in {one.feature_name for one in other.violations}
    assert all(one.cause.startswith("the model changed, and ") for one in other.violations)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("form", [TRAIN, TRAIN.to_numpy()], ids=["names", "places"])
def test_scaled_trees_take_no_background(scaler: Any, form: Any) -> None:
    model = make_pipeline(scaler, RandomForestClassifier(5, max_depth=3)).fit(form, LATE)
    baseline = dl.Baseline.fit(TRAIN, predict=model.predict_proba)

    report = dl.check(frame(600, 3), baseline, predict=model.predict_proba)

    assert (report.details["method"], report.passed) == ("tree_path_dependent", True)


def test_a_baseline_by_permutations_is_compared_by_permutations() -> None:
    model = HistGradientBoostingClassifier(max_iter=9).fit(TRAIN, LATE)
    baseline = dl.Baseline.fit(TRAIN, predict=lambda rows: model.predict_proba(rows))

    by_method = dl.check(frame(600, 3), baseline, predict=model.predict_proba)
    by_function = dl.check(frame(600, 3), baseline, predict=lambda rows: model.predict_proba(rows))

    assert by_method.details["method"] == "permutation"
    values = [[one.value for one in report.metrics] for report in (by_method, by_function)]
    assert values[0] == values[1]


def test_only_the_method_whose_answers_trees_explain_counts() -> None:
    trees = RandomForestClassifier(5, max_depth=3).fit(TRAIN, LATE)
    linear = LogisticRegression().fit(TRAIN, LATE)
    boosted = xgboost.XGBRegressor(booster="gblinear").fit(TRAIN, SCORE)

    predict: Any
    for predict in (
        trees.predict, trees.predict_log_proba, linear.predict_proba, boosted.predict, len,
    ):  # fmt: skip
        assert explaining_itself(predict) is predict


def test_what_trees_refuse_is_not_explained() -> None:
    model = GradientBoostingRegressor(n_estimators=9).fit(TRAIN, SCORE)
    baseline = dl.Baseline.fit(TRAIN, predict=model.predict)

    with pytest.raises(InputError, match="the model refused the rows: ValueError: Input X contain"):
        dl.check(frame(600, 3).assign(a=np.nan), baseline, predict=model.predict)


class OtherScale(lightgbm.LGBMRegressor):
    """Trains and predicts on another scale than its rows have."""

    def fit(self, rows: Any, labels: Any) -> Any:  # type: ignore[override] # As a user writes it.
        return super().fit(rows * 1_000, labels)

    def predict(self, rows: Any, **named: Any) -> Any:  # type: ignore[override]
        return super().predict(rows * 1_000, **named)


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
        assert explaining_itself(predict) is predict


def test_what_xgboost_takes_for_missing_is_missing_in_its_contributions() -> None:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({name: rng.normal(size=400) for name in "abc"})
    gone = rng.random(400) < 0.4
    labels = np.where(gone, 1.0, (rows["a"] > 0) | (rows["b"] < -0.5))
    rows.loc[gone, "a"] = -999.0
    model = xgboost.XGBRegressor(n_estimators=5, missing=-999.0).fit(rows, labels)
    table = pa.Table.from_pandas(rows, preserve_index=False)

    explained = explaining_itself(model.predict)
    assert isinstance(explained, TreeMethod)
    found = explained.contributions(table, table)

    sums = found.values[:, 0].sum(axis=1) + found.expected[0]
    assert sums == pytest.approx(model.predict(rows), abs=1e-4)
