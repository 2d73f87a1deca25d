"""Finds rows in all files of a table, and rewrites the files without them.

That includes files that no state of the table needs any more: erased bytes must be in none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from driftline.capture.tables.merging import read_groups
from driftline.capture.tables.retention import delete_files
from driftline.capture.tables.rewriting import Held, OvertakenError, held_files, rewrite
from driftline.capture.tables.storage import trouble
from driftline.capture.tables.table import DeltaFolder
from driftline.errors import ConflictError

log = logging.getLogger(__name__)

_ATTEMPTS = 20

# Says of the rows of a table which are meant: bool, shape (rows,).
Match = Callable[[pa.Table], np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Expunged:
    """The counts of rows removed, and of files rewritten or deleted."""

    rows: int = 0
    files: int = 0


def live_files(folder: DeltaFolder) -> list[str]:
    """Return the files of the table's rows."""
    return [] if folder.table is None else [file.path for file in held_files(folder.table)]


def lying_files(folder: DeltaFolder) -> list[str]:
    """Return the files of the table's rows, and the replaced ones that still exist."""
    return sorted(live_files(folder)) + _left_over(folder)


def looking(folder: DeltaFolder, look: Callable[[], T]) -> T:
    """Return what a look at the newest version gives; look again where another rewrote it."""
    name = "/".join(folder.path.rsplit("/", 2)[1:])
    for _ in range(_ATTEMPTS):
        folder.refresh()
        try:
            return look()
        except OvertakenError as error:
            log.info("erasing looks again: %s", error)
    raise ConflictError(f'table "{name}": its files change all the while; ask again')


def matching(
    folder: DeltaFolder, paths: Iterable[str], columns: Sequence[str], match: Match
) -> list[tuple[str, pa.Table]]:
    """Return the columns of the matching rows, by file; for ``looking``."""
    found: list[tuple[str, pa.Table]] = []
    if folder.table is None:
        return found
    schema = _schema(folder, columns)
    with _overtaken(folder):
        for path in paths:
            for rows in read_groups(folder, path, schema):
                chosen = match(rows)
                if chosen.any():
                    found.append((path, rows.filter(pa.array(chosen))))
    return found


@contextmanager
def _overtaken(folder: DeltaFolder) -> Iterator[None]:
    """Report that a file is gone, whose rows another rewrite may have moved to a new one."""
    try:
        yield
    except FileNotFoundError as error:
        raise OvertakenError(str(error)) from error
    except (OSError, pa.ArrowException) as error:
        raise trouble(folder.uri, error) from error


def expunge(
    folder: DeltaFolder,
    columns: Sequence[str],
    match: Match,
    *,
    parts: Collection[str] | None = None,
    note: Callable[[pa.Table], None] | None = None,
    dry_run: bool = False,
) -> Expunged:
    """Remove the rows that match, from the table and from the disk."""

    def remove() -> Expunged:
        table = folder.table
        if table is None:
            return Expunged()
        live = [file for file in held_files(table) if parts is None or file.part in parts]
        found = matching(folder, [one.path for one in live], columns, match)
        paths = {path for path, _ in found}
        old = [one for one in live if one.path in paths]
        count = sum(rows.num_rows for _, rows in found)
        if note is not None and count:
            note(pa.concat_tables([rows for _, rows in found]))
        if dry_run:
            return Expunged(count, len(old))
        if old:
            _replace(folder, table, old, match)
        delete_files(folder, [one.path for one in old])
        return Expunged(count, len(old))

    removed = looking(folder, remove)
    if dry_run:
        return removed
    left_over = looking(folder, lambda: _clear_left_over(folder, columns, match, parts))
    return Expunged(removed.rows, removed.files + left_over)


def _replace(folder: DeltaFolder, table: DeltaTable, old: Sequence[Held], match: Match) -> None:
    schema = _schema(folder)
    new: list[AddAction] = []
    try:
        with _overtaken(folder):
            for file in old:
                new += _without(folder, file, schema, match)
    except BaseException:
        delete_files(folder, [action.path for action in new])
        raise
    rewrite(folder, table, old, new, is_change=True, reason="erasure")


def _without(folder: DeltaFolder, old: Held, schema: pa.Schema, match: Match) -> list[AddAction]:
    """Rewrite a file without the matching rows; return nothing when no row is left."""
    with folder.new_file(old.part, schema) as file:
        for rows in read_groups(folder, old.path, schema):
            kept = rows.filter(pa.array(~match(rows)))
            if kept.num_rows:
                file.write(kept)
        return [file.finish()] if file.rows else []


def _clear_left_over(
    folder: DeltaFolder, columns: Sequence[str], match: Match, parts: Collection[str] | None
) -> int:
    """Delete the replaced files that hold such rows, too."""
    lying = (path for path in _left_over(folder) if parts is None or part_of(path) in parts)
    return delete_files(
        folder, sorted({path for path, _ in matching(folder, lying, columns, match)})
    )


def _left_over(folder: DeltaFolder) -> list[str]:
    replaced = folder.replaced()
    return sorted(replaced & folder.stored_files().keys()) if replaced else []


def part_of(path: str) -> str:
    """Return the partition of a file; "" for a table without partitions."""
    return path.rpartition("/")[0].rpartition("=")[2]


def _schema(folder: DeltaFolder, columns: Sequence[str] | None = None) -> pa.Schema:
    """Return the schema of the table's files, or of some of their columns."""
    schema = folder.schema()
    assert schema is not None, "only asked of tables that are there"
    return pa.schema(
        [
            field
            for field in schema
            if field.name != folder.partition and (columns is None or field.name in columns)
        ]
    )
