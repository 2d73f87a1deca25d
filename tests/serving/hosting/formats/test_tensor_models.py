"""Networks: what they take and answer, and what is said where their library is missing.

The libraries themselves are large and no part of the tests.
"""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from driftline.errors import InputError
from driftline.serving.bodies.media_types import NotAcceptableError, UnsupportedMediaError
from driftline.serving.hosting.formats.hugging_face import PipelineModel
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import find_model
from driftline.serving.hosting.formats.tensor_model import TensorInput, TensorModel
from driftline.serving.hosting.predictor import Predictor, load_predictor
from tests.serving.hosting.formats.archives import pack

ROWS = {"b": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0])}


@pytest.mark.parametrize(
    ("name", "library", "package"),
    [
        ("m.keras", "keras", "keras"),
        ("m.h5", "keras", "keras"),
        ("m.pt", "torch", "torch"),
        ("m.pth", "torch", "torch"),
        ("m.pt2", "torch", "torch"),
        ("folder/saved_model.pb", "tensorflow", "tensorflow-cpu"),
        ("folder/model.safetensors", "torch", "torch transformers"),
        ("folder/pytorch_model.bin", "torch", "torch transformers"),
    ],
)
def test_a_missing_library_is_named_with_what_installs_it(
    name, library, package, tmp_path, monkeypatch
):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x")
    (file.parent / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    monkeypatch.setitem(sys.modules, library, None)
    model = file.parent if name.startswith("folder/") else file

    with pytest.raises(
        ModelError,
        match=rf"{model.name} is a model of {library}, which is not installed where models run; "
        rf"install it there \(pip install {package}\)",
    ):
        load_predictor(model, trust_pickle=True)
    with pytest.raises(ModelError, match=r"can run any code when it is read"):
        load_predictor(model, trust_pickle=False)


def test_what_a_library_lacks_is_named_too(tmp_path, monkeypatch):
    (tmp_path / "keras.py").write_text("import tensorflow_that_is_missing\n")
    (tmp_path / "m.keras").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras", raising=False)

    with pytest.raises(
        ModelError,
        match=r"m\.keras is a model of keras and needs tensorflow_that_is_missing, which is not "
        r"installed where models run; .*pip install tensorflow_that_is_missing\)",
    ):
        load_predictor(tmp_path / "m.keras", trust_pickle=True)


def test_one_table_is_taken_by_position_in_the_models_type(tmp_path):
    asked = []

    def call(arrays):
        asked.append(arrays[0])
        return arrays[0].sum(axis=1, keepdims=True)

    model = TensorModel(tmp_path, [TensorInput("input", (None, 2))], call)
    predictor = Predictor(model)

    assert predictor.predict(ROWS).predictions == [4.0, 6.0]
    assert asked[0].dtype == np.float32
    assert predictor.description.feature_count == 2
    assert predictor.description.feature_types == ("double", "double")
    assert predictor.description.classes == ()


def test_inputs_of_one_column_each_are_taken_by_name(tmp_path):
    inputs = [TensorInput("a", (None, 1), "int64"), TensorInput("b", (None, 1), "string")]
    model = TensorModel(tmp_path, inputs, lambda sent: sent[0] * len(sent[1][0, 0]))
    predictor = Predictor(model)
    rows = {"b": np.array(["xy", "xy"], dtype=object), "a": np.array([3, 4])}

    assert predictor.description.feature_names == ("a", "b")
    assert predictor.description.feature_types == ("int64", "string")
    assert predictor.predict(rows).predictions == [6, 8]


def test_several_numbers_a_row_stay_so_and_a_model_of_one_row_is_asked_row_by_row(tmp_path):
    sizes = []

    def call(arrays):
        sizes.append(len(arrays[0]))
        return arrays[0] * 2

    predictor = Predictor(TensorModel(tmp_path, [TensorInput("x", (1, 2))], call))

    assert predictor.predict(ROWS).predictions == [[2.0, 6.0], [4.0, 8.0]]
    assert predictor.description.answer_width == 2
    assert set(sizes) == {1}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ([TensorInput("pixels", (None, 28, 28))], r'takes "pixels" as float32 of shape'),
        ([TensorInput("z", (None, 2), "complex64")], 'takes "z" as complex64'),
        ([TensorInput("x", (16, 2))], "takes 16 rows at a time"),
        ([TensorInput("x", (None, 2)), TensorInput("y", (None, 1))], "one column each, or all"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(inputs, sentence, tmp_path):
    with pytest.raises(ModelError, match=sentence):
        TensorModel(tmp_path, inputs, lambda arrays: arrays[0])


def test_text_for_numbers_is_refused_by_its_input(tmp_path):
    model = TensorModel(tmp_path, [TensorInput("x", (None, 1))], lambda arrays: arrays[0])

    with pytest.raises(ModelError, match='"x" takes float32'):
        model.predict(pd.DataFrame({"x": ["many"]}))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_truth_value_is_refused_by_its_input(missing, tmp_path):
    model = TensorModel(tmp_path, [TensorInput("x", (None, 1), "bool")], lambda arrays: arrays[0])

    with pytest.raises(ModelError, match=r'"x" takes bool \(a value is missing\)'):
        model.predict(pd.DataFrame({"x": [True, missing]}))


def test_the_highest_version_of_an_artefact_of_tensorflow_serving_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    members = {f"flights/{number}/saved_model.pb": "x" for number in (9, 10)}

    with pytest.raises(ModelError, match=r"^10 is a model of tensorflow"):
        load_predictor(pack(tmp_path / "model.tar.gz", members), trust_pickle=True)


def test_a_folder_of_hugging_face_is_known_by_its_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("word")
    (tmp_path / "model.safetensors").write_bytes(b"")

    assert find_model(tmp_path).path == tmp_path


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('{"architectures": ["WhisperForAudio"]}', "architecture WhisperForAudio; expected one"),
        ("{", r"has no config\.json that can be read"),
    ],
)
def test_a_task_that_nobody_knows_is_refused(config, sentence, tmp_path):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelError, match=sentence):
        load_predictor(tmp_path, trust_pickle=True)


