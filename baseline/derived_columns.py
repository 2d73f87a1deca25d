"""Derived columns: properties of a row as wholes or beside its neighbours, counted like any column.

A derived column gives each row one of a few levels: the same value as the row before, two decimals,
seen before. The baseline counts the levels at fit, a window counts them again, and the share test
compares both. `DERIVATIONS` has them all: a new one is a function and a line there, and its words
in ``monitors/kinds/data_quality/derived_checks.py``.

Shapes: n rows, ordered by time where it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, BlockCounter, BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.predicate import UNFIT
from driftline.baseline.row_hashes import hash_rows, is_captured, present
from driftline.baseline.times import run_starts
from driftline.baseline.value_runs import TimeOrder
from driftline.formats.coercion import coerce
from driftline.formats.hashing import hash_integers, hash_numbers
from driftline.signature import Column

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]

# Rows that are looked at together: batches of fewer are joined.
ROWS_TOGETHER = 1 << 14
# Of more rows about so many are looked at for what is dear to compute.
SAMPLED_ROWS = 1 << 11
# Columns by which rows are compared first.
FIRST_COLUMNS = 4
DAY_H = 24
# Days with rows in fewer hours have no ends.
LEAST_HOURS = 12
# More decimals than this are not told apart.
MOST_DECIMALS = 7
# What rounding to float32 changes a number by, at most, as a part of it; and its digits.
SINGLE_ERROR, SINGLE_DIGITS = 2.0**-24, 1e6
SEPARATOR = "\x1f"
# Where more rows of the reference repeat, repeated rows are no fault.
FEW_REPEATS = 0.001
# Of fewer known rows nothing is kept.
LEAST_ROWS = 100
# Texts with so many levels tell sources apart; so many of them are looked at.
MOST_SOURCES, MOST_TEXTS = 64, 4
# The code of a row of which a derived column knows nothing, such as one without a value.
UNKNOWN = -1
# The column of captured rows that says which of its request a row is.
ROW_INDEX = "row_index"


@dataclass(frozen=True, slots=True)
class DerivedColumn:
    """One derived column of a table: its kind, a key of `DERIVATIONS`, and what it reads."""

    kind: str
    columns: tuple[str, ...]
    # Texts that tell sources apart, such as an agent.
    within: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name under which it is counted; no column of a table is named so."""
        return SEPARATOR.join((self.kind, self.columns[0], *self.columns[-1:]))

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that a row may have."""
        return DERIVATIONS[self.kind].levels

    @property
    def cells(self) -> Cells:
        """The cells that its rows are counted on: a level each, then other, empty and unfit."""
        return Cells(self.name, "string", levels=self.levels)


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one kind of derived column is computed."""

    levels: tuple[str, ...]
    # Each row's index in `levels`, or `UNKNOWN`, int64, shape (n,).
    codes: Callable[[OrderedRows, DerivedColumn], Codes]
    needs_times: bool = True  # Whether rows are laid beside others of their time.
    once_an_hour: bool = False  # Whether each value counts once an hour.
    most_share: float = 1.0  # Of the reference's rows that may have another level than the first.

    def is_kept(self, counts: Codes) -> bool:
        """Whether a reference with these rows by level says enough."""
        rows = int(counts.sum())
        return rows >= LEAST_ROWS and rows - counts[0] <= self.most_share * rows


