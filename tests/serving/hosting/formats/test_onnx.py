"""Models of ONNX, and those converted to it: as scikit-learn, xgboost and lightgbm answer."""

import json
from functools import partial

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from driftline.errors import InputError, UndecidedError
from driftline.serving.hosting.conversion import convert
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor
from driftline.serving.hosting.questions import columns_of
from tests.servers.commands import driftline
from tests.serving.hosting.formats.archives import save

VALUES = np.random.default_rng(3).normal(size=(200, 3)).astype(np.float32)
SCORE = VALUES[:, 0] + VALUES[:, 1]


def load(model, folder, **metadata):
    for key, value in metadata.items():
        helper.set_model_props(model, {key: value})
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return load_predictor(folder / "m.onnx", trust_pickle=False)


def columns(values):
    return {f"_c{place}": column.astype(np.float64) for place, column in enumerate(values.T)}


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (RandomForestClassifier, (0, 1, 2)),
        (LogisticRegression, ("no", "yes")),
        (LogisticRegression, (-1, 1)),
    ],
)
def test_a_classifier_answers_as_scikit_learn_does(kind, labels, zipmap, tmp_path):
    bounds = [0, 1][: len(labels) - 1]
    model = kind().fit(VALUES, np.array(labels)[np.digitize(SCORE, bounds)])

    predictor = load(to_onnx(model, VALUES, options={id(model): {"zipmap": zipmap}}), tmp_path)
    answer = predictor.predict(columns(VALUES))

    about = predictor.description
    assert about.classes == tuple(map(str, labels))
    assert about.class_type == ("string" if isinstance(labels[0], str) else "int64")
    assert (about.feature_names, about.feature_count) == (None, 3)
    expected = model.predict_proba(VALUES)
    shown = expected if len(labels) > 2 else expected[:, 1:]
    np.testing.assert_allclose(answer.probabilities, shown, atol=1e-5)
    # Float32 may turn a label whose probabilities are all but equal.
    is_clear = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] > 1e-4
    said = np.array(answer.predictions)
    assert said[is_clear].tolist() == model.predict(VALUES)[is_clear].tolist()


def answering(label):
    """Make a model that answers a label and probabilities, and names no classes."""
    kind = TensorProto.STRING if isinstance(label, str) else TensorProto.INT64
    value = label.encode() if isinstance(label, str) else label
    constant = helper.make_tensor("v", kind, [1], [value])
    nodes = [
        helper.make_node("Constant", [], ["label"], value=constant),
        helper.make_node("Softmax", ["X"], ["chances"]),
    ]
    floats = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    answers = [
        helper.make_tensor_value_info("label", kind, [1]),
        floats("chances", shape=[None, 2]),
    ]
    graph = helper.make_graph(nodes, "g", [floats("X", shape=[None, 2])], answers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_classes_that_nobody_names_are_numbers_from_0_and_others_are_refused(tmp_path):
    row = columns(np.array([[0.0, 1.0]]))

    assert load(answering(1), tmp_path).predict(row).predictions == [1]
    with pytest.raises(ModelError):
        load(answering(2), tmp_path).predict(row)
    assert load(answering(2), tmp_path, classes="[1, 2]").predict(row).predictions == [2]
    with pytest.raises(ModelError):
        load(answering("yes"), tmp_path)
    with pytest.raises(ModelError, match=r"not the most probable of \['yes', 'no'\]$"):
        load(answering("yes"), tmp_path, classes='["yes", "no"]').predict(row)
    named = load(answering("yes"), tmp_path, classes='["no", "yes"]')
    assert named.predict(row).predictions == ["yes"]


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
    for wrong in (text, numbers):
        with pytest.raises(ModelError, match="takes"):
            predictor.predict({"carrier": wrong, "distance": wrong})


# Converted by driftline, and compared with what was converted.
FRAME = pd.DataFrame(VALUES, columns=["b", "a", "c"])
RISE = (FRAME["a"] + 2 * FRAME["b"]).to_numpy()
CLASSES = {
    "two": np.where(RISE > 0, 1, 0),
    "three": np.digitize(RISE, [-1, 1]),
    "truth": RISE > -1,
    "words": np.array(["hi", "Jà", "low"])[np.digitize(RISE, [-1, 1])],
    "number": RISE,
}
STACK = StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())])


