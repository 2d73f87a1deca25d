"""What a process keeps of the memory that commits to tables have used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMITS = """
import sys
from pathlib import Path

from driftline.app.allocator import choose_allocators

choose_allocators()

import pyarrow as pa
from driftline.capture.tables.dataset import Dataset, table_schema

def anonymous_kib():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

dataset = Dataset(sys.argv[1], "flights")
rows = pa.Table.from_pylist([{"event_date": "2026-01-01"}], table_schema(None))
dataset.append(rows, {"spool": 1})
before = anonymous_kib()
for number in range(2, 120):  # The log is longest before its checkpoint, at the hundredth.
    dataset.append(rows, {"spool": number})
print(anonymous_kib() - before)
"""


def test_commits_to_a_table_leave_little_memory_behind(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", COMMITS, str(tmp_path)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    assert int(told.stdout) < 15 << 10  # 33 to 37 MiB where delta-rs allocates as it comes.
