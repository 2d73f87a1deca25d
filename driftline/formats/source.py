"""Whatever the user hands in as data, as Arrow batches of plain types."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from driftline.errors import InputError
from driftline.formats.arrow_types import (
    holds_beyond_int64,
    is_before_pandas_3,
    is_vector,
    plain_field,
    with_missing,
)
from driftline.formats.buffered import spooled
from driftline.formats.data_files import data_files, form_of
from driftline.formats.dialect import AS_FOUND, Dialect
from driftline.formats.formats import FORMATS
from driftline.formats.frames import (
    PandasRows,
    as_stream,
    as_table,
    from_series,
    is_pandas,
    with_index,
)
from driftline.formats.lists import read_lists
from driftline.formats.media_types import TEXT_MEDIA_TYPES
from driftline.formats.opening import read_head
from driftline.formats.parquet.files import delta_dataset, scanned
from driftline.formats.parts import (
    Part,
    PartMaker,
    fragment_parts,
    normalised,
    stream_parts,
)
from driftline.signature import Signature

if TYPE_CHECKING:
    import pandas as pd

Batches = Iterable[pa.RecordBatch]
FORM_BYTES = 1 << 12
# What pandas calls an index without a name where it writes one: the row numbers of a sample, and no
# column. An index with a name is one.
INDEX = re.compile(r"__index_level_\d+__")
# What a number of a list is called as a column of its own.
PART_NAME = re.compile(r"(.+)\[(\d+)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """Data that can be read as Arrow batches.

    ``schema``: columns of plain types, in the data's order (`arrow_types.plain_type`); ``reader``:
    opens the data from its start, its batches have types of their own, such as times without a
    zone; ``textual``: whether numbers were guessed from text (CSV); ``row_count``: None when
    unknown before reading; ``splitter``: cuts the data into parts that open on their own, None:
    batches are cut as they come; ``partitions``: columns whose values stand in the names of
    folders.
    """

    schema: pa.Schema
    reader: Callable[[], Iterator[pa.RecordBatch]]
    textual: bool = False
    row_count: int | None = None
    splitter: PartMaker | None = None
    partitions: frozenset[str] = frozenset()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read all rows; batches of at most some 100,000 rows, never an empty one."""
        return normalised(self.reader(), self.schema)

    def parts(self) -> Iterator[Part]:
        """Cut the data into parts that can be read one beside the other, in order."""
        return stream_parts(self.batches()) if self.splitter is None else self.splitter()

    def list_length(self, name: str) -> int:
        """Return the length of most lists among a column's first values.

        0 where most are no lists.
        """
        kind = self.schema.field(name).type
        if not is_vector(kind) and not pa.types.is_string(kind):
            return 0
        for batch in self.batches():
            lists, unfit = read_lists(batch.column(name))
            lengths = Counter(pc.list_value_length(lists.drop_null()).to_pylist())
            if unfit or lengths:
                is_lists = lengths.total() > unfit
                return int(lengths.most_common(1)[0][0]) if is_lists else 0
        return 0

    def with_parts(self, name: str, count: int) -> Source:
        """Return the data with lists of so many numbers as columns: ``p[0]``, ``p[1]`` of ``p``.

        A list of another length has no value in any of them.
        """
        if twice := sorted({*self.schema.names} & {*part_names(name, count)}):
            raise InputError(
                f'column "{twice[0]}" stands twice in the data: as such, and as a number of the '
                f'lists of "{name}"; rename one of the two'
            )
        place = self.schema.names.index(name)
        own = [field for field in self.schema if field.name != name]
        numbers = [pa.field(one, pa.float64()) for one in part_names(name, count)]
        schema = pa.schema([*own[:place], *numbers, *own[place:]])

        def read() -> Iterator[pa.RecordBatch]:
            for batch in self.reader():
                lists = read_lists(batch.column(name))[0]
                is_whole = pc.equal(pc.list_value_length(lists), count)
                fit = pc.if_else(is_whole, lists, pa.scalar([None] * count, lists.type))
                flat = fit.fill_null([None] * count).flatten()
                arrays = {one: batch.column(one) for one in batch.schema.names if one != name}
                arrays |= {one.name: flat[at::count] for at, one in enumerate(numbers)}
                yield pa.RecordBatch.from_arrays(
                    [arrays[one] for one in schema.names], names=schema.names
                )

        return replace(self, schema=schema, reader=read, splitter=None)


