"""What syncing costs the sink and the tap: one measure of the tree on the path, as a line of JSON.

For two trees run in turn, `python bench/sync_cost.py`; CPU is user and system of the process.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.signature import Column, Signature

RECORDS, COMMITS, SPOOLS = 10_000, 40, 20
SIGNATURE = Signature(
    (Column("temp", "feature_temp", "double"),),
    (Column("prediction", "prediction", "int64", role="prediction"),),
)
META = {
    "endpoint": "flights", "request_content_type": "text/csv", "response_content_type": "text/csv",
}  # fmt: skip


def write(writer: SpoolWriter, count: int) -> None:
    for _ in range(count):
        writer.append(META, [b"2.5" + b" " * 1_000], [b"1"], wall_ns=10**18, status=200)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU and the wall seconds of some work."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writers = [SpoolWriter(folder / "first") for _ in range(SPOOLS)]
        first = timed(lambda: [write(writer, 1) for writer in writers])
        writer = SpoolWriter(folder / "spool")
        write(writer, 1)
        append = timed(lambda: write(writer, RECORDS))
        sink = Sink(str(folder / "root"), LocalTransport(folder / "spool"), lambda _: SIGNATURE)
        bulk = timed(sink.step)
        commits = [(write(writer, 10), timed(sink.step))[1] for _ in range(COMMITS)]
    print(
        json.dumps(
            {
                "first record, ms of wall": first[1] / SPOOLS * 1e3,
                "append, µs of CPU": append[0] / RECORDS * 1e6,
                "sink, records a second of CPU": RECORDS / bulk[0],
                "commit of 10 records, ms of CPU": sum(cpu for cpu, _ in commits) / COMMITS * 1e3,
                "commit of 10 records, ms of wall": sum(wall for _, wall in commits)
                / COMMITS
                * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
