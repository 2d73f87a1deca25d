"""Frames of requests and answers, and what was decoded of them."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.records import Records
from driftline.capture.tables import decoding
from driftline.capture.tables.decoding import Decoded
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    features=(
        Column("temp", "feature_temp", "double"),
        Column("late", "feature_late", "bool", role="label"),
        Column("count", "feature_count", "int64"),
        Column("carrier", "feature_carrier", "string"),
    ),
    outputs=(
        Column("prediction", "prediction", "string", role="prediction"),
        Column("no", "probability_no", "double", role="probability", classes=("no",)),
        Column("yes", "probability_yes", "double", role="probability", classes=("yes",)),
    ),
)


FEATURES = ("feature_temp", "feature_count", "feature_carrier")


OUTPUTS = ("prediction", "probability_no", "probability_yes")


CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"


SPOOL = "01890a5d-ac96-774b-bcce-b302099a8057"


def decode(frames: list[Frame], signature: Signature | None) -> Decoded:
    return decoding.decode(Records.of((SPOOL, frame) for frame in frames), signature)


def frame(
    request: bytes,
    kind: str = CSV,
    response: bytes = b"",
    response_kind: str = CSV,
    *,
    status: int = 200,
    flags: int = 0,
    encoding: str = "",
) -> Frame:
    meta = {
        "request_content_type": kind,
        "response_content_type": response_kind,
        "request_encoding": encoding,
    }
    return Frame(
        Kind.RECORD, flags, 1, 0, 0, 0, 0, len(request), len(response), status, meta, request,
        response,
    )  # fmt: skip


def features(found: Decoded) -> list[tuple[Any, ...]]:
    return list(zip(*(found.columns[name].to_pylist() for name in FEATURES), strict=True))


def outputs(found: Decoded) -> list[tuple[Any, ...]]:
    return list(zip(*(found.columns[name].to_pylist() for name in OUTPUTS), strict=True))


def as_csv(rows: list[tuple[Any, ...]]) -> bytes:
    written = io.StringIO()
    for row in rows:
        cells = ["" if cell is None else cell for cell in row]
        if cells == ["", "", ""]:
            written.write(",,\n")
        else:
            csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode()


def as_objects(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(("temp", "count", "carrier"), row, strict=True)) for row in rows]


def npy(array: Any) -> bytes:
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()
