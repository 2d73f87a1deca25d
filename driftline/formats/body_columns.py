"""Gathers the rows of many bodies, piece by piece, into one column a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.coercion import Coerced, float_array
from driftline.formats.shapes.requests import Extra, RequestRows, Row
from driftline.formats.shapes.responses import AnswerRows
from driftline.signature import Column, ColumnType

# Values as Python objects take up to thirty times their text; so many wait to become columns.
_VALUES_AT_ONCE = 1 << 16


class Bodies(NamedTuple):
    """Rows read from bodies.

    ``starts`` and ``counts``, shape (bodies,), locate a body's rows in ``columns``; an unread body
    counts 0. ``extras`` are fields that no column takes: row, name, text.
    """

    starts: np.ndarray
    counts: np.ndarray
    columns: list[Coerced]
    extras: list[Extra]
    errors: list[str | None]

    def without(self, wrong: np.ndarray) -> Bodies:
        """Leave the rows of some bodies out; ``wrong`` is a mask over the bodies."""
        if not wrong.any():
            return self
        order = np.argsort(self.starts[self.counts > 0], kind="stable")
        read = np.flatnonzero(self.counts > 0)[order]
        keep = np.repeat(~wrong[read], self.counts[read])
        position = np.cumsum(keep) - 1
        columns = [column.only(keep) for column in self.columns]
        extras = [(int(position[row]), name, text) for row, name, text in self.extras if keep[row]]
        counts = np.where(wrong, 0, self.counts)
        starts = np.zeros_like(counts)
        starts[read] = np.cumsum(counts[read]) - counts[read]
        return Bodies(starts, counts, columns, extras, self.errors)


class Reading:
    """Gathers pieces of columns in the order in which bodies are read."""

    def __init__(self, columns: Sequence[Column], errors: list[str | None]) -> None:
        self.columns = columns
        self.errors = errors
        self._pieces: list[list[Coerced]] = [[] for _ in columns]
        self._extras: list[Extra] = []
        self._starts = np.zeros(len(errors), np.int64)
        self._counts = np.zeros(len(errors), np.int64)
        self._row_count = 0

    def add(
        self,
        indices: np.ndarray | Sequence[int],
        counts: np.ndarray | Sequence[int],
        columns: Sequence[Coerced],
        extras: Sequence[Extra] = (),
    ) -> None:
        """Add the rows of some bodies: ``counts`` rows of each, whose ``columns`` hold all of them.

        ``extras``: fields that no column takes, their rows counted from the first of these.
        """
        counts = np.asarray(counts, np.int64)
        self._starts[indices] = self._row_count + np.cumsum(counts) - counts
        self._counts[indices] = counts
        self._extras += [(self._row_count + row, name, text) for row, name, text in extras]
        self._row_count += int(counts.sum())
        for pieces, column in zip(self._pieces, columns, strict=True):
            pieces.append(column)

    def result(self) -> Bodies:
        """Return all that was read."""
        joined = [
            _join(pieces, column) for pieces, column in zip(self._pieces, self.columns, strict=True)
        ]
        return Bodies(self._starts, self._counts, joined, self._extras, self.errors)


class RowGatherer:
    """Gathers rows of bodies until they are worth turning into columns."""

    def __init__(
        self, reading: Reading, to_column: Callable[[Sequence[Any], ColumnType], Coerced]
    ) -> None:
        self._reading = reading
        self._to_column = to_column
        self._is_numeric = {column.type for column in reading.columns} == {"double"}
        self._rows: list[Row] = []
        self._indices: list[int] = []
        self._counts: list[int] = []
        self._extras: list[Extra] = []
        self._limit = max(_VALUES_AT_ONCE // max(len(reading.columns), 1), 1)

    def add(self, index: int, rows: Sequence[Row], extras: Sequence[Extra] = ()) -> None:
        """Take the rows of one body."""
        if extras:
            start = len(self._rows)
            self._extras += [(start + row, name, text) for row, name, text in extras]
        self._indices.append(index)
        self._counts.append(len(rows))
        self._rows += rows
        if len(self._rows) >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Turn all rows so far into columns."""
        if self._indices:
            columns = self._numbers()
            if columns is None:
                values = zip(*self._rows, strict=True)
                columns = [
                    self._to_column(each, column.type)
                    for each, column in zip(values, self._reading.columns, strict=True)
                ]
            self._reading.add(self._indices, self._counts, columns, self._extras)
        self._rows, self._indices, self._counts, self._extras = [], [], [], []

    def _numbers(self) -> list[Coerced] | None:
        """Return all columns where all hold float64 and all values are numbers."""
        if not self._is_numeric:
            return None
        numbers = float_array(list(chain.from_iterable(self._rows)))
        if numbers is None or numbers.null_count:
            return None
        table = np.ascontiguousarray(numbers.to_numpy().reshape(len(self._rows), -1).T)
        return [Coerced(pa.array(column), np.empty(0, np.int64), []) for column in table]


def _join(pieces: Sequence[Coerced], column: Column) -> Coerced:
    if len(pieces) == 1:
        return pieces[0]
    kind = ARROW_TYPES[column.type]
    values = pa.chunked_array([piece.values for piece in pieces], kind).combine_chunks()
    starts = np.cumsum([0, *(len(piece.values) for piece in pieces)])
    unfit = [piece.unfit + start for piece, start in zip(pieces, starts, strict=False)]
    return Coerced(
        values,
        np.concatenate([np.empty(0, np.int64), *unfit]),
        [text for piece in pieces for text in piece.texts],
    )


class Wanted(NamedTuple):
    """What to read out of bodies: where rows go, how they are found, which field is an id.

    ``id_name``: the caller's own id, in formats that name their columns; ``header_lengths``: of
    each body, how many of its bytes are JSON, where binary tensors follow.
    """

    reading: Reading
    finder: RequestRows | AnswerRows
    id_name: str | None = None
    header_lengths: pa.StringArray | None = None

    @property
    def answers(self) -> AnswerRows | None:
        """Finds the values of answers, whose rows may lack columns at the end."""
        return self.finder if isinstance(self.finder, AnswerRows) else None
