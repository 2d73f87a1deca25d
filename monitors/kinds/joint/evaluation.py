"""The kind "joint": whether columns are related as in the reference.

It compares samples of both sides, by cell: correlations, a domain classifier, embeddings and free
text, within one budget. Predictions are columns like others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from driftline.baseline.derived import UNKNOWN_WORDS
from driftline.baseline.derived_rows import DerivedRows
from driftline.baseline.sample import RowSample
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.kind import OWN_METRICS, InapplicableKindError
from driftline.monitors.kinds.joint.classifier import Domain
from driftline.monitors.kinds.joint.correlation import PairChange
from driftline.monitors.kinds.joint.judgement import JointJudgement, judge_window
from driftline.monitors.kinds.joint.reading import JointReading
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured, MetricPoint, lacking
from driftline.monitors.results.verdict import ABOVE, BELOW
from driftline.monitors.results.violation import (
    JsonValue,
    Severity,
    Violation,
    percent,
    plural,
    share_blame,
)
from driftline.monitors.state import State

# Pairs that are shown.
PAIRS_SHOWN = 10
NOT_DUE = "judged of windows of a day or more"
TOLD_APART = "blocks of the reference are told apart as well"
TICKET: Severity = "ticket"
CORRELATION = "correlation_drift_check"
DOMAIN = "domain_drift_check"
EMBEDDING, TEXT = "embedding_drift_check", "text_drift_check"
ALL_COLUMNS = "all columns"
# Pairs that are told one by one.
PAIRS_TOLD = 5
ORDER_NOTE = (
    "the baseline has no times: how much its rows vary by themselves is told by their order; if "
    "they are not in the order in which they came, make it with a timestamp"
)
TIMES_NOTE = (
    "the baseline has no times and too few rows: rows are judged as if they were independent; if "
    "days or batches differ by themselves, make it with a timestamp"
)


Found = tuple[Violation, float]


def evaluate(context: CheckContext) -> Report:
    """Judge a window."""
    baseline = context.baseline
    sample = _sample_of(baseline)
    start = partial(
        JointReading.start,
        {name: baseline.cells[name] for name in sample.codes},
        context.rows.row_count,
    )
    reading = context.rows.gather(start, list(sample.codes))
    rows = reading.rows.seen
    if rows and not reading.seen:
        raise InputError(
            f"the data have none of the baseline's columns; expected {', '.join(sample.codes)}"
        )
    known = Report(kind="joint", violations=(), row_count=rows, alpha=context.budget.per_window)
    if not rows:
        return known
    found = judge_window(context, sample, reading)
    violations = joint_violations(found)
    missing = sorted(set(sample.codes) - reading.seen)
    details: dict[str, JsonValue] = {
        "sampled_rows": {"reference": len(sample), "window": len(found.window)},
        "reference_blocks": found.block_count,
        "span_rows": {str(windows): rows for windows, rows in found.span_rows.items()},
        "missing_columns": list[JsonValue](missing),
        "domain_columns": {} if found.domain is None else dict(found.domain.columns),
    }
    if sample.hours is None and violations:
        details["times_note"] = ORDER_NOTE if found.block_count else TIMES_NOTE
    return replace(
        known,
        violations=violations,
        metrics=(
            *_pair_metrics(found),
            _domain_metric(found),
            *_derived_metrics(found),
            *(lacking("correlation", name) for name in missing),
        ),
        points=tuple(_points(found)),
        details=details,
    )


def _sample_of(baseline: Baseline) -> RowSample:
    if baseline.sample is None or not len(baseline.sample):
        raise InapplicableKindError(
            "the baseline holds no sample of its rows, which joint drift is compared with; it is "
            "of constraints alone, or each of its columns was made anew: "
            "make it again from the reference data (driftline baseline DATA -o FOLDER)"
        )
    return baseline.sample


def _pair_metrics(found: JointJudgement) -> Iterator[Measured]:
    if not found.pairs and len(found.window.codes) > 1:
        yield Measured("correlation", count=len(found.window), state=State.INSUFFICIENT)
    for pair in found.pairs[:PAIRS_SHOWN]:
        label = f"{pair.first.column} × {pair.second.column}"
        yield _judged("correlation", pair, pair.window, pair.reference, label)


def _domain_metric(found: JointJudgement) -> Measured:
    one = found.domain
    if one is None:
        state, why = (State.INSUFFICIENT, "") if found.is_domain_due else (State.SHOWN, NOT_DUE)
        return Measured("domain_auc", count=len(found.window), state=state, why=why)
    judged = _judged("domain_auc", one, one.auc, one.usual)
    judged = replace(judged, operator=ABOVE)
    if one.bound < 1.0:
        return judged
    # The bound is one that nothing could break.
    return replace(judged, bound=None, p_value=None, state=State.TOO_VARIABLE, why=TOLD_APART)


def _judged(
    name: str,
    verdict: PairChange | Domain,
    value: float,
    reference: float,
    label: str = "",
) -> Measured:
    return Measured(
        name=name,
        label=label,
        value=value,
        low=verdict.low,
        high=verdict.high,
        reference=reference,
        bound=verdict.bound,
        operator=ABOVE if verdict.bound > reference else BELOW,
        p_value=verdict.p_value,
        count=verdict.row_count,
        severity=TICKET if verdict.drifted else None,
    )


def _derived_metrics(found: JointJudgement) -> Iterator[Measured]:
    """Show the strongest distance of each embedding and text, or why there is none."""
    known = found.window.derived
    if known is None:
        return
    ranked = _by_source(known, found.derived.drifts)
    for source in dict.fromkeys(known.sources.values()):
        name = "text_drift" if source in known.vocabularies else "embedding_drift"
        if source not in ranked:
            yield Measured(name, label=source, state=State.INSUFFICIENT)
            continue
        one = ranked[source][0]
        note = found.derived.notes.get(one.column)
        # The window's share has a 95% interval; so wide is the distance's.
        half = (one.share_interval[1] - one.share_interval[0]) / 2
        yield Measured(
            name=name,
            label=source,
            value=one.distance,
            low=max(0.0, one.distance - half),
            high=one.distance + half,
            bound=None if note else one.bound,
            operator="" if note else ABOVE,
            p_value=None if note else one.p_value,
            state=State(note or State.JUDGED),
            severity=TICKET if one.drifted else None,
        )


def _points(found: JointJudgement) -> Iterator[MetricPoint]:
    """Return one number of each test for the metric store."""
    if found.pairs:
        strongest = max(pair.ratio for pair in found.pairs)
        yield MetricPoint(OWN_METRICS, "joint_correlation_ratio", strongest)
    if found.domain is not None:
        yield MetricPoint(OWN_METRICS, "joint_domain_auc", found.domain.auc)
    if found.derived.drifts:
        ratio = max(one.distance / one.bound for one in found.derived.drifts.values())
        yield MetricPoint(OWN_METRICS, "joint_share_ratio", ratio)


def joint_violations(found: JointJudgement) -> tuple[Violation, ...]:
    """Return the violations, greatest contribution first."""
    violations = [*_pairs(found), *_derived(found)]
    if found.domain is not None and found.domain.drifted:
        violations.append(_told_apart(found.domain))
    return share_blame(violations)


def _pairs(found: JointJudgement) -> Iterator[Found]:
    drifted = [one for one in found.pairs if one.drifted]
    left = len(drifted) - PAIRS_TOLD
    more = f"; and {plural(left, 'other pair')} of columns" if left > 0 else ""
    for one in drifted[:PAIRS_TOLD]:
        names = f"{one.first.column} × {one.second.column}"
        # Levels of texts are values of rows: the cause alone quotes them.
        levels = "" if one.name == names else f" ({one.name})"
        over = f" over {one.windows} windows" if one.windows > 1 else ""
        yield _violation(
            names,
            CORRELATION,
            f"Correlation drift: {one.window:.2f} is beyond {one.bound:.2f} "
            f"(reference {one.reference:.2f})",
            f"correlation {one.reference:.2f} → {one.window:.2f}{levels}{over}, 95% "
            f"interval {one.low:.2f} to {one.high:.2f}{more}",
            one.ratio,
            one.evidence - one.needed,
        )
        more = ""


def _told_apart(one: Domain) -> Found:
    by = ", ".join(name for name, _ in one.columns)
    usual = f"; {one.usual:.2f} is usual among {one.blocks} blocks of the reference"
    return _violation(
        ALL_COLUMNS,
        DOMAIN,
        f"Domain drift: AUC {one.auc:.3f} is beyond {one.bound:.3f}",
        f"a classifier tells these rows from the reference's: AUC {one.auc:.2f}, 95% interval "
        f"{one.low:.2f} to {one.high:.2f}{usual if one.blocks else ''}; by {by or 'many columns'}",
        (one.auc - 0.5) / (one.bound - 0.5),
        one.evidence - one.needed,
    )


def _derived(found: JointJudgement) -> Iterator[Found]:
    known = found.window.derived
    if known is None:
        return
    for source, ranked in _by_source(known, found.derived.drifts).items():
        one, count = ranked[0], sum(drift.drifted for drift in ranked)
        if not count:
            continue
        trait, check = one.column.removeprefix(f"{source}·"), EMBEDDING
        seen = "its norm:" if trait == "norm" else f"seen from direction {trait}:"
        if source in known.vocabularies:
            check, seen = TEXT, f"share of {trait}" if trait == UNKNOWN_WORDS else trait
        what = check.removesuffix("_check").replace("_", " ").capitalize()
        yield _violation(
            source,
            check,
            f"{what}: distance {one.distance:.4f} exceeds {one.bound:.4f}",
            f"{seen} {_shares(one)}; {count} of {len(ranked)} looked at have changed",
            one.distance / one.bound,
            one.likelihood_ratio - one.critical_value,
        )


def _by_source(
    known: DerivedRows, drifts: Mapping[str, ColumnDrift]
) -> dict[str, list[ColumnDrift]]:
    """Return the verdicts of derived columns by their source column, the strongest first."""
    found: dict[str, list[ColumnDrift]] = {}
    for one in sorted(drifts.values(), key=lambda one: (not one.drifted, -one.likelihood_ratio)):
        found.setdefault(known.sources[one.column], []).append(one)
    return found


def _violation(
    name: str, check: str, description: str, cause: str, ratio: float, excess: float
) -> Found:
    """Return a violation with its evidence beyond the critical value, in nats."""
    return Violation(name, check, description, TICKET, ratio, cause=cause), excess


def _shares(one: ColumnDrift) -> str:
    low, high = one.share_interval
    return (
        f"{one.predicate.phrase} in {percent(one.share_window)} of rows (95% interval "
        f"{percent(low)} to {percent(high)}), {percent(one.share_reference)} in the reference"
    )