def converted(folder, model, frame):
    """Convert a model; return the difference, the model as it was saved, and as ONNX."""
    file, out = save(model, folder), folder / "m.onnx"
    difference = convert(file, str(out), pa.Table.from_pandas(frame), trust_pickle=False)
    return difference, *(load_predictor(one, trust_pickle=False) for one in (file, out))


@pytest.mark.parametrize(
    ("model", "target", "is_named"),
    [
        (LogisticRegression(), "three", False),
        (xgboost.XGBRegressor(n_estimators=15), "number", True),
        (lightgbm.LGBMClassifier(n_estimators=15, verbose=-1), "two", True),
        (GaussianNB(), "truth", True),
        (STACK, "words", True),
    ],
    ids=lambda one: type(one).__name__ if hasattr(one, "fit") else None,
)
def test_what_was_converted_answers_as_the_model(model, target, is_named, tmp_path):
    frame = FRAME.rename(columns={"c": "label"})  # As the output of the converted model.
    model = clone(model).fit(frame if is_named else frame.to_numpy(), CLASSES[target])

    difference, before, after = converted(tmp_path, model, frame)

    assert difference < 1e-4
    names = after.description.feature_names
    assert names == (("b", "a", "label") if is_named else None)
    assert after.description.classes == before.description.classes
    # By name, in whatever order they come.
    order = ["label", "b", "a"] if is_named else list(frame)
    columns = columns_of(pa.Table.from_pandas(frame[order]))
    expected, answer = before.predict(columns), after.predict(columns)
    if target == "number":
        np.testing.assert_allclose(answer.predictions, expected.predictions, rtol=1e-4, atol=1e-4)
        return
    np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-4)
    ranked = np.sort(model.predict_proba(frame if is_named else frame.to_numpy()), axis=1)
    is_clear = ranked[:, -1] - ranked[:, -2] > 1e-3
    pairs = np.array([answer.predictions, expected.predictions], dtype=object)[:, is_clear].T
    assert [(said, type(said)) for said, _ in pairs] == [(known, type(known)) for _, known in pairs]


def test_a_difference_is_told_and_nothing_is_written(tmp_path):
    # Float32 cannot tell these numbers apart, and the model does.
    frame = pd.DataFrame({"id": [2.0**25, 2.0**25 + 1, 2.0**25 + 2]})
    model = make_pipeline(StandardScaler(), LogisticRegression(C=100))
    model.fit(pd.concat([frame] * 9), [0, 0, 1] * 9)

    with pytest.raises(UndecidedError, match=r"by 0\.\d+ at most; expected 0\.0001 or less"):
        converted(tmp_path, model, frame)
    assert not (tmp_path / "m.onnx").exists()


def test_what_cannot_be_converted_or_compared_is_refused(tmp_path):
    model = LogisticRegression().fit(FRAME, CLASSES["two"])
    with pytest.raises(InputError, match='no column "c"'):
        converted(tmp_path, model, FRAME[["a", "b"]])
    with pytest.raises(InputError, match="has no row"):
        converted(tmp_path, model, FRAME[:0])
    own = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
    with pytest.raises(ModelError, match=r"m\.skops cannot be converted: Runtime"):
        converted(tmp_path, own.fit(FRAME.abs(), CLASSES["two"]), FRAME.abs())
    assert list(tmp_path.glob("*.onnx")) == []


def test_the_command_writes_a_model_that_is_served_and_tells_how_near_it_is(tmp_path, trained):
    out = tmp_path / "late.onnx"
    words = ("model", "convert", str(trained.file), str(out), "--reference", str(trained.reference))

    done = driftline(*words, "--json", timeout=120)

    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["rows"], out.exists()) == (600, True)
    assert load_predictor(out, trust_pickle=False).description.classes == ("0", "1")
