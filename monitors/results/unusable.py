"""Judges useless predictions: missing, impossible, of an unknown class, unweighted, all equal.

They are left out of metrics, counted, and judged on their own, because metrics of the other rows
may look as good as ever. One infinite value is a violation where the reference has none. Missing
predictions and useless labels may be as many as in the reference, or in any of its blocks of the
window's length (a weekend without answers), and a few percent of the rows more.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from driftline.baseline.answers import LARGEST
from driftline.baseline.foreign_values import named_values, numbers_beyond, words_for_numbers
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.results.measured import (
    IMPOSSIBLE,
    REPEATED,
    Measured,
)
from driftline.monitors.results.violation import JsonValue, Severity, Violation, percent, plural
from driftline.stats.blocks import span_length
from driftline.stats.intervals import wilson

CHECK, OPERATOR = "unusable_predictions_check", "GreaterThanThreshold"
MISSING = "missing_predictions"
UNKNOWN, EQUAL = "unknown_classes", "equal_predictions"
UNWEIGHED, UNFIT = "unusable_weights", "unusable_labels"
# More of all rows than in the reference is never by chance; from there on it is a page.
TOLERANCE = 0.05
# So many rows may lack a prediction anywhere, and where the reference hardly has any.
FEW = 0.01
# Beside a reference that nobody knows, missing ones are told from this share of rows on.
UNKNOWN_MOST = 0.5
# Of a window's budget of false alarms, next to nothing: this test is no test of drift.
BUDGET_SHARE = 0.05
LEAST_CHANCE = 1e-300
# With fewer of its rows timed, a window's length is not known by their times.
ENOUGH_TIMED = 0.25


@dataclass(frozen=True, slots=True)
class Unusable:
    """How many predictions of some rows no metric can use."""

    rows: int = 0
    missing: int = 0
    impossible: int = 0
    # What the second lack, in words: "outside 0 to 1 or infinite".
    words: str = "infinite"
    # Words in place of numbers, by which some are missing: '"score" = "high" (9x)'.
    texts: str = ""
    # Rows of a class that the reference never had; of a reference, those that chance may have.
    unknown: int = 0
    unknown_words: str = ""  # Which: 'label "late" = "maybe" (3x)'.
    unknown_count: str = "as negative"  # What they count as.
    unweighed: int = 0  # Rows whose weight is missing, negative or infinite.
    labels: int = 0  # How many labels there are, and how many of them no metric can use.
    unfit: int = 0
    # Labels that came with a window and are those of none of its rows, by why.
    lost: Mapping[str, int] = field(default_factory=dict)
    # Of a reference, rows and missing predictions of each block as long as the window.
    blocks: Sequence[tuple[int, int]] = ()
    has_quantiles: bool = False  # Then rows that lack any of them are missing, too.
    repeated: int = 0  # Rows with the id of an earlier one, each of which counts.
    id_column: str | None = None

    @property
    def lost_words(self) -> str:
        """How many labels are lost, and why; "" for none."""
        return ", ".join(f"{count:,} {why}" for why, count in self.lost.items())


@dataclass(frozen=True, slots=True)
class JudgedUnusable:
    """The judgement of one of the counts."""

    result: Measured
    violation: Violation | None
    evidence: float = 0.0  # In nats, as `share_blame` takes it.


def judge_unusable(window: Unusable, reference: Unusable, alpha: float) -> list[JudgedUnusable]:
    """Judge both counts, except where they are 0."""
    found = []
    for name, count, before in (
        (MISSING, window.missing, reference.missing),
        (IMPOSSIBLE, window.impossible, reference.impossible),
        (UNKNOWN, window.unknown, reference.unknown),
        (UNWEIGHED, window.unweighed, reference.unweighed),
        (UNFIT, window.unfit + sum(window.lost.values()), reference.unfit),
    ):
        if count:
            found.append(_judged(name, count, before, window, reference, alpha))
    return found


def judge_equal(
    rows: int, words: str, before: Sequence[tuple[int, int]], alpha: float
) -> list[JudgedUnusable]:
    """Judge predictions that are all equal; nothing where the reference's may be by chance.

    `before` holds rows and equal predictions of the reference, then of each block; `words`
    describes the predictions: "all 900 predictions are 0.5".
    """
    level = alpha * BUDGET_SHARE
    if rows < MIN_ROWS or not before or not before[0][0]:
        return []
    whole, equal = before[0]
    most = _most(equal, whole, before[1:], level)
    if (chance := most**rows) >= level:
        return []
    result = Measured(
        name=EQUAL, value=1.0, reference=equal / whole, bound=most, operator=OPERATOR,
        p_value=chance, count=rows, severity="page",
    )  # fmt: skip
    return [_violated(result, f"{words} (reference {percent(equal / whole)})", rows)]


def unusable_details(window: Unusable, *states: str) -> Mapping[str, JsonValue]:
    """Return the count, and a note on rows left out and the state of the predictions."""
    what = "prediction or quantile" if window.has_quantiles else "prediction"
    parts = [
        f"{plural(window.missing, 'row')} without a {what}" * bool(window.missing),
        f"{plural(window.impossible, 'prediction')} {window.words}" * bool(window.impossible),
    ]
    if window.unweighed:
        parts.append(f"{plural(window.unweighed, 'row')} without a weight of at least 0")
    left = " and ".join(part for part in parts if part)
    told = [
        f"left out of the metrics: {left}, of {plural(window.rows, 'row')}" * bool(left),
        f"no number: {window.texts}" * bool(window.texts),
        f"no class of the reference: {window.unknown_words}" * bool(window.unknown_words),
        f"{plural(sum(window.lost.values()), 'label')} left out: {window.lost_words}"
        * bool(window.lost),
        *states,
        f'{plural(window.repeated, "row")} with an id ("{window.id_column}") of an earlier row; '
        "each counts" * bool(window.repeated),
    ]
    note = "; ".join(one for one in told if one)
    return {
        IMPOSSIBLE: window.impossible,
        **({"answers_note": note} if note else {}),
        **({REPEATED: window.repeated} if window.repeated else {}),
    }


def unfit_note(rows: pa.Table, label: str, count: int, most: float) -> str:
    """Describe unusable labels and what was expected; `most` bounds a number's size."""
    words = words_for_numbers(rows, (label,), are_amounts=True)
    far = numbers_beyond(rows, label, most)
    why = [f"no number: {named_values(words)}"] * bool(words)
    if far or count > words.total():
        size = "infinite" + f", or a million times the others (above {most:.3g})" * (most < LARGEST)
        why.append(f"{size}: {named_values(far)}" if far else size)
    return f"{plural(count, 'label')} left out: {' or '.join(why)}"


