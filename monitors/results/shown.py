"""Chooses the metric of a window that is displayed first, and ranks features."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.monitors.kind import kind_named
from driftline.monitors.results.measured import Measured


def choose_metric(
    metrics: Sequence[Measured], kind: str, asked: str | None, keep: str | None
) -> Measured | None:
    """Choose the metric to draw: requested, gravest violation, worse than before, or first."""
    by_key = {one.key: one for one in metrics}
    if asked is not None:
        return by_key.get(asked)
    if keep is not None:
        groups = (f"{keep} / ", f"{keep}=")  # Of a name alone, the first of its groups.
        keys = [key for key in by_key if key == keep or key.startswith(groups)]
        if keys:
            return by_key[min(keys, key=len)]
    names = kind_named(kind).headline_metrics

    def rank(one: Measured) -> tuple[int, int]:
        if one.violated:
            return (0, int(one.severity != "page"))
        place = names.index(one.name) if one.name in names else len(names)
        return (1 if one.worse_within_bound else 2, place)

    return min((one for one in metrics if one.value is not None), key=rank, default=None)


def feature_of(line: Measured) -> str | None:
    """Name the feature whose attribution a metric is; None for a metric of all features."""
    name = line.name.removeprefix("share_")
    return name if name != line.name else None


def moves(lines: Sequence[Measured]) -> list[tuple[str, int | None, int]]:
    """Return each feature's rank in the reference (None: unknown) and window, ordered by that."""
    named = [(line, feature_of(line) or line.key) for line in lines]
    known = [(line.reference, name) for line, name in named if line.reference is not None]
    known.sort(key=lambda entry: -entry[0])
    before = {name: rank for rank, (_, name) in enumerate(known, 1)}
    named.sort(key=lambda entry: -(entry[0].value or 0.0))
    return [(name, before.get(name), rank) for rank, (_, name) in enumerate(named, 1)]
