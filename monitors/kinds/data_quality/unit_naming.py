"""Names the unit behind a drift that was found: the conversion that makes the column what it was.

Whether a column has drifted is decided before; a season may look like a small conversion, so only
one that brings the whole column back to the reference is named. What no season can bring is looked
for in every window, by `plausibility`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Predicate
from driftline.formats.coercion import coerce
from driftline.monitors.distances.units import Numbers, UnitChange, restoring_unit
from driftline.monitors.kinds.data_quality.checks import implausible_draft
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.kinds.data_quality.range_checks import Implausible
from driftline.monitors.results.violation import Draft

# Rows that the reference hardly has are taken for those that changed.
RARE_SHARE = 0.01


def name_units(
    judgement: Judgement, sample: pa.Table, profiles: Mapping[str, ColumnProfile]
) -> Judgement:
    """Add a change of unit to each drift of numbers that one explains."""
    known = {one.feature for one in judgement.drafts if one.unit is not None}
    found = {}
    for draft in judgement.drafts:
        if draft.check == "baseline_drift_check" and draft.feature not in known:
            unit = _unit_of(draft, sample, profiles)
            if unit is not None:
                found[draft.feature] = _worded(draft, unit)
    drafts: list[Draft] = []
    for draft in judgement.drafts:
        if draft.feature not in found or draft.check != "range_check":
            drafts.append(draft)
        if draft.feature in found and draft.check == "baseline_drift_check":
            drafts.append(found[draft.feature])
    return replace(judgement, drafts=tuple(drafts))


def _worded(draft: Draft, unit: UnitChange) -> Draft:
    assert isinstance(draft.predicate, Predicate)  # Drift is found on sets of cells.
    share = draft.share + draft.share_reference
    odd = Implausible(
        draft.feature, draft.predicate, unit, "", share, draft.share_reference, evidence=0.0
    )
    return implausible_draft(odd)


def _unit_of(
    draft: Draft, sample: pa.Table, profiles: Mapping[str, ColumnProfile]
) -> UnitChange | None:
    """Try all values, then those that the reference hardly has."""
    profile, name = profiles.get(draft.feature), draft.feature
    if profile is None or not profile.is_number or name not in sample.column_names:
        return None
    plain, _ = coerce(sample.column(name), "double")
    values: Numbers = np.asarray(plain.to_numpy(zero_copy_only=False), np.float64)
    finite = np.isfinite(values)
    expected, weights = profile.sketch.weighted()
    tries = [finite]
    if draft.predicate is not None and draft.share_reference < RARE_SHARE:
        tries.append(finite & np.asarray(draft.predicate.mask(sample).to_numpy(False)))
    found = (
        restoring_unit(values[finite], changed[finite], expected, weights) for changed in tries
    )
    return next((one for one in found if one is not None), None)