def repeated_rows(ids: Sequence[pa.Array]) -> int:
    """Return how many rows repeat an id of an earlier one."""
    plain = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in ids]
    try:
        known = pa.chunked_array(plain, None if plain else pa.string()).drop_null()
        return len(known) - int(pc.count_distinct(known).as_py())
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return 0  # Lists, no values at all, or types that differ from batch to batch.


def _judged(
    name: str, count: int, before: int, window: Unusable, reference: Unusable, alpha: float
) -> JudgedUnusable:
    rows, known, what, level = window.rows, reference.rows, "row", alpha * BUDGET_SHARE
    if name == UNFIT:
        rows, what = window.labels + sum(window.lost.values()), "label"
        known = reference.labels
    share, usual = count / rows, before / known if known else 0.0
    low, high = wilson(count, rows)
    bound, chance = 0.0, 0.0
    if before or name in (MISSING, UNFIT):
        most = UNKNOWN_MOST
        if known:
            blocks = reference.blocks if name == MISSING else ()
            most = _most(before, known, blocks, level) + _slack(name, before, known, window)
        most = min(most, 1.0)
        # `scipy.stats` has the quantile, and takes 45 MiB.
        at = bisect_left(
            range(rows), True, key=lambda one: bool(special.bdtrc(one, rows, most) <= level)
        )
        bound, chance = at / rows, float(special.bdtrc(count - 1, rows, most))
    result = Measured(
        name=name, value=share, low=low, high=high, reference=usual if known else None, count=rows,
    )  # fmt: skip
    if share <= bound:
        return JudgedUnusable(result, None)
    compared = f" (reference {percent(usual)})" * bool(known and not (name == UNKNOWN and before))
    words, left = _words(name, window)
    severity: Severity = "page" if share - usual >= TOLERANCE else "ticket"
    return _violated(
        replace(
            result, bound=bound, operator=OPERATOR, severity=severity, p_value=chance,
        ),
        f"{percent(share)} of {plural(rows, what)} {words}{compared}; {left}", count,
    )  # fmt: skip


