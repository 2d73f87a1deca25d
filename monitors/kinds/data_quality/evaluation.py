"""The kind "data-quality": profiles and judges a window, then finds the rows behind violations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import seasoned
from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.derived_columns import DerivedCounter
from driftline.baseline.predicate import Predicate
from driftline.baseline.profile import Profile
from driftline.baseline.segments import SegmentCounter
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.baseline.value_runs import TimeOrder
from driftline.capture.windows.window import ROW_IDS, UNFIT
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.day_test.day_counter import DayCounter
from driftline.monitors.day_test.day_test import DayTest
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.detectability import BY_DAYS, UNDECIDABLE, UNDECIDABLE_GAPS
from driftline.monitors.drift_test.drift import (
    ColumnDrift,
    ReferenceColumn,
    reference_columns,
)
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.window_counts import WindowCounts, runs_before
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.data_quality.baseline_fit import (
    fit_note,
    without_drift,
    without_unknown_variation,
)
from driftline.monitors.kinds.data_quality.checks import implausible_draft
from driftline.monitors.kinds.data_quality.converted_numbers_check import converted_numbers_drafts
from driftline.monitors.kinds.data_quality.day_checks import (
    day_counter,
    day_details,
    judge_days,
    kept_day_test,
)
from driftline.monitors.kinds.data_quality.derived_checks import (
    DECIMALS_CHECK,
    ORDER_CHECK,
    derived_drafts,
    derived_references,
    derived_test,
    find_derived,
    window_cells,
)
from driftline.monitors.kinds.data_quality.effect_size import with_extents
from driftline.monitors.kinds.data_quality.findings import (
    find_violations,
    with_faults,
    without_misread_units,
)
from driftline.monitors.kinds.data_quality.flatline_check import shortened_runs
from driftline.monitors.kinds.data_quality.judgement import (
    Judgement,
    Keeper,
    judge,
    without_later_times,
)
from driftline.monitors.kinds.data_quality.lost_hours_check import (
    HourCounter,
    lost_hours_drafts,
)
from driftline.monitors.kinds.data_quality.range_checks import (
    Implausible,
    Sampler,
    find_implausible,
)
from driftline.monitors.kinds.data_quality.rule_outcomes import (
    declared_rules,
    judged_rules,
    rule_details,
)
from driftline.monitors.kinds.data_quality.segments import (
    SegmentPlan,
    SegmentVerdict,
    find_segment_violations,
    judge_segments,
    segment_plan,
    segment_result,
)
from driftline.monitors.kinds.data_quality.signs import SLOW_EFFECT, sign_drafts
from driftline.monitors.report.comparison import lay_beside, share_of
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.unjudged import REASONS
from driftline.monitors.results.violation import (
    DRIFT_CHECK,
    Draft,
    Fault,
    FeatureResult,
    SegmentResult,
    Violation,
)
from driftline.monitors.root_cause.faults.context import VIOLATED_MAX, FaultContext
from driftline.monitors.root_cause.faults.conversion import KIND as UNIT_KIND
from driftline.monitors.root_cause.faults.conversion import converted
from driftline.monitors.root_cause.faults.diagnosis import recognised_faults
from driftline.monitors.root_cause.faults.exchanged import exchanged_order
from driftline.monitors.rows import UnfitCounter
from driftline.monitors.rules.outcome import outcome_drafts
from driftline.signature import Column, Signature
from driftline.stats.distances.units import Numbers, UnitChange, one_of, restoring_units

# Columns that capture adds to rows: ids, and what did not fit its type.
OTHER_COLUMNS = frozenset({*ROW_IDS, UNFIT})
SHOWN_UNJUDGED = 5
TIMES_NOTE = (
    "the baseline has no times: drift is judged as if rows were independent; if days or batches "
    "differ by themselves, make it with a timestamp"
)
LOST_NOTE = (
    "the baseline's folder has no counts.parquet, which holds its times: drift is judged as if "
    "rows were independent; make the baseline again"
)
# Rows that the reference hardly has are taken for those that changed.
RARE_SHARE = 0.01
# Prices and temperatures double and triple from season to season.
SLOW_FACTOR = 4.0


def evaluate(context: CheckContext) -> Report:
    """Judge rows that can be read twice."""
    baseline = context.baseline
    _require_own_documents(baseline)
    references = reference_columns(baseline)
    plan = segment_plan(baseline, context.segments)
    budget = context.budget if plan is None else plan.whole(context.budget)
    day_test = kept_day_test(context, budget)
    reading = _read(context, plan, day_test)
    profile, sample = reading.profile, reading.sampler.table()
    signature = without_later_times(baseline.signature, baseline.profile, profile)
    known = baseline.profile.columns if baseline.profile else {}
    counts = _counted(context, reading, day_test, references)
    by_days = judge_days(context, day_test, counts)
    first = context.past.first_windows
    judgement = judge(
        signature,
        baseline.constraints,
        references,
        profile,
        reference_profile=baseline.profile,
        blocks=baseline.blocks if first is None else first.blocks(references),
        keep=_keeper(context),
        length=context.rows.length,
        budget=budget,
        days=by_days,
        implausible=_implausible(context, reading, sample, references),
        counts=counts,
        past=context.past.counts,
    )
    shown = partial(_fault_context, context, references, sample, judgement.drifts)
    faults = recognised_faults(shown([one.feature for one in judgement.drafts]))
    judgement = name_units(with_faults(judgement, faults), sample, known)
    judgement = without_unknown_variation(judgement, first)
    judgement, row_faults = _with_row_faults(judgement, reading, context, counts, budget, shown)
    rules = declared_rules(context)
    signs = sign_drafts(context, profile, judgement, rules, _seasonal(context))
    outcomes = judged_rules(context, rules)
    drafts = (*judgement.drafts, *row_faults, *signs, *outcome_drafts(outcomes))
    judged = replace(judgement, drafts=drafts)
    violations = find_violations(judged, context, references, counts, shown)
    verdicts = _judged_segments(context, signature, plan, reading)
    if verdicts:
        violations = (*violations, *find_segment_violations(verdicts, context))
    statistics = Statistics.from_profile(profile)
    return Report(
        kind="data-quality",
        violations=violations,
        results=with_extents(
            [feature_result(column, profile, judgement) for column in signature.columns],
            known,
            profile.columns,
        ),
        statistics=statistics,
        files={STATISTICS: statistics.to_json()},
        row_count=profile.row_count,
        alpha=judgement.alpha,
        unmetered=baseline.constraints.unmetered(column.name for column in signature.columns),
        details={
            **rule_details(outcomes),
            **day_details(by_days),
            **_notes(context, signature, profile, violations),
            **fit_note(judgement, context.past.counts),
        },
        segments=tuple(_segment(verdict, signature) for verdict in verdicts),
        counts=counts,
        cell_ids={name: baseline.cell_ids[name] for name in counts.cells},
        comparer=lambda name: lay_beside(name, profile, references, judgement.moved(name)),
    )


def _counted(
    context: CheckContext,
    reading: WindowReading,
    day_test: DayTest | None,
    references: Mapping[str, ReferenceColumn],
) -> WindowCounts:
    """Return the window's counts for the tests, and those stored for later windows."""
    facts = context.rows.facts
    start, end = (facts.window.start, facts.window.end) if facts else (None, None)
    before = runs_before(context.past.counts, start)
    counts = WindowCounts.of(reading.profile, start, end, before)
    if context.baseline.profile is not None:
        runs = {name: one.runs for name, one in reading.profile.columns.items()}
        known = context.baseline.profile.columns
        counts = shortened_runs(counts, runs, known, references)
    counted = window_cells(reading.derived, context.baseline.derived)
    counts = replace(counts, cells={**counts.cells, **counted})
    if day_test is None or reading.days is None:
        return counts
    return replace(counts, days=day_test.day_sums(reading.days))


