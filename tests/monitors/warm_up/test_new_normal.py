"""The new normal of one feature: it fits from then on, and the others are judged as before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from driftline.baseline import store as baselines
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.run.execution import Job, run
from driftline.monitors.warm_up.captured_baseline import new_normal
from driftline.monitors.warm_up.store import carry_over, read_status, save
from driftline.monitors.warm_up.warm_up import SuppressedDrift
from driftline.monitors.window_history.store import Key
from tests.monitors.conftest import DAY, START, append_day, weather

NOW = datetime(2024, 2, 1, tzinfo=UTC)
DAYS = 4


def timed(rng: np.random.Generator) -> pa.Table:
    """Return 30 days of reference before the first window, 200 rows a day."""
    rows = 200 * 30
    first = START - 30 * DAY
    times = [first + timedelta(minutes=7.2 * number) for number in range(rows)]
    return pa.table({"time": pa.array(times, pa.timestamp("us", tz="UTC")), **weather(rng, rows)})


def features(root: str, execution: Execution) -> set[str]:
    report = json.loads((Path(root) / execution.folder / "report.json").read_text())
    return {one["feature_name"] for one in report["violations"]}


def test_the_feature_fits_and_the_others_are_judged_as_before(engine: Engine, root: str) -> None:
    rng = np.random.default_rng(5)
    reference = Baseline.fit(timed(rng), timestamp="time")
    before = baselines.put(root, "flights", reference, lambda: NOW)
    for day in range(DAYS):
        values = weather(rng, 400)
        values["temp"], values["wind"] = values["temp"] * 1000, values["wind"] * 1000
        append_day(root, reference.signature, day, values)
    window = Window(START + (DAYS - 1) * DAY, START + DAYS * DAY)
    monitor = MonitorDefinition("daily", "flights", "flights", baseline_version=before)

    def judge(version: str) -> Execution:
        chosen = replace(monitor, baseline_version=version)
        return run(
            Job(engine, root, chosen, window, now=lambda: NOW, signature=reference.signature)
        )

    mark = Annotation(
        "daily", Window(START, START + DAY), "new-normal", "other unit", "ann", NOW,
        feature="temp", rows=Window(START, START + DAYS * DAY),
    )  # fmt: skip
    made = new_normal(root, monitor, mark, reference.signature)
    after = baselines.put(root, "flights", made, lambda: NOW)

    assert {"temp", "wind"} <= features(root, judge(before))
    found = features(root, judge(after))
    assert "wind" in found
    assert "temp" not in found


def test_a_monitor_is_not_new_to_a_version_with_one_new_feature(engine: Engine) -> None:
    old, new = (Key("daily", "source", version) for version in ("v1", "v2"))
    held = SuppressedDrift(
        {"temp": "misfit", "wind": "misfit"}, {"temp": "hot", "wind": "calm"}, text="both differ"
    )

    with engine.begin() as connection:
        save(connection, old, Window(START, START + DAY), held)
        carry_over(connection, old, new, {"temp"})
        found, kept = read_status(connection, new), read_status(connection, old)

    assert found is not None
    assert kept is not None
    assert found.begun_at == kept.begun_at == START
    assert (dict(found.misfits), dict(kept.misfits)) == (
        {"wind": "calm"},
        {"temp": "hot", "wind": "calm"},
    )
    assert found.reported_in == kept.reported_in


def test_a_monitor_that_judged_nothing_yet_has_nothing_to_carry_over(engine: Engine) -> None:
    old, new = (Key("daily", "source", version) for version in ("v1", "v2"))

    with engine.begin() as connection:
        carry_over(connection, old, new, {"temp"})

        assert read_status(connection, new) is None
