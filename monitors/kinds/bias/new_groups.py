"""Values of a facet that the reference never had: measured and named, but not judged.

Their rows are among the others of each group. A facet with too few rows of known values is not
judged, and the result is no pass, unless so few are likely by chance: few rows have the facet, or
its values are mostly new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias.facet_counts import BETWEEN, Tally
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import (
    LEAST_ROWS,
    GroupCounts,
    judge_groups,
    judged_usually,
)
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.results.metric import NO_REFERENCE, UNCOVERED, MetricResult
from driftline.monitors.results.violation import JsonValue, plural
from driftline.roles import JOINT, Facet
from driftline.stats.intervals import may_lack

# Groups that are measured, and that are named in a sentence.
MEASURED, NAMED = 20, 4


def new_values(plan: Plan, facet: Facet, tally: Tally) -> dict[str, int]:
    """Count the rows of each new value, the most rows first."""
    known = plan.reference.get(facet)
    if known is None:
        return {}
    rows, usual = tally.counts.sum(axis=(1, 2, 3)).tolist(), {*known.values}
    found = {one: rows[at] for at, one in enumerate(tally.values) if one not in usual}
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def new_groups(plan: Plan, tallies: Mapping[Facet, Tally]) -> list[Group]:
    """Return the groups that a window adds to facets of single values."""
    return [
        Group(facet, (value,), value)
        for facet in plan.counted
        if _lists_values(facet) and not facet.values and not facet.also
        for value, rows in list(new_values(plan, facet, tallies[facet]).items())[:MEASURED]
        if rows >= LEAST_ROWS
    ]


def measure_new(
    groups: Sequence[Group],
    tallies: Mapping[Facet, Tally],
    beside: Sequence[GroupCounts],
    budget: Budget,
) -> list[MetricResult]:
    """Measure the groups of new values, without judging them."""
    counts = [
        GroupCounts(one.facet.name, one.text, one.counts(tallies[one.counted])) for one in groups
    ]
    usual = {name for one in beside for name in judged_usually(one)}
    findings, _ = judge_groups(counts, stratified=False, budget=budget)
    return [replace(one.result, note=NO_REFERENCE) for one in findings if one.result.name in usual]


def new_groups_details(plan: Plan, tallies: Mapping[Facet, Tally]) -> dict[str, JsonValue]:
    """Return notes on values without a reference, and on facets with only such."""
    named, lost = [], []
    for facet in plan.counted:
        tally, known = tallies[facet], plan.reference.get(facet)
        new = new_values(plan, facet, tally) if _lists_values(facet) else {}
        told = [
            f"{facet.name} = {_words(one)} ({plural(rows, 'row')})" for one, rows in new.items()
        ]
        named += told
        if known is None or not tally.counts.any():
            continue
        rows = int(tally.counts.sum())
        left = _known_rows(known, tally)
        if left < LEAST_ROWS and not _is_chance(known, rows, left):
            why = "a value that the reference has" if tally.values else "a value"
            who = f"{plural(left, 'row')} of {rows:,}" if left else "no row"
            lost.append(f"{facet.name}, as {who} {'have' if left > 1 else 'has'} {why}")
    if not named and not lost:
        return {}
    more = f" and {len(named) - NAMED:,} more" * (len(named) > NAMED)
    found: dict[str, JsonValue] = {}
    if named:
        found["new_groups_note"] = (
            f"not judged: the reference has no rows of {', '.join(named[:NAMED])}{more}; beside "
            "other groups they count as others"
        )
    if lost:
        found[UNCOVERED] = f"nothing was judged of {'; '.join(lost)}"
    return found


def _known_rows(known: Tally, tally: Tally) -> int:
    """Count the rows with a value that the reference has."""
    usual = {*known.values}
    inside = np.array([one in usual for one in tally.values], np.bool_)
    return int(tally.counts[:-1][inside].sum())


def _is_chance(known: Tally, rows: int, left: int) -> bool:
    """Whether so few rows with known values are likely without any change."""
    sizes = known.counts.sum(axis=(1, 2, 3))
    # As many rows have a new value as had one that came once (Good, Biometrika 40, 1953).
    again = int(sizes[:-1].sum() - np.count_nonzero(sizes[:-1] == 1))
    return may_lack(again, int(sizes.sum()), rows, left)


def _lists_values(facet: Facet) -> bool:
    """Whether the cells of a facet are values, not intervals."""
    return not any(one.intervals or one.threshold is not None for one in facet.parts)


def _words(cell: str) -> str:
    return cell.replace(BETWEEN, JOINT)
