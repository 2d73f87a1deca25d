"""From drafts to violations: the rows behind each, what they have in common, how grave it is.

A page is what no season can bring: a wrong type, a missing column, gaps, unseen values, values far
outside the reference, a change of unit. All else is a shift within what is known, and a ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.coercion import coerce
from driftline.baseline.column import ColumnProfile
from driftline.monitors.culprits import Culprits, Target, find_culprits
from driftline.monitors.data_quality import MISSING_COLUMNS, Draft, Judgement
from driftline.monitors.drift import ReferenceColumn
from driftline.monitors.significance import Numbers
from driftline.monitors.units import UnitChange, suspect_unit
from driftline.monitors.violation import Segment, Severity, Violation
from driftline.signature import Signature

__all__ = ["Expected", "cause_sentence", "find_violations"]

# Fewer rows than this at fault are worth a ticket, but wake nobody.
PAGE_SHARE = 0.01
# So many times the reference's whole range beyond its ends is no weather, no sale, no holiday.
FAR_RANGES = 10.0
# In a segment's own reference the culprits' values were rarer than this, and now they are the rule:
# then it is the segment that has changed, not its share of the traffic.
RARE_IN_SEGMENT = 0.35
COMMON_IN_SEGMENT = 0.65
CAUSES_NAMED = 3

BatchMaker = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reference tells about values, for the suspicion of a changed unit.

    Parameters
    ----------
    columns
        By column: cells and counts; shares of levels come from here.
    profiles
        By column: the reference's summary, whose sketch holds its values; may be empty.
    """

    columns: Mapping[str, ReferenceColumn]
    profiles: Mapping[str, ColumnProfile]

    def level_share(self, column: str, level: str) -> float | None:
        """Share of the reference's rows with a level; None when it is not known."""
        known = self.columns.get(column)
        if known is None or level not in known.cells.levels:
            return None
        return float(known.counts[known.cells.levels.index(level)]) / known.row_count


def find_violations(
    judgement: Judgement,
    batches: BatchMaker,
    signature: Signature,
    expected: Expected,
    *,
    row_count: int,
) -> tuple[Violation, ...]:
    """Look up the rows behind each draft, in one pass, and say what they are.

    Parameters
    ----------
    judgement
        What data_quality.judge gave.
    batches
        Gives the window's rows from the beginning at each call; not called without violations.
    signature
        The baseline's; its text features are the segments that can be named.
    expected
        The reference's values.
    row_count
        Rows of the window.

    Returns
    -------
    tuple of Violation
        In the order of the drafts.
    """
    targets = [
        Target(draft.predicate, draft.share_reference)
        for draft in judgement.drafts
        if draft.predicate is not None
    ]
    segments = [
        column.name
        for column in signature.columns
        if column.role == "feature" and column.type in ("string", "bool")
    ]
    found: list[Culprits] = []
    sample = pa.table({})
    if targets:
        found, sample = find_culprits(batches(), targets, segments, row_count=row_count)
    left = iter(found)
    return tuple(
        _violation(
            draft,
            next(left) if draft.predicate is not None else None,
            sample,
            expected,
            judgement,
        )
        for draft in judgement.drafts
    )


def cause_sentence(violations: Sequence[Violation]) -> str:
    """Say in one sentence what a pager should print; "" without violations.

    One clause for each of the three features that are most to blame, pages first.
    """
    ranked = sorted(violations, key=lambda one: (one.severity != "page", -one.share_of_blame))
    first: dict[str, Violation] = {}
    for violation in ranked:
        first.setdefault(violation.feature_name, violation)
    clauses = [f"{name}: {one.cause}" for name, one in list(first.items())[:CAUSES_NAMED]]
    if len(first) > CAUSES_NAMED:
        clauses.append(f"and {len(first) - CAUSES_NAMED} more")
    return "; ".join(clauses)


def _violation(
    draft: Draft,
    culprits: Culprits | None,
    sample: pa.Table,
    expected: Expected,
    judgement: Judgement,
) -> Violation:
    unit = None
    if culprits is not None and draft.check == "baseline_drift_check":
        unit = _unit_change(draft, culprits, sample, expected)
    segment = culprits.segment if culprits else None
    return Violation(
        feature_name=draft.feature,
        constraint_check_type=draft.check,
        description=draft.description,
        severity=_severity(draft, unit, sample, expected, judgement),
        ratio=draft.ratio,
        share_of_blame=judgement.blame[draft.feature],
        predicate=draft.predicate,
        row_count=culprits.row_count if culprits else 0,
        cause=_cause(draft, culprits, unit),
        segment=segment,
        unit=unit,
        values=culprits.values if culprits else (),
        first_rows=tuple(culprits.first_rows) if culprits else (),
    )


