"""Datapoints of a judged window: where their notes lead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from driftline.baseline.predicate import Predicate
from driftline.capture.windows.window import Window
from driftline.monitors.report.report import Report
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.results.measured import MetricPoint
from driftline.monitors.results.violation import Violation
from driftline.monitors.rows import WindowFacts

START = datetime(2026, 1, 14, tzinfo=UTC)
PAGE = "/monitors/dq?window=20260114T000000Z"


def violation(feature: str, *, has_rows: bool, severity: str = "page") -> Violation:
    return Violation(
        feature_name=feature,
        constraint_check_type="completeness_check",
        description="0.5",
        severity=severity,
        cause="half of it is gone",
        predicate=Predicate(feature, "null") if has_rows else None,
    )


@pytest.mark.parametrize(
    ("violations", "link"),
    [
        ((), PAGE),
        ((violation("temp", has_rows=True),), f"{PAGE}&feature=temp#rows"),
        ((violation("temp", has_rows=False),), f"{PAGE}&feature=temp"),
        # A column that did not come has no line of its own.
        ((violation("Missing columns", has_rows=False),), PAGE),
        (
            (violation("temp", has_rows=False), violation("hour", has_rows=True)),
            f"{PAGE}&feature=temp",
        ),
        (
            (violation("temp", has_rows=True, severity="ticket"), violation("a", has_rows=True)),
            f"{PAGE}&feature=temp#rows",
        ),
        ((violation("origin", has_rows=True),), f"{PAGE}#rows"),
    ],
)
def test_a_note_leads_to_rows_where_there_are_any(
    violations: tuple[Violation, ...], link: str
) -> None:
    report = Report(
        kind="data-quality",
        violations=violations,
        row_count=480,
        results=(FeatureResult("temp"), FeatureResult("hour")),
        facts=WindowFacts(Window(START, START + timedelta(days=1)), request_count=24),
    )

    (point,) = [
        one
        for one in report.datapoints(monitor="dq", endpoint="flights", execution_id="e")
        if one.name == "pages"
    ]

    note = point.note or {}
    assert note["link"] == link
    assert ("rows_of" in note) is link.endswith("#rows")
    assert note.get("rows_of", "") in ("", link.partition("feature=")[2].removesuffix("#rows"))


def test_an_alarm_on_a_metric_quotes_no_cause_of_another() -> None:
    def broken(name: str) -> Violation:
        fields = {"metric_name": name, "constraint_check_type": "LessThan", "description": ""}
        return replace(violation(name, has_rows=False), cause=f"{name} fell", fields=fields)

    points = (MetricPoint("n", "auc", 0.6), MetricPoint("n", "recall", 0.9))
    points += (
        MetricPoint("n", "bias", 0.1, cause="own"),
        MetricPoint("n", "none", 0.1, cause=None),
    )
    report = Report(
        kind="model-quality",
        violations=(broken("auc"), broken("unusable_labels")),
        points=points,
        row_count=480,
        facts=WindowFacts(Window(START, START + timedelta(days=1)), request_count=24),
    )
    made = report.datapoints(monitor="q", endpoint="flights", execution_id="e")

    told = {one.name: (one.note or {})["cause"] for one in made if one.namespace == "n"}

    assert told == {
        "auc": "auc: auc fell; unusable_labels: unusable_labels fell",
        "recall": "unusable_labels: unusable_labels fell",
        "bias": "own",
        "none": "",
    }
    own = {one.name: (one.note or {})["cause"] for one in made if one.namespace != "n"}
    assert own["labelled_rows"] == own["rows"] == "unusable_labels: unusable_labels fell"
    assert "auc fell" in str(own["violations"])


def test_an_alarm_on_rows_quotes_what_data_quality_found() -> None:
    report = Report(
        kind="data-quality",
        violations=(violation("temp", has_rows=False),),
        row_count=480,
        facts=WindowFacts(Window(START, START + timedelta(days=1)), request_count=24),
    )

    made = report.datapoints(monitor="dq", endpoint="flights", execution_id="e")

    notes = {one.name: one.note or {} for one in made}
    assert notes["rows"]["cause"] == notes["violations"]["cause"] != ""
    assert notes["rows"]["link"] == notes["violations"]["link"]
