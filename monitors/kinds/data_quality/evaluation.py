"""The kind "data-quality" on real rows: profile and judge, then look up the rows behind it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.predicate import Predicate
from driftline.baseline.profile import Profile
from driftline.baseline.segments import SegmentCounter
from driftline.baseline.statistics import Statistics
from driftline.capture.windows.window import ROW_IDS, UNFIT
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.detectability import UNDECIDABLE
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.reference_columns import reference_columns
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.effect_size import with_extents
from driftline.monitors.kinds.data_quality.findings import find_violations
from driftline.monitors.kinds.data_quality.judgement import Judgement, Keeper, judge
from driftline.monitors.kinds.data_quality.range_checks import Sampler, find_implausible
from driftline.monitors.kinds.data_quality.rule_outcomes import declared, judged_rules, rule_details
from driftline.monitors.kinds.data_quality.segments import (
    SegmentPlan,
    SegmentVerdict,
    find_segment_violations,
    judge_segments,
    segment_plan,
    segment_result,
)
from driftline.monitors.kinds.data_quality.suppressed_drift import hold_back, without_held
from driftline.monitors.kinds.data_quality.unit_naming import name_units
from driftline.monitors.report.comparison import Comparison, compare
from driftline.monitors.report.report import STATISTICS, Report
from driftline.monitors.results.segment_result import SegmentResult
from driftline.monitors.results.violation import FeatureResult, Violation
from driftline.monitors.rows import UnfitCounter
from driftline.monitors.rules.ruleset import RuleCounters, RuleSet, outcome_drafts
from driftline.monitors.warm_up.production import production_blocks
from driftline.monitors.warm_up.warm_up import Finding
from driftline.signature import Column, Signature

# Columns of captured rows that are none of the data.
OTHER_COLUMNS = frozenset({*ROW_IDS, UNFIT})
SHOWN_UNJUDGED = 5
TIMES_NOTE = (
    "the baseline has no times: drift is judged as if rows were independent; if days or batches "
    "differ by themselves, make it with --timestamp"
)
LOST_NOTE = (
    "the baseline's folder has no profile.arrow, which holds its times: drift is judged as if rows "
    "were independent; make the baseline again"
)


def evaluate(context: CheckContext) -> Report:
    """Judge rows that can be read twice."""
    baseline, batches, facts = context.baseline, context.rows.batches, context.rows.facts
    if not baseline.constraints.features and baseline.documents:
        raise InputError(
            f"the baseline holds {', '.join(baseline.documents)} only, which a check of data "
            "quality does not read; give the folder of a data quality baseline, or --kind"
        )
    references = reference_columns(baseline)
    plan = segment_plan(baseline, context.segments)
    reading = _read(context, plan)
    profile, sample = reading.profile, reading.sampler.table()
    known = baseline.profile.columns if baseline.profile else {}
    counts = WindowCounts.of(profile, *((facts.window.start, facts.window.end) if facts else ()))
    judgement = judge(
        baseline.signature,
        baseline.constraints,
        references,
        profile,
        reference_profile=baseline.profile,
        blocks=_blocks(context, references),
        keep=_keeper(context),
        length=context.rows.length,
        budget=context.budget if plan is None else plan.whole(context.budget),
        implausible=find_implausible(sample, references, known, profile.columns),
        counts=counts,
        past=context.past.counts,
    )
    judgement, finding = hold_back(judgement, context.past.commission, counts, references, baseline)
    judgement = name_units(judgement, sample, known)
    outcomes = judged_rules(
        reading.rules, baseline, judgement, is_captured=bool(context.rows.unfit)
    )
    drafts = (*judgement.drafts, *outcome_drafts(outcomes))
    violations = find_violations(replace(judgement, drafts=drafts), context, references, counts)
    verdicts = _judged_segments(context, plan, reading, finding)
    if verdicts:
        violations = (*violations, *find_segment_violations(verdicts, context))
    statistics = Statistics.from_profile(profile)
    details = dict(rule_details(outcomes))
    if finding is not None:
        details["commissioning"] = finding.to_dict()
    return Report(
        kind="data-quality",
        violations=violations,
        results=with_extents(
            [_result(one, profile, judgement) for one in baseline.signature.columns],
            known,
            profile.columns,
        ),
        statistics=statistics,
        files={STATISTICS: statistics.to_json()},
        row_count=profile.row_count,
        facts=facts,
        baseline_version=baseline.version,
        alpha=judgement.alpha,
        unmetered=baseline.constraints.unmetered(one.name for one in baseline.signature.columns),
        details={**details, **_notes(context, profile, violations)},
        commissioning=finding,
        segments=tuple(_segment(one, baseline.signature) for one in verdicts),
        counts=counts,
        cell_ids={name: baseline.cells[name].id for name in counts.cells},
        batches=batches,
        references=references,
        comparer=lambda name: lay_beside(name, profile, references, judgement.moved(name)),
    )


def _notes(
    context: CheckContext, profile: Profile, violations: Sequence[Violation]
) -> dict[str, str]:
    """Say what was not judged, and what nobody knows of drift in a file."""
    columns = [one for one in context.baseline.signature.columns if one.name in profile.seen]
    shown = [f"{one.name} ({one.unjudged})" for one in columns if one.unjudged is not None]
    more = f"; {len(shown) - SHOWN_UNJUDGED} more" if len(shown) > SHOWN_UNJUDGED else ""
    note = f"not judged: {'; '.join(shown[:SHOWN_UNJUDGED])}{more}"
    return {**({"unjudged_note": note} if shown else {}), **_times_note(context, violations)}


def _times_note(context: CheckContext, violations: Sequence[Violation]) -> dict[str, str]:
    """Say of drift in a file that nobody knows how much such files vary, where that is so.

    A monitor finds it out by its windows; a file has none before it.
    """
    is_known = context.rows.facts is not None or context.baseline.blocks is not None
    drifted = any(one.constraint_check_type == "baseline_drift_check" for one in violations)
    had_times = context.baseline.signature.event_time is not None
    note = LOST_NOTE if had_times else TIMES_NOTE
    return {"times_note": note} if drifted and not is_known else {}


def _read(context: CheckContext, plan: SegmentPlan | None) -> WindowReading:
    """Read the rows once, for all that is to be known of them."""
    baseline, facts = context.baseline, context.rows.facts
    moment = facts.window.end if facts else datetime.now(UTC)
    start = partial(
        WindowReading.start,
        baseline.signature,
        baseline.cells,
        context.rows.unfit,
        declared(context).starter(moment),
        None if plan is None else plan.counter(baseline.cells),
    )
    return context.rows.gather(start)


def _judged_segments(
    context: CheckContext,
    plan: SegmentPlan | None,
    reading: WindowReading,
    finding: Finding | None,
) -> list[SegmentVerdict]:
    """Judge each segment apart, without what a baseline that never fitted holds back."""
    if plan is None or reading.segments is None:
        return []
    baseline, each = context.baseline, plan.each(context.budget)
    verdicts = judge_segments(
        plan, baseline, reading.segments, reading.profile, length=context.rows.length, budget=each
    )
    has_times = baseline.blocks is not None
    return [
        replace(
            one,
            judgement=without_held(
                one.judgement, context.past.commission, finding, has_times=has_times
            ),
        )
        for one in verdicts
    ]


def _keeper(context: CheckContext) -> Keeper | None:
    """Give what keeps the rule from window to window: by all that it is laid out of."""
    if context.past.deciders is None:
        return None
    deciders, commission, version = (
        context.past.deciders,
        context.past.commission,
        context.baseline.version,
    )
    has_times = context.baseline.blocks is not None
    learnt: tuple[Hashable, ...] = ()
    if commission is not None and commission.learns_variation(has_times=has_times):
        # These windows may be judged anew, and of each monitor they are others.
        learnt = (
            commission.monitor,
            *((one.start, one.row_count) for one in commission.history),
        )
    return lambda facts, make: deciders.get((version, learnt, facts), make)


def _blocks(context: CheckContext, references: Mapping[str, ReferenceColumn]) -> BlockCounts | None:
    """Give what tells how windows vary: the reference by the hour, or production's own windows."""
    blocks, commission = context.baseline.blocks, context.past.commission
    if commission is not None and commission.learns_variation(has_times=blocks is not None):
        return production_blocks(commission.history, references)
    return blocks


