"""The forms of others: Open Inference Protocol, TensorFlow Serving, MLflow, npy, Parquet."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.capture.tables.decoding import Decoded
from driftline.capture.tap.tap import Capture
from driftline.signature import Column, Signature
from tests.capture.tap.test_tap import answering, frames_of
from tests.driftline.formats.decode_tools import (
    CSV,
    JSON,
    SIGNATURE,
    decode,
    features,
    frame,
    npy,
)

NPY, BINARY = "application/x-npy", "application/octet-stream"
ROWS = [(1.5, 2, "UA"), (2.5, 3, "AA")]
NUMBERS = Signature(
    tuple(Column(name, f"feature_{name}", "double") for name in "abc"),
    (
        Column("prediction", "prediction", "int64", role="prediction"),
        Column("p", "probability", "double", role="probability"),
    ),
)


def numbers(found: Decoded) -> list[tuple[Any, ...]]:
    names = ("feature_a", "feature_b", "feature_c")
    return list(zip(*(found.columns[name].to_pylist() for name in names), strict=True))


def answers(found: Decoded) -> list[tuple[Any, ...]]:
    columns = (found.columns["prediction"], found.columns["probability"])
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


# Each as its documentation shows it: the sources stand in shapes.py and tensors.py.
REQUESTS: dict[str, Any] = {
    "sagemaker": {"instances": [{"features": list(row)} for row in ROWS]},
    "sagemaker nested": {
        "instances": [{"data": {"features": {"values": list(row)}}} for row in ROWS]
    },
    "kserve v1 with parameters": {"instances": ROWS, "parameters": {"top": 1}},
    "tensorflow by row": {
        "signature_name": "serving_default",
        "instances": [{"temp": t, "count": n, "carrier": c} for t, n, c in ROWS],
    },
    "tensorflow by column": {
        "inputs": {"temp": [1.5, 2.5], "count": [[2], [3]], "carrier": ["UA", "AA"]}
    },
    "mlflow split": {
        "dataframe_split": {
            "index": [0, 1],
            "columns": ["carrier", "temp", "count"],
            "data": [["UA", 1.5, 2], ["AA", 2.5, 3]],
        },
        "params": {"a": 1},
    },
    "mlflow records": {
        "dataframe_records": [{"temp": t, "count": n, "carrier": c} for t, n, c in ROWS]
    },
    "mlflow inputs": {"inputs": ROWS},
    "pandas split": {"columns": ["temp", "count", "carrier"], "data": ROWS},
    "pandas split unnamed": {"columns": [0, 1, 2], "data": ROWS},
    "pandas list": {"temp": [1.5, 2.5], "count": [2, 3], "carrier": ["UA", "AA"]},
    "oip by name": {
        "id": "42",
        "inputs": [
            {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", "AA"]},
            {"name": "temp", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2.5]},
            {"name": "count", "shape": [2, 1], "datatype": "INT64", "data": [[2], [3]]},
        ],
        "outputs": [{"name": "predict"}],
    },
    "oip in order": {
        "inputs": [
            {"name": "input-0", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2.5]},
            {"name": "input-1", "shape": [2], "datatype": "INT64", "data": [2, 3]},
            {"name": "input-2", "shape": [2], "datatype": "BYTES", "data": ["UA", "AA"]},
        ]
    },
}


@pytest.mark.parametrize("document", REQUESTS.values(), ids=REQUESTS)
def test_requests_of_known_servers_are_read(document: Any) -> None:
    body = json.dumps(document).encode()

    found = decode([frame(body, JSON, b"yes\nno")], SIGNATURE)

    assert found.errors == [None]
    assert features(found) == ROWS
    assert [row for row in found.unfit.to_pylist() if row] == []


@pytest.mark.parametrize("data", [[1.5, 2, 3, 4, 5, 6], [[1.5, 2, 3], [4, 5, 6]]])
def test_one_tensor_of_all_fields_is_cut_into_rows_flat_or_nested(data: Any) -> None:
    tensor = {"name": "input-0", "shape": [2, 3], "datatype": "FP32", "data": data}

    found = decode([frame(json.dumps({"inputs": [tensor]}).encode(), JSON)], NUMBERS)

    assert numbers(found) == [(1.5, 2, 3), (4, 5, 6)]


def test_a_lone_vector_is_one_row_where_it_has_all_fields() -> None:
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 3]}

    found = decode([frame(json.dumps({"inputs": [tensor]}).encode(), JSON)], NUMBERS)

    assert numbers(found) == [(1, 2, 3)]


ANSWERS: dict[str, Any] = {
    "own app": [{"label": 0, "probability": 0.25}, {"label": 1, "probability": 0.75}],
    "sagemaker linear learner": {
        "predictions": [
            {"score": 0.25, "predicted_label": 0},
            {"score": 0.75, "predicted_label": 1},
        ]
    },
    "tensorflow by column": {"outputs": {"prediction": [0, 1], "p": [0.25, 0.75]}},
    "mlflow": {"predictions": [[0, 0.25], [1, 0.75]], "trace": "x"},
    "oip": {
        "model_name": "m",
        "id": "42",
        "outputs": [
            {"name": "predict", "shape": [2, 1], "datatype": "INT64", "data": [0, 1]},
            {"name": "p", "shape": [2], "datatype": "FP32", "data": [0.25, 0.75]},
        ],
    },
    "oip unnamed": {
        "outputs": [
            {"name": "output-0", "shape": [2, 2], "datatype": "FP64", "data": [0, 0.25, 1, 0.75]}
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("document", ANSWERS.values(), ids=ANSWERS)
def test_answers_of_known_servers_are_read(document: Any) -> None:
    body = json.dumps(document).encode()

    found = decode([frame(b"1,2,3\n4,5,6", CSV, body, JSON)], NUMBERS)

    assert found.errors == [None]
    assert answers(found) == [(0, 0.25), (1, 0.75)]


def binary(
    tensors: list[tuple[str, list[int], str, bytes]], key: str = "inputs"
) -> tuple[bytes, int]:
    head = json.dumps(
        {
            key: [
                {
                    "name": name,
                    "shape": shape,
                    "datatype": kind,
                    "parameters": {"binary_data_size": len(data)},
                }
                for name, shape, kind, data in tensors
            ]
        }
    ).encode()
    return head + b"".join(data for _, _, _, data in tensors), len(head)


def binary_frame(request: bytes, length: object, response: bytes = b"") -> Any:
    found = frame(request, BINARY, response)
    return found._replace(meta={**found.meta, "request_inference_header_length": str(length)})


TEXTS = b"".join(struct.pack("<I", len(text)) + text for text in (b"UA", b"AA"))


def test_tensors_as_binary_data_are_read() -> None:
    body, length = binary(
        [
            ("carrier", [2], "BYTES", TEXTS),
            ("temp", [2, 1], "FP16", np.array([1.5, 2.5], "<f2").tobytes()),
            ("count", [2], "UINT8", b"\2\3"),
        ]
    )

    found = decode([binary_frame(body, length, b"yes\nno")], SIGNATURE)

    assert found.errors == [None]
    assert features(found) == ROWS


def test_arrays_of_numpy_are_read_together_and_told_apart() -> None:
    matrix = np.array([[1.5, 2, 3], [4, 5, 6]])
    arrays = [
        matrix,
        np.asfortranarray(matrix.astype(">f4")),
        np.array([7, 8, 9], np.int16),
        np.array([[True, False, True]]),
        matrix + 10,
        np.array([(3, 1, 2)], [("c", "f4"), ("a", "i8"), ("b", "u1")]),
    ]

    found = decode([frame(npy(array), NPY) for array in arrays], NUMBERS)

    assert found.row_counts.tolist() == [2, 2, 1, 1, 2, 1]
    assert numbers(found) == [
        (1.5, 2, 3), (4, 5, 6), (1.5, 2, 3), (4, 5, 6), (7, 8, 9), (1, 0, 1),
        (11.5, 12, 13), (14, 15, 16), (1, 2, 3),
    ]  # fmt: skip


def test_a_structured_array_carries_texts_and_the_id() -> None:
    signature = Signature(
        (Column("order", "feature_order", "string", role="id"), *SIGNATURE.features),
        inference_id="order",
    )
    array = np.array(
        [("A-7", 1.5, 2, b"UA")],
        [("order", "U5"), ("temp", "f8"), ("count", "i4"), ("carrier", "S2")],
    )

    found = decode([frame(npy(array), NPY)], signature)

    assert features(found) == ROWS[:1]
    assert found.inference_ids.to_pylist() == ["A-7"]


def test_every_encoding_is_undone() -> None:
    body = b"1.5,2,UA"
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(body[:4]) + gzip.compress(body[4:]),
        "x-gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        " Deflate ": bare.compress(body) + bare.flush(),
        "zstd": pa.Codec("zstd").compress(body, asbytes=True),
        "br": pa.Codec("brotli").compress(body, asbytes=True),
        "identity": body,
    }

    found = decode([frame(data, encoding=name) for name, data in packed.items()], SIGNATURE)

    assert features(found) == ROWS[:1] * len(packed)


def test_what_has_no_type_is_known_by_its_first_bytes() -> None:
    bodies = [
        b"1,2,3",
        b" [1, 2, 3]",
        npy(np.array([1, 2, 3])),
    ]

    found = decode([frame(body, "application/octet-stream") for body in bodies], NUMBERS)

    assert numbers(found) == [(1, 2, 3)] * 3


def test_the_tap_tells_where_binary_data_begins_on_both_sides(
    spool_dir: Path, call: Callable[..., list[dict[str, Any]]]
) -> None:
    asked, asked_length = binary([("x", [1, 3], "FP32", np.array([1, 2, 3], "<f4").tobytes())])
    answer, length = binary(
        [
            ("prediction", [1], "INT64", struct.pack("<q", 1)),
            ("p", [1], "FP64", struct.pack("<d", 0.75)),
        ],
        "outputs",
    )
    told = (b"inference-header-content-length", str(length).encode())
    tap = Capture(answering(answer, headers=[told]), endpoint="flights", spool_dir=spool_dir)

    header = (b"inference-header-content-length", str(asked_length).encode())
    call(tap, asked, headers=[header])

    found = decode(frames_of(spool_dir), NUMBERS)
    assert found.errors == [None]
    assert numbers(found) == [(1, 2, 3)]
    assert answers(found) == [(1, 0.75)]


@pytest.mark.parametrize(
    "kind",
    [
        "text/event-stream; charset=utf-8",
        "Image/png",
        "audio/wav",
        "text/html",
        "application/x-parquet",
    ],
)
def test_a_type_that_has_no_rows_is_not_read_as_csv(kind: str) -> None:
    name = kind.partition(";")[0].lower()

    found = decode([frame(b"1,2\n", kind, b"data: 1\n\ndata: 2\n", kind)], NUMBERS)

    told = f'content type "{name}" is not read'
    assert found.errors[0] is not None
    assert found.errors[0].startswith(f"request: {told}")
    assert found.row_counts.tolist() == [1]


ORIENTS = ["split", "records", "values"]


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("orient", ORIENTS)
def test_frames_that_pandas_writes_are_read(orient: Any, rows: int) -> None:
    asked = pd.DataFrame({"a": [1.5, 4], "b": [2, 5], "c": [3, 6]}, index=["x", "y"]).iloc[:rows]
    answered = pd.DataFrame({"prediction": [0, 1], "p": [0.25, 0.75]}).iloc[:rows]

    found = decode(
        [frame(asked.to_json(orient=orient).encode(), JSON,
               answered.to_json(orient=orient).encode(), JSON)],
        NUMBERS,
    )  # fmt: skip

    assert found.errors == [None]
    assert numbers(found) == [(1.5, 2, 3), (4, 5, 6)][:rows]
    assert answers(found) == [(0, 0.25), (1, 0.75)][:rows]
    assert not any(found.unfit.to_pylist())


def test_texts_that_mlserver_writes_in_base64_are_unpacked() -> None:
    def body(data: list[str]) -> bytes:
        text = {"content_type": "base64"}
        tensor = {"name": "carrier", "shape": [2, 1], "datatype": "BYTES", "parameters": text}
        return json.dumps({"inputs": [{**tensor, "data": data}]}).encode()

    # "UA" and "AA", as RFC 4648 writes them.
    found = decode([frame(body(["VUE=", "QUE="]), JSON), frame(body(["UA", "?"]), JSON)], SIGNATURE)

    assert found.columns["feature_carrier"].to_pylist() == ["UA", "AA", None]
    assert "tensor 'carrier' is not UTF-8 in base64" in str(found.errors[1])
