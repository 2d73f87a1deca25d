"""model.tar.gz with code/inference.py: which functions are called, and how."""

import io
import json
import pickle
import tempfile

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LinearRegression

from driftline.errors import InputError
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.hosting.formats.model_format import BodyModel, ModelError
from driftline.serving.hosting.predictor import load_model
from tests.serving.hosting.formats.archives import pack

ROWS = np.arange(12.0).reshape(6, 2)
MODEL_FN = """
import joblib, os
def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "m.joblib"))
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return what loads an artefact with some code."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = LinearRegression().fit(ROWS, ROWS.sum(axis=1))
    joblib.dump(model, tmp_path / "m.joblib")

    def artefact(code, **members):
        held = {"m.joblib": (tmp_path / "m.joblib").read_bytes(), "code/inference.py": code}
        path = pack(tmp_path / "model.tar.gz", {**held, **members})
        return load_model(path, trust_pickle=True)

    return artefact


def test_missing_functions_are_those_of_the_toolkit(load):
    model = load(MODEL_FN + "def predict_fn(data, model):\n    return model.predict(data) * 2\n")

    assert isinstance(load(MODEL_FN), LinearRegression)  # Served as any other.
    assert isinstance(model, BodyModel)
    answer, kind = model.answer(b"[[1, 2], [3, 4]]", "application/json", "*/*")
    assert (json.loads(answer), kind) == (pytest.approx([6, 14]), "application/json")
    # A single row, in each type and each answer.
    answer, kind = model.answer(b"1,2\n", "text/csv; charset=utf-8", "text/csv")
    assert (float(answer), kind) == (pytest.approx(6), "text/csv")
    sent = npy(np.array([1.0, 2.0]))
    answer, kind = model.answer(sent, "application/x-npy", "application/x-npy")
    assert (np.load(io.BytesIO(answer)), kind) == (pytest.approx([6]), "application/x-npy")
    answer, _ = model.answer(b'{"instances": [[1, 2]]}', "application/json", "")
    assert json.loads(answer) == pytest.approx([6])


def test_own_functions_get_text_or_bytes_and_content_types_as_they_were_sent(load):
    model = load(
        "def model_fn(d): return None\n"
        "def input_fn(body, content_type): return type(body).__name__, content_type\n"
        "def predict_fn(data, model): return data\n"
        "def output_fn(prediction, accept): return repr((prediction, accept)), 'text/x-said'\n"
    )

    for kind, held in (("text/csv", "str"), ("application/json", "str"), ("image/png", "bytes")):
        answer, said = model.answer(b"1", kind, "image/x-any")
        assert (answer.decode(), said) == (repr(((held, kind), "image/x-any")), "text/x-said")
    whole = load(
        MODEL_FN + "def transform_fn(model, body, content_type, accept):\n"
        "    return f'{type(model).__name__} {body} {accept}'\n"
    )
    said = (b"LinearRegression x text/plain", "text/plain")
    assert whole.answer(b"x", "text/csv", "text/plain") == said


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def model_fn(): ...", "takes 0 arguments"),
        ("input_fn = 3", "is no function"),
        ("def transform_fn(a, b, c, d): ...\ndef output_fn(a, b): ...", "keep one"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("def model_fn(d): raise OSError('gone')", "OSError: gone"),
    ],
)
def test_code_that_cannot_be_served_is_refused_in_a_sentence(code, sentence, load):
    with pytest.raises(ModelError, match=sentence):
        load(code)


def npy(array):
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "error"),
    [
        (b"x", "image/png", "", UnsupportedMediaError),
        (b"\xff", "text/csv", "", InputError),
        (b"no array", "application/x-npy", "", InputError),
        # An array of objects would run code of the caller's.
        (npy(np.array([{"a": 1}], dtype=object)), "application/x-npy", "", InputError),
        (b"[1, 2]", "application/json", "image/png", NotAcceptableError),
    ],
)
def test_bodies_that_the_default_functions_cannot_take_are_refused(
    body, content_type, accept, error, load
):
    model = load("def model_fn(d): return 0\ndef predict_fn(data, model): return data\n")

    with pytest.raises(error):
        model.answer(body, content_type, accept)


def test_requirements_that_are_not_met_are_refused_by_their_names(load):
    asked = "# what we need\npandas==2.0\nnltk # words\n-r others.txt\n"
    with pytest.raises(ModelError, match=r"asks for pandas==2\.0 .*, nltk, -r"):
        load(MODEL_FN, **{"code/requirements.txt": asked})
    load(MODEL_FN, **{"code/requirements.txt": "# nothing\n\n"})


def test_a_pickled_booster_of_sagemakers_xgboost_is_served_where_pickles_are_trusted(tmp_path):
    rows = xgboost.DMatrix(ROWS, ROWS.sum(axis=1))
    booster = xgboost.train({"min_child_weight": 0}, rows, num_boost_round=3)
    path = pack(tmp_path / "model.tar.gz", {"xgboost-model": pickle.dumps(booster)})

    assert load_model(path, trust_pickle=True).predict(ROWS).tolist() == pytest.approx(
        booster.predict(rows).tolist()
    )
    with pytest.raises(InputError):
        load_model(path, trust_pickle=False)


def test_variables_name_the_script_and_the_usual_answer(load, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "serve")
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    serve = MODEL_FN + "def predict_fn(data, model):\n    return model.predict(data) * 2\n"

    model = load("raise RuntimeError('the wrong one')", **{"code/serve.py": serve})

    answer, kind = model.answer(b"[[1, 2]]", "application/json", "*/*")
    assert (float(answer), kind) == (pytest.approx(6), "text/csv")
    for name in ("other.py", "../serve.py"):
        monkeypatch.setenv("SAGEMAKER_PROGRAM", name)
        with pytest.raises(ModelError, match=f"has no code/{name}"):
            load("", **{"code/serve.py": serve})
