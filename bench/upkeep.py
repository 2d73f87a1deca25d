"""What small files cost readers, and what putting them together costs: a day of a busy endpoint.

A server that commits every ten seconds leaves 8,640 files a day. Each measurement runs in a process
of its own; readers know nothing of driftline. Run: ``python -m bench.upkeep [FILES] [ROWS]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from driftline.capture.tables.dataset import PARTITION, Dataset, table_schema
from driftline.capture.tables.retention import vacuum
from driftline.signature import Column, Signature

__all__ = ["main"]

DAY = datetime(2026, 1, 15, tzinfo=UTC)
FEATURES = 20
BODY_BYTES = 200
AT_ONCE = 500

READERS = {
    "pandas, three columns": (
        "found = DeltaTable(folder).to_pandas("
        "columns=['event_time', 'feature_0', 'prediction'])\n"
        "assert len(found) == rows"
    ),
    "DuckDB, mean by hour": (
        "import duckdb\n"
        "captured = DeltaTable(folder).to_pyarrow_dataset()\n"
        "sql = 'select hour(event_time), avg(feature_0) from captured group by 1'\n"
        "assert len(duckdb.sql(sql).fetchall()) == 24"
    ),
    "DuckDB, glob": (
        "import duckdb\n"
        "sql = f\"select sum(feature_0) from read_parquet('{folder}/**/*.parquet')\"\n"
        "duckdb.sql(sql).fetchall()"
    ),
    "Polars, mean by hour": (
        "import polars as pl\n"
        "key = pl.col('event_time').dt.hour()\n"
        "found = pl.scan_delta(folder).group_by(key).agg(pl.col('feature_0').mean()).collect()\n"
        "assert len(found) == 24"
    ),
}


def main() -> None:
    """Fill a table, read it, put it together, read it again; print a table of Markdown."""
    files, rows = (int(text) for text in (*sys.argv[1:], "8640", "1000000")[:2])
    with tempfile.TemporaryDirectory() as root:
        fill(root, files, rows // files)
        total = rows // files * files
        before = {name: read(root, code, total) for name, code in READERS.items()}
        size = Dataset(root, "bench").size_bytes()
        done = compacted(root)
        vacuum(Dataset(root, "bench"), 0, datetime.now(UTC))
        after = {name: read(root, code, total) for name, code in READERS.items()}
        table = DeltaTable(Dataset(root, "bench").uri)
        now = Dataset(root, "bench").size_bytes()
        left = len(table.file_uris())
    print(f"{total:,} rows of {FEATURES} features and a body of {BODY_BYTES} bytes\n")
    print("| | before | after |\n|---|---|---|")
    print(f"| files | {files:,} | {left} |")
    print(f"| MiB | {size / 2**20:.0f} | {now / 2**20:.0f} |")
    for name in READERS:
        print(f"| {name}, s | {before[name]:.2f} | {after[name]:.2f} |")
    print(
        f"\ncompaction: {done['wall_s']:.1f} s, {done['cpu_s']:.1f} s of CPU, "
        f"{done['peak_mib']:.0f} MiB at most, of which {done['base_mib']:.0f} before it began"
    )


def fill(root: str, files: int, rows: int) -> None:
    """Write a day in so many files, as a sink does that commits often."""
    columns = tuple(Column(f"{n}", f"feature_{n}", "double") for n in range(FEATURES))
    outputs = (Column("prediction", "prediction", "int64", role="prediction"),)
    schema = table_schema(Signature(features=columns, outputs=outputs))
    folder = Dataset(root, "bench", writer="bench")
    folder.append(schema.empty_table(), {"bench": 1})
    table = DeltaTable(folder.uri)
    draw = np.random.default_rng(7)
    step = timedelta(days=1) / files
    inner = schema.remove(schema.get_field_index(PARTITION))
    for first in range(0, files, AT_ONCE):
        adds: list[AddAction | RemoveAction] = []
        for number in range(first, min(first + AT_ONCE, files)):
            file = folder.new_file("2026-01-15", inner)
            file.write(part(inner, DAY + number * step, step, number * rows, rows, draw))
            adds.append(file.finish())
        # Only the files matter here: many in one commit.
        table.create_write_transaction(adds, "append", table.schema(), [PARTITION])
        table.update_incremental()


def part(
    schema: pa.Schema,
    at: datetime,
    step: timedelta,
    first: int,
    rows: int,
    draw: np.random.Generator,
) -> pa.Table:
    """Return the rows of one commit, in the order in which they came."""
    times = at.timestamp() * 1e6 + np.sort(draw.random(rows)) * step.total_seconds() * 1e6
    known: dict[str, pa.Array] = {
        "event_id": pa.array([str(uuid.UUID(bytes=draw.bytes(16))) for _ in range(rows)]),
        "row_index": pa.array(np.zeros(rows, np.int32)),
        "event_time": pa.array(times.astype(np.int64)).cast(schema.field("event_time").type),
        "arrival_time": pa.array(times.astype(np.int64)).cast(schema.field("event_time").type),
        "status": pa.array(np.full(rows, 200, np.int16)),
        "spool_id": pa.array(["01a1f932-e65e-73b6-a77a-8132634cda0b"] * rows),
        "spool_seq": pa.array(np.arange(first + 1, first + rows + 1)),
        "request_body": pa.array([draw.bytes(BODY_BYTES // 2).hex().encode() for _ in range(rows)]),
        "prediction": pa.array(draw.integers(0, 2, rows)),
    }
    for number in range(FEATURES):
        known[f"feature_{number}"] = pa.array(np.round(draw.normal(size=rows), 3))
    arrays = [known.get(field.name, pa.nulls(rows, field.type)) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def read(root: str, code: str, rows: int) -> float:
    """Read the table in a new process; give the least seconds of three, without imports."""
    folder = Dataset(root, "bench").path
    return _run(_READER, folder, str(rows), code)["wall_s"]


def compacted(root: str) -> dict[str, float]:
    """Put the day together in a new process."""
    return _run(_COMPACTOR, root)


def _run(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(
        done.stdout.splitlines()[-1]
    )  # DuckDB shows a bar before it
    return found


_READER = """
import json, os, sys, time
import duckdb, pandas, polars
from deltalake import DeltaTable
folder, rows = sys.argv[1], int(sys.argv[2])
least = float("inf")
for _ in range(3):
    begun = time.perf_counter()
    exec(sys.argv[3])
    least = min(least, time.perf_counter() - begun)
print(json.dumps({"wall_s": least}), flush=True)
# Not through the interpreter's end: threads that still let go of deltalake's file system, which is
# written in Python, abort the process there, with the answer out (see docs/capture.md).
os._exit(0)
"""

_COMPACTOR = """
import json, resource, sys, time
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
folder = Dataset(sys.argv[1], "bench")
def mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
base, begun, cpu = mib(), time.perf_counter(), time.process_time()
files = compact(folder, "2026-02-01")
print(json.dumps({
    "wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu,
    "base_mib": base, "peak_mib": mib(), "files": files,
}))
"""


if __name__ == "__main__":
    main()
