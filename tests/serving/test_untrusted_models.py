"""Model files of strangers, given to the command line as a server would read them."""

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.servers.commands import driftline


def external(location: str) -> TensorProto:
    """Return a tensor of three weights that a model keeps in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 1])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        weights.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    return weights


def onnx_model(
    folder: Path, *, initializer: str | None = None, constant: str | None = None
) -> Path:
    """Write a model that multiplies rows by weights of another file."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["y"])]
    if constant is not None:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=external(constant)))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [] if initializer is None else [external(initializer)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def predict(model: Path) -> subprocess.CompletedProcess[str]:
    """Have the command line predict one row of three numbers."""
    rows = model.parent / "rows.csv"
    rows.write_text("1,2,3\n")
    return driftline("transform", model, rows, "-o", model.parent / "scores", cwd=model.parent)


@pytest.mark.parametrize("kind", ["initializer", "constant"])
@pytest.mark.parametrize("place", ["beside", "above", "absolute"])
def test_an_onnx_model_reads_no_other_file(kind, place, tmp_path):
    secret = tmp_path / "models" / "secret" if place == "beside" else tmp_path / "secret"
    (tmp_path / "models").mkdir()
    secret.write_bytes(np.arange(3, dtype=np.float32).tobytes())
    location = {"beside": "secret", "above": "../secret", "absolute": str(secret)}[place]

    answer = predict(onnx_model(tmp_path / "models", **{kind: location}))

    assert answer.returncode == 3
    assert "external data" in answer.stdout
    assert not any((tmp_path / "models").glob("scores/*"))
