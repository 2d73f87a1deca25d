"""Tables in a bucket of a real server: each record once, whoever is killed or writes, too."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pytest
from deltalake import DeltaTable

from driftline import storage
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset, list_endpoints
from driftline.capture.tables.retention import expire, vacuum
from driftline.capture.tables.storage import StorageError
from driftline.capture.tables.table import WatermarkMovedError
from driftline.errors import UnavailableError
from driftline.signature import Signature
from driftline.storage import use_options
from tests.capture.counts import counted
from tests.capture.tables.s3_tools import some_rows
from tests.servers.commands import Fork, talking
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.s3

Write = Callable[..., bool]
Writing = tuple[Fork, IO[str], IO[str]]
WRITER = "from tests.capture.tables.s3_tools import main; main()"


@pytest.fixture
def root(s3_root: str) -> str:
    return s3_root


def wait_for(look: Callable[[], bool], within_s: float = 60.0) -> None:
    pause, end = threading.Event(), time.monotonic() + within_s
    while not look():
        assert time.monotonic() < end, f"nothing came within {within_s} s"
        pause.wait(0.05)


def test_what_was_captured_lies_in_the_bucket_once_and_is_read_without_us(
    root: str, s3_server: S3Server, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        write(writer, event_id=f"e{number}")
    drain()
    drain()

    options = {f"aws_{name}": value for name, value in s3_server.options.items()}
    found = pl.read_delta(f"{root}/capture/flights", storage_options=options)

    assert sorted(found["event_id"]) == sorted(f"e{number}" for number in range(20))
    assert found["feature_temp"].to_list() == [1.5] * 20
    assert list_endpoints(root) == ["flights"]
    assert counted(root, "flights").requests == 20


def test_nothing_but_whole_files_lies_in_the_bucket(
    root: str, s3_server: S3Server, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    write(SpoolWriter(spool_dir))
    drain()

    found = s3_server.filesystem().get_file_info(
        pafs.FileSelector(root.removeprefix("s3://"), recursive=True)
    )

    names = [one.base_name for one in found if one.is_file]
    assert not [name for name in names if name.startswith(".") or name == "_last_vacuum_info"]
    assert sum(name.endswith(".parquet") for name in names) == 1


@pytest.fixture
def writers(
    s3_server: S3Server, root: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, int], Writing]]:
    """Start processes that commit to one table, each rows of spools of its own."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as started:
        yield lambda name, commits: started.enter_context(talking(WRITER, root, name, commits))


def test_no_commit_of_several_writers_at_once_is_lost(
    root: str, s3_server: S3Server, writers: Callable[[str, int], Writing]
) -> None:
    running = [writers(f"writer{number}", 4) for number in range(3)]
    for _, _, printed in running:
        assert printed.readline() == "ready\n"
    for _, told, _ in running:
        told.write("go\n")
    done = [process.wait(60) for process, _, _ in running]

    options = {f"aws_{name}": value for name, value in s3_server.options.items()}
    table = DeltaTable(f"{root}/capture/flights", storage_options=options)
    rows = counted(root, "flights")
    assert done == [0, 0, 0]
    assert rows.rows == 3 * 4 * 5
    assert rows.spools == {f"writer{number}": 20 for number in range(3)}
    # One for its making, or for who came second with that, and one for each commit.
    assert table.version() >= 12


