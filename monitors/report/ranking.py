"""The order of a report: violations by feature, pages before tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

from driftline.errors import InputError
from driftline.monitors.results.violation import (
    BASELINE_FIT_CHECK,
    MISSING_COLUMNS,
    Severity,
    Violation,
    plural,
)

# A segment with fewer times its part of the rows than this gets no finding of its own.
EVEN = 1.25
# So many features with the same findings are shown as one.
SIMILAR_LEAST = 3
CAUSES_NAMED = 3
# A pager is no place for the names of five hundred columns; the report has them all.
CAUSE_WIDTH = 250


def chosen(violations: Sequence[Violation], violation: Violation | int | str) -> Violation:
    """Return a violation given itself, its number or its feature, or raise InputError."""
    if isinstance(violation, Violation):
        return violation
    count = len(violations)
    if isinstance(violation, str):
        names = list(dict.fromkeys(one.feature_name for one in violations))
        if violation not in names:
            raise InputError(
                f'violation "{violation}": the report has {plural(count, "violation")}'
                + f", of {', '.join(names[:8])}" * bool(count)
            )
        violation = next(at for at, one in enumerate(violations) if one.feature_name == violation)
    if not -count <= violation < count:
        raise InputError(
            f"violation {violation}: the report has {plural(count, 'violation')}"
            + f"; expected 0 to {count - 1}" * bool(count)
        )
    return violations[violation]


@dataclass(frozen=True, slots=True)
class Finding:
    """One change of a feature, which several checks may have noticed."""

    checks: tuple[str, ...]
    first: Violation  # Of the gravest; the others have the same rows, or the same cause.

    @property
    def cause(self) -> str:
        """What happened, in words."""
        return self.first.words


@dataclass(frozen=True, slots=True)
class ViolatedFeature:
    """One violated feature with its findings."""

    feature: str
    violations: tuple[Violation, ...]

    @property
    def severity(self) -> Severity:
        """The most severe of its violations."""
        severities = {violation.severity for violation in self.violations}
        return "page" if "page" in severities else "ticket"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings, pages first; violations of the same rows, or cause, are one.

        A segment's part of a violation of all rows is left out.
        """
        whole = {_subject(one): one for one in self.violations if not one.within}
        apart = [one for one in self.violations if not _is_part(one, whole.get(_subject(one)))]
        groups: list[list[Violation]] = []
        known: dict[tuple[int, str], list[Violation]] = {}  # By what they have in common.
        for violation in sorted(apart, key=lambda one: (one.is_ticket, one.unit is None)):
            # A changed unit has the cause of the drift that it explains, and its name besides.
            unit = "" if violation.unit is None else f", looks like {violation.unit.name}"
            common = [violation.words.replace(unit, "", 1)]
            if violation.first_rows:
                common.append(f"{violation.within} {violation.first_rows}")
            keys = [(violation.row_count, one) for one in common]
            group = next((known[key] for key in keys if key in known), None)
            if group is None:
                groups.append(group := [])
            group.append(violation)
            for key in keys:
                known.setdefault(key, group)
        return tuple(map(_finding, groups))


def _finding(violations: Sequence[Violation]) -> Finding:
    """Merge violations, pages first; one that knows the kind of fault describes them."""
    gravest = [one for one in violations if one.severity == violations[0].severity]
    first = next((one for one in gravest if one.fault is not None), gravest[0])
    return Finding(tuple(one.constraint_check_type for one in violations), first)


def _subject(violation: Violation) -> tuple[str, str]:
    """Return the check and the set of rows, the same for a segment as for all rows."""
    rows = {} if violation.predicate is None else violation.predicate.to_dict()
    return violation.constraint_check_type, str({**rows, "within": None})


def _is_part(violation: Violation, whole: Violation | None) -> bool:
    """Whether a segment's violation is only its part of one of all rows."""
    if whole is None or not violation.within or violation.segment is None:
        return False
    if violation.severity == "page" != whole.severity:
        return False  # It pages, and all rows do not.
    return violation.row_count <= EVEN * whole.row_count * violation.segment.share_of_rows


