"""CSV rewritten: of all its bytes only the addressed cells change.

A first line that names all columns is a header, as in decoding: rules by name follow it, and its
cells stay. A first line that may be a header of other columns, or in an order that a rule by number
does not follow, is refused: ``RewriteError``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from driftline.capture.redaction.bodies import Edited, RewriteError
from driftline.capture.redaction.rules import CsvPlace
from driftline.capture.redaction.values import DROPPED, Change
from driftline.formats.cells import NO_VALUES, is_number

_MARK = "\ufeff"
# A quoted cell, or one without quotes; then what ends it.
_CELL = re.compile(r'("[^"]*+(?:""[^"]*+)*+"|[^",\r\n]*+)(,|\r\n|\r|\n|\Z)')
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')
_IDENTIFIER = re.compile(r"[^\W\d][\w.-]*")
_SIGNS = re.compile(r"[\W_]+")
# Values that no column is called by, beside numbers.
_NO_NAMES = {"true", "false", *(text.casefold() for text in NO_VALUES if text)}

_Row = tuple[list[str], str]


class CsvEdit(NamedTuple):
    """A column, what to do there, and by which rule."""

    place: CsvPlace
    change: Change
    rule: int


def rewrite_csv(content: bytes, edits: Sequence[CsvEdit], *, is_strict: bool) -> Edited:
    """Change the addressed cells; all other bytes stay as they are."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise RewriteError("it is not UTF-8") from None
    if "\0" in text:
        raise RewriteError("it is not text")
    hits: set[int] = set()
    rows = text.removeprefix(_MARK)  # A byte order mark is no part of the first cell.
    parts = [text[: len(text) - len(rows)]]
    is_plain = '"' not in rows and "\r" not in rows
    lines = _plain_rows(rows) if is_plain else _quoted_rows(rows)
    opened = _up_to_row(lines)
    others = _up_to_row(lines)
    has_header = False
    if others and others[-1][0] != [""]:  # A header alone has no rows.
        first, second = (_values(row[-1][0]) for row in (opened, others))
        edits, has_header = _by_header(edits, first, second)
    if has_header:
        parts += [part for cells, end in opened for part in (",".join(cells), end)]
        opened = []
    for cells, end in chain(opened, others, lines):
        if cells != [""]:
            for edit in edits:
                if _edit_row(cells, edit, is_strict=is_strict or has_header):
                    hits.add(edit.rule)
        parts += (",".join(cells), end)
    return Edited("".join(parts).encode("utf-8") if hits else content, hits)


def header_of(content: bytes) -> tuple[str, ...]:
    """Return the names in a first line above others; none where it may be a row.

    All of its cells, two or more, must be identifiers; that of an index is empty.
    """
    text = content.decode("utf-8", "replace").removeprefix(_MARK).strip("\r\n")
    try:
        opened = _up_to_row(_quoted_rows(text))
    except RewriteError:
        return ()
    names = _values(opened[-1][0]) if opened else []
    is_header = len(names) > 1 and all(map(_IDENTIFIER.fullmatch, names[not names[0] :]))
    return tuple(names) if is_header and len(text.splitlines()) > 1 else ()


def _up_to_row(lines: Iterator[_Row]) -> list[_Row]:
    """Take lines up to the first that is not empty, if there is one."""
    found: list[_Row] = []
    for row in lines:
        found.append(row)
        if row[0] != [""]:
            break
    return found


def _by_header(
    edits: Sequence[CsvEdit], first: Sequence[str], second: Sequence[str]
) -> tuple[Sequence[CsvEdit], bool]:
    """Return edits of the columns as the first row has them, and whether it is a header."""
    kinds = {_is_header(edit.place, first, second) for edit in edits}
    if len(kinds) > 1:
        raise RewriteError("its first line is a header by one rule and a row by another")
    if kinds != {True}:
        return edits, False
    moved = []
    for edit in edits:
        index, columns, is_named = edit.place.index, edit.place.columns, edit.place.is_named
        if not is_named and tuple(first) != columns:
            raise RewriteError("its header has another order than a rule by number tells")
        place = CsvPlace(first.index(columns[index]), columns, is_named)
        moved.append(edit._replace(place=place))
    return moved, True


def _is_header(place: CsvPlace, first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether a row is the header of a rule's columns; refuse what may be one of others."""
    columns = place.columns
    if columns and sorted(first) == sorted(columns):
        if not any(map(is_word, columns)):
            raise RewriteError("its first line may be a header, or a row of numbers")
        return True
    told = [_plain(name) for name in first]
    known = {_plain(name) for name in columns}
    shared = sum(name in known for name in told)
    is_words = all(map(is_word, first))
    if columns and shared:
        target = _plain(columns[place.index])
        is_like = is_words or target in told or shared * 2 >= len(told)
    elif columns:
        pairs = zip(first, second, strict=False)
        is_like = len(first) == len(columns) and is_words and any(
            name.strip() and is_number(value) for name, value in pairs
        )  # fmt: skip
    else:
        # One column stands in the same place in any order.
        words = [name for name in told if name]
        is_unique = len(set(words)) == len(words) >= len(told) - 1
        is_like = len(first) > 1 and is_words and is_unique
    if is_like:
        mend = "" if columns else "; tell the rule's columns"
        raise RewriteError(f"its first line may be a header of other columns{mend}")
    return False


def _plain(name: str) -> str:
    """Spell a name as one reads it: without case, signs and blanks."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _SIGNS.sub("", folded) or folded


def is_word(text: str) -> bool:
    """Whether a cell is no number, boolean or missing value, so that it may name a column."""
    return not _is_float(text) and text.strip().casefold() not in _NO_NAMES


def _is_float(text: str) -> bool:
    """Whether Python reads a number: also 1_000 and digits of other scripts, which name nothing."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _values(cells: Sequence[str]) -> list[str]:
    return [_value(cell) for cell in cells]


def _value(cell: str) -> str:
    """Return what a cell as it is written holds."""
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def _plain_rows(text: str) -> Iterator[_Row]:
    """Return the cells of each line and what ends it."""
    lines = text.split("\n")
    for line in lines[:-1]:
        yield line.split(","), "\n"
    if lines[-1]:
        yield lines[-1].split(","), ""


def _quoted_rows(text: str) -> Iterator[_Row]:
    """Return the cells of each row, as they are written, and what ends it (RFC 4180)."""
    cells: list[str] = []
    at = 0
    while at < len(text):
        found = _CELL.match(text, at)
        if found is None:
            raise RewriteError("its quotes are not those of CSV")
        cells.append(found[1])
        at = found.end()
        if found[2] == "," and at < len(text):
            continue
        if found[2] == ",":
            cells.append("")  # An empty cell at the very end.
            yield cells, ""
        else:
            yield cells, found[2]
        cells = []


def _edit_row(cells: list[str], edit: CsvEdit, *, is_strict: bool) -> bool:
    column, width = edit.place.index, len(edit.place.columns)
    if column >= len(cells) or (width and len(cells) != width):
        if is_strict:
            raise RewriteError("its rows have other columns than the rule tells")
        if column >= len(cells):
            return False
    value = _value(cells[column])
    if value:  # An empty cell is a missing value.
        changed = edit.change(value)
        new = "" if changed is DROPPED or changed is None else str(changed)
        if _NEEDS_QUOTES.search(new):
            doubled = new.replace('"', '""')
            new = f'"{doubled}"'
        cells[column] = new
    return True
