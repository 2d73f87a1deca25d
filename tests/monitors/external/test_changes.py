"""Windows of tables that others write are judged again where rows or labels came, and no others."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.external.changes import external_changes
from driftline.monitors.external.source import Access, ExternalSource
from driftline.monitors.run.scheduler import Scheduler
from tests.monitors.conftest import DAY, START, weather

END = START + 3 * DAY
HOUR = timedelta(hours=1)


def table(day: int, rows: int = 60) -> pa.Table:
    """Rows of the first hour of a day."""
    times = [START + day * DAY + timedelta(seconds=number) for number in range(rows)]
    return pa.table({**weather(np.random.default_rng(day), rows), "at": pa.array(times)})


def write_parquet(folder: Path, rows: pa.Table) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(rows, folder / f"{len([*folder.iterdir()])}.parquet")


def write_delta(folder: Path, rows: pa.Table) -> None:
    write_deltalake(str(folder), rows, mode="append")


@pytest.fixture(params=[write_parquet, write_delta])
def write(request: pytest.FixtureRequest):
    return request.param


@pytest.fixture
def scheduler(engine: Engine, root: str, tmp_path: Path, reference: Baseline, write):
    versions.put(root, "flights", reference, lambda: START)
    for day in range(3):
        write(tmp_path / "scores", table(day))
    source = {"path": str(tmp_path / "scores"), "timestamp": "at"}
    definition = MonitorDefinition(
        "nightly", endpoint="", baseline="flights", source=source, start=START
    )
    with engine.begin() as connection:
        put_definition(connection, definition, START)
    moment = [END]
    made = Scheduler(engine, root, lambda _: None, now=lambda: END, lease_clock=lambda: moment[0])

    def step() -> list[datetime]:
        moment[0] += timedelta(minutes=10)
        return [one.window_start for one in made.step(threading.Event())]

    return step


@pytest.mark.first(1)
def test_the_scheduler_runs_each_window_once_and_again_where_rows_came(
    scheduler, tmp_path: Path, write
) -> None:
    first, second = scheduler(), scheduler()

    write(tmp_path / "scores", table(1, 10))
    third, fourth = scheduler(), scheduler()

    assert first == [START, START + DAY, START + 2 * DAY]
    assert (second, third, fourth) == ([], [START + DAY], [])


def changed(
    source: ExternalSource, since=None, *, labels: bool = False, access=None, before: datetime = END
):
    return external_changes(source, access or Access(), since, before=before, labels=labels)


def test_a_file_that_comes_with_an_older_time_of_change_is_found(tmp_path: Path) -> None:
    write_parquet(tmp_path / "scores", table(0))
    source = ExternalSource.of({"path": str(tmp_path / "scores"), "timestamp": "at"})
    position = changed(source).position

    write_parquet(tmp_path / "scores", table(1))
    os.utime(tmp_path / "scores" / "1.parquet", (0, 0))

    assert changed(source, position).hours == (START + DAY,)


def test_a_delta_table_that_is_put_together_touches_the_hours_it_moved(tmp_path: Path) -> None:
    for day in (0, 1):
        write_delta(tmp_path / "scores", table(day))
    source = ExternalSource.of({"path": str(tmp_path / "scores"), "timestamp": "at"})
    position = changed(source).position

    DeltaTable(str(tmp_path / "scores")).optimize.compact()

    assert changed(source, position).hours == (START, START + DAY)


def test_labels_of_another_table_touch_the_days_of_the_look_back(tmp_path: Path) -> None:
    write_parquet(tmp_path / "scores", table(0))
    write_parquet(tmp_path / "truth", pa.table({"id": ["a"], "late": [1]}))
    labels = {"path": str(tmp_path / "truth"), "id": "id"}
    source = ExternalSource.of(
        {
            "path": str(tmp_path / "scores"), "timestamp": "at", "id": "id",
            "look_back_days": 1, "labels": labels,
        }
    )  # fmt: skip
    position = changed(source, labels=True).position

    write_parquet(tmp_path / "truth", pa.table({"id": ["b"], "late": [0]}))

    hours = changed(source, position, labels=True).hours
    assert (hours[0], hours[-1]) == (END - DAY, END - HOUR)


def test_a_query_touches_the_days_of_the_look_back_when_it_counts_other_rows(
    tmp_path: Path,
) -> None:
    with sqlite3.connect(tmp_path / "scores.db") as connection:
        connection.execute("CREATE TABLE t (at text)")
        connection.execute("INSERT INTO t VALUES ('2024-01-02 05:00:00')")
    access = Access({"warehouse": f"sqlite:///{tmp_path}/scores.db"})
    query = "SELECT at FROM t WHERE at >= :start AND at < :end"
    source = ExternalSource.of(
        {"query": query, "connection": "warehouse", "timestamp": "at", "look_back_days": 1}
    )
    position = changed(source, access=access).position
    still = changed(source, position, access=access)

    with sqlite3.connect(tmp_path / "scores.db") as connection:
        connection.execute("INSERT INTO t VALUES ('2024-01-03 06:00:00')")
    hours = changed(source, position, access=access).hours

    assert (still.position, still.hours) == (position, ())
    assert (hours[0], hours[-1]) == (END - DAY, END - HOUR)
