"""How many records a second go from spool through sidecar, a real broker and sink to the table."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(1, str(ROOT))

from sink import RECORDS, SIGNATURE, fill  # noqa: E402 - found by the line above.

from driftline.capture.kafka import KafkaTransport, kafka_sender  # noqa: E402
from driftline.capture.kafka_options import KafkaOptions  # noqa: E402
from driftline.capture.shipping import Sidecar  # noqa: E402
from driftline.capture.sink import Sink  # noqa: E402
from tests.servers.kafka import KafkaBroker  # noqa: E402


def ship(options: KafkaOptions, spool: Path) -> tuple[float, float]:
    """Give seconds of CPU and of wall."""
    stop = threading.Event()
    sidecar = Sidecar(spool, kafka_sender(options, spool, stop))
    cpu, wall = time.process_time(), time.perf_counter()
    while sidecar.step():
        pass
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stop.set()
    sidecar.run(stop)
    return cpu, wall


def store(options: KafkaOptions, root: Path, state: Path) -> tuple[float, float]:
    """Give seconds of CPU and of wall, joining the group included."""
    stop, pause = threading.Event(), threading.Event()
    sink = Sink(str(root), KafkaTransport(options, state, stop), lambda _: SIGNATURE)
    thread = threading.Thread(target=sink.run, args=(stop,))
    cpu, wall = time.process_time(), time.perf_counter()
    thread.start()
    while sink.counters["records"] < RECORDS:
        pause.wait(0.02)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stop.set()
    thread.join()
    return cpu, wall


def main() -> None:
    libs = subprocess.run([ROOT / "scripts/kafka"], check=True, stdout=subprocess.PIPE, text=True)
    print("# How fast the way over Kafka is\n")
    print(
        f"`bench/transport.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}. "
        f"{RECORDS} records of one spool, one broker on the same machine; CPU is that of sidecar "
        "or sink, all threads, without the broker's.\n"
    )
    print("| part | form | rows a request | records/s of CPU | records/s of wall |")
    print("|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = KafkaBroker(folder, Path(libs.stdout.strip()))
        broker.start()
        try:
            for number, (form, rows) in enumerate([("text/csv", 1), ("application/json", 17)]):
                here = folder / str(number)
                fill(here / "spool", form, rows)
                topic = f"bench-{number}"
                options = KafkaOptions([broker.bootstrap], topic, topic, replication=1)
                parts = {
                    "sidecar": ship(options, here / "spool"),
                    "sink": store(options, here / "root", here / "state"),
                }
                for part, (cpu, wall) in parts.items():
                    speed = f"{RECORDS / cpu:,.0f} | {RECORDS / wall:,.0f}"
                    print(f"| {part} | {form} | {rows} | {speed} |")
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
