"""Models converted to ONNX: as scikit-learn, xgboost and lightgbm answer, or not at all."""

import json
import re

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
import xgboost
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

from driftline.errors import InputError, UndecidedError
from driftline.serving.bodies.predictions import class_text
from driftline.serving.hosting.conversion import convert
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor
from driftline.serving.hosting.questions import columns_of
from tests.servers.commands import driftline
from tests.serving.conftest import make_frame, make_model
from tests.serving.hosting.formats.archives import pack

VALUES = pd.DataFrame(
    np.random.default_rng(3).normal(size=(300, 3)).astype(np.float32), columns=["b", "a", "c"]
)
SCORE = (VALUES["a"] + 2 * VALUES["b"]).to_numpy()
CLASSES = {
    "two": np.where(SCORE > 0, 1, 0), "three": np.digitize(SCORE, [-1, 1]), "number": SCORE
}  # fmt: skip


def saved(folder, model):
    """Save a model in the format of its library."""
    home = type(model).__module__.partition(".")[0]
    if home == "xgboost":
        file = folder / "m.ubj"
        model.save_model(file)
    elif home == "lightgbm":
        file = folder / "m.txt"
        model.booster_.save_model(file)
    else:
        file = folder / "m.skops"
        skops.io.dump(model, file)
    return file


def converted(folder, model, frame, **more):
    file, out = saved(folder, model), folder / "m.onnx"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parity = convert(file, str(out), table, trust_pickle=False, **more)
    return parity, load_predictor(file, trust_pickle=False), load_predictor(out, trust_pickle=False)


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("target", ["two", "three", "number"])
@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
def test_what_was_converted_answers_as_the_model(library, target, is_named, tmp_path):
    is_number = target == "number"
    kinds = {
        "sklearn": LinearRegression if is_number else LogisticRegression,
        "xgboost": xgboost.XGBRegressor if is_number else xgboost.XGBClassifier,
        "lightgbm": lightgbm.LGBMRegressor if is_number else lightgbm.LGBMClassifier,
    }
    settings = {} if library == "sklearn" else {"n_estimators": 15}
    rows = VALUES if is_named else VALUES.to_numpy()
    model = kinds[library](**settings).fit(rows, CLASSES[target])

    parity, before, after = converted(tmp_path, model, VALUES)

    assert (parity.rows, parity.labels) == (300, 0)
    assert parity.difference < 1e-5
    names = after.description.feature_names
    assert names == (("b", "a", "c") if is_named else None)
    assert after.description.classes == before.description.classes
    # By name, in whatever order they come.
    order = ["c", "b", "a"] if is_named else list(VALUES)
    columns = columns_of(pa.Table.from_pandas(VALUES[order]))
    expected, answer = before.predict(columns), after.predict(columns)
    if is_number:
        np.testing.assert_allclose(answer.predictions, expected.predictions, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-5)


def test_a_pipeline_of_text_and_numbers_keeps_names_and_types(tmp_path):
    frame = make_frame()
    parity, _, after = converted(tmp_path, make_model(frame), frame)

    about = after.description
    assert (parity.rows, parity.difference < 1e-5) == (600, True)
    assert about.feature_names == ("carrier", "origin", "distance", "temp")
    assert about.feature_types == ("string", "string", "double", "double")


def test_trees_of_scikit_learn_in_steps_are_converted(tmp_path):
    classifier = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=10))
    parity, _, after = converted(tmp_path, classifier.fit(VALUES, CLASSES["three"]), VALUES)
    assert parity.difference < 1e-4
    assert after.description.feature_names == ("b", "a", "c")

    forest = RandomForestRegressor(5, random_state=1).fit(VALUES, SCORE)
    assert converted(tmp_path, forest, VALUES)[0].difference < 1e-5


@pytest.mark.parametrize("is_named", [True, False])
def test_what_the_model_refuses_its_conversion_refuses(is_named, tmp_path):
    # Missing values are replaced in "a" alone; ONNX Runtime answers NaN or any class for others.
    steps = ColumnTransformer([("fill", SimpleImputer(), [1])], remainder="passthrough")
    model = make_pipeline(steps if is_named else StandardScaler(), LogisticRegression())
    rows = VALUES if is_named else VALUES.to_numpy()
    parity, before, after = converted(tmp_path, model.fit(rows, CLASSES["two"]), VALUES)

    assert parity.refused == ("b", "a", "c")  # "a": infinite ones.
    names = VALUES.columns if is_named else ["_c0", "_c1", "_c2"]
    for place in range(3):
        for value in (np.nan, np.inf):
            row = {name: np.array([0.5]) for name in names}
            row[names[place]] = np.array([value])
            answers = []
            for predictor in (before, after):
                try:
                    answers.append(np.ravel(predictor.predict(row).probabilities))
                except (ModelError, ValueError):
                    answers.append(None)
            if answers[0] is None:
                assert answers[1] is None, (place, value)
            else:
                np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
    with pytest.raises(
        ModelError, match=r"column .* is missing, which the model refused that m.onn"
    ):
        after.predict({name: np.array([np.nan]) for name in names})


