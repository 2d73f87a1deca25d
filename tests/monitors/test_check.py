"""Planted changes are found, explained and traced to their rows; unchanged data pass."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError, UndecidedError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from tests.monitors.conftest import checks, weather


def judged(values: dict[str, np.ndarray], reference: Baseline) -> Report:
    return check(
        pa.table({name: pa.array(one, from_pandas=True) for name, one in values.items()}), reference
    )


def test_unchanged_data_pass(reference: Baseline, rng: np.random.Generator) -> None:
    report = judged(weather(rng, 1000), reference)

    assert report.passed
    assert report.cause == ""
    assert len(report.features) == 5
    assert report.features["ratio"].between(0, 1).all()


def test_where_no_set_of_a_column_has_moved_none_is_named() -> None:
    rows = pa.table({"weekday": np.arange(140) % 7})

    (line,) = check(rows, Baseline.fit(rows)).results

    assert (line.distance, line.set, line.share_window) == (0.0, None, None)


def test_a_third_in_celsius_is_found_with_its_airport(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 1000)
    newark = values["origin"] == "EWR"
    values["temp"] = np.where(newark, np.round((values["temp"] - 32) / 1.8, 1), values["temp"])

    report = judged(values, reference)

    assert {("temp", "baseline_drift_check"), ("temp", "unit_change_check")} == checks(report)
    unit = next(
        one for one in report.violations if one.constraint_check_type == "unit_change_check"
    )
    assert unit.severity == "page"
    assert unit.unit is not None
    assert unit.unit.name == "Celsius instead of Fahrenheit"
    assert unit.segment is not None
    assert (unit.segment.column, unit.segment.level) == ("origin", "EWR")
    assert 'all of the increase where origin = "EWR"' in report.cause
    assert "looks like Celsius instead of Fahrenheit" in report.cause


def test_an_unseen_level_is_found_and_named(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 1000)
    values["carrier"] = np.where(values["carrier"] == "UA", "UAL", values["carrier"])
    expected = int((values["carrier"] == "UAL").sum())

    report = judged(values, reference)

    assert ("carrier", "categorical_values_check") in checks(report)
    assert ("carrier", "baseline_drift_check") in checks(report)
    violation = report.violations[0]
    assert violation.severity == "page"
    assert violation.values == ("UAL",)
    assert violation.row_count == expected
    rows = report.rows(violation, limit=10_000)
    assert (rows["carrier"] == "UAL").sum() == len(rows) == expected


@pytest.mark.parametrize("gap", [False, True])
def test_a_rare_value_or_gap_that_comes_for_the_first_time_is_no_violation(
    reference: Baseline, rng: np.random.Generator, gap: bool
) -> None:
    values = weather(rng, 3000)
    values["carrier"] = values["carrier"].astype(object)
    values["carrier"][7] = None if gap else "OO"

    assert judged(values, reference).passed


@pytest.mark.parametrize(
    ("value", "check"), [(None, "completeness_check"), ("OO", "categorical_values_check")]
)
def test_twenty_of_ten_thousand_at_once_are_one(
    reference: Baseline, rng: np.random.Generator, value: str | None, check: str
) -> None:
    values = weather(rng, 10_000)
    values["carrier"] = values["carrier"].astype(object)
    values["carrier"][:20] = value

    assert ("carrier", check) in checks(judged(values, reference))


@pytest.mark.parametrize(("rows", "told"), [(1, False), (10, True)])
def test_unseen_values_of_windows_too_small_to_judge_are_told_unless_they_may_be_chance(
    reference: Baseline, rng: np.random.Generator, rows: int, told: bool
) -> None:
    values = weather(rng, 25)
    values["carrier"] = values["carrier"].astype(object)
    values["carrier"][:rows] = "OO"

    assert (("carrier", "categorical_values_check") in checks(judged(values, reference))) == told


def test_two_rows_promise_nothing(rng: np.random.Generator) -> None:
    tiny = Baseline.fit(pa.table(weather(rng, 2)))

    report = judged(weather(rng, 1000) | {"stops": np.full(1000, 5_000)}, tiny)

    assert not report.violations
    assert not report.decided


def test_five_percent_of_gaps_are_found(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 500)
    values["wind"][rng.random(500) < 0.05] = np.nan

    report = judged(values, reference)

    assert ("wind", "completeness_check") in checks(report)
    violation = next(
        one for one in report.violations if one.constraint_check_type == "completeness_check"
    )
    assert violation.severity == "page"
    assert violation.row_count == int(np.isnan(values["wind"]).sum())
    assert re.fullmatch(
        r"Value: 0\.\d+ does not meet the constraint requirement! ", violation.description
    )


def test_a_stuck_value_is_found(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 300)
    values["wind"][:] = 11.0

    report = judged(values, reference)

    assert ("wind", "baseline_drift_check") in checks(report)
    assert report.passed is False


@pytest.mark.parametrize("share", [1.0, 1 / 3, 0.03])
def test_values_a_thousand_times_too_large_page(
    reference: Baseline, rng: np.random.Generator, share: float
) -> None:
    values = weather(rng, 900)
    values["wind"] = np.where(rng.random(900) < share, values["wind"] * 1000, values["wind"])

    report = judged(values, reference)

    pages = {one.feature_name for one in report.violations if one.severity == "page"}
    assert pages == {"wind"}


def test_rows_behind_a_violation_are_exactly_those_that_meet_its_condition(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25

    report = judged(values, reference)

    violation = next(
        one for one in report.violations if one.constraint_check_type == "baseline_drift_check"
    )
    predicate = violation.predicate
    assert predicate is not None
    assert predicate.op == "ge"
    mask = values["temp"] >= predicate.value
    rows = report.rows(violation, limit=10_000)
    assert violation.row_count == mask.sum()
    assert sorted(rows["temp"]) == sorted(values["temp"][mask])
    assert [one["row"] for one in violation.first_rows] == np.flatnonzero(mask)[:20].tolist()


def test_a_drift_violation_names_a_distance_above_its_bound(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25

    report = judged(values, reference)

    [one] = [
        one for one in report.violations if one.constraint_check_type == "baseline_drift_check"
    ]
    found = re.fullmatch(r"Baseline drift distance: (.+) exceeds threshold: (.+)", one.description)
    assert found is not None
    distance, bound = float(found[1]), float(found[2])
    assert one.feature_name == "temp"
    assert distance > bound > 0
    assert one.ratio == pytest.approx(distance / bound)


def test_a_lost_level_shows_what_took_its_place(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 2000)
    values["origin"] = np.where(values["origin"] == "EWR", "JFK", values["origin"])

    report = judged(values, reference)

    violation = report.violations[0]
    assert str(violation.predicate) == 'origin = "JFK"'
    assert violation.row_count == (values["origin"] == "JFK").sum()


def test_columns_are_compared_by_name(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 200)
    values["gust"] = values.pop("wind")

    report = judged(values, reference)

    assert checks(report) == {
        ("Missing columns", "missing_column_check"),
        ("Extra columns", "extra_column_check"),
    }
    assert [
        (one.cause, one.severity) for one in report.violations if "Missing" in one.feature_name
    ] == [("wind", "page")]
    assert len(report.rows(report.violations[0])) == 0
    with pytest.raises(InputError, match="no rows behind it"):
        report.export(report.violations[0], "rows.csv")


def test_a_missing_column_is_told_first(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 200)
    del values["wind"]
    values["temp"] = np.where(rng.random(200) < 0.2, np.nan, values["temp"])

    report = judged(values, reference)

    assert {one.severity for one in report.violations} >= {"page"}
    assert report.violations[0].feature_name == "Missing columns"
    assert report.cause.startswith("Missing columns: wind; temp: ")


def test_too_few_rows_are_said_to_be_too_few(reference: Baseline, rng: np.random.Generator) -> None:
    report = judged(weather(rng, 29), reference)

    assert not report.violations
    assert not report.decided
    assert "29 rows" in report.summary
    assert len(report.insufficient_data) == 5
    assert report.features["distance"].isna().all()


def test_no_rows_decide_nothing(reference: Baseline, rng: np.random.Generator) -> None:
    empty = {name: values[:0] for name, values in weather(rng, 1).items()}

    report = judged(empty, reference)

    assert not report.decided
    assert "nothing could be judged" in report.summary
    assert [one.name for one in report.unjudged] == list(empty)
    assert {one.words for one in report.unjudged} == {"too few rows: at least 30 rows"}


def test_a_share_of_gaps_that_the_reference_had_is_no_violation(rng: np.random.Generator) -> None:
    def stream(rows: int) -> pa.Table:
        values = rng.normal(size=rows)
        values[rng.random(rows) < 0.1] = np.nan
        return pa.table({"x": pa.array(values, from_pandas=True)})

    baseline = Baseline.fit(stream(5000))

    assert all(check(stream(400), baseline).passed for _ in range(20))


def test_new_values_in_an_open_vocabulary_are_no_drift(rng: np.random.Generator) -> None:
    def stream(rows: int) -> pa.Table:
        return pa.table(
            {"word": np.char.add("w", np.minimum(rng.zipf(1.7, rows), 10**9).astype(str))}
        )

    baseline = Baseline.fit(stream(5000))

    assert all(check(stream(500), baseline).passed for _ in range(20))


@pytest.mark.parametrize("every", [1, 2])
def test_the_reference_itself_passes_though_its_names_came_once(every: int) -> None:
    table = pa.table({"name": [f"n{i}" if i % every == 0 else "usual" for i in range(1000)]})

    assert check(table, Baseline.fit(table)).passed


@pytest.mark.parametrize("kind", [pa.null(), pa.string(), pa.float64()])
def test_values_where_the_reference_has_none_are_fewer_gaps_and_no_new_level(
    kind: pa.DataType,
) -> None:
    baseline = Baseline.fit(pa.table({"x": pa.nulls(100, kind), "y": range(100)}))
    window = pa.table({"x": pa.array([1.0] * 100), "y": range(100)})

    (found,) = check(window, baseline).violations

    said = "0% of rows empty" if kind == pa.float64() else "100% of rows not empty"
    assert found.cause.startswith(said)
    assert "new level" not in found.cause
    assert found.severity == "ticket"


def test_report_json_holds_what_was_found_and_no_time_of_its_own(
    reference: Baseline, rng: np.random.Generator, tmp_path: Path
) -> None:
    values = weather(rng, 500)
    values["wind"] = values["wind"] * 1000

    judged(values, reference).save(tmp_path / "first")
    judged(values, reference).save(tmp_path / "second")

    text = (tmp_path / "first" / "report.json").read_text()
    assert text == (tmp_path / "second" / "report.json").read_text()
    found = json.loads(text)
    assert found["violations"][0]["feature_name"] == "wind"
    assert found["window"] is None
    assert sum(
        {one["feature_name"]: one["share_of_blame"] for one in found["violations"]}.values()
    ) == pytest.approx(1)


def test_a_report_draws_itself_with_its_texts_escaped(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    name = "<script>alert(1)</script>"
    baseline = Baseline.fit(pa.table({name: rng.normal(size=500)}))

    report = check(pa.table({name: rng.normal(size=500) + 9}), baseline)
    report.to_html(tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text()
    # The page has a script of its own; a name must neither start nor end one.
    assert page.count("alert(1)") > 0
    assert "<script>alert" not in page + report._repr_html_()
    assert "alert(1)</script" not in page + report._repr_html_()
    assert "<script" not in report._repr_html_()
    assert "&lt;script&gt;" in page


def test_a_data_frame_serves_as_well(reference: Baseline, rng: np.random.Generator) -> None:
    frame = pd.DataFrame(weather(rng, 300))

    assert check(frame, reference).passed


def test_rows_that_are_gone_are_said_to_be_gone(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 300)
    values["wind"] = values["wind"] * 1000
    report = judged(values, reference)

    gone = Report(**{**report.__dict__, "batches": None})

    with pytest.raises(UndecidedError):
        gone.rows(0)


def test_an_unknown_kind_is_refused(reference: Baseline) -> None:
    with pytest.raises(InputError, match="data-quality"):
        check(pa.table({"x": [1]}), reference, kind="vibes")


def test_a_kind_may_be_in_capitals_and_drift_is_told_its_kind(
    reference: Baseline, rng: np.random.Generator
) -> None:
    assert check(pa.table(weather(rng, 500)), reference, kind="DATA_QUALITY").kind == "data-quality"
    with pytest.raises(InputError, match=r'kind "drift"; .*; drift of single columns is data-qual'):
        check(pa.table(weather(rng, 500)), reference, kind="drift")


def clustered(rng: np.random.Generator, day: int) -> pd.DataFrame:
    """Forty rows of a day, in two sessions that share their values; only x is independent."""
    sessions = np.repeat(rng.normal(size=(2, 3)), 20, axis=0)
    frame = pd.DataFrame(sessions, columns=["a", "b", "c"]).assign(x=rng.normal(size=40))
    return frame.assign(at=pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day))


def test_a_column_that_is_gone_pages_however_bursty_its_stream(rng: np.random.Generator) -> None:
    days = pd.concat([clustered(rng, day) for day in range(60)], ignore_index=True)
    baseline = Baseline.fit(days, timestamp="at")

    report = check(clustered(rng, 60).assign(x=np.nan), baseline)

    assert ("x", "completeness_check") in checks(report)
    assert report.page_count >= 1


def test_a_pager_gets_a_few_of_many_names_and_the_report_all(rng: np.random.Generator) -> None:
    names = [f"column_{number:03d}" for number in range(300)]
    baseline = Baseline.fit(pd.DataFrame(rng.normal(size=(50, 300)), columns=names))

    report = check(pd.DataFrame({"column_000": rng.normal(size=50)}), baseline)

    assert len(report.cause) < 300
    assert report.cause.endswith("…")
    assert "column_299" in report.violations[0].cause
