"""Models of ONNX, against scikit-learn's own answers."""

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor

VALUES = np.random.default_rng(3).normal(size=(200, 3)).astype(np.float32)
SCORE = VALUES[:, 0] + VALUES[:, 1]


def load(model, folder, **metadata):
    for key, value in metadata.items():
        helper.set_model_props(model, {key: value})
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return load_predictor(folder / "m.onnx", trust_pickle=False)


def columns(values):
    return {f"_c{place}": column.astype(np.float64) for place, column in enumerate(values.T)}


@pytest.mark.parametrize(
    ("kind", "classes", "zipmap"),
    [(LogisticRegression, 2, True), (RandomForestClassifier, 3, False)],
)
def test_a_classifier_answers_as_scikit_learn_does(kind, classes, zipmap, tmp_path):
    labels = np.digitize(SCORE, [0, 1][: classes - 1])
    model = kind().fit(VALUES, labels)

    predictor = load(to_onnx(model, VALUES, options={id(model): {"zipmap": zipmap}}), tmp_path)
    answer = predictor.predict(columns(VALUES))

    about = predictor.description
    assert (about.classes, about.class_type) == (tuple("012"[:classes]), "int64")
    assert (about.feature_names, about.feature_count) == (None, 3)
    expected = model.predict_proba(VALUES)
    shown = expected if classes > 2 else expected[:, 1:]
    np.testing.assert_allclose(answer.probabilities, shown, atol=1e-5)
    # Float32 may turn a label whose probabilities are all but equal.
    is_clear = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] > 1e-4
    said = np.array(answer.predictions)
    np.testing.assert_array_equal(said[is_clear], model.predict(VALUES)[is_clear])


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [("no", "yes"), (-1, 1)])
def test_classes_are_those_that_the_model_names(labels, zipmap, tmp_path):
    model = LogisticRegression().fit(VALUES, np.where(SCORE > 0, *reversed(labels)))

    predictor = load(to_onnx(model, VALUES, options={id(model): {"zipmap": zipmap}}), tmp_path)

    assert predictor.description.classes == tuple(map(str, labels))
    answer = predictor.predict(columns(VALUES[:50]))
    assert list(answer.predictions) == model.predict(VALUES[:50]).tolist()
    expected = model.predict_proba(VALUES[:50])[:, 1]
    np.testing.assert_allclose(np.ravel(answer.probabilities), expected, atol=1e-5)


def answering(label, width, **metadata):
    """Make a model that answers a label and probabilities, and names no classes."""
    kind = TensorProto.STRING if isinstance(label, str) else TensorProto.INT64
    value = label.encode() if isinstance(label, str) else label
    nodes = [
        helper.make_node(
            "Constant", [], ["label"], value=helper.make_tensor("v", kind, [1], [value])
        ),
        helper.make_node("Softmax", ["X"], ["chances"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor_value_info("label", kind, [1]),
            helper.make_tensor_value_info("chances", TensorProto.FLOAT, [None, width]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_classes_that_nobody_names_are_numbers_from_0_and_others_are_refused(tmp_path):
    row = columns(np.array([[0.0, 1.0]]))

    assert load(answering(1, 2), tmp_path).predict(row).predictions == [1]
    with pytest.raises(ModelError, match=r"not the most probable of \[0, 1\]; name them"):
        load(answering(2, 2), tmp_path).predict(row)
    assert load(answering(2, 2), tmp_path, classes="[1, 2]").predict(row).predictions == [2]
    with pytest.raises(ModelError, match=r"and not which there are; name them in order in its"):
        load(answering("yes", 2), tmp_path)
    with pytest.raises(ModelError, match=r"not the most probable of \['yes', 'no'\]$"):
        load(answering("yes", 2), tmp_path, classes='["yes", "no"]').predict(row)
    named = load(answering("yes", 2), tmp_path, classes='["no", "yes"]')
    assert named.predict(row).predictions == ["yes"]


def test_a_regressor_answers_numbers(tmp_path):
    model = LinearRegression().fit(VALUES, SCORE)

    predictor = load(to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))]), tmp_path)
    answer = predictor.predict(columns(VALUES[:7]))

    assert predictor.description.classes == ()
    np.testing.assert_allclose(answer.predictions, model.predict(VALUES[:7]), atol=1e-5)


def test_inputs_by_name_are_the_columns(tmp_path):
    frame = pd.DataFrame({"carrier": ["UA", "AA"] * 50, "distance": np.arange(100.0)})
    prepare = ColumnTransformer(
        [("text", OneHotEncoder(), ["carrier"]), ("numbers", StandardScaler(), ["distance"])]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, frame["distance"] > 50)
    types = [("carrier", StringTensorType([None, 1])), ("distance", FloatTensorType([None, 1]))]
    predictor = load(to_onnx(model, initial_types=types), tmp_path)
    text, numbers = frame["carrier"].to_numpy(), frame["distance"].to_numpy()

    answer = predictor.predict({"distance": numbers, "carrier": text})

    assert predictor.description.feature_names == ("carrier", "distance")
    assert predictor.description.feature_types == ("string", "double")
    expected = model.predict_proba(frame)[:, 1]
    np.testing.assert_allclose(np.ravel(answer.probabilities), expected, atol=1e-5)
    with pytest.raises(ModelError, match='input "distance" takes numbers'):
        predictor.predict({"carrier": text, "distance": text})
    with pytest.raises(ModelError, match='input "carrier" takes text'):
        predictor.predict({"carrier": numbers, "distance": numbers})
