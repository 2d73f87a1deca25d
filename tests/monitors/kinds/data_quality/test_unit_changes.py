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
    SAMPLE_ROWS,
    Implausible,
    Sampler,
    find_implausible,
)
from driftline.stats.distances.units import one_of, restoring_units, suspect_unit
from tests.monitors.conftest import weather


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("Celsius instead of Fahrenheit", lambda x: (x - 32) / 1.8),
        ("Kelvin instead of Fahrenheit", lambda x: (x - 32) / 1.8 + 273.15),
        ("1,000 times the expected unit", lambda x: x * 1000),
        ("1/100 of the expected unit", lambda x: x / 100),
        ("metres instead of feet", lambda x: x / 3.28084),
    ],
)
def test_the_conversion_is_named(name: str, spoil, rng: np.random.Generator) -> None:
    found = suspect_unit(spoil(rng.normal(60, 8, 300)), rng.normal(60, 8, 500))

    assert found is not None
    assert found.name == name
    assert found.distance_after < 0.2 < found.distance_before


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (12, "about 12 times the expected unit"),
        (1 / 12, "about 1/12 of the expected unit"),
        (1_200, "about 1,200 times the expected unit"),
        (10, "10 times the expected unit"),
        (60, "minutes instead of hours (or seconds instead of minutes)"),
    ],
)
def test_a_factor_that_is_no_known_unit_is_told_as_measured(
    factor: float, name: str, rng: np.random.Generator
) -> None:
    incomes, expected = np.exp(rng.normal(10.5, 0.7, (2, 4_000)))

    found = suspect_unit(incomes * factor, expected)
    whole = restoring_units(
        incomes * factor, np.ones(4_000, bool), expected, np.ones(expected.size)
    )

    assert found is not None
    assert found.name == name
    assert [one.name for one in whole] == [name]
    assert found.distance_after < 0.05


@pytest.mark.parametrize("factor", [60, 100])
def test_conversions_that_fit_alike_are_told_as_one_of(
    factor: float, rng: np.random.Generator
) -> None:
    """A week of dust is as far from the year's by itself as 60 is from 100."""
    expected = np.exp(rng.normal(4, 1.0, 4_000))
    dust = np.exp(rng.normal(4, 1.0, 168)) / factor

    found = restoring_units(dust, np.ones(168, bool), expected, np.ones(4_000), effect=10)

    names = {"hours instead of minutes (or minutes instead of seconds)",
             "1/100 of the expected unit"}  # fmt: skip
    told = one_of(found)
    assert {one.name for one in found} == names
    assert told is not None
    assert told.name.startswith("one of: ")
    assert all(one in told.name for one in names)
    assert len(restoring_units(dust, np.ones(168, bool), expected, np.ones(4_000))) == 1


def test_far_conversions_are_told_as_one_of_where_a_season_lies_between(
    rng: np.random.Generator,
) -> None:
    expected = np.exp(rng.normal(4, 1.0, 4_000))
    winter = np.exp(rng.normal(3.75, 0.6, 4_000)) * 100

    found = suspect_unit(winter, expected, far_only=True)

    assert found is not None
    assert found.name.startswith("one of: minutes instead of hours")
    assert found.name.endswith("; 100 times the expected unit")


@pytest.mark.parametrize(
    "spoil",
    [lambda x: x, lambda x: x + 10, lambda x: x * 0 + 7, lambda x: x + 1000],
    ids=["unchanged", "a little more", "stuck", "much more"],
)
def test_a_shift_is_no_change_of_unit(spoil, rng: np.random.Generator) -> None:
    assert suspect_unit(spoil(rng.normal(60, 8, 300)), rng.normal(60, 8, 500)) is None


def test_too_few_values_fit_anything_and_so_nothing_is_said(rng: np.random.Generator) -> None:
    assert suspect_unit(rng.normal(60, 8, 20) * 1000, rng.normal(60, 8, 500)) is None


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


def test_unchanged_windows_hold_nothing_implausible(
    reference: Baseline, rng: np.random.Generator
) -> None:
    assert all(not evaluate(weather(rng, 300), reference) for _ in range(50))


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


def test_rows_at_fault_are_told_from_all_others_where_they_lie_apart(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 600)
    values["temp"] = rng.normal(60, 3, 600)
    newark = values["origin"] == "EWR"
    values["temp"] = np.where(newark, (values["temp"] - 32) / 1.8, values["temp"])

    found = evaluate(values, reference)

    assert [one.column for one in found] == ["temp"]
    assert found[0].where == 'origin = "EWR"'
    mask = found[0].predicate.mask(pa.RecordBatch.from_pydict(values))
    assert np.array_equal(mask.to_numpy(zero_copy_only=False), newark)


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


