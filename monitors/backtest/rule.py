"""The rule that a monitor of data quality has, made of its baseline as the monitor makes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES, Decider
from driftline.monitors.kinds.data_quality.evaluation import reference_columns
from driftline.monitors.kinds.data_quality.judgement import (
    UNJUDGED,
    is_text_by_decree,
    tolerance_of,
)
from driftline.signature import Column


def decider_of(
    baseline: Baseline,
    present: Iterable[str],
    *,
    length: timedelta,
    budget: Budget,
    tolerance: float | None = None,
) -> Decider:
    """Make the rule.

    Parameters
    ----------
    baseline
        What is expected.
    present
        The columns that the data have.
    length
        Of a window.
    budget
        Accepted false alarms.
    tolerance
        For every column in place of what the constraints say; None: theirs.
    """
    known, there = reference_columns(baseline), set(present)
    judged = [
        column
        for column in baseline.signature.columns
        if column.name in known and column.name in there and _is_judged(baseline, column)
    ]
    tolerances = {
        one.name: tolerance_of(baseline.constraints, one) if tolerance is None else tolerance
        for one in judged
    }
    return Decider(
        {one.name: known[one.name] for one in judged},
        baseline.blocks,
        length,
        budget,
        tolerances,
        SCALES,
    )


def _is_judged(baseline: Baseline, column: Column) -> bool:
    """Say whether a monitor compares the column's distribution."""
    if column.role in UNJUDGED or is_text_by_decree(baseline.constraints, column):
        return False
    return baseline.constraints.config(column.name).perform_comparison
