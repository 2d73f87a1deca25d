"""The process that runs the SQL of rules, with limits; it is killed when a query takes too long.

DuckDB checks for interrupts only between pieces of work, and its memory limit does not cover a
single value or the result. Each line of standard input is a request; each answer is one line of
JSON, and then a byte per row where the query names rows.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

BATCH_ROWS = 65_536
# As DuckDB's errors begin, before they say what of.
KIND = re.compile(r"[A-Z][A-Za-z -]{1,40} Error(?=:)")
NO_MEMORY = "Out of Memory Error"
ROWS, ROW = "_rows", "_row"
TOO_LARGE = {"refused": "query needs more memory than the 2GB that it has; make it simpler"}


def main() -> None:
    """Answer requests until there are no more."""
    # Nothing that a library prints may be taken for an answer.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        settings = json.loads(sys.stdin.buffer.readline())
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("SET lock_configuration = true")
            row_count = 0
            for line in sys.stdin.buffer:
                request, marks = json.loads(line), b""
                if "path" in request:
                    row_count = _open(connection, request)
                    answer: dict[str, Any] = {}
                else:
                    answer, marks = _answered(connection, request, row_count)
                answer["marks"] = len(marks)
                out.write(json.dumps(answer, default=str).encode("ascii") + b"\n" + marks)
                out.flush()


def _open(connection: duckdb.DuckDBPyConnection, request: dict[str, Any]) -> int:
    """Take rows from a file, which stay where they are: DuckDB reads them by its mapping."""
    rows = pa.ipc.open_stream(pa.memory_map(request["path"])).read_all()
    connection.execute("DROP VIEW IF EXISTS data")
    connection.register(ROWS, rows)
    if request["view"]:
        connection.execute(f"CREATE VIEW data AS {request['view']}")
    return int(rows.num_rows)


def _answered(
    connection: duckdb.DuckDBPyConnection, request: dict[str, Any], row_count: int
) -> tuple[dict[str, Any], bytes]:
    try:
        return _run(connection, request, row_count)
    except MemoryError:
        return TOO_LARGE, b""
    # Arrow passes a reader's errors on; Python knows no time after 9999.
    except (duckdb.Error, OSError, ValueError, OverflowError) as error:
        kind = KIND.match(str(error))
        if kind is not None and kind[0] == NO_MEMORY:
            return TOO_LARGE, b""
        named = type(error).__name__ if kind is None else kind[0]
        said = " ".join(str(error).partition("\n\nLINE ")[0].split())
        return {"failed": said, "kind": named}, b""


def _run(
    connection: duckdb.DuckDBPyConnection, request: dict[str, Any], row_count: int
) -> tuple[dict[str, Any], bytes]:
    """Return the first row of a result, how many it has, and a mark for each row that it names."""
    relation = connection.sql(request["query"])
    answer: dict[str, Any] = {"types": [str(one) for one in relation.types], "first": None}
    positions = [at for at, one in enumerate(relation.columns) if one.lower() == ROW]
    if len(positions) > 1:
        times = f'query: it gives "{ROW}" {len(positions)} times'
        return {
            "refused": f"{times}; expected it once, as in SELECT a.* of a join, or not at all"
        }, b""
    marks, count = np.zeros(row_count if positions else 0, np.bool_), 0
    for batch in relation.to_arrow_reader(BATCH_ROWS):
        if not positions and not count and batch.num_rows:
            answer["first"] = [column[0].as_py() for column in batch.columns]
        count += batch.num_rows
        if positions:
            numbers = batch.column(positions[0]).drop_null()
            if not _are_rows(numbers, row_count):
                return {
                    "refused": f'query: its "{ROW}" holds no numbers of rows; leave it as it is'
                }, b""
            marks[numbers.to_numpy()] = True
        elif count > request["most"]:
            break
    return {**answer, "count": count, "is_marked": bool(positions)}, marks.tobytes()


def _are_rows(numbers: pa.Array, row_count: int) -> bool:
    if not pa.types.is_integer(numbers.type):
        return False
    found = numbers.to_numpy()
    return not len(found) or bool(found.min() >= 0 and found.max() < row_count)


if __name__ == "__main__":
    main()
