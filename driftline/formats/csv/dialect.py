"""How a CSV is written, by a look at its first rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from driftline.formats.cells import NUMBER

DELIMITERS = ",;\t|"
LOOKED_ROWS = 50
_COMMA_NUMBER = re.compile(r"^[+-]?\d+,\d+$")
_POINT_NUMBER = re.compile(r"^[+-]?\d*\.\d+$")
# "1,234" may be a thousand and some: three digits say nothing.
_NO_THOUSAND = re.compile(r"^[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+)$")
# Excel's own line: which sign stands between fields.
_EXCEL = re.compile(r"^sep=(.)\r?\n?$")


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the first rows told."""

    delimiter: str
    decimal: str
    # Lines before the first row: blank ones, and Excel's ``sep=;``.
    skipped: int
    first: tuple[str, ...]
    # Whether the first row is a line without an end, and all there is.
    is_alone: bool


def sniff(text: str, given: str | None = None) -> Found:
    """Detect the dialect from the beginning of a CSV.

    The delimiter is the one by which the first rows have equally many fields, numbers among them; a
    file whose rows differ is read by the one that splits its first row into most.
    """
    begin = text.lstrip("\r\n")
    skipped = len(text[: len(text) - len(begin)].splitlines())
    line = begin.split("\n", 1)[0] + "\n"
    if (excel := _EXCEL.match(line)) is not None:
        given = given or excel[1]
        begin = begin[len(line) :]
        skipped += 1
    candidates = [given] if given else list(DELIMITERS)
    # Without newline=None an old Mac's line ends would stand inside of fields.
    tried = {sign: _first_rows(begin, sign) for sign in candidates}
    best = max(candidates, key=lambda sign: _score(tried[sign]))
    rows = tried[best]
    if not rows:
        raise ValueError("no row can be read")
    is_alone = not any(sign in begin for sign in "\r\n") and begin.count('"') % 2 == 0
    return Found(best, _decimal(rows, best), skipped, tuple(rows[0]), is_alone)


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    """Read some rows; the last of a cut text is left out when there are others."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=None), delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) > LOOKED_ROWS:
                return rows[:LOOKED_ROWS]
    except csv.Error:
        return rows
    return rows


def _score(rows: Sequence[Sequence[str]]) -> tuple[bool, float, float, int]:
    """Return how well rows read by a delimiter look like a table; larger is better."""
    width = len(rows[0]) if rows else 0
    if width < 2:  # A comma in a column of its own is an error, not a letter.
        return (bool(rows), 0.0, 0.0, 0)
    even = sum(len(row) == width for row in rows) / len(rows)
    fields = [field.strip() for row in rows for field in row]
    numbers = sum(
        bool(re.match(NUMBER, field) or _COMMA_NUMBER.match(field)) for field in fields
    ) / len(fields)
    # Ties fall to the first of DELIMITERS.
    return (True, even, numbers, width)


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the sign before decimals; without proof it is the point."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in rows for field in row]
    commas = [field for field in fields if _COMMA_NUMBER.match(field)]
    is_comma = any(_NO_THOUSAND.match(field) for field in commas) and not any(
        _POINT_NUMBER.match(field) for field in fields
    )
    return "," if is_comma else "."
