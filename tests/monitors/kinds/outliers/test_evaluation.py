"""The kind "outliers": their share judged, the worst rows first, and why each is odd."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.store import Baseline

HOURS = 24 * 28


def trips(rows: int, seed: int, *, first_hour: int = 0, hours: int = HOURS) -> pd.DataFrame:
    """Rows over some hours: time goes with distance, carriers are common and rare."""
    random = np.random.default_rng(seed)
    distance = random.gamma(3.0, 300.0, rows)
    carriers = np.array(["UA", "B6", "AA", "DL", "HA"])
    start = pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(hours=first_hour)
    return pd.DataFrame(
        {
            "at": start + pd.to_timedelta(np.sort(random.random(rows)) * hours, unit="h"),
            "distance": distance,
            "minutes": distance / 7.5 * random.lognormal(0.0, 0.08, rows) + 20.0,
            "delay": random.normal(5.0, 20.0, rows),
            "carrier": carriers[random.choice(5, rows, p=[0.4, 0.3, 0.2, 0.0995, 0.0005])],
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(trips(40_000, seed=1), timestamp="at")


def broken(rows: int, seed: int, count: int) -> pd.DataFrame:
    """A window in which some rows hold minutes as seconds."""
    frame = trips(rows, seed, first_hour=HOURS, hours=24)
    chosen = np.random.default_rng(seed).choice(rows, count, replace=False)
    frame.loc[chosen, "minutes"] *= 60
    return frame


def test_outliers_that_are_too_many_are_found_with_their_column(baseline: Baseline) -> None:
    report = dl.check(broken(5_000, seed=2, count=60), baseline, kind="outliers")

    (violation,) = report.violations
    assert violation.constraint_check_type == "outlier_share_check"
    assert violation.severity == "ticket"
    assert violation.row_count == pytest.approx(60, abs=8)
    assert "% of rows are outliers (0.1% expected), odd by minutes (" in violation.cause
    assert not report.passed


def test_numbers_of_which_the_sample_has_none_are_rare_as_such() -> None:
    many = trips(200_000, seed=5).assign(note=np.nan)
    many.loc[[17, 90_001], "note"] = 1.0
    sparse = Baseline.fit(many, timestamp="at")
    today = trips(1_000, seed=6, first_hour=HOURS, hours=24).assign(note=np.nan)
    usual = dl.outlier_scores(today, sparse)["outlier_score"][3].as_py()
    today.loc[3, "note"] = 1.0

    assert dl.outlier_scores(today, sparse)["outlier_score"][3].as_py() > usual
    assert dl.check(today, sparse, kind="outliers").passed


def test_windows_without_a_change_pass(baseline: Baseline) -> None:
    """Four days of the reference's kind, at one false alarm a year."""
    reports = [
        dl.check(
            trips(3_000, seed=seed, first_hour=HOURS + 24 * seed, hours=24),
            baseline,
            kind="outliers",
        )
        for seed in range(100, 104)
    ]

    assert [report.passed for report in reports] == [True] * 4
    assert sum(len(report.details["worst"]) for report in reports) < 4 * 3_000 * 2e-3  # type: ignore[arg-type] # A list.


def test_the_worst_rows_come_first(baseline: Baseline) -> None:
    frame = broken(5_000, seed=4, count=40)
    scores = dl.outlier_scores(frame, baseline).column("outlier_score").to_numpy()
    report = dl.check(frame, baseline, kind="outliers")

    rows = report.rows(0, limit=10)

    assert rows.index.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()
    assert rows["outlier_score"].is_monotonic_decreasing
    assert len(rows) == 10
    assert report.violations[0].first_rows[0] == {"row": rows.index[0]}


def test_report_json_holds_scores_and_reasons_but_no_value(baseline: Baseline) -> None:
    frame = broken(5_000, seed=5, count=40)
    frame.loc[9, "carrier"] = "secret"
    frame.loc[9, "delay"] = 123456.0

    text = dl.check(frame, baseline, kind="outliers").documents()["report.json"]

    found = json.loads(text)
    assert found["details"]["worst"][0]["score"] >= found["details"]["threshold"]
    assert found["violations"][0]["predicate"]["op"] == "outlier"
    assert "secret" not in text and "123456" not in text


@pytest.mark.parametrize("kind", ["outliers", "joint"])
def test_a_missing_column_could_not_be_judged(baseline: Baseline, kind: str) -> None:
    report = dl.check(trips(500, seed=9).drop(columns="delay"), baseline, kind=kind)

    assert report.details["missing_columns"] == ["delay"]
    assert report.passed
    assert [one.name.partition(":")[0] for one in report.unjudged] == ["delay"]
    assert "1 could not be judged (not in the data)" in report.headline


def test_a_reference_of_few_rows_is_refused() -> None:
    small = Baseline.fit(trips(80, seed=31), timestamp="at")

    with pytest.raises(dl.InputError, match="a sample of 80 rows; outliers need 100"):
        dl.check(broken(500, seed=32, count=50), small, kind="outliers")
