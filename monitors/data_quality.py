"""The kind "data-quality": types, completeness, domains, columns by name, drift. Pure.

What stands here decides *that* something is wrong, in SageMaker's terms and texts; findings.py says
what it is, once the rows behind it are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints, FeatureConstraints, MonitoringConfig
from driftline.baseline.jackson import java_double
from driftline.baseline.predicate import Predicate
from driftline.baseline.profile import BlockCounts, Profile
from driftline.monitors.drift import ColumnDrift, ReferenceColumn, block_tables, judge_column
from driftline.monitors.plausibility import Implausible
from driftline.monitors.significance import MIN_ROWS, alpha_per_column, blame
from driftline.monitors.units import UnitChange
from driftline.monitors.violation import percent
from driftline.signature import Column, Signature

__all__ = ["EXTRA_COLUMNS", "MISSING_COLUMNS", "Budget", "Draft", "Judgement", "judge"]

MISSING_COLUMNS = "Missing columns"
EXTRA_COLUMNS = "Extra columns"

# Roles that say what a row is, not what is in it: in the statistics, but never judged for drift.
UNJUDGED = frozenset({"id", "timestamp", "excluded"})
NOT_OF_TYPE = {
    "int64": "not whole numbers",
    "double": "not numbers",
    "bool": "neither true nor false",
    "timestamp": "not times",
}
# What the public documents call String has a type of its own here.
OWN_TYPES = {"bool": "Boolean", "timestamp": "Timestamp"}


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false alarms a year are accepted, and among how many windows.

    Parameters
    ----------
    false_alarms_per_year
        Expected drift violations a year on data that do not change.
    windows_per_year
        How often is judged; 365 for a check that nobody scheduled.
    """

    false_alarms_per_year: float = 1.0
    windows_per_year: float = 365.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A violation before its rows are known.

    Parameters
    ----------
    feature, check, description
        SageMaker's three fields.
    what
        What happened, in words, without the feature's name.
    predicate, share_reference
        The rows behind it, and their share in the reference, 0-1.
    ratio
        Distance over bound, for drift.
    share
        Share of the window's rows that are at fault, 0-1.
    surprising
        Whether so many cannot be chance, by the monitor's budget.
    unit
        The changed unit that would explain it.
    """

    feature: str
    check: str
    description: str
    what: str
    predicate: Predicate | None = None
    share_reference: float = 0.0
    ratio: float | None = None
    share: float = 1.0
    surprising: bool = True
    unit: UnitChange | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that follows from the profile alone.

    Parameters
    ----------
    drafts
        Violations, most blamed feature first.
    drifts
        By column: the verdict on its distribution, violated or not.
    notes
        By column: why its drift was not judged, such as "insufficient_data".
    blame
        By feature with a violation: its share of the evidence; sums to 1.
    alpha
        The p-value below which a column is a violation.
    """

    drafts: tuple[Draft, ...]
    drifts: Mapping[str, ColumnDrift]
    notes: Mapping[str, str]
    blame: Mapping[str, float]
    alpha: float


@dataclass(slots=True)
class _Work:
    """What the checks of one window share."""

    signature: Signature
    constraints: Constraints
    reference: Profile | None
    window: Profile
    implausible: dict[str, Implausible]
    drifts: dict[str, ColumnDrift] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def excess(self, name: str) -> float:
        """Evidence of one column beyond what a violation needs, in nats."""
        drift, odd = self.drifts.get(name), self.implausible.get(name)
        excess = drift.evidence - drift.needed if drift else 0.0
        return max(excess, odd.evidence) if odd else excess


def judge(
    signature: Signature,
    constraints: Constraints,
    references: Mapping[str, ReferenceColumn],
    window: Profile,
    *,
    reference_profile: Profile | None = None,
    blocks: BlockCounts | None = None,
    length: timedelta | None = None,
    budget: Budget | None = None,
    implausible: Sequence[Implausible] = (),
) -> Judgement:
    """Judge a window's profile against a baseline.

    Parameters
    ----------
    signature, constraints
        The baseline's.
    references
        By column: cells and the reference's counts in them; columns without are not judged for
        drift.
    window
        Profile of the window, counted on the same cells.
    reference_profile
        Tells a completeness that was observed from one that was set by hand; None: all were set.
    blocks, length
        The reference by the hour, and the window's length, for the design effect.
    budget
        One false alarm a year, daily, when missing.
    implausible
        What plausibility.find_implausible found in the window.
    """
    odd = {one.column: one for one in implausible}
    work = _Work(signature, constraints, reference_profile, window, odd)
    spent = budget or Budget()
    judged = _judged_columns(work, references)
    alpha = alpha_per_column(spent.false_alarms_per_year, spent.windows_per_year, len(judged))
    _measure(work, references, judged, blocks, length, alpha)
    drafts = [*_column_drafts(work)]
    for column in signature.columns:
        if column.name in window.seen and constraints.config(column.name).evaluate_constraints:
            drafts.extend(_feature_drafts(work, column))
    if not constraints.monitoring_config.evaluate_constraints:
        drafts = []
    shares = blame(
        {name: work.excess(name) for name in dict.fromkeys(one.feature for one in drafts)}
    )
    drafts.sort(key=lambda one: -shares[one.feature])
    return Judgement(tuple(drafts), work.drifts, work.notes, shares, alpha)


