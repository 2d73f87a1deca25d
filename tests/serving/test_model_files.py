"""Model files of strangers, which name files of the server."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from driftline.errors import InputError
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.predictor import load_predictor


def external(location: str) -> TensorProto:
    """Return a tensor of three weights that a model keeps in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 1])
    weights.raw_data = b" " * 12
    set_external_data(weights, location, offset=0, length=12)
    weights.ClearField("raw_data")
    return weights


@pytest.mark.parametrize(
    ("kind", "place"),
    [("initializer", "beside"), ("constant", "above"), ("initializer", "absolute")],
)
def test_an_onnx_model_reads_no_other_file(kind, place, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    secret = folder / "secret" if place == "beside" else tmp_path / "secret"
    secret.write_bytes(np.arange(3, dtype=np.float32).tobytes())
    weights = external({"beside": "secret", "above": "../secret", "absolute": str(secret)}[place])
    is_constant = kind == "constant"
    constant = [helper.make_node("Constant", [], ["w"], value=weights)] if is_constant else []
    graph = helper.make_graph(
        [*constant, helper.make_node("MatMul", ["X", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [] if is_constant else [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())

    with pytest.raises((InputError, ModelError), match="external data"):
        load_predictor(folder / "m.onnx", trust_pickle=False)
