from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import (
    Predictor,
    describe,
    require_alike,
)

ROWS = np.arange(12.0).reshape(6, 2)
COLUMNS = {"_c0": ROWS[:, 0], "_c1": ROWS[:, 1]}


def columns_of(frame):
    return {name: frame[name].to_numpy() for name in ("carrier", "origin", "distance", "temp")}


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
    columns = columns_of(trained.frame.head(3))

    second = Predictor(trained.model).predict(columns).probabilities
    first = Predictor(trained.model, positive="0").predict(columns).probabilities

    np.testing.assert_allclose(np.array(first) + np.array(second), 1)
    with pytest.raises(ModelError):
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
    short = Predictor(_Short().fit(ROWS, [0, 1, 0, 1, 0, 1]))
    two = Predictor(_Two().fit(ROWS, [0, 1, 0, 1, 0, 1]))

    for ask in (short.predict, short.numbers, two.predict, two.numbers):
        with pytest.raises(ModelError):
            ask(COLUMNS)


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


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_network_of_three_classes_answers_one_of_them():
    model = MLPClassifier(max_iter=400, random_state=0).fit(ROWS, ["a", "b", "c"] * 2)

    assert describe(model).classes == ("a", "b", "c")


def test_no_nan_is_answered_as_a_probability():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.coef_ = np.array([[np.nan]])
    with pytest.raises(ModelError):
        Predictor(model).predict({"_c0": np.array([1.0])})
