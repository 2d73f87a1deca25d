"""One meaning of a cell: every format, through all six doors."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.baseline.profiling import profile
from driftline.capture.labels.files import read_label_body, read_label_file
from driftline.capture.redaction.rules import Rule
from driftline.formats.capture_line import CaptureLine, Side, write_line
from driftline.formats.cells import MISSING_TEXTS
from driftline.formats.coercion import from_array
from driftline.formats.shapes.requests import RequestRows
from driftline.serving.bodies.rows import RowsError, read_columns
from driftline.signature import Column, ColumnType, Signature
from tests.capture.redaction.redaction_tools import applied
from tests.capture.redaction.redaction_tools import frame as redacted_frame
from tests.driftline.formats.decode_tools import CSV, JSON, LINES, decode, frame

MISSING, MISFIT = "missing", "misfit"
NUMBERS: tuple[ColumnType, ...] = ("double", "int64")
TYPED: tuple[ColumnType, ...] = (*NUMBERS, "bool", "timestamp")
NOON = datetime(2013, 1, 15, 12, 0, 0, 123456, UTC)

# Text of a cell, type of its column, and the one answer.
CELLS: list[tuple[str, ColumnType, Any]] = [
    *((text, TYPED[at % len(TYPED)], MISSING) for at, text in enumerate(MISSING_TEXTS)),
    *((text, "string", text) for text in MISSING_TEXTS if text),
    ("", "string", MISSING),
    *((text, kind, MISSING) for text in (" ", " NA ", "-nan", "NAN") for kind in TYPED),
    *((text, kind, MISFIT) for text in ("-", "?", "none", "nil", "unknown") for kind in TYPED),
    ("1.0", "bool", True),
    ("0.0", "bool", False),
    ("TRUE", "bool", True),
    ("yes", "bool", MISFIT),
    ("2", "bool", MISFIT),
    ("true", "double", 1.0),
    ("False", "int64", 0),
    ("1.0", "int64", 1),
    ("1e3", "int64", 1000),
    (" 7 ", "int64", 7),
    ("+7", "double", 7.0),
    ("007", "int64", 7),
    ("9007199254740993", "int64", 9007199254740993),
    ("9007199254740993.0", "int64", 9007199254740993),
    ("9223372036854775808", "int64", MISFIT),
    ("1.5", "int64", MISFIT),
    ("inf", "int64", MISFIT),
    ("0x1F", "int64", MISFIT),
    *((text, kind, MISFIT) for text in ("1,234", "1_000", "1 234", "١", "$5") for kind in NUMBERS),
    ("1,234.5", "double", MISFIT),
    ("12 %", "double", MISFIT),
    ("nan(1)", "double", MISFIT),
    (".5", "double", 0.5),
    ("-Infinity", "double", float("-inf")),
    ("2013-01-15T12:00:00.1234567Z", "timestamp", NOON),
    ("2013-01-15 12:00:00.123456999", "timestamp", NOON),
    ("2013-01-15T17:30:00.123456+0530", "timestamp", NOON),
    ("2013-01-15", "timestamp", datetime(2013, 1, 15, tzinfo=UTC)),
    ("2013-01-15T12", "timestamp", datetime(2013, 1, 15, 12, tzinfo=UTC)),
    ("2013-01-15T17:00+05", "timestamp", datetime(2013, 1, 15, 12, tzinfo=UTC)),
    ("2013-01-15T12:00:00+05:60", "timestamp", MISFIT),
    ("2013-02-30", "timestamp", MISFIT),
    ("20130115", "timestamp", MISFIT),
    ("15.01.2013", "timestamp", MISFIT),
    ("1358208000", "timestamp", MISFIT),
    (" UA ", "string", " UA "),
    ("007", "string", "007"),
]
GOOD: dict[ColumnType, str] = {
    "double": "2.5", "int64": "2", "bool": "true", "timestamp": "2013-01-01T00:00:00Z",
    "string": "AA",
}  # fmt: skip


def in_csv(*texts: str) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(["AA", text] for text in texts)
    return written.getvalue()


def in_json_lines(*texts: str) -> str:
    return "".join(json.dumps({"k": "AA", "x": text}) + "\n" for text in texts)


def in_json(*texts: str) -> str:
    return json.dumps({"instances": [{"k": "AA", "x": text} for text in texts]})


def in_parquet(*texts: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"k": ["AA"] * len(texts), "x": pa.array(texts)}), sink)
    return sink.getvalue().to_pybytes()


def in_capture_lines(*texts: str) -> str:
    return "".join(
        write_line(CaptureLine("e", NOON, Side(in_csv(text).encode(), CSV, "CSV"), None)) + "\n"
        for text in texts
    )


def in_npy(*texts: str) -> bytes:
    written = io.BytesIO()
    np.save(written, np.array([["AA", text] for text in texts]))
    return written.getvalue()


def in_tensors(*texts: str) -> str:
    return json.dumps(
        {
            "inputs": [
                {
                    "name": "k",
                    "shape": [len(texts)],
                    "datatype": "BYTES",
                    "data": ["AA"] * len(texts),
                },
                {"name": "x", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)},
            ]
        }
    )


def signature(kind: ColumnType) -> Signature:
    return Signature((Column("k", "feature_k", "string"), Column("x", "feature_x", kind)))


def as_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


FILES: dict[str, Callable[..., str | bytes]] = {
    "csv": lambda *texts: "k,x\n" + in_csv(*texts),
    "jsonl": in_json_lines,
    "json": in_json,
    "parquet": in_parquet,
    "capture lines": in_capture_lines,
}
BODIES: dict[str, tuple[Callable[..., str | bytes], str]] = {
    "csv": (in_csv, CSV),
    "json": (in_json, JSON),
    "jsonl": (in_json_lines, LINES),
    "npy": (in_npy, "application/x-npy"),
    "tensors": (in_tensors, JSON),
}


def answer(value: Any, *, is_unfit: bool) -> Any:
    if is_unfit:
        return MISFIT
    return MISSING if value is None or value != value else value


def through_baseline(path: Path, kind: ColumnType) -> Any:
    """Return what a baseline counts of a file's one row."""
    column = profile(path, signature=signature(kind)).columns["x"]
    counts = column.row_count, column.missing_count, column.unfit_count
    return {(1, 1, 0): MISSING, (1, 0, 1): MISFIT, (1, 0, 0): "value"}[counts]