def _cause(draft: Draft, culprits: Culprits | None, unit: UnitChange | None) -> str:
    parts = [draft.what]
    op = draft.predicate.op if draft.predicate else None
    if culprits is not None and op in ("not_in", "in") and culprits.values:
        parts.append(f'mostly "{culprits.values[0]}"')
    if unit is not None:
        parts.append(f"looks like {unit.name}")
    if culprits is not None and culprits.segment is not None:
        parts.append(str(culprits.segment))
    return ", ".join(parts)


def _severity(
    draft: Draft,
    unit: UnitChange | None,
    sample: pa.Table,
    expected: Expected,
    judgement: Judgement,
) -> Severity:
    if draft.check == "data_type_check" or draft.feature == MISSING_COLUMNS:
        return "page"
    if draft.check in ("completeness_check", "categorical_values_check"):
        return "page" if draft.surprising and draft.share >= PAGE_SHARE else "ticket"
    if draft.check != "baseline_drift_check":
        return "ticket"
    if unit is not None or _is_far_out(draft.feature, sample, expected, judgement):
        return "page"
    known = expected.columns[draft.feature].cells
    drift = judgement.drifts[draft.feature]
    is_new = known.set_kind(drift.cell_index) in ("unseen", "null", "unfit")
    return "page" if is_new and draft.share >= PAGE_SHARE else "ticket"


def _is_far_out(name: str, sample: pa.Table, expected: Expected, judgement: Judgement) -> bool:
    """Whether many values lie further outside the reference than any season moves them."""
    drift, known = judgement.drifts[name], expected.columns[name].cells
    if drift.range_evidence <= drift.needed or known.minimum is None or known.maximum is None:
        return False
    reach = FAR_RANGES * (known.maximum - known.minimum)
    values = _numbers(sample, name)
    far = (values > known.maximum + reach) | (values < known.minimum - reach)
    return reach > 0 and values.size > 0 and float(far.mean()) >= PAGE_SHARE


def _unit_change(
    draft: Draft, culprits: Culprits, sample: pa.Table, expected: Expected
) -> UnitChange | None:
    """Suspect a changed unit in the guilty segment, or in the whole column."""
    name = draft.feature
    if not expected.columns[name].cells.is_number or name not in sample.column_names:
        return None
    values = _numbers(sample, name, keep_missing=True)
    known = ~np.isnan(values)
    segment = culprits.segment
    if segment is not None and _segment_changed(draft, culprits, segment, expected):
        inside = _is_level(sample, segment)
        if found := suspect_unit(values[inside & known], values[~inside & known]):
            return found
    reference = expected.profiles.get(name)
    if reference is None or reference.sketch.count == 0:
        return None
    items, weights = _items(reference)
    return suspect_unit(values[known], items, expected_weights=weights, far_only=True)


def _segment_changed(
    draft: Draft, culprits: Culprits, segment: Segment, expected: Expected
) -> bool:
    """Whether the segment itself behaves otherwise than it can have done in the reference.

    Of a level with share s, at most p / s of the rows met the condition in the reference, when a
    share p of all rows did.
    """
    share = expected.level_share(segment.column, segment.level)
    if not share:
        return False
    now = culprits.share_of_rows * segment.share_of_culprits / segment.share_of_rows
    return draft.share_reference / share <= RARE_IN_SEGMENT and now >= COMMON_IN_SEGMENT


def _is_level(sample: pa.Table, segment: Segment) -> np.ndarray:
    text, _ = coerce(sample.column(segment.column), "string")
    inside = pc.fill_null(pc.equal(text, segment.level), fill_value=False)
    return np.asarray(inside.to_numpy(zero_copy_only=False), dtype=bool)


def _numbers(sample: pa.Table, name: str, *, keep_missing: bool = False) -> Numbers:
    if name not in sample.column_names:
        return np.empty(0)
    plain, _ = coerce(sample.column(name), "double")
    values = np.asarray(plain.to_numpy(zero_copy_only=False), dtype=np.float64)
    values = np.where(np.isinf(values), np.nan, values)
    return values if keep_missing else values[~np.isnan(values)]


def _items(profile: ColumnProfile) -> tuple[Numbers, Numbers]:
    """Give a sketch's values and the rows that each stands for."""
    levels = profile.sketch.levels
    weights = [np.full(len(level), 2.0**height) for height, level in enumerate(levels)]
    return np.concatenate(levels), np.concatenate(weights)
