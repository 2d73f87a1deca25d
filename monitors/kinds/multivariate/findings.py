"""What is wrong jointly, in words that name the columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from driftline.baseline.derived import UNKNOWN_WORDS
from driftline.baseline.derived_rows import DerivedRows
from driftline.baseline.predicate import Predicate
from driftline.monitors.drift_test.drift import ColumnDrift
from driftline.monitors.drift_test.significance import blame
from driftline.monitors.kinds.multivariate.classifier import Domain
from driftline.monitors.kinds.multivariate.correlation import PairChange
from driftline.monitors.kinds.multivariate.judgement import JointJudgement
from driftline.monitors.kinds.multivariate.reconstruction import Reconstruction
from driftline.monitors.results.violation import Violation, percent, plural

CORRELATION = "correlation_drift_check"
RECONSTRUCTION = "reconstruction_drift_check"
DOMAIN = "domain_drift_check"
PREDICTION = "prediction_drift_check"
EMBEDDING, TEXT = "embedding_drift_check", "text_drift_check"
ALL_COLUMNS = "all columns"
# Pairs that are told one by one.
PAIRS_TOLD = 5


@dataclass(frozen=True, slots=True)
class _Draft:
    """A violation before the blame is shared out; `excess` is evidence beyond what was needed."""

    name: str
    check: str
    description: str
    cause: str
    ratio: float | None
    excess: float
    predicate: Predicate | None = None
    row_count: int = 0


def joint_violations(found: JointJudgement) -> tuple[Violation, ...]:
    """Give what is violated, most blamed first."""
    drafts = [*_pairs(found), *_answers(found), *_derived(found)]
    if found.reconstruction is not None and found.reconstruction.drifted:
        drafts.append(_rebuilt(found.reconstruction))
    if found.domain is not None and found.domain.drifted:
        drafts.append(_told_apart(found.domain))
    excess: dict[str, float] = {}
    for one in drafts:
        excess[one.name] = max(excess.get(one.name, 0.0), one.excess)
    shares = blame(excess)
    violations = [
        Violation(
            feature_name=one.name,
            constraint_check_type=one.check,
            description=one.description,
            severity="ticket",
            ratio=one.ratio,
            share_of_blame=shares[one.name],
            predicate=one.predicate,
            row_count=one.row_count,
            cause=one.cause,
        )
        for one in drafts
    ]
    return tuple(sorted(violations, key=lambda one: -one.share_of_blame))


def changed_pairs(found: JointJudgement) -> list[PairChange]:
    """Give the strongest change of each pair of columns, whatever the levels, most first."""
    kept: dict[frozenset[str], PairChange] = {}
    for one in found.pairs:
        kept.setdefault(frozenset((one.first.column, one.second.column)), one)
    return list(kept.values())


def _pairs(found: JointJudgement) -> Iterator[_Draft]:
    drifted = [one for one in changed_pairs(found) if one.drifted]
    for place, one in enumerate(drifted[:PAIRS_TOLD]):
        left = len(drifted) - PAIRS_TOLD if place == 0 else 0
        more = f"; and {plural(left, 'other pair')} of columns" if left > 0 else ""
        names = f"{one.first.column} × {one.second.column}"
        # Levels of texts are values of rows: the cause alone quotes them.
        levels = "" if one.name == names else f" ({one.name})"
        over = f" over {one.windows} windows" if one.windows > 1 else ""
        yield _Draft(
            names,
            CORRELATION,
            f"Correlation drift: {one.window:.2f} is beyond {one.bound:.2f} "
            f"(reference {one.reference:.2f})",
            f"correlation {one.reference:.2f} → {one.window:.2f}{levels}{over}, 95 % "
            f"interval {one.low:.2f} to {one.high:.2f}{more}",
            one.ratio,
            one.evidence - one.needed,
        )


def _rebuilt(one: Reconstruction) -> _Draft:
    how = "worse" if one.ratio > 1 else "better"
    by = ", ".join(f"{name} {percent(share)}" for name, share in one.columns)
    return _Draft(
        ALL_COLUMNS,
        RECONSTRUCTION,
        f"Reconstruction drift: error of {one.ratio:.2f} times the reference's is beyond "
        f"{one.bound:.2f}",
        f"the reference's {plural(one.directions, 'main direction')} rebuild rows {how}: "
        f"{one.ratio:.2f} times its error, 95 % interval {one.low:.2f} to {one.high:.2f}; "
        f"of the change {by}",
        abs(one.ratio - 1.0) / abs(one.bound - 1.0),
        one.evidence - one.needed,
    )


def _told_apart(one: Domain) -> _Draft:
    by = ", ".join(name for name, _ in one.columns)
    usual = f"; {one.usual:.2f} is usual among {one.blocks} blocks of the reference"
    return _Draft(
        ALL_COLUMNS,
        DOMAIN,
        f"Domain drift: AUC {one.auc:.3f} is beyond {one.bound:.3f}",
        f"a classifier tells these rows from the reference's: AUC {one.auc:.2f}, 95 % interval "
        f"{one.low:.2f} to {one.high:.2f}{usual if one.blocks else ''}; by {by or 'many columns'}",
        (one.auc - 0.5) / (one.bound - 0.5),
        one.evidence - one.needed,
    )


def _answers(found: JointJudgement) -> Iterator[_Draft]:
    for name, one in found.answers.drifts.items():
        if one.drifted:
            rows = round(one.share_window * found.window.row_count)
            yield _drift_draft(
                name, PREDICTION, one, f"answers {_shares(one)}", one.predicate, rows
            )


def _derived(found: JointJudgement) -> Iterator[_Draft]:
    known = found.window.derived
    if known is None:
        return
    for source, ranked in by_source(known, found.derived.drifts).items():
        drifted = [one for one in ranked if one.drifted]
        if not drifted:
            continue
        one = drifted[0]
        trait = one.column.removeprefix(f"{source}·")
        others = f"; {len(drifted)} of {len(ranked)} looked at have changed"
        if source in known.vocabularies:
            share = "share of " if trait == UNKNOWN_WORDS else ""
            words = f"{share}{trait} {_shares(one)}{others}"
            yield _drift_draft(source, TEXT, one, words)
        else:
            seen = "its norm" if trait == "norm" else f"seen from direction {trait}"
            yield _drift_draft(source, EMBEDDING, one, f"{seen}: {_shares(one)}{others}")


def by_source(
    known: DerivedRows, drifts: Mapping[str, ColumnDrift]
) -> dict[str, list[ColumnDrift]]:
    """Give, by column that something is derived of, its verdicts, the strongest first."""
    found: dict[str, list[ColumnDrift]] = {}
    for name, one in drifts.items():
        found.setdefault(known.sources[name], []).append(one)
    for ranked in found.values():
        ranked.sort(key=lambda one: (not one.drifted, -one.evidence))
    return found


def _drift_draft(
    name: str,
    check: str,
    one: ColumnDrift,
    cause: str,
    predicate: Predicate | None = None,
    row_count: int = 0,
) -> _Draft:
    what = check.removesuffix("_check").replace("_", " ").capitalize()
    return _Draft(
        name,
        check,
        f"{what}: distance {one.distance:.4f} exceeds {one.bound:.4f}",
        cause,
        one.distance / one.bound,
        one.evidence - one.needed,
        predicate,
        row_count,
    )


def _shares(one: ColumnDrift) -> str:
    low, high = one.share_interval
    return (
        f"{one.predicate.phrase} in {percent(one.share_window)} of rows (95 % interval "
        f"{percent(low)} to {percent(high)}), {percent(one.share_reference)} in the reference"
    )
