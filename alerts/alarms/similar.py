"""Metrics that somebody may have meant: with data, and named almost like one that has none.

A metric is its namespace, its name and the exact set of its dimensions; that the set does not match
is why most alarms never get a datapoint (docs/alarms.md).
"""

from __future__ import annotations

import difflib
import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from driftline.alerts.tables import metrics

_NAMES_MAX: Final = 20_000
_LIKELY_MAX: Final = 500
_CANDIDATES_MAX: Final = 500
# difflib's own measure; below it two names have little in common.
_CLOSENESS_LEAST: Final = 0.6
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Similar:
    """A metric that has data, and how it differs from the one that was asked for."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    difference: str

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(self.dimensions.items()))
        return f"{self.namespace} {self.name} {{{shown}}}"


def similar_metrics(
    connection: Connection,
    namespace: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    limit: int = 5,
) -> list[Similar]:
    """Name metrics that differ little from one, the likeliest first; never that one itself."""
    pairs = connection.execute(
        select(metrics.c.namespace, metrics.c.name).distinct().limit(_NAMES_MAX)
    )
    likely = _likely((namespace, name), [(one.namespace, one.name) for one in pairs])
    scored = [(_closeness((namespace, name), one), *one) for one in likely]
    near = sorted((one for one in scored if one[0] >= _CLOSENESS_LEAST), reverse=True)
    found: list[tuple[float, Similar]] = []
    for score, space, label in near[:limit]:
        query = (
            select(metrics.c.dimensions)
            .where(metrics.c.namespace == space, metrics.c.name == label)
            .order_by(metrics.c.id.desc())
            .limit(_CANDIDATES_MAX)
        )
        for other in connection.scalars(query):
            if (space, label, dict(other)) == (namespace, name, dict(dimensions)):
                continue
            one = Similar(space, label, dict(other), "")
            text = _difference(namespace, name, dimensions, one)
            likeness = score + _overlap(dimensions, other)
            found.append((likeness, Similar(space, label, dict(other), text)))
    # The very name with other dimensions is what was meant, however many others have none either.
    found.sort(key=lambda pair: (_name(pair[1]) != (namespace, name), -pair[0], str(pair[1])))
    return [one for _, one in found[:limit]]


def _name(metric: Similar) -> tuple[str, str]:
    return metric.namespace, metric.name


def _likely(wanted: tuple[str, str], others: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those whose names share the most pairs of letters: to compare all takes seconds."""
    pairs = _pairs(wanted[1])

    def shared(other: tuple[str, str]) -> tuple[float, bool]:
        found = _pairs(other[1])
        return len(pairs & found) / len(pairs | found), other[0] == wanted[0]

    return heapq.nlargest(_LIKELY_MAX, others, key=shared)


def _pairs(name: str) -> set[str]:
    text = f"^{name.casefold()[:_LONGEST]}$"
    return set(map("".join, itertools.pairwise(text)))


def _closeness(wanted: tuple[str, str], other: tuple[str, str]) -> float:
    """Say how alike two metrics are named, 0 to 1; the name weighs more than its namespace."""
    parts = []
    for one, another in zip(wanted, other, strict=True):
        first, second = one.casefold()[:_LONGEST], another.casefold()[:_LONGEST]
        parts.append(
            1.0 if first == second else difflib.SequenceMatcher(None, first, second).ratio()
        )
    space, name = parts
    return 0.25 * space + 0.75 * name


def _overlap(wanted: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Say how much two sets of dimensions have in common, 0 to 1."""
    both = set(wanted.items()) | set(other.items())
    if not both:
        return 1.0
    same = set(wanted.items()) & set(other.items())
    keys = (set(wanted) & set(other)) - {key for key, _ in same}
    return (len(same) + 0.5 * len(keys)) / len(both)


def _difference(namespace: str, name: str, dimensions: Mapping[str, str], other: Similar) -> str:
    """Say in a few words what is different."""
    parts = []
    if other.namespace != namespace:
        parts.append(f'namespace "{other.namespace}"')
    if other.name != name:
        parts.append(f'name "{other.name}"')
    extra = sorted(set(other.dimensions) - set(dimensions))
    missing = sorted(set(dimensions) - set(other.dimensions))
    changed = [
        f"{key}={other.dimensions[key]}"
        for key in sorted(set(dimensions) & set(other.dimensions))
        if other.dimensions[key] != dimensions[key]
    ]
    if extra:
        parts.append("also has " + ", ".join(f"{key}={other.dimensions[key]}" for key in extra))
    if missing:
        parts.append(f"has no {', '.join(missing)}")
    if changed:
        parts.append("has " + ", ".join(changed))
    return "; ".join(parts)