def test_a_writer_that_is_killed_at_any_moment_goes_on_where_the_table_stands(
    root: str, s3_server: S3Server, writers: Callable[[str, int], Writing]
) -> None:
    chance, pause = random.Random(20261120), threading.Event()
    for _ in range(2):
        process, told, printed = writers("writer", 400)
        assert printed.readline() == "ready\n"
        told.write("go\n")
        pause.wait(chance.uniform(0.05, 0.5))
        process.kill()
        process.wait()
    stands = Dataset(root, "flights").watermark("writer")
    last, told, _ = writers("writer", stands // 5 + 3)
    told.write("go\n")

    assert last.wait(60) == 0
    data = Dataset(root, "flights").open()
    assert data is not None
    seqs = sorted(data.to_table(["spool_seq"])["spool_seq"].to_pylist())
    assert seqs == list(range(1, stands + 16))
    # Nothing that a killed one has left: a plain look at the files finds the same rows.
    part = f"{root.removeprefix('s3://')}/capture/flights/event_date=2026-11-20"
    plain = pads.dataset(part, format="parquet", filesystem=s3_server.filesystem())
    assert plain.count_rows() == stands + 15


def test_a_writer_that_stands_behind_cannot_store_again(root: str) -> None:
    first, second = (Dataset(root, "flights", writer=name) for name in ("one", "two"))
    first.append(some_rows("spool", 1), {"spool": 5})
    assert second.watermark("spool") == 5
    first.append(some_rows("spool", 6), {"spool": 10})

    with pytest.raises(WatermarkMovedError):
        second.append(some_rows("spool", 6), {"spool": 10})

    assert counted(root, "flights").requests == 10


def test_a_server_that_is_killed_under_the_sink_loses_and_doubles_nothing(
    root: str, s3_server: S3Server, spool_dir: Path, write: Write, signature: Signature,
    pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    writer = SpoolWriter(spool_dir)
    sink = Sink(
        root, LocalTransport(spool_dir), lambda _: signature, commit_interval_s=0.05, poll_s=0.02
    )
    stop, sent = threading.Event(), 0
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    try:
        for _ in range(2 if pytestconfig.getoption("full") else 1):
            before = sink.counters["commits"]
            for _ in range(200):
                write(writer, event_id=f"e{sent}")
                sent += 1
            wait_for(lambda before=before: sink.counters["commits"] > before)
            s3_server.kill()
            for _ in range(50):
                write(writer, event_id=f"e{sent}")
                sent += 1
            failed = sink.counters["failures"]
            wait_for(lambda failed=failed: sink.counters["failures"] > failed)
            s3_server.start()
        wait_for(lambda: sink.counters["records"] >= sent)
    finally:
        stop.set()
        thread.join()

    data = Dataset(root, "flights").open()
    assert data is not None
    found = data.to_table(["event_id"])["event_id"].to_pylist()
    assert sorted(found) == sorted(f"e{number}" for number in range(sent))


def test_a_sink_that_is_killed_leaves_nothing_that_its_successor_does_not_sweep(
    root: str, s3_server: S3Server, spool_dir: Path, write: Write, drain: Callable[..., Sink]
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    drain()
    (part,) = [
        one.path
        for one in s3_server.filesystem().get_file_info(
            pafs.FileSelector(f"{root.removeprefix('s3://')}/capture/flights")
        )
        if one.base_name.startswith("event_date=")
    ]
    transport = LocalTransport(spool_dir)
    transport.close()
    name = transport.name
    with s3_server.filesystem().open_output_stream(f"{part}/{name}-left.parquet") as file:
        file.write(b"not committed")

    write(writer)
    drain()

    names = s3_server.filesystem().get_file_info(pafs.FileSelector(part))
    assert not [one for one in names if one.base_name.endswith("-left.parquet")]
    assert counted(root, "flights").requests == 2


def _said(error: pytest.ExceptionInfo) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert "no-secret-at-all" not in said
    return said


def test_wrong_keys_are_told_in_one_sentence(root: str, s3_server: S3Server) -> None:
    use_options(s3_server.options | {"access_key_id": "somebody-else"})

    with pytest.raises(StorageError) as reading:
        counted(root, "flights")
    with pytest.raises(StorageError) as listing:
        list_endpoints(root)

    told = ("does not know these keys", "access denied", "No user exists")  # versitygw's is last.
    for found in (reading, listing):
        assert any(words in _said(found) for words in told)


@pytest.mark.parametrize("trouble", ["frozen", pytest.param("gone", marks=pytest.mark.full)])
def test_a_server_that_does_not_answer_is_given_up_in_bounded_time(
    root: str, s3_server: S3Server, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_ANSWER_S", 2)
    monkeypatch.setattr(storage, "_ATTEMPTS", 1)
    storage._s3.cache_clear()
    began = time.monotonic()
    if trouble == "gone":
        s3_server.kill()
    else:
        s3_server.freeze()
    try:
        with pytest.raises(UnavailableError) as reading:
            counted(root, "flights")
        with pytest.raises(UnavailableError) as listing:
            list_endpoints(root)
    finally:
        storage._s3.cache_clear()
        s3_server.thaw() if trouble == "frozen" else s3_server.start()

    assert "the storage cannot be reached" in _said(reading)
    assert "the storage cannot be reached" in _said(listing)
    assert time.monotonic() - began < 30


def test_small_files_are_put_together_and_old_days_go_from_the_bucket(
    root: str, s3_server: S3Server
) -> None:
    dataset = Dataset(root, "flights", writer="one")
    for number in range(6):
        dataset.append(some_rows("spool", number * 5 + 1), {"spool": number * 5 + 5})
    part = f"{root.removeprefix('s3://')}/capture/flights/event_date=2026-11-20"

    gone = compact(dataset, "2026-11-21")
    dead = vacuum(dataset, 0, datetime(2026, 11, 22, tzinfo=UTC))
    files = s3_server.filesystem().get_file_info(pafs.FileSelector(part))
    after = counted(root, "flights").requests
    expired = expire(dataset, "2026-11-21")

    assert (gone, dead, len(files), after) == (6, 6, 1, 30)
    assert expired == 30
    assert counted(root, "flights").rows == 0
    assert Dataset(root, "flights").watermark("spool") == 30
