"""A monitor of kind "outliers" on captured rows, from its datapoints to the rows themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from driftline.alerts.metrics import store as metrics
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import ROW_IDS, Window, read_window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.conditions import read_condition, with_baseline
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.run.execution import run
from driftline.monitors.run.window_context import Job
from tests.monitors.conftest import DAY, START, Append, weather

WINDOW = Window(START, START + DAY)
DEFINITION = MonitorDefinition("odd", endpoint="flights", baseline="flights", kind="outliers")


def clock() -> datetime:
    return datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def judge(engine: Engine, root: str, reference: Baseline) -> Callable[[], Execution]:
    store.put(root, "flights", reference, clock)

    def once() -> Execution:
        return run(Job(engine, root, DEFINITION, WINDOW, now=clock, signature=reference.signature))

    return once


def value(engine: Engine, name: str) -> list[float]:
    dimensions = {"Endpoint": "flights", "MonitoringSchedule": "odd"}
    with engine.connect() as connection:
        found = metrics.read(
            connection, "Driftline", name, dimensions, START, START + 30 * DAY, 86_400, "Sum"
        )
    return [number for _, number in found]


def with_odd_rows(rng: np.random.Generator, rows: int, count: int) -> dict[str, np.ndarray]:
    values = weather(rng, rows)
    values["wind"][:count] *= 1_000
    return values


def test_too_many_outliers_are_counted_and_found_again(
    judge: Callable[[], Execution],
    engine: Engine,
    root: str,
    reference: Baseline,
    append: Append,
    rng: np.random.Generator,
) -> None:
    values = with_odd_rows(rng, 1_000, 50)
    append(0, values)

    execution = judge()
    report = json.loads((Path(root) / execution.folder / "report.json").read_text())
    condition = with_baseline(read_condition(report["violations"][0]["predicate"]), reference)
    names = [*ROW_IDS, *values]
    window = read_window(root, "flights", WINDOW, reference.signature, columns=names)
    rows = matching_rows(window.batches(), condition, limit=10)

    assert execution.status == "CompletedWithViolations"
    assert 50.0 <= value(engine, "outliers")[0] < 65.0
    assert rows.column_names[: len(ROW_IDS) + 1] == [*ROW_IDS, "outlier_score"]
    scores = rows.column("outlier_score").to_pylist()
    assert scores == sorted(scores, reverse=True)
    first = report["violations"][0]["first_rows"]
    assert [one["event_id"] for one in first[:10]] == rows.column("event_id").to_pylist()