def through_capture(body: bytes, content_type: str, kind: ColumnType) -> Any:
    found = decode([frame(body, content_type)], signature(kind))
    assert found.errors[0] is None or not found.errors[0].startswith("request")
    unfit = dict(found.unfit.to_pylist()[0])
    return answer(found.columns["feature_x"][0].as_py(), is_unfit="x" in unfit)


def through_labels(body: bytes, form: Any, kind: ColumnType, path: Path) -> Any:
    if form == "parquet":
        path.write_bytes(body)
        (table,) = read_label_file(path)
    else:
        (table,) = read_label_body(body, form)
    found = from_array(table["label"].combine_chunks(), kind)
    return answer(found.values[0].as_py(), is_unfit=bool(len(found.unfit)))


def through_server(body: bytes, form: Any, kind: ColumnType) -> Any:
    """Return what the model gets; a fraction where whole numbers belong is passed on to it."""
    try:
        value = read_columns(body, form, RequestRows(signature(kind), is_strict=True))["x"][0]
    except RowsError:
        return MISFIT
    if kind == "timestamp":
        return MISSING if np.isnat(value) else value.item().replace(tzinfo=UTC)
    if kind == "int64" and np.isfinite(value) and value != int(value):
        return MISFIT
    return answer(value, is_unfit=False)


def through_redaction(body: bytes, content_type: str, kind: ColumnType) -> Any:
    """Return what a rule makes of a cell; what it cannot put into a bucket, it leaves out."""
    is_csv = content_type == CSV
    field = "column:1" if is_csv else "/x" if content_type == LINES else "/instances/*/x"
    rule = (
        Rule("flights", field, "hash")
        if kind == "string"
        else Rule("flights", field, "bucket", width=1)
    )
    left = applied(redacted_frame(body, kind=content_type), rule).request
    if is_csv:
        value = next(csv.reader(io.StringIO(left.decode())))[1]
    else:
        document = json.loads(left)
        value = (document if content_type == LINES else document["instances"][0])["x"]
    return "value" if value not in (None, "") else MISSING


def label_body(form: str, text: str) -> bytes:
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": ["e"], "label": pa.array([text])}), sink)
        return sink.getvalue().to_pybytes()
    if form == "csv":
        return b"id,label\n" + in_csv(text).replace("AA", "e", 1).encode()
    record = {"id": "e", "label": text}
    return json.dumps([record] if form == "json" else record).encode()


@pytest.mark.parametrize("kind", GOOD)
def test_a_cell_means_the_same_in_every_format_at_every_door(
    kind: ColumnType, tmp_path: Path
) -> None:
    wrong = []
    for text, of_kind, expected in CELLS:
        if of_kind != kind:
            continue
        counted = expected if expected in (MISSING, MISFIT) else "value"
        answers: dict[str, tuple[Any, Any]] = {}
        for name, written in FILES.items():
            path = tmp_path / "cell"
            path.write_bytes(as_bytes(written(text)))
            answers[f"baseline, {name}"] = counted, through_baseline(path, kind)
        for name, (written, content_type) in BODIES.items():
            found = through_capture(as_bytes(written(text)), content_type, kind)
            answers[f"capture, {name}"] = expected, found
        for form in ("csv", "json", "jsonlines", "parquet"):
            found = through_labels(label_body(form, text), form, kind, tmp_path / "label")
            answers[f"labels, {form}"] = expected, found
        for form, name in (("csv", "csv"), ("json", "json"), ("jsonlines", "jsonl")):
            body, content_type = as_bytes(BODIES[name][0](text)), BODIES[name][1]
            answers[f"server, {form}"] = expected, through_server(body, form, kind)
            if kind in (*NUMBERS, "string"):
                # A rule gives no bucket to what is not finite, and knows no whole numbers.
                is_left = kind == "string" or (counted == "value" and abs(expected) < 1e300)
                told = through_redaction(body, content_type, kind)
                if text not in ("true", "False", "1.5", "inf", "9223372036854775808"):
                    answers[f"redaction, {form}"] = counted if is_left else MISSING, told
        wrong += [
            f"{text!r} as {kind}, {door}: {found!r}; expected {wanted!r}"
            for door, (wanted, found) in answers.items()
            if wanted != found
        ]
    assert wrong == []


