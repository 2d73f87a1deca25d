"""Rows of several sensors in turns: steps within each, against pandas, and what they find."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.cells import Cells
from driftline.baseline.profile import Profile
from driftline.baseline.reference_days import step_levels
from driftline.baseline.steps import StepCounter
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.day_test.day_test import DayFinding
from driftline.stats.day_scores import StepCounts

SENSORS = ("a", "b", "c")
CELLS = {"x": Cells("sensor", "string", levels=SENSORS)}


@cache
def rows(days: int = 120, seed: int = 0) -> pd.DataFrame:
    """Three sensors that tell the same slow weather, each from another level, hour by hour."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h")
    weather = np.cumsum(rng.normal(size=len(hours)))
    weather -= pd.Series(weather).rolling(200, min_periods=1).mean().to_numpy()
    parts = [
        pd.DataFrame(
            {
                "at": times,
                "sensor": name,
                "x": weather + 20 * at + 0.3 * rng.normal(size=len(hours)),
                "noise": rng.normal(size=len(hours)),
                "batch": rng.choice(["early", "late"], len(hours)),
            }
        )
        for at, name in enumerate(SENSORS)
    ]
    found = pd.concat(parts)
    found["sky"] = np.where(found["x"].groupby(found["at"]).transform("mean") > 20, "fair", "grey")
    return found.sample(frac=1, random_state=seed).sort_values("at", kind="stable")


def counted(*parts: pd.DataFrame) -> dict[str, StepCounts]:
    counter = StepCounter.start("at", ["x"], CELLS)
    for part in parts:
        counter.update(pa.RecordBatch.from_pandas(part, preserve_index=False))
    return counter.result()


def within(table: pd.DataFrame) -> dict[str, str]:
    profile = Baseline.fit(table, timestamp="at").profile
    return {name: cells.column for name, cells in step_levels(profile).items()}


def test_steps_within_levels_are_those_of_each_sensor_alone() -> None:
    table = rows(3)
    # A sensor that the reference does not know has no steps.
    strange = table.assign(sensor=table["sensor"].replace("c", "d"))

    found = counted(table)["x"]

    day = table["at"].dt.floor("D")
    steps = table.groupby([day, "sensor"])["x"].diff().abs().dropna()
    octave = np.floor(np.log2(steps))
    codes = (octave + 40) * 4 + np.floor((steps / 2**octave - 1) * 4)
    expected = codes.astype(int).value_counts().sort_index()
    assert found.counts.sum(axis=1).tolist() == [3 * 23] * 3
    assert found.codes.tolist() == expected.index.tolist()
    assert found.counts.sum(axis=0).tolist() == expected.tolist()
    assert counted(strange)["x"].counts.sum() == 2 * 3 * 23


def test_numbers_step_within_the_sensor_that_tells_them() -> None:
    assert within(rows()) == {"x": "sensor"}


def test_a_profile_keeps_the_levels_and_refuses_those_that_it_does_not_hold() -> None:
    profile = Baseline.fit(rows(), timestamp="at").profile
    assert profile is not None
    data = profile.to_bytes()

    again = Profile.from_bytes(data).columns["x"].steps

    assert again is not None
    assert again.within == "sensor"
    profile.columns["sensor"].cells = None
    with pytest.raises(InputError, match="damaged"):
        Profile.from_bytes(profile.to_bytes())


def test_one_sensor_of_three_that_becomes_noisy_is_found() -> None:
    """Sensors lie 20 apart: from row to row a noise of 3 on one of them is nothing."""
    table = rows().reset_index(drop=True)
    start = table["at"].iloc[0] + timedelta(days=90)
    noise = np.random.default_rng(1).normal(0, 3, len(table))
    is_noisy = (table["at"] >= start) & (table["sensor"] == "b")
    baseline = Baseline.fit(table[table["at"] < start], timestamp="at")
    later = table.assign(x=table["x"] + noise * is_noisy)[table["at"] >= start]

    found = dl.backtest(later, baseline, timestamp="at", window="1d")
    quiet = dl.backtest(table[table["at"] >= start], baseline, timestamp="at", window="1d")

    assert [one.alarms for one in quiet.verdicts if one.alarms] == []
    alarms = [one for verdict in found.verdicts for one in verdict.alarms]
    assert {(one.column, one.score) for one in alarms if isinstance(one, DayFinding)} == {
        ("x", "rough")
    }
