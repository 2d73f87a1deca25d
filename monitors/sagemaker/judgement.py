"""What a window violates, in SageMaker's terms and texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from driftline.baseline.analyzer import KindCounter
from driftline.baseline.constraints import Constraints, FeatureConstraints, MonitoringConfig
from driftline.baseline.predicate import Predicate
from driftline.baseline.statistics import Statistics
from driftline.formats.json.jackson import java_double
from driftline.monitors.kinds.data_quality.checks import mismatch_draft, value_text
from driftline.monitors.kinds.data_quality.judgement import EXTRA_COLUMNS
from driftline.monitors.results.violation import DRIFT_CHECK, MISSING_COLUMNS, Draft, percent
from driftline.monitors.sagemaker.distances import Distance, measure
from driftline.monitors.state import State

NOT_COMPARED = "no_distribution"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a window shows to the analyzer."""

    statistics: Statistics
    kinds: KindCounter
    # Rows by column with a closed domain that hold one of it, or nothing.
    inside: Mapping[str, int]


@dataclass(slots=True)
class Verdict:
    """What follows from the documents: drafts, distances, and why others have none."""

    drafts: list[Draft] = field(default_factory=list)
    distances: dict[str, Distance] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def moved(self, name: str) -> Predicate | None:
        """Return the rows of a column that its verdict names."""
        found = self.distances.get(name)
        return None if found is None else found.predicate


def judge(
    constraints: Constraints,
    reference: Statistics | None,
    observed: Observed,
    *,
    unjudged: Mapping[str, str] | None = None,
) -> Verdict:
    """Judge a window by SageMaker's documents; pure."""
    verdict = Verdict()
    if not observed.kinds.row_count:
        verdict.notes.update((feature.name, "no rows") for feature in constraints.features)
        return verdict
    drafts = _column_drafts(len(constraints.features), len(observed.kinds.counts))
    known = reference.features if reference is not None else {}
    found = observed.statistics.features
    for feature in constraints.features:
        name = feature.name
        if name not in observed.kinds.counts:
            verdict.notes[name] = State.ABSENT
            continue
        config = constraints.config(name)
        failed = _type_draft(feature, config, observed)
        note = (unjudged or {}).get(name, "")
        if not note and name not in known:
            note = State.NO_REFERENCE
        if not note and not config.perform_comparison:
            note = "comparison_disabled"
        if not note and failed is not None:
            note = "data_type_check"
        distance = None
        if not note:
            distance = measure(name, known[name], found[name], config)
            note = "" if distance is not None else NOT_COMPARED
        if note:
            verdict.notes[name] = note
        if distance is not None:
            verdict.distances[name] = distance
        if config.evaluate_constraints:
            checks = (
                failed,
                _completeness_draft(feature, observed),
                _drift_draft(name, distance),
                _domain_draft(feature, config, observed),
            )
            drafts += [check for check in checks if check is not None]
    verdict.drafts = drafts if constraints.monitoring_config.evaluate_constraints else []
    return verdict


def _column_drafts(expected: int, present: int) -> list[Draft]:
    """Compare how many columns there are; which ones they are is not asked."""
    if present == expected:
        return []
    missing = present < expected
    verb = "missing" if missing else "extra"
    return [
        Draft(
            feature=MISSING_COLUMNS if missing else EXTRA_COLUMNS,
            check=f"{verb}_column_check",
            description=(
                f"There are {verb} columns in current dataset. "
                f"Number of columns in current dataset: {present}, "
                f"Number of columns in baseline constraints: {expected}"
            ),
            what=f"{present} columns, {expected} in the reference",
        )
    ]


def _type_draft(
    feature: FeatureConstraints, config: MonitoringConfig, observed: Observed
) -> Draft | None:
    """Demand a share of the values whose own text is of the type: 12 is not Fractional."""
    expected, present = feature.inferred_type, observed.kinds.present(feature.name)
    if expected == "Unknown" or not present:
        return None
    return mismatch_draft(
        feature.name,
        expected,
        observed.kinds.matching(feature.name, expected) / present,
        config,
        wrong=f"not {expected}",
        predicate=Predicate(feature.name, "unfit"),
    )


def _completeness_draft(feature: FeatureConstraints, observed: Observed) -> Draft | None:
    rows = observed.kinds.row_count
    ratio = observed.kinds.present(feature.name) / rows if rows else 1.0
    if feature.completeness is None or ratio >= feature.completeness:
        return None
    return Draft(
        feature=feature.name,
        check="completeness_check",
        description=value_text(ratio),
        what=f"{percent(1 - ratio)} of rows empty",
        predicate=Predicate(feature.name, "null"),
        share=1 - ratio,
    )


def _domain_draft(
    feature: FeatureConstraints, config: MonitoringConfig, observed: Observed
) -> Draft | None:
    """Demand a share of rows inside the domain; rows without a value count as inside (Deequ)."""
    rows = observed.kinds.row_count
    if feature.domains is None or not rows:
        return None
    ratio = observed.inside[feature.name] / rows
    if ratio >= config.domain_content_threshold:
        return None
    return Draft(
        feature=feature.name,
        check="categorical_values_check",
        description=value_text(ratio),
        what=f"{percent(1 - ratio)} of rows outside the domain",
        predicate=Predicate(feature.name, "not_in", values=feature.domains),
        share=1 - ratio,
    )


def _drift_draft(name: str, distance: Distance | None) -> Draft | None:
    if distance is None or not distance.value > distance.bound:
        return None
    value, bound = java_double(distance.value), java_double(distance.bound)
    before, now = percent(distance.share_reference), percent(distance.share_window)
    return Draft(
        feature=name,
        check=DRIFT_CHECK,
        description=f"Baseline drift distance: {value} exceeds threshold: {bound}",
        what=f"{now} of rows {distance.predicate.phrase} (reference {before})",
        predicate=distance.predicate,
        share_reference=distance.share_reference,
        ratio=distance.value / distance.bound if distance.bound else None,
        share=abs(distance.share_window - distance.share_reference),
    )
