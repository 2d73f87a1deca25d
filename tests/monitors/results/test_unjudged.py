"""What a check could not judge is counted, with why and what would help; what matters decides."""

from __future__ import annotations

from driftline.monitors.report.report import Report
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.state import State

WEEKS = "a longer reference"


def line(
    name: str, role: str = "feature", state: State = State.JUDGED, why: str = ""
) -> FeatureResult:
    judged = {} if why else {"distance": 0.1, "bound": 0.2}
    return FeatureResult(name, "double", role, 100, state=state, why=why, **judged)


def varied(*names: str) -> list[FeatureResult]:
    return [line(name, state=State.TOO_VARIABLE, why=WEEKS) for name in names]


def test_report_json_counts_and_lists_them() -> None:
    found = Report("data-quality", (), 168, results=(line("w"), *varied("a"))).to_dict()

    assert found["unjudged_count"] == 1
    assert found["unjudged"] == [{"name": "a", "state": State.TOO_VARIABLE, "why": WEEKS}]


def test_a_check_that_judged_only_labels_is_undecided() -> None:
    report = Report("data-quality", (), 168, results=(line("late", "label"), *varied("a")))

    assert not report.decided
    assert not report.passed
    assert report.summary.startswith("168 rows; nothing could be judged: drift of a could not be")
