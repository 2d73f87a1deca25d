"""The audit never cries wolf while writers and sink are killed under load and tables compacted."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftline.capture.audit.audit import audit
from driftline.capture.line.sink import Sink
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from tests.capture.line.test_kill import running
from tests.servers.commands import Fork, python

WRITER = """
import sys, time
from driftline.capture.spool.writer import SpoolWriter

writer, number = SpoolWriter(sys.argv[1], segment_bytes=20_000), 0
while True:
    number += 1
    meta = {"endpoint": f"e{number % 3}"}
    writer.append(meta, [b"1"], [b"2"], wall_ns=time.time_ns(), status=200)
    if number % 17 == 0:
        writer.count_drop("tap_error", "e0")
    time.sleep(0.002)
"""

SINK = """
import sys, threading
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport

Sink(
    sys.argv[2], LocalTransport(sys.argv[1]), lambda _: None, commit_interval_s=0.05, poll_s=0.005
).run(threading.Event())
"""


def test_no_audit_between_kills_finds_what_is_not_so(
    root: str, spool_dir: Path, drain: Callable[..., Sink], pytestconfig: pytest.Config
) -> None:
    kills = 16 if pytestconfig.getoption("full") else 4

    def start(code: str) -> Fork:
        return python(code, spool_dir, root)

    chance, pause = random.Random(7), threading.Event()
    audited = 0
    codes = (WRITER, WRITER, SINK)
    with running(*(lambda code=code: start(code) for code in codes)) as processes:
        for _ in range(kills):
            before = audited
            for _ in range(400):  # Until a working sink has stored something.
                pause.wait(chance.uniform(0.02, 0.1))
                found = audit(root, now=lambda: datetime.now(UTC), spool_dir=spool_dir)
                assert found.adds_up, found
                audited = found.stored
                if audited > before:
                    break
            if Dataset(root, "e0").table is not None:
                compact(Dataset(root, "e0", writer="upkeep"), "2100-01-01")
            victim = chance.randrange(3)
            processes[victim].kill()
            processes[victim].wait(10)
            processes[victim] = start(codes[victim])
    drain()

    found = audit(root, now=lambda: datetime.now(UTC), spool_dir=spool_dir, full=True)

    assert found.adds_up
    assert found.in_flight == 0
    assert found.numbers == found.stored + found.gaps
    assert found.stored >= audited >= kills
