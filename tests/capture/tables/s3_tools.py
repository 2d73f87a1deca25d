"""A process that commits rows to a table in a bucket: ROOT SPOOL COMMITS, five rows each."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pyarrow as pa

from driftline.capture.tables.dataset import META_SCHEMA, PARTITION, Dataset
from driftline.capture.tables.table import WatermarkMovedError
from driftline.storage import use_options

__all__ = ["main", "some_rows"]


def main() -> None:
    """Print "ready", wait for a line, commit as often as told; exit 0 when all is stored.

    What a run before this one has stored is not stored again: the watermarks tell.
    """
    root, spool, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
    use_options({})
    dataset = Dataset(root, "flights", writer=spool)
    dataset.sweep()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(commits):
        rows = some_rows(spool, number * 5 + 1)
        while dataset.watermark(spool) < number * 5 + 5:
            try:
                dataset.append(rows, {spool: number * 5 + 5})
            except WatermarkMovedError:
                dataset.refresh()


def some_rows(spool: str, first: int) -> pa.Table:
    """Return five rows of a spool, from a sequence number on."""
    given = {
        "event_id": [f"{spool}-{seq}" for seq in range(first, first + 5)],
        "row_index": [0] * 5,
        "event_time": [datetime(2026, 11, 20, tzinfo=UTC)] * 5,
        "arrival_time": [datetime(2026, 11, 20, tzinfo=UTC)] * 5,
        "spool_id": [spool] * 5,
        "spool_seq": list(range(first, first + 5)),
    }
    schema = pa.schema([*META_SCHEMA, pa.field(PARTITION, pa.string())])
    blank = {name: [None] * 5 for name in schema.names}
    return pa.Table.from_pydict(blank | given | {PARTITION: ["2026-11-20"] * 5}, schema=schema)
