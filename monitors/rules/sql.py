"""Rules by SQL: a query over the rows that finds what is wrong. It reads nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import UNFIT
from driftline.child import Limits, module_argv, run
from driftline.errors import InputError
from driftline.monitors.results.violation import plural

TABLE = "data"
EXAMPLE = "SELECT * FROM data WHERE price < 0"
# The number of each row, from 0; a result that has it names the rows at fault.
ROW = "_row"
MAX_CHARACTERS = 10_000
MAX_FOUND = 1_000_000  # Of rows without a number, so many are counted.
TIMEOUT_S = 60.0
# Of the process beyond the rows: DuckDB's memory_limit, and 1 GiB for the libraries.
MEMORY_BYTES = 3 << 30
CHILD = "driftline.monitors.rules.sql_child"
# A query reads no file, no network and no variable of this process, and can turn none of it on.
SETTINGS = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "temp_directory": "",
    "memory_limit": "2GB",
    "threads": "2",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A query whose result is what is wrong; nothing found is all right."""

    text: str
    columns: tuple[str, ...] = ()  # None must be there: the query says what it lacks.
    discreet: bool = False  # Whether errors may quote nothing, which may be of a row.

    def __post_init__(self) -> None:
        """Refuse what is no single SELECT."""
        if len(self.text) > MAX_CHARACTERS:
            raise InputError(
                f"query of {len(self.text):,} characters; expected {MAX_CHARACTERS:,} at most"
            )
        duckdb = _duckdb()
        try:
            statements = duckdb.extract_statements(self.text)
        except duckdb.Error as error:
            raise InputError(f"query: {_first_line(error)}") from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f'query "{self.text[:60]}": expected one such as "{EXAMPLE}"')

    @property
    def broken(self) -> str:
        """Return what a row is that is at fault."""
        return "that the query finds"

    def judge(self, table: pa.Table) -> pa.BooleanArray | str:
        """Run the query."""
        rows = table.drop_columns([UNFIT]) if UNFIT in table.column_names else table
        names = Counter(name.lower() for name in rows.column_names)
        for name in rows.column_names:
            if name.lower() == ROW or names[name.lower()] > 1:
                why = "the number of each row" if name.lower() == ROW else "one like it"
                raise InputError(
                    f'rules by SQL cannot tell the column "{name}" from {why}, as names ignore '
                    "case there; rename it"
                )
        rows = rows.cast(pa.schema([_in_utc(one) for one in rows.schema]))
        told, marks = self._ask(rows.append_column(ROW, pa.array(np.arange(rows.num_rows))))
        if "repeated" in told:
            raise InputError(
                f'query: it gives "{ROW}" {told["repeated"]} times; expected it once, as in '
                "SELECT a.* of a join, or not at all"
            )
        if "is_wrong" in told:
            raise InputError(f'query: its "{ROW}" holds no numbers of rows; leave it as it is')
        if "is_large" in told:
            raise InputError(
                f"query needs more memory than the {SETTINGS['memory_limit']} that it has; "
                "make it simpler"
            )
        if "failed" in told:
            raise InputError(f"query failed: {told['kind' if self.discreet else 'failed']}")
        if marks:
            return pa.array(~np.frombuffer(marks, np.bool_))
        if told["count"] > MAX_FOUND:
            return f"the query finds more than {MAX_FOUND:,} rows"
        return f"the query finds {plural(told['count'], 'row')}" if told["count"] else ""

    def _ask(self, rows: pa.Table) -> tuple[dict[str, Any], bytes]:
        """Have a process of its own run the query: what it tells, and a mark for each row."""
        request = {
            "query": self.text, "settings": SETTINGS, "table": TABLE, "row": ROW, "most": MAX_FOUND,
        }  # fmt: skip
        sink = pa.BufferOutputStream()
        sink.write(json.dumps(request).encode("ascii") + b"\n")
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        limits = Limits(time_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES + 2 * rows.nbytes, file_bytes=0)
        try:
            code, answer = run(module_argv(CHILD), limits, memoryview(sink.getvalue()))
        except TimeoutError:
            raise InputError(f"query took longer than {TIMEOUT_S:g} s; make it simpler") from None
        head, _, marks = answer.partition(b"\n")
        if code or not head:
            raise InputError(
                f"query ended its process (exit code {code}), which has "
                f"{SETTINGS['memory_limit']} of memory; make it simpler"
            )
        return json.loads(head), marks


def _duckdb() -> ModuleType:
    """Return the library; a heavy import of an extra, that only a query needs."""
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            "rules by SQL need DuckDB; install it with pip install 'driftline[sql]'"
        ) from error
    return duckdb


def _in_utc(field: pa.Field) -> pa.Field:
    """Return a column of times without their zone, which DuckDB would need an extension for."""
    is_zoned = pa.types.is_timestamp(field.type) and field.type.tz is not None
    return field.with_type(pa.timestamp(field.type.unit)) if is_zoned else field


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
