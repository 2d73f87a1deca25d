"""The process that runs one query, with limits, and is killed when it takes too long.

DuckDB checks for interrupts only between pieces of work, and its memory limit does not cover a
single value or the result. Standard input holds the query and the rows; the answer is one line of
JSON, then a byte per row where the query names rows.
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


def main() -> None:
    """Answer the one request."""
    # Nothing that a library prints may be taken for the answer.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        request = json.loads(sys.stdin.buffer.readline())
        try:
            told, marks = _run(request)
        except MemoryError:
            told, marks = {"is_large": True}, b""
        out.write(json.dumps(told).encode("ascii") + b"\n" + marks)


def _run(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what the query finds: a mark for each row at fault, or how many rows."""
    rows = pa.ipc.open_stream(sys.stdin.buffer).read_all()
    marks, most, name = np.zeros(rows.num_rows, np.bool_), request["most"], request["row"]
    with duckdb.connect(":memory:", config=request["settings"]) as connection:
        connection.register(request["table"], rows)
        connection.execute("SET lock_configuration = true")
        try:
            relation = connection.sql(request["query"])
        except duckdb.Error as error:  # No row was read yet.
            return {"failed": _said(error), "kind": _said(error)}, b""
        places = [at for at, one in enumerate(relation.columns) if one.lower() == name]
        if len(places) > 1:
            return {"repeated": len(places)}, b""
        count = 0
        try:
            for batch in relation.to_arrow_reader(BATCH_ROWS):
                count += batch.num_rows
                if places:
                    numbers = batch.column(places[0]).drop_null()
                    if not _are_places(numbers, rows.num_rows):
                        return {"is_wrong": True}, b""
                    marks[numbers.to_numpy()] = True
                elif count > most:
                    break
        except (duckdb.Error, OSError) as error:  # Arrow passes errors of a reader on as OSError.
            kind = KIND.match(str(error))
            if kind is not None and kind[0] == NO_MEMORY:
                return {"is_large": True}, b""
            named = type(error).__name__ if kind is None else kind[0]
            return {"failed": _said(error), "kind": named}, b""
    return {"count": count}, marks.tobytes() if places else b""


def _are_places(numbers: pa.Array, row_count: int) -> bool:
    if not pa.types.is_integer(numbers.type):
        return False
    found = numbers.to_numpy()
    return not len(found) or bool(found.min() >= 0 and found.max() < row_count)


def _said(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


if __name__ == "__main__":
    main()
