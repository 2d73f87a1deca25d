"""What a check could not judge is counted, with why and what would help; what matters decides."""

from __future__ import annotations

from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import FeatureResult

WEEKS = "a longer reference"


def line(name: str, role: str = "feature", note: str = "", remedy: str = "") -> FeatureResult:
    judged = {} if note else {"distance": 0.1, "bound": 0.2}
    return FeatureResult(name, "double", role, 100, note=note, remedy=remedy, **judged)


def varied(*names: str) -> list[FeatureResult]:
    return [line(name, note=UNDECIDABLE, remedy=WEEKS) for name in names]


def test_report_json_counts_and_lists_them() -> None:
    found = Report("data-quality", (), 168, results=(line("w"), *varied("a"))).to_dict()

    assert found["unjudged_count"] == 1
    assert found["unjudged"] == [{"name": "a", "reason": UNDECIDABLE, "remedy": WEEKS}]


def test_a_check_that_judged_only_labels_is_undecided() -> None:
    report = Report("data-quality", (), 168, results=(line("late", "label"), *varied("a")))

    assert not report.decided
    assert not report.passed
    assert report.summary.startswith("168 rows; nothing could be judged: drift of a could not be")
