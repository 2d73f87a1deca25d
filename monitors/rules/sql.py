"""Rules by SQL: a query over the rows that finds what is wrong. It reads nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Timer
from types import ModuleType

import numpy as np
import pyarrow as pa

from driftline.baseline.predicate import UNFIT
from driftline.errors import InputError
from driftline.monitors.results.violation import plural

TABLE = "data"
EXAMPLE = "SELECT * FROM data WHERE price < 0"
# The number of each row, from 0; a result that has it names the rows at fault.
ROW = "_row"
MAX_CHARACTERS = 10_000
TIMEOUT_S = 60.0
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
        duckdb = _duckdb()
        rows = table.drop_columns([UNFIT]) if UNFIT in table.column_names else table
        if ROW in rows.column_names:
            rows = rows.drop_columns([ROW])
        rows = rows.cast(pa.schema([_in_utc(one) for one in rows.schema]))
        rows = rows.append_column(ROW, pa.array(np.arange(rows.num_rows)))
        with duckdb.connect(":memory:", config=SETTINGS) as connection:
            connection.register(TABLE, rows)
            connection.execute("SET lock_configuration = true")
            timer = Timer(TIMEOUT_S, connection.interrupt)
            timer.daemon = True
            timer.start()
            try:
                found = connection.sql(self.text).to_arrow_table()
            except duckdb.InterruptException as error:
                raise InputError(
                    f"query took longer than {TIMEOUT_S:g} s; make it simpler"
                ) from error
            except duckdb.Error as error:
                raise InputError(f"query failed: {_first_line(error)}") from error
            finally:
                timer.cancel()
        if ROW in found.column_names:
            verdict = np.ones(rows.num_rows, np.bool_)
            places = found.column(ROW).drop_null().to_numpy()
            if not np.issubdtype(places.dtype, np.integer) or (
                len(places) and not (places.min() >= 0 and places.max() < rows.num_rows)
            ):
                raise InputError(f'query: its "{ROW}" holds no numbers of rows; leave it as it is')
            verdict[places] = False
            return pa.array(verdict)
        return f"the query finds {plural(found.num_rows, 'row')}" if found.num_rows else ""


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
