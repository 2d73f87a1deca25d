"""Inputs that are wrong in all the ways that files are: made from good ones, each by its number."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

__all__ = ["KINDS", "Malformed", "good_table", "make"]

KINDS = ("csv", "json", "capture", "parquet", "arrow", "document")
DOCUMENTS = ("statistics.json", "constraints.json", "signature.json", "profile.parquet")
ROWS = 60

TOKENS = [
    b'"', b'""', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xfe\xff",
    b"\xc3", b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\\", b"{", b"}", b"[", b"]", b":", b"null",
    b"NaN", b"Infinity", b"-", b"1e999", b"99999999999999999999999", b"-0", b"007", b"true",
    b"=1+1", b"sep=;\n", b"\\ud800", b"\\u0000", b"\xe2\x80\xa8", b"2026-13-45", b"0001-01-01",
    b"9999-12-31T23:59:60Z", b"PAR1", b"ARROW1", b"\x1f\x8b", b" ", b"#", b"a" * 5000, b"," * 300,
    b"\n" * 50,
]  # fmt: skip

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.5, 1e308, -1e308, 1e-320, 10**20, -(2**63), 2**63, 2**31,
    float("nan"), float("inf"), "", " ", "x", "NaN", "Infinity", "1", "-1", "0", "abc" * 200,
    "\u0000", "\ud800", "😀", "2026-01-01", [], {}, [None], [[]], [1, "a", None], {"a": 1},
    {"": None}, [{}], [1] * 500,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Malformed:
    """One wrong input.

    Parameters
    ----------
    kind
        One of KINDS.
    name
        Of the file: what it was before, such as "plain.csv".
    change
        How it was made wrong.
    content
        The bytes.
    """

    kind: str
    name: str
    change: str
    content: bytes


def good_table(seed: int = 7) -> pa.Table:
    """Return rows of every plain type, some missing."""
    found = np.random.default_rng(seed)
    numbers = found.normal(size=ROWS)
    return pa.table(
        {
            "amount": pa.array(numbers, mask=found.random(ROWS) < 0.1),
            "count": found.integers(0, 9, ROWS),
            "city": pa.array(
                [["Köln", "Oslo", "Nice, France", 'a "b"'][n % 4] for n in range(ROWS)]
            ),
            "late": found.random(ROWS) > 0.5,
            "when": pa.array(
                [1_767_225_600_000_000 + n * 3_600_000_000 for n in range(ROWS)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )


def _csv(
    table: pa.Table, encoding: str = "utf-8", delimiter: str = ",", header: bool = True
) -> bytes:
    sink = io.BytesIO()
    options = pacsv.WriteOptions(include_header=header, delimiter=delimiter)
    pacsv.write_csv(table, sink, options)
    return sink.getvalue().decode().encode(encoding)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    texts = table.set_column(4, "when", table.column("when").cast(pa.string()))
    return texts.to_pylist()


def _json(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _side(content: str, encoding: str, media: str) -> dict[str, str]:
    data = base64.b64encode(content.encode()).decode() if encoding == "BASE64" else content
    return {"observedContentType": media, "mode": "INPUT", "data": data, "encoding": encoding}


def _captures(rows: list[dict[str, Any]], encodings: list[str]) -> bytes:
    lines = []
    for number, row in enumerate(rows):
        encoding = encodings[number % len(encodings)]
        values = [row["amount"], row["count"], "Oslo"]
        text, media = json.dumps({"instances": [{"features": values}]}), "application/json"
        if encoding == "CSV" or (encoding == "BASE64" and number % 2):
            text, media = ",".join("" if v is None else str(v) for v in values), "text/csv"
        lines.append(
            {
                "captureData": {
                    "endpointInput": _side(text, encoding, media),
                    "endpointOutput": _side("0.5", "CSV", "text/csv; charset=utf-8"),
                },
                "eventMetadata": {"eventId": f"e{number}", "inferenceTime": "2026-01-01T00:00:00Z"},
                "eventVersion": "0",
            }
        )
    return _json(lines)


def _parquet(table: pa.Table, **options: object) -> bytes:  # Arrow's own.
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _arrow(table: pa.Table, *, is_file: bool, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    make_writer = pa.ipc.new_file if is_file else pa.ipc.new_stream
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with make_writer(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=25)
    return sink.getvalue()


def samples() -> dict[str, dict[str, bytes]]:
    """Return good files by kind and name; documents are made by whoever has a baseline."""
    table = good_table()
    rows = _rows(table)
    coded = table.set_column(2, "city", table.column("city").dictionary_encode())
    lists = table.append_column("v", pa.array([[1.0, 2.0]] * ROWS))
    values = [list(row.values()) for row in rows]
    return {
        "csv": {
            "plain.csv": _csv(table),
            "semicolon.csv": _csv(table, delimiter=";"),
            "tab.csv": _csv(table, delimiter="\t"),
            "utf16.csv": _csv(table, encoding="utf-16"),
            "bom.csv": _csv(table, encoding="utf-8-sig"),
            "bare.csv": _csv(table.select(["amount", "count"]), header=False),
            "crlf.csv": _csv(table).replace(b"\n", b"\r\n"),
        },
        "json": {
            "objects.jsonl": _json(rows),
            "lists.jsonl": _json(values),
            "array.json": json.dumps(rows, indent=1).encode(),
            "instances.json": json.dumps({"instances": values}).encode(),
            "nested.jsonl": _json([{"a": {"b": [1, {"c": 2}]}, "v": [1.0, 2.5]} for _ in rows]),
        },
        "capture": {
            "csv.jsonl": _captures(rows, ["CSV"]),
            "json.jsonl": _captures(rows, ["JSON"]),
            "mixed.jsonl": _captures(rows, ["CSV", "JSON", "BASE64"]),
        },
        "parquet": {
            "snappy.parquet": _parquet(table),
            "bare.parquet": _parquet(table, compression="none", use_dictionary=False),
            "zstd.parquet": _parquet(coded, compression="zstd", row_group_size=20),
            "v2.parquet": _parquet(lists, data_page_version="2.0", compression="gzip"),
        },
        "arrow": {
            "file.arrow": _arrow(table, is_file=True),
            "lz4.arrow": _arrow(table, is_file=True, compression="lz4"),
            "coded.arrow": _arrow(coded, is_file=True),
            "stream.arrow": _arrow(table, is_file=False),
            "lists.arrow": _arrow(lists, is_file=False),
        },
    }


def _flip(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _set(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        found[rng.randrange(len(found))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(found)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _behead(rng: random.Random, data: bytes) -> bytes:
    return data[rng.randrange(len(data)) :]


def _delete(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 7, 100)) :]


def _double(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    end = at + rng.choice((1, 5, 50, 500))
    return data[:end] + data[at:end] + data[end:]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _noise(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 4, 64))) + data[at + 1 :]


def _shuffle(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[at], lines[to] = lines[to], lines[at][: rng.randrange(len(lines[at]) + 1)]
    return b"\n".join(lines)


def _numbers(rng: random.Random, data: bytes) -> bytes:
    """Write a length or an offset of four or eight bytes anew."""
    width = rng.choice((4, 8))
    at = rng.randrange(max(1, len(data) - width))
    value = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), rng.randrange(1 << 20)))
    return data[:at] + value.to_bytes(width, "little", signed=True) + data[at + width :]


_ANY: list[Callable[[random.Random, bytes], bytes]] = [
    _flip, _set, _cut, _behead, _delete, _double, _insert, _noise,
]  # fmt: skip
_BINARY = [_flip, _flip, _set, _numbers, _numbers, _cut, _delete, _double, _noise]


def _spoil(rng: random.Random, value: object, depth: int = 0) -> object:  # JSON.
    """Put a wrong value somewhere into a JSON document; one place in it."""
    if depth and (rng.random() < 0.25 or not value):
        return rng.choice(VALUES)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        kept = dict(value)
        way = rng.random()
        if way < 0.15:
            del kept[key]
        elif way < 0.25:
            kept[rng.choice(("", "x", "name", key.upper()))] = kept.pop(key)
        else:
            kept[key] = _spoil(rng, value[key], depth + 1)
        return kept
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return (
                value[:at] + value[at + 1 :] if rng.random() < 0.5 else value[:at] * 2 + value[at:]
            )
        return [*value[:at], _spoil(rng, value[at], depth + 1), *value[at + 1 :]]
    return rng.choice(VALUES)


def _spoiled(rng: random.Random, data: bytes) -> bytes:
    """Spoil one document, or one of its lines, as JSON."""
    try:
        return json.dumps(_spoil(rng, json.loads(data)), ensure_ascii=True).encode()
    except ValueError:
        lines = data.rstrip(b"\n").split(b"\n")
    at = rng.randrange(len(lines))
    try:
        lines[at] = json.dumps(_spoil(rng, json.loads(lines[at]))).encode()
    except ValueError:
        return _insert(rng, data)
    return b"\n".join(lines) + b"\n"


def _changes(kind: str, name: str) -> list[Callable[[random.Random, bytes], bytes]]:
    if name.endswith((".parquet", ".arrow")):
        return _BINARY
    if kind == "csv":
        return [*_ANY, _insert, _insert, _shuffle]
    return [
        *_ANY,
        *[_spoiled] * (6 if kind == "capture" else 12 if kind == "document" else 4),
        _shuffle,
    ]


def make(number: int, seed: int, good: dict[str, dict[str, bytes]]) -> Malformed:
    """Make the input of a number; the same for the same seed on every machine.

    Parameters
    ----------
    number
        Which one.
    seed
        Of the run.
    good
        Files by kind and name.
    """
    rng = random.Random(f"{seed}:{number}")
    kind = KINDS[number % len(KINDS)]
    name = rng.choice(sorted(good[kind]))
    content = good[kind][name]
    made = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(_changes(kind, name))
        content = change(rng, content) if content else content
        made.append(change.__name__.strip("_"))
    return Malformed(kind, name, made[0] if len(made) == 1 else "several", content)
