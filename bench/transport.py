"""End to end through a real Kafka to committed Parquet: CPU a record, beside what nobody can beat.

Each round fills a spool with records of 1 KiB and twenty features, ships it, and stores it; the
limits are measured in the same round on the same records. Given are medians over the rounds. CPU is
that of the process, all threads, user and system; the broker's is not in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq
from deltalake import write_deltalake

ROOT = Path(__file__).parents[1]
sys.path.insert(1, str(ROOT))

from capture_load import FORMS, SIGNATURE, fill, requests  # noqa: E402 - found by the line above.

from driftline.capture.line.kafka import KafkaTransport, kafka_sender  # noqa: E402
from driftline.capture.line.kafka_options import KafkaOptions  # noqa: E402
from driftline.capture.line.sidecar import Sidecar  # noqa: E402
from driftline.capture.line.sink import Sink  # noqa: E402
from driftline.capture.spool.follower import SpoolFollower  # noqa: E402
from driftline.capture.tables.dataset import Dataset  # noqa: E402
from tests.servers.kafka import KafkaBroker  # noqa: E402

ENDPOINT = "flights"
AIM_US = 10.0


def ship(options: KafkaOptions, spool: Path) -> None:
    """Send all that lies in the spool."""
    stop = threading.Event()
    sidecar = Sidecar(spool, kafka_sender(options, spool, stop))
    while sidecar.step():
        pass
    stop.set()
    sidecar.run(stop)


def store(options: KafkaOptions, here: Path, count: int) -> None:
    """Store all that was sent, joining the group included."""
    stop, pause = threading.Event(), threading.Event()
    transport = KafkaTransport(options, here / "state", stop)
    # The rest that fills no commit need not wait its ten seconds.
    sink = Sink(str(here / "root"), transport, lambda _: SIGNATURE, commit_interval_s=2.0)
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    while sink.counters["records"] < count:
        pause.wait(0.05)
    stop.set()
    thread.join()


def read(spool: Path) -> None:
    """Read the spool as the sidecar does, and do nothing with it."""
    follower = SpoolFollower(spool)
    while follower.receive(4_000):
        pass
    follower.close()


def apart(part: Callable[..., None], *given: object) -> tuple[float, float]:
    """Run a part in a process of its own; give its seconds of CPU and of wall, without imports."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        return one.submit(timed, part, *given).result()


def timed(part: Callable[..., None], *given: object) -> tuple[float, float]:
    """Run a part; give its seconds of CPU and of wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    part(*given)
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(
    parts: dict[str, Callable[[], None]], seconds: dict[str, list[tuple[float, float]]]
) -> None:
    """Run parts in order and note their seconds of CPU and of wall."""
    for name, part in parts.items():
        seconds[name].append(timed(part))


def limits(form: str, rows: pa.Table, here: Path, count: int) -> dict[str, Callable[[], None]]:
    """Return what pyarrow and delta-rs need for the same records, with nothing around it."""
    bodies = [request for request, _ in requests(form)]
    joined = b"\n".join(bodies[number % len(bodies)] for number in range(count))
    buffer, size = pa.py_buffer(joined), len(joined) + 1
    names = [column.name for column in SIGNATURE.inputs]

    def parse() -> None:
        if form == "text/csv":
            options = pacsv.ReadOptions(column_names=names, use_threads=False, block_size=size)
            pacsv.read_csv(pa.BufferReader(buffer), read_options=options)
        else:
            options = pajson.ReadOptions(use_threads=False, block_size=size)
            pajson.read_json(pa.BufferReader(buffer), read_options=options)

    def parquet() -> None:
        pq.write_table(rows, here / "limit.parquet", compression="zstd", use_dictionary=False)

    def delta() -> None:
        write_deltalake(str(here / "limit"), rows, partition_by=["event_date"])

    return {
        "limit: pyarrow parses the joined requests": parse,
        "limit: pyarrow writes the same table, zstd": parquet,
        "limit: delta-rs writes the same table": delta,
    }


def round_of(
    form: str,
    options: KafkaOptions,
    here: Path,
    count: int,
    seconds: dict[str, list[tuple[float, float]]],
) -> float:
    """Take records once the whole way; give how many bytes of files a record takes."""
    spool, again = here / "spool", here / "again"
    fill(spool, form, count)
    fill(again, form, count)
    seconds["sidecar"].append(apart(ship, options, spool))
    seconds["sink"].append(apart(store, options, here, count))
    seconds["limit: the spool is read and checked"].append(apart(read, again))
    data = Dataset(str(here / "root"), ENDPOINT).open()
    assert data is not None
    rows = data.to_table().combine_chunks()
    if rows.num_rows != count or rows["parse_error"].null_count != count:
        raise SystemExit(f"not everything arrived, or was read: {rows.num_rows} of {count}")
    measure(limits(form, rows, here, count), seconds)
    return sum(f.stat().st_size for f in (here / "root").rglob("*.parquet")) / count


def main() -> None:
    """Print the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60_000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    libs = subprocess.run([ROOT / "scripts/kafka"], check=True, stdout=subprocess.PIPE, text=True)
    load = os.getloadavg()[0]
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = KafkaBroker(folder, Path(libs.stdout.strip()))
        broker.start()
        try:
            for form in FORMS:
                seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
                for number in range(asked.rounds):
                    topic = f"bench-{form.split('/')[1]}-{number}"
                    options = KafkaOptions([broker.bootstrap], topic, topic, replication=1)
                    with tempfile.TemporaryDirectory(dir=folder) as here:
                        size = round_of(form, options, Path(here), asked.records, seconds)
                for part, found in seconds.items():
                    cpu, wall = (statistics.median(times) for times in zip(*found, strict=True))
                    least = min(found)[0]
                    lines.append(
                        f"| {part} | {form} | {1e6 * cpu / asked.records:.2f} "
                        f"| {1e6 * least / asked.records:.2f} | {asked.records / cpu:,.0f} "
                        f"| {asked.records / wall:,.0f} |"
                    )
                lines.append(f"| bytes of Parquet a record | {form} | {size:.0f} | | | |")
        finally:
            broker.stop()
    print("# How fast the way over Kafka is\n")
    print(
        f"`bench/transport.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after. {asked.records} records a round, of one spool: requests "
        f"of 1 KiB, 14 doubles and 6 texts; one broker on the same machine; {asked.rounds} rounds, "
        f"medians. Aim: {AIM_US:.0f} µs of CPU a record for sidecar and sink each.\n"
    )
    print("| part | form | CPU µs a record | least | records/s of CPU | records/s of wall |")
    print("|---|---|---:|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