def _judged_columns(work: _Work, references: Mapping[str, ReferenceColumn]) -> list[Column]:
    """Give the columns whose distribution is compared; notes why others are not."""
    found = []
    for column in work.signature.columns:
        if column.role in UNJUDGED:
            work.notes[column.name] = column.role
        elif column.name not in work.window.seen:
            work.notes[column.name] = "not in the data"
        elif column.name not in references:
            work.notes[column.name] = "no_reference"
        elif not work.constraints.config(column.name).perform_comparison:
            work.notes[column.name] = "comparison_disabled"
        else:
            found.append(column)
    return found


def _measure(
    work: _Work,
    references: Mapping[str, ReferenceColumn],
    judged: list[Column],
    blocks: BlockCounts | None,
    length: timedelta | None,
    alpha: float,
) -> None:
    reference_rows = max((one.row_count for one in references.values()), default=0.0)
    share = work.window.row_count / reference_rows if reference_rows else 1.0
    enough = work.window.row_count >= MIN_ROWS
    tables = block_tables(blocks, length, row_share=share) if enough else {}
    for column in judged:
        config = work.constraints.config(column.name)
        tolerance = config.comparison_threshold
        if (
            column.type in ("string", "bool")
            and config.categorical_comparison_threshold is not None
        ):
            tolerance = config.categorical_comparison_threshold
        verdict = judge_column(
            references[column.name],
            work.window.columns[column.name],
            tables.get(column.name, []),
            alpha=alpha,
            tolerance=tolerance,
        )
        if verdict is None:
            work.notes[column.name] = "insufficient_data"
        else:
            work.drifts[column.name] = verdict


def _column_drafts(work: _Work) -> list[Draft]:
    """Compare the columns by name; SageMaker compares how many there are."""
    window = work.window
    wanted = [column.name for column in work.signature.columns if column.role == "feature"]
    missing = [name for name in wanted if name in window.missing]
    expected = len(work.constraints.features) or len(wanted)
    present = len(window.seen) + len(window.extra)
    found = []
    counts = (
        f"Number of columns in current dataset: {present}, "
        f"Number of columns in baseline constraints: {expected}"
    )
    for names, feature, check, verb in (
        (missing, MISSING_COLUMNS, "missing_column_check", "missing"),
        (list(window.extra), EXTRA_COLUMNS, "extra_column_check", "extra"),
    ):
        if names:
            found.append(
                Draft(
                    feature=feature,
                    check=check,
                    description=f"There are {verb} columns in current dataset. {counts}",
                    what=", ".join(names),
                )
            )
    return found


def _feature_drafts(work: _Work, column: Column) -> list[Draft]:
    """Judge one column that came."""
    name, profile = column.name, work.window.columns[column.name]
    config = work.constraints.config(name)
    constraint = work.constraints.feature(name) or FeatureConstraints(name)
    odd = work.implausible.get(name)
    drafts: list[Draft | None] = [
        _type_draft(column, constraint, config, profile),
        _completeness_draft(work, constraint, profile),
        _domain_draft(work, constraint, config, profile),
    ]
    drift = work.drifts.get(name)
    if drafts[0] is not None:
        # As SageMaker: the distribution of what is not of its type tells nothing.
        work.notes[name] = "data_type_check"
    elif drift is not None and drift.drifted:
        drafts.append(_drift_draft(drift))
    if odd is not None and drafts[0] is None:
        drafts.append(_implausible_draft(odd))
    return [draft for draft in drafts if draft is not None]