@pytest.mark.parametrize("value", [None, np.nan])
def test_a_missing_text_that_the_model_refuses_its_conversion_refuses(value, tmp_path):
    frame = VALUES.assign(kind=["x", "y"] * 150)
    text = ColumnTransformer([("t", OrdinalEncoder(), ["kind"])], remainder="passthrough")
    model = make_pipeline(text, LogisticRegression()).fit(frame, CLASSES["two"])
    parity, before, after = converted(tmp_path, model, frame)
    rows = columns_of(pa.Table.from_pandas(frame[:2]))
    rows["kind"] = np.array(["x", value], dtype=object)

    assert "kind" in parity.refused
    with pytest.raises(ValueError, match="unknown categories"):
        before.predict(rows)
    with pytest.raises(ModelError, match=r'^column "kind" is missing, which the model refused'):
        after.predict(rows)


@pytest.mark.parametrize("name", ["x/y", "größe cm", "a.b-c", "p(1)"])
def test_columns_that_are_chosen_keep_their_names_whatever_letters_they_have(name, tmp_path):
    frame = VALUES.rename(columns={"a": name}).assign(town=["Bern", "Rome"] * 150)
    chosen = ColumnTransformer(
        [("n", StandardScaler(), [name, "b"]), ("t", OneHotEncoder(), ["town"])]
    )
    model = make_pipeline(chosen, LogisticRegression()).fit(frame, CLASSES["two"])

    parity, _, onnx = converted(tmp_path, model, frame)

    assert set(onnx.description.feature_names) == {name, "b", "c", "town"}
    assert parity.difference < 1e-5


@pytest.mark.filterwarnings("ignore:Attribute `prob._` was deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("classes", "in_steps"), [(("no", "yes"), True), ((4, 7, 9), False), ((False, True), True)]
)
@pytest.mark.parametrize(
    "estimator", [LinearSVC(), SVC(), SGDClassifier(), Perceptron(), RidgeClassifier()]
)
def test_classifiers_without_probabilities_answer_the_same_labels(
    estimator, classes, in_steps, tmp_path
):
    labels = np.array(classes)[np.digitize(SCORE, [-1, 1][: len(classes) - 1])]
    model = make_pipeline(StandardScaler(), clone(estimator)) if in_steps else clone(estimator)

    parity, _, onnx = converted(tmp_path, model.fit(VALUES, labels), VALUES)

    assert (parity.labels, parity.difference) == (0, 0)
    assert onnx.description.classes == tuple(map(class_text, classes))
    assert not onnx.description.has_probability
    answer = onnx.predict(columns_of(pa.Table.from_pandas(VALUES[:1])))
    assert type(answer.predictions[0]) is type(classes[0])  # True is no 1.


