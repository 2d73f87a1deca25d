"""Finds days that repeat the day before: values served again, or late."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import numpy as np

from driftline.baseline.hour_marks import DAY_H, Copies, HourMarker, Marks, Trailing
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.window_counts import hour_of, marks_before
from driftline.monitors.results.violation import Draft, percent, plural

# Of 24 hours so many of those with a value have that of the day before. The reference's columns
# that are judged reached 0.9 at most, one byte of a hash included.
LEAST_SHARE = 0.95
# 24 hours that end with a window's first hour begin a day before, and are compared with another.
KEPT_H = 2 * DAY_H


def last_marks(found: HourMarker, start: datetime | None, end: datetime | None) -> dict[str, Marks]:
    """Return the marks of a window's last hours, for later windows."""
    if start is None or end is None:
        return {}
    until = hour_of(end)
    return found.marks((max(hour_of(start), until - KEPT_H), until))


def copied_day_drafts(
    found: HourMarker, context: CheckContext, passed_over: Collection[str]
) -> list[Draft]:
    """Return a draft for each column in which a day repeats the day before."""
    facts, known = context.rows.facts, context.baseline.rows
    if known is None:
        return []
    window = None if facts is None else facts.window
    span = found.span if window is None else (hour_of(window.start), hour_of(window.end))
    if span[0] == span[1]:  # A stray time, or no hour begins in the window.
        return []
    marks, first = found.marks(span), span[0]
    drafts = []
    for one in known.copies:
        own = marks.get(one.column)
        if own is None or one.column in passed_over:
            continue
        before = marks_before(context.past.counts, one.column, (first - KEPT_H, first))
        trailing = Trailing.of(np.concatenate([before, own]))
        at = KEPT_H + int(trailing.shares[KEPT_H:].argmax())
        if trailing.shares[at] >= LEAST_SHARE:
            hours = int(trailing.equal[at]), int(trailing.known[at])
            drafts.append(_draft(one, hours, first - KEPT_H + at + 1))
    return drafts


def _draft(reference: Copies, hours: tuple[int, int], until: int) -> Draft:
    equal, known = hours
    end = datetime.fromtimestamp(until * 3600, UTC)
    what = (
        f"{equal} of {plural(known, 'hour')} until {end:%Y-%m-%d %H:%M} UTC have the value of the "
        f"day before (reference: at most {percent(reference.most)} of a day's hours)"
    )
    return Draft(
        feature=reference.column,
        check="copied_day_check",
        description=f"A day repeats the day before: {what}.",
        what=what,
        share_reference=reference.most,
        share=equal / known - reference.most,
        severity="ticket",
    )
