"""How a CSV is written: what the user says of it, and what a look at its first rows tells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from driftline.errors import InputError
from driftline.formats.cells import NUMBER

DELIMITERS = ",;\t|"
NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
LOOKED_ROWS = 50
# Encodings of Python's that are for the names of hosts, not for texts.
NAMES_ONLY = ("idna", "punycode")
_COMMA_NUMBER = re.compile(r"^[+-]?\d+,\d+$")
_POINT_NUMBER = re.compile(r"^[+-]?\d*\.\d+$")
# "1,234" may be a thousand and some: three digits say nothing.
_NO_THOUSAND = re.compile(r"^[+-]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+)$")
# Excel's own line: which sign stands between fields.
_EXCEL = re.compile(r"^sep=(.)\r?\n?$")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the user says about text files; what is None is found by a look.

    Parameters
    ----------
    delimiter
        Between two fields: one character, or "tab", "comma", "semicolon", "pipe", "space".
    encoding
        Any that Python knows, such as "latin-1"; without one UTF-8, or UTF-16 and UTF-32 when the
        first bytes say so.
    header
        Whether the first line holds the names.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            sign = NAMES.get(self.delimiter, self.delimiter)
            if len(sign) != 1 or not sign.isascii() or sign in '"\r\n\x00':
                raise InputError(
                    f'delimiter "{self.delimiter}"; expected one character such as ; or the word '
                    "tab, comma, semicolon, pipe or space"
                )
            object.__setattr__(self, "delimiter", sign)
        if self.encoding is not None and not _is_encoding(self.encoding):
            raise InputError(
                f'encoding "{self.encoding}" is unknown; expected such as utf-8, latin-1, cp1252 '
                "or utf-16"
            )


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        return codecs.lookup(name).name not in NAMES_ONLY
    except (LookupError, ValueError):
        return False


AS_FOUND = Dialect()


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the first rows told.

    Parameters
    ----------
    delimiter
        Between two fields.
    decimal
        "," when numbers are written as 1,5; else ".".
    skipped
        Lines before the first row: blank ones, and Excel's ``sep=;``.
    first
        The fields of the first row.
    is_alone
        Whether the first row is a line without an end, and all there is.
    """

    delimiter: str
    decimal: str
    skipped: int
    first: tuple[str, ...]
    is_alone: bool


def sniff(text: str, given: str | None = None) -> Found:
    """Look at the beginning of a CSV.

    The delimiter is the one by which the first rows have equally many fields, numbers among them;
    a file whose rows differ is read by the one that splits its first row into most.

    Raises
    ------
    ValueError
        When the first row cannot be read.
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
    """Say how well rows read by a delimiter look like a table; larger is better."""
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
    """Tell the sign before decimals; without proof it is the point."""
    if delimiter == ",":
        return "."
    fields = [field.strip() for row in rows for field in row]
    commas = [field for field in fields if _COMMA_NUMBER.match(field)]
    is_comma = any(_NO_THOUSAND.match(field) for field in commas) and not any(
        _POINT_NUMBER.match(field) for field in fields
    )
    return "," if is_comma else "."
