"""Model files, given to the command line as a server would read them: SageMaker's, strangers'."""

import io
import json
import pickle
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression

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


TOO_MANY_BYTES = 520 << 20
ZEROS = bytes(8 << 20)


def write_zeros(archive: zipfile.ZipFile, name: str) -> None:
    """Write an array of more zeros than a small file may unpack to; packed it is half a MiB."""
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (TOO_MANY_BYTES // 8,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with archive.open(name, "w", force_zip64=True) as member:
        member.write(header.getvalue())
        for _ in range(TOO_MANY_BYTES // len(ZEROS)):
            member.write(ZEROS)


def skops_bomb(file: Path, kind: str) -> None:
    """Write a model whose coefficients are a bomb: plain, or of false size."""
    model = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    packed = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as before,
        zipfile.ZipFile(file, "w", packed, compresslevel=1) as after,
    ):
        schema = json.loads(before.read("schema.json"))
        bomb = schema["content"]["content"]["coef_"]["file"]
        for member in before.infolist():
            if member.filename != bomb:
                after.writestr(member.filename, before.read(member))
        write_zeros(after, bomb)
        if kind == "of false size":
            known = before.read(bomb)
            said = after.getinfo(bomb)
            said.file_size, said.CRC = 6, zlib.crc32(known[:6])


@pytest.mark.parametrize("kind", [pytest.param("plain", marks=pytest.mark.full), "of false size"])
def test_a_small_skops_file_does_not_unpack_to_gigabytes(kind, tmp_path):
    skops_bomb(tmp_path / "m.skops", kind)
    assert (tmp_path / "m.skops").stat().st_size < 8 << 20

    answer = predict(tmp_path / "m.skops")

    assert answer.returncode == 2
    assert "too large unpacked" in answer.stderr
