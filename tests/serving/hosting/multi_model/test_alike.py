"""Models of one endpoint that answer other many values a row than their neighbours."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.multi_model.alike import require_alike
from driftline.serving.hosting.predictor import describe


def test_models_answer_as_many_values_a_row_as_their_neighbours() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    one, two = (describe(LinearRegression().fit(rows, values)) for values in (rows[:, 0], rows))

    with pytest.raises(ModelError, match="values a row: 2, the endpoint's models 1; put it below"):
        require_alike(two, asdict(one))
    require_alike(two, asdict(replace(one, answer_width=None)))  # Nobody knows.
