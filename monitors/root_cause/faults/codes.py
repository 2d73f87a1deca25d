"""Codes renumbered: each value keeps the company that another one had in the reference.

References
----------
Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics 2, 1955.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.predicate import number_text
from driftline.monitors.results.violation import Fault
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext

KIND = "codes_renumbered"
# More codes, and more columns beside them, are not laid beside each other.
CODES_MAX, PARTNERS_MAX = 64, 20
# A renumbering must fit better by so many nats a row, all codes together; of it, each that moved.
NATS, NATS_EACH = 0.5, 0.25
LEAST_ROWS = 5
# Their shares must be nearer to the reference's than before (total variation), or as good as these:
# of a code that took another's rows over the company is the other's, too.
BETTER, NEAR = 0.6, 0.1
# Of a column of numbers that are codes hardly any row lies between them.
OTHERS = 0.01
SHOWN = 3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Codes:
    """The codes of one column, and which of them each row has; the last is all else."""

    names: tuple[str, ...]
    window: Ints
    known: Ints


def renumbered(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Look at violated texts and numbers of few values."""
    if context.sample is None:
        return
    broken = set(context.violated)
    others = [*context.known(is_number=False), *context.known(is_number=True)]
    partners = [name for name in others if name not in broken]
    for is_number in (False, True):
        for name in context.broken(is_number=is_number):
            codes = _codes(context, name)
            if codes is not None:
                pairs = _moved(context, codes, partners[:PARTNERS_MAX])
                if len(pairs) > 1 and not (is_number and _is_scaled(codes, pairs)):
                    yield name, _fault(codes, pairs)


def _fault(codes: _Codes, pairs: list[tuple[int, int]]) -> Fault:
    shown = [f"{codes.names[was]} as {codes.names[now]}" for now, was in pairs[:SHOWN]]
    dots = ", …" if len(pairs) > SHOWN else ""
    values = tuple(codes.names[at].strip('"') for pair in pairs[:SHOWN] for at in pair)
    return Fault(KIND, f"codes look renumbered: {', '.join(shown)}{dots}", values=values)


def _is_scaled(codes: _Codes, pairs: list[tuple[int, int]]) -> bool:
    """Whether numbers were multiplied: hours that come doubled are no other hours."""
    numbers = np.array([float(name) for name in codes.names])
    now, was = numbers[np.array(pairs)].T
    return bool(np.allclose(now * was[0], was * now[0]))


def _codes(context: FaultContext, name: str) -> _Codes | None:
    """Return the codes of both sides; None where a column has none, or too many."""
    assert context.sample is not None
    reference, known = context.references[name], context.sample.codes.get(name)
    cells = reference.cells
    if known is None:
        return None
    if cells.is_number:
        places = [cells.edges.index(atom) + 1 for atom in cells.atoms]
        names = tuple(number_text(atom) for atom in cells.atoms)
        present = reference.counts[:-2].sum()
        if present - reference.counts[places].sum() > OTHERS * present:
            return None
    else:
        places = list(range(len(cells.levels)))
        names = tuple(f'"{level}"' for level in cells.levels)
    if not 2 <= len(places) <= CODES_MAX:
        return None
    to = np.full(cells.size, len(places))
    to[places] = np.arange(len(places))
    return _Codes(names, to[context.places(name)], to[known])


def _moved(context: FaultContext, codes: _Codes, partners: list[str]) -> list[tuple[int, int]]:
    """Return which code now stands for which one before, the most frequent first."""
    assert context.sample is not None
    size = len(codes.names)
    rows = np.bincount(codes.window, minlength=size + 1)[:size]
    usual = np.bincount(codes.known, minlength=size + 1)[:size]
    cost = np.zeros((size, size))
    for name in partners:
        known = context.sample.codes.get(name)
        if known is None:
            continue
        cells = context.cells(name)
        company = _table(codes.window, context.places(name), size, cells.size)
        before = _table(codes.known, known.astype(np.int64), size, cells.size)
        share = (before.sum(axis=0) + 1 / cells.size) / (before.sum() + 1)
        profile = (before + share) / (before.sum(axis=1, keepdims=True) + 1)
        cost -= company @ np.log(profile).T
    often, able = np.flatnonzero(rows >= LEAST_ROWS), np.flatnonzero(usual >= LEAST_ROWS)
    if rows.sum() < MIN_VALUES or len(often) > len(able) or not cost.any():
        return []
    among = cost[np.ix_(often, able)]
    if (cost[often, often] - among.min(axis=1)).sum() < NATS * rows[often].sum():
        return []  # The best that each code alone could take is not enough.
    # Takes longer to import than all else of a check, and few windows have such codes.
    from scipy.optimize import linear_sum_assignment

    at, to = linear_sum_assignment(among)
    now, was = often[at], able[to]
    gain = cost[now, now] - cost[now, was]
    if gain.sum() < NATS * rows[now].sum():
        return []
    carried = np.zeros(size)
    carried[was] = rows[now]
    if _apart(carried, usual) > max(BETTER * _apart(rows, usual), NEAR):
        return []
    moved = (now != was) & (gain >= NATS_EACH * rows[now])
    order = np.argsort(-rows[now], kind="stable")
    return [(int(now[one]), int(was[one])) for one in order if moved[one]]


def _apart(rows: NDArray[np.number], usual: NDArray[np.number]) -> float:
    """Return the total variation of two columns of counts by code."""
    return float(0.5 * np.abs(rows / rows.sum() - usual / usual.sum()).sum())


def _table(codes: Ints, places: Ints, size: int, width: int) -> Floats:
    """Count rows by code and by the other column's cell, without those of no code."""
    flat = np.bincount(codes * width + places, minlength=(size + 1) * width)
    return flat.reshape(size + 1, width)[:size].astype(np.float64)
