"""Data that comes piece by piece, once, or is larger than memory."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from driftline.baseline.analyzer import open_texts
from driftline.errors import InputError
from driftline.formats import buffered as spool
from driftline.formats import source
from driftline.formats.source import open_source

TABLE = pa.table({"a": list(range(1000)), "c": ["x", "y"] * 500})


def rows(data: object) -> dict[str, list[object]]:
    found = data if isinstance(data, source.Source) else open_source(data)
    return pa.Table.from_batches(found.batches(), found.schema).to_pydict()


def once(table: pa.Table) -> object:
    """Return an object of which only the stream is known."""

    class Once:
        def __init__(self) -> None:
            self._reader = table.to_reader(max_chunksize=100)

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return self._reader.__arrow_c_stream__(requested_schema)

    return Once()


@pytest.mark.parametrize(
    "make",
    [
        lambda: TABLE.to_reader(max_chunksize=100),
        lambda: once(TABLE),
        lambda: ds.dataset(TABLE).scanner(),
        lambda: pl.from_arrow(TABLE).lazy().filter(pl.col("a") >= 0),
        lambda: duckdb.from_arrow(TABLE),
        lambda: duckdb.from_arrow(TABLE).to_arrow_reader(100),
    ],
    ids=["reader", "stream", "scanner", "lazy frame", "relation", "result"],
)
@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "on disk"])
def test_what_comes_once_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch, make: object, is_big: bool
) -> None:
    if is_big:
        monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 0)

    found = open_source(make())  # type: ignore[operator]

    assert found.row_count == 1000
    assert rows(found) == rows(found) == TABLE.to_pydict()


KILLED = """
import os, signal
import pyarrow as pa
from driftline.formats import buffered
from driftline.formats.source import open_source
buffered.IN_MEMORY_BYTES = 0
stream, pipe = open_source(pa.table({"a": [1, 2]}).to_reader()), open_source("-")
for found in (stream, pipe):
    assert pa.Table.from_batches(found.batches()).to_pydict() == {"a": [1, 2]}
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_nothing_of_what_came_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=b"a\n1\n2\n", capture_output=True, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == -signal.SIGKILL, done.stderr[-2_000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_arrow_streams_and_files_of_a_folder_are_one(tmp_path: Path, compression: str) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    for name, make, part in (
        ("1.arrow", pa.ipc.new_file, TABLE.slice(0, 600)),
        ("2.arrow", pa.ipc.new_stream, TABLE.slice(600).select(["c", "a"])),
        ("3.arrow", pa.ipc.new_stream, pa.table({"a": [1000]})),
    ):
        with (
            pa.OSFile(str(tmp_path / name), "wb") as sink,
            make(sink, part.schema, options=options) as writer,
        ):
            writer.write_table(part, max_chunksize=250)

    found = rows(tmp_path)

    assert found["a"] == list(range(1001))
    assert found["c"] == [*TABLE.to_pydict()["c"], None]


def test_a_second_arrow_stream_in_one_file_is_not_passed_over(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=250)
    stream = sink.getvalue().to_pybytes()
    (tmp_path / "padded").write_bytes(stream + b"\0" * 512)
    (tmp_path / "two").write_bytes(stream * 2)

    assert rows(tmp_path / "padded") == TABLE.to_pydict()
    with pytest.raises(InputError, match="two: more follows the end of the Arrow stream"):
        rows(tmp_path / "two")


def test_parquet_files_that_disagree_on_a_type_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")

    with pytest.raises(InputError, match=r'column "a" is string in .*2\.parquet and int64 in'):
        open_source(tmp_path)


def piped(data: bytes) -> Iterator[str]:
    """Return the path of a pipe into which data are written, some at a time."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    yield f"/dev/fd/{reading}"
    writer.join()
    os.close(reading)


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
def test_what_comes_by_a_pipe_is_read_as_often_as_needed(form: str) -> None:
    text = b"a,b\n" + b"1,x\n" * 50_000
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1] * 50_000, "b": ["x"] * 50_000}), sink)
    data = {"csv": text, "gzip": gzip.compress(text), "parquet": sink.getvalue().to_pybytes()}

    for path in piped(data[form]):
        found = open_source(path)

        assert rows(found) == rows(found) == {"a": [1] * 50_000, "b": ["x"] * 50_000}
        assert rows(open_texts(path))["b"] == ["x"] * 50_000


def test_a_dash_is_what_is_piped_into_the_process() -> None:
    code = """
from driftline.baseline.analyzer import open_texts
from driftline.formats.source import open_source
print(open_source("-").row_count, open_texts("-").schema.names)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input="a,b\n1,2\n3,4\n", capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.stdout == "2 ['a', 'b']\n", done.stderr
    assert not done.stderr
