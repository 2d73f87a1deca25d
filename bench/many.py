"""10,000 monitors and 100,000 alarms by a fake clock: what looks, windows and judgements cost.

python bench/many.py sqlite       or postgresql; --monitors 1000 --alarms 10000 for a tenth

Each monitor has hourly windows without a row, delayed so that a sixtieth of them are due in each
minute, and eight of ten alarms follow its datapoints; the others are judged each minute. A look is
one `step` of the scheduler or of the evaluator. Then minutes of operation are simulated, with a
look of the scheduler each five seconds and one of the evaluator each second, and compared with what
constants, measured by ``--constants`` on another size, predict. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, event, insert
from sqlalchemy.engine.interfaces import DBAPICursor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from driftline.alerts import tables  # noqa: E402 - found by the line above.
from driftline.alerts.alarms.definition import AlarmDefinition  # noqa: E402
from driftline.alerts.alarms.records import LOOK_AGAIN  # noqa: E402
from driftline.alerts.evaluation.evaluator import Evaluator  # noqa: E402
from driftline.alerts.metrics import store as metrics  # noqa: E402
from driftline.alerts.metrics.adding import add  # noqa: E402
from driftline.alerts.metrics.datapoint import Datapoint  # noqa: E402
from driftline.baseline import versions  # noqa: E402
from driftline.baseline.store import Baseline  # noqa: E402
from driftline.monitors.definitions import MonitorDefinition, put_definition  # noqa: E402
from driftline.monitors.run.scheduler import Scheduler  # noqa: E402
from tests.servers.postgres import Postgres, new_sqlite, open_url, running  # noqa: E402

START = datetime(2026, 1, 15, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
OWN = ("failed", "rows", *(f"metric_{number}" for number in range(6)))
SCHEDULER_S = 5  # Between two looks, as it is by default.
WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Cost:
    """What some work took; CPU in seconds, of this process and of the database server."""

    cpu: float = 0.0
    server: float = 0.0
    statements: int = 0
    commits: int = 0
    rows: int = 0  # Inserted, updated or deleted.
    wal: int = 0  # Bytes of PostgreSQL's log.
    made: int = 0  # Windows that were run, or changes of alarms.


@dataclass
class Meter:
    """Counts what the work inside `measured` costs."""

    engine: Engine
    server: Postgres | None
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        event.listen(self.engine, "after_cursor_execute", self._executed)
        event.listen(self.engine, "commit", self._committed)

    def measured(self, work: Callable[[], object]) -> Cost:
        """Return what some work costs."""
        self.cost = found = Cost()
        server, wal = self._server_s(), self._wal()
        # What is measured begins after the question of how far the log is.
        found.statements = found.commits = found.rows = 0
        begun = time.process_time()
        made = work()
        found.cpu = time.process_time() - begun
        self.cost = Cost()
        found.made = len(made) if isinstance(made, list) else 0
        found.server, found.wal = self._server_s() - server, self._wal() - wal
        return found

    def _executed(
        self, _connection: Connection, cursor: DBAPICursor, statement: str, *_: object
    ) -> None:
        self.cost.statements += 1
        if statement.lstrip().startswith(WRITES):
            self.cost.rows += max(cursor.rowcount, 0)

    def _committed(self, _connection: Connection) -> None:
        self.cost.commits += 1

    def _wal(self) -> int:
        if self.server is None:
            return 0
        with self.engine.connect() as connection:
            query = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
            return int(connection.exec_driver_sql(query).scalar_one())

    def _server_s(self) -> float:
        """Return the CPU seconds of the server's processes so far."""
        if self.server is None:
            return 0.0
        first = int((self.server.folder / "data" / "postmaster.pid").read_text().split()[0])
        ticks = 0
        for one in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = one.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # It has ended.
            if int(one.parent.name) == first:
                ticks += sum(map(int, fields[11:15]))  # Its own, and of backends that ended.
            elif int(fields[1]) == first:
                ticks += sum(map(int, fields[11:13]))
        return ticks / 100


