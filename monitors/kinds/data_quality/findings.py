"""Turns drafts into violations: contributing rows, their segment, and severity.

A page is what no season can bring: a wrong type, a missing column, gaps, unseen values, values far
outside the reference, a change of unit. A shift within known values is a ticket.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.origin import OF_BATCH, OF_FILE, OF_KEY, OF_TIME
from driftline.baseline.store import Baseline
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.checks import is_renamed
from driftline.monitors.kinds.data_quality.flatline_check import GONE_SHARE
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import (
    DRIFT_CHECK,
    Draft,
    Fault,
    Onset,
    Severity,
    Violation,
)
from driftline.monitors.root_cause.callers import is_caller
from driftline.monitors.root_cause.contributors import ContributingRows, Target
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.exchanged import KIND as EXCHANGED
from driftline.monitors.root_cause.faults.exchanged import are_exchanged_beside
from driftline.monitors.root_cause.search import began_before, is_unheard_of, search
from driftline.monitors.rows import Rows

# Columns whose values are not judged, but their gaps are.
UNJUDGED = frozenset({OF_BATCH, OF_FILE, OF_KEY, OF_TIME})
# Fewer rows than this at fault are worth a ticket, but wake nobody.
PAGE_SHARE = 0.02
ALWAYS_PAGES = frozenset(
    {
        "constant_check",
        "data_type_check",
        "missing_column_check",
        "range_check",
        "unit_change_check",
    }
)
# Of the other rows at most so many changed where a segment is all that did.
ELSEWHERE = 0.03
# Values as rare as that in the reference are news, and so is the hour in which they came.
RARE_SHARE = 0.01


def find_violations(
    judgement: Judgement,
    context: CheckContext,
    references: Mapping[str, ReferenceColumn],
    counts: WindowCounts,
    faults: FaultContext,
) -> tuple[Violation, ...]:
    """Find the rows behind each draft, in one pass, and describe them."""
    renamed = {one.column for one in judgement.drifts.values() if is_renamed(one)}
    mixed_up = _mixed_up(judgement.drafts)
    drafts = [(one, judgement.drifts.get(one.feature)) for one in judgement.drafts]
    behind = rows_behind(drafts, context.rows, context.baseline)
    found = []
    for (draft, _), rows in zip(drafts, behind, strict=True):
        is_everywhere = (
            draft.feature in renamed
            or _is_everywhere(draft, rows, faults)
            or _is_placed_by(rows, mixed_up - {draft.feature})
        )
        found.append(
            word_violation(
                draft,
                replace(rows, segment=None, unplaced="") if rows and is_everywhere else rows,
                references,
                judgement,
                _began_before(draft, references, context, counts),
                context.baseline.blocks,
            )
        )
    first: dict[str, int] = {}
    for one in found:
        first.setdefault(one.feature_name, len(first))
    return tuple(sorted(found, key=lambda one: (first[one.feature_name], one.severity != "page")))


def _mixed_up(drafts: Sequence[Draft]) -> set[str]:
    """Return the columns that hold another column's values."""
    faults = [one.fault for one in drafts if one.fault is not None]
    return {name for fault in faults if fault.kind == EXCHANGED for name in fault.columns}


def _is_placed_by(contributors: ContributingRows | None, mixed_up: Collection[str]) -> bool:
    """Whether a segment's rows are identified by such a column: they are others than before."""
    segment = None if contributors is None else contributors.segment
    return segment is not None and any(one.column in mixed_up for one in segment.conditions)


def _is_everywhere(
    draft: Draft,
    contributors: ContributingRows | None,
    faults: FaultContext,
) -> bool:
    """Whether values were exchanged beyond the segment that gained most by it.

    Losses and gains of values cancel out by segment, though all rows are at fault.
    """
    segment = None if contributors is None else contributors.segment
    if segment is None or draft.fault is None or draft.fault.kind != EXCHANGED:
        return False
    change = segment.change
    if change is None or change.before_elsewhere is None or not change.is_all:
        return True
    if abs(change.now_elsewhere - change.before_elsewhere) > ELSEWHERE:
        return True
    return are_exchanged_beside(faults, draft.fault.columns, segment)


def rows_behind(
    drafts: Sequence[tuple[Draft, ColumnDrift | None]], rows: Rows, baseline: Baseline
) -> list[ContributingRows | None]:
    """Return the rows behind each draft, found together; None where it has no condition on rows.

    With each draft comes its column's drift, if any: its design effect is that of the rows.
    """
    targets = [
        Target(
            draft.predicate,
            draft.share_reference,
            draft.share < 0,
            1.0 if drift is None else max(drift.design_effect, 1.0),
        )
        for draft, drift in drafts
        if draft.predicate is not None
    ]
    left = iter(search(rows, targets, baseline))
    return [None if draft.predicate is None else next(left) for draft, _ in drafts]


def _began_before(
    draft: Draft,
    references: Mapping[str, ReferenceColumn],
    context: CheckContext,
    counts: WindowCounts,
) -> Onset | None:
    """Return the earlier window in which a violation began, from window history."""
    if not context.past.counts or draft.feature not in references:
        return None
    return began_before(draft.predicate, references[draft.feature], context.past.counts, counts)


