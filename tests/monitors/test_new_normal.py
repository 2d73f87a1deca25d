"""The new normal of one feature: it fits from then on, and the others are judged as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from driftline.baseline import versions as baselines
from driftline.baseline.store import Baseline
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.run.captured_baseline import new_normal
from tests.monitors.conftest import DAY, START, append_day, report_of, run_day, weather

NOW = datetime(2024, 2, 1, tzinfo=UTC)
DAYS = 4


def timed(rng: np.random.Generator) -> pa.Table:
    """Return 30 days of reference before the first window, 200 rows a day."""
    rows = 200 * 30
    first = START - 30 * DAY
    times = [first + timedelta(minutes=7.2 * number) for number in range(rows)]
    return pa.table({"time": pa.array(times, pa.timestamp("us", tz="UTC")), **weather(rng, rows)})


def features(root: str, execution: Execution) -> set[str]:
    report = report_of(root, execution)
    return {one["feature_name"] for one in report["violations"]}


def test_the_feature_fits_and_the_others_are_judged_as_before(engine: Engine, root: str) -> None:
    rng = np.random.default_rng(5)
    reference = Baseline.fit(timed(rng), timestamp="time")
    before = baselines.put(root, "flights", reference, lambda: NOW)
    for day in range(DAYS):
        values = weather(rng, 400)
        values["temp"], values["wind"] = values["temp"] * 1000, values["wind"] * 1000
        append_day(root, reference.signature, day, values)
    monitor = MonitorDefinition("daily", "flights", "flights", baseline_version=before)

    def judge(version: str) -> Execution:
        chosen = replace(monitor, baseline_version=version)
        return run_day(engine, root, reference, chosen, DAYS - 1)

    mark = Annotation(
        monitor="daily", window_start=START, window_end=START + DAY, verdict="new-normal",
        reason="other unit", author="ann", made_at=NOW, feature="temp", rows_from=START,
        rows_to=START + DAYS * DAY,
    )  # fmt: skip
    made, _ = new_normal(root, monitor, mark, reference.signature)
    after = baselines.put(root, "flights", made, lambda: NOW)

    assert {"temp", "wind"} <= features(root, judge(before))
    found = features(root, judge(after))
    assert "wind" in found
    assert "temp" not in found