def _notes(
    context: CheckContext,
    signature: Signature,
    profile: Profile,
    violations: Sequence[Violation],
) -> dict[str, str]:
    """Describe what was not judged, and what is unknown of drift in a file."""
    columns = [column for column in signature.columns if column.name in profile.seen]
    shown = [
        f"{column.name} ({column.unjudged})" for column in columns if column.unjudged is not None
    ]
    more = f"; {len(shown) - SHOWN_UNJUDGED} more" if len(shown) > SHOWN_UNJUDGED else ""
    note = f"not judged: {'; '.join(shown[:SHOWN_UNJUDGED])}{more}"
    return {**({"unjudged_note": note} if shown else {}), **_times_note(context, violations)}


def _times_note(context: CheckContext, violations: Sequence[Violation]) -> dict[str, str]:
    """Note that the variation between files is unknown, where drift was found without it.

    A monitor learns it from its windows; a file has none before it.
    """
    is_known = context.rows.facts is not None or context.baseline.blocks is not None
    drifted = any(violation.constraint_check_type == DRIFT_CHECK for violation in violations)
    had_times = context.baseline.signature.event_time is not None
    note = LOST_NOTE if had_times else TIMES_NOTE
    return {"times_note": note} if drifted and not is_known else {}


def _require_own_documents(baseline: Baseline) -> None:
    if not baseline.constraints.features and baseline.documents:
        raise InapplicableKindError(
            f"the baseline holds {', '.join(baseline.documents)} only, which a check of data "
            "quality does not read; give the folder of a data quality baseline, or another kind"
        )


