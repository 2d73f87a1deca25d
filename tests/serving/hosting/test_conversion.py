"""Models converted to ONNX: as scikit-learn, xgboost and lightgbm answer, or not at all."""

import json

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
import xgboost
from sklearn.base import clone
from sklearn.ensemble import (
    StackingClassifier,
)
from sklearn.linear_model import (
    LogisticRegression,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from driftline.errors import InputError, UndecidedError
from driftline.serving.hosting.conversion import convert
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor
from driftline.serving.hosting.questions import columns_of
from tests.servers.commands import driftline

VALUES = pd.DataFrame(
    np.random.default_rng(3).normal(size=(300, 3)).astype(np.float32), columns=["b", "a", "c"]
)
SCORE = (VALUES["a"] + 2 * VALUES["b"]).to_numpy()
CLASSES = {
    "two": np.where(SCORE > 0, 1, 0),
    "three": np.digitize(SCORE, [-1, 1]),
    "truth": SCORE > -1,
    "words": np.array(["hi", "Jà", "low"])[np.digitize(SCORE, [-1, 1])],
    "number": SCORE,
}
STACK = StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())])


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


def converted(folder, model, frame):
    file, out = saved(folder, model), folder / "m.onnx"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    difference = convert(file, str(out), table, trust_pickle=False)
    return (
        difference,
        load_predictor(file, trust_pickle=False),
        load_predictor(out, trust_pickle=False),
    )


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
    frame = VALUES.rename(columns={"c": "label"})  # As the output of the converted model.
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
    said, known = (
        np.array(one.predictions, dtype=object)[is_clear].tolist() for one in (answer, expected)
    )
    assert said == known
    assert list(map(type, said)) == list(map(type, known))  # True is no 1.


def test_a_difference_is_told_and_nothing_is_written(tmp_path):
    # Float32 cannot tell these numbers apart, and the model does.
    frame = pd.DataFrame({"id": [2.0**25, 2.0**25 + 1, 2.0**25 + 2]})
    model = make_pipeline(StandardScaler(), LogisticRegression(C=100))
    model.fit(pd.concat([frame] * 9), [0, 0, 1] * 9)

    with pytest.raises(UndecidedError, match=r"as ONNX it answers otherwise: by 0\.\d+ at most; "
                       r"expected 0\.0001 or less; nothing"):  # fmt: skip
        converted(tmp_path, model, frame)
    assert not (tmp_path / "m.onnx").exists()


def test_what_cannot_be_converted_or_compared_is_refused(tmp_path):
    model = LogisticRegression().fit(VALUES, CLASSES["two"])
    with pytest.raises(InputError, match='no column "c"'):
        converted(tmp_path, model, VALUES[["a", "b"]])
    with pytest.raises(InputError, match="has no row"):
        converted(tmp_path, model, VALUES[:0])
    own = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
    with pytest.raises(ModelError, match=r"m\.skops cannot be converted: Runtime"):
        converted(tmp_path, own.fit(VALUES.abs(), CLASSES["two"]), VALUES.abs())
    assert list(tmp_path.glob("*.onnx")) == []


def test_the_command_writes_a_model_that_is_served_and_tells_how_near_it_is(tmp_path, trained):
    out = tmp_path / "late.onnx"
    words = ("model", "convert", str(trained.file), str(out), "--reference", str(trained.reference))

    done = driftline(*words, "--json", timeout=120)

    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["rows"], out.exists()) == (600, True)
    assert load_predictor(out, trust_pickle=False).description.classes == ("0", "1")
    wrong = driftline(*words[:3], "late.bin", *words[4:], timeout=120)
    assert (wrong.returncode, "ends in .onnx" in wrong.stderr) == (2, True)
