"""How many values models say they answer a row, against what they answer."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC, SVR

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import describe, require_alike

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"x": RANDOM.normal(size=30), "word": ["a", "b", "c"] * 10})
VALUES = RANDOM.normal(size=(30, 2))


def words(last):
    """Return a model whose encoder refuses what is none of its words."""
    encoder = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    return make_pipeline(encoder, last)


MODELS = [
    words(LinearRegression()),
    words(RandomForestRegressor(2)),
    words(KNeighborsRegressor()),
    MultiOutputRegressor(words(Ridge())),
    words(MultiOutputRegressor(SVR())),
    words(RegressorChain(Ridge())),
    GridSearchCV(words(Ridge()), {"ridge__alpha": [0.1, 1.0]}, cv=2),
    TransformedTargetRegressor(words(Ridge())),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_models_of_several_values_a_row_say_how_many(model):
    model.fit(ROWS, VALUES)

    assert describe(model).answer_width == model.predict(ROWS).shape[1] == 2


@pytest.mark.parametrize("last", [LinearRegression(), KNeighborsRegressor(), Ridge()])
@pytest.mark.parametrize("values", [VALUES[:, 0], VALUES[:, :1]], ids=["vector", "table"])
def test_models_of_one_value_a_row_say_so(last, values):
    assert describe(words(last).fit(ROWS, values)).answer_width == 1


CLASSIFIERS = [RidgeClassifier(), MLPClassifier(max_iter=2), OneVsRestClassifier(SVC())]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("last", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_classifiers_of_several_labels_a_row_are_refused(last):
    with pytest.raises(ModelError, match="answers 2 values a row; expected one"):
        describe(words(last).fit(ROWS, (VALUES > 0).astype(int)))


def test_models_of_one_endpoint_answer_as_many_values_a_row_as_their_neighbours():
    numbers = ROWS[["x"]]
    one, two = (describe(Ridge().fit(numbers, values)) for values in (VALUES[:, 0], VALUES))

    with pytest.raises(ModelError, match="values a row: 2, the endpoint's models 1; put it below"):
        require_alike(two, asdict(one))
    require_alike(two, asdict(replace(one, answer_width=None)))  # Nobody knows.
