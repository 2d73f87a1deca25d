"""Conditions on single rows: bounds, texts, allowed values, expressions. Pure.

The result is whether each row passes; null where a missing value leaves that open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import number_text
from driftline.baseline.row_hashes import is_captured, present
from driftline.formats.coercion import coerce
from driftline.monitors.rules.expression import Expression
from driftline.monitors.rules.functions import whole_match
from driftline.monitors.rules.values import numbers_of, texts_of, typed

Limit = float | int | str
# Allowed values that are named in a sentence.
NAMED = 3
NAMED_WIDTH = 60


class RowCheck(Protocol):
    """A condition on one row."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""

    @property
    def broken(self) -> str:
        """What a row is that breaks it, such as ``below 0``."""

    @property
    def wanted(self) -> str:
        """What a row must be, such as ``at least 0``."""

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row; null where it is open."""


class _OfColumn:
    """What conditions on one column share."""

    __slots__ = ()
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)


@dataclass(frozen=True, slots=True)
class Bounds(_OfColumn):
    """Values within bounds: `least` and `most` are inclusive, `above` and `below` exclusive.

    Numbers, or ISO 8601 texts for times. A value that is no number (no time) is out of bounds,
    unless only numbers are judged.
    """

    column: str
    least: Limit | None = None
    most: Limit | None = None
    above: Limit | None = None
    below: Limit | None = None
    numbers_only: bool = False

    @property
    def wanted(self) -> str:
        """Describe the bounds: ``0 to 120``, ``at least 0``, ``above 0``."""
        return limits_in_words(self.least, self.most, self.above, self.below)

    @property
    def broken(self) -> str:
        """Return what is out of bounds."""
        low = "" if self.least is None else f"below {_shown(self.least)}"
        low = low or ("" if self.above is None else f"not above {_shown(self.above)}")
        high = "" if self.most is None else f"above {_shown(self.most)}"
        high = high or ("" if self.below is None else f"not below {_shown(self.below)}")
        return " or ".join(part for part in (low, high) if part)

    @property
    def is_of_times(self) -> bool:
        """Whether the bounds are times."""
        known = (self.least, self.most, self.above, self.below)
        return any(isinstance(one, str) for one in known)

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        values, unfit = self._read(batch)
        inside: pa.BooleanArray = pc.is_valid(values)
        known = inside
        for limit, compare in (
            (self.least, pc.greater_equal),
            (self.most, pc.less_equal),
            (self.above, pc.greater),
            (self.below, pc.less),
        ):
            if limit is not None:
                # Arrow refuses to compare whole numbers beyond 2^53 with fractions.
                is_part = isinstance(limit, float)
                found = values.cast(pa.float64(), safe=False) if is_part else values
                fits = compare(found, self._limit(limit, found.type))
                inside = pc.and_(inside, pc.fill_null(fits, fill_value=False))
        judged = known if self.numbers_only else pc.or_(known, unfit)
        return pc.if_else(judged, inside, pa.scalar(None, pa.bool_()))

    def held_by_all(self, batch: pa.RecordBatch) -> int | None:
        """Count the values of a plain column of numbers, all of them within bounds."""
        array = batch.column(self.column)
        is_plain = array.type in (pa.int64(), pa.float64())
        if self.is_of_times or is_captured(batch) or not is_plain:
            return None
        # numpy compares and counts in a fifth of Arrow's time; NaN compares as false.
        values = numbers_of(array)
        for limit, is_out in (
            (self.least, np.less),
            (self.most, np.greater),
            (self.above, np.less_equal),
            (self.below, np.greater_equal),
        ):
            if limit is not None and np.count_nonzero(is_out(values, limit)):
                return None
        return len(values) - int(np.count_nonzero(np.not_equal(values, values)))

    def measure(self, batch: pa.RecordBatch, broken: pa.BooleanArray) -> np.ndarray:
        """Return the numbers that are out of bounds; times are not named."""
        if self.is_of_times:
            return np.empty(0)
        return numbers_of(self._read(batch)[0].filter(broken))

    def _read(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        array = batch.column(self.column)
        if not self.is_of_times and pa.types.is_integer(array.type):
            return typed(batch, self.column, "int64")  # Exact beyond 2^53, too.
        return typed(batch, self.column, "timestamp" if self.is_of_times else "double")

    @staticmethod
    def _limit(limit: Limit, kind: pa.DataType) -> pa.Scalar:
        if isinstance(limit, str):
            return pa.scalar(np.datetime64(limit, "us")).cast(kind)
        return pa.scalar(float(limit) if pa.types.is_floating(kind) else limit, kind)


@dataclass(frozen=True, slots=True)
class Present(_OfColumn):
    """A value in every row; NaN and empty text are none."""

    column: str
    broken = "empty"
    wanted = "not empty"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row; it is never open."""
        return pc.is_valid(texts_of(batch, self.column))


