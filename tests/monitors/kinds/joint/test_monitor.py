"""A monitor of the kind "joint" over captured windows, as the scheduler runs it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from driftline.alerts.metrics import store as metrics
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from tests.monitors.conftest import DAY, START, Append, clock, report_of, run_day, weather

DEFINITION = MonitorDefinition("together", endpoint="flights", baseline="flights", kind="joint")


def test_a_day_whose_columns_hang_together_otherwise_is_a_ticket(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, clock)
    append(0, weather(rng, 400))
    sorted_together = weather(rng, 400)
    for name in ("temp", "wind"):  # Each as ever; the two now rise together.
        sorted_together[name] = np.sort(sorted_together[name])
    append(1, sorted_together)

    usual, other = (
        run_day(engine, root, reference, DEFINITION, day, now=clock) for day in range(2)
    )

    assert (usual.status, usual.violation_count) == ("Completed", 0)
    assert other.status == "CompletedWithViolations"
    assert other.page_count == 0
    assert other.cause.startswith("temp × wind: correlation ")
    report = report_of(root, other)
    assert report["decided"]
    with engine.connect() as connection:
        found = metrics.read(
            connection, "Driftline", "joint_correlation_ratio",
            {"Endpoint": "flights", "MonitoringSchedule": "together"},
            START, START + 2 * DAY, 86_400, "Maximum",
        )  # fmt: skip
    ratios = [value for _, value in found]
    assert ratios[0] < 1 < ratios[1]


@pytest.mark.full
def test_days_too_small_for_a_finding_are_judged_together(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, clock)
    for day in range(6):
        rows = weather(rng, 60)
        if day > 1:
            for name in ("temp", "wind"):
                rows[name] = np.sort(rows[name])
        append(day, rows)

    found = [run_day(engine, root, reference, DEFINITION, day, now=clock) for day in range(6)]

    assert [one.violation_count for one in found[:2]] == [0, 0]
    causes = [one.cause for one in found if one.violation_count]
    assert causes
    assert " windows, 95% interval " in causes[0]
