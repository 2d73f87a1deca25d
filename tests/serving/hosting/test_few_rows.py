"""Predictions of a few rows are those of scikit-learn's own call, which is the source here."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from driftline.serving.hosting.few_rows import FEW
from driftline.serving.hosting.predictor import Predictor

NAMES = ["carrier", "origin", "distance", "temp"]
TEXTS, NUMBERS = NAMES[:2], NAMES[2:]
ORDINAL = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)


def frame(rows=400, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "carrier": rng.choice(["UA", "DL", "AA"], rows),
            "origin": rng.choice(["EWR", "JFK"], rows),
            "distance": rng.integers(80, 3000, rows),
            "temp": rng.normal(50, 20, rows),
        }
    )


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
