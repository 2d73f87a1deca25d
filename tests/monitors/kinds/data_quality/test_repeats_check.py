"""Repeated rows, ids used again, rounded values; and faults of rows that the scan finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.signal import lfilter

from driftline.baseline.row_digests import RowDigests
from driftline.baseline.row_profile import Repeats, RepeatScale
from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.kinds.data_quality.repeats_check import more_repeats, stuck_share
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import percent
from driftline.monitors.rules.outcome import RuleCondition

CHECKS = {"repeated_rows_check", "repeated_id_check", "decimals_check"}


def trips(seed: int, rows: int = 3_000, days: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "client": rng.choice(["app", "web", "kiosk", "partner"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "miles": np.round(rng.gamma(4, 3, rows), 2),
            "minutes": np.round(rng.gamma(6, 4, rows), 1),
            "level": np.round(rng.normal(50, 10, rows), 3),
            "id": [f"trip-{seed}-{at:06}" for at in range(rows)],
            "at": pd.Timestamp("2026-01-01", tz="UTC")
            + pd.to_timedelta(np.sort(rng.uniform(0, days * 86_400, rows)), unit="s"),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(trips(1, 20_000), id="id", timestamp="at")


@pytest.fixture
def window() -> pd.DataFrame:
    return trips(2, 2_000, 7)


def causes(report: Report) -> dict[str, tuple[str, str]]:
    return {
        one.constraint_check_type: (one.feature_name, one.cause.partition(", ")[0])
        for one in report.violations
        if one.constraint_check_type in CHECKS
    }


def test_nothing_is_told_of_rows_like_the_reference(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    assert causes(check(window, baseline)) == {}


def test_a_join_that_doubles_rows_is_told_with_these_rows(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    doubled = pd.concat([window, window[100:160]], ignore_index=True)

    report = check(doubled.assign(id=trips(3, len(doubled))["id"]), baseline)

    assert causes(report) == {
        "repeated_rows_check": (
            "Repeated rows",
            "3% of different rows (by all 4 features) come more than once (reference 0%)",
        )
    }
    found = report.violations[0]
    assert (found.severity, found.row_count) == ("ticket", 120)
    rows = report.rows(found, limit=None)
    assert sorted(rows.index) == [*range(100, 160), *range(2000, 2060)]
    assert isinstance(found.predicate, RuleCondition)
    again = read_condition(found.predicate.to_dict())
    assert again.columns == found.predicate.columns


@pytest.mark.parametrize(("rows", "is_told"), [(2_000, True), (400, True), (100, False)])
def test_one_id_that_stands_in_many_rows_is_told(
    baseline: Baseline, window: pd.DataFrame, rows: int, is_told: bool
) -> None:
    """Of different ids it is one, however many rows have it."""
    stuck = window.assign(id=window["id"].where(window.index >= rows, "unknown"))

    found = causes(check(stuck, baseline))

    share = percent((rows - 1) / len(window))
    expected = ("id", f"{share} of rows have an id that came before (reference 0%)")
    assert found.get("repeated_id_check") == (expected if is_told else None)


@pytest.mark.parametrize("seed", range(5))
def test_ids_that_differ_are_not_stuck_where_rows_are_thinned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    never = Repeats(("id",), ("id",), (RepeatScale(0, 1e5, 100_000, 0.0, 1.0),))
    for stuck in (0, 50_000):
        ids = np.r_[rng.permutation(100_000), np.full(stuck, -1)]
        found = RowDigests(("id",), ("id",))
        found.update(pa.record_batch({"id": pa.array([f"trip-{seed}-{one}" for one in ids])}))

        assert found.level > 0
        assert stuck_share(found, never) == pytest.approx(stuck / len(ids), abs=0.05)


def test_ids_used_again_are_told_by_the_column_of_ids(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    ids = window["id"].mask(window.index < 60, window["id"].shift(-100))

    report = check(window.assign(id=ids), baseline)

    assert causes(report) == {
        "repeated_id_check": ("id", "3.1% of ids come more than once (reference 0%)")
    }
    assert report.violations[0].row_count == 120
    # Whole numbers can be told from their hashes, so no document holds any.
    assert set(report.violations[0].to_dict()["predicate"]) == {"column", "op", "rule", "compared"}


def test_rows_that_are_alike_since_a_column_is_gone_are_no_repeats(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    for gone in (window.assign(level=np.nan, miles=np.nan), window.drop(columns=["level"])):
        report = check(gone, baseline)

        assert not report.passed
        assert causes(report) == {}


def test_rows_of_few_values_are_always_repeated() -> None:
    baseline = Baseline.fit(trips(1)[["client", "at"]], timestamp="at")

    assert causes(check(trips(2, 500, 7)[["client", "at"]], baseline)) == {}


@pytest.mark.parametrize(
    ("column", "changed", "words"),
    [
        ("level", lambda x: x.round(1), "100% of numbers with at most 1 decimal"),
        ("miles", lambda x: x.round(), "100% of numbers with no decimals"),
        (
            "minutes",
            lambda x: x + 0.0123,
            "100% of numbers with more than 1 decimal",
        ),
    ],
)
def test_rounded_and_finer_numbers_are_told(
    baseline: Baseline,
    window: pd.DataFrame,
    column: str,
    changed: Callable[[pd.Series[float]], pd.Series[float]],
    words: str,
) -> None:
    report = check(window.assign(**{column: changed(window[column])}), baseline)

    found = causes(report)["decimals_check"]
    assert (found[0], found[1].partition(" (")[0]) == (column, words)


@pytest.mark.parametrize("week", ["2024-05-06", "2024-05-13", "2024-05-20"])
def test_a_week_of_few_values_that_were_rounded_is_told_as_that(week: str) -> None:
    """Nine humidities are all that a week has at one decimal, and one of them its largest."""
    rng = np.random.default_rng(6)
    hours = pd.date_range("2024-01-01", "2024-06-30", freq="h", tz="UTC")
    slow = lfilter([1.0], [1.0, -0.9], rng.normal(0.0, 0.09, len(hours)))
    rows = pd.DataFrame({"ts": hours, "humid": np.clip(0.6 + slow, 0.1, 1.0).round(2)})
    for name in "abcd":
        rows[name] = rng.normal(size=len(rows))
    reference = Baseline.fit(rows[rows["ts"] < "2024-05-01"], timestamp="ts")
    start = pd.Timestamp(week, tz="UTC")
    window = rows[rows["ts"].between(start, start + timedelta(days=7), inclusive="left")]

    report = check(window.assign(humid=window["humid"].round(1)), reference)

    assert [one.constraint_check_type for one in report.violations] == ["decimals_check"]
    assert "100% of numbers with at most 1 decimal" in report.cause
    assert check(window, reference).violations == ()


def test_one_value_that_becomes_frequent_is_no_rounding(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    flood = window["level"].mask(window.index % 3 == 0, 40.0)

    assert causes(check(window.assign(level=flood), baseline)) == {}


def test_a_day_of_few_values_that_many_rows_share_is_no_rounding(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    """As the hour's weather in each flight of that hour."""
    hourly = np.round(np.random.default_rng(3).normal(50, 10, 20), 3)
    hourly[::4] = hourly[::4].round(1)
    level = hourly[np.arange(len(window)) % len(hourly)]

    assert "decimals_check" not in causes(check(window.assign(level=level), baseline))


