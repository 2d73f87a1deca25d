"""Uniform samples of rows: a reference's, which its baseline keeps, and a window's.

Which rows are kept follows from their index in their part of the data and from the part's first
row, so parts merge in any grouping and a row's chance does not depend on its content. The same data
cut into other parts give another sample, no worse.

References
----------
Cohen, "Size-estimation framework", 1997 (bottom-k samples, which merge).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.cells import Cells
from driftline.baseline.derived import Traits, column_of
from driftline.baseline.derived_rows import UNKNOWN_HOUR, DerivedRows, derive
from driftline.formats.arrow_types import plain_array, plain_type
from driftline.formats.coercion import coerce
from driftline.formats.hashing import hash_integers
from driftline.signature import ColumnType

# Rows for joint questions; of wide tables and long texts as many as there is room for.
SAMPLE_ROWS = 20_000
SAMPLE_BYTES = 64 << 20
ALL = np.iinfo(np.uint64).max
ORDER, PRIORITY = "\0order", "\0priority"


class RowKeeper:
    """Keeps a uniform sample of rows while data are read, within limits of rows and bytes.

    With `row_count` known, no row is taken that would be dropped later.
    """

    def __init__(
        self, types: Mapping[str, ColumnType], limit: int, *, row_count: int | None = None
    ) -> None:
        self.types, self.limit = dict(types), limit  # By column that `update` keeps.
        self.seen = 0
        self._below = _expected_cut(limit, row_count)
        self._salt: int | None = None
        self._parts: list[pa.Table] = []

    @property
    def is_whole(self) -> bool:
        """Whether all rows were kept."""
        return bool(self._below == ALL)

    def update(self, batch: pa.RecordBatch) -> None:
        """Read rows, and keep the sampled ones in the columns' types."""

        def kept(places: NDArray[np.int64]) -> dict[str, pa.Array]:
            at = pa.array(places)
            return {
                name: _typed(column_of(batch, name).take(at), kind)
                for name, kind in self.types.items()
            }

        self.keep(batch, kept)

    def keep(
        self, batch: pa.RecordBatch, kept: Callable[[NDArray[np.int64]], Mapping[str, pa.Array]]
    ) -> None:
        """Read rows, and keep what `kept` returns of those at the sampled positions."""
        rows = batch.num_rows
        if not rows:
            return
        if self._salt is None:
            self._salt = _salt(batch)
        places = np.arange(self.seen, self.seen + rows)
        priorities = hash_integers(places ^ np.int64(self._salt))
        chosen = np.flatnonzero(priorities <= self._below)
        self.seen += rows
        if len(chosen):
            found = {ORDER: pa.array(places[chosen]), PRIORITY: pa.array(priorities[chosen])}
            found |= {"=" + name: array for name, array in kept(chosen).items()}
            self._parts.append(pa.table(found))
        self._prune(2)

    def merge(self, other: RowKeeper) -> RowKeeper:
        """Return the keeper of the rows of both, the other's after these."""
        merged = RowKeeper(self.types, self.limit)
        merged.seen = self.seen + other.seen
        merged._below = min(self._below, other._below)
        merged._parts = [*self._parts, *(_moved(part, self.seen) for part in other._parts)]
        # What comes after a merge is a part of its own.
        merged._salt = None if self._salt is None else self._salt ^ merged.seen
        merged._prune(2)
        return merged

    def _prune(self, slack: int) -> None:
        """Keep the rows of the smallest priorities, where they are more than the limits allow."""
        if (
            sum(map(len, self._parts)) <= slack * self.limit
            and sum(part.nbytes for part in self._parts) <= slack * SAMPLE_BYTES
        ):
            return
        whole = pa.concat_tables(self._parts, promote_options="permissive").combine_chunks()
        priorities = whole.column(PRIORITY).to_numpy()
        order = np.argsort(priorities, kind="stable")
        ends = np.cumsum(_row_bytes(whole)[order])
        count = max(1, min(self.limit, int(np.searchsorted(ends, SAMPLE_BYTES, side="right"))))
        if count < len(whole):
            self._below = priorities[order[count - 1]]
            whole = whole.take(pa.array(np.sort(order[:count])))
        self._parts = [whole]

    def table(self) -> pa.Table:
        """Return the sample of all rows that came, in their order."""
        self._prune(0)
        if not self._parts:
            types = {name: _typed(pa.nulls(0), kind) for name, kind in self.types.items()}
            return pa.table(types)
        whole = self._parts[0].sort_by(ORDER).drop_columns([ORDER, PRIORITY])
        return whole.rename_columns([name[1:] for name in whole.column_names]).combine_chunks()