def part_names(name: str, count: int) -> tuple[str, ...]:
    """Name the columns of a list's numbers, in order: ``p[0]``, ``p[1]``."""
    return tuple(f"{name}[{at}]" for at in range(count))


class Files:
    """Text files with what a look at them cannot tell.

    Parameters
    ----------
    *paths
        Paths, globs, folders or URIs.
    delimiter, encoding, header, names
        As of `Dialect`: ``delimiter=";"``, ``encoding="latin-1"``, ``header=False``, and the names
        of columns whose rows have none, ``names=["age", "income"]``.

    Raises
    ------
    InputError
        When there is no path, no such encoding, a name twice, or a delimiter that cannot be one.
    """

    __slots__ = ("dialect", "paths")

    def __init__(
        self,
        *paths: str | os.PathLike[str],
        delimiter: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        names: Iterable[str] = (),
    ) -> None:
        if not paths:
            raise InputError("Files without a path; expected one at least")
        self.paths = paths
        self.dialect = Dialect(delimiter, encoding, header, tuple(names))


def open_source(
    data: object, *, signature: Signature | None = None, dialect: Dialect = AS_FOUND
) -> Source:
    """Open data: paths, globs, folders, URIs, frames, Arrow, ``__arrow_c_stream__``.

    With the reference's ``signature``, columns that are text there are read as text, rows without a
    header get their names from it, and lists of probabilities become its columns. ``dialect``: what
    the user says of text files.
    """
    found = _open(data, signature, dialect)
    parts = Counter[str]()
    for column in () if signature is None else signature.outputs:
        part = PART_NAME.fullmatch(column.name) if column.role == "probability" else None
        if part is not None:
            parts[part[1]] += 1
    for name, count in parts.items():
        has_all = {*part_names(name, count)} <= {*found.schema.names}
        if name in found.schema.names and not has_all:
            found = found.with_parts(name, count)
    return found


def _open(data: object, signature: Signature | None, dialect: Dialect) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, Files):
        return _open_files(data.paths, signature, data.dialect)
    if isinstance(data, str | os.PathLike):
        return _open_files([data], signature, dialect)
    if isinstance(data, list | tuple) and data:
        if all(isinstance(part, str | os.PathLike) for part in data):
            return _open_files(data, signature, dialect)
        if all(isinstance(part, pa.RecordBatch) for part in data):
            return _from_table(pa.Table.from_batches(data))
    if isinstance(data, ds.Dataset):
        return _from_dataset(data, "dataset")
    data = from_series(data)
    if is_pandas(data):
        return _from_pandas(data)
    if (table := as_table(data)) is not None:
        return _from_table(table)
    if (stream := as_stream(data)) is not None:
        # What comes once is kept, on disk if large.
        schema, batches = _without_index(stream.schema, stream)
        plain = _plain(schema)
        kept = pa.schema(
            own if pa.types.is_uint64(own.type) else field
            for own, field in zip(schema, plain, strict=True)
        )
        spool = spooled(normalised(batches, kept), kept)
        schema = _widened(plain, kept, lambda name: (one.select([name]) for one in spool()))
        return Source(schema, spool, row_count=spool.row_count)
    raise InputError(
        f"data of type {type(data).__name__}; expected a path, a pandas or polars frame, or "
        "anything Arrow"
    )


def _without_index(schema: pa.Schema, batches: Batches) -> tuple[pa.Schema, Batches]:
    """Leave an index without a name out of a schema and its batches."""
    own = [field for field in schema if not INDEX.fullmatch(field.name)]
    if len(own) == len(schema):
        return schema, batches
    names = [field.name for field in own]
    return pa.schema(own, schema.metadata), (batch.select(names) for batch in batches)


