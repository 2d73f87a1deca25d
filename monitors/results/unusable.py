"""Predictions that no metric can be computed of: missing ones, and values that none can have.

They are left out, counted, and judged for themselves: metrics of the other rows may look as good as
ever. What the reference never has, such as infinity, is violated by the first one; missing ones by
far more than the reference has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from scipy import special, stats

from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.violation import JsonValue, Severity, Violation, percent, plural
from driftline.stats.intervals import wilson

CHECK, OPERATOR = "unusable_predictions_check", "GreaterThanThreshold"
MISSING, IMPOSSIBLE = "missing_predictions", "impossible_predictions"
# More of all rows than in the reference is never by chance; from there on it is a page.
TOLERANCE = 0.05
# Beside a reference that nobody knows, missing ones are told from this share of rows on.
UNKNOWN_MOST = 0.5
# Of a window's budget of false alarms, next to nothing: this test is no test of drift.
BUDGET_SHARE = 0.05
LEAST_CHANCE = 1e-300


@dataclass(frozen=True, slots=True)
class Unusable:
    """How many predictions of some rows no metric can use."""

    rows: int = 0
    missing: int = 0
    impossible: int = 0
    # What the second lack, in words: "outside 0 to 1 or infinite".
    words: str = "infinite"


@dataclass(frozen=True, slots=True)
class JudgedUnusable:
    """What became of one of both counts."""

    result: MetricResult
    violation: Violation | None
    evidence: float = 0.0  # In nats, as `share_blame` takes it.


def judge_unusable(window: Unusable, reference: Unusable, alpha: float) -> list[JudgedUnusable]:
    """Judge both counts; nothing of what no row has."""
    found = []
    for name, count, before in (
        (MISSING, window.missing, reference.missing),
        (IMPOSSIBLE, window.impossible, reference.impossible),
    ):
        if count:
            never = name == IMPOSSIBLE and not before
            found.append(_judged(name, count, before, window, reference, alpha, never=never))
    return found


def unusable_details(window: Unusable, *states: str) -> Mapping[str, JsonValue]:
    """Return the count, and a note on what was left out and in which state the answers are."""
    parts = [
        f"{plural(window.missing, 'row')} without a prediction" * bool(window.missing),
        f"{plural(window.impossible, 'prediction')} {window.words}" * bool(window.impossible),
    ]
    left = " and ".join(part for part in parts if part)
    told = [
        f"left out of the metrics: {left}, of {plural(window.rows, 'row')}" * bool(left),
        *states,
    ]
    note = "; ".join(one for one in told if one)
    return {"impossible_predictions": window.impossible} | ({"answers_note": note} if note else {})


def equal_note(count: int, lowest: float, highest: float, what: str = "prediction") -> str:
    """Say that all predictions are equal, which tells nobody apart; "" where they are not."""
    if count < 2 or lowest != highest:
        return ""
    return f"all {plural(count, what)} are equal ({lowest:g}): they tell nobody apart"


def repeated_note(ids: Sequence[pa.Array], column: str | None) -> str:
    """Say how many rows repeat an id, each of which counts; "" for none."""
    plain = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in ids]
    try:
        known = pa.chunked_array(plain, None if plain else pa.string()).drop_null()
        repeated = len(known) - pc.count_distinct(known).as_py()
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return ""  # Lists, no values at all, or types that differ from batch to batch.
    if not repeated:
        return ""
    return f'{plural(repeated, "row")} with an id ("{column}") of an earlier row; each counts'


def _judged(
    name: str,
    count: int,
    before: int,
    window: Unusable,
    reference: Unusable,
    alpha: float,
    *,
    never: bool,
) -> JudgedUnusable:
    rows, level = window.rows, alpha * BUDGET_SHARE
    usual = before / reference.rows if reference.rows else 0.0
    most, bound = 0.0, 0.0
    if not never:
        upper = wilson(before, reference.rows, -float(special.ndtri(level)))[1]
        most = min(1.0, upper + TOLERANCE) if reference.rows else UNKNOWN_MOST
        bound = float(stats.binom.isf(level, rows, most)) / rows
    share = count / rows
    low, high = wilson(count, rows)
    severity: Severity = "page" if share - usual >= TOLERANCE else "ticket"
    result = MetricResult(
        name=name, value=share, low=low, high=high,
        reference=usual if reference.rows else None, count=rows,
    )  # fmt: skip
    if share <= bound:
        return JudgedUnusable(result, None)
    words = "have no prediction" if name == MISSING else f"have a prediction {window.words}"
    compared = f" (reference {percent(usual)})" * bool(reference.rows)
    description = f"Metric {name} with {share!r} was {OPERATOR} '{bound!r}'"
    violation = Violation(
        feature_name=name,
        constraint_check_type=CHECK,
        description=description,
        severity=severity,
        ratio=share / bound if bound else None,
        row_count=count,
        cause=f"{percent(share)} of {plural(rows, 'row')} {words}{compared}; "
        "they are left out of all metrics",
        fields={
            "constraint_check_type": CHECK, "description": description, "metric_name": name,
        },
    )  # fmt: skip
    chance = float(stats.binom.sf(count - 1, rows, most))
    return JudgedUnusable(
        replace(result, bound=bound, operator=OPERATOR, severity=severity, p_value=chance),
        violation,
        -math.log(max(chance, LEAST_CHANCE)),
    )