@pytest.mark.parametrize("hour_rows", [3, 10, 40])
def test_few_independent_rows_of_an_hour_are_no_cold_night(
    hour_rows: int, rng: np.random.Generator
) -> None:
    """Of three rows of an hour one that lies far out is a third of them, by chance."""
    hours = pd.date_range("2025-01-01", periods=28 * 24, freq="h", tz="UTC")
    reference = _payments(hours, hour_rows, rng)
    timed = Baseline.fit(reference, timestamp="ts")
    timeless = Baseline.fit(reference.drop(columns="ts"))
    told = []
    for _ in range(4):
        window = _payments(hours[:1], 400, rng).drop(columns="ts")
        window.loc[window["client"] == "c1", "amount"] /= 10
        told += [one.where for one in evaluate(window, timed)]
        assert evaluate(window, timed) == evaluate(window, timeless)

    assert len(told) >= 3
    assert {*told} == {'client = "c1"'}


def _payments(hours: pd.DatetimeIndex, hour_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = hour_rows * len(hours)
    return pd.DataFrame(
        {
            "ts": np.repeat(hours, hour_rows),
            "client": rng.choice([f"c{at}" for at in range(5)], rows),
            "amount": rng.lognormal(5, 0.6, rows),
        }
    )


@pytest.mark.parametrize(("factor", "found"), [(1.0, 0), (1 / 3.28084, 1)])
def test_a_cold_place_is_told_from_another_unit_by_how_much_its_readings_vary(
    factor: float, found: int, rng: np.random.Generator
) -> None:
    """Both lie at 3.7, where feet would be 12; in feet they would vary by a degree, too."""
    hours = pd.date_range("2025-01-01", periods=30 * 24, freq="h", tz="UTC")
    baseline = Baseline.fit(_readings(hours, rng, cold_at=None), timestamp="ts")

    window = _readings(hours[:1], rng, cold_at=3.7 / factor)
    window.loc[window["place"] == "p0", "temp"] *= factor

    told = evaluate(window.drop(columns="ts"), baseline, length_h=1)
    assert [one.where for one in told] == ['place = "p0"'] * found


def _readings(
    hours: pd.DatetimeIndex, rng: np.random.Generator, *, cold_at: float | None
) -> pd.DataFrame:
    """Sixty readings an hour at each of five places, which go up and down together by hours."""
    level = 12 + 3 * np.sin(np.arange(len(hours)) / 3.8)
    rows = _five_places(hours, rng)
    apart = rows["place"].map({"p0": 0.0, "p1": -0.6, "p2": -0.2, "p3": 0.2, "p4": 0.6})
    rows["temp"] = np.repeat(level, 5 * 60) + apart + rng.normal(0, 0.25, len(rows))
    if cold_at is not None:
        cold = rows["place"] == "p0"
        rows.loc[cold, "temp"] += cold_at - level[0]
    return rows


def test_an_hour_that_a_week_begins_with_is_no_week(rng: np.random.Generator) -> None:
    hours = pd.date_range("2025-01-06", periods=4 * 168 + 1, freq="h", tz="UTC")
    reference = _five_places(hours, rng)
    cold = (reference["place"] == "p0") & (reference["ts"] == hours[-1])
    reference.loc[cold, "temp"] /= 10
    baseline = Baseline.fit(reference, timestamp="ts")

    window = _five_places(hours[:2], rng)
    window.loc[window["place"] == "p0", "temp"] /= 10

    assert len(evaluate(window.drop(columns="ts"), baseline, length_h=168)) == 1


def _five_places(hours: pd.DatetimeIndex, rng: np.random.Generator) -> pd.DataFrame:
    rows = 5 * 60 * len(hours)
    return pd.DataFrame(
        {
            "ts": np.repeat(hours, 5 * 60),
            "place": np.tile([f"p{at}" for at in range(5)], rows // 5),
            "temp": rng.uniform(8, 22, rows),
        }
    )


def test_a_few_values_far_outside_are_implausible_without_a_unit(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 500)
    values["wind"][:10] = -99_999.0

    found = evaluate(values, reference)

    assert [(one.column, one.unit) for one in found] == [("wind", None)]
    assert found[0].share_window == pytest.approx(0.02)


def test_beyond_a_year_of_reference_once_its_range_is_far_where_it_has_no_long_tails(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 500)
    values["temp"][:10] = -273.15

    assert evaluate(values, reference) == []
    (found,) = evaluate(values, reference, days=330.0)
    assert (found.column, found.unit) == ("temp", None)
    assert found.share_window == pytest.approx(0.02)

    prices = Baseline.fit(pa.table({"price": rng.pareto(1.5, 5_000)}))
    spikes = {"price": np.append(rng.pareto(1.5, 490), np.full(10, 2.5 * _largest(prices)))}
    assert evaluate(spikes, prices, days=330.0) == []


def _largest(baseline: Baseline) -> float:
    return baseline.cells["price"].maximum or 0.0


def test_the_sample_is_spread_evenly_and_bounded(rng: np.random.Generator) -> None:
    sampler = Sampler(["x"])
    for first in range(0, 200_000, 7_001):
        sampler.update(
            pa.RecordBatch.from_pydict({"x": np.arange(first, min(first + 7_001, 200_000))})
        )

    kept = sampler.table()["x"].to_numpy()

    assert len(kept) <= 2 * SAMPLE_ROWS
    assert set(np.diff(kept)) == {sampler.stride}
    assert kept[0] == 0


def test_a_sample_holds_no_lists():
    sampler = Sampler(["x", "v"])
    sampler.update(pa.record_batch({"x": [1.0, 2.0], "v": [[1.0], [2.0]]}))

    assert sampler.table().column_names == ["x"]


WHOLE = {
    "Celsius instead of Fahrenheit": ("temp", lambda x: (x - 32) / 1.8),
    "metres instead of feet": ("temp", lambda x: x / 3.28084),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_unit_of_a_whole_column_that_drifted_is_named(
    name: str, reference: Baseline, rng: np.random.Generator
) -> None:
    column, spoil = WHOLE[name]
    values = weather(rng, 2_000)
    values[column] = spoil(values[column])

    report = check(pa.table(values), reference)

    (found,) = (one for one in report.violations if one.unit is not None)
    assert (found.feature_name, found.severity) == (column, "page")
    assert found.unit is not None and found.unit.name == name
    assert f"looks like {name}" in report.cause


def test_the_unit_of_some_rows_is_named_when_the_others_leave_their_place(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 2_000)
    values["wind"] = np.where(values["temp"] > 58, (values["wind"] + 3) * 25.4, values["wind"])

    report = check(pa.table(values), reference)

    found = [one.constraint_check_type for one in report.violations if one.feature_name == "wind"]
    assert found == ["unit_change_check", "baseline_drift_check"]
    assert "looks like millimetres instead of inches" in report.cause


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x + 45,
        lambda x: x * 0.5 - 30,
        lambda x: x * 0.5 + 60,
        lambda x: x * 1.5 + 60,
        lambda x: np.where(x > 60, 9_000 + x, x),
        lambda x: np.where(x > 60, 0.0, x),
    ],
    ids=["warm", "cold", "warm and even", "hot", "another sensor", "stuck in part"],
)
def test_a_drift_that_no_conversion_undoes_names_no_unit(
    spoil, reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 2_000)
    values["temp"] = spoil(values["temp"])

    report = check(pa.table(values), reference)

    assert "temp" in {one.feature_name for one in report.violations}
    assert all(one.unit is None for one in report.violations)


def test_a_season_across_zero_is_no_change_of_sign(rng: np.random.Generator) -> None:
    summer, winter = rng.normal(8, 4, 4_000), rng.normal(-7, 4, 4_000)
    rows = np.ones(summer.size)

    assert restoring_units(winter, rows > 0, summer, rows) == []
    (one_sided,) = restoring_units(-np.abs(summer), rows > 0, np.abs(summer), rows)
    assert one_sided.factor == -1


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


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (1 / 2.20462, "kilograms instead of pounds"),
        (2.20462, "pounds instead of kilograms"),
        (2.54, "centimetres instead of inches"),
        (1 / 2.35, None),
        (2.0, None),
        (1.9, None),
    ],
)
def test_a_small_factor_is_a_unit_only_where_it_is_just_that_one(
    factor: float, name: str | None, rng: np.random.Generator
) -> None:
    """Prices of one region that doubled; among the known factors one is always near."""
    expected = np.exp(rng.normal(3, 0.1, 2_000))
    values = np.exp(rng.normal(3, 0.1, 800)) * factor

    found = suspect_unit(values, expected)

    assert (found and found.name) == name


def test_a_small_factor_that_fits_the_middle_alone_is_no_unit(rng: np.random.Generator) -> None:
    expected = np.exp(rng.normal(3, 0.1, 2_000))
    values = np.exp(rng.normal(3, 0.2, 800)) / 2.20462

    assert suspect_unit(values, expected) is None


def test_rows_beyond_the_reference_are_of_no_small_unit(rng: np.random.Generator) -> None:
    """Of what is chosen by lying beyond the reference, some small factor brings all back."""
    expected, wind = np.exp(rng.normal(2, 0.4, (2, 4_000)))
    wind = np.where(wind > 9, wind * 3.2, wind)

    found = restoring_units(wind, wind > expected.max(), expected, np.ones(expected.size))

    assert found == []


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_drift_beside_a_change_of_unit_makes_no_other_factor_of_it(factor: float) -> None:
    """Hundredths of what has risen by a fifth are no 1/84."""
    rng = np.random.default_rng(4)
    expected = np.sort(rng.normal(40.0, 8.0, 4_000))

    found = suspect_unit(rng.normal(48.0, 8.0, 500) * factor, expected, far_only=True)

    assert found is not None
    assert found.factor == pytest.approx(1 / factor)