@dataclass
class Crowd:
    """An installation of many monitors and alarms."""

    engine: Engine
    root: Path
    monitors: int
    alarms: int
    clock: datetime = START

    def make(self) -> None:
        values = np.random.default_rng(1).normal(size=200)
        versions.put(str(self.root), "b", Baseline.fit(pa.table({"x": values})), lambda: START)
        with self.engine.begin() as connection:
            for number in range(self.monitors):
                put_definition(connection, self._monitor(number), START)
        for first in range(0, self.monitors, 500):
            some = range(first, min(first + 500, self.monitors))
            points = [
                Datapoint("Driftline", name, self._of(number), START - HOUR, 0.0, period_s=3600)
                for number in some
                for name in OWN
            ]
            with self.engine.begin() as connection:
                metrics.put(connection, points, source=f"seed/{first}")
        rows = [self._alarm(number) for number in range(self.alarms)]
        with self.engine.begin() as connection:
            for first in range(0, len(rows), 5_000):
                connection.execute(insert(tables.alarms), rows[first : first + 5_000])

    def add_minute(self) -> None:
        """Store the datapoints of a minute that the alarms by the clock look at."""
        count = self.alarms // 5
        for first in range(0, count, 1_000):
            points = [
                Datapoint("Own", "load", {"n": str(number)}, self.clock - MINUTE, value=1.0)
                for number in range(first, min(first + 1_000, count))
            ]
            with self.engine.begin() as connection:
                add(connection, points, f"{self.clock.isoformat()}/{first}", now=self.clock)

    def scheduler(self) -> Scheduler:
        signature = versions.get(str(self.root), "b").signature
        return Scheduler(
            self.engine, str(self.root), lambda _: signature, now=lambda: self.clock,
        )  # fmt: skip

    def _monitor(self, number: int) -> MonitorDefinition:
        return MonitorDefinition(
            f"m{number:05}", endpoint="e", baseline="b", schedule="cron(0 * ? * * *)",
            start=START, delay_s=60.0 * (number * 60 // self.monitors),
        )  # fmt: skip

    def _of(self, number: int) -> dict[str, str]:
        return {"Endpoint": "e", "MonitoringSchedule": f"m{number:05}"}

    def _alarm(self, number: int) -> dict[str, object]:
        index, place = divmod(number, 10)
        watched: dict[str, object] = {
            "namespace": "Driftline", "metric_name": OWN[place % 8], "period": 3600,
            "dimensions": self._of(index % self.monitors),
        }  # fmt: skip
        if place >= 8:
            metric = {"n": str(index * 2 + place - 8)}
            watched = {
                "namespace": "Own", "metric_name": "load", "period": 60, "dimensions": metric,
            }  # fmt: skip
        made = AlarmDefinition.from_dict(
            {
                "alarm_name": f"a{number:06}", "evaluation_periods": 1, "threshold": 1e9,
                "comparison_operator": "GreaterThanThreshold", "statistic": "Sum", **watched,
            }
        )  # fmt: skip
        return {
            "name": made.alarm_name, "definition": made.as_dict(), "metric_key": made.metric_key,
            "created_at": START, "updated_at": START, "state": "INSUFFICIENT_DATA",
            "state_reason": "new", "state_changed_at": START, "seen_at": START, "kind": "metric",
            "seen_revision": LOOK_AGAIN, "state_seq": 0,
        }  # fmt: skip


def constants(crowd: Crowd, meter: Meter) -> dict[str, Cost]:
    """Measure each kind of look by itself."""
    found: dict[str, Cost] = {}
    crowd.make()
    scheduler = crowd.scheduler()
    evaluator = Evaluator(crowd.engine, now=lambda: crowd.clock)
    crowd.clock = START + HOUR - MINUTE
    for _ in range(3):
        crowd.clock += timedelta(seconds=1)
        crowd.add_minute()
    found["evaluator: first look, all alarms new"] = meter.measured(evaluator.step)
    found["scheduler: first look, nothing due"] = meter.measured(scheduler.step)
    found["scheduler: look, nothing due"] = meter.measured(scheduler.step)
    crowd.clock = START + HOUR + timedelta(seconds=1)
    found["scheduler: first windows of a sixtieth"] = meter.measured(scheduler.step)
    found["evaluator: look, arrivals of a sixtieth"] = meter.measured(evaluator.step)
    crowd.clock += timedelta(seconds=1)
    found["evaluator: look, nothing due"] = meter.measured(evaluator.step)
    crowd.clock = START + HOUR + MINUTE - timedelta(seconds=1)
    crowd.add_minute()
    evaluator.step()
    crowd.clock += timedelta(seconds=2)
    found["evaluator: look, a tick of the minute"] = meter.measured(evaluator.step)
    found["scheduler: windows of a sixtieth"] = meter.measured(scheduler.step)
    evaluator.step()
    crowd.clock += MINUTE
    return found


def simulated(crowd: Crowd, meter: Meter, minutes: int) -> dict[str, Cost]:
    """Measure some minutes of operation."""
    scheduler = crowd.scheduler()
    evaluator = Evaluator(crowd.engine, now=lambda: crowd.clock)
    scheduler.step()
    evaluator.step()
    found = {"scheduler": Cost(), "evaluator": Cost()}
    for second in range(minutes * 60):
        crowd.clock += timedelta(seconds=1)
        if second % 60 == 0:
            crowd.add_minute()
        looks = {"evaluator": evaluator.step}
        if second % SCHEDULER_S == 0:
            looks["scheduler"] = scheduler.step
        for name, look in looks.items():
            one = meter.measured(look)
            for what in vars(one):
                setattr(found[name], what, getattr(found[name], what) + getattr(one, what))
    return found


def table(found: dict[str, Cost]) -> Iterator[str]:
    """Write costs as Markdown."""
    yield "| | CPU ms | of the server | statements | commits | rows written | kB of log | made |"
    yield "|---|" + "---:|" * 7
    for name, one in found.items():
        yield (
            f"| {name} | {one.cpu * 1000:,.0f} | {one.server * 1000:,.0f} | {one.statements:,} | "
            f"{one.commits:,} | {one.rows:,} | {one.wal / 1000:,.0f} | {one.made:,} |"
        )


@contextmanager
def database(name: str, folder: Path) -> Iterator[tuple[Engine, Postgres | None]]:
    """Make an empty database; PostgreSQL as a user's, not as forgetful as the tests'."""
    if name == "sqlite":
        engine = open_url(new_sqlite(folder))
        yield engine, None
        engine.dispose()
        return
    with running() as server:
        server.make_durable()
        engine = open_url(server.url(server.new_database()))
        yield engine, server
        engine.dispose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument("--monitors", type=int, default=10_000)
    parser.add_argument("--alarms", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=2, help="of operation, simulated")
    parser.add_argument("--json", action="store_true", help="print the costs for another program")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        database(given.database, Path(folder)) as (engine, server),
    ):
        crowd = Crowd(engine, Path(folder), given.monitors, given.alarms)
        meter = Meter(engine, server)
        found = constants(crowd, meter)
        minutes = simulated(crowd, meter, given.minutes) if given.minutes else {}
    if given.json:
        print(json.dumps({name: vars(one) for name, one in (found | minutes).items()}))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"`bench/many.py {' '.join(sys.argv[1:])}`, peak memory {peak:.0f} MiB\n")
    print("\n".join(table(found)))
    if minutes:
        print(f"\n{given.minutes} minutes of operation:\n")
        print("\n".join(table(minutes)))


if __name__ == "__main__":
    main()
