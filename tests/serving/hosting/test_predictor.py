"""Predictions as the model makes them, also of few rows, or none."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from driftline.serving.hosting.few_rows import FEW
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import Predictor, describe, require_alike
from tests.serving.conftest import make_frame

ROWS = np.arange(12.0).reshape(6, 2)
COLUMNS = {"_c0": ROWS[:, 0], "_c1": ROWS[:, 1]}


@pytest.mark.parametrize(
    "held",
    [
        LogisticRegression(),
        {"a": 1},
        StandardScaler().fit([[1.0]]),
        RidgeClassifier().fit(ROWS, [[0, 1], [1, 0]] * 3),
    ],
    ids=["not fitted", "no model", "no predictions", "several labels a row"],
)
def test_what_is_no_fitted_model_of_one_answer_is_refused(held):
    with pytest.raises(ModelError):
        describe(held)


def test_the_probability_of_two_classes_is_the_positive_ones(trained):
    columns = {name: values.to_numpy() for name, values in trained.inputs.head(3).items()}

    second = Predictor(trained.model).predict(columns).probabilities
    first = Predictor(trained.model, positive="0").predict(columns).probabilities

    np.testing.assert_allclose(np.array(first) + np.array(second), 1)
    with pytest.raises(ModelError):
        Predictor(trained.model, positive="yes")


def _of_texts(*parts):
    return make_pipeline(*parts, TfidfVectorizer(), LogisticRegression())


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(make_union(TfidfVectorizer(), TfidfVectorizer()), LogisticRegression()),
        CalibratedClassifierCV(_of_texts(), cv=2),
        VotingClassifier([("a", _of_texts()), ("b", _of_texts())], voting="soft"),
        _of_texts(FunctionTransformer(list)),
        GridSearchCV(_of_texts(), {"logisticregression__C": [1.0]}, cv=2),
    ],
    ids=["union", "calibrated", "vote", "function", "search"],
)
def test_a_model_that_was_fitted_on_texts_takes_one_text_a_row(model):
    texts = np.array(["good day", "bad night", "good night", "bad day"] * 3, dtype=object)
    model.fit([*texts], ["good", "bad"] * 6)

    found = describe(model)

    assert (found.feature_count, found.feature_types) == (1, ("string",))
    answered = Predictor(model).predict({"text": texts}).predictions
    assert [*answered] == ["good", "bad"] * 6


class _Short(LogisticRegression):
    """Answers for one row, however many were asked."""

    def predict_proba(self, rows):
        return super().predict_proba(rows)[:1]


class _Two(LinearSVC):
    """Answers two classes a row."""

    def predict(self, rows):
        return np.column_stack([super().predict(rows)] * 2)


def test_a_model_that_answers_other_many_than_rows_is_refused():
    short = Predictor(_Short().fit(ROWS, [0, 1, 0, 1, 0, 1]))
    two = Predictor(_Two().fit(ROWS, [0, 1, 0, 1, 0, 1]))

    for ask in (short.predict, short.numbers, two.predict, two.numbers):
        with pytest.raises(ModelError):
            ask(COLUMNS)


@pytest.mark.parametrize("count", [FEW + 1, 200])
@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(copy=False), LogisticRegression()),
        LogisticRegression(),
        HistGradientBoostingRegressor(),
        Ridge(),
    ],
    ids=["scaled", "logistic", "trees", "ridge"],
)
@pytest.mark.parametrize("names", [None, ["a", "b"], ["b", "a"]], ids=["array", "frame", "turned"])
def test_a_matrix_is_predicted_as_its_columns_are(model, names, count):
    wide = np.random.default_rng(0).normal(size=(200, 2))
    label = (wide[:, 0] > wide[:, 1]).astype(int)
    train = wide.copy() if names is None else pd.DataFrame(wide, columns=["a", "b"])[names]
    predictor = Predictor(model.fit(train, label))

    by_columns = predictor.predict(dict(zip("ab", wide[:count].T, strict=True)))
    found = predictor.predict_numbers(["a", "b"], wide[:count].copy())

    for one in ("predictions", "probabilities"):
        np.testing.assert_array_equal(getattr(found, one), getattr(by_columns, one))


def test_a_regression_of_several_values_answers_a_list_for_each_row():
    wide = LinearRegression().fit(ROWS, np.column_stack([ROWS[:, 0], -ROWS[:, 1], ROWS[:, 0]]))
    narrow = LinearRegression().fit(ROWS, ROWS[:, :1])

    for model, expected in ((wide, wide.predict(ROWS)), (narrow, narrow.predict(ROWS)[:, 0])):
        np.testing.assert_allclose(Predictor(model).predict(COLUMNS).predictions, expected)
    np.testing.assert_array_equal(Predictor(wide).numbers(COLUMNS), wide.predict(ROWS))
    widths = [describe(model) for model in (wide, narrow)]
    assert [one.answer_width for one in widths] == [3, 1]
    with pytest.raises(ModelError):  # Both cannot stand behind one endpoint.
        require_alike(widths[1], asdict(widths[0]))
    require_alike(widths[1], asdict(replace(widths[0], answer_width=None)))  # Nobody knows.


def test_no_nan_is_answered_as_a_probability():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.coef_ = np.array([[np.nan]])
    with pytest.raises(ModelError):
        Predictor(model).predict({"_c0": np.array([1.0])})


# Predictions of a few rows are those of scikit-learn's own call, which is the source here.

NAMES = ["carrier", "origin", "distance", "temp"]
TEXTS, NUMBERS = NAMES[:2], NAMES[2:]
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)


def frame(rows=400, seed=1):
    return make_frame(rows, seed).drop(columns="late").fillna({"temp": 50.0})


def target(table, classes=2):
    size = table.distance / 1000 + table.temp / 40 + (table.carrier == "UA")
    return pd.qcut(size, classes, labels=False).to_numpy() if classes else size.to_numpy()


def columns_of(table):
    return {
        name: table[name].to_numpy(dtype=object if name in TEXTS else None).copy() for name in table
    }


def on_columns(last, texts=ORDINAL, numbers="passthrough"):
    return make_pipeline(make_column_transformer((texts, TEXTS), (numbers, NUMBERS)), last)


ONE_HOT = make_pipeline(
    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
)
SCALED = make_pipeline(SimpleImputer(), StandardScaler())
MODELS = {
    "trees": (on_columns(HistGradientBoostingClassifier(max_iter=20)), 2),
    "trees, three classes": (on_columns(HistGradientBoostingClassifier(max_iter=20)), 3),
    "trees, values": (on_columns(HistGradientBoostingRegressor(max_iter=20)), 0),
    "logistic": (on_columns(LogisticRegression(), ONE_HOT, SCALED), 2),
    "logistic, three classes": (on_columns(LogisticRegression(), OneHotEncoder(), SCALED), 3),
    "ridge": (on_columns(Ridge(), OneHotEncoder(), StandardScaler()), 0),
}


@pytest.fixture(scope="module", params=MODELS, ids=str)
def fitted(request):
    model, classes = MODELS[request.param]
    table = frame()
    return model.fit(table, target(table, classes))


def refuse(*_):
    raise AssertionError("the model itself was asked")


def without_the_model(predictor):
    """Take the model's own methods away, so that only what was read from it is left."""
    predictor._predict = predictor._prepare = refuse
    predictor._chances = None if predictor._chances is None else refuse
    return predictor


