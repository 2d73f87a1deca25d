"""What the tests of the broker share: short-lived options, and readings of what is stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from driftline.capture.line.kafka import KafkaTransport, kafka_sender
from driftline.capture.line.kafka_options import KafkaOptions
from driftline.capture.line.sidecar import Sidecar
from driftline.capture.line.sink import Sink
from driftline.capture.tables.dataset import Dataset
from driftline.signature import Signature


def options(bootstrap: str, topic: str, **more: Any) -> KafkaOptions:
    """Return options for one broker and a topic, and a group, of a test's own."""
    values = {
        "partitions": 4,
        "replication": 1,
        "group": topic,
        "session_timeout_ms": 4_000,
        **more,
    }
    return KafkaOptions(bootstrap_servers=[bootstrap], topic=topic, **values)


def ship_all(found: KafkaOptions, spool_dir: Path) -> Sidecar:
    """Ship what lies in the spool; give the sidecar for its counters."""
    stop = threading.Event()
    sidecar = Sidecar(spool_dir, kafka_sender(found, spool_dir, stop))
    while sidecar.step():
        pass
    stop.set()
    sidecar.run(stop)
    return sidecar


def sink_until(
    found: KafkaOptions,
    root: str,
    state: Path,
    signature: Signature,
    is_done: Callable[[Sink], bool],
    *,
    within_s: float = 60.0,
) -> Sink:
    """Run a sink until something is so, and stop it; give it for its counters."""
    stop = threading.Event()
    transport = KafkaTransport(found, state, stop)
    sink = Sink(root, transport, lambda _: signature, commit_interval_s=0, poll_s=0.01)
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    wait_until(lambda: is_done(sink), within_s)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    return sink


def wait_until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    """Look again and again until something is so."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"not so within {within_s} s"
        pause.wait(0.05)


def stored(root: str, endpoint: str = "flights") -> pa.Table:
    """Read the ids of what is stored, in sequence."""
    data = Dataset(root, endpoint).open()
    if data is None:
        return pa.table({"event_id": [], "spool_seq": []})
    return data.to_table(["event_id", "spool_seq", "spool_id"]).sort_by("spool_seq")