@pytest.mark.parametrize("classes", [(False, True), ("hi", "Jà", "low")])
@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(), KNeighborsClassifier(), MLPClassifier((4,), max_iter=9),
        QuadraticDiscriminantAnalysis(), SGDClassifier(loss="log_loss"),
        BaggingClassifier(n_estimators=3), CalibratedClassifierCV(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
        StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classes_of_any_classifier_are_those_of_the_original(estimator, classes, tmp_path):
    labels = np.array(classes)[np.digitize(SCORE, [-1, 1][: len(classes) - 1])]
    frame = VALUES.rename(columns={"c": "label"})  # As the output of the converted model.
    model = clone(estimator).fit(frame, labels)

    parity, before, after = converted(tmp_path, model, frame)

    assert parity.difference < 1e-4
    assert after.description.classes == before.description.classes
    rows = columns_of(pa.Table.from_pandas(frame))
    chances = model.predict_proba(frame)
    answer = after.predict(rows)
    shown = chances[:, 1:] if len(classes) == 2 else chances
    np.testing.assert_allclose(answer.probabilities, shown, atol=1e-4)
    first, second = np.sort(chances, axis=1)[:, :-3:-1].T
    is_clear = first - second > 1e-3
    found = np.array(answer.predictions, dtype=object)[is_clear].tolist()
    assert found == model.predict(frame)[is_clear].tolist()
    assert {type(one) for one in found} == {type(classes[0])}  # True is no 1.


@pytest.mark.parametrize("name", ["X", "label", "probabilities"])
@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm", "text"])
def test_columns_may_be_called_as_parts_of_the_converted_model(library, name, tmp_path):
    kinds = {"xgboost": xgboost.XGBClassifier, "lightgbm": lightgbm.LGBMClassifier}
    frame = VALUES.rename(columns={"a": name})
    model = kinds[library](n_estimators=5) if library in kinds else LogisticRegression()
    if library == "text":
        frame["town"] = ["Bern", "Rome"] * 150
        chosen = ColumnTransformer([("t", OneHotEncoder(), ["town"])], remainder="passthrough")
        model = make_pipeline(chosen, model)

    parity, _, after = converted(tmp_path, model.fit(frame, CLASSES["two"]), frame)

    assert parity.difference < 1e-5
    assert set(after.description.feature_names) == set(frame)


def test_columns_of_lightgbm_get_the_blanks_of_the_reference(tmp_path):
    frame = VALUES.rename(columns={"a": "mean a"})
    model = lightgbm.LGBMClassifier(n_estimators=5).fit(frame, CLASSES["two"])

    parity, _, after = converted(tmp_path, model, frame[["c", "mean a", "b"]])

    assert after.description.feature_names == ("b", "mean a", "c")
    assert parity.difference < 1e-5


def test_what_the_converters_do_not_know_is_told_by_its_type_with_what_to_do(tmp_path):
    model = make_pipeline(StandardScaler(), GaussianProcessClassifier())

    with pytest.raises(ModelError) as refused:
        converted(tmp_path, model.fit(VALUES[:60], CLASSES["three"][:60]), VALUES[:60])

    assert re.fullmatch(
        r"m\.skops \(StandardScaler, GaussianProcessClassifier\) cannot be converted: NotImpl.*; "
        "serve it as it is, or fit one that the converters know",
        str(refused.value),
    )


def test_numbers_reach_a_converted_model_as_one_array_in_the_order_of_its_inputs(tmp_path):
    model = LogisticRegression().fit(VALUES, CLASSES["two"])
    _, _, after = converted(tmp_path, model, VALUES)

    rows = after.prepared({"c": np.array([3]), "a": np.array([2.5]), "b": np.array([True])})

    assert isinstance(rows, np.ndarray)  # A frame costs far more than the model.
    assert rows.tolist() == [[1.0, 2.5, 3.0]]


def test_a_reference_with_rows_that_the_model_refuses_is_told(tmp_path):
    model = LogisticRegression().fit(VALUES, CLASSES["two"])
    with pytest.raises(UndecidedError, match=r"m\.skops refuses rows of the reference \(Input X"):
        converted(tmp_path, model, VALUES.where(VALUES["c"] < 1))


def test_a_difference_is_told_with_its_row_and_nothing_is_written(tmp_path):
    # Float32 cannot tell these numbers apart, and the model does.
    frame = pd.DataFrame({"id": [2.0**25, 2.0**25 + 1, 2.0**25 + 2]})
    model = make_pipeline(StandardScaler(), LogisticRegression(C=100))
    model.fit(pd.concat([frame] * 9), [0, 0, 1] * 9)

    with pytest.raises(UndecidedError, match=r"as ONNX it answers otherwise: by 0\.\d+ at most, "
                       r"in row [23] of 3; .* expected 0\.0001 or less; nothing"):  # fmt: skip
        converted(tmp_path, model, frame)
    assert not (tmp_path / "m.onnx").exists()

    assert converted(tmp_path, model, frame, tolerance=1.0)[0].difference > 0.1


def test_what_cannot_be_converted_or_compared_is_refused(tmp_path):
    model = LogisticRegression().fit(VALUES, CLASSES["two"])
    with pytest.raises(InputError, match='no column "c"'):
        converted(tmp_path, model, VALUES[["a", "b"]])
    with pytest.raises(InputError, match="has no row"):
        converted(tmp_path, model, VALUES[:0])
    unnamed = LogisticRegression().fit(VALUES.to_numpy(), CLASSES["two"])
    with pytest.raises(InputError, match=r"has 4 columns, and the model takes 3 .* --exclude"):
        converted(tmp_path, unnamed, VALUES.assign(late=0))
    own = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
    with pytest.raises(ModelError, match=r"m\.skops \(Func.* cannot be converted: Runtime"):
        converted(tmp_path, own.fit(VALUES.abs(), CLASSES["two"]), VALUES.abs())
    assert list(tmp_path.glob("*.onnx")) == []


def test_an_archive_with_functions_is_refused_with_what_to_convert(tmp_path):
    code = "def transform_fn(model, body, kind, accept): return body"
    file = pack(tmp_path / "fn.tar.gz", {"code/inference.py": f"def model_fn(d): return d\n{code}"})
    table = pa.Table.from_pandas(VALUES)

    with pytest.raises(ModelError, match=r"fn\.tar\.gz answers bodies .* its model_fn loads"):
        convert(file, str(tmp_path / "m.onnx"), table, trust_pickle=True)


def test_the_command_writes_a_model_that_is_served_and_tells_how_near_it_is(tmp_path, trained):
    out = tmp_path / "late.onnx"
    words = ("model", "convert", str(trained.file), str(out), "--reference", str(trained.reference))

    done = driftline(*words, "--json", timeout=120)

    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["rows"], out.exists()) == (600, True)
    answer = load_predictor(out, trust_pickle=False).predict(
        columns_of(pa.Table.from_pandas(trained.inputs))
    )
    expected = trained.model.predict_proba(trained.inputs)[:, 1]
    np.testing.assert_allclose(np.ravel(answer.probabilities), expected, atol=1e-5)

    wrong = driftline(*words[:3], "late.bin", *words[4:], timeout=120)
    assert (wrong.returncode, "ends in .onnx" in wrong.stderr) == (2, True)
