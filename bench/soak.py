"""Whether memory stays bounded: many records from a spool through sidecar, Kafka and sink.

Sidecar and sink are processes of their own, as in production; told is the most memory that each
ever held (VmHWM), at each tenth of the way. The spool is filled no faster than the sink stores, so
that neither the disk nor the topic's retention (by bytes) runs over; of ten million records about
4 GB of Parquet stay until the end.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[1:1] = [str(ROOT), str(Path(__file__).parent)]

from capture_load import SIGNATURE, metas, requests  # noqa: E402 - found by the line above.

from driftline.app.stopping import stop_on_signals  # noqa: E402
from driftline.capture.line.kafka import (  # noqa: E402
    KafkaTransport,
    kafka_sender,
    make_topics,
)
from driftline.capture.line.kafka_options import KafkaOptions  # noqa: E402
from driftline.capture.line.sidecar import Sidecar  # noqa: E402
from driftline.capture.line.sink import Sink  # noqa: E402
from driftline.capture.spool.writer import SpoolWriter  # noqa: E402
from driftline.capture.tables.dataset import Dataset, read_gaps  # noqa: E402

ENDPOINT = "flights"
LIMIT_MIB = 512
_AHEAD = 500_000  # Records that are written and not stored yet, at most.
_STEP = 5_000
_STUCK_S = 300.0


class Soak(NamedTuple):
    """What came of it: records stored and their gaps, seconds, and peaks in MiB by process."""

    stored: int
    gaps: int
    seconds: float
    peaks: list[tuple[int, dict[str, float]]]


def options_of(bootstrap: str, topic: str) -> KafkaOptions:
    """Return the options of one run."""
    return KafkaOptions([bootstrap], topic, topic, partitions=2, replication=1)


def bound_topic(bootstrap: str, topic: str, retention_bytes: int) -> None:
    """Make the topic, and have the broker keep only so much of it."""
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    make_topics(options_of(bootstrap, topic))
    kept = {"retention.bytes": str(retention_bytes), "segment.bytes": str(64 << 20)}
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, kept)])


def work(role: str, bootstrap: str, topic: str, folder: Path) -> None:
    """Be the sidecar or the sink until told to stop."""
    stop = stop_on_signals()
    options = options_of(bootstrap, topic)
    if role == "sidecar":
        spool = folder / "spool"
        Sidecar(spool, kafka_sender(options, spool, stop)).run(stop)
    else:
        transport = KafkaTransport(options, folder / "state", stop)
        sink = Sink(str(folder / "root"), transport, lambda _: SIGNATURE, commit_interval_s=2.0)
        sink.run(stop)


@contextmanager
def workers(bootstrap: str, topic: str, folder: Path) -> Iterator[dict[str, int]]:
    """Run sidecar and sink as processes; give their ids."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    given = ["--bootstrap", bootstrap, "--topic", topic, "--folder", str(folder)]
    started = {
        role: subprocess.Popen([sys.executable, __file__, "--role", role, *given], env=environment)
        for role in ("sidecar", "sink")
    }
    try:
        yield {role: process.pid for role, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait(60)


def peak_mib(pid: int) -> float:
    """Read the most memory that a process ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def soak(bootstrap: str, topic: str, folder: Path, records: int) -> Soak:
    """Send records the whole way and wait until the table has them.

    Raises
    ------
    SystemExit
        When nothing more is stored for five minutes.
    """
    bound_topic(bootstrap, topic, 1 << 30)
    writer = SpoolWriter(folder / "spool", max_bytes=4 << 30, min_free_bytes=0)
    bodies, told = cycle(requests("text/csv")), metas("text/csv")
    table = Dataset(str(folder / "root"), ENDPOINT)
    pause, started, moved_s = threading.Event(), time.monotonic(), time.monotonic()
    written = stored = 0
    peaks: list[tuple[int, dict[str, float]]] = []
    with workers(bootstrap, topic, folder) as pids:
        while stored < records:
            if written < records and written - stored < _AHEAD:
                for request, response in islice(bodies, min(_STEP, records - written)):
                    writer.append(
                        next(told), [request], [response], request_bytes=len(request),
                        response_bytes=len(response), status=200, total_us=900,
                    )  # fmt: skip
                    written += 1
            else:
                pause.wait(0.2)
            before = stored
            table.refresh()
            stored = table.watermark(str(writer.spool_id))
            now = time.monotonic()
            moved_s = now if stored > before else moved_s
            if now - moved_s > _STUCK_S:
                raise SystemExit(f"stuck at {stored} of {written} written")
            if stored * 10 // records > len(peaks):
                peaks.append((stored, {role: peak_mib(pid) for role, pid in pids.items()}))
                left_s = (now - started) * (records - stored) / stored
                print(f"{stored} stored, {left_s:.0f} s to go, {peaks[-1][1]}", file=sys.stderr)
        writer.close()
        seconds = time.monotonic() - started
    data = table.open()
    assert data is not None
    seqs = data.to_table(["spool_seq"])["spool_seq"].to_numpy()
    if len(seqs) != len(np.unique(seqs)):
        raise SystemExit("some records are there twice")
    return Soak(len(seqs), len(read_gaps(str(folder / "root"))), seconds, peaks)


def main() -> None:
    """Print the document, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--role", choices=["sidecar", "sink"], help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role:
        work(asked.role, asked.bootstrap, asked.topic, asked.folder)
        return
    from tests.servers.kafka import KafkaBroker

    libs = subprocess.run([ROOT / "scripts/kafka"], check=True, stdout=subprocess.PIPE, text=True)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        broker = KafkaBroker(Path(name), Path(libs.stdout.strip()))
        broker.start()
        try:
            found = soak(broker.bootstrap, "soak", Path(name), asked.records)
        finally:
            broker.stop()
    print("# Memory over many records\n")
    print(
        f"`bench/soak.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {load:.1f} before. "
        f"{asked.records:,} records with requests of 1 KiB through spool, sidecar, Kafka and sink "
        f"in {found.seconds:,.0f} s: {found.stored:,} stored once, {found.gaps} gaps. "
        f"Limit: {LIMIT_MIB} MiB each.\n"
    )
    print("| records stored | sidecar, peak MiB | sink, peak MiB |")
    print("|---:|---:|---:|")
    for stored, peaks in found.peaks:
        print(f"| {stored:,} | {peaks['sidecar']:.0f} | {peaks['sink']:.0f} |")
    if found.stored != asked.records or max(max(p.values()) for _, p in found.peaks) > LIMIT_MIB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