def _implausible(
    context: CheckContext,
    reading: WindowReading,
    sample: pa.Table,
    references: Mapping[str, ReferenceColumn],
) -> list[Implausible]:
    """Find changes that no season can bring."""
    baseline, facts = context.baseline, context.rows.facts
    hours = reading.hours.span_hours(facts.window if facts else None)
    return find_implausible(
        sample,
        references,
        baseline.profile.columns if baseline.profile else {},
        reading.profile.columns,
        {} if baseline.blocks is None else baseline.blocks.days,
        blocks=None if hours is None else baseline.blocks,
        length_h=max(1, round(hours or 1)),
    )


def _seasonal(context: CheckContext) -> frozenset[str]:
    """Name the columns that a season may still change, as the reference's times show."""
    blocks = context.baseline.blocks
    return (frozenset() if blocks is None else blocks.spanning(0)) - seasoned(blocks)


def _read(
    context: CheckContext, plan: SegmentPlan | None, day_test: DayTest | None
) -> WindowReading:
    """Read the rows once, for all counters."""
    baseline, facts = context.baseline, context.rows.facts
    time_column = baseline.signature.event_time if facts is None else context.rows.time_column
    start = partial(
        WindowReading.start,
        baseline.signature,
        baseline.cells,
        context.rows.unfit,
        None if plan is None else plan.counter(baseline.cells),
        time_column,
        day_counter(day_test, time_column),
        _derived_counter(baseline, time_column),
    )
    return context.rows.gather(start)


def _derived_counter(baseline: Baseline, time_column: str | None) -> Callable[[], DerivedCounter]:
    columns = () if baseline.derived is None else baseline.derived.columns
    return partial(DerivedCounter.start, columns, time_column)


def _derived_drafts(
    context: CheckContext,
    reading: WindowReading,
    counts: WindowCounts,
    judgement: Judgement,
    budget: Budget,
) -> list[Draft]:
    """Judge the derived columns; the judgement tells which columns have stronger findings."""
    baseline, first = context.baseline, context.past.first_windows
    known = baseline.derived
    if known is None or not baseline.constraints.monitoring_config.evaluate_constraints:
        return []
    if first is not None:
        known = replace(known, blocks=first.blocks(derived_references(known)))
    past, length = context.past.counts, context.rows.length
    scales = (1,) if past is None else SCALES
    make = partial(derived_test, known, length, budget, scales)
    keep = _keeper(context)
    rule = make() if keep is None else keep(("derived", length, budget, scales), make)
    found = find_derived(known, rule.judge(counts, past or (), all_bounds=False).drifts)
    return derived_drafts(found, judgement, baseline.constraints, reading.time_column)


