"""Schedulers of one database as real processes that are killed at random, and what they leave.

Their clock is a number that the campaign moves. Leases run by real time, but 1,500 times as fast:
those of a killed process run out after a fifth of a second.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine, func, select

from driftline.alerts.tables import datapoints
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution
from driftline.monitors.run.scheduler import Scheduler
from tests.servers.postgres import open_url

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE_SPEED = 1_500
REAL_S = 1_750_000_000  # Any time not long ago, the same in each process.
FORKS = multiprocessing.get_context("fork")


@dataclass
class Campaign:
    """Monitors without any traffic, of hourly windows, in a database and a store."""

    database: str
    root: Path
    monitors: int
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = open_url(self.database)
        values = np.random.default_rng(1).normal(size=200)
        store.put(str(self.root), "b", Baseline.fit(pa.table({"x": values})), lambda: START)
        order = random.Random(1).sample(range(self.monitors), self.monitors)
        with self.engine.begin() as connection:
            for number in order:
                monitor = MonitorDefinition(
                    f"m{number:03}", endpoint="e", baseline="b", schedule="cron(0 * ? * * *)",
                    start=START, priority=number % 7,
                )  # fmt: skip
                put_definition(connection, monitor, START)

    def scheduler(self, now, engine: Engine | None = None) -> Scheduler:
        signature = store.get(str(self.root), "b").signature

        def lease_clock() -> datetime:
            return START + (time.time() - REAL_S) * LEASE_SPEED * timedelta(seconds=1)

        return Scheduler(
            engine or self.engine, str(self.root), lambda _: signature, now=now,
            lease_clock=lease_clock, poll_s=0.05,
        )  # fmt: skip

    def alone(self, hours: int) -> list[list[Execution]]:
        """Let one scheduler run hour after hour; return what it ran in each, in order."""
        clock = START
        one = self.scheduler(lambda: clock)
        ran = []
        for number in range(hours):
            clock = START + (number + 1) * HOUR
            ran.append(one.step())
        return ran

    def together(self, hours: int, *, schedulers: int, kills: int, seed: int) -> Counter[str]:
        """Let several run, one of them killed now and then; return how that went."""
        rng, told = random.Random(seed), Counter[str]()
        clock = FORKS.Value("d", START.timestamp())
        workers = [self._begin(clock) for _ in range(schedulers)]
        expected, pause = 0, threading.Event()
        at = sorted(rng.uniform(0.02, 0.98) * hours * self.monitors for _ in range(kills))
        try:
            for hour in range(1, hours + 1):
                clock.value = (START + hour * HOUR).timestamp()
                expected += self.monitors
                end = time.monotonic() + 120
                while (done := self.executions()) < expected:
                    assert time.monotonic() < end, f"hour {hour}: {done} of {expected} windows"
                    while at and at[0] <= done:
                        at.pop(0)
                        place = rng.randrange(schedulers)
                        workers[place].kill()
                        workers[place].join()
                        told["kills"] += workers[place].exitcode == -signal.SIGKILL
                        workers[place] = self._begin(clock)
                    pause.wait(rng.uniform(0.001, 0.03))
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
        return told

    def executions(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(tables.executions)) or 0

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

    def _begin(self, clock):
        worker = FORKS.Process(target=self._work, args=(clock,))
        worker.start()
        return worker

    def _work(self, clock) -> None:
        engine = open_url(self.database)
        now = lambda: datetime.fromtimestamp(clock.value, UTC)  # noqa: E731 - as short as it is
        self.scheduler(now, engine).run(threading.Event())
