"""What a check found in one sentence: rows, violations, and what could not be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.results.metric import UNDEFINED
from driftline.monitors.results.violation import plural

if TYPE_CHECKING:
    from driftline.monitors.report.report import Report

# So many columns that vary too much are named.
NAMED = 3


def summary_of(report: Report) -> str:
    """Say all of it, or why nothing could be judged, in SageMaker's words where it has them."""
    rows, small = plural(report.row_count, "row"), len(report.insufficient)
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
    small = len(report.insufficient)
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
    found = plural(len(report.violations), "violation") if report.violations else "no violations"
    return f"{plural(report.row_count, 'row')}, {found}{left}"


def _varied(report: Report) -> str:
    """Say which columns vary too much to be judged, of many how many."""
    names = report.undecidable
    shown = ", ".join(names) if len(names) <= NAMED else plural(len(names), "column")
    return f"drift of {shown} cannot be judged (the reference varies too much)"
