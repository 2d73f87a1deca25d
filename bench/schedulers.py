"""Schedulers of one database as real processes that are killed at random, and what they leave.

Their clock is a number that the campaign moves. Leases run by real time, but 150 times as fast:
those of a killed process run out after a fifth of a second.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine, func, select

from driftline.alerts.tables import datapoints
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, list_definitions, put_definition
from driftline.monitors.executions import Execution, current, find, record
from driftline.monitors.run import execution, scheduler
from driftline.monitors.run.described import execution_id
from driftline.monitors.run.job import Job
from driftline.monitors.run.scheduler import Scheduler
from tests.servers.postgres import open_url

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
REAL_S = 1_750_000_000  # Any time not long ago, the same in each process.
Clock = Synchronized  # Of a float: seconds since 1970.
FORKS = multiprocessing.get_context("fork")


@dataclass
class Campaign:
    """Monitors without any traffic, of hourly windows, in a database and a store."""

    database: str
    root: Path
    monitors: int
    is_judged: bool = True  # Else windows are recorded without a look at rows.
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = open_url(self.database)
        values = np.random.default_rng(1).normal(size=200)
        versions.put(str(self.root), "b", Baseline.fit(pa.table({"x": values})), lambda: START)
        order = random.Random(1).sample(range(self.monitors), self.monitors)
        with self.engine.begin() as connection:
            for number in order:
                monitor = MonitorDefinition(
                    f"m{number:03}", endpoint="e", baseline="b", schedule="cron(0 * ? * * *)",
                    start=START, priority=number % 7,
                )  # fmt: skip
                put_definition(connection, monitor, START)

    def scheduler(self, now: Callable[[], datetime], engine: Engine | None = None) -> Scheduler:
        signature = versions.get(str(self.root), "b").signature

        def lease_clock() -> datetime:
            return START + (time.time() - REAL_S) * 150 * timedelta(seconds=1)

        if not self.is_judged:
            # In this process, which is the campaign's own.
            scheduler.run = record_only
        return Scheduler(
            engine or self.engine, str(self.root), lambda _: signature, now=now,
            lease_clock=lease_clock, poll_s=0.05,
        )  # fmt: skip

    def alone(self, hours: int) -> Iterator[list[Execution]]:
        """Let one scheduler run hour after hour; return what it ran in each, in order."""
        clock = START
        one = self.scheduler(lambda: clock)
        for number in range(hours):
            clock = START + (number + 1) * HOUR
            yield one.step()

    def _first_hour(self) -> None:
        """Let one scheduler run the first hour, however many looks that takes."""
        one = self.scheduler(lambda: START + HOUR)
        while one.step():
            pass

    def together(
        self,
        hours: int,
        *,
        schedulers: int,
        kills: int,
        seed: int,
        servers: int = 0,
        most_s: float = math.inf,
    ) -> Counter[str]:
        """Let several run, one of them killed now and then; return how that went.

        Servers run windows, too, that are due or were run: as `POST /monitors/NAME/run` does. No
        hour begins after ``most_s`` seconds; kills are spread over those, where it is given.
        """
        rng, told = random.Random(seed), Counter[str]()
        clock = FORKS.Value("d", START.timestamp())
        self._first_hour()  # So that those that are forked find their statements compiled.
        works = [self._work] * schedulers + [self._serve] * servers
        workers = [self._begin(work, clock) for work in works]
        expected, pause, begun = self.monitors, threading.Event(), time.monotonic()
        is_timed = most_s < math.inf
        # None in the last hour, which may end between two looks: of others it would come later.
        whole = most_s if is_timed else (hours - 1) * self.monitors
        at = sorted(rng.uniform(0.02, 0.98) * whole for _ in range(kills))
        try:
            for hour in range(2, hours + 1):
                if time.monotonic() - begun > most_s:
                    break
                told["hours"] = hour
                clock.value = (START + hour * HOUR).timestamp()
                expected += self.monitors
                end = time.monotonic() + 120
                while (done := expected - self.monitors + self._done(clock.value)) < expected:
                    assert time.monotonic() < end, f"hour {hour}: {done} of {expected} windows"
                    while at and at[0] <= (time.monotonic() - begun if is_timed else done):
                        at.pop(0)
                        place = rng.randrange(len(works))
                        workers[place].kill()
                        workers[place].join()
                        told["kills"] += workers[place].exitcode == -signal.SIGKILL
                        workers[place] = self._begin(works[place], clock)
                    pause.wait(rng.uniform(0.01, 0.05))
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
        return told

    def _done(self, moment: float) -> int:
        """Count the monitors that have run all; the executions are too many for each look."""
        until, waiting = tables.positions.c, select(tables.windows.c.monitor)
        query = select(func.count()).where(
            until.planned_until >= datetime.fromtimestamp(moment, UTC),
            until.monitor.not_in(waiting),
        )
        with self.engine.connect() as connection:
            return connection.scalar(query) or 0

    def doubles(self) -> dict[str, int]:
        """Count what is there more or less than once."""
        table = tables.executions.c
        each = select(table.monitor, table.window_start, func.count().label("n")).group_by(
            table.monitor, table.window_start
        )
        with self.engine.connect() as connection:
            runs = [row.n for row in connection.execute(each)]
            of_metrics = (
                select(func.count())
                .select_from(datapoints)
                .group_by(datapoints.c.metric_id, datapoints.c.time)
            )
            points = list(connection.scalars(of_metrics))
            unlike = connection.scalar(
                select(func.count()).where((table.status != "NoData") | table.is_current.is_(False))
            )
        return {
            "windows": len(runs),
            "windows run twice": sum(n > 1 for n in runs),
            "executions of another status, or replaced": unlike or 0,
            "datapoints put twice": sum(n > 1 for n in points),
        }

    def _begin(self, work: Callable[[Clock], None], clock: Clock) -> BaseProcess:
        worker = FORKS.Process(target=work, args=(clock,))
        worker.start()
        return worker

    def _work(self, clock: Clock) -> None:
        engine = open_url(self.database)
        now = lambda: datetime.fromtimestamp(clock.value, UTC)  # noqa: E731 - as short as it is
        self.scheduler(now, engine).run(threading.Event())

    def _serve(self, clock: Clock) -> None:
        engine = open_url(self.database)
        now = lambda: datetime.fromtimestamp(clock.value, UTC)  # noqa: E731 - as short as it is
        signature, chance = versions.get(str(self.root), "b").signature, random.Random()
        with read_connection(engine) as connection:
            known = list_definitions(connection)
        run = execution.run if self.is_judged else record_only
        while True:
            end = now() - chance.randrange(3) * HOUR
            if end > START:
                job = Job(
                    engine, str(self.root), chance.choice(known), Window(end - HOUR, end),
                    now=now, signature=signature,
                )  # fmt: skip
                run(job)
            time.sleep(0.1)


def record_only(job: Job) -> Execution:
    """Record a window without a look at any row, as one that had none."""
    started = job.now()
    with read_connection(job.engine) as connection:
        before = current(connection, job.definition.name, job.window)
        identity = execution_id(job.definition, "", job.window, "")
        known = find(connection, identity)
    if known is not None:
        return known
    made = Execution(
        id=identity, monitor=job.definition.name, kind=job.definition.kind, endpoint="e",
        definition_version=1, baseline="b", baseline_version="", window_start=job.window.start,
        window_end=job.window.end, digest="", status="NoData", started_at=started,
        finished_at=job.now(),
    )  # fmt: skip
    return record(job.engine, made, [], timetable=job.definition.timetable, before=before)
