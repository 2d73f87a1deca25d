"""The day test in data quality."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from driftline.baseline.constraints import is_compared
from driftline.baseline.reference_days import known_steps, teaches_days
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.day_test.day_test import DayTest, DayTestResult, day_scales
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import JsonValue


def kept_day_test(context: CheckContext, budget: Budget) -> DayTest | None:
    """Return the day test, cached between windows."""
    baseline, length = context.baseline, context.rows.length
    make = partial(day_test_of, baseline, length, budget)
    return context.kept(("days", length, budget), make)


def day_test_of(baseline: Baseline, length: timedelta | None, budget: Budget) -> DayTest | None:
    """Return the day test; None where the reference has too few days, or no times."""
    blocks = baseline.blocks
    if blocks is None or not teaches_days(blocks):
        return None
    known = reference_columns(baseline)
    references = {
        one.name: known[one.name]
        for one in baseline.signature.columns
        if one.name in known and is_compared(baseline.constraints, one)
    }
    steps = known_steps(baseline.profile)
    return DayTest(references, blocks, steps, length, budget, day_scales(length))


def windows_before(past: PastWindows) -> Sequence[WindowCounts]:
    """Return the windows before, each once; with gaps the counts reach further back."""
    counts = past.counts or ()
    if not past.days:
        return counts
    end = past.days[-1].end
    return (*past.days, *(one for one in counts if one.start and end and one.start >= end))


def judge_days(context: CheckContext, test: DayTest | None, counts: WindowCounts) -> DayTestResult:
    """Judge a window's days, and those before it."""
    if test is None:
        return DayTestResult()
    return test.judge(counts, windows_before(context.past))


def day_details(result: DayTestResult) -> dict[str, JsonValue]:
    """Return the report's details of the days, where any were judged."""
    if not result.judged:
        return {}
    return {
        "day_test": {
            "judged": [*sorted(result.judged)],
            "findings": {name: {**one.to_dict()} for name, one in result.findings.items()},
        }
    }
