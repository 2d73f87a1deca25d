"""Model files, given to the command line as a server would read them: SageMaker's, strangers'."""

import io
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import xgboost
from onnx import TensorProto, helper

from tests.servers.commands import driftline

ROWS = np.random.default_rng(5).normal(size=(200, 2)).round(2)


def pack(folder: Path, members: dict[str, bytes]) -> Path:
    """Write model.tar.gz."""
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / "model.tar.gz"


def predict(
    model: Path, rows: str = "1,2,3\n", *, trust: bool = False
) -> subprocess.CompletedProcess[str]:
    """Have the command line predict rows."""
    folder = model.parent
    (folder / "driftline.toml").write_text(f"[serving]\ntrust_pickle = {str(trust).lower()}\n")
    (folder / "rows.csv").write_text(rows)
    return driftline("transform", model, "rows.csv", "-o", "scores", cwd=folder)


def test_xgboosts_artefact_answers_as_the_booster(tmp_path):
    labels = (ROWS[:, 0] > 0).astype(int)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(ROWS, labels), 5)

    rows = "".join(f"{first},{second}\n" for first, second in ROWS[:5])
    answer = predict(pack(tmp_path, {"xgboost-model": pickle.dumps(booster)}), rows, trust=True)

    assert answer.returncode == 0, answer.stdout
    scores = np.loadtxt(tmp_path / "scores" / "rows.csv.out", delimiter=",", ndmin=2)
    expected = booster.predict(xgboost.DMatrix(ROWS[:5]))
    np.testing.assert_allclose(scores[:, -1], expected, rtol=1e-5)


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


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("initializer", "beside"),
        ("constant", "above"),
        ("initializer", "absolute"),
    ],
)
def test_an_onnx_model_reads_no_other_file(kind, place, tmp_path):
    secret = tmp_path / "models" / "secret" if place == "beside" else tmp_path / "secret"
    (tmp_path / "models").mkdir()
    secret.write_bytes(np.arange(3, dtype=np.float32).tobytes())
    location = {"beside": "secret", "above": "../secret", "absolute": str(secret)}[place]

    answer = predict(onnx_model(tmp_path / "models", **{kind: location}))

    assert answer.returncode == 2
    assert "external data" in answer.stderr
    assert not any((tmp_path / "models").glob("scores/*"))