def pipeline(*inputs, **parameters):
    return [{"label": repr(inputs), "score": np.float32(0.5), **parameters}]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ('{"inputs": "a", "parameters": {"num_workers": 500}}', 'parameter "num_workers" is not'),
        ('{"inputs": "a", "parameters": {"trust_remote_code": true}}', "is not taken; expected"),
        ('{"inputs": {"num_workers": 500}}', '"inputs" is an object; expected texts, or'),
    ],
)
def test_no_parameter_reaches_a_pipeline_that_shapes_no_answer(asked, sentence):
    with pytest.raises(InputError, match=sentence):
        PipelineModel(pipeline).answer(asked.encode(), "application/json", "")


def test_a_pipeline_of_images_is_not_served_by_its_folder(tmp_path):
    """It reads whatever file or address a caller names."""
    (tmp_path / "config.json").write_text('{"architectures": ["ViTForImageClassification"]}')
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ModelError, match="ViTForImageClassification; expected one that ends"):
        load_predictor(tmp_path, trust_pickle=True)


def test_a_score_that_json_has_no_number_for_is_no_answer():
    model = PipelineModel(lambda *_: [{"score": float("nan")}])

    with pytest.raises(ModelError, match="a number that JSON has not"):
        model.answer(b'{"inputs": "a"}', "application/json", "")


def test_a_pipeline_gets_inputs_and_parameters_and_answers_json():
    model = PipelineModel(pipeline)

    answer, kind = model.answer(
        b'{"inputs": ["a"], "parameters": {"top_k": 1}}', "application/json; charset=utf-8", ""
    )

    assert kind == "application/json"
    assert json.loads(answer) == [{"label": "(['a'],)", "score": 0.5, "top_k": 1}]
    asked = b'{"inputs": {"question": "q", "context": "c"}}'
    named, _ = model.answer(asked, "application/json", "*/*")
    assert json.loads(named) == [{"label": "()", "score": 0.5, "question": "q", "context": "c"}]


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "error"),
    [
        (b"a,b", "text/csv", "", UnsupportedMediaError),
        (b'{"inputs": 1}', "application/json", "text/csv", NotAcceptableError),
        (b"{", "application/json", "", InputError),
        (b'{"text": 1}', "application/json", "", InputError),
        (b'{"inputs": 1, "parameters": [1]}', "application/json", "", InputError),
    ],
)
def test_other_bodies_are_refused(body, content_type, accept, error):
    with pytest.raises(error):
        PipelineModel(pipeline).answer(body, content_type, accept)