@dataclass(frozen=True, eq=False)
class RowSample:
    """n sampled rows by cell."""

    # By column: uint8 or uint16, shape (n,), each row's cell as Cells.assign numbers it (the last
    # but one is "empty"); rows stand in the order of the data.
    codes: Mapping[str, NDArray[np.unsignedinteger]]
    # int64, shape (n,): hours since 1970-01-01T00:00Z, UNKNOWN_HOUR where a row has no time; None
    # without event time.
    hours: NDArray[np.int64] | None
    # Rows of the data from which these are a uniform sample; equal to n when all were kept.
    row_count: int
    # Computes what `derived` gives; None when there is nothing.
    derive: Callable[[], DerivedRows | None] | None = None

    @classmethod
    def of(
        cls,
        kept: RowKeeper,
        cells: Mapping[str, Cells],
        event_time: str | None = None,
        traits: Sequence[Traits] = (),
        known: DerivedRows | None = None,
    ) -> RowSample:
        """Return the kept rows by cell.

        `known` is what the reference's derived columns are counted on; None for the reference.
        """
        (rows,) = kept.table().to_batches() or [pa.RecordBatch.from_pylist([])]
        hours = None if event_time is None else _hours(column_of(rows, event_time))

        def derived() -> DerivedRows:
            return derive({one: one.kept(rows) for one in traits}, hours, known)

        has_derived = bool(traits) and rows.num_rows > 0
        return cls(_Codes(cells, rows), hours, kept.seen, derived if has_derived else None)

    def __len__(self) -> int:
        return len(next(iter(self.codes.values()))) if self.codes else 0

    @cached_property
    def derived(self) -> DerivedRows | None:
        """The same rows by what stands for embeddings and free text; None when there are none."""
        return None if self.derive is None else self.derive()

    def take(self, places: NDArray[np.int64]) -> RowSample:
        """Return some of the rows, without derived columns."""
        hours = None if self.hours is None else self.hours[places]
        codes = {name: one[places] for name, one in self.codes.items()}
        return RowSample(codes, hours, self.row_count)


def keeper_of(
    cells: Mapping[str, Cells], event_time: str | None = None, row_count: int | None = None
) -> RowKeeper:
    """Return what keeps the rows of a `RowSample` while they are read."""
    types = {name: cell.type for name, cell in cells.items()}
    if event_time is not None:
        types[event_time] = "timestamp"
    return RowKeeper(types, SAMPLE_ROWS, row_count=row_count)


class _Codes(Mapping[str, NDArray[np.unsignedinteger]]):
    """The codes of rows by column, each computed when it is first asked for."""

    def __init__(self, cells: Mapping[str, Cells], rows: pa.RecordBatch) -> None:
        self._cells, self._rows = cells, rows
        self._known: dict[str, NDArray[np.unsignedinteger]] = {}

    def __getitem__(self, name: str) -> NDArray[np.unsignedinteger]:
        if name not in self._known:
            self._known[name] = _codes(self._cells[name], column_of(self._rows, name))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def _expected_cut(limit: int, row_count: int | None) -> np.uint64:
    """Return a priority below which at least `limit` of `row_count` rows lie, almost surely."""
    if row_count is None or row_count <= 2 * limit:
        return np.uint64(ALL)
    # Six deviations of a count above its mean: short of rows once in a thousand million times.
    share = min(1.0, (limit + 6.0 * limit**0.5) / row_count)
    return np.uint64(min(int(share * 2.0**64), int(ALL)))


def _salt(batch: pa.RecordBatch) -> int:
    """Identify this part of the data by its first row."""
    first = "\n".join(map(_text, batch.slice(0, 1).columns)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(first, digest_size=8).digest(), "big") >> 1


def _text(array: pa.Array) -> str:
    """Write an array as text with Arrow, which covers times that Python cannot represent."""
    is_coded = pa.types.is_dictionary(array.type)
    return str((array.dictionary_decode() if is_coded else array).to_string())


def _typed(array: pa.Array, kind: ColumnType) -> pa.Array:
    """Return values in a column's type, null where they do not fit; vectors as they are."""
    return plain_array(array) if _is_vector(array) else coerce(array, kind)[0]


def _is_vector(array: pa.Array) -> bool:
    return bool(pa.types.is_list(plain_type(array.type)))


def _row_bytes(table: pa.Table) -> NDArray[np.int64]:
    """Return about how many bytes each row takes, whatever table it lies in."""
    found = np.full(len(table), 8 * table.num_columns, np.int64)
    for column in table.columns:
        if pa.types.is_string(column.type):
            found += pc.fill_null(pc.binary_length(column), 0).to_numpy()
        elif pa.types.is_list(column.type):
            found += 8 * pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    return found


def _codes(cell: Cells, array: pa.Array) -> NDArray[np.unsignedinteger]:
    kind = np.uint8 if cell.size <= np.iinfo(np.uint8).max + 1 else np.uint16
    if _is_vector(array) and not cell.levels:
        # No vector is like another: there is nothing to look up, and digests would take long.
        empty = array.is_null().to_numpy(zero_copy_only=False)
        return np.where(empty, cell.size - 2, 0).astype(kind)
    return cell.assign(array).astype(kind)


def _hours(array: pa.Array) -> NDArray[np.int64]:
    known, moments = event_times(array)
    found = np.full(len(array), UNKNOWN_HOUR, np.int64)
    found[known] = moments // HOUR_US
    return found


def _moved(part: pa.Table, rows: int) -> pa.Table:
    """Shift rows by a number of others."""
    at = part.schema.get_field_index(ORDER)
    return part.set_column(at, ORDER, pc.add(part.column(ORDER), rows))
