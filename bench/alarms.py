"""10,000 alarms over 50,000 metrics: how long a cycle takes, how late it is, what it stores.

On SQLite and on PostgreSQL (Debian's package, durable settings). Two sets of alarms, each on all
minutes:

* ``one metric each``: 10,000 alarms, 2 of 3 minutes, on 10,000 of the 50,000 metrics;
* ``sums of five``: 10,000 alarms on ``SUM(METRICS())`` of five metrics, which read all 50,000.

The clock is simulated; every minute 50,000 datapoints come in by batches of 1,000, then the alarms
are judged. Each minute a hundredth of the metrics begins or ends to breach; at the end all do at
once. An alarm's lag is the time from its tick to the commit that makes its judgement final.
Prints Markdown; ``--write`` puts it into bench/alarms.md with machine and date.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, event

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.retention import MetricRetention
from driftline.database.migrations import migrate

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.servers.postgres import open_url, running  # noqa: E402 - the folder is not installed

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BATCH = 1_000  # PutMetricData takes no more.
THRESHOLD = 99.0
SETS = ("one metric each", "sums of five")


@dataclass
class Found:
    """What was measured on one database with one set of alarms; seconds unless said otherwise."""

    put: list[tuple[float, float]] = field(default_factory=list)
    cycles: list[tuple[float, float]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    first: float = 0.0
    storm: float = 0.0
    storm_changes: int = 0
    changes: int = 0
    idle: float = 0.0


def main() -> None:
    """Measure, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alarms", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=50_000)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--day-metrics", type=int, default=200, help="metrics kept for a whole day")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--write", action="store_true", help="into bench/alarms.md")
    given = parser.parse_args()
    chosen = given.only or ["sqlite", "postgresql"]
    text = [f"{given.alarms:,} alarms, {given.metrics:,} metrics, {given.minutes} minutes.", ""]
    for name in [one for one in ("sqlite", "postgresql") if one in chosen]:
        text += database_section(name, given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text += [f"Peak memory of the measuring process, evaluator and writer in one: {peak:.0f} MiB."]
    print("\n".join(text))
    if given.write:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        head = f"# Alarms\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}, {platform.system()}\n\n"
        (HERE / "alarms.md").write_text(head + "\n".join(text) + "\n")


def database_section(name: str, given: argparse.Namespace) -> list[str]:
    """Measure one database; give its part of the page."""
    rows = []
    for kind in SETS:
        with database(name) as (engine, _):
            found = measure(engine, kind, given)
        rows.append((kind, found))
        print(f"{name}: {kind}: {found.cycles}", file=sys.stderr)
    with database(name) as (engine, size):
        sizes = measure_size(engine, size, given.day_metrics)
    head = f"| {name} | " + " | ".join(kind for kind, _ in rows) + " |"
    lines = [head, "|---|" + "---:|" * len(rows)]
    for label, cell in CELLS.items():
        lines.append(f"| {label} | " + " | ".join(cell(found, given) for _, found in rows) + " |")
    fresh, packed = sizes
    lines += [
        "",
        f"A metric's day of minutes: {fresh:,.0f} bytes fresh, {packed:,.0f} bytes packed "
        f"({given.day_metrics} metrics, indexes and all).",
        "",
    ]
    return lines


CELLS: dict[str, Callable[[Found, argparse.Namespace], str]] = {
    "cycle, wall s: median (most)": lambda found, _: (
        f"{np.median([one[0] for one in found.cycles]):.2f} "
        f"({max(one[0] for one in found.cycles):.2f})"
    ),
    "cycle, s of CPU of this process": lambda found, _: (
        f"{np.median([one[1] for one in found.cycles]):.2f}"
    ),
    "lag p50 / p99, s": lambda found, _: (
        f"{np.percentile(found.lags, 50):.2f} / {np.percentile(found.lags, 99):.2f}"
    ),
    "first cycle after a start, s": lambda found, _: f"{found.first:.2f}",
    "changes of state a cycle": lambda found, _: f"{found.changes / len(found.cycles):.0f}",
    "all alarms change at once, s": lambda found, _: (
        f"{found.storm:.2f} ({found.storm_changes:,} changes)"
    ),
    "a pass with nothing due, ms": lambda found, _: f"{found.idle * 1000:.0f}",
    "datapoints stored a second": lambda found, given: (
        f"{given.metrics / np.median([one[0] for one in found.put]):,.0f}"
    ),
}


@contextmanager
def database(name: str) -> Iterator[tuple[Engine, Callable[[], int]]]:
    """Make an empty database, and what gives its size in bytes."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            engine = open_url(f"sqlite:///{folder}/driftline.db")
            migrate(engine)
            yield engine, lambda: _sqlite_size(engine, Path(folder))
            engine.dispose()
        return
    with running() as server:
        server.make_durable()
        engine = open_url(server.url(server.new_database()))
        yield engine, lambda: _postgres_size(engine)
        engine.dispose()


def measure(engine: Engine, kind: str, given: argparse.Namespace) -> Found:
    """Run minutes with one set of alarms."""
    found, clock = Found(), [START]
    rng = np.random.default_rng(20260115)
    put_alarms(engine, kind, given.alarms, given.metrics)
    evaluator = Evaluator(engine, now=lambda: clock[0])
    for minute in range(3):
        put_minute(engine, START - (3 - minute) * MINUTE, rng.uniform(0, 10, given.metrics))
    found.first = timed(evaluator.step)[0]
    is_high = np.zeros(given.metrics, dtype=bool)
    for _ in range(given.minutes):
        is_high ^= rng.random(given.metrics) < 0.01
        values = np.where(is_high, 200.0, rng.uniform(0, 10, given.metrics))
        found.put.append(timed(lambda v=values: put_minute(engine, clock[0], v))[:2])
        clock[0] += MINUTE
        with commits(engine, found, given.alarms):
            wall, cpu, changes = timed(evaluator.step)
        found.cycles.append((wall, cpu))
        found.changes += len(changes)
    found.idle = min(timed(evaluator.step)[0] for _ in range(3))
    for _ in range(3):
        put_minute(engine, clock[0], np.full(given.metrics, 200.0))
        clock[0] += MINUTE
        wall, _, changes = timed(evaluator.step)
        if len(changes) > found.storm_changes:
            found.storm, found.storm_changes = wall, len(changes)
    return found


def timed(work: Callable[[], object]) -> tuple[float, float, Sequence[object]]:
    """Return the wall and CPU seconds that some work takes, and what came of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return *spent, made if isinstance(made, list) else []


@contextmanager
def commits(engine: Engine, found: Found, alarms: int) -> Iterator[None]:
    """Note, for the alarms of each part, when the mark of their judgement was committed."""
    began, lags, is_marked = time.perf_counter(), list[float](), [False]

    def executed(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        is_marked[0] = statement.startswith("UPDATE alerts_passes SET judged_until") and (
            "lease_until" in statement
        )

    def committed(_connection: Connection) -> None:
        if is_marked[0]:
            lags.append(time.perf_counter() - began)

    event.listen(engine, "after_cursor_execute", executed)
    event.listen(engine, "commit", committed)
    yield
    event.remove(engine, "after_cursor_execute", executed)
    event.remove(engine, "commit", committed)
    # Parts are of equal size.
    found.lags += [lag for lag in lags for _ in range(alarms // max(len(lags), 1))]


def put_alarms(engine: Engine, kind: str, alarms: int, metrics: int) -> None:
    """Store the alarms, some hundred at once."""
    for first in range(0, alarms, 500):
        with engine.begin() as connection:
            for number in range(first, min(first + 500, alarms)):
                put_alarm(connection, definition(kind, number, alarms, metrics), START - 9 * MINUTE)


def definition(kind: str, number: int, alarms: int, metrics: int) -> AlarmDefinition:
    """Return one of the alarms."""
    fields = {
        "alarm_name": f"alarm {number:05}",
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": THRESHOLD,
    }
    if kind == SETS[0]:
        index = number * (metrics // alarms)
        metric = {"namespace": "Bench", "metric_name": "load", "dimensions": dimensions(index)}
        return AlarmDefinition(**fields, **metric, period=60)
    queries = [
        {
            "id": f"m{place}", "return_data": False,
            "metric_stat": {
                "metric": {
                    "namespace": "Bench", "metric_name": "load",
                    "dimensions": dimensions((number * 5 + place) % metrics),
                },
                "period": 60, "stat": "Average",
            },
        }
        for place in range(5)
    ]  # fmt: skip
    queries.append({"id": "e1", "expression": "SUM(METRICS())", "return_data": True})
    return AlarmDefinition.from_dict(fields | {"metrics": queries})


def dimensions(index: int) -> dict[str, str]:
    """Return the dimensions of a metric, as a fleet of hosts has them."""
    return {"Host": f"host-{index // 10:05}", "Core": str(index % 10)}


def put_minute(engine: Engine, at: datetime, values: np.ndarray) -> None:
    """Store one datapoint of each metric, by batches of PutMetricData's size."""
    for first in range(0, len(values), BATCH):
        points = [
            Datapoint("Bench", "load", dimensions(first + place), at, value=value)
            for place, value in enumerate(values[first : first + BATCH].tolist())
        ]
        with engine.begin() as connection:
            add(connection, points, f"{at.isoformat()}/{first}", now=at)


def measure_size(engine: Engine, size: Callable[[], int], metrics: int) -> tuple[float, float]:
    """Return the bytes of a metric's day of minutes, as they came and packed."""
    rng = np.random.default_rng(1)
    day = START.replace(hour=0)
    put_minute(engine, day - MINUTE, rng.uniform(0, 10, metrics))
    empty = size()
    for minute in range(24 * 60):
        put_minute(engine, day + minute * MINUTE, rng.uniform(0, 10, metrics).round(3))
    fresh = size() - empty
    MetricRetention(engine, lambda: day + timedelta(hours=26)).step()
    return fresh / metrics, (size() - empty) / metrics


def _sqlite_size(engine: Engine, folder: Path) -> int:
    with engine.connect() as connection:
        connection.commit()
    raw = engine.raw_connection()
    raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.cursor().execute("VACUUM")
    raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return sum(one.stat().st_size for one in folder.iterdir())


def _postgres_size(engine: Engine) -> int:
    plain = engine.execution_options(isolation_level="AUTOCOMMIT")
    with plain.connect() as connection:
        connection.exec_driver_sql("VACUUM FULL")
        found = connection.exec_driver_sql("SELECT pg_database_size(current_database())")
        return int(found.scalar_one())


if __name__ == "__main__":
    main()
