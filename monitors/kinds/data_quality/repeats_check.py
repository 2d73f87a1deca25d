"""Finds rows and ids repeated more often than in the reference, and rounded numbers."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from driftline.baseline.row_digests import MOST_DECIMALS, NO_NUMBER, RowDigests, decimals_of
from driftline.baseline.row_profile import Decimals, Repeats, RepeatScale
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.significance import critical_value, likelihood_ratio
from driftline.monitors.kinds.data_quality.rule_outcomes import judged_rules
from driftline.monitors.results.violation import Draft, percent, plural
from driftline.monitors.rules.condition import identifier
from driftline.monitors.rules.outcome import RuleCondition
from driftline.monitors.rules.ruleset import RuleSet

# These checks cost this part of a monitor's false alarms each.
PART = 0.02
# So much more than in the reference is none worth telling, in share at any share.
REPEATS_TOLERANCE = 0.002
DECIMALS_TOLERANCE = 0.05
# Where all have what fewer had, that is worth telling, whatever the tolerance.
FEW_HAD = 0.5
# The values beside the most frequent ones must bear out a part of what all of them show.
BORNE_OUT = 0.5
# Fewer repeated rows are told by nobody.
LEAST_REPEATS = 5
# Where the reference repeats no id at all: so many of a window's rows with an id that others have,
# as where one default value stands for ids, and so many rows. Twice what thinned rows leave unsure.
STUCK_SHARE, STUCK_ROWS = 0.1, 30
# Values whose decimals are looked at, and the most frequent ones that are left out: one value that
# becomes frequent is no rounding.
DECIMALS_ROWS = 8_192
FREQUENT_LEFT_OUT = 3
# Stands in the place of a feature's name.
REPEATED_ROWS = "Repeated rows"
DECIMALS_CHECK = "decimals_check"


@dataclass(frozen=True, slots=True)
class MoreRepeats:
    """More repeats than expected from the reference."""

    share: float  # Of the window's different rows those that come more than once, 0-1.
    usual: float  # In the reference, within as many rows.


def more_repeats(
    found: RowDigests, reference: Repeats, span_h: float | None, alpha: float
) -> MoreRepeats | None:
    """Compare the share of repeats in a window with the reference's blocks.

    Longer spans and more rows have more repeats by chance, so the blocks are at least as long as
    the window and have as many rows; else all rows of the reference are one. `span_h` is None where
    it is unknown; `alpha` is the accepted chance of a false alarm.
    """
    if not len(found.keys):
        return None
    scale = _scale(reference.scales, found.row_count, span_h)
    # Of n rows each may meet any of the n - 1 others.
    usual = min(scale.share * max(1.0, found.row_count / scale.rows), 1.0)
    (rows,), (extras,) = found.extras()
    share = float(extras / rows)
    if extras < LEAST_REPEATS or share <= usual:
        return None
    ratio = likelihood_ratio(
        np.array([usual]),
        scale.digests / scale.effect,
        np.array([share]),
        rows / scale.effect,
        tolerance=REPEATS_TOLERANCE,
    )
    is_more = ratio[0] > critical_value(alpha, np.ones(1))[0]
    return MoreRepeats(share, usual) if is_more else None


def stuck_share(found: RowDigests, reference: Repeats) -> float:
    """Return the share of rows whose id occurred before, 0-1; 0 where the reference repeats ids.

    Rows count, because where all rows share an id there is only one. The rows lost to thinned
    digests are estimated from the number of distinct ids left; a share too small to tell is 0.
    """
    if not found.row_count or any(scale.share for scale in reference.scales):
        return 0.0
    different = len(np.unique(found.keys)) << found.level
    share = max(0.0, 1.0 - different / found.row_count)
    return share if share >= STUCK_SHARE and share * found.row_count >= STUCK_ROWS else 0.0


def _scale(scales: Collection[RepeatScale], row_count: int, span_h: float | None) -> RepeatScale:
    """Return the shortest blocks as long as a window, or all rows."""
    *blocks, whole = scales
    for one in blocks:
        if (span_h is None or one.hours >= span_h) and one.rows >= row_count:
            return one
    return whole


def repeats_draft(
    found: RowDigests, reference: Repeats, context: CheckContext, span_h: float | None
) -> Draft | None:
    """Report repeated rows, or ids; their rows are counted in a second reading."""
    more = more_repeats(found, reference, span_h, PART * context.budget.per_window)
    is_id = reference == (None if context.baseline.rows is None else context.baseline.rows.ids)
    stuck = stuck_share(found, reference) if is_id else 0.0
    if more is None and not stuck:
        return None
    columns = list(reference.columns)
    rule = {"check": "unique", "column": columns[0]} if len(columns) == 1 else {
        "check": "unique", "columns": columns,
    }  # fmt: skip
    rules = RuleSet.of([rule])
    (outcome,) = judged_rules(context, rules)
    condition = outcome.tally.condition
    if condition is not None and not is_id:
        condition = replace(condition, column="")  # No value of one column says more than others.
    same = f"{'all ' * (len(columns) > 1)}{plural(len(columns), 'feature')}"
    if more is None:
        more = MoreRepeats(stuck, 0.0)
        what = f"{percent(stuck)} of rows have an id that came before (reference 0%)"
    else:
        again = "ids come" if is_id else f"different rows (by {same}) come"
        what = f"{percent(more.share)} of {again} more than once (reference {percent(more.usual)})"
    return Draft(
        feature=columns[0] if is_id else REPEATED_ROWS,
        check="repeated_id_check" if is_id else "repeated_rows_check",
        description=f"Repeated {'ids' if is_id else 'rows'}: {what}.",
        what=what,
        predicate=condition,
        share_reference=more.usual,
        share=more.share - more.usual,
        severity="ticket",
    )


def decimals_drafts(sample: pa.Table, context: CheckContext) -> list[Draft]:
    """Report columns whose numbers have fewer or more decimals than in the reference."""
    known = () if context.baseline.rows is None else context.baseline.rows.decimals
    counted = context.baseline.cells.keys() & set(sample.column_names)
    present = [one for one in known if one.column in counted]
    alpha = PART * context.budget.per_window / max(len(present), 1)
    stride = -(-sample.num_rows // DECIMALS_ROWS)
    rows = sample.take(pa.array(np.arange(0, sample.num_rows, max(stride, 1))))
    found = (_decimals_draft(rows, one, context, alpha) for one in present)
    return [one for one in found if one is not None]


def _decimals_draft(
    rows: pa.Table, reference: Decimals, context: CheckContext, alpha: float
) -> Draft | None:
    name = reference.column
    numbers = coerce(rows.column(name), "double")[0].drop_null().to_numpy()
    numbers = numbers[np.isfinite(numbers) & ~np.isin(numbers, context.baseline.cells[name].atoms)]
    place = _changed_decimals(numbers, reference, alpha)
    if place is not None:
        values, counts = np.unique(numbers, return_counts=True)
        frequent = values[np.argsort(-counts, kind="stable")[:FREQUENT_LEFT_OUT]]
        numbers = numbers[~np.isin(numbers, frequent)]
        place = _changed_decimals(numbers, reference, alpha, part=BORNE_OUT)
    if place is None:
        return None
    share = float((decimals_of(numbers) <= place).mean())
    usual = reference.shares[place]
    is_coarser = share > usual
    if not is_coarser:
        share, usual = 1.0 - share, 1.0 - usual
    noun = plural(place, "decimal") if place else "no decimals"
    phrase = f"with {'at most ' * (place > 0) if is_coarser else 'more than '}{noun}"
    phrase = phrase.replace("more than no decimals", "decimals")
    what = f"{percent(share)} of numbers {phrase} (reference {percent(usual)})"
    sign = "!=" if is_coarser else "=="
    return Draft(
        feature=name,
        check=DECIMALS_CHECK,
        description=f"Decimals have changed: {what}.",
        what=what,
        predicate=RuleCondition(
            name,
            phrase,
            partial(_with_decimals, name, place, is_coarser),
            rule={
                "check": "expression",
                "expression": f"round({identifier(name)}, {place}) {sign} {identifier(name)}",
            },
            columns=(name,),
        ),
        share_reference=usual,
        share=share - usual,
        severity="ticket",
    )


def _changed_decimals(
    numbers: np.ndarray, reference: Decimals, alpha: float, *, part: float = 1.0
) -> int | None:
    """Return the number of decimals at which the shares differ most beyond chance.

    `part` scales the evidence needed. A value that repeats, such as the hour's temperature in each
    of its rows, says nothing new about decimals, so distinct values count. Sides may be float32 and
    float64, so the difference must hold read as either.
    """
    with np.errstate(over="ignore"):
        singles = numbers.astype(np.float32).astype(np.float64)
    places = [
        _most_changed(numbers, found, reference, alpha, part)
        for found in (decimals_of(singles), decimals_of(numbers, as_doubles=True))
    ]
    return None if None in places else places[-1]


def _most_changed(
    numbers: np.ndarray, decimals: np.ndarray, reference: Decimals, alpha: float, part: float
) -> int | None:
    is_known = decimals != NO_NUMBER
    known = decimals[is_known]
    if not len(known):
        return None
    different = len(np.unique(numbers[is_known]))
    counts = np.bincount(known, minlength=MOST_DECIMALS + 1)
    shares = counts.cumsum()[:-1] / len(known)
    effects = np.array(reference.effects)
    usual = np.array(reference.shares)
    ratios = likelihood_ratio(
        usual,
        reference.count / effects,
        shares,
        np.minimum(len(known) / effects, different),
        tolerance=np.where((shares == 1) & (usual < FEW_HAD), 0.0, DECIMALS_TOLERANCE),
    )
    best = int(np.argmax(ratios))
    return best if ratios[best] > part * math.log(2.0 * MOST_DECIMALS / alpha) else None


def _with_decimals(
    name: str, place: int, is_coarser: bool, batch: pa.RecordBatch
) -> pa.BooleanArray:
    """Mark the numbers with at most this many decimals, or with more."""
    numbers = coerce(batch.column(name), "double")[0].to_numpy(zero_copy_only=False)
    found = decimals_of(numbers)
    return pa.array((found != NO_NUMBER) & ((found <= place) == is_coarser))
