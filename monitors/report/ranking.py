"""What a report shows first: by feature, the loud before the quiet, the far before the near."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from driftline.monitors.results.violation import FeatureResult, Severity, Violation

if TYPE_CHECKING:
    from driftline.monitors.report.report import Report

# So many times its rows' part of what all rows have is worth no words of its own for a segment.
EVEN = 1.25
# So many features that the same befell are told as one.
ALIKE_LEAST = 3


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing that happened to a feature, which several checks may have noticed.

    Parameters
    ----------
    checks
        The types of these checks.
    first
        The first of their violations: cause, rows, segment are the same for all.
    """

    checks: tuple[str, ...]
    first: Violation

    @property
    def cause(self) -> str:
        """What happened, in words."""
        return self.first.cause or self.first.description


@dataclass(frozen=True, slots=True)
class Broken:
    """One feature that is violated, with all that happened to it."""

    feature: str
    violations: tuple[Violation, ...]

    @property
    def severity(self) -> Severity:
        """The loudest of its violations."""
        return "page" if any(one.severity == "page" for one in self.violations) else "ticket"

    @property
    def tellings(self) -> tuple[Telling, ...]:
        """What happened, the loud first; violations with the same cause are one.

        What a segment has no more of than its rows' part is told with all rows.
        """
        whole = {_matter(one): one for one in self.violations if not one.within}
        own = [one for one in self.violations if not _is_part(one, whole.get(_matter(one)))]
        ordered = sorted(own, key=lambda one: (one.severity != "page", one.unit is None))
        by_cause: dict[tuple[str, int], list[Violation]] = {}
        for one in ordered:
            # Of a unit that changed the same is told, and what it looks like besides.
            unit = "" if one.unit is None else f", looks like {one.unit.name}"
            cause = (one.cause or one.description).replace(unit, "", 1)
            by_cause.setdefault((cause, one.row_count), []).append(one)
        return tuple(
            Telling(tuple(one.constraint_check_type for one in found), found[0])
            for found in by_cause.values()
        )


def _matter(one: Violation) -> tuple[str, str]:
    """Give what a violation is about, for all rows as for a segment: its check, its rows' set."""
    about = {} if one.predicate is None else one.predicate.to_dict()
    return one.constraint_check_type, str({**about, "within": None})


def _is_part(one: Violation, whole: Violation | None) -> bool:
    """Say whether a segment's violation is but its part of what so many of all rows are."""
    if whole is None or not one.within or one.segment is None:
        return False
    if one.severity == "page" != whole.severity:
        return False  # It pages, and all rows do not.
    return one.row_count <= EVEN * whole.row_count * one.segment.share_of_rows


def broken_features(violations: Sequence[Violation]) -> tuple[Broken, ...]:
    """Gather violations by feature: what pages first, then as they are ordered, by blame."""
    first: dict[str, int] = {}
    for one in violations:
        first.setdefault(one.feature_name, len(first))
    ordered = sorted(violations, key=lambda one: first[one.feature_name])
    found = [
        Broken(name, tuple(group))
        for name, group in groupby(ordered, key=lambda one: one.feature_name)
    ]
    return tuple(sorted(found, key=lambda one: one.severity != "page"))


def tellings(violations: Sequence[Violation]) -> list[Telling]:
    """Return what happened, over all features."""
    return [one for broken in broken_features(violations) for one in broken.tellings]


def alike_features(broken: Sequence[Broken]) -> list[list[Broken]]:
    """Put features together that the same befell in the same rows, as one row of junk does."""
    befell = [_befell(one) for one in broken]
    often = Counter(befell)
    groups: dict[object, list[Broken]] = {}
    for one, what in zip(broken, befell, strict=True):
        # What is rowless, such as a number of another kind, is a matter of its own.
        alike = often[what] >= ALIKE_LEAST and one.tellings[0].first.row_count
        groups.setdefault(what if alike else one.feature, []).append(one)
    return list(groups.values())


def _befell(one: Broken) -> tuple[object, ...]:
    """Return all that is told of a feature but its name."""
    told = [(two.checks, two.cause, two.first.row_count, str(two.first.first_rows))
            for two in one.tellings]  # fmt: skip
    return (one.severity, *told)


def state_of(result: FeatureResult, broken: frozenset[str]) -> str:
    """Say in one word how a feature fared: "violated", "kept" or "unjudged"."""
    if result.feature in broken:
        return "violated"
    return "unjudged" if result.ratio is None else "kept"


def ranked_results(report: Report) -> tuple[FeatureResult, ...]:
    """Order the features: the violated as their violations are, then those nearest to the bound."""
    places = {one.feature: place for place, one in enumerate(broken_features(report.violations))}
    last = len(places)
    return tuple(
        sorted(
            report.results,
            key=lambda one: (
                places.get(one.feature, last),
                one.ratio is None,
                -(one.ratio or 0.0),
            ),
        )
    )
