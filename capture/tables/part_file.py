"""A Parquet file of a table, which appears atomically."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from driftline.capture.spool.folder import make_folder, sync_path

# As many rows as a window's reader takes at once.
ROW_GROUP_ROWS = 65_536


class PartFile:
    """A file that grows by tables and then takes its name.

    ``part``: the partition's column and value; None for a table without; ``writer``: prefix of the
    file's name, by which its writer recognizes it; ``repeated``: text columns whose values repeat,
    worth a dictionary.
    """

    def __init__(
        self,
        filesystem: pafs.FileSystem,
        table_path: str,
        *,
        part: tuple[str, str] | None,
        writer: str,
        schema: pa.Schema,
        repeated: Sequence[str],
    ) -> None:
        self._filesystem = filesystem
        self._is_local = isinstance(filesystem, pafs.LocalFileSystem)
        self._part = part
        name = f"{writer}-{uuid.uuid4()}.parquet"
        folder = "" if part is None else f"{part[0]}={part[1]}/"
        self.name = f"{folder}{name}"
        self.rows = 0
        self._is_finished = False
        # An upload to a bucket is whole or not there at all; a local file is while it grows.
        self._path = f"{table_path}/{self.name}"
        self._grown = f"{table_path}/{folder}.{name}" if self._is_local else self._path
        if self._is_local:
            make_folder(Path(f"{table_path}/{folder}"))
        self._stream = filesystem.open_output_stream(self._grown)
        self._writer = pq.ParquetWriter(
            self._stream,
            schema,
            compression="zstd",
            use_dictionary=[n for n in repeated if n in schema.names] or False,
            write_statistics=[n for n in ("event_time",) if n in schema.names] or False,
        )

    def write(self, rows: pa.Table) -> None:
        """Add rows, in the order in which they are to be read."""
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._stream.tell())

    def finish(self, *, is_change: bool = True) -> AddAction:
        """Sync the file and give it its name; return the action that registers it.

        ``is_change``: whether its rows are new to the table, or only moved within it.
        """
        self._writer.close()
        size = self.size
        self._stream.close()
        if self._is_local:
            sync_path(self._grown)
            self._filesystem.move(self._grown, self._path)
            # Before the log names it: of the two, the entry alone may outlive a loss of power.
            sync_path(Path(self._path).parent)
        self._is_finished = True
        return AddAction(
            path=self.name,
            size=size,
            partition_values={} if self._part is None else dict([self._part]),
            modification_time=int(time.time() * 1000),
            data_change=is_change,
            # No minima and maxima: with those of only some columns, delta-rs makes a dataset whose
            # filters on all other columns find nothing (deltalake 1.6.6, see the test); and what is
            # erased from the rows would go on standing in the log.
            stats=json.dumps({"numRecords": self.rows}),
        )

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Delete the file after a failure, or when it was not finished."""
        if kind is not None or not self._is_finished:
            self.abandon()

    def abandon(self) -> None:
        """Delete the file, finished or not."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
            self._stream.close()
        for path in (self._grown, self._path):
            with suppress(OSError):
                self._filesystem.delete_file(path)
