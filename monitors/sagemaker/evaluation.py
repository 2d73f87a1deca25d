"""SageMaker's judgement on real rows: read, judge, then look up the rows behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.analyzer import KindCounter, marked, values_of
from driftline.baseline.cells import Cells
from driftline.baseline.constraints import UNJUDGED_ROLES
from driftline.baseline.profile import Profile
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import CONSTRAINTS, STATISTICS, Baseline
from driftline.baseline.suggest import suggest
from driftline.formats.coercion import is_missing
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.kind import InapplicableKindError
from driftline.monitors.kinds.data_quality.findings import rows_behind, violation_of
from driftline.monitors.kinds.data_quality.window_reading import OTHER_COLUMNS
from driftline.monitors.report.comparison import compare_column
from driftline.monitors.report.report import Report
from driftline.monitors.results.feature import FeatureResult, column_state
from driftline.monitors.results.violation import Draft, Violation
from driftline.monitors.root_cause.contributors import (
    ContributingRows,
)
from driftline.monitors.rows import BatchMaker
from driftline.monitors.sagemaker.judgement import Observed, Verdict, judge
from driftline.signature import Signature

# Only what nobody can call a season wakes anybody; SageMaker itself knows no severities.
PAGES = frozenset({"data_type_check", "missing_column_check"})
# Checks of which the most frequent text tells something.
NAMED = frozenset({"data_type_check", "categorical_values_check"})


def evaluate(context: CheckContext) -> Report:
    """Judge rows that can be read more than once as SageMaker would."""
    baseline = context.baseline
    if not baseline.constraints.features:
        raise InapplicableKindError(
            "compat: the baseline has no constraints of data quality; give the folder of a data "
            "quality baseline"
        )
    references = reference_columns(baseline)
    observed, profile = _observe(context)
    roles = {
        column.name: column.role
        for column in baseline.signature.columns
        if column.role in UNJUDGED_ROLES
    }
    verdict = judge(baseline.constraints, baseline.statistics, observed, unjudged=roles)
    rows = _marker(context.rows.batches, verdict, baseline)
    violations = _violations(verdict, rows, context)
    contributions = {violation.feature_name: violation.share_of_blame for violation in violations}
    names = dict.fromkeys(
        [*(feature.name for feature in baseline.constraints.features), *profile.columns]
    )
    return Report(
        kind="data-quality",
        violations=violations,
        results=tuple(_result(name, baseline, observed, verdict, contributions) for name in names),
        statistics=observed.statistics,
        # The analyzer suggests constraints of each window, too.
        files={
            STATISTICS: observed.statistics.to_json(),
            CONSTRAINTS: suggest(profile).to_json(),
        },
        row_count=profile.row_count,
        unmetered=baseline.constraints.unmetered(names),
        batches=rows,
        comparer=lambda name: compare_column(name, profile, references, verdict.moved(name)),
    )


@dataclass(slots=True)
class WindowReading:
    """What is gathered once the types are known."""

    profile: Profile
    domains: Mapping[str, pa.Array]
    inside: dict[str, int]  # Rows by column that hold one of its texts, or nothing.

    @classmethod
    def start(
        cls,
        signature: Signature,
        cells: Mapping[str, Cells],
        domains: Mapping[str, tuple[str, ...]],
    ) -> WindowReading:
        """Begin without rows."""
        texts = {name: pa.array(domain, pa.string()) for name, domain in domains.items()}
        return cls(Profile.empty(signature, cells), texts, dict.fromkeys(domains, 0))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        came = {
            name: values_of(batch, name, column.type)
            for name, column in self.profile.columns.items()
            if name in batch.schema.names
        }
        self.profile.update(pa.RecordBatch.from_arrays(list(came.values()), names=list(came)))
        for name, domain in self.domains.items():
            if name not in came:
                self.inside[name] += batch.num_rows
                continue
            texts = values_of(batch, name, "string")
            known = pc.or_(pc.is_in(texts, value_set=domain), is_missing(texts))
            self.inside[name] += pc.sum(known).as_py() or 0

    def merge(self, other: WindowReading) -> WindowReading:
        """Return what is known of the rows of both, the other's after these."""
        inside = {name: count + other.inside[name] for name, count in self.inside.items()}
        return WindowReading(self.profile.merge(other.profile), self.domains, inside)


