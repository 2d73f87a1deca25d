"""Numbers that a column of few values never had, between those that it had often.

A wind speed that is measured in steps has 30 values for years. In another unit from some of its
sources it has others, which lie between them: where weather makes the drift test patient, that is
no drift. How often they come needs no test, for the reference has none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import seasoned
from driftline.baseline.column import ColumnProfile
from driftline.baseline.frequent import NumberCounts
from driftline.monitors.check_context import CheckContext
from driftline.monitors.results.violation import Draft, Fault, percent, plural
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.conversion import unit_of_new
from driftline.monitors.rules.ruleset import RuleSet

# Of a column with so many values in the reference, each of which comes so often in the mean, and of
# whose numbers no more than this share are rare ones.
LEAST_VALUES, MOST_VALUES = 20, 256
MEAN_COUNT, RARE_COUNT, RARE_SHARE = 100, 5, 0.01
# So many new ones, with so many of the window's numbers; or fewer, such as one default value, with
# this share and so many rows.
LEAST_NEW, LEAST_SHARE = 5, 0.05
FEW_SHARE, FEW_ROWS = 0.1, 30
# Or one alone, as often as only a default value or a renamed one comes.
ONE_SHARE, ONE_ROWS = 0.05, 10
# And so many rows of another unit.
UNIT_ROWS, UNIT_SHARE = 20, 0.01
NEW_NUMBERS_CHECK = "new_numbers_check"


def new_numbers_drafts(
    window: Mapping[str, ColumnProfile], context: CheckContext, passed_over: Collection[str]
) -> list[Draft]:
    """Word the columns with new numbers in another unit, or between the usual ones.

    Their rows are counted in a reading of their own.
    """
    baseline = context.baseline
    if baseline.profile is None:
        return []
    in_all_seasons = seasoned(baseline.blocks)
    known, drafts = baseline.profile.columns, []
    for name in sorted(known.keys() - {*passed_over}):
        own, usual = window.get(name), known[name]
        if own is None or not (own.is_number and usual.is_number):
            continue
        new, unit = in_another_unit(own.numbers, usual.numbers)
        if unit is None and name in in_all_seasons:
            new = between_usual(own.numbers, usual.numbers)
        share = _share(own.numbers, new)
        many = np.count_nonzero(new) >= LEAST_NEW and share >= LEAST_SHARE
        often = own.numbers.counts[new].sum() >= FEW_ROWS and share >= FEW_SHARE
        if unit is not None or many or often or is_default(own.numbers.counts, new):
            drafts.append(_draft(name, new, own.numbers, usual.numbers, context, unit))
    return drafts


def in_another_unit(
    window: NumberCounts, reference: NumberCounts
) -> tuple[NDArray[np.bool_], str | None]:
    """Return which of a window's numbers are known ones in another unit, and in which."""
    new = ~np.isin(window.values, reference.values)
    converted = np.zeros(len(new), bool)
    if len(reference.values) and new.any():
        found = unit_of_new(window.values[new], window.counts[new], reference.values)
        if found is not None:
            unit, converted[new] = found
            rows = window.counts[converted].sum()
            if rows >= max(UNIT_ROWS, UNIT_SHARE * window.counts.sum()):
                return converted, unit
    return np.zeros(len(new), bool), None


def between_usual(window: NumberCounts, reference: NumberCounts) -> NDArray[np.bool_]:
    """Return which of a window's numbers are new, and lie between two that come often.

    None where either side has too many different numbers to be counted, or the reference has few
    or many rare ones: then some were never seen by chance.

    Returns
    -------
    numpy.ndarray
        Shape (values of the window,).
    """
    values, counts = reference.values, reference.counts
    none = np.zeros(len(window.values), bool)
    if not LEAST_VALUES <= len(values) <= MOST_VALUES:
        return none
    often = counts >= RARE_COUNT
    if counts.mean() < MEAN_COUNT or has_rare_values(counts):
        return none
    places = np.searchsorted(values, window.values)
    inside = (places > 0) & (places < len(values))
    at = np.clip(places, 1, len(values) - 1)
    return np.asarray(inside & (values[at] != window.values) & often[at] & often[at - 1])


def is_default(counts: NDArray[np.int64], new: NDArray[np.bool_]) -> bool:
    """Whether one new value alone comes as often as only a default or a renamed one does."""
    most = counts[new].max(initial=0)
    return bool(most >= ONE_ROWS and most >= ONE_SHARE * counts.sum())


def has_rare_values(counts: NDArray[np.int64]) -> bool:
    """Whether a reference has so many rare values that others were never seen by chance."""
    return bool(counts[counts < RARE_COUNT].sum() > RARE_SHARE * counts.sum())


def _draft(
    name: str,
    new: NDArray[np.bool_],
    own: NumberCounts,
    usual: NumberCounts,
    context: CheckContext,
    unit: str | None,
) -> Draft:
    others = np.union1d(usual.values, own.values[~new]) if unit else usual.values
    rules = RuleSet.of([{"check": "values", "column": name, "values": others.tolist()}])
    (outcome,) = context.rows.gather(rules.starter(datetime.now(UTC))).result([name])
    share = _share(own, new)
    what = (
        f"{percent(share)} of numbers are new, {plural(int(new.sum()), 'value')} "
        f"{'beside' if unit else 'between'} the {len(usual.values)} of the reference"
    )
    return Draft(
        feature=name,
        check="unit_change_check" if unit else NEW_NUMBERS_CHECK,
        description=f"Numbers that the reference never had: {what}.",
        what=what,
        predicate=outcome.tally.condition,
        share_reference=0.0,
        share=share,
        fault=Fault(UNIT_KIND, f"looks like {unit}") if unit else None,
        severity=None if unit else "ticket",
    )


def _share(own: NumberCounts, new: NDArray[np.bool_]) -> float:
    """Return the share of a window's numbers that are new."""
    return float(own.counts[new].sum() / max(own.counts.sum(), 1))
