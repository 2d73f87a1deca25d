"""Data cut into parts that can be read in parallel by any process.

The cuts depend on the data alone, never on the number of processes: the same data give the same
parts, and so the same bytes in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import ipc

from driftline.formats.arrow_types import carried
from driftline.formats.parquet.files import BATCH_ROWS, CODED, READ_ERRORS, broken, scanned

# Rows from which a part is large enough: its summary is then some percent of its size. A power of
# two, so that rows kept at a stride of another fall on the same rows in parts as in the whole.
PART_ROWS = 1 << 19
# Values in a part that may have to be carried to another process (128 MB of numbers), but never
# fewer rows than pay for adding up the summaries of all columns.
PART_CELLS = 1 << 24
FEWEST_ROWS = 1 << 14
ALIGNED_BYTES = 64
# Rows looked at in one go take so much at most, as they were read: what is made of them, more.
BATCH_BYTES = 1 << 26


class Part(Protocol):
    """Some of the rows, in the data's order; read once."""

    @property
    def weight(self) -> int:
        """Bytes of rows that go with it to another process; 0 when that opens them itself."""

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows; of the named columns those that exist, or all.

        Where `coded`, texts that a file stores with a dictionary may stay so.
        """

    def portable(self) -> Part:
        """Return the same part in a form that another process can read: it can be pickled."""


def normalised(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, coded: bool = False
) -> Iterator[pa.RecordBatch]:
    """Cast batches of any size to the plain types of a schema; never yields an empty one.

    Where `coded`, texts with a dictionary stay so.
    """
    for batch in batches:
        fitting = batch.num_rows * BATCH_BYTES // max(batch.nbytes, 1)  # Lists may be long.
        rows = max(1, min(BATCH_ROWS, fitting))
        for at in range(0, batch.num_rows, rows):
            found = batch.slice(at, rows).columns
            columns = [
                column if coded and column.type == CODED else carried(column, field.type)
                for column, field in zip(found, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, names=schema.names)


@dataclass(frozen=True, slots=True)
class FragmentPart:
    """Row groups of Parquet files; whoever reads it opens the files itself."""

    fragments: tuple[ds.Fragment, ...]
    # Of the data set: columns that a file lacks are null in it.
    schema: pa.Schema
    # The same in plain types.
    plain: pa.Schema
    shown: str
    weight: int = 0

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read the row groups one after the other."""
        plain = pa.schema([self.plain.field(name) for name in _chosen(self.plain, columns)])
        for fragment in self.fragments:
            rows = scanned(fragment, self.shown, plain, schema=self.schema)
            yield from normalised(rows, plain, coded=coded)

    def portable(self) -> FragmentPart:
        """Return itself: fragments are pickled as paths and numbers of row groups."""
        return self


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    """Return the wanted columns that there are; one at least, or the rows would be lost, too."""
    if columns is None:
        return list(schema.names)
    wanted = set(columns)
    return [name for name in schema.names if name in wanted] or schema.names[:1]


def fragment_parts(dataset: ds.Dataset, plain: pa.Schema, shown: str) -> Iterator[FragmentPart]:
    """Cut a data set of Parquet files between row groups, into parts of about `PART_ROWS`."""
    held: list[ds.Fragment] = []
    rows = 0
    for fragment in dataset.get_fragments():
        groups: list[int] = []
        for group in _row_groups(fragment, shown):
            groups.append(group.id)
            rows += group.num_rows
            if rows >= PART_ROWS:
                chosen = (*held, fragment.subset(row_group_ids=groups))
                yield FragmentPart(chosen, dataset.schema, plain, shown)
                held, groups, rows = [], [], 0
        if groups:
            held.append(fragment.subset(row_group_ids=groups))
    if rows:
        yield FragmentPart(tuple(held), dataset.schema, plain, shown)


def _row_groups(fragment: ds.ParquetFileFragment, shown: str) -> list[ds.RowGroupInfo]:
    """Look into the file's footer."""
    try:
        return list(fragment.row_groups)
    except READ_ERRORS as error:
        raise broken(shown, error) from error


class _Feed:
    """One reading from front to end, handed out a number of rows at a time."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rest: pa.RecordBatch | None = None
        self.given = 0

    def more(self) -> bool:
        """Whether there is another row."""
        while self._rest is None or not self._rest.num_rows:
            self._rest = next(self._batches, None)
            if self._rest is None:
                return False
        return True

    @property
    def width(self) -> int:
        """Number of columns; `more` was asked before."""
        return 0 if self._rest is None else self._rest.num_columns

    def take(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Return the next so many rows, fewer at the end."""
        while rows and self.more():
            assert self._rest is not None  # `more` has just said so.
            given, self._rest = self._rest.slice(0, rows), self._rest.slice(rows)
            rows -= given.num_rows
            self.given += given.num_rows
            yield given


@dataclass(frozen=True, slots=True)
class StreamPart:
    """The next rows of data that can only be read from front to end, or that lie in memory."""

    feed: _Feed
    most: int
    weight: int = 0

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read on where the part before ended."""
        for batch in self.feed.take(self.most):
            yield batch.select(_chosen(batch.schema, columns))

    def portable(self) -> IpcPart:
        """Read the rows here and write them down for another process."""
        batches = list(self.batches())
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return IpcPart(sink.getvalue())


@dataclass(frozen=True, slots=True)
class IpcPart:
    """Rows that are carried along, as a stream of Arrow."""

    stream: pa.Buffer

    @property
    def weight(self) -> int:
        """Bytes of the stream."""
        return int(self.stream.size)

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows."""
        for batch in ipc.open_stream(_aligned(self.stream)):
            yield batch.select(_chosen(batch.schema, columns))

    def portable(self) -> IpcPart:
        """Return itself."""
        return self


def _aligned(stream: pa.Buffer) -> pa.Buffer:
    """Return the same bytes at an aligned address; a network puts them anywhere.

    NumPy adds unaligned numbers in another order, and the last digit of a sum differs.
    """
    if not stream.address % ALIGNED_BYTES:
        return stream
    found = pa.allocate_buffer(stream.size)
    np.frombuffer(found, dtype=np.uint8)[:] = np.frombuffer(stream, dtype=np.uint8)
    return found


def stream_parts(batches: Iterable[pa.RecordBatch]) -> Iterator[StreamPart]:
    """Cut any sequence of batches every so many rows; each part is read before the next."""
    feed = _Feed(batches)
    rows = 0
    while feed.more():
        rows = rows or _rows_of_width(feed.width)
        before = feed.given
        yield StreamPart(feed, rows)
        assert feed.given == before + rows or not feed.more(), "a part was not read to its end"


def _rows_of_width(columns: int) -> int:
    """Return after how many rows of so many columns to cut: a part may have to be carried."""
    rows = PART_CELLS // max(columns, 1)
    return min(PART_ROWS, max(FEWEST_ROWS, 1 << rows.bit_length() - 1))


PartMaker = Callable[[], Iterator[Part]]
