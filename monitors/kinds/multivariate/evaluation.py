"""The kind "joint": whether columns still hang together as in the reference.

Samples of both sides, by cell: correlations of pairs, errors of reconstruction, a classifier that
tells them apart, the model's answers, embeddings and free text, all within one budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from driftline.baseline.sample import RowSample, RowSampler
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.kind import OWN_METRICS
from driftline.monitors.kinds.multivariate.findings import (
    by_source,
    changed_pairs,
    joint_violations,
)
from driftline.monitors.kinds.multivariate.judgement import SHARES, JointJudgement, judge_window
from driftline.monitors.kinds.multivariate.reading import JointReading, traits_of
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import INSUFFICIENT, MetricPoint, MetricResult
from driftline.monitors.results.violation import JsonValue, Severity

# Pairs that are shown.
PAIRS_SHOWN = 10
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
NOT_DUE = "judged of windows of a day or more"
TICKET: Severity = "ticket"


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    baseline = context.baseline
    sample = _sample_of(baseline)
    outputs = [one.name for one in baseline.signature.outputs if one.name in baseline.cells]
    start = partial(
        JointReading.start,
        {name: baseline.cells[name] for name in sample.codes},
        outputs,
        traits_of(baseline),
        sample.derived,
        context.rows.row_count,
    )
    reading = context.rows.gather(start, list(sample.codes))
    rows = reading.sampler.seen
    if rows and not reading.seen:
        raise InputError(
            f"the data have none of the baseline's columns; expected {', '.join(sample.codes)}"
        )
    if not rows:
        return _report(context, (), 0, {})
    found = judge_window(context, sample, reading, _earlier(context, sample))
    missing = sorted(set(sample.codes) - reading.seen)
    return _report(context, _metrics(found), rows, _details(sample, found, missing), found)


def _earlier(context: CheckContext, sample: RowSample) -> RowSample | None:
    """Sample the rows of the windows before."""
    if context.past.rows is None:
        return None
    baseline = context.baseline
    sampler = RowSampler(
        {name: baseline.cells[name] for name in sample.codes},
        "event_time",
        traits=traits_of(baseline),
        known=sample.derived,
    )
    for batch in context.past.rows.batches():
        sampler.update(batch)
    return sampler.result() if sampler.seen else None


def _sample_of(baseline: Baseline) -> RowSample:
    if baseline.sample is None or not len(baseline.sample):
        raise InputError(
            "the baseline holds no sample of its rows, which joint drift is compared with; it is "
            "of constraints alone, of an older driftline, or each of its columns was made anew: "
            "make it again from the reference data (driftline baseline DATA -o FOLDER)"
        )
    return baseline.sample


def _report(
    context: CheckContext,
    metrics: tuple[MetricResult, ...],
    rows: int,
    details: Mapping[str, JsonValue],
    found: JointJudgement | None = None,
) -> Report:
    budget = context.budget
    return Report(
        kind="joint",
        violations=() if found is None else joint_violations(found),
        row_count=rows,
        metrics=metrics,
        points=() if found is None else tuple(_points(found)),
        facts=context.rows.facts,
        baseline_version=context.baseline.version,
        alpha=budget.false_alarms_per_year / budget.windows_per_year,
        details=details,
        batches=context.rows.batches,
    )


def _metrics(found: JointJudgement) -> tuple[MetricResult, ...]:
    return (
        *_pair_metrics(found),
        _reconstruction_metric(found),
        _domain_metric(found),
        *_drift_metrics("prediction_drift", found.answers.drifts, found.answers.notes),
        *_derived_metrics(found),
    )


def _pair_metrics(found: JointJudgement) -> Iterator[MetricResult]:
    pairs = changed_pairs(found)[:PAIRS_SHOWN]
    if not pairs and len(found.plan) > 1:
        yield MetricResult("correlation", None, note=INSUFFICIENT, count=len(found.window))
    for one in pairs:
        yield MetricResult(
            name="correlation",
            label=f"{one.first.column} × {one.second.column}",
            value=one.window,
            low=one.low,
            high=one.high,
            reference=one.reference,
            bound=one.bound,
            operator=ABOVE if one.bound > one.reference else BELOW,
            p_value=one.p_value,
            count=one.row_count,
            severity=TICKET if one.drifted else None,
        )


def _reconstruction_metric(found: JointJudgement) -> MetricResult:
    one, rows = found.reconstruction, len(found.window)
    if one is None:
        return MetricResult("reconstruction_error", None, count=rows, note=INSUFFICIENT)
    return MetricResult(
        name="reconstruction_error",
        value=one.ratio,
        low=one.low,
        high=one.high,
        reference=1.0,
        bound=one.bound,
        operator=ABOVE if one.bound > 1 else BELOW,
        p_value=one.p_value,
        count=rows,
        severity=TICKET if one.drifted else None,
    )


def _domain_metric(found: JointJudgement) -> MetricResult:
    one = found.domain
    if one is None:
        note = INSUFFICIENT if found.is_domain_due else NOT_DUE
        return MetricResult("domain_auc", None, count=len(found.window), note=note)
    return MetricResult(
        name="domain_auc",
        value=one.auc,
        low=one.low,
        high=one.high,
        reference=one.usual,
        bound=one.bound,
        operator=ABOVE,
        p_value=one.p_value,
        count=one.row_count,
        severity=TICKET if one.drifted else None,
    )


def _derived_metrics(found: JointJudgement) -> Iterator[MetricResult]:
    known = found.window.derived
    if known is None:
        return
    ranked = by_source(known, found.derived.drifts)
    for source in dict.fromkeys(known.sources.values()):
        name = "text_drift" if source in known.vocabularies else "embedding_drift"
        if source in ranked:
            first = ranked[source][0]
            notes = found.derived.notes
            told = {source: notes[first.column]} if first.column in notes else {}
            yield from _drift_metrics(name, {source: first}, told)
        else:
            yield MetricResult(name, None, label=source, note=INSUFFICIENT)


def _drift_metrics(
    name: str, drifts: Mapping[str, ColumnDrift], notes: Mapping[str, str]
) -> Iterator[MetricResult]:
    """Show distances, each with the 95 % interval of the window's share around it."""
    for column, one in drifts.items():
        half = (one.share_interval[1] - one.share_interval[0]) / 2
        yield MetricResult(
            name=name,
            label=column,
            value=one.distance,
            low=max(0.0, one.distance - half),
            high=one.distance + half,
            bound=None if column in notes else one.bound,
            operator="" if column in notes else ABOVE,
            p_value=None if column in notes else one.p_value,
            note=notes.get(column, ""),
            severity=TICKET if one.drifted else None,
        )
    for column, note in notes.items():
        if column not in drifts:
            yield MetricResult(name, None, label=column, note=note)


