"""Replaces files of a table, in one commit that only one writer can win.

delta-rs lets two writers of old states remove the same file twice, so that rows which both rewrote
would be there twice (deltalake 1.6.6, see the test). Whoever removes files therefore moves a
watermark of its own in the same commit: of two that looked at the same state, the second is
refused. Appends do not touch that watermark, and so neither wait for a rewrite nor disturb it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from driftline.capture.tables.storage import trouble
from driftline.capture.tables.table import DeltaFolder
from driftline.errors import ConflictError

_FENCE = "rewrites"
REASON = "driftline"
# Some of the rows that such a commit brings are new to readers.
DECODING = "decoding"


class OvertakenError(ConflictError):
    """Another process has rewritten the table since its files were listed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file of a table: its path below the table, its part ("" without), rows and bytes."""

    path: str
    part: str
    rows: int
    size: int


def held_files(table: DeltaTable) -> list[Held]:
    """Return the files of a version of a table, in no order."""
    actions = pa.table(table.get_add_actions(flatten=True))
    count = actions.num_rows
    parts = [name for name in actions.column_names if name.startswith("partition.")]
    rows = "num_records" if "num_records" in actions.column_names else None
    return [
        Held(unquote(path), part or "", row_count or 0, size)
        for path, part, row_count, size in zip(
            actions["path"].to_pylist(),
            actions[parts[0]].to_pylist() if parts else [""] * count,
            actions[rows].to_pylist() if rows else [0] * count,
            actions["size_bytes"].to_pylist(),
            strict=True,
        )
    ]


def rewrite(
    folder: DeltaFolder,
    table: DeltaTable,
    old: Sequence[Held],
    new: Sequence[AddAction],
    *,
    is_change: bool,
    reason: str,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Replace files of a version of a table by others."""
    now_ms = int(time.time() * 1000)
    column = folder.partition
    removals = [
        RemoveAction(
            path=file.path,
            data_change=is_change,
            deletion_timestamp=now_ms,
            partition_values={column: file.part} if column else {},
            size=file.size,
        )
        for file in old
    ]
    raised = {
        name: (table.transaction_version(name) or 0) + n for name, n in (counts or {}).items()
    }
    raised[_FENCE] = (table.transaction_version(_FENCE) or 0) + 1
    try:
        folder.commit(table, [*new, *removals], raised, {REASON: reason}, is_last=True)
    except CommitFailedError as error:
        if not folder.commit_took_place(new):
            raise OvertakenError(f'table "{folder.uri}": {error}') from error
    except (DeltaError, OSError) as error:
        # Whether the commit took place is open: the new files stay until that is known.
        raise trouble(folder.uri, error) from error
    finally:
        folder.refresh()