@dataclass(frozen=True, slots=True)
class Values(_OfColumn):
    """Values among the allowed ones, compared as text: 1 and "1" are the same."""

    column: str
    allowed: tuple[str, ...]
    forbidden: bool = False

    @property
    def wanted(self) -> str:
        """Return which values are allowed."""
        shown = ", ".join(f'"{one}"' for one in self.allowed[:NAMED])
        if len(self.allowed) > NAMED or len(shown) > NAMED_WIDTH:
            shown = f"the {len(self.allowed)} listed values"
        return f"none of {shown}" if self.forbidden else f"one of {shown}"

    @property
    def broken(self) -> str:
        """Return what is not allowed."""
        return self.wanted.replace("none of", "one of") if self.forbidden else f"not {self.wanted}"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        text = texts_of(batch, self.column)
        inside = pc.is_in(text, value_set=pa.array(self.allowed, pa.string()))
        numbers = present(batch.column(self.column))
        if pa.types.is_floating(numbers.type):  # 1e20 has more than one form as a text.
            same = coerce(pa.array(self.allowed, pa.string()), "double")[0].drop_null()
            # To Arrow, 0 and -0 are two.
            inside = pc.or_(inside, pc.is_in(pc.add(numbers, 0.0), value_set=pc.add(same, 0.0)))
        good = pc.invert(inside) if self.forbidden else inside
        return pc.if_else(pc.is_valid(text), good, pa.scalar(None, pa.bool_()))


@dataclass(frozen=True, slots=True)
class Pattern(_OfColumn):
    """Texts that match a regular expression (RE2): the whole text, or any part of it."""

    column: str
    pattern: str
    anywhere: bool = False
    forbidden: bool = False

    def __post_init__(self) -> None:
        whole_match(self.pattern)

    @property
    def wanted(self) -> str:
        """Return what must match."""
        verb = ("not " if self.forbidden else "") + ("containing" if self.anywhere else "matching")
        return f'{verb} "{self.pattern}"'

    @property
    def broken(self) -> str:
        """Return what does not match."""
        return self.wanted.removeprefix("not ") if self.forbidden else f"not {self.wanted}"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        # Each text that occurs is looked at once.
        coded = texts_of(batch, self.column).dictionary_encode()
        pattern = self.pattern if self.anywhere else whole_match(self.pattern)
        found = pc.match_substring_regex(coded.dictionary, pattern)
        return (pc.invert(found) if self.forbidden else found).take(coded.indices)


@dataclass(frozen=True, slots=True)
class Length(_OfColumn):
    """Texts of so many characters."""

    column: str
    least: int | None = None
    most: int | None = None

    @property
    def wanted(self) -> str:
        """Return how long a text must be."""
        if self.least == self.most:
            return f"of {self.least} characters"
        return f"of {limits_in_words(self.least, self.most)} characters"

    @property
    def broken(self) -> str:
        """Return what is too short or too long."""
        return f"not {self.wanted}"

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        length = pc.utf8_length(texts_of(batch, self.column))
        inside = pc.is_valid(length)
        known = inside
        if self.least is not None:
            inside = pc.and_kleene(inside, pc.greater_equal(length, self.least))
        if self.most is not None:
            inside = pc.and_kleene(inside, pc.less_equal(length, self.most))
        return pc.if_else(known, inside, pa.scalar(None, pa.bool_()))


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression that must hold."""

    expression: Expression

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expression names."""
        return self.expression.columns

    @property
    def wanted(self) -> str:
        """Return the expression."""
        return f'where "{self.expression.text}" holds'

    @property
    def broken(self) -> str:
        """Report that the expression does not hold."""
        return f'where "{self.expression.text}" does not hold'

    def holds(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Judge each row."""
        return self.expression.evaluate(batch)

    def measure(self, batch: pa.RecordBatch, broken: pa.BooleanArray) -> np.ndarray:
        """Return the values of the only column, if there is only one and it holds numbers."""
        if len(self.columns) != 1:
            return np.empty(0)
        values = present(batch.column(self.columns[0]))
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            return np.empty(0)
        return numbers_of(values.filter(broken))


def limits_in_words(
    least: Limit | None, most: Limit | None, above: Limit | None = None, below: Limit | None = None
) -> str:
    """Describe bounds: ``0 to 120``, ``at least 0``, ``above 0 and at most 1``."""
    if least is not None and most is not None:
        return f"{_shown(least)} to {_shown(most)}"
    named = (("at least", least), ("above", above), ("at most", most), ("below", below))
    return " and ".join(f"{word} {_shown(one)}" for word, one in named if one is not None)


def _shown(limit: Limit) -> str:
    return limit if isinstance(limit, str) else number_text(limit)
