"""Conditions on a row in SQL, such as ``arrival >= departure``: parsed here, run elsewhere.

DuckDB's own parser reads the text. A condition names columns of the row and functions, and has no
query inside, so that it can look at nothing but its row.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from driftline.errors import InputError
from driftline.monitors.rules.session import SETTINGS

MAX_CHARACTERS = 2000  # What is longer is a program, and belongs into a function.
MAX_QUERY_CHARACTERS = 10_000
EXAMPLE = "SELECT * FROM data WHERE price < 0"
PARTS = """
    SELECT key, value FROM json_tree(json_serialize_sql(?::VARCHAR))
    WHERE key IN ('class', 'column_names', 'error_message') ORDER BY id
"""
# Parts of DuckDB's syntax tree that look beyond one row, or stand for what nobody gives.
REFUSED = {
    "SUBQUERY": "a query inside; a rule by sql can have one",
    "WINDOW": "OVER, which looks at other rows; a rule by sql can have it",
    "STAR": "*; name the columns",
    "PARAMETER": "a parameter; write its value",
    "LAMBDA": "a lambda",
}


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition on one row: true, false, or NULL where a missing value leaves it open."""

    text: str

    def __post_init__(self) -> None:
        _columns(self.text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, in the order in which they are named."""
        return _columns(self.text)

    @property
    def sql(self) -> str:
        """The condition as part of a query; what has no answer, such as sqrt(-1), is NULL."""
        return f"TRY((\n{self.text}\n))"


def identifier(name: str) -> str:
    """Quote a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=1024)
def _columns(text: str) -> tuple[str, ...]:
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"condition of {len(text):,} characters; expected {MAX_CHARACTERS:,} at most"
        )
    # Alone, its brackets close each other; in brackets, it is one expression and no more.
    _tree(text, f"SELECT {text}")
    columns: dict[str, None] = {}
    for key, value in _tree(text, f"SELECT (\n{text}\n)"):
        if key == "class" and value in REFUSED:
            raise InputError(f'condition "{text}": {REFUSED[value]}')
        if key == "column_names":
            name = ".".join(value)
            if len(value) > 1:
                raise InputError(
                    f'condition "{text}": no column {name}; a name with a dot stands in double '
                    f'quotes, "{name}"'
                )
            columns[name] = None
    if not columns:
        raise InputError(f'condition "{text}": names no column; expected one such as "age >= 0"')
    if len({name.lower() for name in columns}) < len(columns):
        raise InputError(f'condition "{text}": names of columns that differ in case alone')
    return tuple(columns)


def _tree(text: str, query: str) -> list[tuple[str, Any]]:
    """Return the kinds of parts and the columns of a query with a condition, as they stand in it.

    InputError where it cannot be read.
    """
    import duckdb  # A heavy import that only a rule needs.

    try:
        with duckdb.connect(":memory:", config=dict(SETTINGS)) as connection:
            rows = connection.execute(PARTS, [query]).fetchall()
    except (duckdb.Error, UnicodeError) as error:
        rows = [("error_message", json.dumps(str(error)))]
    found = [(key, json.loads(value)) for key, value in rows]
    if found and found[0][0] == "error_message":
        raise InputError(
            f'condition "{text}": not readable ({" ".join(found[0][1].split())}); expected SQL '
            'such as "arrival >= departure"; texts stand in single quotes, names with other signs '
            "in double quotes"
        )
    return found


def require_query(text: str) -> None:
    """Refuse what is no single SELECT."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"query of {len(text):,} characters; expected {MAX_QUERY_CHARACTERS:,} at most"
        )
    import duckdb  # A heavy import that only a rule needs.

    try:
        statements = duckdb.extract_statements(text)
    except (duckdb.Error, UnicodeError) as error:
        raise InputError(f"query: {str(error).strip().partition(chr(10))[0]}") from error
    if len(statements) > 1:
        count = len(statements)
        raise InputError(f'query "{text[:60]}": {count} statements; expected one SELECT')
    if not statements or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError(f'query "{text[:60]}": no SELECT; expected one such as "{EXAMPLE}"')
