"""What a report shows first, and its tables of segments and rules."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.ranking import findings, state_of, violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.report.side_tables import side_tables
from driftline.monitors.results.violation import FeatureResult, SegmentResult, Violation
from driftline.stats.distances.units import UnitChange


def violation(name: str, check: str, severity: str, cause: str, rows: int = 5) -> Violation:
    return Violation(name, check, "", severity=severity, cause=cause, row_count=rows)  # type: ignore[arg-type]


def result(name: str, distance: float | None) -> FeatureResult:
    return FeatureResult(name, "double", "feature", 10, 0, 0, distance=distance, bound=0.5)


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


def test_what_checks_word_differently_of_the_same_rows_is_told_once() -> None:
    rows = tuple({"row": at} for at in range(5))
    others = tuple({"row": at} for at in range(5, 10))
    found = tuple(
        replace(violation("a", check, severity, cause), first_rows=own)
        for check, severity, cause, own in (
            ("constant_check", "page", "5 times in a row 0", rows),
            ("baseline_drift_check", "ticket", "all rows below 9", rows),
            ("range_check", "page", "all values below 1", rows),
            ("order_check", "page", "a below b", others),
        )
    )

    report = Report("data-quality", found, 10)

    (broken,) = violated_features(found)
    assert [(one.checks, one.cause) for one in broken.findings] == [
        (("constant_check", "range_check", "baseline_drift_check"), "5 times in a row 0"),
        (("order_check",), "a below b"),
    ]
    assert (report.violation_count, report.page_count) == (2, 2)


def test_a_renamed_level_is_one_finding() -> None:
    baseline = Baseline.fit(pa.table({"a": ["x", "y", "y", "y"] * 500}))

    report = check(pa.table({"a": ["z", "y", "y", "y"] * 250}), baseline)

    assert len(report.violations) == 2
    assert (report.violation_count, report.page_count) == (1, 1)
    (told,) = findings(report.violations)
    assert told.checks == ("categorical_values_check", "baseline_drift_check")


def test_features_follow_their_violations_then_their_distance() -> None:
    results = tuple(
        result(name, distance)
        for name, distance in [("far", 0.4), ("none", None), ("quiet", 0.6), ("near", 0.1),
                               ("loud", 0.9)]
    )  # fmt: skip

    ranked = Report("data-quality", VIOLATIONS, 10, results=results).ranked_results

    assert [one.feature for one in ranked] == ["loud", "quiet", "far", "near", "none"]
    states = [state_of(one, frozenset({"loud", "quiet"})) for one in ranked]
    assert states == ["violated", "violated", "kept", "kept", "unjudged"]


@pytest.fixture
def declared() -> Report:
    segments = (
        SegmentResult("s = a", "s", "a", 900, 0.9, 800, 0, 0.5, "", ()),
        SegmentResult("s = b", "s", "b", 100, 0.1, 0, 2, None, "no_reference", ()),
    )
    rules = [
        {"rule": {"check": "unique", "column": "id"}, "feature_name": "id", "passed": True,
         "judged_count": 1000, "broken_count": 0, "found": ""},
        {"rule": {"check": "expression", "expression": "a < b"}, "feature_name": "a, b",
         "passed": False, "judged_count": 1000, "broken_count": 12, "found": "1.2% of rows"},
        {"rule": {"check": "bounds", "name": "<b>ages</b>", "column": "age"},
         "feature_name": "age", "passed": True, "judged_count": 7, "broken_count": 0,
         "found": ""},
    ]  # fmt: skip
    return Report("data-quality", (), 1000, segments=segments, details={"rules": rules})


def test_segments_and_rules_have_a_table_each_the_broken_first(declared: Report) -> None:
    segments, rules = side_tables(declared)

    assert segments.rows[0] == ("s = b", "100", "10%", "2", "", "no reference")
    assert segments.broken == (True, False)
    assert [row[:2] for row in rules.rows] == [
        ("expression a < b", "broken"), ("id unique", "kept"), ("<b>ages</b>", "kept"),
    ]  # fmt: skip
    assert rules.rows[0][2:] == ("1,000", "12", "1.2% of rows")


def test_page_and_notebook_show_both_tables(declared: Report) -> None:
    for text in (declared.html(), declared._repr_html_()):
        assert "expression a &lt; b" in text
        assert "s = b" in text
        assert "<b>ages" not in text.replace("<b>&lt;b&gt;ages", "")


def test_a_report_without_them_has_neither() -> None:
    assert side_tables(Report("data-quality", (), 10)) == ()


def test_of_one_feature_what_pages_comes_first() -> None:
    rng = np.random.default_rng(1)
    baseline = Baseline.fit(pa.table({"o": rng.choice(["a", "b"], 5_000)}))
    values = [*[None] * 30, *["new"] * 300, *rng.choice(["a", "b"], 2_670)]

    found = check(pa.table({"o": values}), baseline).violations

    severities = [one.severity for one in found]
    assert set(severities) == {"page", "ticket"}
    assert severities == sorted(severities)


def test_a_segment_that_pages_is_counted_where_the_whole_does_not() -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=4_000), "q": rng.normal(size=4_000)}
    segment = np.repeat(["x", "y"], 2_000)
    reference = Baseline.fit(pa.table({**columns, "segment": segment}), segments=["segment"])
    gaps = np.zeros(4_000, bool)
    gaps[:44], gaps[2_000:2_032] = True, True  # 2.2% of one segment, 1.6% of the other.
    window = pa.table({**columns, "q": pa.array(columns["q"], mask=gaps), "segment": segment})

    report = check(window, reference)

    assert {one.within for one in report.violations if one.severity == "page"} == {'segment = "x"'}
    assert report.page_count == 1
