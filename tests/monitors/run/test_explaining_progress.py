"""Attribution monitors while they ask their model: progress, and the end of a run too long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.source import open_source
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.run import execution as runs
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.run.progress import Progress
from tests.monitors.conftest import DAY, START, Append, weather
from tests.servers.postgres import both_in_full

WINDOW = Window(START, START + DAY)
MONITOR = MonitorDefinition(
    "weekly", endpoint="flights", baseline="flights", kind="attribution", start=START,
)  # fmt: skip


def model(rows: pa.Table) -> np.ndarray:
    return rows["temp"].to_numpy() + 2.0 * rows["wind"].to_numpy()


@pytest.fixture(scope="module")
def explained(reference: Baseline) -> Baseline:
    rows = open_source(pa.table(weather(np.random.default_rng(1), 2_000)))
    return explain_reference(rows, reference, model, background=3)


@pytest.fixture
def job(
    engine: Engine, root: str, reference: Baseline, explained: Baseline, append: Append, rng
) -> Job:
    versions.put(root, "flights", explained, lambda: START)
    append(0, weather(rng, 900))
    return Job(
        engine, root, MONITOR, WINDOW, now=lambda: START + 3 * DAY,
        signature=reference.signature, predict=model,
    )  # fmt: skip


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """What each look at a run shows of its stage while it lasts."""
    found: list[str] = []

    class Watched(Progress):
        def explained(self, done: int, rows: int | None) -> None:
            super().explained(done, rows)
            found.append(self.stage)

    monkeypatch.setattr(runs, "Progress", Watched)
    return found


def test_a_run_shows_how_many_rows_are_explained(job: Job, shown: list[str]) -> None:
    with job.engine.begin() as connection:
        put_definition(connection, job.definition, START)

    done = run(job)

    assert done.status.startswith("Completed"), done
    assert " 900 of 900 rows" in shown[-1]


@both_in_full
def test_a_run_that_takes_too_long_ends_while_its_model_is_asked(job: Job) -> None:
    asked_s = [0.0]

    def slow(rows: pa.Table) -> np.ndarray:
        asked_s[0] += 10.0
        return model(rows)

    job = replace(job, predict=slow, timer=lambda: asked_s[0])

    done = run(replace(job, definition=replace(MONITOR, timeout_s=25.0)))

    assert done.status == "Failed"
    assert "ended after 25 s" in (done.failure_reason or "")
    assert asked_s[0] < 60.0