@pytest.mark.parametrize("form", FILES)
def test_check_counts_the_same_cells_in_every_format(form: str, tmp_path: Path) -> None:
    for kind in ("double", "int64", "string"):
        expected = [answer for _, of_kind, answer in CELLS if of_kind == kind]
        texts = [text for text, of_kind, _ in CELLS if of_kind == kind]
        reference, window = tmp_path / "reference", tmp_path / "window"
        reference.write_bytes(as_bytes(FILES[form](*[GOOD[kind]] * 40)))
        window.write_bytes(as_bytes(FILES[form](*texts)))

        name = "_c1" if form == "capture lines" else "x"
        typed = dl.Baseline.fit(reference)
        (column,) = (one for one in typed.signature.features if one.name == name)
        report = dl.check(window, typed)

        (row,) = (one for one in report.to_dict()["features"] if one["feature"] == name)
        assert column.type == (kind if form != "parquet" else "string")
        if form != "parquet":  # There texts are texts.
            assert row["missing_count"] == expected.count(MISSING)
            assert row["unfit_count"] == expected.count(MISFIT)


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "capture lines"])
def test_a_baseline_is_of_numbers_whatever_its_missing_values_are_called(
    form: str, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    path.write_bytes(as_bytes(FILES[form](*["2.5"] * 40, *MISSING_TEXTS)))

    reference = dl.Baseline.fit(path)

    name = "_c1" if form == "capture lines" else "x"
    assert {one.name: one.type for one in reference.signature.features}[name] == "double"
    assert reference.profile.columns[name].missing_count == len(MISSING_TEXTS)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "int64", MISSING),
        (float("nan"), "int64", MISSING),
        (float("nan"), "double", MISSING),
        (float("nan"), "bool", MISSING),
        (float("nan"), "string", MISSING),
        (1.0, "bool", True),
        (1, "bool", True),
        (2, "bool", MISFIT),
        (True, "double", 1.0),
        (False, "int64", 0),
        (3.0, "int64", 3),
        (1e18, "int64", 10**18),
        (2**63, "int64", MISFIT),
        (1358208000, "timestamp", MISFIT),
        (7, "string", "7"),
        (7.5, "string", "7.5"),
        (True, "string", "true"),
    ],
)
def test_a_value_of_json_means_the_same_at_every_door(
    value: object, kind: ColumnType, expected: Any, tmp_path: Path
) -> None:
    line = json.dumps({"k": "AA", "x": value}).encode() + b"\n"
    record = json.dumps({"id": "e", "label": value}).encode()
    path = tmp_path / "lines.jsonl"
    path.write_bytes(line)

    assert through_capture(line, LINES, kind) == expected
    assert through_server(line, "jsonlines", kind) == expected
    assert through_labels(record, "jsonlines", kind, tmp_path / "label") == expected
    counted = expected if expected in (MISSING, MISFIT) else "value"
    assert through_baseline(path, kind) == counted


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"features": [1, 2]}, [(1, 2)]),
        ({"features": [[1, 2], [3, 4]]}, [(1, 2), (3, 4)]),
        ([{"features": [1, 2]}, {"features": [3, 4]}], [(1, 2), (3, 4)]),
        ({"features": 1, "b": 2}, [(1, 2)]),
        ({"features": [1, 3], "b": [2, 4]}, [(1, 2), (3, 4)]),
        ([{"features": 1, "b": 2}, {"features": 3, "b": 4}], [(1, 2), (3, 4)]),
    ],
)
def test_a_body_has_the_same_rows_for_capture_and_for_the_server(
    body: object, rows: list[tuple[int, int]]
) -> None:
    """Also where an input is called as the envelope that stands around rows."""
    named = Signature((Column("features", "x_f", "int64"), Column("b", "x_b", "int64")))
    sent = json.dumps(body).encode()

    captured = decode([frame(sent, JSON)], named).columns
    served = read_columns(sent, "json", RequestRows(named, is_strict=True))

    assert list(zip(captured["x_f"].to_pylist(), captured["x_b"].to_pylist(), strict=True)) == rows
    assert list(zip(served["features"], served["b"], strict=True)) == rows
