"""What marks do to the judgement of a window. Pure.

A violation that a mark expects is listed apart and counts for no alarm. Windows that were expected
to drift are left out where later windows are judged together with them: else the drift would alarm
through them after all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import EXPECTED, Mark, standing_mark
from driftline.monitors.annotations.expected import ExpectedViolation
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.report.report import Report

DRIFT = "baseline_drift_check"


def with_marks(digest: str, marks: Sequence[Mark], window: Window) -> str:
    """Add the marks that reach a window to the digest of its rows: they are part of the question.

    Without any that expects something it stays as it is.
    """
    reaching = [one for one in marks if one.withdrawn_at is None and one.reaches(window)]
    if not any(one.is_quiet for one in reaching):
        return digest
    found = hashlib.blake2b(digest.encode(), digest_size=16)
    for one in sorted(reaching, key=lambda mark: mark.id or 0):
        found.update(f"\nmark {one.id}".encode())
    return found.hexdigest()


def apply_marks(report: Report, marks: Sequence[Mark]) -> Report:
    """Take the violations that somebody expected out of those that alarm."""
    window = report.window
    if window is None or not marks:
        return report
    loud, expected = [], list(report.expected)
    for one in report.violations:
        mark = standing_mark(marks, one.feature_name, one.constraint_check_type, window)
        if mark is not None and mark.is_quiet:
            expected.append(ExpectedViolation(one, mark))
        else:
            loud.append(one)
    return replace(report, violations=tuple(loud), expected=tuple(expected))


def without_expected(
    past: Sequence[WindowCounts], marks: Sequence[Mark]
) -> tuple[WindowCounts, ...]:
    """Leave the rows of columns out in windows in which their drift was expected."""
    return tuple(_quietened(one, marks) for one in past)


def _quietened(counts: WindowCounts, marks: Sequence[Mark]) -> WindowCounts:
    if counts.start is None or counts.end is None:
        return counts
    window = Window(counts.start, counts.end)
    reaching = [one for one in marks if one.reaches(window)]
    if not reaching:
        return counts
    cells: dict[str, NDArray[np.int64]] = {}
    own: Mapping[str, NDArray[np.int64]] = counts.cells
    for name, found in own.items():
        mark = standing_mark(reaching, name, DRIFT, window)
        quiet = mark is not None and mark.verdict == EXPECTED
        # Without rows, not missing: a span that lacks a column in one window does not judge it.
        cells[name] = np.zeros_like(found) if quiet else found
    return replace(counts, cells=cells)
