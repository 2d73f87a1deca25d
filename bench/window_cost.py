"""What one judged window costs: CPU, statements, rows and documents, by its rows.

python bench/window_cost.py [sqlite|postgresql]

Daily windows of 6 columns (3 numbers, a count, 2 texts) of captured rows, judged one after another
by the scheduler; the first is left out of the means. The bytes of a record of 1 KiB with twenty
features, in a spool and in a message of the topic, come last. Prints Markdown.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.capture_load import FORMS, fill  # noqa: E402 - found by the line above.
from bench.many import Meter, database  # noqa: E402
from driftline.baseline import store  # noqa: E402
from driftline.baseline.store import Baseline  # noqa: E402
from driftline.monitors.definitions import MonitorDefinition, put_definition  # noqa: E402
from driftline.monitors.run.scheduler import Scheduler  # noqa: E402
from tests.monitors.conftest import DAY, START, append_day, weather  # noqa: E402

SIZES = (300, 30_000, 300_000)
DAYS = 4
RECORDS = 20_000
MESSAGE_RECORDS = 1_000


def window(name: str, rows: int) -> str:
    """Judge some windows of so many rows; return a line of the table."""
    rng, clock = np.random.default_rng(1), START
    with tempfile.TemporaryDirectory() as folder, database(name, Path(folder)) as (engine, server):
        root = f"{folder}/store"
        baseline = Baseline.fit(pa.table(weather(rng, 20_000)))
        store.put(root, "flights", baseline, lambda: START)
        for day in range(DAYS):
            append_day(root, baseline.signature, day, weather(rng, rows))
        monitor = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)
        with engine.begin() as connection:
            put_definition(connection, monitor, START)
        one = Scheduler(engine, root, lambda _: baseline.signature, now=lambda: clock)
        meter, found = Meter(engine, server), []
        for day in range(DAYS):
            clock = START + (day + 1) * DAY + timedelta(seconds=1)
            found.append(meter.measured(one.step))
            assert found[-1].made == 1
        documents = sum(one.stat().st_size for one in Path(root, "executions").rglob("*.*"))
        later = found[1:]
        mean = [
            sum(getattr(one, what) for one in later) / len(later)
            for what in ("cpu", "server", "statements", "commits", "rows", "wal")
        ]
        cpu, of_server, statements, commits, written, log = mean
        return (
            f"| {rows:,} | {cpu * 1000:,.0f} | {of_server * 1000:,.0f} | {statements:,.0f} | "
            f"{commits:,.0f} | {written:,.0f} | {log / 1000:,.0f} | "
            f"{documents / DAYS / 1000:,.0f} |"
        )


def records(form: str) -> str:
    """Return the bytes of a record, in a spool and compressed as a message of the topic."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), form, RECORDS)
        files = sorted(one for one in Path(folder).rglob("*") if one.stat().st_size > 1_000_000)
        raw = b"".join(one.read_bytes() for one in files)
    size = len(raw) // RECORDS
    step = size * MESSAGE_RECORDS
    codec = pa.Codec("zstd")
    packed = sum(len(codec.compress(raw[at : at + step])) for at in range(0, len(raw), step))
    return f"| {form} | {size:,} | {packed / RECORDS:,.0f} |"


def main() -> None:
    """Measure and print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    print(f"`bench/window_cost.py {name}`\n")
    print(
        "| rows | CPU ms | of the server | statements | commits | rows written | kB of log | "
        "kB of documents |"
    )
    print("|---|" + "---:|" * 7)
    for rows in SIZES:
        print(window(name, rows), flush=True)
    print("\n| a record of 1 KiB | bytes in the spool | in the topic |\n|---|---:|---:|")
    for form in FORMS:
        print(records(form))


if __name__ == "__main__":
    main()
