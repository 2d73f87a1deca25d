import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.svm import LinearSVC

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import Predictor, load_predictor


def columns_of(frame):
    return {name: frame[name].to_numpy() for name in ("carrier", "origin", "distance", "temp")}


def numbers(rows=40, width=3, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)), random.integers(0, 3, rows)


def test_a_pipeline_answers_as_the_model_itself_does(trained):
    predictor = load_predictor(trained.file, trust_pickle=False)
    rows = trained.frame.drop(columns="late").head(17)

    answer = predictor.predict(columns_of(rows))

    assert list(answer.predictions) == trained.model.predict(rows).tolist()
    expected = trained.model.predict_proba(rows)[:, 1]
    np.testing.assert_allclose([one for (one,) in answer.probabilities], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (LogisticRegression(), "not fitted"),
        ({"a": 1}, "expected a model with a method predict"),
        (StandardScaler().fit([[1.0]]), "expected a model with a method predict"),
    ],
)
def test_what_is_no_fitted_model_is_refused(held, sentence, tmp_path):
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(held))

    with pytest.raises(ModelError, match=sentence):
        load_predictor(tmp_path / "m.pkl", trust_pickle=True)


def test_the_probability_of_two_classes_is_the_positive_ones(trained):
    columns = columns_of(trained.frame.head(3))

    second = Predictor(trained.model).predict(columns).probabilities
    first = Predictor(trained.model, positive="0").predict(columns).probabilities

    np.testing.assert_allclose(np.array(first) + np.array(second), 1)
    with pytest.raises(ModelError, match="the model knows 0, 1"):
        Predictor(trained.model, positive="yes")


class _Short(LogisticRegression):
    """Answers for one row, however many were asked."""

    def predict_proba(self, rows):
        return super().predict_proba(rows)[:1]


class _Two(LinearSVC):
    """Answers two classes a row."""

    def predict(self, rows):
        return np.column_stack([super().predict(rows)] * 2)


def test_a_model_that_answers_other_many_than_rows_is_refused():
    rows = np.arange(12.0).reshape(6, 2)
    columns = {"_c0": rows[:, 0], "_c1": rows[:, 1]}
    short = Predictor(_Short().fit(rows, [0, 1, 0, 1, 0, 1]))
    two = Predictor(_Two().fit(rows, [0, 1, 0, 1, 0, 1]))

    for ask in (short.predict, short.numbers, two.predict, two.numbers):
        with pytest.raises(ModelError, match="expected"):
            ask(columns)


def test_a_regression_of_several_values_answers_a_list_for_each_row():
    rows = np.arange(12.0).reshape(6, 2)
    columns = {"_c0": rows[:, 0], "_c1": rows[:, 1]}
    wide = LinearRegression().fit(rows, np.column_stack([rows[:, 0], -rows[:, 1], rows[:, 0]]))
    narrow = LinearRegression().fit(rows, rows[:, :1])

    for model, expected in ((wide, wide.predict(rows)), (narrow, narrow.predict(rows)[:, 0])):
        said = Predictor(model).predict(columns).predictions
        np.testing.assert_allclose(said, expected, atol=1e-12)
    np.testing.assert_array_equal(Predictor(wide).numbers(columns), wide.predict(rows))


def test_no_nan_is_answered_as_a_probability():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.coef_ = np.array([[np.nan]])
    with pytest.raises(ModelError, match=r"no number as a probability \(NaN\)"):
        Predictor(model).predict({"_c0": np.array([1.0])})