def _observe(context: CheckContext) -> tuple[Observed, Profile]:
    """Read the rows twice: for the types, then for everything else."""
    baseline = context.baseline
    kinds = context.rows.gather(partial(KindCounter, OTHER_COLUMNS))
    signature = kinds.signature()
    types = {column.name: column.type for column in signature.columns}
    cells = {name: cell for name, cell in baseline.cells.items() if types.get(name) == cell.type}
    domains = {
        feature.name: feature.domains
        for feature in baseline.constraints.features
        if feature.domains is not None and feature.name in types
    }
    found = context.rows.gather(partial(WindowReading.start, signature, cells, domains))
    statistics = Statistics.from_profile(found.profile)
    return Observed(statistics, kinds, found.inside), found.profile


def _marker(batches: BatchMaker, verdict: Verdict, baseline: Baseline) -> BatchMaker:
    """Return the rows, the values that a type check found wrong marked as unfit."""
    wrong = {
        draft.feature: feature.inferred_type
        for draft in verdict.drafts
        if draft.check == "data_type_check"
        and (feature := baseline.constraints.feature(draft.feature)) is not None
    }

    def read() -> Iterator[pa.RecordBatch]:
        for batch in batches():
            yield marked(batch, wrong)

    return read


def _violations(verdict: Verdict, rows: BatchMaker, context: CheckContext) -> tuple[Violation, ...]:
    """Look up the rows behind each draft, in one pass."""
    drafts = verdict.drafts
    read = replace(context.rows, batches=rows, splitter=None, callers=None)
    behind = rows_behind([(one, None) for one in drafts], read, context.baseline)
    total = sum(draft.share for draft in drafts) or 1.0
    shares: dict[str, float] = {}
    for one in drafts:
        shares[one.feature] = shares.get(one.feature, 0.0) + one.share / total
    return tuple(
        _violation(draft, contributors, shares[draft.feature])
        for draft, contributors in zip(drafts, behind, strict=True)
    )


def _violation(
    draft: Draft, contributors: ContributingRows | None, contribution: float
) -> Violation:
    values = contributors.values if contributors is not None else ()
    mostly = f', mostly "{values[0]}"' if values and draft.check in NAMED else ""
    place = "" if contributors is None else str(contributors.segment or contributors.unplaced)
    return violation_of(
        draft,
        contributors,
        severity="page" if draft.check in PAGES else "ticket",
        share_of_blame=contribution,
        cause=draft.what + mostly + (f", {place}" if place else ""),
    )


def _result(
    name: str,
    baseline: Baseline,
    observed: Observed,
    verdict: Verdict,
    contribution: Mapping[str, float],
) -> FeatureResult:
    """Put one line of the table of features together."""
    feature, column = baseline.constraints.feature(name), baseline.signature.get(name)
    rows, distance = observed.kinds.row_count, verdict.distances.get(name)
    is_there = name in observed.kinds.counts
    present = observed.kinds.present(name) if is_there else 0
    fitting = present
    if is_there and feature is not None and feature.inferred_type != "Unknown":
        fitting = observed.kinds.matching(name, feature.inferred_type)
    note = verdict.notes.get(name, "" if feature is not None else "not in the constraints")
    state, why = column_state(note)
    return FeatureResult(
        feature=name,
        type=observed.kinds.kind(name) if is_there else feature.inferred_type if feature else "",
        role=column.role if column is not None else "feature",
        row_count=rows,
        missing_count=rows - present,
        unfit_count=present - fitting,
        distance=distance.value if distance else None,
        bound=distance.bound if distance else None,
        p_value=distance.p_value if distance else None,
        set=distance.predicate.phrase if distance else None,
        share_reference=distance.share_reference if distance else None,
        share_window=distance.share_window if distance else None,
        share_of_blame=contribution.get(name, 0.0),
        state=state,
        why=why,
    )