def _points(found: JointJudgement) -> Iterator[MetricPoint]:
    """Give one number of each question for the metric store."""
    if found.pairs:
        strongest = max(one.ratio for one in found.pairs)
        yield MetricPoint(OWN_METRICS, "joint_correlation_ratio", strongest)
    if found.reconstruction is not None:
        yield MetricPoint(OWN_METRICS, "joint_reconstruction_error", found.reconstruction.ratio)
    if found.domain is not None:
        yield MetricPoint(OWN_METRICS, "joint_domain_auc", found.domain.auc)
    drifts = [*found.answers.drifts.items(), *found.derived.drifts.items()]
    if drifts:
        ratio = max(one.distance / one.bound for _, one in drifts)
        yield MetricPoint(OWN_METRICS, "joint_share_ratio", ratio)


def _details(sample: RowSample, found: JointJudgement, missing: list[str]) -> dict[str, JsonValue]:
    """Tell what the numbers rest on."""
    domain, rebuilt = found.domain, found.reconstruction
    return {
        "sampled_rows": {"reference": len(sample), "window": len(found.window)},
        "reference_blocks": found.block_count,
        "span_rows": {str(windows): rows for windows, rows in found.span_rows.items()},
        "missing_columns": list[JsonValue](missing),
        "budget_shares": dict[str, JsonValue](SHARES),
        "reconstruction_columns": {} if rebuilt is None else dict(rebuilt.columns),
        "domain_columns": {} if domain is None else dict(domain.columns),
    }
