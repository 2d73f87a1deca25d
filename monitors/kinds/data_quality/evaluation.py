"""The kind "data-quality": profiles and judges a window, then finds the rows behind violations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext
from driftline.monitors.day_test.day_test import DayTest, DayTestResult
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import ReferenceColumn, reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts, runs_before
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.data_quality.baseline_fit import (
    fit_note,
    without_drift,
    without_unknown_variation,
)
from driftline.monitors.kinds.data_quality.derived_checks import (
    DECIMALS_CHECK,
    ORDER_CHECK,
    derived_drafts,
    window_cells,
)
from driftline.monitors.kinds.data_quality.feature_results import feature_results
from driftline.monitors.kinds.data_quality.findings import (
    find_violations,
    with_faults,
    without_misread_units,
)
from driftline.monitors.kinds.data_quality.flatline_check import shortened_runs
from driftline.monitors.kinds.data_quality.judgement import (
    Judgement,
    ProfileChecks,
    without_later_times,
)
from driftline.monitors.kinds.data_quality.lost_hours_check import lost_hours_drafts
from driftline.monitors.kinds.data_quality.range_checks import Implausible, find_implausible
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
from driftline.monitors.kinds.data_quality.signs import sign_drafts
from driftline.monitors.kinds.data_quality.unit_changes import (
    converted_numbers_drafts,
    name_units,
)
from driftline.monitors.kinds.data_quality.window_reading import WindowReading, read_rows
from driftline.monitors.report.comparison import compare_column
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.violation import DRIFT_CHECK, Draft, Fault, JsonValue, Violation
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import converted
from driftline.monitors.root_cause.faults.diagnosis import recognised_faults
from driftline.monitors.root_cause.faults.exchanged import exchanged_order
from driftline.monitors.rules.outcome import outcome_drafts
from driftline.signature import Signature

SHOWN_UNJUDGED = 5
TIMES_NOTE = (
    "the baseline has no times: drift is judged as if rows were independent; if days or batches "
    "differ by themselves, make it with a timestamp"
)
LOST_NOTE = (
    "the baseline's folder has no counts.parquet, which holds its times: drift is judged as if "
    "rows were independent; make the baseline again"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """What was read of a window, and what it is compared with."""

    context: CheckContext
    references: Mapping[str, ReferenceColumn]
    known: Mapping[str, ColumnProfile]  # The reference's profile of each column.
    plan: SegmentPlan | None  # None: no segment is judged apart.
    budget: Budget  # Of all rows; segments have their own.
    day_test: DayTest
    span: Window | None  # None: its rows are of no known window.
    reading: WindowReading
    sample: pa.Table  # Some of its rows.
    signature: Signature  # Without columns whose times have advanced.
    counts: WindowCounts

    @property
    def profile(self) -> Profile:
        """The profile of its rows."""
        return self.reading.profile

    def fault_context(self, judgement: Judgement) -> FaultContext:
        """Return the context of fault recognisers."""
        effects = {name: max(one.design_effect, 1.0) for name, one in judgement.drifts.items()}
        sample = self.context.baseline.sample
        return FaultContext((), self.references, self.known, self.sample, sample, effects)


def evaluate(context: CheckContext) -> Report:
    """Judge rows that can be read twice."""
    baseline = context.baseline
    _require_own_documents(baseline)
    window = _read(context)
    profile, counts, references = window.profile, window.counts, window.references
    by_days = window.day_test.judge(counts, context.past.with_days)
    judgement = _judge(window, by_days)
    faults = window.fault_context(judgement)
    recognised = recognised_faults(faults.of(one.feature for one in judgement.drafts))
    judgement = name_units(with_faults(judgement, recognised), window.sample, window.known)
    judgement = without_unknown_variation(judgement, context.past.first_windows)
    row_faults = _row_faults(window, judgement, faults)
    judgement = _with_exchanges(judgement, row_faults)
    rules = declared_rules(context)
    signs = sign_drafts(context, profile, judgement, rules)
    outcomes = judged_rules(context, rules)
    drafts = (*judgement.drafts, *row_faults, *signs, *outcome_drafts(outcomes))
    violations = find_violations(
        replace(judgement, drafts=drafts), context, references, counts, faults
    )
    verdicts = _judged_segments(window)
    if verdicts:
        violations = (*violations, *find_segment_violations(verdicts, context))
    statistics = Statistics.from_profile(profile)
    return Report(
        kind="data-quality",
        violations=violations,
        results=feature_results(window.signature, profile, judgement, window.known),
        statistics=statistics,
        files={STATISTICS: statistics.to_json()},
        row_count=profile.row_count,
        alpha=judgement.alpha,
        unmetered=baseline.constraints.unmetered(one.name for one in window.signature.columns),
        details={
            **rule_details(outcomes),
            **_day_details(by_days),
            **_notes(window, violations),
            **fit_note(judgement, context.past.counts),
        },
        segments=tuple(segment_result(verdict, window.signature) for verdict in verdicts),
        counts=counts,
        cell_ids={name: baseline.cell_ids[name] for name in counts.cells},
        comparer=lambda name: compare_column(name, profile, references, judgement.moved(name)),
    )


def _require_own_documents(baseline: Baseline) -> None:
    if not baseline.constraints.features and baseline.documents:
        raise InapplicableKindError(
            f"the baseline holds {', '.join(baseline.documents)} only, which a check of data "
            "quality does not read; give the folder of a data quality baseline, or another kind"
        )


def _read(context: CheckContext) -> _Window:
    """Read the rows once, and count them for the tests."""
    baseline, facts = context.baseline, context.rows.facts
    references = reference_columns(baseline)
    plan = segment_plan(baseline, context.segments)
    budget = context.budget if plan is None else plan.whole(context.budget)
    length = context.rows.length
    make_day_test = partial(DayTest.of, baseline, length, budget)
    day_test = context.kept(("days", length, budget), make_day_test)
    reading = read_rows(context, plan, day_test)
    known = {} if baseline.profile is None else baseline.profile.columns
    span = None if facts is None else facts.window
    return _Window(
        context,
        references,
        known,
        plan,
        budget,
        day_test,
        span,
        reading,
        reading.sampler.table(),
        without_later_times(baseline.signature, baseline.profile, reading.profile),
        _counted(context, reading, span, day_test, references),
    )


def _counted(
    context: CheckContext,
    reading: WindowReading,
    span: Window | None,
    day_test: DayTest,
    references: Mapping[str, ReferenceColumn],
) -> WindowCounts:
    """Return the window's counts for the tests, and those stored for later windows."""
    start, end = (None, None) if span is None else (span.start, span.end)
    before, baseline = runs_before(context.past.counts, start), context.baseline
    counts = WindowCounts.of(reading.profile, start, end, before)
    if baseline.profile is not None:
        runs = {name: one.runs for name, one in reading.profile.columns.items()}
        counts = shortened_runs(counts, runs, baseline.profile.columns, references)
    derived = window_cells(reading.derived, baseline.derived)
    days = day_test.day_sums(reading.days) if reading.days.cells else {}
    return replace(counts, cells={**counts.cells, **derived}, days=days)


