"""Recognises a default value: one value of a numeric column comes more often than its range did.

References
----------
Hoeffding, "Probability inequalities", JASA 58, 1963, theorem 1 (a share far above its expectation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
from scipy.special import chdtrc

from driftline.baseline.predicate import number_text
from driftline.formats.coercion import coerce
from driftline.monitors.results.violation import Fault, percent
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext
from driftline.stats.changed_levels import CHANCE, g_statistic
from driftline.stats.decomposition import divergence

KIND = "default_value"
# A flood has so many of the rows, and its excess explains so much of how the column changed.
SHARE, LEAST_ROWS = 0.01, 5
EXPLAINED = 0.9
# A whole number so little above the reference's, of their range, is the next one.
NEXT = 0.02
# Chance of a false name; so many values may be looked at in each cell.
FALSE_NAME, VALUES_EACH = 1e-4, 30


def default_value(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Look for one value in the violated columns of numbers."""
    for name in context.broken(is_number=True):
        numbers = context.all_numbers(name)
        if numbers.size >= MIN_VALUES and (fault := _flood(context, name, numbers)) is not None:
            yield name, fault


def _is_of_new_level(context: FaultContext, name: str, value: float) -> bool:
    """Whether all rows with the value have one text never seen before, which it describes."""
    plain = coerce(context.rows.column(name).combine_chunks(), "double")[0]
    inside = np.asarray(pc.indices_nonzero(pc.equal(plain, value)))
    return any(
        # Of texts, the cell behind the levels and the rest is of those never seen.
        (context.places(text)[inside] == len(context.cells(text).levels) + 1).all()
        and pc.count_distinct(context.values(text).take(inside)).as_py() == 1
        for text in context.known(is_number=False)
    )


def _flood(context: FaultContext, name: str, numbers: np.ndarray) -> Fault | None:
    reference = context.references[name]
    cells, known = reference.cells, reference.counts[:-2]
    if not cells.edges or known.sum() < MIN_VALUES:
        return None
    if np.count_nonzero(known) < 2:
        return None  # What was one value all the while has another one: no values were lost to it.
    values, often = np.unique(numbers, return_counts=True)
    own = np.array([value not in cells.atom_set for value in values.tolist()])
    able = own & (often >= max(LEAST_ROWS, SHARE * numbers.size))
    usual = (known + 0.5) / (known.sum() + 0.5 * known.size)
    places = np.searchsorted(np.asarray(cells.edges), values, side="right")
    share, expected = often / numbers.size, usual[places]
    nats = numbers.size * divergence(share, expected) / context.effect(name)
    needed = math.log(known.size * VALUES_EACH / FALSE_NAME)
    able &= (share > expected) & (nats > needed)
    if not able.any():
        return None
    at = int(np.argmax(np.where(able, nats, -1.0)))
    window = np.bincount(places, often, known.size)
    if not _explains(known, window, int(places[at]), often[at], context.effect(name)):
        return None
    value, low, high = float(values[at]), cells.minimum, cells.maximum
    if low is not None and high is not None and cells.type == "int64":
        following = high + max(1.0, NEXT * (high - low))
        if high < value <= following:
            return None  # A new code follows the known ones: 400 after 1 to 399.
    if _is_of_new_level(context, name, value):
        return None
    before = "never in the reference"
    if low is not None and high is not None and low <= value <= high:
        held = percent(float(known[places[at]] / known.sum()))
        before = f"the whole range around it held {held} in the reference"
    text = f"{number_text(value)} in {percent(float(share[at]))} of values ({before})"
    return Fault(KIND, f"looks like a default value: {text}")


def _explains(known: np.ndarray, window: np.ndarray, place: int, often: int, effect: float) -> bool:
    """Whether the other values are distributed as before.

    They are not where a value replaced another: 0 is missing beside the 0.5 that it became.
    """
    left = window.copy()
    left[place] -= often
    # The value's own rows before the flood belong to its cell: at most what the cell had.
    left[place] = max(left[place], known[place] / known.sum() * left.sum())
    if left.sum() < MIN_VALUES:
        return False
    apart, whole = g_statistic(known, left), g_statistic(known, window)
    freedom = max(int(np.count_nonzero(known + left)) - 1, 1)
    is_chance = chdtrc(freedom, apart / effect) > CHANCE
    return bool(is_chance or apart / left.sum() <= (1 - EXPLAINED) * whole / window.sum())
