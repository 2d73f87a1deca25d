"""Bodies made to hurt: each gives one sentence without what it holds, in bounded time."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.lib import format as npy_format

from driftline.capture.spool.frame import Flag
from driftline.formats.body_limits import MAX_ROWS
from tests.driftline.formats.decode_tools import (
    CSV,
    JSON,
    LINES,
    SIGNATURE,
    decode,
    features,
    frame,
)

NPY = "application/x-npy"
SECRET = "GEHEIM"


def npy_head(shape: str, dtype: str = "'<f8'", fortran: str = "False") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded.encode()


def pickled() -> bytes:
    written = io.BytesIO()
    npy_format.write_array(written, np.array([SECRET, 1.5], object), allow_pickle=True)
    return written.getvalue()


DEEP = 200_000


def tensor(shape: str, data: str = "[1, 2, 3]") -> bytes:
    head = '{"inputs": [{"name": "x", "datatype": "FP32", '
    return f'{head}"shape": {shape}, "data": {data}}}]}}'.encode()


# Large bodies are made by their test, or each worker would make all of them to collect the tests.
HOSTILE: dict[str, tuple[bytes | Callable[[], bytes], str, str]] = {
    "gzip cut": (gzip.compress(b"1,1,GEHEIM" * 99)[:-20], CSV, "gzip"),
    "gzip bomb": (lambda: gzip.compress(bytes(64 << 20)), CSV, "gzip"),
    "gzip of many members": (lambda: gzip.compress(b"") * 50_000, CSV, "gzip"),
    "deflate bomb": (lambda: zlib.compress(b"1" * (64 << 20)), CSV, "deflate"),
    "zstd bomb": (lambda: pa.Codec("zstd").compress(bytes(64 << 20), asbytes=True), JSON, "zstd"),
    "zstd cut": (pa.Codec("zstd").compress(b"1,1,a" * 9, asbytes=True)[:-3], CSV, "zstd"),
    "br bomb": (lambda: pa.Codec("brotli").compress(bytes(64 << 20), asbytes=True), CSV, "br"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"1,1,a")), CSV, "gzip"),
    "odd encoding": (b"1,1,a", CSV, "aws-chunked"),
    "25 MiB of zeros": (lambda: bytes(25 << 20), CSV, ""),
    "25 MiB of commas": (lambda: b"," * (25 << 20), CSV, ""),
    "25 MiB of lines": (lambda: b"1\n" * (12 << 20), CSV, ""),
    "25 MiB of quotes": (lambda: b'"' * ((25 << 20) + 1), CSV, ""),
    "25 MiB of brackets": (lambda: b"[" * (25 << 20), JSON, ""),
    "25 MiB of lists": (lambda: b"[" + b"[]," * (8 << 20) + b"[]]", JSON, ""),
    "25 MiB of digits": (lambda: b"[" + b"9" * (25 << 20) + b"]", JSON, ""),
    "25 MiB of blank lines": (lambda: b"\n" * (25 << 20), LINES, ""),
    "many rows": (lambda: b"[" + b"[1,1,null]," * MAX_ROWS + b"[1,1,null]]", JSON, ""),
    "binary": (bytes(range(256)) * 4, CSV, ""),
    "binary as json": (bytes(range(256)) * 4, JSON, ""),
    "not utf-8": (b"\xff\xfe1,1,GEHEIM", CSV, ""),
    "not utf-8 in json": (b'{"temp": 1, "carrier": "GEHEIM\xff"}', JSON, ""),
    "deep": (lambda: b"[" * DEEP + b"]" * DEEP, JSON, ""),
    "deep objects": (lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON, ""),
    "open quote": (b'"GEHEIM,1,2', CSV, ""),
    "quote inside": (b'1,2,"GEHEIM"x', CSV, ""),
    "only a mark": (b"\xef\xbb\xbf", CSV, ""),
    "a header alone": (b"temp,count,carrier,more\n", CSV, ""),
    "header flood": (lambda: b"temp,count,carrier," + b"GEHEIM," * 300_000 + b"\n1,2,a", CSV, ""),
    "null": (b"null", JSON, ""),
    "null lines": (b"null\nnull\n", LINES, ""),
    "text": (b'"GEHEIM"', JSON, ""),
    "half a line": (b'[1,1,"a"]\n[1,1,"GEH', LINES, ""),
    "unknown fields": (b'{"GEHEIM": 1, "b": 2}', JSON, ""),
    "columns of other lengths": (b'{"temp": [1, 2], "count": [1]}', JSON, ""),
    "frame of other widths": (b'{"columns": ["temp"], "data": [[1, 2]]}', JSON, ""),
    "no shape": (tensor('"GEHEIM"'), JSON, ""),
    "shape too large": (tensor("[99999999999, 99999999999]"), JSON, ""),
    "negative shape": (tensor("[-1, -3]"), JSON, ""),
    "rows of nothing": (tensor("[99999999, 0]", "[]"), JSON, ""),
    "no data": (tensor("[1, 3]", '"GEHEIM"'), JSON, ""),
    "npy object": (pickled(), NPY, ""),
    "npy negative": (npy_head("(-1, 3)") + bytes(24), NPY, ""),
    "npy large": (npy_head("(100000000000, 3)") + bytes(24), NPY, ""),
    "npy of nothing": (npy_head("(1000000000000,)", "'<U0'"), NPY, ""),
    "npy rows of nothing": (npy_head("(1000000000000, 0)"), NPY, ""),
    "npy deep header": (npy_head("(" * 5_000 + ")" * 5_000), NPY, ""),
    "npy long header": (npy_head("(1,)" + " " * 60_000), NPY, ""),
    "npy header of calls": (npy_head("__import__('os').getpid()"), NPY, ""),
    "npy header cut": (npy_head("(1, 3)")[:40], NPY, ""),
    "npy header of 4 GiB": (b"\x93NUMPY\2\0\xff\xff\xff\xff{", NPY, ""),
    "npy of void": (npy_head("(1, 3)", "'|V8'") + bytes(24), NPY, ""),
    "npy of complex": (npy_head("(1, 3)", "'<c16'") + bytes(48), NPY, ""),
    "npy of nested": (npy_head("(1,)", "[('temp', '<f8', (3,))]") + bytes(24), NPY, ""),
    "npy not unicode": (npy_head("(1,)", "[('carrier', '<U1')]") + b"\xff" * 4, NPY, ""),
    "npy of Python 2": (npy_head("(1L, 3L)") + bytes(24), NPY, ""),
    "npy half a header": (npy_head("(1, 3), 'x': ["), NPY, ""),
    "npy of odd times": (npy_head("(1,)", "[('temp', '<M8[parsec]')]") + bytes(8), NPY, ""),
    "npy short": (npy_head("(2, 3)") + bytes(24), NPY, ""),
    "npy fortran too short": (npy_head("(2, 3)", fortran="True") + bytes(40), NPY, ""),
    "no npy": (b"GEHEIM", NPY, ""),
    "parquet": (b"PAR1GEHEIM", "application/x-parquet", ""),
}  # fmt: skip


# As large as others, and read the same way.
LARGE = {
    f"25 MiB of {what}" for what in ("lines", "quotes", "lists", "digits", "blank lines", "commas")
}


@pytest.mark.parametrize(
    ("made", "kind", "encoding"),
    [
        pytest.param(*body, id=name, marks=pytest.mark.full if name in LARGE else ())
        for name, body in HOSTILE.items()
    ],
)
def test_a_hostile_body_is_told_of_and_stops_no_other(
    made: bytes | Callable[[], bytes], kind: str, encoding: str
) -> None:
    body = made if isinstance(made, bytes) else made()
    frames = [frame(b"1,1,a"), frame(body, kind, encoding=encoding), frame(b"2,2,b")]
    start = time.process_time()

    found = decode(frames, SIGNATURE)

    assert time.process_time() - start < 5
    error = str(found.errors[1]).removesuffix("; response: empty body")
    assert error.startswith("request: ")
    assert len(error) < 250
    assert SECRET not in error
    assert found.flags[1] & Flag.REQUEST_UNPARSED
    assert features(found) == [(1.0, 1, "a"), (None, None, None), (2.0, 2, "b")]


ACCEPTED: dict[str, tuple[bytes, str, tuple[Any, ...], dict[str, str]]] = {
    "huge whole numbers": (
        b'{"temp": 123456789012345678901234567890, "count": 123456789012345678901}', JSON,
        (1.2345678901234568e29, None, None), {"count": "123456789012345678901"},
    ),
    "infinity": (b'{"temp": -Infinity, "count": Infinity}', JSON,
                 (float("-inf"), None, None), {"count": "Infinity"}),
    "overflow": (b'{"temp": 1e999}', JSON, (float("inf"), None, None), {}),
    "twice the same name": (b'{"temp": 1, "temp": 2}', JSON, (2.0, None, None), {}),
    "a mark": (b'\xef\xbb\xbf{"temp": 1}', JSON, (1.0, None, None), {}),
    "half a pair": (b'{"temp": 1, "carrier": "\\ud800"}', JSON, (1.0, None, "?"), {}),
    "NUL": (b"1,2,a\0b", CSV, (1.0, 2, "a\0b"), {}),
    "long digits": (b"1,2," + b"9" * 200_000, CSV, (1.0, 2, "9" * 200_000), {}),
    "a long text in quotes": (b'1,2,"' + b"x" * 200_000 + b'"', CSV, (1.0, 2, "x" * 200_000), {}),
    "nested value": (b'{"temp": {"a": [1]}, "count": 1}', JSON, (None, 1, None),
                     {"temp": '{"a": [1]}'}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "row", "unfit"), ACCEPTED.values(), ids=ACCEPTED)
def test_odd_bodies_that_can_be_read_are_read(
    body: bytes, kind: str, row: tuple[Any, ...], unfit: dict[str, str]
) -> None:
    found = decode([frame(body, kind)], SIGNATURE)

    assert features(found) == [row]
    assert dict(found.unfit.to_pylist()[0]) == unfit


@pytest.mark.full
def test_fields_that_nobody_knows_do_not_pile_up() -> None:
    objects = [
        json.dumps({"temp": n, **{f"x{n}_{at}": {f"y{n}": at} for at in range(100)}}).encode()
        for n in range(2_000)
    ]
    start = time.process_time()

    found = decode([frame(body, JSON) for body in objects], SIGNATURE)

    assert time.process_time() - start < 5
    assert found.columns["feature_temp"].to_pylist() == list(range(2_000))
    assert max(map(len, found.unfit.to_pylist())) == 64


def test_objects_as_values_do_not_become_one_wide_structure() -> None:
    objects = [b'{"temp": {"x%d": 1}}' % n for n in range(5_000)]
    start = time.process_time()

    found = decode([frame(body, JSON) for body in objects], SIGNATURE)

    assert time.process_time() - start < 5
    assert found.columns["feature_temp"].null_count == 5_000


FUZZ = Path(__file__).with_name("decode_fuzz.py")


def test_mutated_bodies_neither_crash_the_readers_nor_raise_nor_take_memory() -> None:
    # In a process of its own: a fault of a reader in C++ would take the tests along.
    done = subprocess.run(
        [sys.executable, FUZZ, "1000", "7"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    told = json.loads(done.stdout)
    assert told["bodies"] == 1_000
    assert told["read"] > 50
    assert told["refused"] > 250
    assert told["grown_mib"] < 300


BOMBS = """
import gzip, resource, sys
from tests.driftline.formats.decode_tools import SIGNATURE, decode, frame
bombs = [gzip.compress(b"1,1,%d\\n" % at * 1_500_000, 1) for at in range(30)]
kinds = ["text/csv", "application/jsonlines", "application/json"]
decode([frame(b"1,1,a")], SIGNATURE)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = [frame(bomb, kinds[at % 3], encoding="gzip") for at, bomb in enumerate(bombs)]
found = decode(frames, SIGNATURE)
assert all(found.errors), found.errors
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_many_bombs_at_once_take_the_memory_of_one() -> None:
    # 300 MiB when unpacked, a hundred kilobytes on the wire.
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", BOMBS], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    assert int(done.stdout) < 250


