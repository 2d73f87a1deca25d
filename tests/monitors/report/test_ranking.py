"""What a report shows first, and its tables of segments and rules."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.ranking import violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Violation
from driftline.stats.distances.units import UnitChange


def violation(name: str, check: str, severity: str, cause: str, rows: int = 5) -> Violation:
    return Violation(name, check, "", severity=severity, cause=cause, row_count=rows)  # type: ignore[arg-type]


VIOLATIONS = (
    violation("quiet", "baseline_drift_check", "ticket", "moved"),
    violation("loud", "baseline_drift_check", "ticket", "moved"),
    violation("loud", "completeness_check", "page", "empty"),
    violation("loud", "data_type_check", "page", "empty"),
    violation("loud", "range_check", "page", "empty", rows=6),
)


def test_a_feature_that_pages_comes_first_with_what_pages() -> None:
    first, second = violated_features(VIOLATIONS)

    assert (first.feature, first.severity) == ("loud", "page")
    assert (second.feature, second.severity) == ("quiet", "ticket")
    told = [(one.checks, one.cause, one.first.row_count) for one in first.findings]
    assert told == [
        (("completeness_check", "data_type_check"), "empty", 5),
        (("range_check",), "empty", 6),
        (("baseline_drift_check",), "moved", 5),
    ]


def test_a_unit_that_changed_is_told_once_with_its_drift() -> None:
    unit = UnitChange("1,000 times the expected unit", 0.001, 0.0, 0.9, 0.1)
    cause = "all above 17, looks like 1,000 times the expected unit, all of them where b = c"
    plain = "all above 17, all of them where b = c"
    found = (
        replace(violation("a", "unit_change_check", "page", cause), unit=unit),
        violation("a", "baseline_drift_check", "ticket", plain),
        violation("a", "range_check", "ticket", plain, rows=6),
    )

    (broken,) = violated_features(found)

    assert [(one.checks, one.cause) for one in broken.findings] == [
        (("unit_change_check", "baseline_drift_check"), cause),
        (("range_check",), plain),
    ]
    report = Report("data-quality", found, 10)
    assert (report.violation_count, report.page_count) == (2, 1)
    assert report.headline == "10 rows, 2 violations"
    assert "2 violations in 10 rows" in report.html()
    assert report.to_dict()["violation_count"] == 2
    assert len(json.loads(report.documents()["constraint_violations.json"])["violations"]) == 3


def test_of_one_feature_what_pages_comes_first() -> None:
    rng = np.random.default_rng(1)
    baseline = Baseline.fit(pa.table({"o": rng.choice(["a", "b"], 5_000)}))
    values = [*[None] * 30, *["new"] * 300, *rng.choice(["a", "b"], 2_670)]

    found = check(pa.table({"o": values}), baseline).violations

    severities = [one.severity for one in found]
    assert set(severities) == {"page", "ticket"}
    assert severities == sorted(severities)
