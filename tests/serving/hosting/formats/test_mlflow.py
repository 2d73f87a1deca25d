"""MLflow's model folders, saved and read by the real library."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_model, load_predictor

pytestmark = pytest.mark.filterwarnings("ignore")  # As in a worker.
RANDOM = np.random.default_rng(3)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=80), "b": RANDOM.normal(size=80)})
LATE = (ROWS["a"] > 0).astype("int64")
MODELS = {
    "sklearn": lambda: LogisticRegression().fit(ROWS, LATE),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=3).fit(ROWS, LATE),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(ROWS, LATE),
}
COLUMNS = {"b": ROWS["b"].to_numpy(), "a": ROWS["a"].to_numpy()}  # In another order.


def save(flavor, model, folder, rows, answers=None):
    """Save a model by the real library; rows and answers give its signature."""
    import mlflow
    from mlflow.models import infer_signature

    module = __import__(f"mlflow.{flavor}", fromlist=[flavor])
    names = {"pyfunc": "python_model", "sklearn": "sk_model", "xgboost": "xgb_model"}
    # Else each folder has a process that imports all again, to see what the model needs.
    given = {"signature": infer_signature(rows, answers), "pip_requirements": []}
    module.save_model(path=str(folder), **{names.get(flavor, "lgb_model"): model}, **given)
    assert mlflow.active_run() is None
    return folder


@pytest.mark.parametrize("flavor", MODELS)
def test_a_model_of_a_known_library_is_served_as_itself(flavor, tmp_path):
    model = MODELS[flavor]()
    folder = save(flavor, model, tmp_path / "m", rows=ROWS, answers=LATE)

    predictor = load_predictor(folder, trust_pickle=True)

    assert type(predictor.model) is type(model)
    assert predictor.description.classes == ("0", "1")
    assert predictor.description.feature_types == ("double", "double")
    chances = predictor.predict(COLUMNS).probabilities
    assert np.ravel(chances) == pytest.approx(model.predict_proba(ROWS)[:, 1], rel=1e-6)


def test_lightgbms_underlines_are_the_blanks_of_the_signature(tmp_path):
    rows = ROWS.rename(columns={"a": "mean a"})
    rows["the word"] = pd.Categorical(["x", "y"] * 40)
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, LATE)
    folder = save("lightgbm", model, tmp_path / "m", rows=rows.astype({"the word": str}))

    predictor = load_predictor(folder, trust_pickle=True)
    chances = predictor.predict(
        {name: rows[name].to_numpy() for name in ("the word", "b", "mean a")}
    ).probabilities

    assert predictor.description.feature_names == ("mean a", "b", "the word")
    assert predictor.description.categories == {"the word": ("x", "y")}
    assert np.ravel(chances) == pytest.approx(model.predict_proba(rows)[:, 1], rel=1e-6)


def answering(answer):
    """Return a python_function that answers what a function makes of the frame it gets."""
    from mlflow.pyfunc import PythonModel

    class Model(PythonModel):
        def predict(self, context, model_input):
            return answer(model_input)

    return Model()


def test_a_python_function_gets_a_typed_frame(tmp_path):
    rows = pd.DataFrame({"n": np.array([1, 2], "int32"), "word": ["x", "y"], "x": [0.5, 1.5]})
    model = answering(lambda frame: [f"{kind}" for kind in frame.dtypes][: len(frame)])
    folder = save("pyfunc", model, tmp_path / "m", rows=rows, answers=["a", "b"])

    predictor = load_predictor(folder, trust_pickle=True)
    sent = {"word": np.array(["u", "v"], object), "n": np.array([3.0, 4.0]), "x": np.ones(2)}

    assert predictor.description.class_type == "string"
    assert predictor.description.feature_types == ("int64", "string", "double")
    assert [*predictor.predict(sent).predictions] == ["int32", "object"]
    with pytest.raises(ValueError, match="non-finite"):
        predictor.predict({**sent, "n": np.array([3.0, np.nan])})


def test_what_python_functions_return_becomes_a_value_a_row(tmp_path):
    sent = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    for name, answer, expected in (
        ("one", lambda rows: rows["a"] * 2, [2.0, 4.0]),
        ("two", lambda rows: rows[["a", "b"]], [[1.0, 3.0], [2.0, 4.0]]),
    ):
        folder = save("pyfunc", answering(answer), tmp_path / name, rows=ROWS, answers=ROWS["a"])
        found = load_predictor(folder, trust_pickle=True).predict(sent).predictions
        assert found.tolist() == expected


@pytest.mark.parametrize("rows", [ROWS.rename(columns={"a": "c"}), ROWS.to_numpy()[:, :1]])
def test_a_signature_that_is_not_the_models_own_is_refused(rows, tmp_path):
    folder = save("sklearn", MODELS["sklearn"](), tmp_path / "m", rows=rows, answers=LATE)

    with pytest.raises(ModelError, match=r"signature .* the model in it takes"):
        load_model(folder, trust_pickle=True)


BINARY = 'flavors: {sklearn: {}}\nsignature: {inputs: \'[{"name": "a", "type": "binary"}]\'}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "m cannot be read"),
        ("flavors: {onnx: {}}", "expected python_function"),
        (BINARY, '"a" of type binary'),
    ],
)
def test_a_folder_that_mlflow_has_not_saved_is_one_sentence(text, sentence, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text(text)

    with pytest.raises(ModelError, match=sentence):
        load_model(tmp_path / "m", trust_pickle=True)
