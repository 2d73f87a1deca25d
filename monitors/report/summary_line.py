"""What a check found in one sentence: rows, violations, and what could not be judged."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.report.ranking import Broken, alike_features, broken_features
from driftline.monitors.results.metric import UNDEFINED
from driftline.monitors.results.violation import (
    BASELINE_FIT_CHECK,
    MISSING_COLUMNS,
    Violation,
    plural,
)

if TYPE_CHECKING:
    from driftline.monitors.report.report import Report

# So many columns that vary too much are named.
NAMED = 3
CAUSES_NAMED = 3
# A pager is no place for the names of five hundred columns; the report has them all.
CAUSE_WIDTH = 250


def summary_of(report: Report) -> str:
    """Say all of it, or why nothing could be judged, in SageMaker's words where it has them."""
    rows, small = plural(report.row_count, "row"), len(report.insufficient_data)
    what = "metric" if report.metrics else "column"
    if report.decided:
        return report.headline if report.passed else f"{report.headline}: {report.cause}"
    if not report.row_count:
        return "no rows; nothing could be judged"
    if report.details.get("rows_without_label") == report.row_count:
        return f"{rows}, none of them has a label yet; nothing could be judged"
    if not small and report.undecidable:
        return f"{rows}; nothing could be judged: {_varied(report)}"
    if not small:
        reasons = sorted({one.note for one in report.metrics if one.note})
        return f"{rows}; nothing could be judged: {'; '.join(reasons) or 'nothing to compare'}"
    need = f": drift needs {MIN_ROWS} rows here and in the reference" * (not report.metrics)
    return f"{rows}, too few to judge any of {plural(small, what)}{need}; nothing could be judged"


def headline_of(report: Report) -> str:
    """Say how many rows and violations, and what was left, without the cause."""
    small = len(report.insufficient_data)
    what = "metric" if report.metrics else "column"
    left = f"; {plural(small, what)} too small to judge" if small else ""
    left += f"; {_varied(report)}" if report.undecidable else ""
    # A threshold that nothing can be held against is no reason to be calm.
    lost = [one for one in report.metrics if one.operator and one.note.startswith(UNDEFINED)]
    if lost:
        why = f"{lost[0].shown}: {lost[0].note.removeprefix(UNDEFINED)}"
        left += f"; {plural(len(lost), 'metric')} without a value ({why})"
    if report.commissioning is not None:
        left += f"; drift of {plural(len(report.commissioning.grounds), 'column')} held back"
    if report.expected:
        left += f"; {plural(len(report.expected), 'violation')} expected"
    if report.facts is not None and report.facts.fault_count:
        left += f"; {plural(report.facts.fault_count, 'request')} not decoded (decoder fault)"
    found = plural(report.violation_count, "violation") if report.violations else "no violations"
    return f"{plural(report.row_count, 'row')}, {found}{left}"


def _varied(report: Report) -> str:
    """Say which columns vary too much to be judged, of many how many."""
    names = report.undecidable
    shown = ", ".join(names) if len(names) <= NAMED else plural(len(names), "column")
    return f"drift of {shown} cannot be judged (the reference varies too much)"


def cause_sentence(violations: Sequence[Violation], *, has_values: bool = True) -> str:
    """Say in one sentence what a pager should print; "" without violations.

    One clause for each of the three features that are most to blame, pages first, of these missing
    columns; features that the same befell in the same rows share one. Without values of rows where
    they are not wanted. A baseline that does not fit yet is told after them, whole: what to do
    about it is commands.
    """
    apart = [
        f"The baseline does not fit yet: {one.cause if has_values else one.plain_cause}"
        for one in violations
        if one.constraint_check_type == BASELINE_FIT_CHECK
    ]
    ranked = sorted(
        (one for one in violations if one.constraint_check_type != BASELINE_FIT_CHECK),
        key=lambda one: (
            one.severity != "page",
            one.feature_name != MISSING_COLUMNS,
            -one.share_of_blame,
        ),
    )
    groups = alike_features(broken_features(ranked))
    clauses = [_clause(group, has_values=has_values) for group in groups[:CAUSES_NAMED]]
    if left := sum(map(len, groups[CAUSES_NAMED:])):
        clauses.append(f"and {left} more")
    return ". ".join(["; ".join(clauses), *apart] if clauses else apart)


def _clause(group: Sequence[Broken], *, has_values: bool) -> str:
    """Say what befell a feature, or several."""
    names = [one.feature for one in group]
    first = group[0].violations[0]
    cause = first.cause if has_values else first.plain_cause
    if len(names) > 1:
        dots = ", …" if len(names) > CAUSES_NAMED else ""
        names = [f"{len(names)} columns ({', '.join(names[:CAUSES_NAMED])}{dots})"]
    # Shortened last: what is cut can no more be told from what is not.
    return f"{names[0]}: {_cut(cause)}"


def _cut(cause: str) -> str:
    """Leave out the last parts of a long cause, none of them half."""
    short = shorten(cause, CAUSE_WIDTH, placeholder=" …")
    whole = short.removesuffix(" …").rpartition(", ")[0]
    return f"{whole}, …" if short.endswith(" …") and whole else short
