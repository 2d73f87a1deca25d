"""Violations of following windows that are one cause: told once, however long it lasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from driftline.baseline.predicate import Predicate
from driftline.monitors.report.ranking import cause_sentence
from driftline.monitors.report.report import Report
from driftline.monitors.results.cause_identity import cause_identity, with_first_windows
from driftline.monitors.results.violation import Violation

START = datetime(2026, 6, 1, tzinfo=UTC)
KNOWN = ("a", "b", "c", "d")


def drift(predicate: Predicate, **fields: object) -> Violation:
    fields = {"severity": "ticket", "row_count": 9, "cause": str(predicate), **fields}
    return Violation(predicate.column, "baseline_drift_check", "", predicate=predicate, **fields)


def unseen(level: str, severity: str = "ticket") -> Violation:
    return drift(
        Predicate("dest", "not_in", values=KNOWN),
        severity=severity,
        values=(level,),
        cause=f'mostly "{level}"',
    )


WARM = drift(Predicate("temp", "ge", 30.0))


@pytest.mark.parametrize(
    "other",
    [
        drift(Predicate("temp", "ge", 20.0)),
        drift(Predicate("temp", "gt", 35.0), cause="over the last 16 windows"),
    ],
)
def test_a_span_that_grows_or_a_deeper_summer_is_the_same_cause(other: Violation) -> None:
    assert cause_identity(other) == cause_identity(WARM)


@pytest.mark.parametrize(
    "other",
    [
        drift(Predicate("temp", "lt", 30.0)),
        drift(Predicate("dewp", "ge", 30.0)),
        drift(Predicate("temp", "eq", -200.0)),
        drift(Predicate("temp", "null")),
        replace(WARM, within='origin = "EWR"'),
        replace(WARM, severity="page"),
    ],
    ids=["other side", "other column", "one value", "empty", "one segment", "a page"],
)
def test_another_side_column_or_kind_of_set_is_another_cause(other: Violation) -> None:
    assert cause_identity(other) != cause_identity(WARM)


def test_rare_values_that_the_reference_never_had_are_one_cause() -> None:
    assert cause_identity(unseen("ACK")) == cause_identity(unseen("MVY"))


def test_new_levels_that_page_are_causes_of_their_own() -> None:
    pages = {cause_identity(unseen(level, "page")) for level in ("ACK", "MVY")}

    assert len(pages) == 2
    assert cause_identity(unseen("ACK")) not in pages, "what grows until it pages is news"


@pytest.mark.parametrize("check", ["missing_column_check", "extra_column_check"])
def test_other_columns_that_are_missing_or_extra_are_another_cause(check: str) -> None:
    found = [Violation("Columns", check, "", cause=names) for names in ("a, b", "b, a", "a, c")]
    first, same, other = map(cause_identity, found)

    assert first == same
    assert first != other


def test_two_checks_of_the_same_rows_are_one_cause() -> None:
    domain = replace(unseen("ACK"), constraint_check_type="categorical_values_check")

    assert cause_identity(domain) == cause_identity(unseen("ACK"))


def test_a_violation_has_the_window_that_first_reported_its_cause() -> None:
    known = {cause_identity(WARM): START}

    found = with_first_windows((WARM, drift(Predicate("wind", "lt", 1.0))), known)

    assert [one.first_window for one in found] == [START, None]


def test_no_value_of_a_row_is_stored() -> None:
    assert "secret" not in cause_identity(unseen("secret", "page"))


def test_a_report_counts_what_is_news_and_a_pager_reads_it_first() -> None:
    known = replace(WARM, first_window=START, share_of_blame=0.9)
    report = Report("data-quality", (known, unseen("ACK")), 100)

    assert (report.violation_count, report.new_count, report.new_ticket_count) == (2, 1, 1)
    assert cause_sentence(report.violations).startswith("dest: ")
    assert report.to_dict()["violations"][0]["first_window"] == START.isoformat()
