"""Finds sensors that saturate: a week's extreme value holds more rows than ever.

Weather and prices stay at their edge for hours, so a share alone says little. A saturated sensor
returns to the same value day after day, and has no values near it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import Predicate, number_text
from driftline.baseline.value_edges import SIGNS, EdgeCounter, EdgeShares
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.results.violation import Draft, percent

# Told from these shares on: of the numbers at the edge, without the day that has most of them.
LEAST_SHARE = 0.05
LEAST_ROWS = 10
# So many times the reference's largest share is news where it has seen this many weeks; the square
# root of that many times fewer or more weeks asks for more or less, as a tail of index 2 has it.
FACTOR, FACTOR_WEEKS = 2.0, 50
# A value that is merely frequent has neighbours that are, too; where values thin out to their edge,
# beside what each usually has.
NEIGHBOURS, NEIGHBOUR_FACTOR = 3, 1.5


def saturation_drafts(
    sample: pa.Table,
    context: CheckContext,
    event_time: str,
    passed_over: Collection[str],
    *,
    seasoned: Collection[str],
) -> list[Draft]:
    """Return a draft for each column that saturates in a window of a week or more.

    Suspects of the sample are counted in a second reading. The own edges of columns that are not
    seasoned are not judged: summer brings days without heating.
    """
    known = () if context.baseline.rows is None else context.baseline.rows.edges
    present = {*sample.column_names} - {*passed_over}
    profiles = {} if context.baseline.profile is None else context.baseline.profile.columns
    suspects = [
        one
        for one in known
        if one.column in present
        and not _is_code(context.baseline.cells.get(one.column))
        and _is_suspect(sample, one, profiles.get(one.column), is_seasoned=one.column in seasoned)
    ]
    if not suspects:
        return []
    columns = tuple(sorted({one.column for one in suspects}))
    counter = partial(EdgeCounter, columns, event_time)
    edges, shares, beside = context.rows.gather(counter, [*columns, event_time]).whole()
    drafts = []
    for one in suspects:
        place = int(one.is_largest), columns.index(one.column)
        value = float(SIGNS[place[0]] * edges[place])
        pair = float(shares[place]), float(beside[place])
        if _is_news(value, pair, one, is_seasoned=one.column in seasoned):
            drafts.append(_draft(one, value, pair[0]))
    return drafts


def _is_code(cells: Cells | None) -> bool:
    """Whether a column has few values, such as flags and ratings: its ends are no edges."""
    # Each frequent value has a cell of its own, between which nothing lies.
    return cells is not None and 0 < len(cells.edges) <= 2 * len(cells.atoms)


def _is_suspect(
    sample: pa.Table, reference: EdgeShares, profile: ColumnProfile | None, *, is_seasoned: bool
) -> bool:
    """Whether the edge of the sampled numbers stands out, with too many rows."""
    numbers = coerce(sample.column(reference.column), "double")[0].drop_null().to_numpy()
    sign = SIGNS[reference.is_largest]
    numbers = sign * numbers[np.isfinite(numbers)]
    edge = float(numbers.max(initial=-np.inf))
    count = np.count_nonzero(numbers == edge)
    if not LEAST_ROWS <= count < len(numbers):  # What stands still is no edge.
        return False
    share = count / len(numbers)
    value = sign * edge
    if not _is_news(value, (share, share), reference, is_seasoned=is_seasoned):
        return False
    values, counts = (found[-1 - NEIGHBOURS :] for found in np.unique(numbers, return_counts=True))
    often = counts / _usual(np.asarray(sign * values), profile)
    is_most = counts[-1] >= counts[:-1].max()  # On humid days what is rare grows most, too.
    found = any(one[-1] >= NEIGHBOUR_FACTOR * one[:-1].max() for one in (counts, often))
    return bool(is_most and found)


def _usual(values: NDArray[np.float64], profile: ColumnProfile | None) -> NDArray[np.int64]:
    """Return the reference's rows by value, at least 1; 1 where unknown."""
    known = None if profile is None else profile.numbers
    if known is None or not len(known.values):
        return np.ones(values.shape, np.int64)
    places = np.searchsorted(known.values, values).clip(max=len(known.values) - 1)
    return np.where(known.values[places] == values, known.counts[places], 1)


def _is_news(
    value: float, pair: tuple[float, float], reference: EdgeShares, *, is_seasoned: bool
) -> bool:
    """Whether a share at an edge, and that without its fullest day, exceed the reference's."""
    if value == reference.value and not is_seasoned:
        return False
    usual = reference.reaching if value == reference.value else reference.others
    factor = FACTOR * max(1.0, math.sqrt(FACTOR_WEEKS / reference.weeks))
    return all(
        share > max(LEAST_SHARE, factor * most) for share, most in zip(pair, usual, strict=True)
    )


def _draft(reference: EdgeShares, value: float, share: float) -> Draft:
    usual = (reference.reaching if value == reference.value else reference.others)[0]
    edge = "largest" if reference.is_largest else "smallest"
    what = (
        f"{percent(share)} of numbers at {number_text(value)} exactly, the {edge} "
        f"(reference: at most {percent(usual)} at the {edge} of a week)"
    )
    return Draft(
        feature=reference.column,
        check="saturation_check",
        description=f"Values saturate: {what}.",
        what=what,
        # Beyond lie at most infinities, which are no numbers. No segment is asked for: rows beyond
        # the edge always had theirs.
        predicate=Predicate(reference.column, "eq", value),
        share_reference=usual,
        share=share - usual,
        severity="ticket",
    )
