"""SageMaker's judgement on real rows: read, judge, then look up the rows behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.analyzer import KindCounter, marked, values_of
from driftline.baseline.cells import Cells
from driftline.baseline.profile import Profile
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import CONSTRAINTS, STATISTICS, Baseline
from driftline.baseline.suggest import suggest
from driftline.errors import InputError
from driftline.formats.coercion import is_missing
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.reference_columns import reference_columns
from driftline.monitors.kinds.data_quality.evaluation import (
    OTHER_COLUMNS,
    lay_beside,
)
from driftline.monitors.kinds.data_quality.judgement import UNJUDGED
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Draft, FeatureResult, Violation
from driftline.monitors.root_cause.contributors import Culprits, Target, find_culprits
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
        raise InputError(
            "compat: the baseline has no constraints of data quality; give the folder of a data "
            "quality baseline"
        )
    references = reference_columns(baseline)
    observed, profile = _observe(context)
    roles = {one.name: one.role for one in baseline.signature.columns if one.role in UNJUDGED}
    ties = context.compat is not None and context.compat.deequ_ties
    verdict = judge(
        baseline.constraints, baseline.statistics, observed, unjudged=roles, deequ_ties=ties
    )
    rows = _marker(context.rows.batches, verdict, baseline)
    violations = _violations(verdict, rows, profile)
    blamed = {one.feature_name: one.share_of_blame for one in violations}
    names = dict.fromkeys([*(one.name for one in baseline.constraints.features), *profile.columns])
    return Report(
        kind="data-quality",
        violations=violations,
        results=tuple(_result(name, baseline, observed, verdict, blamed) for name in names),
        statistics=observed.statistics,
        # The analyzer suggests constraints of each window, too.
        files={
            STATISTICS: observed.statistics.to_json(),
            CONSTRAINTS: suggest(profile).to_json(),
        },
        row_count=profile.row_count,
        facts=context.rows.facts,
        baseline_version=baseline.version,
        unmetered=baseline.constraints.unmetered(names),
        details={"compat": {"deequ_ties": ties}},
        batches=rows,
        comparer=lambda name: lay_beside(name, profile, references, verdict.moved(name)),
    )


@dataclass(slots=True)
class WindowReading:
    """What is gathered once the types are known.

    Parameters
    ----------
    profile
        The summary of each column.
    domains
        Allowed texts by column.
    inside
        Rows by column that hold one of them, or nothing.
    """

    profile: Profile
    domains: Mapping[str, pa.Array]
    inside: dict[str, int]

    @classmethod
    def start(
        cls,
        signature: Signature,
        cells: Mapping[str, Cells],
        domains: Mapping[str, tuple[str, ...]],
    ) -> WindowReading:
        """Begin without rows."""
        texts = {name: pa.array(one, pa.string()) for name, one in domains.items()}
        return cls(Profile.empty(signature, cells), texts, dict.fromkeys(domains, 0))

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        came = {
            name: values_of(batch, name, one.type)
            for name, one in self.profile.columns.items()
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
        """Give what is known of the rows of both, the other's after these."""
        inside = {name: count + other.inside[name] for name, count in self.inside.items()}
        return WindowReading(self.profile.merge(other.profile), self.domains, inside)


def _observe(context: CheckContext) -> tuple[Observed, Profile]:
    """Read the rows twice: for the types, then for everything else."""
    baseline = context.baseline
    kinds = context.rows.gather(partial(KindCounter, OTHER_COLUMNS))
    signature = kinds.signature()
    types = {one.name: one.type for one in signature.columns}
    cells = {name: one for name, one in baseline.cells.items() if types.get(name) == one.type}
    domains = {
        one.name: one.domains
        for one in baseline.constraints.features
        if one.domains is not None and one.name in types
    }
    found = context.rows.gather(partial(WindowReading.start, signature, cells, domains))
    statistics = Statistics.from_profile(found.profile)
    return Observed(statistics, kinds, found.inside), found.profile


def _marker(batches: BatchMaker, verdict: Verdict, baseline: Baseline) -> BatchMaker:
    """Give the rows, the values that a type check found wrong marked as unfit."""
    wrong = {
        one.feature: feature.inferred_type
        for one in verdict.drafts
        if one.check == "data_type_check"
        and (feature := baseline.constraints.feature(one.feature)) is not None
    }

    def read() -> Iterator[pa.RecordBatch]:
        for batch in batches():
            yield marked(batch, wrong)

    return read


def _violations(verdict: Verdict, rows: BatchMaker, profile: Profile) -> tuple[Violation, ...]:
    """Look up the rows behind each draft, in one pass."""
    drafts = verdict.drafts
    targets = [
        Target(one.predicate, one.share_reference) for one in drafts if one.predicate is not None
    ]
    texts = [name for name, one in profile.columns.items() if one.type in ("string", "bool")]
    left = iter(find_culprits(rows(), targets, texts) if targets else ())
    total = sum(one.share for one in drafts) or 1.0
    blame: dict[str, float] = {}
    for one in drafts:
        blame[one.feature] = blame.get(one.feature, 0.0) + one.share / total
    return tuple(
        _violation(one, next(left) if one.predicate is not None else None, blame[one.feature])
        for one in drafts
    )


def _violation(draft: Draft, culprits: Culprits | None, blame: float) -> Violation:
    values = culprits.values if culprits is not None else ()
    mostly = f', mostly "{values[0]}"' if values and draft.check in NAMED else ""
    segment = culprits.segment if culprits is not None else None
    return Violation(
        feature_name=draft.feature,
        constraint_check_type=draft.check,
        description=draft.description,
        severity="page" if draft.check in PAGES else "ticket",
        ratio=draft.ratio,
        share_of_blame=blame,
        predicate=draft.predicate,
        row_count=culprits.row_count if culprits is not None else 0,
        cause=draft.what + mostly + (f", {segment}" if segment is not None else ""),
        segment=segment,
        values=values,
        first_rows=tuple(culprits.first_rows) if culprits is not None else (),
    )


def _result(
    name: str,
    baseline: Baseline,
    observed: Observed,
    verdict: Verdict,
    blame: Mapping[str, float],
) -> FeatureResult:
    """Put one line of the table of features together."""
    feature, column = baseline.constraints.feature(name), baseline.signature.get(name)
    rows, distance = observed.kinds.row_count, verdict.distances.get(name)
    is_there = name in observed.kinds.counts
    present = observed.kinds.present(name) if is_there else 0
    fitting = present
    if is_there and feature is not None and feature.inferred_type != "Unknown":
        fitting = observed.kinds.matching(name, feature.inferred_type)
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
        share_of_blame=blame.get(name, 0.0),
        note=verdict.notes.get(name, "" if feature is not None else "not in the constraints"),
    )
