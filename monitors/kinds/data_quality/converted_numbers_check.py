"""Finds numbers that the reference never had but that are its own in another unit.

Example: distances of one airline in kilometres, none of them a distance of the reference in miles.
No test is needed, since the reference has none of these numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.distinct import NumberCounts
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.data_quality.rule_outcomes import judged_rules
from driftline.monitors.results.violation import Draft, Fault, percent, plural
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.conversion import unit_of_new
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED
from driftline.monitors.rules.ruleset import RuleSet

# Checks that tell that a column's values are others altogether.
OTHER_VALUES = frozenset({"constant_check", "data_type_check", "unit_change_check"})
# Rows of another unit that a violation needs, and their share of the window's.
UNIT_ROWS, UNIT_SHARE = 20, 0.01


def converted_numbers_drafts(
    window: Mapping[str, ColumnProfile], context: CheckContext, others: Iterable[Draft]
) -> list[Draft]:
    """Return a draft for each column with new numbers in another unit, counted in a reading.

    Columns whose values are others altogether by another draft, or in another unit, have none.
    """
    baseline = context.baseline
    if baseline.profile is None:
        return []
    known, drafts = baseline.profile.columns, []
    explained = {one.feature for one in others if _has_other_values(one)}
    for name in sorted(known.keys() - explained):
        if not baseline.constraints.config(name).evaluate_constraints:
            continue
        own, usual = window.get(name), known[name]
        if own is None or not (own.is_number and usual.is_number):
            continue
        new, unit = in_another_unit(own.numbers, usual.numbers)
        if unit is not None:
            drafts.append(_draft(name, new, own.numbers, usual.numbers, context, unit))
    return drafts


def _has_other_values(draft: Draft) -> bool:
    """Whether a draft says that a column's whole distribution has changed, or its unit."""
    is_explained = draft.fault is not None and draft.fault.kind in (UNIT_KIND, EXCHANGED)
    return is_explained or draft.unit is not None or draft.check in OTHER_VALUES


def in_another_unit(
    window: NumberCounts, reference: NumberCounts
) -> tuple[NDArray[np.bool_], str | None]:
    """Return which numbers of a window are known ones in another unit, and the unit."""
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


def _draft(
    name: str,
    new: NDArray[np.bool_],
    own: NumberCounts,
    usual: NumberCounts,
    context: CheckContext,
    unit: str,
) -> Draft:
    others = np.union1d(usual.values, own.values[~new])
    rules = RuleSet.of([{"check": "values", "column": name, "values": others.tolist()}])
    (outcome,) = judged_rules(context, rules)
    share = float(own.counts[new].sum() / max(own.counts.sum(), 1))
    what = (
        f"{percent(share)} of numbers are new, {plural(int(new.sum()), 'value')} "
        f"beside the {len(usual.values)} of the reference"
    )
    return Draft(
        feature=name,
        check="unit_change_check",
        description=f"Numbers that the reference never had: {what}.",
        what=what,
        predicate=outcome.condition,
        share_reference=0.0,
        share=share,
        fault=Fault(UNIT_KIND, f"looks like {unit}"),
    )
