"""Compaction: many small files of a partition become few large ones, sorted by time.

A server that commits every ten seconds leaves 8,640 files a day; readers pay for each. Rows are
merged in order of time by a window that moves over the files, so memory does not grow with the day.
Readers of the log see the same rows at every moment.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from threading import Event

import pyarrow as pa
from deltalake.transaction import AddAction

from driftline.capture.tables.merging import rows_in_order
from driftline.capture.tables.part_file import PartFile
from driftline.capture.tables.retention import delete_files
from driftline.capture.tables.rewriting import Held, OvertakenError, held_files, rewrite
from driftline.capture.tables.storage import StorageError, trouble
from driftline.capture.tables.table import DeltaFolder

log = logging.getLogger(__name__)

# Large enough for S3 and few enough to list; a day of most endpoints is one file.
TARGET_BYTES = 128 << 20
# A part that still grows is left alone until so many files wait: at a commit each ten seconds some
# ten minutes. Readers take about a millisecond for each (docs/measured.md).
_OPEN_FILES = 64
# A file is merged only if it is at most this many times as large as all smaller files together.
_OUTWEIGH_OPEN, _OUTWEIGH_CLOSED = 1, 8
# Most that one run takes on.
_RUN_BYTES = 8 * TARGET_BYTES


def worth_merging(files: Iterable[Held], *, is_open: bool) -> list[Held]:
    """Choose the files of one partition that are worth compacting.

    A file is rewritten only when the smaller ones outweigh it: so each row moves a number of times
    that grows with the logarithm of the partition, however often this runs.
    """
    outweigh = _OUTWEIGH_OPEN if is_open else _OUTWEIGH_CLOSED
    small = sorted((f for f in files if f.size < TARGET_BYTES // 2), key=lambda f: f.size)
    chosen, total, last = [], 0, 0
    for number, file in enumerate(small):
        if total + file.size > _RUN_BYTES and number:
            break
        total += file.size
        if number and file.size <= outweigh * (total - file.size):
            last = number + 1
    chosen = small[:last]
    return chosen if len(chosen) >= (_OPEN_FILES if is_open else 2) else []


def compact(folder: DeltaFolder, closed_before: str, stop: Event | None = None) -> int:
    """Merge the files worth it, partition by partition; return how many files were removed."""
    folder.refresh()
    if folder.table is None:
        return 0
    parts: dict[str, list[Held]] = {}
    for file in held_files(folder.table):
        parts.setdefault(file.part, []).append(file)
    removed = 0
    for part, files in sorted(parts.items()):
        is_open = folder.partition is None or part >= closed_before
        chosen = worth_merging(files, is_open=is_open)
        if chosen and not (stop is not None and stop.is_set()):
            removed += _compact_part(folder, part, chosen, stop)
    return removed


def _compact_part(
    folder: DeltaFolder, part: str, chosen: Sequence[Held], stop: Event | None
) -> int:
    folder.refresh()
    table = folder.table
    names = {file.path for file in chosen}
    # Since the choice was made another one may have put them together.
    if table is None or not names <= {file.path for file in held_files(table)}:
        return 0
    schema = pa.schema(table.schema().to_arrow())
    if folder.partition:
        schema = schema.remove(schema.get_field_index(folder.partition))
    made: list[AddAction] = []
    try:
        made = _merged(folder, part, chosen, schema, stop)
        rewrite(folder, table, chosen, made, is_change=False, reason="compaction")
    except _StoppedError:
        return 0
    except OvertakenError as error:
        log.info("compaction gives way table=%s part=%s: %s", folder.uri, part, error)
        return 0
    log.info("compacted table=%s part=%s files=%d to=%d", folder.uri, part, len(chosen), len(made))
    return len(chosen)


class _StoppedError(Exception):
    """The process is to end."""


class _Output:
    """The files that take the rows of a part, one after the other."""

    def __init__(self, folder: DeltaFolder, part: str, schema: pa.Schema) -> None:
        self.made: list[AddAction] = []
        self.rows = 0
        self._folder = folder
        self._part = part
        self._schema = schema
        self._file: PartFile | None = None

    def write(self, rows: pa.Table) -> None:
        """Append rows; a file that is large enough is finished."""
        self._file = self._file or self._folder.new_file(self._part, self._schema)
        self._file.write(rows)
        self.rows += rows.num_rows
        if self._file.size >= TARGET_BYTES:
            self.finish()

    def finish(self) -> None:
        """Finish the file that is open, if one is."""
        if self._file is not None:
            self.made.append(self._file.finish(is_change=False))
            self._file = None

    def abandon(self) -> None:
        """Delete all that was written."""
        if self._file is not None:
            self._file.abandon()
        delete_files(self._folder, [action.path for action in self.made])


def _merged(
    folder: DeltaFolder, part: str, chosen: Sequence[Held], schema: pa.Schema, stop: Event | None
) -> list[AddAction]:
    """Write the rows of some files in order; return the files that hold them now."""
    output = _Output(folder, part, schema)
    try:
        _fill(output, rows_in_order(folder, [file.path for file in chosen], schema), stop)
        _check(folder, output.rows, sum(file.rows for file in chosen))
    except BaseException as error:
        output.abandon()
        if isinstance(error, OSError | pa.ArrowException):
            raise trouble(folder.uri, error) from error
        raise
    return output.made


def _fill(output: _Output, tables: Iterable[pa.Table], stop: Event | None) -> None:
    for rows in tables:
        if stop is not None and stop.is_set():
            raise _StoppedError
        output.write(rows)
    output.finish()


def _check(folder: DeltaFolder, rows: int, expected: int) -> None:
    if rows != expected:
        raise StorageError(f'table "{folder.uri}": {rows} rows where its log says {expected}')
