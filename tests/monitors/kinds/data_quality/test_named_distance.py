"""A distance that a feature's constraints name decides, and every view of the result shows it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

import driftline as dl
from driftline.baseline import versions
from driftline.baseline.constraints import Constraints
from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from tests.monitors.conftest import Append, clock, report_of, run_day, weather


def named(baseline: Baseline, feature: str, method: str, threshold: float | None) -> Baseline:
    """The baseline with a distance for one feature, as somebody writes it into constraints.json."""
    document = json.loads(baseline.constraints.to_json())
    limits: dict[str, object] = {"comparison_method": method}
    if threshold is not None:
        limits["comparison_threshold"] = threshold
    (entry,) = (one for one in document["features"] if one["name"] == feature)
    entry["num_constraints"] = {"monitoring_config_overrides": {"distribution_constraints": limits}}
    return replace(baseline, constraints=Constraints.from_dict(document))


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(weather(rng, 2_000))


def line(report: dl.Report, feature: str) -> pd.Series:
    return report.features.set_index("feature").loc[feature]


def test_it_decides_in_place_of_the_drift_test_both_ways(
    reference: Baseline, rows: pd.DataFrame
) -> None:
    moved = rows.assign(temp=rows["temp"] + 4.0)
    distance = dl.distance("wasserstein", reference.profile.columns["temp"], moved["temp"])

    tested = dl.check(moved, reference)
    strict = dl.check(rows, named(reference, "temp", "wasserstein", 1e-4))
    lax = dl.check(moved, named(reference, "temp", "wasserstein", 2.0))

    assert [one.feature_name for one in tested.violations] == ["temp"]
    assert line(tested, "temp").method == ""
    assert lax.passed
    assert line(lax, "temp").distance == pytest.approx(distance.value, rel=0.02)
    assert line(lax, "temp").bound == 2.0
    (violation,) = strict.violations
    found = line(strict, "temp")
    assert violation.constraint_check_type == "baseline_drift_check"
    assert violation.description == (
        f"Baseline drift distance: {float(found.distance)!r} exceeds threshold: 0.0001"
    )
    assert violation.ratio == found.ratio == found.distance / 1e-4


def test_a_monitor_judges_by_it_from_the_first_window_on(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    values = weather(rng, 400)
    append(0, {**values, "temp": values["temp"] + 4.0, "wind": values["wind"] * 1.4})
    versions.put(root, "flights", named(reference, "temp", "wasserstein", 0.1), clock)
    monitor = MonitorDefinition("daily", endpoint="flights", baseline="flights")

    execution = run_day(engine, root, reference, monitor, 0)

    # The reference has no times: drift of the others is one ticket in the first windows.
    report = report_of(root, execution)
    drifted = [
        one["feature_name"]
        for one in report["violations"]
        if one["constraint_check_type"] == "baseline_drift_check"
    ]
    assert drifted == ["temp"]
    (feature,) = (one for one in report["features"] if one["feature"] == "temp")
    assert (feature["method"], feature["bound"]) == ("wasserstein", 0.1)
