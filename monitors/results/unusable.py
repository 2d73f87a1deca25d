"""Judges useless predictions: missing, impossible, of an unknown class, unweighted, all equal.

They are left out of metrics, counted, and judged on their own, because metrics of the other rows
may look as good as ever. One infinite value is a violation where the reference has none; missing
ones are by far more than the reference's blocks of the window's length have, so that a weekend
without answers is none. A few infinite values in a reference are faults of its rows and excuse no
more than chance brings. Useless labels are judged like missing predictions.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.answers import LARGEST, Answers
from driftline.baseline.foreign_values import named_values, numbers_beyond, words_for_numbers
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.results.metric import (
    IMPOSSIBLE,
    REPEATED,
    MetricResult,
)
from driftline.monitors.results.violation import JsonValue, Severity, Violation, percent, plural
from driftline.stats.blocks import MINIMUM_BLOCKS, span_length, variation_of_estimates
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
# So far from 1 may a row's probabilities add up, for each of its classes, as rounding leaves them.
ROUNDED = 0.01
# With fewer of its rows timed, a window's length is not known by their times.
ENOUGH_TIMED = 0.25
# A reference of which more rows do not add up has scores of each class by itself.
FEW_OFF = 0.01


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

    result: MetricResult
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
            never = name not in (MISSING, UNFIT) and not before
            found.append(_judged(name, count, before, window, reference, alpha, never=never))
    return found


def judge_equal(
    rows: int, words: str, before: Sequence[tuple[int, int]], alpha: float
) -> list[JudgedUnusable]:
    """Judge predictions that are all equal; nothing where the reference's may be by chance.

    `before` holds rows and equal predictions of the reference, then of each block; `words`
    describes the predictions: "all 900 predictions are 0.5".
    """
    level = alpha * BUDGET_SHARE
    known = [(whole, equal) for whole, equal in before if whole]
    if rows < MIN_ROWS or not known:
        return []
    whole, equal = known[0]
    usual, upper = equal / whole, wilson(equal, whole, -float(special.ndtri(level)))[1]
    most = max([upper, *(equal / whole for whole, equal in known[1:])])
    if (chance := most**rows) >= level:
        return []
    description = f"Metric {EQUAL} with 1.0 was {OPERATOR} '{most!r}'"
    violation = Violation(
        feature_name=EQUAL,
        constraint_check_type=CHECK,
        description=description,
        severity="page",
        ratio=1.0 / most,
        row_count=rows,
        cause=f"{words} (reference {percent(usual)})",
        fields={
            "constraint_check_type": CHECK, "description": description, "metric_name": EQUAL,
        },
    )  # fmt: skip
    result = MetricResult(
        name=EQUAL, value=1.0, reference=usual, bound=most, operator=OPERATOR, p_value=chance,
        count=rows, severity="page",
    )  # fmt: skip
    return [JudgedUnusable(result, violation, -math.log(max(chance, LEAST_CHANCE)))]


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


def equal_note(count: int, lowest: float, highest: float, what: str = "prediction") -> str:
    """Describe predictions that are all equal; "" for others."""
    if count < 2 or lowest != highest:
        return ""
    return f"all {plural(count, what)} are equal ({lowest:g}): they tell nobody apart"


def unfit_note(rows: pa.Table, label: str, count: int, most: float) -> str:
    """Describe unusable labels and what was expected; `most` bounds a number's size."""
    words = words_for_numbers(rows, (label,), are_amounts=True)
    far = numbers_beyond(rows, label, most)
    why = [f"no number: {named_values(words)}"] * bool(words)
    if far or count > words.total():
        size = "infinite" + f", or a million times the others (above {most:.3g})" * (most < LARGEST)
        why.append(f"{size}: {named_values(far)}" if far else size)
    return f"{plural(count, 'label')} left out: {' or '.join(why)}"


