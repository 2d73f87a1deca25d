"""Cancelled windows, and what is seen of a run while it lasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Engine, select, update

from driftline.alerts.tables import datapoints
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import ConflictError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import answers_judged, log_of
from driftline.monitors.run import execution as runs
from driftline.monitors.run.cancel import cancel
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.run.planning import pending
from driftline.monitors.run.progress import Progress
from driftline.monitors.run.scheduler import Scheduler
from driftline.monitors.run.window_queue import list_runs
from tests.monitors.conftest import DAY, START, Append, weather
from tests.servers.postgres import both_in_full

WINDOW = Window(START, START + DAY)
NOW = START + 3 * DAY
DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)


@pytest.fixture
def job(engine: Engine, root: str, reference: Baseline, append: Append, rng) -> Job:
    """One captured day of a monitor that has run nothing yet."""
    versions.put(root, "flights", reference, lambda: START)
    with engine.begin() as connection:
        put_definition(connection, DAILY, START)
    append(0, weather(rng, 400))
    return Job(engine, root, DAILY, WINDOW, now=lambda: NOW, signature=reference.signature)


def utc_now() -> datetime:
    return datetime.now(UTC)


def rows(engine: Engine) -> list[tuple[str, bool]]:
    table = tables.executions.c
    with engine.connect() as connection:
        found = connection.execute(select(table.status, table.is_current))
        return sorted((row.status, row.is_current) for row in found)


def scheduler(job: Job, until: datetime) -> Scheduler:
    signature = job.signature
    return Scheduler(
        job.engine, job.root, lambda _: signature, now=lambda: until, lease_clock=utc_now
    )


@pytest.fixture
def cancelled_at(monkeypatch, job: Job):
    """Have a run write itself down at each look, and somebody cancel it in a stage."""

    def at(stage: str, now: datetime = NOW) -> None:
        class Watched(Progress):
            def check(self) -> None:
                self.tick()
                with job.engine.connect() as connection:
                    (seen,) = list_runs(connection, DAILY.name)
                if self.stage == stage and seen.status == "InProgress":
                    cancel(job.engine, DAILY, WINDOW, by="ada", now=now)
                    self.tick()
                super().check()

        monkeypatch.setattr(runs, "Progress", Watched)

    return at


@both_in_full
@pytest.mark.parametrize("stage", ["reading", "looking for removed rows", "evaluating"])
def test_a_run_that_is_cancelled_ends_in_its_stage_and_leaves_nothing(
    job: Job, cancelled_at, stage: str
) -> None:
    cancelled_at(stage)

    (stopped,) = scheduler(job, START + DAY).step()

    assert (stopped.status, stopped.failure_reason) == ("Stopped", "stopped by ada")
    assert rows(job.engine) == [("Stopped", True)]
    assert not (Path(job.root) / "executions").exists()
    with job.engine.connect() as connection:
        assert list_runs(connection, "daily") == []
        assert connection.execute(select(datapoints)).all() == []
        assert connection.execute(select(tables.windows)).all() == []
        log = [one["text"] for one in log_of(connection, stopped.id)]
    assert log[-1] == "stopped"


@both_in_full
def test_a_window_that_waits_ends_at_once_and_is_passed_by(job: Job) -> None:
    (waiting,) = pending(job.engine, DAILY, START + DAY)
    assert Window(waiting.start, waiting.end) == WINDOW

    (done,) = cancel(job.engine, DAILY, None, by="ada", now=START + DAY)
    (again,) = cancel(job.engine, DAILY, WINDOW, by="eve", now=START + DAY)
    ran = scheduler(job, START + DAY).step()

    assert (done.status, done.window_start, again.status) == ("Stopped", START, "Stopped")
    assert [(one.status, one.failure_reason) for one in ran] == [("Stopped", "stopped by ada")]
    assert pending(job.engine, DAILY, START + DAY) == []
    with job.engine.connect() as connection:
        assert connection.scalar(select(tables.positions.c.planned_until)) == START + DAY


def test_a_result_that_stands_outlives_a_cancelled_run(job: Job, append: Append, rng, cancelled_at):
    before = run(job)
    append(0, weather(rng, 5), spool="b")
    cancelled_at("evaluating")

    stopped = run(job)

    assert stopped.status == "Stopped"
    assert "result of before stands" in str(stopped.failure_reason)
    assert rows(job.engine) == [(before.status, True)]


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (WINDOW, "has ended as Completed"),
        (Window(NOW, NOW + DAY), "is not over yet"),
        (None, "no window is being judged or waits"),
    ],
)
def test_what_cannot_be_cancelled_is_said(job: Job, window: Window | None, words: str) -> None:
    scheduler(job, START + 2 * DAY).step()

    with pytest.raises(ConflictError, match=words):
        cancel(job.engine, DAILY, window, by="ada", now=START + 2 * DAY)


@both_in_full
def test_a_run_whose_process_has_died_is_not_shown_and_its_wish_is_not_the_next_ones(
    job: Job,
) -> None:
    progress = Progress(job)
    progress.pass_on(pa.record_batch({"x": [1, 2, 3]}))
    progress.tick()
    with job.engine.connect() as connection:
        (seen,) = list_runs(connection, "daily")
    assert (seen.stage, seen.rows_read, seen.status) == ("reading", 3, "InProgress")

    with job.engine.begin() as connection:
        long_ago = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(update(tables.windows).values(lease_until=long_ago))
    with job.engine.connect() as connection:
        assert list_runs(connection, "daily") == []
    following = Progress(job)
    following.tick()
    following.check()


@both_in_full
def test_an_execution_keeps_what_it_read_and_how_it_went(job: Job) -> None:
    done = run(job)

    table = tables.executions.c
    with job.engine.connect() as connection:
        inputs = connection.scalar(select(table.inputs).where(table.id == done.id))
        log = [one["text"] for one in log_of(connection, done.id)]
    assert inputs["rows"] | {"digest": ""} == {
        "table": "capture/flights", "version": 1, "partitions": ["2024-01-01"], "digest": "",
        "row_count": 400, "request_count": 400, "labelled_count": 0,
    }  # fmt: skip
    assert inputs["baseline"] == {"name": "flights", "version": done.baseline_version}
    assert inputs["definition"]["version"] == done.definition_version
    assert "400 rows of 400 requests: 0 late, 0 unanswered, 0 not readable" in log[1]
    assert log[-2:] == ["recording", "Completed"]


def test_the_rows_behind_a_violation_are_those_of_the_model_that_was_judged(job: Job) -> None:
    done = run(replace(job, definition=replace(DAILY, target_model="a.skops")))

    with job.engine.connect() as connection:
        answers = answers_judged(connection, done.id)
    assert answers == {"variant": None, "target_model": "a.skops"}