def violated_features(violations: Sequence[Violation]) -> tuple[ViolatedFeature, ...]:
    """Group violations by feature: pages first, then in the order of the violations."""
    groups: dict[str, list[Violation]] = {}
    for violation in violations:
        groups.setdefault(violation.feature_name, []).append(violation)
    features = [ViolatedFeature(name, tuple(group)) for name, group in groups.items()]
    return tuple(sorted(features, key=lambda feature: feature.severity != "page"))


def findings(violations: Sequence[Violation]) -> list[Finding]:
    """Return what happened, over all features."""
    return [finding for feature in violated_features(violations) for finding in feature.findings]


def similar_features(features: Sequence[ViolatedFeature]) -> list[list[ViolatedFeature]]:
    """Group features with the same findings in the same rows, as one row of junk makes them."""
    keys = [_without_name(one) for one in features]
    often = Counter(keys)
    groups: dict[object, list[ViolatedFeature]] = {}
    for feature, key in zip(features, keys, strict=True):
        # A finding without rows, such as a metric's, stands for itself.
        is_similar = often[key] >= SIMILAR_LEAST and feature.findings[0].first.row_count
        groups.setdefault(key if is_similar else feature.feature, []).append(feature)
    return list(groups.values())


def _without_name(feature: ViolatedFeature) -> tuple[object, ...]:
    """Return all that is displayed of a feature except its name."""
    shown = [(finding.checks, finding.cause, finding.first.row_count, str(finding.first.first_rows))
             for finding in feature.findings]  # fmt: skip
    return (feature.severity, *shown)


def cause_sentence(violations: Sequence[Violation], *, has_values: bool = True) -> str:
    """Return the sentence of a notification; "" without violations.

    It has one clause for each of the three features with the greatest contribution, pages and
    missing columns first; features with the same change in the same rows share one. `has_values`:
    values of rows may be quoted. A baseline that does not fit yet follows, in full, because it
    names commands.
    """
    apart = [
        f"The baseline does not fit yet: {violation.cause if has_values else violation.plain_cause}"
        for violation in violations
        if violation.constraint_check_type == BASELINE_FIT_CHECK
    ]
    ranked = sorted(
        (
            violation
            for violation in violations
            if violation.constraint_check_type != BASELINE_FIT_CHECK
        ),
        key=lambda violation: (
            violation.is_ticket,
            violation.feature_name != MISSING_COLUMNS,
            violation.first_window is not None,  # What is known comes after what is news.
            -violation.share_of_blame,
        ),
    )
    groups = similar_features(violated_features(ranked))
    clauses = [_clause(group, has_values=has_values) for group in groups[:CAUSES_NAMED]]
    if left := sum(map(len, groups[CAUSES_NAMED:])):
        clauses.append(f"and {left} more")
    return ". ".join(["; ".join(clauses), *apart] if clauses else apart)


def _clause(group: Sequence[ViolatedFeature], *, has_values: bool) -> str:
    """Describe the finding of a feature, or of several."""
    names = [one.feature for one in group]
    first = group[0].violations[0]
    cause = first.cause if has_values else first.plain_cause
    if len(names) > 1:
        dots = ", …" if len(names) > CAUSES_NAMED else ""
        names = [f"{len(names)} columns ({', '.join(names[:CAUSES_NAMED])}{dots})"]
    # Shortened last: what is cut can no more be told from what is not.
    return f"{names[0]}: {_cut(cause)}"


def _cut(cause: str) -> str:
    """Drop the last parts of a long cause, whole."""
    short = shorten(cause, CAUSE_WIDTH, placeholder=" …")
    whole = short.removesuffix(" …").rpartition(", ")[0]
    return f"{whole}, …" if short.endswith(" …") and whole else short
