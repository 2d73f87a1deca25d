"""Names changes of unit: of columns that drifted, and of numbers that the reference never had.

Example of the latter: distances of one airline in kilometres, none of them a distance of the
reference in miles. No test is needed, since the reference has none of these numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.column import ColumnProfile
from driftline.baseline.distinct import NumberCounts
from driftline.baseline.predicate import Predicate
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.kinds.data_quality.checks import implausible_draft
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.kinds.data_quality.range_checks import Implausible
from driftline.monitors.kinds.data_quality.rule_outcomes import judged_rules
from driftline.monitors.kinds.data_quality.signs import SLOW_EFFECT
from driftline.monitors.results.violation import DRIFT_CHECK, Draft, Fault, percent, plural
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.conversion import unit_of_new
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED
from driftline.monitors.rules.ruleset import RuleSet
from driftline.stats.distances.units import Numbers, UnitChange, one_of, restoring_units

# Rows that the reference hardly has are taken for those that changed.
RARE_SHARE = 0.01
# Prices and temperatures double and triple from season to season.
SLOW_FACTOR = 4.0
# Checks that tell that a column's values are others altogether.
OTHER_VALUES = frozenset({"constant_check", "data_type_check", "unit_change_check"})
# Rows of another unit that a violation needs, and their share of the window's.
UNIT_ROWS, UNIT_SHARE = 20, 0.01


def name_units(
    judgement: Judgement, sample: pa.Table, profiles: Mapping[str, ColumnProfile]
) -> Judgement:
    """Add a change of unit to each drift of numbers that one explains.

    A season may look like a small conversion, so only one that restores the whole column is named,
    and of a slow column none by a factor that a season brings.
    """
    known = {one.feature for one in judgement.drafts if one.unit is not None}
    found = {}
    for draft in judgement.drafts:
        if draft.check == DRIFT_CHECK and draft.feature not in known:
            drift = judgement.drifts.get(draft.feature)
            units = _units_of(draft, sample, profiles, drift.design_effect if drift else 1.0)
            if draft.fault and draft.fault.kind == UNIT_KIND:
                # Digits know better than how far values lie.
                units = [one for one in units if one.name in draft.fault.text]
            if (unit := one_of(units)) is not None:
                found[draft.feature] = _worded(draft, unit, drift)
    drafts: list[Draft] = []
    for draft in judgement.drafts:
        if draft.feature not in found or draft.check != "range_check":
            drafts.append(draft)
        if draft.feature in found and draft.check == DRIFT_CHECK:
            drafts.append(found[draft.feature])
    return replace(judgement, drafts=tuple(drafts))


def _worded(draft: Draft, unit: UnitChange, drift: ColumnDrift | None) -> Draft:
    assert isinstance(draft.predicate, Predicate)  # Drift is found on sets of cells.
    share = draft.share + draft.share_reference
    odd = Implausible(
        draft.feature, draft.predicate, unit, "", share, draft.share_reference, evidence=0.0
    )
    worded = implausible_draft(odd)
    return replace(worded, what=f"{worded.what}{drift.over_windows}") if drift else worded


def _units_of(
    draft: Draft, sample: pa.Table, profiles: Mapping[str, ColumnProfile], effect: float
) -> list[UnitChange]:
    """Try all values, then those that the reference hardly has."""
    profile, name = profiles.get(draft.feature), draft.feature
    if profile is None or not profile.is_number or name not in sample.column_names:
        return []
    plain, _ = coerce(sample.column(name), "double")
    values: Numbers = np.asarray(plain.to_numpy(zero_copy_only=False), np.float64)
    finite = np.isfinite(values)
    least = SLOW_FACTOR if effect >= SLOW_EFFECT else 1.0
    expected, weights = profile.sketch.weighted()
    tries = [finite]
    if draft.predicate is not None and draft.share_reference < RARE_SHARE:
        tries.append(finite & np.asarray(draft.predicate.mask(sample).to_numpy(False)))
    found = (
        restoring_units(
            values[finite], changed[finite], expected, weights, least_factor=least, effect=effect
        )
        for changed in tries
    )
    return next(filter(None, found), [])


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
