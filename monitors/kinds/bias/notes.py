"""Sentences on what a window, or the reference, lacks for a comparison of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.groups import Group
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


def window_notes(
    reference: BiasReference, window: CountedWindow, pairs: Sequence[Counts]
) -> dict[str, JsonValue]:
    """Return the details on what rows, values, labels and times lack; empty ones left out."""
    plan, answered = reference.plan, next(iter(window.counts.values())).answered
    notes: dict[str, JsonValue] = {
        "classes_note": _reference_classes(plan),
        "new_groups_note": _new_groups(plan, window.counts),
        UNCOVERED: _uncovered(plan, window.counts),
        "times_note": _times(reference, window),
    }
    return {
        **{name: note for name, note in notes.items() if note},
        "unfit_labels": window.unfit,
        **unusable_details(
            window.unusable,
            window.lacking,
            _collapsed(answered),
            _one_class(answered),
            _absent(plan.groups, pairs, window.rows),
            _unfit(window),
        ),
    }


def lists_values(facet: Facet) -> bool:
    """Whether the cells of a facet are values, not intervals."""
    return not any(one.intervals or one.threshold is not None for one in facet.parts)


def _new_groups(plan: Plan, counts: Mapping[Facet, FacetCounts]) -> str:
    """Name the values that the reference never had; "" for none."""
    named = [
        f"{facet.name} = {shown_value(value)} ({plural(rows, 'row')})"
        for facet in plan.counted
        if lists_values(facet)
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


def _collapsed(answered: Counts) -> str:
    """Return a note that all predictions are equal, so no group can differ; else ""."""
    negative, positive, _ = answered.sum(axis=0)
    if bool(negative) == bool(positive):
        return ""
    which = "no prediction is" if negative else "every prediction is"
    return f"{which} positive, so that no group can be treated otherwise"


def _reference_classes(plan: Plan) -> str:
    """Return a note that the reference's labels, or predictions, are all one; else ""."""
    if plan.outcomes is None or not plan.reference:
        return ""
    collapsed = _collapsed(next(iter(plan.reference.values())).answered)
    parts = [plan.outcomes.classes_note, f"in the reference {collapsed}" * bool(collapsed)]
    return "; ".join(part for part in parts if part)


def _one_class(answered: Counts) -> str:
    """Return a note that all labels are one, so half of the metrics have no value; else ""."""
    negative, positive, _ = answered.sum(axis=1)
    if bool(negative) == bool(positive):
        return ""
    which = "no label is positive" if negative else "every label is positive"
    return f"{which}, so that what counts the others has no value"


def _absent(groups: Sequence[Group], pairs: Sequence[Counts], row_count: int) -> str:
    """Name the groups that have no rows, or all of them; "" for none."""
    rows = [pair.sum(axis=(1, 2, 3)) for pair in pairs]
    empty = [group for group, sides in zip(groups, rows, strict=True) if not sides.any()]
    named = [
        f"no row has a value of {name}"
        for name in dict.fromkeys(group.facet.name for group in empty)
        if row_count
    ]
    named += [
        f"no row {'beside' if sides[1] else 'of'} {group.name}"
        for group, sides in zip(groups, rows, strict=True)
        if sides.any() and not sides.all()
    ]
    more = f" and {len(named) - NAMED} more" * (len(named) > NAMED)
    return ", ".join(named[:NAMED]) + more


def _unfit(window: CountedWindow) -> str:
    """Describe the labels that are left out; "" for none."""
    if not window.unfit:
        return ""
    labels = plural(window.unfit, "label")
    return f"{labels} left out: infinite ({window.unfit_words}); expected numbers"
