"""What a check could not judge is counted, with why and what would help; what matters decides."""

from __future__ import annotations

from functools import partial

from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    too_variable,
)
from driftline.monitors.results.violation import FeatureResult

WEEKS = "11 more days of reference"


def line(name: str, role: str = "feature", note: str = "", remedy: str = "") -> FeatureResult:
    judged = {} if note else {"distance": 0.1, "bound": 0.2}
    return FeatureResult(name, "double", role, 100, note=note, remedy=remedy, **judged)


def varied(*names: str) -> list[FeatureResult]:
    return [line(name, note=UNDECIDABLE, remedy=WEEKS) for name in names]


def test_the_first_line_counts_columns_and_says_what_would_help() -> None:
    report = Report("data-quality", (), 168, results=(line("w"), *varied("a", "b")))

    assert report.unjudged_line == f"2 of 3 columns could not be judged ({WEEKS} would do)"
    assert report.summary == (
        f"168 rows, no violations in 1 of 3 columns; 2 could not be judged ({WEEKS} would do)"
    )
    assert report.unjudged_text == (
        f"drift of a, b could not be judged (the reference varies too much: {WEEKS}); their "
        "missing values, types and ranges were checked"
    )


def test_the_rows_that_would_do_are_found_by_halving() -> None:
    asked: list[float] = []

    def bounded(more: float) -> bool:
        asked.append(more)
        return False

    assert too_variable(240, bounded).endswith("only a longer reference")
    assert len(asked) <= 6  # Of 39: each costs a search for a bound.
    longer = partial(too_variable, 240, bounded, 20.0)
    assert longer(lambda more: more > 3).endswith("only a reference of about 68 days")
    assert partial(too_variable, 240, bounded, 90.0)(lambda more: more > 9).endswith(
        "nor a reference of two years, only longer windows, such as weeks in place of days"
    )
    assert longer(bounded).endswith("longer windows: those of this length differ too much")


def test_report_json_counts_and_lists_them() -> None:
    found = Report("data-quality", (), 168, results=(line("w"), *varied("a"))).to_dict()

    assert found["unjudged_count"] == 1
    assert found["unjudged"] == [{"name": "a", "reason": UNDECIDABLE, "remedy": WEEKS}]


def test_a_check_that_judged_only_labels_is_undecided() -> None:
    report = Report("data-quality", (), 168, results=(line("late", "label"), *varied("a")))

    assert not report.decided
    assert not report.passed
    assert report.summary.startswith("168 rows; nothing could be judged: drift of a could not be")
