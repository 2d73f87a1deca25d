"""A notebook: from two frames to the cause and its rows, and on to windows and all kinds."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

import driftline as dl
from tests.kit.data import ORDERS, fit, labelled, stream

FEATURES = ["km", "rain_mm"]


@pytest.fixture(scope="module")
def past() -> pd.DataFrame:
    """Two months of orders with what became of them, and what the model said."""
    orders = labelled(stream(ORDERS, rows=6_000, seed=1, start="2026-01-01T00:00Z", every="15min"))
    return answered(orders)


def answered(orders: pd.DataFrame) -> pd.DataFrame:
    model = fit(labelled(stream(ORDERS, rows=3_000, seed=9)))
    return orders.assign(
        said=model.predict(orders[FEATURES]),
        score=model.predict_proba(orders[FEATURES])[:, 1].round(4),
    )


@pytest.fixture(scope="module")
def reference(past: pd.DataFrame) -> dl.Baseline:
    return dl.Baseline.fit(
        past, label="late", prediction="said", probability="score", timestamp="time",
        problem="binary", positive=1, facet="city=Ulm",
    )  # fmt: skip


def day(seed: int, **given: object) -> pd.DataFrame:
    columns = {"rows": 600, "start": "2026-03-10T00:00Z", "every": "2min", **given}
    return answered(labelled(stream(ORDERS, seed=seed, **columns)))  # type: ignore[arg-type]


def test_a_changed_unit_leads_to_the_cause_and_its_rows(
    reference: dl.Baseline, tmp_path: Path
) -> None:
    def in_metres(orders: pd.DataFrame) -> pd.DataFrame:
        is_there = orders["city"] == "Kiel"
        return orders.assign(km=orders["km"].where(~is_there, orders["km"] * 1_000))

    today = day(2, change=in_metres)

    calm = dl.check(day(3), reference)
    report = dl.check(today, reference)
    rows = report.rows(report.violations[0], limit=None)
    report.save(tmp_path / "out")
    report.to_html(tmp_path / "report.html")

    assert calm.passed, calm.cause
    assert not report.passed
    assert report.violations[0].feature_name == "km"
    assert "1,000 times" in report.cause
    assert 'city = "Kiel"' in report.cause
    assert set(rows["city"]) == {"Kiel"}
    assert len(rows) == pytest.approx((today["city"] == "Kiel").sum(), abs=10)
    violations = json.loads((tmp_path / "out" / "constraint_violations.json").read_text())
    assert "km" in {one["feature_name"] for one in violations["violations"]}
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_baseline_is_kept_as_files_and_says_the_same(
    reference: dl.Baseline, tmp_path: Path
) -> None:
    today = day(4, change={"km": lambda km: km * 1_000})

    reference.save(tmp_path / "baseline")
    again = dl.check(today, dl.Baseline.load(tmp_path / "baseline"))
    by_path = dl.check(today, tmp_path / "baseline")

    assert again.to_dict() == by_path.to_dict() == dl.check(today, reference).to_dict()
    names = {file.name for file in (tmp_path / "baseline").iterdir()}
    assert {"statistics.json", "constraints.json", "signature.json"} <= names


def test_all_kinds_judge_the_same_rows(reference: dl.Baseline) -> None:
    worse = day(5).assign(late=lambda rows: 1 - rows["late"])

    reports = dl.check_all(worse, reference)

    assert {"data-quality", "model-quality", "bias"} <= set(reports)
    assert reports["data-quality"].passed, reports["data-quality"].cause
    assert not reports["model-quality"].passed
    assert not reports.passed
    assert reports.row_count == len(worse)


def test_a_monitor_keeps_what_windows_add_up_to(reference: dl.Baseline) -> None:
    """A tenth more is within what one day may bring; the model's answers of four days show it."""
    monitor = dl.Monitor(reference)
    start = pd.Timestamp("2026-03-10", tz="UTC")
    reports = []
    for number in range(30):
        first, factor = start + timedelta(days=number), 1.0 if number < 14 else 1.1
        change = {"km": lambda km, factor=factor: (km * factor).round(1)}
        rows = day(20 + number, start=first, change=change)
        reports.append(monitor.check(rows.drop(columns=["late"]), time=first))

    assert all(report.passed for report in reports[:14])
    causes = [one.cause for report in reports for one in report.violations]
    assert any("over the last 4 windows" in cause for cause in causes)


def test_distances_profiles_and_scores_are_numbers_of_rows(
    reference: dl.Baseline, past: pd.DataFrame
) -> None:
    same, other = day(6), day(7, change={"km": lambda km: km + 10})

    near, far = (dl.distance("wasserstein", past["km"], rows["km"]).value for rows in (same, other))
    profile = dl.profile(other)
    scores = dl.outlier_scores(other, reference).to_pandas()

    assert near < 1 < far
    assert profile.row_count == len(other) == len(scores)
    assert {"outlier_score", "is_outlier", "reason"} <= set(scores.columns)


def test_mistakes_are_one_sentence(reference: dl.Baseline, past: pd.DataFrame) -> None:
    with pytest.raises(dl.InputError, match="late"):
        dl.Baseline.fit(past, label="lat")
    with pytest.raises(dl.InputError, match="kind"):
        dl.check(past, reference, kind="quality")
    with pytest.raises(dl.DriftlineError):
        dl.check("nowhere.parquet", reference)
