"""Microseconds a record and a row that decoding costs, beside Arrow's readers on the same text."""

from __future__ import annotations

import io
import json
import os
import platform
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from driftline.capture.spool.frame import Frame, Kind
from driftline.capture.spool.records import Records
from driftline.capture.tables.decoding import decode
from driftline.signature import Column, Signature

RECORDS = 2_000
ROUNDS = 5
FEATURES = 20
NAMES = [f"f{n}" for n in range(FEATURES)]
TYPES = [pa.string() if n % 7 == 0 else pa.float64() for n in range(FEATURES)]
SIGNATURE = Signature(
    tuple(
        Column(name, f"feature_{name}", "string" if n % 7 == 0 else "double")
        for n, name in enumerate(NAMES)
    ),
    (
        Column("prediction", "prediction", "int64", "prediction"),
        Column("probability", "probability", "double", "probability"),
    ),
)
SPOOL = "01890a5d-ac96-774b-bcce-b302099a8057"
JSON, LINES = "application/json", "application/jsonlines"
Row = list[Any]


def csv_of(rows: list[Row]) -> bytes:
    return b"\n".join(",".join(map(str, row)).encode() for row in rows)


def quoted_of(rows: list[Row]) -> bytes:
    return b"\n".join(
        ",".join(f'"{v}"' if isinstance(v, str) else str(v) for v in row).encode() for row in rows
    )


def json_of(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def objects(rows: list[Row]) -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


def tensors_of(rows: list[Row]) -> bytes:
    columns = zip(NAMES, TYPES, zip(*rows, strict=True), strict=True)
    return json_of(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": [len(rows)],
                    "datatype": "BYTES" if kind == pa.string() else "FP64",
                    "data": list(values),
                }
                for name, kind, values in columns
            ]
        }
    )


def npy_of(rows: list[Row]) -> bytes:
    kinds = [
        (name, "U2" if kind == pa.string() else "f8")
        for name, kind in zip(NAMES, TYPES, strict=True)
    ]
    written = io.BytesIO()
    np.save(written, np.array([tuple(row) for row in rows], kinds))
    return written.getvalue()


FORMS: dict[str, tuple[str, Callable[[list[Row]], bytes]]] = {
    "CSV": ("text/csv", csv_of),
    "CSV, texts quoted": ("text/csv", quoted_of),
    "JSON, instances of lists": (JSON, lambda rows: json_of({"instances": rows})),
    "JSON, objects": (JSON, lambda rows: json_of({"instances": objects(rows)})),
    "JSON Lines, objects": (LINES, lambda rows: b"\n".join(map(json_of, objects(rows)))),
    "OIP, a tensor a column": (JSON, tensors_of),
    "npy, structured": ("application/x-npy", npy_of),
}


def answer_of(rows: int, kind: str) -> tuple[str, bytes]:
    if kind == "text/csv":
        return kind, b"\n".join([b"1,0.25"] * rows)
    return JSON, json_of({"predictions": [{"prediction": 1, "probability": 0.25}] * rows})


def microseconds(run: Callable[[], object]) -> float:
    """Return the least CPU time of several rounds, a record."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) / RECORDS * 1e6


def read_csv(text: bytes) -> object:
    return pacsv.read_csv(
        pa.BufferReader(text),
        pacsv.ReadOptions(column_names=NAMES, use_threads=False, block_size=len(text) + 1),
        convert_options=pacsv.ConvertOptions(column_types=dict(zip(NAMES, TYPES, strict=True))),
    )


def read_json(text: bytes) -> object:
    schema = pa.schema(list(zip(NAMES, TYPES, strict=True)))
    return pajson.read_json(
        pa.BufferReader(text),
        pajson.ReadOptions(use_threads=False, block_size=len(text) + 1),
        pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )


def records_of(kind: str, bodies: list[bytes], answer_kind: str, answer: bytes) -> Records:
    meta = {"request_content_type": kind, "response_content_type": answer_kind}
    return Records.of(
        (
            SPOOL,
            Frame(
                Kind.RECORD, 0, n + 1, 0, 0, 0, 0, len(body), len(answer), 200, meta, body, answer
            ),
        )
        for n, body in enumerate(bodies)
    )


def main() -> None:
    """Print the table."""
    chance = random.Random(4)
    print("# What decoding costs\n")
    print(
        f"`bench/decode.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"pyarrow {pa.__version__}, {os.cpu_count()} shared cores, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f}. {RECORDS} records of {FEATURES} features (17 numbers of six "
        f"digits, 3 texts) and an answer of two values, in one batch; CPU of the whole process, "
        f"least of {ROUNDS} rounds. Records as they travel go in, typed columns come out; "
        "the limit is Arrow's own reader over the requests alone, joined beforehand.\n"
    )
    print("| form | rows a request | us a record | us a row | limit, us a record |")
    print("|---|---:|---:|---:|---:|")
    for rows in (1, 17):
        batches = [
            [
                [
                    f"{chance.choice('UAD')}A"
                    if kind == pa.string()
                    else round(chance.random() * 1e3, 3)
                    for kind in TYPES
                ]
                for _ in range(rows)
            ]
            for _ in range(RECORDS)
        ]
        csv_text = b"\n".join(map(csv_of, batches))
        json_text = b"\n".join(b"\n".join(map(json_of, objects(batch))) for batch in batches)
        limits = {
            "CSV": microseconds(lambda text=csv_text: read_csv(text)),  # type: ignore[misc]
            "JSON, objects": microseconds(lambda text=json_text: read_json(text)),  # type: ignore[misc]
        }
        for name, (kind, body_of) in FORMS.items():
            records = records_of(kind, list(map(body_of, batches)), *answer_of(rows, kind))
            found = decode(records, SIGNATURE)
            if any(found.errors) or found.columns["feature_f1"].null_count:
                raise SystemExit(f"not everything was read: {next(filter(None, found.errors))}")
            spent = microseconds(
                lambda records=records: decode(
                    Records(records.raw, records.starts, records.spools), SIGNATURE
                )
            )  # type: ignore[misc]
            limit = f"{limits[name]:.2f}" if name in limits else ""
            print(f"| {name} | {rows} | {spent:.2f} | {spent / rows:.2f} | {limit} |")


if __name__ == "__main__":
    main()
