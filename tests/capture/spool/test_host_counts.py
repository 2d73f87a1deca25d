"""Counts of taps are sums that only grow, whoever dies and whatever is removed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from driftline.capture.line.sink import Sink
from driftline.capture.spool.backlog import Backlog, measure
from driftline.capture.spool.host_counts import keep_counts, read_counts
from driftline.capture.spool.writer import SpoolWriter

Drain = Callable[..., Sink]
Write = Callable[..., bool]

TAP = """
import os, sys
from driftline.capture.spool.writer import SpoolWriter
writer = SpoolWriter(sys.argv[1])
slot = writer.traffic.slot("flights")
writer.append({"endpoint": "flights"}, [b"1"], [b"2"])
for _ in range(10):
    writer.traffic.words[slot] += 1
for _ in range(4):
    writer.traffic.words[slot + 1] += 1
for _ in range(3):
    writer.count_drop("tap_error", "flights")
os.kill(os.getpid(), 9)
"""


def test_counts_outlive_a_killed_tap_and_the_removal_of_its_spool(
    spool_dir: Path, drain: Drain
) -> None:
    assert read_counts(spool_dir) == {}
    for _ in range(3):
        run = [sys.executable, "-c", TAP, str(spool_dir)]
        subprocess.run(run, check=False, cwd=Path(__file__).parents[3])
    before = read_counts(spool_dir)["flights"]
    assert (before.requests, before.sampled, before.dropped) == (30, 12, {"tap_error": 9})
    assert before.sampled - sum(before.dropped.values()) == 3
    drain()
    assert not list(spool_dir.glob("*-*/"))

    assert read_counts(spool_dir)["flights"] == before


def test_a_spool_counts_once_though_it_was_kept_and_is_still_there(
    spool_dir: Path, write: Write
) -> None:
    writer = SpoolWriter(spool_dir)
    write(writer)
    writer.count_drop("tap_error", "flights")
    assert writer.spool_id is not None
    keep_counts(spool_dir, writer.spool_id)
    keep_counts(spool_dir, writer.spool_id)

    assert read_counts(spool_dir)["flights"].dropped == {"tap_error": 1}


def test_one_measure_tells_bytes_segments_and_the_age_of_the_oldest(
    spool_dir: Path, write: Write
) -> None:
    assert measure(spool_dir) == Backlog()
    writer = SpoolWriter(spool_dir, segment_bytes=1)
    write(writer)
    write(writer)
    size = sum(file.stat().st_size for file in spool_dir.rglob("*.dls"))
    at_ns = 1_358_251_200_000_000_000  # 2013-01-15 12:00 UTC, the record's arrival.

    assert measure(spool_dir, now_ns=lambda: at_ns + 5 * 10**9) == Backlog(size, 2, 1, 5.0)
