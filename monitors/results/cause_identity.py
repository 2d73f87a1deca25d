"""Identifies the cause of violations across windows, so that a lasting cause is reported once.

A cause is a column, a kind of change, and a set of values. For numbers the set is a side, or the
middle: a longer span, or a deeper summer, moves the cut and is no news. Unseen values are one cause
while they are rare; where they are many enough to page, the most frequent one names it, so that
another such level is another cause.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from driftline.baseline.predicate import Predicate
from driftline.monitors.results.violation import Violation

# Windows for which a cause is remembered: twice the longest span, which is told where it ends. Of
# short ones, of which the test of days judges longer spans, they are more.
REMEMBERED_WINDOWS = 128
DIGEST_BYTES = 8
# They name the columns in words alone: those of the table, not of the violation.
COLUMN_CHECKS = frozenset({"missing_column_check", "extra_column_check"})
SIDES = {"lt": "low", "le": "low", "ge": "high", "gt": "high", "between": "middle"}


def cause_identity(violation: Violation) -> str:
    """Return a digest of a violation's cause, without any value of a row."""
    predicate = violation.predicate
    kind, values = violation.constraint_check_type, ""
    if isinstance(predicate, Predicate):
        kind = SIDES.get(predicate.op, predicate.op)
        if predicate.op == "not_in" and violation.severity == "ticket":
            values = ""
        elif predicate.op == "not_in":
            values = next(iter(violation.values), "")
        elif kind == predicate.op:
            values = predicate.phrase
    elif predicate is not None:
        values = str(predicate)
    elif kind in COLUMN_CHECKS:
        values = ", ".join(sorted(violation.cause.split(", ")))
    # What pages beyond a ticket of the same side is news.
    parts = (violation.feature_name, kind, values, violation.within, violation.severity)
    text = "\n".join(parts)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def with_first_windows(
    violations: Iterable[Violation], known: Mapping[str, datetime]
) -> tuple[Violation, ...]:
    """Return violations with the window that first reported their cause; None: this one.

    `known` has that window by identity.
    """
    return tuple(replace(one, first_window=known.get(cause_identity(one))) for one in violations)
