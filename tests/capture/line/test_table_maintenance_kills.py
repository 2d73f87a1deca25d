"""kill -9 in the middle of compaction, retention, vacuum and erasure: each row is there once.

A process of its own does one of them over and over at a table that another fills; it is killed at
random moments. What it left behind goes when the next one of its name begins.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from driftline.capture.erasure.erasures import erased_sequences
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from tests.capture.conftest import record
from tests.servers.commands import talking

DAY = datetime(2026, 1, 15, tzinfo=UTC)
COMMITS_EACH = 4

# The moments between writing a file, committing it and deleting the old ones are short: each run
# goes on for as long as it lives.
WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from driftline.capture.erasure.erasing import erase
from driftline.capture.line.table_maintenance import TableMaintenance

root, names, kind = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
now = lambda: datetime(2026, 1, 20, tzinfo=UTC)
if kind == "upkeep":
    maintenance = TableMaintenance(root, names, vacuum_after_h=0, now=now, monotonic=lambda: 0.0)
    print("begun", flush=True)
    while True:
        maintenance.step()
number = int(sys.argv[4])
print("begun", flush=True)
while True:
    erase(root, names, {"inference_id": [f"gone-{number}"]}, now=now(), keep=timedelta(days=1))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize(("kind", "kills"), [("upkeep", 5), ("erasure", 3)])
def test_rows_are_there_once_after_kills_at_any_moment(
    root: str,
    spool_dir: Path,
    drain: Callable[..., Sink],
    pytestconfig: pytest.Config,
    kind: str,
    kills: int,
) -> None:
    kills *= 4 if pytestconfig.getoption("full") else 1
    chance = random.Random(7)
    names = spool_dir / NAMES
    writer = SpoolWriter(spool_dir)
    kept: set[str] = set()
    count = 0
    for kill in range(kills):
        for _ in range(COMMITS_EACH):
            for _ in range(10):
                count += 1
                name = f"gone-{count}" if kind == "erasure" and count % 10 == 0 else f"kept-{count}"
                at = DAY + timedelta(seconds=chance.randrange(86_400))
                record(writer, event_id=name, inference_id=name, at=at)
                kept |= {name} if name.startswith("kept") else set()
            drain()
        # Erasing goes on where it was killed: from the first id that may still be there.
        first = str(10 * COMMITS_EACH * kill)
        with talking(WORKER, root, names, kind, first) as (worker, _, printed):
            assert printed.readline() == "begun\n"
            if kind == "erasure" and kill == 0:  # Else a busy machine might erase none at all.
                while printed.readline() != "10\n":
                    assert worker.poll() is None
            threading.Event().wait(chance.uniform(0.0, 0.12))
        assert worker.returncode == -signal.SIGKILL

        folder = Dataset(root, "flights")
        found = pl.read_delta(folder.uri)["event_id"].to_list()
        assert len(found) == len(set(found)), f"doubled after kill {kill}"
        assert kept <= set(found), f"lost after kill {kill}"

    maintenance = TableMaintenance(
        root, names, vacuum_after_h=0, now=lambda: datetime(2026, 1, 20, tzinfo=UTC)
    )
    maintenance.step()
    maintenance.close()
    stored = pl.read_delta(Dataset(root, "flights").uri)
    plain = duckdb.sql(f"select count(*) from read_parquet('{root}/capture/flights/**/*.parquet')")
    assert plain.fetchall() == [(len(stored),)]
    assert kept <= set(stored["event_id"])
    assert drain().counters["records"] == 0
    erased = {seq for seqs in erased_sequences(root).values() for seq in seqs.tolist()}
    assert erased | set(stored["spool_seq"]) == set(range(1, count + 1))
    assert erased.isdisjoint(stored["spool_seq"])
    assert bool(erased) == (kind == "erasure")
    hidden = list(Path(root, "capture").rglob(".*.parquet"))
    assert hidden == []