def lay_beside(
    name: str,
    profile: Profile,
    references: Mapping[str, ReferenceColumn],
    moved: Predicate | None,
) -> Comparison | None:
    """Lay one column's counts beside the reference's; none for one that was not counted."""
    reference, found = references.get(name), profile.columns.get(name)
    if reference is None or found is None or found.cell_counts is None:
        return None
    counts = np.rint(reference.counts).astype(np.int64)
    return compare(reference.cells, counts, found.cell_counts, moved=moved)


@dataclass(slots=True)
class WindowReading:
    """What is gathered while a window is read.

    Whatever else one reading is to find out comes in here as one more field: with `update` for
    rows and `merge` for the rows of another part, it works in all engines.

    Parameters
    ----------
    profile
        The summary of each column, counted on the reference's cells.
    sampler
        Some rows, for what needs values beside each other.
    unfit
        Counts, per batch, the values that capture found unfit.
    rules
        What was counted for each declared rule.
    segments
        The rows of each segment on its own; None where none is judged apart.
    """

    profile: Profile
    sampler: Sampler
    unfit: UnfitCounter | None = None
    rules: RuleCounters = field(default_factory=lambda: RuleSet().start())
    segments: SegmentCounter | None = None

    @classmethod
    def start(
        cls,
        signature: Signature,
        cells: Mapping[str, Cells],
        unfit: UnfitCounter | None,
        rules: Callable[[], RuleCounters],
        segments: Callable[[], SegmentCounter] | None,
    ) -> WindowReading:
        """Begin without rows."""
        features = [one.name for one in signature.columns if one.role == "feature"]
        own = None if segments is None else segments()
        return cls(Profile.empty(signature, cells), Sampler(features), unfit, rules(), own)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        counts = self.unfit(batch) if self.unfit else None
        known = self.profile.columns
        own = [name for name in batch.schema.names if name in known or name not in OTHER_COLUMNS]
        self.profile.update(batch.select(own), counts)
        self.sampler.update(batch)
        self.rules.update(batch)
        if self.segments is not None:
            self.segments.update(batch)

    def merge(self, other: WindowReading) -> WindowReading:
        """Give what is known of the rows of both, the other's after these."""
        segments = self.segments
        if segments is not None and other.segments is not None:
            segments = segments.merge(other.segments)
        return WindowReading(
            self.profile.merge(other.profile),
            self.sampler.merge(other.sampler),
            self.unfit,
            self.rules.merge(other.rules),
            segments,
        )