def _judged_segments(
    context: CheckContext,
    signature: Signature,
    plan: SegmentPlan | None,
    reading: WindowReading,
) -> list[SegmentVerdict]:
    """Judge each segment."""
    if plan is None or reading.segments is None:
        return []
    baseline = replace(context.baseline, signature=signature)
    each = plan.each(context.budget)
    verdicts = judge_segments(
        plan, baseline, reading.segments, reading.profile, length=context.rows.length, budget=each
    )
    return [
        replace(verdict, judgement=without_drift(verdict.judgement, context.past.first_windows))
        for verdict in verdicts
    ]


def _keeper(context: CheckContext) -> Keeper | None:
    """Return the cache of tests between windows, keyed by all that they depend on."""
    drift_tests, first = context.past.drift_tests, context.past.first_windows
    if drift_tests is None:
        return None
    baseline, learnt = context.baseline, () if first is None else first.identity
    return lambda facts, make: drift_tests.get(baseline, (learnt, facts), make)


@dataclass(slots=True)
class WindowReading:
    """What one reading of a window gathers.

    A further field needs `update` for rows and `merge` for other parts, and then works in all
    engines.
    """

    profile: Profile
    sampler: Sampler  # Some rows, for checks that need values beside each other.
    unfit: UnfitCounter | None = None  # Counts, per batch, the values that capture found unfit.
    segments: SegmentCounter | None = None  # None when no segment is judged apart.
    time_column: str | None = None  # With each row's time, where it is known.
    hours: HourCounter = field(default_factory=HourCounter)
    days: DayCounter | None = None  # None when days are not judged.
    derived: DerivedCounter = field(default_factory=DerivedCounter)

    @classmethod
    def start(
        cls,
        signature: Signature,
        cells: Mapping[str, Cells],
        unfit: UnfitCounter | None,
        segments: Callable[[], SegmentCounter] | None,
        time_column: str | None,
        days: Callable[[], DayCounter] | None = None,
        derived: Callable[[], DerivedCounter] = DerivedCounter,
    ) -> WindowReading:
        """Begin without rows."""
        features = [column.name for column in signature.columns if column.role == "feature"]
        own = None if segments is None else segments()
        empty = Profile.empty(signature, cells)
        by_day = None if days is None else days()
        sampler = Sampler(features)
        return cls(empty, sampler, unfit, own, time_column, HourCounter(), by_day, derived())

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        counts = self.unfit(batch) if self.unfit else None
        known = self.profile.columns
        own = [name for name in batch.schema.names if name in known or name not in OTHER_COLUMNS]
        is_timed = self.time_column in batch.schema.names
        order = TimeOrder.of(batch.column(self.time_column)) if is_timed else None
        self.profile.update(batch.select(own), counts, order)
        if self.days is not None and order is not None:
            self.days.update(batch, order)
        if order is not None:
            self.hours.update(order)
        self.sampler.update(batch)
        self.derived.update(batch)
        if self.segments is not None:
            self.segments.update(batch)

    def merge(self, other: WindowReading) -> WindowReading:
        """Return the reading of the rows of both, the other's after these."""
        segments = self.segments
        if segments is not None and other.segments is not None:
            segments = segments.merge(other.segments)
        days = self.days
        if days is not None and other.days is not None:
            days = days.merge(other.days)
        return WindowReading(
            self.profile.merge(other.profile),
            self.sampler.merge(other.sampler),
            self.unfit,
            segments,
            self.time_column,
            self.hours.merge(other.hours),
            days,
            self.derived.merge(other.derived),
        )


