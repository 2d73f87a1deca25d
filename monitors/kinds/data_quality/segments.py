"""Judges each value of a column as a segment against its own rows in the reference.

One reading counts all segments. Half of the budget of false alarms stays with all rows, so that
segments hardly weaken it; the known segments share the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints, FeatureConstraints
from driftline.baseline.predicate import Predicate
from driftline.baseline.profile import Profile
from driftline.baseline.segments import EMPTY, OTHER, SegmentColumn, SegmentCounter
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.kinds.data_quality.feature_results import feature_results
from driftline.monitors.kinds.data_quality.findings import rows_behind, word_violation
from driftline.monitors.kinds.data_quality.judgement import Judgement, ProfileChecks
from driftline.monitors.report.comparison import share_of
from driftline.monitors.results.feature import SegmentResult
from driftline.monitors.results.violation import DRIFT_CHECK, Draft, Segment, Violation
from driftline.monitors.root_cause.contributors import ContributingRows
from driftline.monitors.state import State
from driftline.signature import Signature
from driftline.validation import nearest

# What the rows as a whole keep of the budget.
WHOLE_SHARE = 0.5
# Violations whose rows are looked up; of all others the condition is known, and how many they are.
LOOKED_UP = 100


@dataclass(frozen=True)
class SegmentPlan:
    """The segments and their budget."""

    reference: SegmentCounter
    columns: tuple[SegmentColumn, ...]
    judged_count: int  # Segments that the reference has enough rows of.

    def counter(self, cells: Mapping[str, Cells]) -> partial[SegmentCounter]:
        """Return a factory of segment counters."""
        counted = {name: cells[name] for name in self.reference.cells}
        return partial(SegmentCounter.start, self.columns, counted)

    def whole(self, budget: Budget) -> Budget:
        """Return the budget left for all rows."""
        return replace(budget, false_alarms_per_year=WHOLE_SHARE * budget.false_alarms_per_year)

    def each(self, budget: Budget) -> Budget:
        """Return the budget of one segment."""
        rest = (1 - WHOLE_SHARE) * budget.false_alarms_per_year
        return replace(budget, false_alarms_per_year=rest / max(self.judged_count, 1))


@dataclass(frozen=True)
class SegmentVerdict:
    """One segment of a window, judged."""

    column: str
    level: str  # A value, "other" or "empty".
    predicate: Predicate
    row_count: int
    share_of_rows: float  # Of the window's rows, 0-1.
    reference_count: int
    profile: Profile
    references: Mapping[str, ReferenceColumn]
    judgement: Judgement
    state: State  # Whether its drift was judged.

    @property
    def name(self) -> str:
        """The segment in words: ``origin = "EWR"``, ``origin other``."""
        if self.predicate.op == "eq":
            return f'{self.column} = "{self.level}"'
        return f"{self.column} {EMPTY if self.predicate.op == 'null' else OTHER}"


def segment_plan(baseline: Baseline, names: Sequence[str] | None) -> SegmentPlan | None:
    """Return the segments: of the named columns, or all of the baseline."""
    found = baseline.segments
    known = {} if found is None else {column.name: column for column in found.columns}
    for name in names or ():
        if name not in known:
            if name not in (columns := [column.name for column in baseline.signature.columns]):
                raise InputError(f'segment "{name}": no such column; {nearest(name, columns)}')
            have = nearest(name, known) or "it has none"
            raise InputError(
                f'segment "{name}": the baseline does not hold its values apart ({have}); make it '
                f'again with "{name}" among its segments'
            )
    # Named twice is counted once.
    chosen = tuple(known[name] for name in dict.fromkeys(known if names is None else names))
    if found is None or not chosen:
        return None
    judged = sum(int((found.rows[one.name] >= MIN_ROWS).sum()) for one in chosen)
    return SegmentPlan(found, chosen, judged)


def judge_segments(
    plan: SegmentPlan,
    baseline: Baseline,
    window: SegmentCounter,
    profile: Profile,
    *,
    length: timedelta | None,
    budget: Budget,
) -> list[SegmentVerdict]:
    """Judge each segment with rows in the window."""
    return [
        _judge_one(plan, baseline, window, profile, column, int(index), length, budget)
        for column in plan.columns
        for index in np.flatnonzero(window.rows[column.name])
    ]


def _judge_one(
    plan: SegmentPlan,
    baseline: Baseline,
    window: SegmentCounter,
    profile: Profile,
    one: SegmentColumn,
    index: int,
    length: timedelta | None,
    budget: Budget,
) -> SegmentVerdict:
    row_count, known = int(window.rows[one.name][index]), int(plan.reference.rows[one.name][index])
    reference = _profile(plan.reference, baseline, one, index)
    own = _with_columns_of(_profile(window, baseline, one, index), profile)
    references = {
        name: ReferenceColumn(
            column.cells, column.cell_counts.astype(np.float64), _unseen(column)
        )
        for name, column in reference.columns.items()
        if known and name != one.name and column.cells is not None
        and column.cell_counts is not None
    }  # fmt: skip
    judgement = ProfileChecks(
        signature=baseline.signature,
        constraints=_constraints(baseline.constraints, reference if known else None),
        references=references,
        window=own,
        reference=reference,
        blocks=plan.reference.blocks_of(one, index),
        length=length,
        budget=budget,
    ).judge()
    # Columns are there for all rows or for none: the rows as a whole say so. They also say what
    # became of the segments' own column: of all rows without a value, all are without one.
    predicate = one.predicate(index)
    drafts = tuple(
        _within(found, predicate)
        for found in judgement.drafts
        if found.feature in own.columns and found.feature != one.name
    )
    few = min(known, row_count) < MIN_ROWS
    return SegmentVerdict(
        column=one.name,
        level=one.level(index),
        predicate=predicate,
        row_count=row_count,
        share_of_rows=row_count / int(window.rows[one.name].sum()),
        reference_count=known,
        profile=own,
        references=references,
        judgement=replace(judgement, drafts=drafts),
        state=State.NO_REFERENCE if not known else State.INSUFFICIENT if few else State.JUDGED,
    )


def _within(draft: Draft, segment: Predicate) -> Draft:
    """Return a draft whose rows are those of a segment alone."""
    if not isinstance(draft.predicate, Predicate):
        return draft
    return replace(draft, predicate=replace(draft.predicate, within=segment))


def _with_columns_of(own: Profile, profile: Profile) -> Profile:
    """Take over which columns came, which is not the segments' concern."""
    return replace(own, seen=set(profile.seen), extra=())