def _segment(verdict: SegmentVerdict, signature: Signature) -> SegmentResult:
    """Put one line of the table of segments together, with its own lines of features."""
    found = [_result(one, verdict.profile, verdict.judgement) for one in signature.columns]
    return segment_result(verdict, found)


def _result(column: Column, profile: Profile, judgement: Judgement) -> FeatureResult:
    """Put one line of the table of features together."""
    name, found = column.name, profile.columns[column.name]
    note = judgement.notes.get(name, "")
    drift = None if note not in ("", UNDECIDABLE) else judgement.drifts.get(name)
    return FeatureResult(
        feature=name,
        type=column.type,
        role=column.role,
        row_count=found.row_count,
        missing_count=found.missing_count,
        unfit_count=found.unfit_count,
        distance=drift.distance if drift else None,
        # A bound that nothing can exceed is none.
        bound=drift.bound if drift and not note else None,
        p_value=drift.p_value if drift else None,
        set=drift.predicate.phrase if drift else None,
        share_reference=drift.share_reference if drift else None,
        share_window=drift.share_window if drift else None,
        share_low=drift.share_interval[0] if drift else None,
        share_high=drift.share_interval[1] if drift else None,
        design_effect=drift.design_effect if drift else None,
        stability=drift.stability if drift else None,
        jensen_shannon=drift.jensen_shannon if drift else None,
        share_of_blame=judgement.blame.get(name, 0.0),
        note=note,
    )
