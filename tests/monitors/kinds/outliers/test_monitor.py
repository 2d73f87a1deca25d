"""A monitor of kind "outliers" on captured rows, from its datapoints to the rows themselves."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import ROW_IDS, Window, read_window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.kinds.conditions import read_condition, with_baseline
from driftline.monitors.root_cause.rows import matching_rows
from tests.monitors.conftest import (
    DAY,
    START,
    Append,
    clock,
    report_of,
    run_day,
    values_of,
    weather,
)

WINDOW = Window(START, START + DAY)
DEFINITION = MonitorDefinition("odd", endpoint="flights", baseline="flights", kind="outliers")


def test_too_many_outliers_are_counted_and_found_again(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, clock)
    values = weather(rng, 1_000)
    values["wind"][:50] *= 1_000
    append(0, values)

    execution = run_day(engine, root, reference, DEFINITION, 0)
    report = report_of(root, execution)
    condition = with_baseline(read_condition(report["violations"][0]["predicate"]), reference)
    names = [*ROW_IDS, *values]
    window = read_window(root, "flights", WINDOW, reference.signature, columns=names)
    rows = matching_rows(window.batches(), condition, limit=10)

    assert execution.status == "CompletedWithViolations"
    assert 50.0 <= values_of(engine, "outliers", monitor="odd")[0] < 65.0
    assert rows.column_names[: len(ROW_IDS) + 1] == [*ROW_IDS, "outlier_score"]
    scores = rows.column("outlier_score").to_pylist()
    assert scores == sorted(scores, reverse=True)
    first = report["violations"][0]["first_rows"]
    assert [one["event_id"] for one in first[:10]] == rows.column("event_id").to_pylist()
