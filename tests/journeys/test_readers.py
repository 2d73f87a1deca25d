"""Other people's readers beside a sink that writes and a compaction that rewrites.

Each reader opens the table anew again and again and must see some committed state: no row twice, no
file missing, never fewer rows than before. The files of the newest state are plain Parquet.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
from deltalake import DeltaTable

import driftline as dl
from tests.kit.data import TODAY, normal, stream, uniform
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.kit.waiting import wait

REQUESTS = 200
COLUMNS = {"km": normal(10, 3), "score": uniform()}
SETTINGS = """
[capture]
commit_interval_s = 0.02
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
    time.sleep(0.1)
print(*read(), flush=True)
# Interpreters may abort at their end after a read by deltalake: see docs/capture.md.
os._exit(0)
"""


@contextmanager
def reading(folder: Path, kind: str, output: Path) -> Iterator[None]:
    """Run a reader in a process of its own; end it by SIGTERM, and see that it ended well."""
    with output.open("wb") as stream:
        command = [sys.executable, "-c", READER, str(folder), kind]
        started = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            yield
        finally:
            started.send_signal(signal.SIGTERM)
            code = started.wait(60)
    assert code == 0, output.read_text()


def lines(output: Path) -> list[tuple[int, int]]:
    """Read the lines that are whole: an unbuffered process writes a line's words one by one."""
    whole, _, _ = output.read_text().rpartition("\n")
    return [(int(a), int(b)) for a, b in (line.split() for line in whole.splitlines())]


def has_read(output: Path, rows: int) -> bool:
    return any(found >= rows for found, _ in lines(output))


def files(folder: Path) -> int:
    """Count the files of the newest state."""
    return len(DeltaTable(folder).file_uris())


def test_readers_see_committed_states_while_others_write_and_rewrite(tmp_path: Path) -> None:
    words, kinds = ("--only", "server,capture"), ("pandas", "polars", "duckdb")
    with Installation(tmp_path / "shop", SETTINGS, words=words, is_forked=True) as shop:
        folder = shop.folder / "store" / "capture" / "orders"
        past = shop.folder / "past.parquet"
        stream(COLUMNS, rows=500, seed=1).to_parquet(past)
        shop.apply(
            resource("Baseline", "orders", data=str(past), prediction="score"),
            resource("Endpoint", "orders", baseline="orders", trust_event_time=True),
        )
        asked = stream(COLUMNS, rows=2 * REQUESTS, seed=2)
        with (
            dl.Logger("orders", spool_dir=shop.folder / "store" / "spool") as log,
            ExitStack() as running,
        ):

            def record(number: int) -> None:
                # Two rows each, on two days that are over.
                at = TODAY - timedelta(days=2 + number % 2) + timedelta(seconds=number)
                rows = asked[2 * number : 2 * number + 2]
                log(rows[["km"]], rows["score"], event_time=at)

            record(0)
            wait(lambda: (folder / "_delta_log").exists())
            for kind in kinds:
                running.enter_context(reading(folder, kind, tmp_path / kind))
            for kind in kinds:
                wait(lambda kind=kind: (tmp_path / kind).read_bytes(), within_s=180)
            for count in range(2, REQUESTS + 1):
                record(count - 1)
                if count % 50 == 0:  # Each reader is to see states in between.
                    for kind in kinds:
                        seen, file = f"{2 * count} {count}", tmp_path / kind
                        wait(lambda seen=seen, file=file: seen in file.read_text(), within_s=180)
            wait(lambda: files(folder) <= 4, within_s=120)  # All others were put together.
    for kind in kinds:
        found = lines(tmp_path / kind)
        assert found == sorted(found), f"{kind}: rows went"
        assert all(rows == 2 * events for rows, events in found), f"{kind}: torn commit"
        assert len({rows for rows, _ in found}) >= 4, f"{kind}: it was to see states in between"

    # A plain glob would be exact once all replaced files are vacuumed, a day later.
    plain = duckdb.sql(
        f"select count(*), count(distinct event_id), count(distinct event_date) "
        f"from read_parquet({DeltaTable(folder).file_uris()}, hive_partitioning = true)"
    )
    assert plain.fetchall() == [(2 * REQUESTS, REQUESTS, 2)]
