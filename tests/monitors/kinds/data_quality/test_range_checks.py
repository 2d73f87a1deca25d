"""A change of unit is suspected where a conversion explains the values, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import signal

from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.kinds.data_quality.range_checks import (
    Implausible,
    Sampler,
    find_implausible,
)
from driftline.stats.distances.units import suspect_unit
from tests.monitors.conftest import weather


@pytest.mark.parametrize(
    "spoil",
    [lambda x: x, lambda x: x + 10, lambda x: x * 0 + 7, lambda x: x + 1000],
    ids=["unchanged", "a little more", "stuck", "much more"],
)
def test_a_shift_is_no_change_of_unit(spoil, rng: np.random.Generator) -> None:
    assert suspect_unit(spoil(rng.normal(60, 8, 300)), rng.normal(60, 8, 500)) is None


def evaluate(
    values: dict[str, np.ndarray] | pd.DataFrame,
    reference: Baseline,
    *,
    days: float | None = None,
    length_h: int = 1,
) -> list[Implausible]:
    table = pa.table(values)
    profile = Profile.empty(reference.signature, reference.cells)
    profile.update(table)
    sampler = Sampler(list(values))
    for batch in table.to_batches():
        sampler.update(batch)
    assert reference.profile is not None
    return find_implausible(
        sampler.table(),
        reference_columns(reference),
        reference.profile.columns,
        profile.columns,
        days={} if days is None else dict.fromkeys(values, days),
        blocks=reference.blocks,
        length_h=length_h,
    )


def test_a_season_that_moves_all_sources_is_not_implausible(
    reference: Baseline, rng: np.random.Generator
) -> None:
    for shift in (-60, -30, 30, 60):
        values = weather(rng, 300)
        values["temp"] = values["temp"] * 0.5 + shift

        assert evaluate(values, reference) == []


def test_a_source_that_was_always_otherwise_is_not_implausible(rng: np.random.Generator) -> None:
    def stream(rows: int) -> dict[str, np.ndarray]:
        values = weather(rng, rows)
        metric = values["origin"] == "LGA"
        values["temp"] = np.where(metric, (values["temp"] - 32) / 1.8 - 40, values["temp"])
        return values

    baseline = Baseline.fit(pa.table(stream(5000)))

    assert all(evaluate(stream(300), baseline) == [] for _ in range(20))


@pytest.mark.full
@pytest.mark.parametrize(
    ("cold_hours", "length_h", "found"), [(0, 1, 1), (1, 1, 0), (3, 6, 1), (4, 6, 0)]
)
def test_a_cold_night_of_one_place_is_no_change_of_unit(
    cold_hours: int, length_h: int, found: int, rng: np.random.Generator
) -> None:
    """The rows of a place and an hour are one event: as rare as they are, it comes again."""
    hours = pd.date_range("2025-01-01", periods=30 * 24, freq="h", tz="UTC")
    reference = _five_places(hours, rng)
    cold = (reference["place"] == "p0") & (reference["ts"] < hours[cold_hours])
    reference.loc[cold, "temp"] /= 10
    baseline = Baseline.fit(reference, timestamp="ts")

    window = _five_places(hours[:length_h], rng)
    window.loc[window["place"] == "p0", "temp"] /= 10

    told = evaluate(window.drop(columns="ts"), baseline, length_h=length_h)
    assert [one.where for one in told] == ['place = "p0"'] * found


def _five_places(hours: pd.DatetimeIndex, rng: np.random.Generator) -> pd.DataFrame:
    rows = 5 * 60 * len(hours)
    return pd.DataFrame(
        {
            "ts": np.repeat(hours, 5 * 60),
            "place": np.tile([f"p{at}" for at in range(5)], rows // 5),
            "temp": rng.uniform(8, 22, rows),
        }
    )


@pytest.mark.full
@pytest.mark.parametrize(
    ("days", "part", "unit"),
    [
        ("alike", 1 / 2.2, "kilograms instead of pounds"),
        ("varying", 1 / 2.2, None),
        ("varying", 1 / 1000, "1/1,000 of the expected unit"),
    ],
)
def test_prices_that_move_by_days_may_double_by_themselves(
    days: str, part: float, unit: str | None, rng: np.random.Generator
) -> None:
    def prices(count: int, start: str) -> pd.DataFrame:
        moments = pd.date_range(start, periods=count * 24, freq="h", tz="UTC")
        levels = signal.lfilter([1.0], [1.0, -0.6], rng.normal(0, 0.025, count))
        spread = np.repeat(levels, 24) if days == "varying" else 0.0
        return pd.DataFrame(
            {"ts": moments, "price": np.exp(3 + spread + rng.normal(0, 0.05, 24 * count))}
        )

    reference = Baseline.fit(prices(60, "2025-01-01"), timestamp="ts")
    window = prices(7, "2025-03-02").assign(price=lambda rows: rows["price"] * part)

    violations = check(window, reference).violations

    assert violations
    assert {one.unit.name for one in violations if one.unit} == ({unit} if unit else set())