def word_violation(
    draft: Draft,
    contributors: ContributingRows | None,
    references: Mapping[str, ReferenceColumn],
    judgement: Judgement,
    before: Onset | None = None,
    blocks: BlockCounts | None = None,
) -> Violation:
    """Build a violation from a draft and its contributing rows; `before` is an earlier onset.

    The reference's hours (`blocks`), if any, show whether its beginning is news.
    """
    onset = before or (contributors.onset if contributors else None)
    told = onset
    # Values that the reference knows come and go with the hours of a day.
    if onset is not None and draft.share_reference >= RARE_SHARE:
        known = references.get(draft.feature)
        told = onset if known and is_unheard_of(onset, draft.predicate, known, blocks) else None
    return violation_of(
        draft,
        contributors,
        severity=_severity(
            draft, references, judgement, is_mix=contributors is not None and contributors.is_mix
        ),
        share_of_blame=judgement.blame.get(draft.feature, 0.0),
        cause=_cause(draft, contributors, told),
        onset=onset,
    )


def violation_of(
    draft: Draft,
    contributors: ContributingRows | None,
    *,
    severity: Severity,
    share_of_blame: float,
    cause: str,
    onset: Onset | None = None,
) -> Violation:
    """Return a draft's violation, with the rows behind it."""
    return Violation(
        feature_name=draft.feature,
        constraint_check_type=draft.check,
        description=draft.description,
        severity=severity,
        ratio=draft.ratio,
        share_of_blame=share_of_blame,
        predicate=draft.predicate,
        row_count=contributors.row_count if contributors else 0,
        cause=cause,
        segment=contributors.segment if contributors else None,
        unit=draft.unit,
        fault=_fault(draft),
        values=contributors.values if contributors else (),
        first_rows=tuple(contributors.first_rows) if contributors else (),
        onset=onset,
    )


def with_faults(judgement: Judgement, faults: Mapping[str, Fault]) -> Judgement:
    """Add to each violation the kind of fault that its column's values show."""
    drafts = (
        one
        if one.check == "completeness_check"
        else replace(one, fault=faults.get(one.feature, one.fault))
        for one in judgement.drafts
    )
    return replace(judgement, drafts=tuple(drafts))


def without_misread_units(judgement: Judgement, others: Sequence[Draft]) -> Judgement:
    """Drop changes of unit of columns that hold another column's values, by the other drafts.

    The other drafts page in their place.
    """
    exchanged = {
        one.feature for one in (*judgement.drafts, *others)
        if one.unit is None and one.fault is not None and one.fault.kind == EXCHANGED
    }  # fmt: skip
    misread = {one.feature for one in judgement.drafts if one.unit is not None} & exchanged
    drafts = (
        replace(one, severity="page") if one.feature in misread and one.fault else one
        for one in judgement.drafts
        if one.feature not in misread or one.unit is None
    )
    return replace(judgement, drafts=tuple(drafts))


def _fault(draft: Draft) -> Fault | None:
    if draft.unit is not None:
        return Fault(UNIT_KIND, f"looks like {draft.unit.name}")
    return draft.fault


def _cause(draft: Draft, contributors: ContributingRows | None, onset: Onset | None) -> str:
    parts = [draft.what]
    op = draft.predicate.op if draft.predicate else None
    if contributors is not None and op in ("not_in", "in", "rule") and contributors.values:
        # What was always empty has no levels that could be new.
        has_known = getattr(draft.predicate, "values", ())
        is_alone = op == "not_in" and len(contributors.values) == 1 and has_known
        parts.append(f'{"new level" if is_alone else "mostly"} "{contributors.values[0]}"')
    if draft.unit is not None:
        parts.append(f"looks like {draft.unit.name}")
    elif draft.fault is not None and draft.fault.text not in draft.what:
        parts.append(draft.fault.text)
    if onset is not None:
        parts.append(str(onset))
    elif draft.since is not None:
        parts.append(f"since {draft.since:%Y-%m-%d %H:%M} UTC")
    segment = None if contributors is None else contributors.segment
    if segment is not None and op == "null" and is_caller(segment.column):
        parts.append(f'suspected nulls from caller "{segment.level}"')
    if segment is not None:
        parts.append(str(segment))
    elif contributors is not None and contributors.unplaced and draft.fault is None:
        parts.append(contributors.unplaced)
    return ", ".join(parts)


def _severity(
    draft: Draft,
    references: Mapping[str, ReferenceColumn],
    judgement: Judgement,
    *,
    is_mix: bool,
) -> Severity:
    if draft.severity is not None:
        return draft.severity
    if draft.check in ALWAYS_PAGES:
        return "page"
    # There are rows enough to judge the column, or to know that so many gaps are no chance.
    is_judged = draft.feature in judgement.drifts or (
        draft.surprising and judgement.notes.get(draft.feature) in UNJUDGED
    )
    # A column that is as good as gone wakes somebody, however bursty its stream is; evidence is
    # asked for below that.
    if draft.check == "completeness_check" and is_judged and draft.share >= GONE_SHARE:
        return "page"
    if is_mix:
        return "ticket"  # Nothing broke: a holiday has more of the rows that always come so.
    if draft.check in ("completeness_check", "categorical_values_check"):
        return "page" if draft.surprising and draft.share >= PAGE_SHARE else "ticket"
    if draft.check != DRIFT_CHECK:
        return "ticket"
    drift = judgement.drifts[draft.feature]
    set_kind = references[draft.feature].cells.set_kind(drift.cell_index)
    # Fewer gaps than ever are a change, and nothing that is broken.
    op = draft.predicate.op if draft.predicate else ""
    is_gap = op == "null" and drift.share_window > drift.share_reference
    is_new = set_kind in ("unseen", "unfit") or (set_kind == "null" and is_gap)
    return "page" if is_new and draft.share >= PAGE_SHARE else "ticket"