@pytest.mark.parametrize(
    ("row_count", "span_h", "expected"),
    [
        (700, 24, 0.01),
        (700, 100, 0.02),
        (5_000, 24, 0.02),
        (50_000, 24, 0.04),
        (400_000, None, 0.16),
    ],
)
def test_more_rows_and_longer_spans_hold_more_repeats(
    row_count: int, span_h: float | None, expected: float
) -> None:
    scales = tuple(
        RepeatScale(hours, rows, 10_000, share, 1.0)
        for hours, rows, share in ((24, 1e3, 0.01), (168, 7e3, 0.02), (0, 1e5, 0.04))
    )
    found = RowDigests(("x",), ("x",), row_count=row_count)
    found.keys = np.arange(20_000, dtype=np.uint64) // 2

    more = more_repeats(found, Repeats(("x",), ("x",), scales), span_h, 1e-4)

    assert more is not None
    assert more.usual == pytest.approx(expected)


def test_bursts_of_the_reference_are_no_news_in_a_window() -> None:
    rows = trips(1, 12_000)
    burst = rows["at"].dt.day_of_year % 9 == 0
    rows = pd.concat([rows, rows[burst].iloc[::2]]).sort_values("at", ignore_index=True)
    baseline = Baseline.fit(rows.drop(columns="id"), timestamp="at")
    window = trips(2, 200, 1).drop(columns="id")

    assert causes(check(pd.concat([window, window[::2]]), baseline)) == {}


# What the scan of cuts and cells, and the search for segments, find without a check of their own.


def drift_of(report: Report, column: str) -> str:
    return next(
        (
            one.cause
            for one in report.violations
            if one.feature_name == column
            and one.constraint_check_type in ("baseline_drift_check", "unit_change_check")
        ),
        "",
    )


def test_a_sensor_that_saturates_is_drift_at_its_edge(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    report = check(window.assign(level=window["level"].clip(upper=58.0)), baseline)

    assert drift_of(report, "level").startswith("22.2% of rows from 57.692 to below 58.821")


def test_kilometres_from_one_client_are_told_with_the_client(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    scale = np.where(window["client"] == "web", 1.609344, 1.0)

    report = check(window.assign(miles=(window["miles"] * scale).round(2)), baseline)

    assert 'client = "web"' in drift_of(report, "miles")


def test_half_of_a_class_lost_is_told_by_its_level(
    baseline: Baseline, window: pd.DataFrame
) -> None:
    lost = (window["client"] == "web") & (window.index % 2 == 0)

    found = drift_of(check(window[~lost], baseline), "client")

    assert '"web"' in found