@dataclass(frozen=True)
class OrderedRows:
    """Rows in order of time, those without one left out; as they are where there is no time."""

    batch: pa.RecordBatch
    order: TimeOrder | None
    _kept: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, batch: pa.RecordBatch, time: str | None) -> OrderedRows:
        """Order the rows by a column of times."""
        return cls(batch, None if time is None else TimeOrder.of(batch.column(time)))

    def __len__(self) -> int:
        """Count the rows."""
        return self.batch.num_rows if self.order is None else len(self.order.times_us)

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Each row's index in the batch, shape (n,)."""
        places = None if self.order is None else self.order.places
        return np.arange(len(self)) if places is None else places

    @property
    def times_us(self) -> NDArray[np.int64]:
        """Microseconds since 1970, shape (n,); zeros without times."""
        return np.zeros(len(self), np.int64) if self.order is None else self.order.times_us

    @cached_property
    def hours(self) -> NDArray[np.int64]:
        """Hours since 1970, shape (n,)."""
        return self.times_us // HOUR_US

    @cached_property
    def sampled(self) -> NDArray[np.int64]:
        """Indices of about SAMPLED_ROWS rows: whole hours, or single rows without times."""
        hours = np.arange(len(self)) if self.order is None else self.hours
        stride = np.uint64(-(-len(self) // SAMPLED_ROWS) or 1)
        return np.flatnonzero(hash_integers(hours) % stride == 0)

    def numbers(self, name: str) -> Numbers:
        """Return a column of numbers, NaN where one is missing, shape (n,)."""
        if name not in self._kept:
            values = coerce(self.batch.column(name), "double")[0].to_numpy(zero_copy_only=False)
            self._kept[name] = np.asarray(values, np.float64)[self.index]
        return np.asarray(self._kept[name], np.float64)

    def by_source(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Sort the rows by a text, then time.

        Returns their order, shape (n,), and which but the first follow one of their source.
        """
        if name not in self._kept:
            coded = coerce(self.batch.column(name), "string")[0].dictionary_encode()
            codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
            # Small integers are sorted much faster.
            codes = codes.astype(np.min_scalar_type(len(coded.dictionary)))[self.index]
            order = np.argsort(codes, kind="stable")
            is_next = (np.diff(codes[order]) == 0) & (np.diff(self.times_us[order]) > 0)
            self._kept[name], self._kept[f"{name}{SEPARATOR}next"] = order, is_next
        return self._kept[name], self._kept[f"{name}{SEPARATOR}next"]

    def take(self, chosen: NDArray[np.int64], columns: Sequence[str]) -> OrderedRows:
        """Return some columns of some of the rows, without times."""
        return OrderedRows(self.batch.select(columns).take(pa.array(self.index[chosen])), None)


def _same_as_before(rows: OrderedRows, column: DerivedColumn) -> Codes:
    """Compare each number with the row before, and with the two rows before of its source.

    Two, since the rows before are often equal within any text. Rows of one time have no order.
    """
    numbers, times = rows.numbers(column.columns[0]), rows.times_us
    is_same = np.zeros(len(rows), bool)
    is_same[1:] = (numbers[1:] == numbers[:-1]) & (times[1:] > times[:-1])
    for text in column.within:
        if text in rows.batch.schema.names:
            order, is_next = rows.by_source(text)
            own = numbers[order]
            again = (own[1:] == own[:-1]) & is_next
            is_same[order[2 + np.flatnonzero(again[1:] & again[:-1])]] = True
    return _holds(is_same, np.isfinite(numbers))


def _same_a_day_before(rows: OrderedRows, column: DerivedColumn) -> Codes:
    """Compare the numbers of each hour, in any order, with those of that hour a day before."""
    if not len(rows):
        return np.zeros(0, np.int64)
    numbers = rows.numbers(column.columns[0])
    starts = run_starts(rows.hours)
    hashes = np.where(np.isfinite(numbers), hash_numbers(numbers), np.uint64(0))
    marks, hours = np.add.reduceat(hashes, starts), rows.hours[starts]
    before = np.searchsorted(hours, hours - DAY_H)
    is_known = (hours[before] == hours - DAY_H) & (marks != 0) & (marks[before] != 0)
    found = _holds(marks == marks[before], is_known)
    return np.repeat(found, np.diff(starts, append=len(rows)))


def _ends_of_day(rows: OrderedRows, column: DerivedColumn) -> Codes:
    """Find the numbers that repeat the largest or the smallest value of their day.

    Each day has one of both however many rows it has: the first one does not count.
    """
    numbers, days = rows.numbers(column.columns[0]), rows.hours // DAY_H
    is_known = np.isfinite(numbers)
    if not is_known.any():
        return np.full(len(rows), UNKNOWN, np.int64)
    starts = run_starts(days)
    lengths = np.diff(starts, append=len(rows))
    # The largest value of an hour is not that of its day.
    is_first = np.zeros(len(rows), np.int64)
    is_first[run_starts(rows.hours)] = 1
    is_known &= np.repeat(np.add.reduceat(is_first, starts), lengths) >= LEAST_HOURS
    top = np.repeat(np.maximum.reduceat(np.where(is_known, numbers, -np.inf), starts), lengths)
    bottom = np.repeat(np.minimum.reduceat(np.where(is_known, numbers, np.inf), starts), lengths)
    found = np.where(is_known & (top > bottom), 0, UNKNOWN)
    for code, end in ((1, top), (2, bottom)):
        at = np.flatnonzero((numbers == end) & (found != UNKNOWN))
        found[np.delete(at, np.unique(days[at], return_index=True)[1])] = code
    return found


def _decimals(rows: OrderedRows, column: DerivedColumn) -> Codes:
    """Count decimals as float32 shows them, which either side may have been.

    0.10000000149 has one. Beyond six digits a scaled number fits by chance. A zero has any number.
    """
    numbers = rows.numbers(column.columns[0])
    is_known = np.isfinite(numbers) & (numbers != 0)
    found = np.where(is_known, MOST_DECIMALS, UNKNOWN)
    left = np.flatnonzero(is_known)
    for decimals in range(MOST_DECIMALS):
        scaled = np.abs(numbers[left] * 10.0**decimals)
        error = np.where(scaled < SINGLE_DIGITS, scaled * SINGLE_ERROR, 4.0 * np.spacing(scaled))
        fits = np.abs(scaled - np.rint(scaled)) <= error
        found[left[fits]] = decimals
        left = left[~fits]
    return found


def _is_reversed(rows: OrderedRows, column: DerivedColumn) -> Codes:
    upper, lower = (rows.numbers(name) for name in column.columns)
    with np.errstate(invalid="ignore"):
        return _holds(upper < lower, ~np.isnan(upper - lower))


def _row_keys(
    rows: OrderedRows, columns: Sequence[str], groups: Codes, at: Codes
) -> NDArray[np.uint64]:
    """Hash some columns of some rows together with their groups."""
    read = [*columns, *({UNFIT} & {*rows.batch.schema.names})]
    hashes = hash_rows(rows.take(at, read).batch, columns)[0]
    return hash_integers((hashes + groups[at].astype(np.uint64)).view(np.int64))


def _seen_before(rows: OrderedRows, column: DerivedColumn, *, in_hour: bool) -> Codes:
    """Find rows that repeat an earlier one, of their hour or of the rows looked at together."""
    batch = rows.batch
    is_known = np.ones(len(rows), bool)
    if len(column.columns) == 1:  # What is missing is no id; a request's rows share theirs.
        is_known = present(batch.column(column.columns[0])).is_valid().to_numpy(False)[rows.index]
        if ROW_INDEX in batch.schema.names and is_captured(batch):
            is_first = pc.equal(batch.column(ROW_INDEX), 0).fill_null(True)
            is_known &= is_first.to_numpy(zero_copy_only=False)[rows.index]
    groups = rows.hours if in_hour else np.arange(len(rows)) // ROWS_TOGETHER
    at = np.arange(len(rows))
    if len(column.columns) > FIRST_COLUMNS:  # What differs there needs no look at the others.
        _, key, often = np.unique(
            _row_keys(rows, column.columns[:FIRST_COLUMNS], groups, at),
            return_inverse=True, return_counts=True,
        )  # fmt: skip
        at = np.flatnonzero(often[key] > 1)
    is_again = np.zeros(len(rows), bool)
    is_again[at] = True
    is_again[at[np.unique(_row_keys(rows, column.columns, groups, at), return_index=True)[1]]] = (
        False
    )
    return _holds(is_again, is_known)


def _holds(found: NDArray[np.bool_], known: NDArray[np.bool_]) -> Codes:
    return np.where(known, found.astype(np.int64), UNKNOWN)


DECIMAL_LEVELS = ("no decimals", "1 decimal", *(f"{n} decimals" for n in range(2, MOST_DECIMALS)),
                  f"{MOST_DECIMALS} decimals or more")  # fmt: skip
SAME, DAY_OLD, DAY_ENDS, DECIMALS = "same", "day old", "ends of day", "decimals"
ORDER, ROWS, ROWS_IN_HOUR, IDS = "order", "rows", "rows in hour", "ids"
DERIVATIONS: Mapping[str, Derivation] = {
    SAME: Derivation(("other", "same"), _same_as_before),
    DAY_OLD: Derivation(("other", "same"), _same_a_day_before),
    DAY_ENDS: Derivation(("between", "largest", "smallest"), _ends_of_day),
    DECIMALS: Derivation(DECIMAL_LEVELS, _decimals, needs_times=False, once_an_hour=True),
    ORDER: Derivation(("kept", "reversed"), _is_reversed, needs_times=False, most_share=0.005),
    # Where rows repeat by chance, more rows repeat more.
    ROWS_IN_HOUR: Derivation(
        ("new", "again"), partial(_seen_before, in_hour=True), most_share=FEW_REPEATS
    ),
    ROWS: Derivation(
        ("new", "again"),
        partial(_seen_before, in_hour=False),
        needs_times=False,
        most_share=FEW_REPEATS,
    ),
    IDS: Derivation(("new", "again"), partial(_seen_before, in_hour=False), needs_times=False),
}


def derived_codes(rows: OrderedRows, column: DerivedColumn, *, whole: bool = False) -> Codes:
    """Return each row's level of a derived column, or `UNKNOWN`, shape (n,).

    Unless `whole`, what depends on a value alone is known of each value once an hour, of some of
    many hours: flights of one hour share its weather, which says nothing new.
    """
    derivation = DERIVATIONS[column.kind]
    if whole or not derivation.once_an_hour:
        return derivation.codes(rows, column)
    chosen = rows.sampled
    if rows.order is not None:
        hours = hash_integers(rows.hours[chosen])
        keys = hash_numbers(rows.numbers(column.columns[0])[chosen]) + hours
        chosen = chosen[np.unique(keys, return_index=True)[1]]
    found = np.full(len(rows), UNKNOWN, np.int64)
    found[chosen] = derivation.codes(rows.take(chosen, column.columns), column)
    return found


@dataclass(slots=True, eq=False)
class DerivedCounter:
    """Counts rows on the levels of derived columns; parts add up.

    Parameters
    ----------
    columns, time
        What is counted, and the column with each row's time; None: not known.
    read
        Columns that are read, where the rows have them.
    by_hour
        The counts by the hour, of a reference with times; else None.
    """

    columns: tuple[DerivedColumn, ...] = ()
    time: str | None = None
    by_hour: BlockCounter | None = None
    counts: dict[str, Codes] = field(default_factory=dict)
    _held: list[pa.RecordBatch] = field(default_factory=list)

    @classmethod
    def start(
        cls, columns: Iterable[DerivedColumn], time: str | None, *, by_hour: bool = False
    ) -> DerivedCounter:
        """Begin without rows."""
        own = tuple(
            one for one in columns if time is not None or not DERIVATIONS[one.kind].needs_times
        )
        sizes = {one.name: one.cells.size for one in own}
        return cls(own, time, BlockCounter(sizes) if by_hour and time is not None else None)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not self.columns:
            return
        read = {self.time, UNFIT, ROW_INDEX}.union(
            *({*one.columns, *one.within} for one in self.columns)
        )
        self._held.append(batch.select([name for name in batch.schema.names if name in read]))
        if sum(one.num_rows for one in self._held) >= ROWS_TOGETHER:
            self._count()

    def merge(self, other: DerivedCounter) -> DerivedCounter:
        """Return the counts of the rows of both."""
        counts = dict(self.result())
        for name, own in other.result().items():
            counts[name] = counts[name] + own if name in counts else own
        by_hour = self.by_hour
        if by_hour is not None and other.by_hour is not None:
            by_hour = by_hour.merge(other.by_hour)
        return DerivedCounter(self.columns, self.time, by_hour, counts)

    def result(self) -> Mapping[str, Codes]:
        """Return the rows by cell of each derived column whose columns came."""
        self._count()
        return self.counts

    def _count(self) -> None:
        if not self._held:
            return
        batch = pa.Table.from_batches(self._held).combine_chunks().to_batches()[0]
        self._held = []
        if self.time is not None and self.time not in batch.schema.names:
            return
        rows, present = OrderedRows.of(batch, self.time), {*batch.schema.names}
        codes = {}
        for one in self.columns:
            if present.issuperset(one.columns):
                size = one.cells.size
                codes[one.name] = found = derived_codes(rows, one)
                found[found == UNKNOWN] = size - 2
                counts = np.bincount(codes[one.name], minlength=size)
                self.counts[one.name] = self.counts.get(one.name, 0) + counts
        if self.by_hour is not None:
            self.by_hour.update(rows.times_us, codes)


@dataclass(frozen=True, eq=False)
class DerivedCounts:
    """The reference's rows by level of each derived column."""

    columns: tuple[DerivedColumn, ...] = ()
    counts: Mapping[str, Codes] = field(default_factory=dict)  # By name, shape (cells,).
    blocks: BlockCounts | None = None  # By the hour, where the reference has times.

    @classmethod
    def of(cls, found: DerivedCounter) -> DerivedCounts | None:
        """Keep the columns of which enough rows are known; None without any."""
        counts = found.result()
        kept = [
            one for one in found.columns if DERIVATIONS[one.kind].is_kept(counts[one.name][:-2])
        ]
        blocks = None if found.by_hour is None else found.by_hour.result()
        return cls(tuple(found.columns), counts, blocks)._only(kept)

    def without(self, columns: Collection[str]) -> DerivedCounts | None:
        """Leave out what is derived of some columns; None where nothing is left."""
        gone = {*columns}
        return self._only([one for one in self.columns if gone.isdisjoint(one.columns)])

    def _only(self, columns: Sequence[DerivedColumn]) -> DerivedCounts | None:
        names = [one.name for one in columns]
        blocks = self.blocks
        if blocks is not None:
            blocks = BlockCounts(blocks.hours, {name: blocks.counts[name] for name in names})
        counts = {name: self.counts[name] for name in names}
        return DerivedCounts(tuple(columns), counts, blocks) if names else None


def choose_derived(
    features: Sequence[Column],
    cells: Mapping[str, Cells],
    orders: Iterable[tuple[str, str]],
    inference_id: str | None,
    *,
    is_ordered: bool,
) -> tuple[DerivedColumn, ...]:
    """Return the derived columns of a table's judged features.

    `orders` are pairs of which the first is hardly ever below the second. `is_ordered`: rows have
    times, and came in their order, so that neighbours are known.
    """
    numbers = [one.name for one in features if cells[one.name].is_number]
    moving = [name for name in numbers if not _is_code(cells[name])]
    texts = [one.name for one in features if 2 <= len(cells[one.name].levels) <= MOST_SOURCES]
    found = [DerivedColumn(DECIMALS, (name,)) for name in numbers if cells[name].type == "double"]
    found += [DerivedColumn(ORDER, pair) for pair in orders]
    if is_ordered:
        found += [DerivedColumn(SAME, (name,), tuple(texts[:MOST_TEXTS])) for name in moving]
        found += [DerivedColumn(kind, (name,)) for kind in (DAY_OLD, DAY_ENDS) for name in moving]
    # Lists are too dear to be hashed in all rows.
    rest = [one.name for one in features if not one.type.startswith("list")]
    plain = tuple(sorted(rest, key=lambda name: -cells[name].size))  # What tells rows apart first.
    if len(plain) > 1:
        found.append(DerivedColumn(ROWS_IN_HOUR if is_ordered else ROWS, plain))
    if inference_id is not None:
        found.append(DerivedColumn(IDS, (inference_id,)))
    return tuple(found)


def _is_code(cells: Cells) -> bool:
    """Whether a column has few values, such as flags and ratings: each is frequent."""
    return 0 < len(cells.edges) <= 2 * len(cells.atoms)
