"""Other people's readers beside a sink that writes and an upkeep that rewrites, all in processes.

Each reader opens the table anew again and again and must see some committed state: no row twice, no
file missing, never fewer rows than before. When all is idle and vacuumed, a plain glob is exact.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from driftline.capture.line.table_maintenance import NAMES
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.retention import vacuum
from tests.capture.conftest import SIGNATURE, record
from tests.journeys.conftest import eventually

TODAY = datetime(2026, 1, 15, tzinfo=UTC)
REQUESTS = 1_200

SINK = """
import sys
from pathlib import Path
from driftline.app.stopping import stop_on_signals
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.signature import Signature

stop = stop_on_signals()
signature = Signature.from_json(Path(sys.argv[3]).read_text())
Sink(
    sys.argv[1], LocalTransport(sys.argv[2]), lambda _: signature, commit_interval_s=0.02,
    commit_records=40, poll_s=0.005,
).run(stop)
"""

UPKEEP = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from driftline.app.stopping import stop_on_signals
from driftline.capture.line.table_maintenance import TableMaintenance

stop = stop_on_signals()
# All days are closed by its clock, so that two files are enough to be put together.
maintenance = TableMaintenance(
    sys.argv[1], Path(sys.argv[2]), interval_s=0.02, now=lambda: datetime(2027, 1, 1, tzinfo=UTC)
)
worker = threading.Thread(target=maintenance.run, args=(stop,))
worker.start()
while not stop.wait(0.1):
    print(maintenance.counters["compacted"], maintenance.counters["failures"], flush=True)
worker.join()
print(maintenance.counters["compacted"], maintenance.counters["failures"])
"""

# They know nothing of driftline. Each line: rows, distinct events.
READER = """
import os, signal, sys, time
from deltalake import DeltaTable

stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
folder, kind = sys.argv[1:]

def pandas():
    found = DeltaTable(folder).to_pandas(columns=["event_id", "row_index"])
    return len(found), found["event_id"].nunique()

def polars():
    import polars as pl
    found = pl.scan_delta(folder).select(pl.len(), pl.col("event_id").n_unique()).collect()
    return found.row(0)

def duck():
    import duckdb
    duckdb.execute("set enable_progress_bar = false")  # It comes after two seconds.
    captured = DeltaTable(folder).to_pyarrow_dataset()
    return duckdb.sql("select count(*), count(distinct event_id) from captured").fetchall()[0]

read = {"pandas": pandas, "polars": polars, "duckdb": duck}[kind]
while not stopped:
    print(*read(), flush=True)
    time.sleep(0.02)
print(*read(), flush=True)
# Interpreters may abort at their end after a read by deltalake: see docs/capture.md.
os._exit(0)
"""


@contextmanager
def process(code: str, *arguments: object, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run code in a process of its own; end it by SIGTERM, and see that it ended well."""
    with output.open("wb") as stream:
        started = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], stdout=stream, stderr=stream
        )
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            code_of = started.wait(60)
    assert code_of == 0, output.read_text()


def lines(output: Path) -> list[tuple[int, int]]:
    """Read the lines that are whole: an unbuffered process writes a line's words one by one."""
    whole, _, _ = output.read_text().rpartition("\n")
    return [(int(a), int(b)) for a, b in (line.split() for line in whole.splitlines())]


@pytest.fixture
def described(tmp_path: Path) -> Path:
    file = tmp_path / "signature.json"
    file.write_text(SIGNATURE.to_json())
    return file


def test_readers_see_committed_states_while_others_write_and_rewrite(
    tmp_path: Path, described: Path
) -> None:
    root, spool, kinds = tmp_path / "root", tmp_path / "spool", ("pandas", "polars", "duckdb")
    folder = root / "capture" / "flights"
    writer = SpoolWriter(spool)
    pause = threading.Event()
    with ExitStack() as running:
        start = running.enter_context
        start(process(SINK, root, spool, described, output=tmp_path / "sink"))
        start(process(UPKEEP, root, spool / NAMES, output=tmp_path / "upkeep"))
        record(writer, event_id="first", at=TODAY)
        eventually(lambda: (folder / "_delta_log").exists())
        for kind in kinds:
            start(process(READER, folder, kind, output=tmp_path / kind))
        for kind in kinds:
            eventually(lambda kind=kind: (tmp_path / kind).read_bytes())
        for number in range(1, REQUESTS):
            # Two rows each, on two days.
            at = TODAY + timedelta(days=number % 2, seconds=number)
            record(writer, b"1.5,3,UA\n2.5,x,AA", b"1,0.25\n0,0.5", event_id=f"e{number}", at=at)
            if number % 20 == 0:
                pause.wait(0.02)
        # One more than the requests that came in pairs of rows.
        wanted = f"{2 * REQUESTS - 1} {REQUESTS}"
        for kind in kinds:
            eventually(lambda kind=kind: wanted in (tmp_path / kind).read_text())
        # It gives way to the sink, on a busy machine until that has nothing more to write.
        eventually(lambda: lines(tmp_path / "upkeep")[-1][0] > 20)
    assert lines(tmp_path / "upkeep")[-1][1] == 0, "upkeep failed"
    for kind in kinds:
        found = lines(tmp_path / kind)
        assert found == sorted(found), f"{kind}: rows went"
        assert all(rows == max(2 * events - 1, 0) for rows, events in found), f"{kind}: torn commit"
        assert len({rows for rows, _ in found}) >= 4, f"{kind}: it was to see states in between"

    vacuum(Dataset(str(root), "flights"), 0, datetime.now(UTC))
    # Not **: after a hundred commits the log holds a checkpoint, which is Parquet, too.
    glob = f"{folder}/event_date=*/*.parquet"
    assert pl.scan_parquet(glob).select(pl.len()).collect().item() == 2 * REQUESTS - 1
    plain = duckdb.sql(
        f"select count(*), count(distinct event_id), count(distinct event_date) "
        f"from read_parquet('{glob}', hive_partitioning = true)"
    )
    assert plain.fetchall() == [(2 * REQUESTS - 1, REQUESTS, 2)]