def _judge(window: _Window, by_days: DayTestResult) -> Judgement:
    context, baseline = window.context, window.context.baseline
    first = context.past.first_windows
    checks = ProfileChecks(
        signature=window.signature,
        constraints=baseline.constraints,
        references=window.references,
        window=window.profile,
        reference=baseline.profile,
        blocks=baseline.blocks if first is None else first.blocks(window.references),
        budget=window.budget,
        length=context.rows.length,
        implausible=_implausible(window),
        days=by_days,
        counts=window.counts,
        past=context.past.counts,
        keep=context.kept,
    )
    return checks.judge()


def _implausible(window: _Window) -> dict[str, Implausible]:
    """Find changes that no season can bring, by column."""
    blocks = window.context.baseline.blocks
    hours = window.reading.hours.span_hours(window.span)
    found = find_implausible(
        window.sample,
        window.references,
        window.known,
        window.profile.columns,
        {} if blocks is None else blocks.days,
        blocks=None if hours is None else blocks,
        length_h=max(1, round(hours or 1)),
    )
    return {one.column: one for one in found}


def _row_faults(window: _Window, judgement: Judgement, faults: FaultContext) -> list[Draft]:
    """Find faults of rows: lost hours, numbers in another unit, and those of derived columns."""
    context, baseline, hours = window.context, window.context.baseline, window.reading.hours.hours
    if not baseline.constraints.monitoring_config.evaluate_constraints:
        return []
    time = window.reading.time_column
    derived = derived_drafts(context, window.counts, judgement, window.budget, time)
    rounded = [one.feature for one in derived if one.check == DECIMALS_CHECK]
    kinds: dict[str, Fault | None] = {**dict(converted(faults.of(rounded)))}
    for one in derived:
        if one.check == ORDER_CHECK and one.predicate is not None:
            pair = one.predicate.columns[:2]
            kinds[one.feature] = exchanged_order(faults, pair, baseline.blocks, hours)
    return [
        *lost_hours_drafts(hours, baseline.blocks, window.span, context.budget.per_window),
        *converted_numbers_drafts(window.profile.columns, context, judgement.drafts),
        *(replace(one, fault=kinds.get(one.feature)) for one in derived),
    ]