def _segment(verdict: SegmentVerdict, signature: Signature) -> SegmentResult:
    """Build one line of the table of segments, with its own lines of features."""
    found = [
        feature_result(column, verdict.profile, verdict.judgement) for column in signature.columns
    ]
    return segment_result(verdict, found)


def feature_result(column: Column, profile: Profile, judgement: Judgement) -> FeatureResult:
    """Build one line of the table of features."""
    name, found = column.name, profile.columns[column.name]
    note = judgement.notes.get(name, "")
    is_judged = note in ("", UNDECIDABLE_GAPS)
    is_shown = is_judged or note in (UNDECIDABLE, BY_DAYS)
    drift = judgement.drifts.get(name) if is_shown else None
    moved = drift if drift and (drift.distance or drift.measured) else None
    return FeatureResult(
        feature=name,
        type=column.type,
        role=column.role,
        row_count=found.row_count,
        missing_count=found.missing_count,
        unfit_count=found.unfit_count,
        distance=drift.distance if drift else None,
        bound=drift.bound if drift and is_judged else None,
        p_value=drift.p_value if drift and not drift.measured else None,
        method=drift.measured.name if drift and drift.measured else "",
        set=moved.predicate.phrase if moved else None,
        share_reference=moved.share_reference if moved else None,
        share_window=moved.share_window if moved else None,
        share_low=moved.share_interval[0] if moved else None,
        share_high=moved.share_interval[1] if moved else None,
        window_count=moved.window_count if moved else None,
        share_alone=share_of(found, moved.predicate) if moved else None,
        design_effect=drift.design_effect if drift else None,
        stability=drift.stability if drift else None,
        jensen_shannon=drift.jensen_shannon if drift else None,
        share_of_blame=judgement.blame.get(name, 0.0),
        note=note,
        remedy=judgement.remedies.get(name, "") if note in REASONS else "",
    )


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


def _with_row_faults(
    judgement: Judgement,
    reading: WindowReading,
    context: CheckContext,
    counts: WindowCounts,
    budget: Budget,
    shown: Callable[[Sequence[str]], FaultContext],
) -> tuple[Judgement, tuple[Draft, ...]]:
    """Find faults of rows, and what they mean for violations of their columns."""
    facts = context.rows.facts
    found: list[Draft] = []
    if context.baseline.constraints.monitoring_config.evaluate_constraints:
        found = lost_hours_drafts(
            reading.hours.hours,
            context.baseline.blocks,
            facts.window if facts else None,
            context.budget.per_window,
        )
        found += converted_numbers_drafts(reading.profile.columns, context, judgement.drafts)
    derived = _derived_drafts(context, reading, counts, judgement, budget)
    kinds: dict[str, Fault] = {}
    for one in derived:
        if one.check == ORDER_CHECK and one.predicate is not None:
            pair = one.predicate.columns[:2]
            fault = exchanged_order(shown(pair), pair, context.baseline.blocks, reading.hours.hours)
            kinds |= {} if fault is None else {one.feature: fault}
    exchanged = {name: one for one in kinds.values() for name in one.columns}
    kinds |= converted(shown([one.feature for one in derived if one.check == DECIMALS_CHECK]))
    found += [replace(one, fault=kinds.get(one.feature)) for one in derived]
    judgement = without_misread_units(with_faults(judgement, exchanged), found)
    return judgement, tuple(found)


def _fault_context(
    context: CheckContext,
    references: Mapping[str, ReferenceColumn],
    sample: pa.Table,
    drifts: Mapping[str, ColumnDrift],
    violated: Sequence[str],
) -> FaultContext:
    """Return the context of fault recognisers."""
    baseline = context.baseline
    return FaultContext(
        tuple(dict.fromkeys(violated))[:VIOLATED_MAX],
        references,
        baseline.profile.columns if baseline.profile else {},
        sample,
        baseline.sample,
        {name: max(one.design_effect, 1.0) for name, one in drifts.items()},
    )
