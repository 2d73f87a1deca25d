"""The process that runs the SQL of rules, with limits; it is killed when a query takes too long.

DuckDB checks for interrupts only between pieces of work, and its memory limit does not cover a
single value or the result. An answer is one line of JSON, and then a byte per row where the query
names rows.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

BATCH_ROWS = 65_536
# As DuckDB's errors begin, before they say what of.
KIND = re.compile(r"[A-Z][A-Za-z -]{1,40} Error(?=:)")
ROW = "_row"
Reply = tuple[dict[str, Any], bytes]


def main() -> None:
    """Answer requests until there are no more."""
    with Connection(int(sys.argv[1])) as pipe, suppress(EOFError):
        settings = json.loads(pipe.recv_bytes())
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("SET lock_configuration = true")
            row_count = 0
            while True:
                request = json.loads(pipe.recv_bytes())
                answer: dict[str, Any] = {}
                marks = b""
                if "path" in request:
                    row_count = _open(connection, **request)
                else:
                    answer, marks = _answered(connection, row_count, **request)
                pipe.send_bytes(json.dumps(answer, default=str).encode() + b"\n" + marks)


def _open(connection: duckdb.DuckDBPyConnection, path: str, view: str) -> int:
    """Take rows from a file, which stay where they are: DuckDB reads them by its mapping."""
    rows = pa.ipc.open_stream(pa.memory_map(path)).read_all()
    connection.execute("DROP VIEW IF EXISTS data")
    connection.register("_rows", rows)
    if view:
        connection.execute(f"CREATE VIEW data AS {view}")
    return int(rows.num_rows)


def _answered(
    connection: duckdb.DuckDBPyConnection, row_count: int, query: str, most: int
) -> Reply:
    try:
        return _run(connection, row_count, query, most)
    # Arrow passes a reader's errors on; Python knows no time after 9999.
    except (duckdb.Error, MemoryError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
            return _failed("query needs more memory than the 2GB that it has; make it simpler")
        kind = KIND.match(str(error))
        said = " ".join(str(error).partition("\n\nLINE ")[0].split())
        return _failed(said, type(error).__name__ if kind is None else kind[0])


def _failed(said: str, kind: str = "") -> Reply:
    """Return an error; one without a kind quotes no row."""
    return {"failed": said, "kind": kind or said}, b""


def _run(connection: duckdb.DuckDBPyConnection, row_count: int, query: str, most: int) -> Reply:
    """Return the first row of a result, how many it has, and a mark for each row that it names."""
    relation = connection.sql(query)
    first: list[Any] = []
    count = 0
    named = [at for at, one in enumerate(relation.columns) if one.lower() == ROW]
    if len(named) > 1:
        return _failed(
            f'query: it gives "{ROW}" {len(named)} times; expected it once, as in SELECT a.* of a '
            "join, or not at all"
        )
    marks = np.zeros(row_count if named else 0, np.bool_)
    for batch in relation.to_arrow_reader(BATCH_ROWS):
        if not named and not count and batch.num_rows:
            first = [column[0].as_py() for column in batch.columns]
        count += batch.num_rows
        if named:
            numbers = batch.column(named[0]).drop_null().to_numpy(zero_copy_only=False)
            if len(numbers) and not _are_rows(numbers, row_count):
                return _failed(f'query: its "{ROW}" holds no numbers of rows; leave it as it is')
            marks[numbers.astype(np.intp)] = True
        elif count > most:
            break
    return {"first": first, "count": count, "is_marked": bool(named)}, marks.tobytes()


def _are_rows(numbers: np.ndarray, row_count: int) -> bool:
    return bool(numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < row_count)


if __name__ == "__main__":
    main()