def _profile(
    counted: SegmentCounter, baseline: Baseline, one: SegmentColumn, index: int
) -> Profile:
    """Return a profile of a segment's columns from its counts."""
    rows = int(counted.rows[one.name][index])
    columns = {}
    for column in baseline.signature.columns:
        counts = counted.counts[one.name].get(column.name)
        found = ColumnProfile(column.name, column.type, row_count=rows)
        if counts is not None:
            own = counts[index]
            found.cells, found.cell_counts = baseline.cells[column.name], own
            found.missing_count, found.unfit_count = int(own[-2]), int(own[-1])
            # Whether all numbers are whole is judged on all rows.
            found.integral_count = found.present_count - found.unfit_count
        columns[column.name] = found
    return Profile(rows, columns, {column.name for column in baseline.signature.columns})


def _unseen(column: ColumnProfile) -> int:
    """Return the number of texts seen once in the reference: the rows counted as unseen."""
    cells = column.cells
    if cells is None or column.cell_counts is None or cells.known is None or cells.is_number:
        return 0
    return int(column.cell_counts[-3])


def _constraints(constraints: Constraints, reference: Profile | None) -> Constraints:
    """Require of a segment what its own reference holds; domains apply to all rows only."""

    def own(one: FeatureConstraints) -> FeatureConstraints:
        column = None if reference is None else reference.columns.get(one.name)
        completeness = one.completeness
        if column is not None and completeness is not None and column.cell_counts is not None:
            completeness = min(completeness, column.completeness)
        return replace(one, completeness=completeness, domains=None, is_non_negative=None)

    return replace(constraints, features=tuple(own(feature) for feature in constraints.features))


def find_segment_violations(
    verdicts: Sequence[SegmentVerdict], context: CheckContext
) -> tuple[Violation, ...]:
    """Find the rows behind the segments' violations, in one pass, and describe them."""
    found = [
        (verdict, draft, verdict.judgement.drifts.get(draft.feature))
        for verdict in verdicts
        for draft in verdict.judgement.drafts
    ]
    found.sort(key=lambda one: 0.0 if one[2] is None else -one[2].evidence)
    looked_up = [(draft, drift) for _, draft, drift in found[:LOOKED_UP]]
    behind = iter(rows_behind(looked_up, context.rows, context.baseline))
    return tuple(_violation(*one, next(behind, None)) for one in found)


def _violation(
    verdict: SegmentVerdict,
    draft: Draft,
    drift: ColumnDrift | None,
    contributors: ContributingRows | None,
) -> Violation:
    """Build a violation of one segment, whose location is the segment itself."""
    found = word_violation(draft, contributors, verdict.references, verdict.judgement)
    count = found.row_count
    if contributors is None and drift is not None and draft.check == DRIFT_CHECK:
        own = share_of(verdict.profile.columns[draft.feature], drift.predicate)
        count = round((drift.share_window if own is None else own) * verdict.row_count)
    return replace(
        found,
        cause=f"where {verdict.name}: {found.cause}",
        row_count=count,
        # Within its own rows all evidence is a segment's; beside the others it weighs as its rows.
        share_of_blame=found.share_of_blame * verdict.share_of_rows,
        segment=Segment((verdict.predicate,), 1.0, verdict.share_of_rows),
        within=verdict.name,
    )


def segment_result(verdict: SegmentVerdict, signature: Signature) -> SegmentResult:
    """Build one line of the table of segments, with its own lines of features."""
    results = feature_results(signature, verdict.profile, verdict.judgement, {})
    lines = tuple(result for result in results if result.feature != verdict.column)
    return SegmentResult(
        name=verdict.name,
        column=verdict.column,
        level=verdict.level,
        row_count=verdict.row_count,
        share_of_rows=verdict.share_of_rows,
        reference_count=verdict.reference_count,
        violation_count=len(verdict.judgement.drafts),
        max_drift_ratio=max((line.ratio for line in lines if line.ratio is not None), default=None),
        state=verdict.state,
        results=lines,
    )