def _with_exchanges(judgement: Judgement, row_faults: Sequence[Draft]) -> Judgement:
    """Add to each violation of a column of reversed order that its values are the other's."""
    exchanged = {
        name: one.fault
        for one in row_faults
        if one.check == ORDER_CHECK and one.fault is not None
        for name in one.fault.columns
    }
    return without_misread_units(with_faults(judgement, exchanged), row_faults)


def _judged_segments(window: _Window) -> list[SegmentVerdict]:
    """Judge each segment."""
    context, plan = window.context, window.plan
    if plan is None:
        return []
    verdicts = judge_segments(
        plan,
        replace(context.baseline, signature=window.signature),
        window.reading.segments,
        window.profile,
        length=context.rows.length,
        budget=plan.each(context.budget),
    )
    return [
        replace(verdict, judgement=without_drift(verdict.judgement, context.past.first_windows))
        for verdict in verdicts
    ]


def _day_details(by_days: DayTestResult) -> dict[str, JsonValue]:
    """Return the report's details of the days, where any were judged."""
    if not by_days.judged:
        return {}
    findings: dict[str, JsonValue] = {
        name: {**one.to_dict()} for name, one in by_days.findings.items()
    }
    return {"day_test": {"judged": [*sorted(by_days.judged)], "findings": findings}}


def _notes(window: _Window, violations: Sequence[Violation]) -> dict[str, str]:
    """Describe what was not judged, and what is unknown of drift in a file."""
    seen = window.profile.seen
    columns = [column for column in window.signature.columns if column.name in seen]
    shown = [
        f"{column.name} ({column.unjudged})" for column in columns if column.unjudged is not None
    ]
    more = f"; {len(shown) - SHOWN_UNJUDGED} more" if len(shown) > SHOWN_UNJUDGED else ""
    note = f"not judged: {'; '.join(shown[:SHOWN_UNJUDGED])}{more}"
    return {**({"unjudged_note": note} if shown else {}), **_times_note(window.context, violations)}


def _times_note(context: CheckContext, violations: Sequence[Violation]) -> dict[str, str]:
    """Note that the variation between files is unknown, where drift was found without it.

    A monitor learns it from its windows; a file has none before it.
    """
    is_known = context.rows.facts is not None or context.baseline.blocks is not None
    drifted = any(violation.constraint_check_type == DRIFT_CHECK for violation in violations)
    had_times = context.baseline.signature.event_time is not None
    note = LOST_NOTE if had_times else TIMES_NOTE
    return {"times_note": note} if drifted and not is_known else {}
