"""A backtest of captured rows says what the monitor's executions have said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.backtest.backtest import (
    BacktestOptions,
    backtest_captured,
    schedule_of,
)
from driftline.monitors.definitions import MonitorDefinition
from tests.monitors.conftest import DAY, START, Append, clock, report_of, run_day, weather

DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
DAYS = 6


@pytest.fixture(scope="module")
def reference() -> Baseline:
    """Four weeks of rows with their times, so that nothing is learnt from production."""
    rng = np.random.default_rng(1)
    count = 28 * 400
    at = np.datetime64("2023-12-01", "us") + np.arange(count) * np.timedelta64(216_000_000, "us")
    return Baseline.fit(pa.table({"at": at, **weather(rng, count)}), timestamp="at")


@pytest.fixture
def captured(append: Append, rng) -> None:
    """Six days: one is small, one has values that do not fit, two are in another unit."""
    for day in range(DAYS):
        values = weather(rng, 20 if day == 1 else 400)
        if day == 3:
            gone = rng.random(400) < 0.3
            values["temp"] = [
                None if out else one for one, out in zip(values["temp"], gone, strict=True)
            ]
            values["unfit"] = [[("temp", "cold")] if out else [] for out in gone]
        if day >= 4:
            values["wind"] = values["wind"] * 3
        append(day, values)


def test_the_backtest_of_a_captured_period_is_what_the_executions_said(
    captured, engine: Engine, root: str, reference: Baseline
) -> None:
    versions.put(root, "flights", reference, clock)
    live = {}
    for day in range(DAYS):
        execution = run_day(engine, root, reference, DEFINITION, day)
        live[execution.window_start] = report_of(root, execution)

    options = BacktestOptions(start=START, end=START + DAYS * DAY)
    found = backtest_captured(root, DEFINITION, reference, reference.signature, options)

    assert [one.window.start for one in found.verdicts] == list(live)
    for verdict in found.verdicts:
        report = live[verdict.window.start]
        told = [
            (one["feature_name"], one["constraint_check_type"], one["cause"])
            for one in report["violations"]
        ]
        assert [
            (one.feature_name, one.constraint_check_type, one.cause) for one in verdict.alarms
        ] == told
        assert verdict.row_count == report["row_count"]
    assert [bool(one.alarms) for one in found.verdicts] == [False, False, False, True, True, True]


def test_other_windows_than_the_monitors_can_be_tried(
    captured, root: str, reference: Baseline
) -> None:
    options = BacktestOptions(start=START, end=START + DAYS * DAY)

    found = backtest_captured(
        root, DEFINITION, reference, reference.signature, options, schedule=schedule_of("12h")
    )

    # 400 rows a day lie in its first seven hours.
    assert [one.window.start for one in found.verdicts] == [
        START + day * DAY for day in range(DAYS)
    ]
    assert found.window == "rate(12 hours)"


def test_more_windows_than_years_of_minutes_are_refused_before_any_is_read(
    root: str, reference: Baseline
) -> None:
    options = BacktestOptions(START, START + 1_000 * DAY)

    with pytest.raises(InputError, match=r"more than 600,000 windows up to "):
        backtest_captured(root, DEFINITION, reference, None, options, schedule=schedule_of("1m"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"compat": True}, "compat judges its rows"),
        ({"preprocess": "rows.py"}, "a script makes its rows"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    root: str, reference: Baseline, change, sentence: str
) -> None:
    options = BacktestOptions(start=START, end=START + DAY)

    with pytest.raises(InputError, match=sentence):
        backtest_captured(
            root, replace(DEFINITION, **change), reference, reference.signature, options
        )
