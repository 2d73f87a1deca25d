"""Rows out of the cells of CSV bodies: by a header, by position, or probabilities of each class."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.formats.body_limits import BodyError
from driftline.formats.shapes.responses import AnswerRows


def rows_of_cells(
    rows: list[list[str]], names: Sequence[str], answers: AnswerRows | None
) -> list[list[str | None]]:
    """Return the rows of one body by its cells; those of answers may lack fields at the end."""
    width = len(names)
    if len(rows) > 1 and set(names).issubset(rows[0]):
        return _by_header(rows, names)
    is_ragged = answers is not None
    for number, row in enumerate(rows, 1):
        if len(row) != width and not (is_ragged and len(row) < width):
            raise BodyError(f"row {number} has {len(row)} columns; expected {width}")
    if answers is not None:
        places = answers.places([list(map(_number, row)) for row in rows])
        if places is not None:
            return [[None if at is None else row[at] for at in places] for row in rows]
    return [[*row, *[None] * (width - len(row))] for row in rows]


def _number(text: str) -> object:
    """Return a number as it is written, whole or not; any other text as it is."""
    for kind in (int, float) if text.isascii() and "_" not in text else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _by_header(rows: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[str | None]]:
    """Take the fields by the names in the first line, which may tell of more than is asked for."""
    header = rows[0]
    places = [header.index(name) for name in names]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise BodyError(f"row {number} has {len(row)} columns; its header {len(header)}")
    return [[row[place] for place in places] for row in rows[1:]]