def sums_note(answers: Answers, reference: Answers | None) -> str:
    """Return a note of rows whose probabilities do not add up to 1, where the reference's do."""
    if reference is None or not len(reference) or _off_one(reference).mean() > FEW_OFF:
        return ""
    off = int(_off_one(answers).sum())
    rows = f"probabilities of {plural(off, 'row')} do not add up to 1, as those of the reference do"
    return rows * bool(off)


def repeated_rows(ids: Sequence[pa.Array]) -> int:
    """Return how many rows repeat an id of an earlier one."""
    plain = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in ids]
    try:
        known = pa.chunked_array(plain, None if plain else pa.string()).drop_null()
        return len(known) - int(pc.count_distinct(known).as_py())
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return 0  # Lists, no values at all, or types that differ from batch to batch.


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
    rows, known, what, level = window.rows, reference.rows, "row", alpha * BUDGET_SHARE
    if name == UNFIT:
        rows, what = window.labels + sum(window.lost.values()), "label"
        known = reference.labels
    usual = before / known if known else 0.0
    bound, chance = 0.0, 0.0
    if name == IMPOSSIBLE and 0 < before < FEW * known:
        bound, chance = _by_chance(count, rows, before, known, level)
    elif not never:
        is_known = name in (MISSING, UNFIT) and not window.lost
        blocks = reference.blocks if name == MISSING else ()
        bound, chance = _most(count, rows, before, known, level, blocks, is_known=is_known)
    share = count / rows
    low, high = wilson(count, rows)
    severity: Severity = "page" if share - usual >= TOLERANCE else "ticket"
    result = MetricResult(
        name=name, value=share, low=low, high=high,
        reference=usual if known else None, count=rows,
    )  # fmt: skip
    if share <= bound:
        return JudgedUnusable(result, None)
    words = f"have a prediction {window.words}"
    left = "they are left out of all metrics"
    if name == MISSING:
        words = "lack a prediction or quantile" if window.has_quantiles else "have no prediction"
        left = f"no number: {window.texts}; " * bool(window.texts) + left
    elif name == UNWEIGHED:
        words = "have no weight, or one that is negative or infinite"
    elif name == UNKNOWN:
        words, left = "have a class that the reference never has", window.unknown_words
        left += f"; they count {window.unknown_count}"
    elif name == UNFIT:
        words = "are of no use" + f": {window.lost_words}" * bool(window.lost)
    compared = f" (reference {percent(usual)})" * bool(known and not (name == UNKNOWN and before))
    description = f"Metric {name} with {share!r} was {OPERATOR} '{bound!r}'"
    violation = Violation(
        feature_name=name,
        constraint_check_type=CHECK,
        description=description,
        severity=severity,
        ratio=share / bound if bound else None,
        row_count=count,
        cause=f"{percent(share)} of {plural(rows, what)} {words}{compared}; {left}",
        fields={
            "constraint_check_type": CHECK, "description": description, "metric_name": name,
        },
    )  # fmt: skip
    return JudgedUnusable(
        replace(result, bound=bound, operator=OPERATOR, severity=severity, p_value=chance),
        violation,
        -math.log(max(chance, LEAST_CHANCE)),
    )


def _most(
    count: int,
    rows: int,
    before: int,
    known: int,
    level: float,
    blocks: Sequence[tuple[int, int]],
    *,
    is_known: bool,
) -> tuple[float, float]:
    """Return the largest share of rows that is no violation, and the chance of so many or more.

    Where a reference of n rows has none and `is_known` tells all that could be, of k in a window of
    m all lie there by a chance of at most (m / (n + m))^k, whatever their rate (Fisher's exact
    test). A rate may grow by as much as it differs by itself from window to window, which without
    blocks is not known: by an exponential law, within what matters.
    """
    if is_known and known and not before:
        fewest = -math.log(level) / math.log1p(known / rows)
        bound, chance = _bound_and_chance(count, rows, level, partial(_binomial, rows, FEW))
        chance = max((rows / (known + rows)) ** count, chance)
        return min(max(fewest / rows, bound), 1.0), chance
    most = UNKNOWN_MOST
    if known:
        upper = wilson(before, known, -float(special.ndtri(level)))[1]
        grown = min(TOLERANCE, max(FEW, -math.log(level) * before / known))
        upper = max(upper, most_of_blocks(blocks, level))
        most = min(1.0, upper + (grown if is_known else TOLERANCE))
    return _bound_and_chance(count, rows, level, partial(_binomial, rows, most))


