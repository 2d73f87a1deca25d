"""What a report shows first: by feature, the loud before the quiet, the far before the near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from driftline.monitors.violation import FeatureResult, Severity, Violation

if TYPE_CHECKING:
    from driftline.monitors.report import Report

__all__ = ["Broken", "Telling", "broken_features", "ranked_results", "state_of"]


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
        """What happened, the loud first; violations with the same cause are one."""
        ordered = sorted(self.violations, key=lambda one: one.severity != "page")
        by_cause: dict[tuple[str, int], list[Violation]] = {}
        for one in ordered:
            by_cause.setdefault((one.cause or one.description, one.row_count), []).append(one)
        return tuple(
            Telling(tuple(one.constraint_check_type for one in found), found[0])
            for found in by_cause.values()
        )


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
