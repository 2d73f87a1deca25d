"""Runs the SQL of rules over rows, in a locked process of its own. It reads nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from driftline.child import Limits, module_argv, started
from driftline.errors import InputError, UnavailableError

CHILD = "driftline.monitors.rules.sql_child"
# The child's names of the rows, and of the number of each, from 0.
ROWS, ROW = "_rows", "_row"
TIMEOUT_S = 60.0
ROWS_A_SECOND = 1_000_000  # A query has as much more time as that many rows may take.
MOST_COUNTED = 1_000_000  # Of a result whose rows have no number, so many are counted.
# Of the process beside the rows, which it maps: DuckDB's memory_limit, and 1 GiB for libraries.
MEMORY_BYTES = 3 << 30
SPILL_BYTES = 8 << 30
# A query reads no file, no network and no variable of the process, and can turn none of it on.
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": "2GB",
    "max_temp_directory_size": "8GB",
    "threads": "2",
    # What has no answer, such as a division by 0, is NULL or an error, never infinite.
    "ieee_floating_point_ops": "false",
    "error_on_division_by_zero": "false",
}


class QueryError(InputError):
    """A query failed; ``kind`` says how without a value of a row, such as ``Conversion Error``."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave.

    ``first``: the values of its first row; ``marks``: which rows it names, shape (rows,), None
    where it has no column of their numbers.
    """

    count: int
    first: list[Any]
    marks: np.ndarray | None


class Session:
    """A process that holds rows and answers queries over them, one at a time."""

    def __enter__(self) -> Self:
        """Start the process."""
        self._row_count = 0
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="driftline-rules-")
            self._folder = Path(stack.enter_context(folder))
            limits = Limits(memory_bytes=MEMORY_BYTES, file_bytes=SPILL_BYTES)
            ours, theirs = Pipe()
            with theirs:
                fd = theirs.fileno()
                child = started([*module_argv(CHILD), str(fd)], limits, pass_fds=[fd])
                stack.enter_context(child)
            self._pipe = stack.enter_context(ours)
            settings = {**SETTINGS, "temp_directory": str(self._folder / "spill")}
            ours.send_bytes(json.dumps(settings).encode())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """End the process, and remove the rows."""
        self._stack.close()

    def open(self, batches: Iterable[pa.RecordBatch], *, view: str = "") -> int:
        """Take rows, all of one schema, in place of those before; return how many there are.

        A query finds them as `ROWS`.
        ``view``: SELECT that queries find as ``data``. The first batch may have no rows.
        """
        writer, row_count, path = None, 0, self._folder / "rows.arrow"
        try:
            with path.open("wb") as file:
                for batch in batches:
                    numbers = np.arange(row_count, row_count + batch.num_rows)
                    numbered = batch.append_column(ROW, pa.array(numbers))
                    if writer is None:
                        writer = pa.ipc.new_stream(file, numbered.schema)
                    writer.write_batch(numbered)
                    row_count += batch.num_rows
                assert writer is not None, "rows have a schema"
                writer.close()
        except OSError as error:
            if error.filename or error.errno is None:  # Of the rows' own file or store.
                raise
            raise UnavailableError(
                f"rows cannot be kept in {self._folder} ({error.strerror}); make room there, "
                "or set TMPDIR to a folder that has it"
            ) from error
        self._row_count = row_count
        self._ask({"path": str(path), "view": view})
        return row_count

    def ask(self, query: str) -> Answer:
        """Run one query; QueryError when it fails, InputError when it needs too much."""
        found, marks = self._ask({"query": query, "most": MOST_COUNTED})
        if "failed" in found:
            raise QueryError(found["failed"], found["kind"])
        named = np.frombuffer(marks, np.bool_) if found["is_marked"] else None
        return Answer(found["count"], found["first"], named)

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return an answer; InputError when it takes too long, or the process has ended."""
        try:
            self._pipe.send_bytes(json.dumps(request).encode())
            if not self._pipe.poll(TIMEOUT_S + self._row_count / ROWS_A_SECOND):
                raise InputError(f"query took longer than {TIMEOUT_S:g} s; make it simpler")
            head, _, marks = self._pipe.recv_bytes().partition(b"\n")
        except (OSError, EOFError):
            raise InputError(
                f"query ended its process, which has {SETTINGS['memory_limit']} of memory; "
                "make it simpler"
            ) from None
        return json.loads(head), marks