MANY_ROWS = """
import pyarrow as pa
from dataclasses import replace
from driftline.capture.spool.records import Records
from driftline.capture.tables.rows import build_rows
from tests.driftline.formats.decode_tools import JSON, SIGNATURE, SPOOL, frame
{frames}
signature = replace(SIGNATURE, inference_id="order")
built = build_rows(Records.of((SPOOL, one) for one in frames), signature)
assert built.rows["parse_error"].null_count == built.rows.num_rows == {count}
assert built.rows["feature_carrier"].to_pylist() == ["U"] * {count}
print(pa.default_memory_pool().max_memory() >> 20)
"""


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("frames", "count"),
    [
        # Rows times the bytes of the body are 28.8 GB.
        ('frames = [frame(b"1.5,3,U\\n" * 60_000, response=b"no\\n" * 60_000)]', 60_000),
        # Requests times the bytes of one long id are 4 GB.
        (
            """
row = '{"temp": 1, "count": 2, "carrier": "U"%s}'
one = [frame((row % (', "order": "' + "x" * 400_000 + '"')).encode(), JSON, b"no")]
frames = one + [frame((row % "").encode(), JSON, b"no")] * 9_999
""",
            10_000,
        ),
    ],
    ids=["rows", "ids"],
)
def test_no_long_text_reserves_room_for_every_row(frames: str, count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_ROWS.format(frames=frames, count=count)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2_000:]
    assert int(done.stdout) < 250


def test_lines_of_json_are_taken_one_by_one() -> None:
    # Sixty lines of a megabyte and a half as Python objects, of which a row keeps one number.
    line = b'{"temp": 1, "count": 2, "carrier": "U", "zz": [' + b"[]," * 20_000 + b"[]]}\n"
    bodies = [frame(line * 60, LINES)]
    tracemalloc.start()
    try:
        found = decode(bodies, SIGNATURE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.row_counts.tolist() == [60]
    assert peak < 64 << 20


def test_an_array_that_cannot_be_read_spoils_none_of_the_same_header():
    head = npy_head("(1,)", "[('carrier', '<U1')]")
    texts = [head + letter.encode("utf-32-le") for letter in "ABC"]
    bodies = [*texts, head + b"\xff" * 4, *texts]

    found = decode([frame(body, NPY) for body in bodies], SIGNATURE)

    assert [row[2] for row in features(found)] == ["A", "B", "C", None, "A", "B", "C"]
    assert ["request" in str(error) for error in found.errors] == [False] * 3 + [True] + [False] * 3
