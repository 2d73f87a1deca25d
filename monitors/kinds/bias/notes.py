"""Sentences on what a window, or the reference, lacks for a comparison of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.kinds.bias.reference import BiasReference
from driftline.monitors.kinds.bias.report import new_values, shown_value
from driftline.monitors.kinds.bias.window import CountedWindow
from driftline.monitors.results.metric import UNCOVERED
from driftline.monitors.results.unusable import untimed_note, unusable_details
from driftline.monitors.results.violation import JsonValue, plural
from driftline.roles import Facet

# Groups that are named in a sentence.
NAMED = 4
# With fewer of its rows of known values a facet counts as not judged.
LEAST_KNOWN = 0.01

Counts = NDArray[np.int64]


def window_notes(reference: BiasReference, window: CountedWindow) -> dict[str, JsonValue]:
    """Return the details on what rows, values, labels and times lack; empty ones left out."""
    plan = reference.plan
    notes: dict[str, JsonValue] = {
        "new_groups_note": _new_groups(plan, window.counts),
        UNCOVERED: _uncovered(plan, window.counts),
        "times_note": _times(reference, window),
    }
    return {
        **{name: note for name, note in notes.items() if note},
        "unfit_labels": window.unfit,
        **unusable_details(window.unusable, window.lacking, _unfit(window)),
    }


def _new_groups(plan: Plan, counts: Mapping[Facet, FacetCounts]) -> str:
    """Name the values that the reference never had; "" for none."""
    named = [
        f"{facet.name} = {shown_value(value)} ({plural(rows, 'row')})"
        for facet in plan.counted
        if not any(part.intervals or part.threshold is not None for part in facet.parts)
        for value, rows in new_values(plan, facet, counts[facet]).items()
    ]
    more = f" and {len(named) - NAMED:,} more" * (len(named) > NAMED)
    return (
        f"not judged: the reference has no rows of {', '.join(named[:NAMED])}{more}; beside other "
        "groups they count as others"
    ) * bool(named)


def _uncovered(plan: Plan, counts: Mapping[Facet, FacetCounts]) -> str:
    """Name facets of which hardly a row has a value that the reference has; "" for none."""
    found = []
    for facet, left, rows in _known_rows(plan, counts):
        if left < LEAST_KNOWN * rows:
            who = f"{plural(left, 'row')} of {rows:,}" if left else "no row"
            verb = "have" if left > 1 else "has"
            which = " that the reference has" * bool(counts[facet].values)
            found.append(f"{facet.name}, as {who} {verb} a value{which}")
    return f"nothing was judged of {'; '.join(found)}" * bool(found)


def _known_rows(
    plan: Plan, counts: Mapping[Facet, FacetCounts]
) -> Iterator[tuple[Facet, int, int]]:
    """Yield each facet, its rows with a value that the reference has, and all its rows."""
    for facet, known in plan.reference.items():
        own, usual = counts[facet], {*known.values}
        is_known = np.array([*(one in usual for one in own.values), False])
        yield facet, int(own.sizes[is_known].sum()), int(own.rows.sum())


def _times(reference: BiasReference, window: CountedWindow) -> str:
    """Say that rows lack the times needed for a comparison with the reference's; "" if not."""
    outcomes = reference.plan.outcomes
    if outcomes is None or outcomes.roles.timestamp is None or not window.rows:
        return ""
    return untimed_note(
        outcomes.roles.timestamp, outcomes.untimed, (window.untimed, window.rows),
        span="they are held beside days of the reference" * (window.length is None),
        knows_days=reference.sums is not None and reference.sums.days is not None,
    )  # fmt: skip


def _unfit(window: CountedWindow) -> str:
    """Describe the labels that are left out; "" for none."""
    if not window.unfit:
        return ""
    labels = plural(window.unfit, "label")
    return f"{labels} left out: infinite ({window.unfit_words}); expected numbers"
