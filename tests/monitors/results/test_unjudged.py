"""What a check could not judge is counted, with why and what would help; what matters decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    TOO_VARIABLE,
    MetricResult,
    too_variable,
)
from driftline.monitors.results.unjudged import (
    Unjudged,
    unjudged_columns,
    unjudged_count_line,
    unjudged_sentence,
)
from driftline.monitors.results.violation import FeatureResult

WEEKS = "11 more days of reference"


def line(name: str, role: str = "feature", note: str = "", remedy: str = "") -> FeatureResult:
    judged = {} if note else {"distance": 0.1, "bound": 0.2}
    return FeatureResult(name, "double", role, 100, note=note, remedy=remedy, **judged)


def varied(*names: str) -> list[FeatureResult]:
    return [line(name, note=UNDECIDABLE, remedy=WEEKS) for name in names]


@pytest.mark.parametrize("role", ["label", "id", "timestamp", "excluded"])
def test_columns_that_say_what_a_row_is_need_no_verdict(role: str) -> None:
    assert unjudged_columns([line("x", role, INSUFFICIENT)]) == ()


@pytest.mark.parametrize("role", ["feature", "prediction", "probability"])
def test_features_and_predictions_do(role: str) -> None:
    found = unjudged_columns([line("x", role, UNDECIDABLE, WEEKS), line("y")])

    assert found == (Unjudged("x", UNDECIDABLE, WEEKS),)


def test_a_column_that_nobody_wanted_compared_is_not_among_them() -> None:
    assert unjudged_columns([line("x", note="comparison_disabled")]) == ()


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


def test_reasons_are_told_apart_and_many_names_are_counted() -> None:
    few = Unjudged("few", INSUFFICIENT, "at least 30 rows")
    found = [few, *(Unjudged(name, UNDECIDABLE) for name in "abcd")]

    assert unjudged_sentence(found).startswith(
        "drift of few could not be judged (too few rows: at least 30 rows); drift of a, b, c "
        "and 1 more could not be judged (the reference varies too much)"
    )
    assert unjudged_sentence([]) == unjudged_count_line([], 3, "column") == ""


def test_a_number_whose_bound_nothing_could_break_is_in_no_verdict() -> None:
    wild = MetricResult("DI", 0.7, note=too_variable(240, lambda more: more > 5))
    report = Report("bias", (), 240, metrics=(wild, MetricResult("DPPL", 0.1, bound=0.3)))

    assert wild.note == f"{TOO_VARIABLE}about 1,300 rows would do"  # 240 x 1.5^4, rounded up.
    assert report.unjudged_line == (
        "1 of 2 metrics could not be judged (about 1,300 rows would do)"
    )
    assert report.summary == "240 rows, no violations; 1 metric too variable to judge"
    assert report.unjudged == (Unjudged("DI", "too_variable", "about 1,300 rows would do"),)
    assert report.undecidable == ("DI",)
    assert not Report("bias", (), 240, metrics=(wild,)).decided
    assert Report("bias", (), 240, metrics=(wild,)).summary == (
        "240 rows; nothing could be judged: DI could not be judged (too variable: about 1,300 rows "
        "would do)"
    )


def test_where_most_metrics_are_too_variable_the_headline_counts_what_was_judged_first() -> None:
    wild = [MetricResult(name, 0.7, note=f"{TOO_VARIABLE}x") for name in "abc"]
    report = Report("bias", (), 240, metrics=(*wild, MetricResult("DPPL", 0.1, bound=0.3)))

    assert report.summary == (
        "240 rows, only 1 of 4 metrics could be judged, no violations in it; 3 metrics too "
        "variable to judge"
    )


def test_what_is_worse_than_the_reference_and_within_its_bound_is_counted() -> None:
    far = MetricResult(
        "DPPL", 0.25, 0.24, 0.26, 0.1, 0.09, 0.11, bound=0.3, operator="GreaterThanThreshold"
    )
    near = replace(far, name="DI", value=0.1, low=0.09, high=0.11)
    alarming = replace(far, name="RD", severity="ticket")

    assert Report("bias", (), 240, metrics=(far, near, alarming)).summary == (
        "240 rows, no violations; 1 metric worse than the reference (intervals apart), within the "
        "bound"
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


def test_gaps_of_a_column_whose_weeks_were_full_or_empty_are_said_not_to_be_judged() -> None:
    """A week with 30% of its values gone is like none before, but weeks varied from 0 to 99%."""
    rng = np.random.default_rng(4)

    def weeks(first: str, shares: Sequence[float]) -> pd.DataFrame:
        times = pd.date_range(first, periods=168 * len(shares), freq="h", tz="UTC")
        gone = rng.random(len(times)) < np.repeat(shares, 168)
        values = np.where(gone, np.nan, rng.normal(size=len(times)))
        return pd.DataFrame({"ts": times, "x": values, "y": rng.normal(size=len(times))})

    shares = np.where(np.arange(30) % 10 == 3, 0.99, 0.0)
    baseline = Baseline.fit(weeks("2024-01-01", shares), timestamp="ts")
    week = weeks("2024-07-29", [0.3])
    report = check(week, baseline)
    wanted = tuple(
        replace(one, completeness=0.9) if one.name == "x" else one
        for one in baseline.constraints.features
    )
    constraints = replace(baseline.constraints, features=wanted)
    of_own = check(week, replace(baseline, constraints=constraints))

    assert report.decided
    assert [(one.name, one.reason) for one in report.unjudged] == [("x", "undecidable_gaps")]
    assert report.unjudged_line.startswith("1 of 2 columns could not be judged (the reference's ")
    assert ", no violations; 1 of 2 columns could not be judged (" in report.summary
    assert report.unjudged_text.startswith("empty values of x could not be judged")
    assert "in constraints.json would judge them); their types and ranges" in report.unjudged_text
    assert not of_own.unjudged
    assert [one.constraint_check_type for one in of_own.violations] == ["completeness_check"]


def test_report_json_counts_and_lists_them() -> None:
    found = Report("data-quality", (), 168, results=(line("w"), *varied("a"))).to_dict()

    assert found["unjudged_count"] == 1
    assert found["unjudged"] == [{"name": "a", "reason": UNDECIDABLE, "remedy": WEEKS}]


def test_of_other_kinds_numbers_without_rows_or_value_are_meant() -> None:
    metrics = (
        MetricResult("auc", 0.7, bound=0.6),
        MetricResult("recall", note=INSUFFICIENT),
        MetricResult("f1", operator="LessThanThreshold", note="undefined: no positive"),
        MetricResult("share", note="undefined: shown only"),
    )
    report = Report("model-quality", (), 50, metrics=metrics)

    assert [one.name for one in report.unjudged] == ["recall", "f1"]
    assert report.unjudged_line.startswith("2 of 3 metrics could not be judged (too few rows)")


def test_a_check_that_judged_only_labels_is_undecided() -> None:
    report = Report("data-quality", (), 168, results=(line("late", "label"), *varied("a")))

    assert not report.decided
    assert not report.passed
    assert report.summary.startswith("168 rows; nothing could be judged: drift of a could not be")


def test_a_page_and_a_notebook_say_it_on_top() -> None:
    report = Report("data-quality", (), 168, results=(line("w"), *varied("a")))

    for text in (report.html(), report._repr_html_()):
        assert "No violations in 168 rows; 1 not judged" in text
        assert f"Drift of a could not be judged (the reference varies too much: {WEEKS})" in text


def test_columns_that_matter_to_nobody_are_no_reason() -> None:
    late = line("late", "label", UNDECIDABLE)
    report = Report("data-quality", (), 100, results=(late,))

    assert report.summary == "100 rows; nothing could be judged: nothing to compare"