def assert_same(answer, model, rows):
    predictions = model.predict(rows)
    if not hasattr(model, "classes_"):
        np.testing.assert_allclose(answer.predictions, predictions, rtol=1e-12)
        return
    assert list(answer.predictions) == predictions.tolist()
    chances = model.predict_proba(rows)
    shown = chances[:, 1:] if chances.shape[1] == 2 else chances
    np.testing.assert_allclose(answer.probabilities, shown, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("count", [1, FEW])
def test_few_rows_are_answered_as_by_the_model_without_asking_it(fitted, count):
    rows = frame(count, seed=2)

    answer = without_the_model(Predictor(fitted)).predict(columns_of(rows))

    assert_same(answer, fitted, rows)


@pytest.mark.parametrize(
    ("name", "value"), [("temp", np.nan), ("temp", np.inf), ("carrier", None), ("carrier", "B6")]
)
def test_unusual_values_are_answered_or_refused_as_by_the_model(fitted, name, value):
    rows = frame(3, seed=4).astype({"carrier": object})
    rows.loc[1, name] = value
    rows = pd.DataFrame(columns_of(rows))  # pandas reads texts with gaps anew.
    predictor = Predictor(fitted)

    try:
        expected = fitted.predict(rows)
    except ValueError:
        with pytest.raises(ValueError, match=r"contains|unknown"):
            predictor.predict(columns_of(rows))
        return

    assert expected.shape == (3,)
    assert_same(predictor.predict(columns_of(rows)), fitted, rows)


def test_thresholds_of_trees_are_met_to_the_last_bit_and_missing_numbers_go_as_learned():
    rng = np.random.default_rng(5)
    values = rng.integers(0, 5, (600, 2)).astype(float)
    wanted = values.sum(axis=1) > 4
    values[rng.random(values.shape) < 0.3] = np.nan
    model = HistGradientBoostingClassifier(max_iter=30).fit(values, wanted)
    at = model._predictors[0][0].nodes["num_threshold"][0]
    beside = [at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)]
    rows = np.array([[one] * 2 for one in beside] + [[np.nan, 1.0], [0.5, np.nan], [np.nan] * 2])

    answer = without_the_model(Predictor(model)).predict({"a": rows[:, 0], "b": rows[:, 1]})

    assert_same(answer, model, rows)
