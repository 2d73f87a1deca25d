"""How many records a second the sink moves from spool to table on one core."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.signature import Column, Signature

RECORDS = 20_000
FEATURES = 14
SIGNATURE = Signature(
    tuple(
        Column(f"f{n}", f"feature_f{n}", "string" if n % 7 == 0 else "double")
        for n in range(FEATURES)
    ),
    (
        Column("prediction", "prediction", "int64", "prediction"),
        Column("probability", "probability", "double", "probability"),
    ),
)
ROW = ",".join("UA" if n % 7 == 0 else f"{n}.25" for n in range(FEATURES)).encode()
JSON_ROW = b"[" + ROW.replace(b"UA", b'"UA"') + b"]"


def fill(folder: Path, form: str, rows: int) -> None:
    writer = SpoolWriter(folder)
    request = (
        b"\n".join([ROW] * rows)
        if form == "text/csv"
        else b'{"instances":[' + b",".join([JSON_ROW] * rows) + b"]}"
    )
    response = (
        b"\n".join([b"1,0.25"] * rows)
        if form == "text/csv"
        else b'{"predictions":['
        + b",".join([b'{"prediction":1,"probability":0.25}'] * rows)
        + b"]}"
    )
    meta = {"endpoint": "flights", "request_content_type": form, "response_content_type": form}
    for number in range(RECORDS):
        writer.append(
            {**meta, "event_id": f"{number:032d}"},
            [request],
            [response],
            wall_ns=10**18,
            status=200,
        )
    writer.close()


def main() -> None:
    print("# How fast the sink is\n")
    print(
        f"`bench/sink.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}. "
        f"{RECORDS} records of {FEATURES} features, commits of 5,000 records to a local folder; "
        f"CPU is that of the whole process, all threads.\n"
    )
    print("| form | rows a request | records/s of CPU | rows/s of CPU | records/s of wall |")
    print("|---|---:|---:|---:|---:|")
    for form in ("text/csv", "application/json"):
        for rows in (1, 17):
            with tempfile.TemporaryDirectory() as folder:
                fill(Path(folder, "spool"), form, rows)
                sink = Sink(
                    str(Path(folder, "root")),
                    LocalTransport(Path(folder, "spool")),
                    lambda _: SIGNATURE,
                )
                cpu, wall = time.process_time(), time.perf_counter()
                done = sink.step()
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                if done != RECORDS or sink.counters["rows"] != RECORDS * rows:
                    raise SystemExit(f"not everything arrived: {sink.counters}")
            print(
                f"| {form} | {rows} | {done / cpu:,.0f} | {done * rows / cpu:,.0f} "
                f"| {done / wall:,.0f} |"
            )


if __name__ == "__main__":
    main()