def _words(name: str, window: Unusable) -> tuple[str, str]:
    """Return what is wrong with the rows, and what becomes of them."""
    left = "they are left out of all metrics"
    match name:
        case "missing_predictions":
            words = (
                "lack a prediction or quantile" if window.has_quantiles else "have no prediction"
            )
            return words, f"no number: {window.texts}; " * bool(window.texts) + left
        case "unusable_weights":
            return "have no weight, or one that is negative or infinite", left
        case "unknown_classes":
            what = f"{window.unknown_words}; they count {window.unknown_count}"
            return "have a class that the reference never has", what
        case "unusable_labels":
            return "are of no use" + f": {window.lost_words}" * bool(window.lost), left
    return f"have a prediction {window.words}", left


def _slack(name: str, before: int, known: int, window: Unusable) -> float:
    """Return by how much a share may exceed the reference's."""
    if name == IMPOSSIBLE and before < FEW * known:
        return 0.0  # Some infinite values of a reference are faults of its rows.
    return FEW if name in (MISSING, UNFIT) and not before and not window.lost else TOLERANCE


def _most(before: int, known: int, blocks: Sequence[tuple[int, int]], level: float) -> float:
    """Return the largest share that the reference's rows, or those of a block of it, may have."""
    upper = wilson(before, known, -float(special.ndtri(level)))[1]
    return max([upper, *(count / rows for rows, count in blocks if rows >= MIN_ROWS)])


def _violated(result: Measured, cause: str, count: int) -> JudgedUnusable:
    description = f"Metric {result.name} with {result.value!r} was {OPERATOR} '{result.bound!r}'"
    assert result.value is not None and result.bound is not None and result.p_value is not None
    violation = Violation(
        feature_name=result.name,
        constraint_check_type=CHECK,
        description=description,
        severity=result.severity or "ticket",
        ratio=result.value / result.bound if result.bound else None,
        row_count=count,
        cause=cause,
        fields={
            "constraint_check_type": CHECK, "description": description,
            "metric_name": result.name,
        },
    )  # fmt: skip
    return JudgedUnusable(result, violation, -math.log(max(result.p_value, LEAST_CHANCE)))


def rows_length(span_us: int, timed: int, rows: int) -> timedelta | None:
    """Return a window's length by the times of `timed` of its rows; None where they are too few.

    Three rows of one minute say nothing about when the 1,997 others came.
    """
    return span_length(span_us) if timed and timed >= ENOUGH_TIMED * rows else None


def untimed_note(when: str | None, reference: tuple[int, int], window: tuple[int, int]) -> str:
    """Return how many rows have no time, and what becomes of them; "" where all have one.

    `reference` and `window` hold rows without a time and all rows.
    """
    found = [
        f"{lacking:,} of {plural(rows, 'row')}{whose} {'has' if lacking == 1 else 'have'} no time"
        for (lacking, rows), whose in ((window, ""), (reference, " of the reference")) if lacking
    ]  # fmt: skip
    note = f'{" and ".join(found)} ("{when}"): they count in metrics, and in no day'
    return note * bool(found)