def _type_draft(
    column: Column,
    constraint: FeatureConstraints,
    config: MonitoringConfig,
    profile: ColumnProfile,
) -> Draft | None:
    expected, present = constraint.inferred_type, profile.present_count
    if column.type in OWN_TYPES and expected in ("String", "Boolean"):
        expected = OWN_TYPES[column.type]
    if expected in ("Unknown", "String") or present == 0:
        return None
    # Whole numbers are numbers, too: an amount of 12 does not break a column of fractions.
    fitting = present - profile.unfit_count
    if expected == "Integral" and column.type == "double":
        fitting = profile.integral_count
    ratio = fitting / present
    if ratio >= config.datatype_check_threshold:
        return None
    wanted = java_double(config.datatype_check_threshold * 100)
    return Draft(
        feature=column.name,
        check="data_type_check",
        description=(
            "Data type match requirement is not met. "
            f"Expected data type: {expected}, Expected match: {wanted}%. "
            f"Observed: Only {java_double(ratio * 100)}% of data is {expected}."
        ),
        what=f"{percent(1 - ratio)} of values {NOT_OF_TYPE.get(column.type, 'not of their type')}",
        predicate=Predicate(column.name, "unfit", column.type) if profile.unfit_count else None,
        share=1 - ratio,
    )


def _completeness_draft(
    work: _Work, constraint: FeatureConstraints, profile: ColumnProfile
) -> Draft | None:
    if constraint.completeness is None or profile.completeness >= constraint.completeness:
        return None
    drift = work.drifts.get(constraint.name)
    surprising = drift is not None and drift.null_evidence > drift.needed
    reference = work.reference.columns.get(constraint.name) if work.reference else None
    observed = reference is not None and reference.completeness == constraint.completeness
    if observed and constraint.completeness < 1 and not surprising:
        # The share that the reference happened to have is no promise: chance goes below it in
        # every second window.
        return None
    missing = 1 - profile.completeness
    return Draft(
        feature=constraint.name,
        check="completeness_check",
        description=_value_text(profile.completeness),
        what=f"{percent(missing)} of rows empty (reference {percent(1 - constraint.completeness)})",
        predicate=Predicate(constraint.name, "null"),
        share_reference=1 - constraint.completeness,
        share=missing - (1 - constraint.completeness),
        surprising=surprising,
    )


def _domain_draft(
    work: _Work, constraint: FeatureConstraints, config: MonitoringConfig, profile: ColumnProfile
) -> Draft | None:
    fitting = profile.present_count - profile.unfit_count
    if constraint.domains is None or fitting == 0 or profile.is_number:
        return None
    inside = pc.is_in(profile.levels.values, value_set=pa.array(constraint.domains, pa.string()))
    known = int(profile.levels.counts[inside.to_numpy(zero_copy_only=False)].sum())
    ratio = known / fitting
    if ratio >= config.domain_content_threshold:
        return None
    drift = work.drifts.get(constraint.name)
    return Draft(
        feature=constraint.name,
        check="categorical_values_check",
        description=_value_text(ratio),
        what=f"{percent(1 - ratio)} of values never seen in the reference",
        predicate=Predicate(constraint.name, "not_in", values=constraint.domains),
        share=1 - ratio,
        surprising=drift is not None and drift.unseen_evidence > drift.needed,
    )


def _drift_draft(drift: ColumnDrift) -> Draft:
    return Draft(
        feature=drift.column,
        check="baseline_drift_check",
        description=(
            f"Baseline drift distance: {drift.distance!r} exceeds threshold: {drift.bound!r}"
        ),
        what=(
            f"{percent(drift.share_window)} of rows {drift.predicate.phrase} "
            f"(reference {percent(drift.share_reference)})"
        ),
        predicate=drift.predicate,
        share_reference=drift.share_reference,
        ratio=drift.distance / drift.bound,
        share=drift.share_window - drift.share_reference,
    )


def _implausible_draft(odd: Implausible) -> Draft:
    """Word what cannot be; these checks are ours, SageMaker has none like them."""
    shares = (
        f"{percent(odd.share_window)} of rows {odd.predicate.phrase} "
        f"(reference {percent(odd.share_reference)})"
    )
    if odd.unit is None:
        check, description = "range_check", f"Values far outside the reference's range: {shares}."
    else:
        place = f" where {odd.where}" if odd.where else ""
        check = "unit_change_check"
        description = (
            f"Unit change suspected: {odd.unit.name}{place}. Distribution distance "
            f"{odd.unit.distance_before!r} falls to {odd.unit.distance_after!r} when converted."
        )
    return Draft(
        feature=odd.column,
        check=check,
        description=description,
        what=shares,
        predicate=odd.predicate,
        share_reference=odd.share_reference,
        share=odd.share_window,
        unit=odd.unit,
    )


def _value_text(value: float) -> str:
    """Give SageMaker's text, with the blank that its analyzer writes at the end."""
    return f"Value: {java_double(value)} does not meet the constraint requirement! "
