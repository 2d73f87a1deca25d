"""Retention and vacuum: removes old days, and files that no version of a table needs."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc
import pyarrow.fs as pafs
from deltalake import DeltaTable

from driftline.capture.tables.dataset import FIRST_COLUMNS, is_callers, is_first
from driftline.capture.tables.rewriting import OvertakenError, held_files, rewrite
from driftline.capture.tables.storage import reaching
from driftline.capture.tables.table import DeltaFolder

# Watermarks that count the records of each spool that retention took away, and how many of these
# were answers of shadows.
EXPIRED = "x/"
EXPIRED_SHADOWS = "y/"
RETENTION = "retention"
# No commit takes so long: a file that none knows after that was left behind by a kill.
_UNKNOWN_H = 24
_ATTEMPTS = 5


def expire(folder: DeltaFolder, before: str) -> int:
    """Remove the partitions before a day; return how many rows they had.

    The files stay until ``vacuum``, so that readers of an older state of the table can finish. The
    removed requests of each spool are added to its watermark ``x/<spool id>`` in the same commit.
    """
    for _ in range(_ATTEMPTS):
        folder.refresh()
        table = folder.table
        if table is None:
            return 0
        old = [file for file in held_files(table) if file.part < before]
        if not old:
            return 0
        counts = _requests(folder, table, before)
        with suppress(OvertakenError):
            rewrite(folder, table, old, [], is_change=True, reason=RETENTION, counts=counts)
            return sum(file.rows for file in old)
    return 0


def _requests(folder: DeltaFolder, table: DeltaTable, before: str) -> dict[str, int]:
    """Count the requests of each spool in the parts before a day."""
    counted: Counter[str] = Counter()
    data = table.to_pyarrow_dataset(
        filesystem=pafs.SubTreeFileSystem(folder.path, folder.filesystem),
        file_pruning_predicate=[(str(folder.partition), "<", before)],
    )
    if "spool_id" not in data.schema.names:
        return {}
    with reaching(folder.uri):
        columns = ["spool_id", "flags", *FIRST_COLUMNS]
        for batch in data.to_batches(columns=columns, use_threads=False):
            first = batch.filter(is_first(batch))
            shadows = first.filter(pc.invert(is_callers(first)))
            for prefix, rows in ((EXPIRED, first), (EXPIRED_SHADOWS, shadows)):
                for entry in pc.value_counts(rows["spool_id"]).to_pylist():
                    counted[f"{prefix}{entry['values']}"] += entry["counts"]
    return dict(counted)


def vacuum(folder: DeltaFolder, older_h: int, now: datetime) -> int:
    """Delete the files that left the table that long ago; return how many there were.

    Files that no commit ever knew go, too, when they are a day old. Nothing is written to the log.
    """
    folder.refresh()
    table = folder.table
    if table is None:
        return 0
    live = {file.path for file in held_files(table)}
    dead = folder.replaced(older_h)
    kept = live | (folder.replaced() - dead)
    known_by = now.astimezone(UTC) - timedelta(hours=max(older_h, _UNKNOWN_H))
    gone = []
    for name, entry in folder.stored_files().items():
        if not name.endswith(".parquet") or name.startswith("_delta_log/") or name in kept:
            continue
        if name in dead or (entry.mtime is not None and entry.mtime < known_by):
            gone.append(name)
    return delete_files(folder, gone)


def delete_files(folder: DeltaFolder, names: list[str]) -> int:
    """Delete files of a table's folder; return how many were there."""
    deleted = 0
    for name in names:
        with suppress(FileNotFoundError):
            folder.filesystem.delete_file(f"{folder.path}/{name}")
            deleted += 1
    return deleted
