"""The effect of annotations on the evaluation of a window. Pure.

An expected violation is listed separately and counts for no alarm. Windows expected to drift are
left out of spans: else their drift would alarm later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import (
    EXPECTED,
    Annotation,
    ExpectedViolation,
    annotation_of,
)
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.pooling import WindowSums
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import DAY_CHECK, DRIFT_CHECK


def expect_annotated(report: Report, annotations: Sequence[Annotation]) -> Report:
    """Move the violations that somebody expected out of those that alarm."""
    window = report.window
    if window is None or not annotations:
        return report
    violations, expected = [], list(report.expected)
    for violation in report.violations:
        annotation = annotation_of(
            annotations, violation.feature_name, violation.constraint_check_type, window
        )
        if annotation is not None and annotation.is_quiet:
            expected.append(ExpectedViolation(violation, annotation))
        else:
            violations.append(violation)
    return replace(report, violations=tuple(violations), expected=tuple(expected))


def without_expected(
    past: Sequence[WindowCounts], annotations: Sequence[Annotation]
) -> tuple[WindowCounts, ...]:
    """Remove the rows of columns from windows in which their drift was expected."""
    return tuple(_without_expected(counts, annotations) for counts in past)


def unexpected(
    past: Sequence[WindowSums], annotations: Sequence[Annotation]
) -> tuple[WindowSums, ...]:
    """Leave out windows in which a violation was expected."""
    return tuple(
        sums for sums in past if not is_expected(annotations, Window(sums.start, sums.end))
    )


def _without_expected(counts: WindowCounts, annotations: Sequence[Annotation]) -> WindowCounts:
    if counts.start is None or counts.end is None:
        return counts
    window = Window(counts.start, counts.end)
    chosen = of_window(annotations, window)
    if not chosen:
        return counts
    cells: dict[str, NDArray[np.int64]] = {}

    def is_of(name: str, check: str) -> bool:
        annotation = annotation_of(chosen, name, check, window)
        return annotation is not None and annotation.verdict == EXPECTED

    for name, column in counts.cells.items():
        # Without rows, not missing: a span that lacks a column in one window does not judge it.
        cells[name] = np.zeros_like(column) if is_of(name, DRIFT_CHECK) else column
    days = {name: one for name, one in counts.days.items() if not is_of(name, DAY_CHECK)}
    return replace(counts, cells=cells, days=days)


def is_expected(annotations: Sequence[Annotation], window: Window) -> bool:
    """Whether a violation of a window was expected."""
    return any(one.verdict == EXPECTED for one in of_window(annotations, window))


def of_window(annotations: Sequence[Annotation], window: Window) -> list[Annotation]:
    """Return the annotations that are about a window and stand."""
    return [
        annotation
        for annotation in annotations
        if annotation.withdrawn_at is None and annotation.includes(window)
    ]
