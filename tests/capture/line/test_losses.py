"""What is not recorded as an answer is neither taken for one nor lost without a count."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset, read_gaps
from driftline.capture.tap.tap import Capture
from driftline.capture.tap.target import CaptureTarget
from driftline.capture.windows.window import Window, read_window
from driftline.signature import Signature
from tests.capture.counts import counted

Write = Callable[..., bool]
Drain = Callable[..., Sink]


@pytest.mark.parametrize(
    ("is_gone", "status"), [(True, 499), (False, 500)], ids=["client left", "no answer"]
)
def test_a_request_that_was_never_answered_gives_no_row_to_a_window(
    root: str, spool_dir: Path, drain: Drain, signature: Signature, is_gone: bool, status: int
) -> None:
    messages = [{"type": "http.request", "body": b"1.5,", "more_body": True}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        if is_gone:
            await receive()

    tap: Any = Capture(app, endpoint="flights", spool_dir=spool_dir)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(tap(scope, receive, None))
    drain()

    now = datetime.now(UTC)
    window = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    found = read_window(root, "flights", window, signature, columns=["status"])
    assert (found.request_count, found.failed_count, found.row_count) == (1, 1, 0)
    assert found.table().num_rows == 0
    data = Dataset(root, "flights").open()
    assert data is not None
    assert data.to_table(["status"]).to_pylist() == [{"status": status}]


def test_a_tap_that_gave_up_counts_what_it_leaves_out(
    root: str, spool_dir: Path, drain: Drain, call: Callable[..., Any]
) -> None:
    is_broken = True

    def route(_scope: Any) -> CaptureTarget:
        if is_broken:
            raise RuntimeError("of the tap")
        return CaptureTarget("flights")

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"1"})

    tap = Capture(app, route=route, spool_dir=spool_dir)
    for _ in range(100):
        call(tap, b"x")
    is_broken = False
    call(tap, b"x")
    call(tap, b"x")
    tap.spool.close()
    drain()

    told = {(gap.endpoint, gap.reason): gap.records for gap in read_gaps(root)}
    assert told == {("", "tap_error"): 100, ("flights", "tap_off"): 2}


@pytest.mark.parametrize("act", ["append", "count_drop"])
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "writer.close()"])
def test_drops_before_the_first_record_outlive_the_writer(
    root: str, spool_dir: Path, drain: Drain, act: str, end: str
) -> None:
    acts = {
        "append": "writer.append({'endpoint': 'flights'}, [b'x'], [b'y'])",
        "count_drop": "writer.count_drop('full', 'flights')",
    }
    script = (
        "import os\nfrom driftline.capture.spool.writer import SpoolWriter\n"
        f"writer = SpoolWriter({str(spool_dir)!r}, max_bytes=0)\n{acts[act]}\n{end}\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    drain()

    assert [(g.endpoint, g.reason, g.records) for g in read_gaps(root)] == [("flights", "full", 1)]


def test_a_body_nested_to_the_limit_stops_no_other_and_is_not_logged(
    root: str,
    spool_dir: Path,
    drain: Drain,
    write: Write,
    signature: Signature,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = SpoolWriter(spool_dir)
    depths = range(850, 1000)
    for depth in depths:
        nested = b"[" * depth + b"]" * depth
        body = b'{"temp": 1, "Dep Delay": 2, "carrier": "UA", "secret": %s}' % nested
        write(writer, body, request_content_type="application/json")
    write(writer, event_id="plain")

    with caplog.at_level(logging.INFO):
        drain()

    stats = counted(root, "flights")
    assert stats.requests == len(depths) + 1
    assert 0 < sum(stats.unparsed.values()) < len(depths)
    assert "[[[" not in caplog.text


def test_all_segments_are_put_on_the_disk_whether_they_are_read_or_not(
    spool_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(spool_dir, segment_bytes=1)
    write(writer)
    write(writer)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))

    with closing(SpoolFollower(spool_dir, sync_interval_s=0)) as tail:
        tail.receive(10)  # Puts both on the disk, then reads both: the first is left.
        write(writer)
        tail.receive(10)

    assert synced == [file.stat().st_ino for file in sorted(spool_dir.glob("*/*.dls"))]