def _plain(schema: pa.Schema, *, is_text: bool = False) -> pa.Schema:
    if not len(schema):
        raise InputError("the data has no columns")
    names = schema.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f'column "{twice[0]}" stands twice in the data; rename one of the two')
    if is_text and is_before_pandas_3():
        # Models were fitted on what pandas reads times in text as: microseconds from 3 on.
        schema = pa.schema(
            pa.field(one.name, pa.timestamp("ns") if pa.types.is_timestamp(one.type) else one.type)
            for one in schema
        )
    return pa.schema([plain_field(field) for field in with_missing(schema, is_text=is_text)])


def _widened(plain: pa.Schema, schema: pa.Schema, read: Callable[[str], Batches]) -> pa.Schema:
    """Carry unsigned columns that int64 does not hold as float64; ``read`` gives one of them."""
    for at, field in enumerate(schema):
        if pa.types.is_uint64(field.type) and any(
            holds_beyond_int64(batch.column(0)) for batch in read(field.name)
        ):
            plain = plain.set(at, plain.field(at).with_type(pa.float64()))
    return plain


def _from_table(table: pa.Table, *, textual: bool = False, is_text: bool = False) -> Source:
    table = table.drop_columns([name for name in table.column_names if INDEX.fullmatch(name)])
    plain = _widened(
        _plain(table.schema, is_text=is_text),
        table.schema,
        lambda name: table.select([name]).to_batches(),
    )
    return Source(plain, table.to_batches, textual, table.num_rows)


def _from_dataset(dataset: ds.Dataset, shown: str) -> Source:
    own = [field for field in dataset.schema if not INDEX.fullmatch(field.name)]
    if len(own) < len(dataset.schema):
        dataset = dataset.replace_schema(pa.schema(own, dataset.schema.metadata))
    plain = _widened(
        _plain(dataset.schema),
        dataset.schema,
        lambda name: scanned(dataset, shown, pa.schema([dataset.schema.field(name)])),
    )
    splitter = partial(fragment_parts, dataset, plain, shown) if _is_parquet(dataset) else None
    first = next(iter(dataset.get_fragments()), None)
    keys = {} if first is None else ds.get_partition_keys(first.partition_expression)
    return Source(
        plain,
        partial(scanned, dataset, shown, dataset.schema),
        row_count=dataset.count_rows(),
        splitter=splitter,
        partitions=frozenset(keys),
    )


def _is_parquet(dataset: ds.Dataset) -> bool:
    """Whether each fragment is a file that knows its row groups."""
    return isinstance(dataset, ds.FileSystemDataset) and isinstance(
        dataset.format, ds.ParquetFileFormat
    )


def _from_pandas(frame: pd.DataFrame) -> Source:
    rows = PandasRows.of(with_index(frame))
    return Source(_plain(rows.schema), rows, row_count=len(frame))


def _open_files(
    paths: Sequence[str | os.PathLike[str]], signature: Signature | None, dialect: Dialect
) -> Source:
    if len(paths) == 1 and (delta := delta_dataset(paths[0])) is not None:
        return _from_dataset(delta, os.fspath(paths[0]))
    files = [file for path in paths for file in data_files(path)]
    names = [form_of(read_head(file, FORM_BYTES), file.shown, dialect.encoding) for file in files]
    (name, count), *others = Counter(names).most_common()
    form = FORMATS[name]
    if others:
        odd, shown = next(
            (one, file.shown) for one, file in zip(names, files, strict=True) if one != name
        )
        raise InputError(
            f"{shown}: its content is {FORMATS[odd].title}, and {form.title} in {count} of "
            f"{len(files)} files; name the files of one form"
        )
    assert form.open_files is not None, "what is seen in a file is a format of files"
    data = form.open_files(files, signature, dialect)
    textual, is_text = not form.has_typed_values, name in TEXT_MEDIA_TYPES
    if isinstance(data, ds.Dataset):
        return _from_dataset(data, os.fspath(paths[0]))
    if isinstance(data, pa.Table):
        return _from_table(data, textual=textual, is_text=is_text)
    rows, (schema, _) = data, _without_index(data.schema, ())

    def read() -> Iterator[pa.RecordBatch]:
        yield from _without_index(rows.schema, rows())[1]

    return Source(_plain(schema, is_text=is_text), read, textual, data.row_count)
