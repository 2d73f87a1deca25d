"""The day test in a check of data quality: told in words, and in place of no verdict at all."""

from __future__ import annotations

from functools import cache

import pandas as pd

import driftline as dl
from driftline.baseline.store import Baseline
from tests.monitors.day_test.weather import weather

REFERENCE_DAYS = 400


@cache
def rows() -> pd.DataFrame:
    return weather(REFERENCE_DAYS + 14)


@cache
def baseline() -> Baseline:
    return Baseline.fit(rows()[: 24 * REFERENCE_DAYS], timestamp="at")


def later(days: int = 14) -> pd.DataFrame:
    return rows()[24 * REFERENCE_DAYS :][: 24 * days].reset_index(drop=True)


def shifted(one: pd.DataFrame) -> pd.DataFrame:
    """Temperatures that come eight hours late."""
    before = rows()["temp"].shift(8)[24 * REFERENCE_DAYS :][: len(one)]
    return one.assign(temp=before.to_numpy())


def test_what_was_never_judged_is_judged_by_its_days() -> None:
    report = dl.check(later(), baseline())

    assert report.passed
    assert [one.name for one in report.unjudged] == ["pressure"], (
        "wholly beyond the reference it would be no finding"
    )
    days = report.to_dict()["details"]["day_test"]
    assert days == {"judged": ["temp", "wind"], "findings": {}}
    line = next(one for one in report.results if one.feature == "temp")
    assert (line.state, line.bound) == ("judged_by_days", None), "nothing could break its distance"
    assert report.judged_columns == ("temp", "wind")


def test_a_finding_is_a_ticket_in_words_with_its_uncertainty() -> None:
    report = dl.check(shifted(later()), baseline())

    (violation,) = report.violations
    assert (violation.feature_name, violation.constraint_check_type) == ("temp", "day_drift_check")
    assert violation.severity == "ticket"
    assert violation.cause.startswith(
        "the daily cycle lies elsewhere than hour, weekday and season"
    )
    assert "sd (95%: " in violation.cause
    assert "over 14 days" in violation.cause
    assert violation.share_of_blame == 1.0
    finding = report.to_dict()["details"]["day_test"]["findings"]["temp"]
    assert finding["p_value"] < finding["alpha"]
    assert finding["mean_low"] < finding["mean"] < finding["mean_high"]
    assert report.to_dict()["passed"] is False
    assert "day_drift_check" in report.documents()["constraint_violations.json"]
    assert "daily cycle" in report.html()