def _by_chance(count: int, rows: int, before: int, known: int, level: float) -> tuple[float, float]:
    """Return the same for rows that differ from the reference's by chance alone.

    Of those that both have, each lies in the window by its share of all rows: one more than the
    reference has come by a negative binomial law, at most (Fisher's exact test for none).
    """
    share = rows / (known + rows)

    def more_than(count: int) -> float:
        return float(special.betainc(count + 1, before + 1, share))

    return _bound_and_chance(count, rows, level, more_than)


def _binomial(rows: int, share: float, count: int) -> float:
    return float(special.bdtrc(count, rows, share))


def _bound_and_chance(
    count: int, rows: int, level: float, more_than: Callable[[int], float]
) -> tuple[float, float]:
    """Return both by the chance of more than a count. `scipy.stats` has it, and takes 45 MiB."""
    bound = bisect_left(range(rows), True, key=lambda one: more_than(one) <= level)
    return bound / rows, more_than(count - 1) if count else 1.0


def _off_one(answers: Answers) -> NDArray[np.bool_]:
    """Mark the rows whose probabilities of several classes do not add up to 1."""
    said = answers.probability
    if said is None or said.ndim == 1:
        return np.zeros(len(answers), dtype=np.bool_)
    return np.asarray(np.abs(said.sum(axis=1) - 1.0) > ROUNDED * said.shape[1])


def most_of_blocks(blocks: Sequence[tuple[int, int]], level: float) -> float:
    """Return the share of such rows, as missing predictions, that one more block may have.

    It is 0 where unknown. Daily shares of 0 or 0.6 have a variance by which all may be missing:
    then at most half of the answers of the worst block may be.
    """
    rows, missing = np.array([one for one in blocks if one[0]], np.float64).reshape(-1, 2).T
    if len(rows) < MINIMUM_BLOCKS or not 0 < missing.sum() < rows.sum():
        return 0.0
    usual, worst = missing.sum() / rows.sum(), float((missing / rows).max())
    variance = usual * (1.0 - usual)
    found = variation_of_estimates(missing / rows, variance / rows)
    far = float(usual) + found.reach(level, float(variance / rows.sum()))
    return min(far, (1.0 + worst) / 2.0)


def rows_length(span_us: int, timed: int, rows: int) -> timedelta | None:
    """Return a window's length by the times of `timed` of its rows; None where they are too few.

    Three rows of one minute say nothing about when the 1,997 others came.
    """
    return span_length(span_us) if timed and timed >= ENOUGH_TIMED * rows else None


def untimed_note(
    when: str | None,
    reference: tuple[int, int],
    window: tuple[int, int],
    *,
    span: str = "",
    knows_days: bool = True,
) -> str:
    """Return how many rows have no time, and what becomes of them; "" where all have one.

    `reference` and `window` hold rows without a time and all rows; `span` stands for the window's
    length where too few of its rows have a time.
    """
    found = [
        f"{lacking:,} of {plural(rows, 'row')}{whose} {'has' if lacking == 1 else 'have'} no time"
        for (lacking, rows), whose in ((window, ""), (reference, " of the reference")) if lacking
    ]  # fmt: skip
    if not found:
        return ""
    note = f'{" and ".join(found)} ("{when}"): they count in metrics, and in no day'
    if span and window[0] == window[1]:
        note = f'no row has a time ("{when}"): {span}'
    elif span:
        note += f"; too few of the window have one to know its length: {span}"
    if reference[0] and not knows_days:
        days = "to know how days differ: no bound allows for it"
        note += f"; too few of the reference have one {days}"
    return note
