"""Exchanged codes: each has the co-occurring values of another in the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.results.violation import Fault
from driftline.monitors.root_cause.faults.context import MIN_VALUES, FaultContext

KIND = "codes_exchanged"
# More codes, and more columns beside them, are not compared.
CODES_MAX, PARTNERS_MAX, COLUMNS_MAX = 64, 20, 40
# A column says what company a code keeps if so little of it moved (total variation): on a warm day
# each sensor's temperatures are those of the next warmer one, and none took another's name.
MOVED = 0.3
# An exchange must fit better by so many nats a row, all codes together; of it, each that moved.
NATS, NATS_EACH = 0.5, 0.25
LEAST_ROWS = 5
# Of a part of the rows, so much says that its codes are exchanged as all are.
LEAST_NATS = 12.0
# And so much of all rows of a part of a day, those that come together counted as one: the weather
# of five sensors in an hour made up to 14 where none had another's name. A day has many hours, and
# how its mean moves says little of who has which.
EVENT_NATS = 30.0
DAY = timedelta(days=1)
# Of so many parts of the rows, in their order, not one alone says it: a cold front of two days had
# the north-east winds of a week keep the company of the north-west.
PARTS = 4
# Rows of all codes together that are added to those of each: little is known of a rare one.
PRIOR = 30.0
SHOWN = 3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Codes:
    """The levels of one column, and which of them each row has; the last is all else."""

    levels: tuple[str, ...]
    window: Ints
    known: Ints


@dataclass(frozen=True, slots=True)
class _Company:
    """Another column's cells by row, of the window and of the reference's sample."""

    window: Ints
    known: Ints
    size: int
    effect: float = 1.0  # How many times more than independent rows the column varies.

    @property
    def moved(self) -> float:
        """Total variation of the two sides; 1 without rows."""
        now, usual = (np.bincount(one, minlength=self.size) for one in (self.window, self.known))
        return _apart(now, usual) if now.any() and usual.any() else 1.0

    @property
    def moved_by_chance(self) -> float:
        """About the total variation that is expected of so many rows where nothing moved."""
        share = np.bincount(self.known, minlength=self.size) / max(len(self.known), 1)
        rows = 1 / max(len(self.window), 1) + 1 / max(len(self.known), 1)
        # Half of the mean of |z|, as the shares of a cell differ by a normal error.
        return float(0.5 * np.sqrt(2 / np.pi * share * (1 - share) * rows).sum())


@dataclass(frozen=True, slots=True)
class _Moved:
    """Codes that stand for others."""

    # Which now stands for which one before, the most frequent first.
    pairs: list[tuple[int, int]] = field(default_factory=list)
    nats: float = 0.0  # By so much they fit the company of the others better.


@dataclass(frozen=True, slots=True)
class ExchangedCodes:
    """A column whose codes were exchanged."""

    column: str
    codes: tuple[str, ...]  # Those that the window has for others.
    fault: Fault


def exchanged_codes(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Test violated texts."""
    for one in _exchanged(context, context.broken(is_number=False)):
        yield one.column, one.fault


def exchanged_texts(context: FaultContext) -> Iterator[ExchangedCodes]:
    """Test texts without a violation: codes with equal shares leave no other trace."""
    broken = context.broken(is_number=False)
    others = [name for name in context.known(is_number=False) if name not in {*broken}]
    for one in _exchanged(context, (*broken, *others[:COLUMNS_MAX])):
        if one.column not in {*broken}:
            yield one


def are_exchanged_in(context: FaultContext, part: FaultContext, name: str) -> bool:
    """Whether the exchange holds in a part of the rows, too."""
    codes, own = _codes(context, name), _codes(part, name)
    if codes is None or own is None:
        return False
    pairs = _moved(codes, _beside(_company(context), name)).pairs
    return _gain(_costs(own, _beside(_company(part), name)), pairs) > LEAST_NATS


def _exchanged(context: FaultContext, names: Sequence[str]) -> Iterator[ExchangedCodes]:
    """Test each column against the others; one fault explains a column only once."""
    if context.sample is None:
        return
    able = {name: codes for name in names if (codes := _codes(context, name)) is not None}
    company = _company(context) if able else {}
    found = {name: _moved(codes, _beside(company, name)) for name, codes in able.items()}
    told: list[str] = []
    length = _length(context)
    for name in sorted(able, key=lambda one: -found[one].nats):
        codes, moved, beside = able[name], found[name], _beside(company, name, *told)
        if told and moved.pairs:
            moved = _moved(codes, beside)
        if (
            len(moved.pairs) > 1
            and (length is None or _lasts(codes, moved.pairs, beside))
            and (
                length is None
                or length >= DAY
                or _evidence(codes, moved.pairs, beside) > EVENT_NATS
            )
            and not _moves_anyway(codes, beside)
        ):
            told.append(name)
            levels = tuple(codes.levels[now] for now, _ in moved.pairs)
            yield ExchangedCodes(name, levels, _fault(codes, moved.pairs))


def _company(context: FaultContext) -> dict[str, _Company]:
    """Return the columns of co-occurring values: texts first, none that moved much."""
    broken, found = set(context.violated), {}
    assert context.sample is not None
    for name in (*context.known(is_number=False), *context.known(is_number=True)):
        known = context.sample.codes.get(name)
        if known is not None:
            places, size = context.places(name), context.cells(name).size
            one = _Company(places, known.astype(np.int64), size, context.effect(name))
            if one.moved <= MOVED + (0.0 if name in broken else one.moved_by_chance):
                found[name] = one
    return found


def _beside(company: Mapping[str, _Company], *but: str) -> list[_Company]:
    return [one for name, one in company.items() if name not in but][:PARTNERS_MAX]


def _moves_anyway(codes: _Codes, company: Sequence[_Company]) -> bool:
    """Whether as many rows of the reference look exchanged by its other columns.

    That is so where codes have no co-occurring values, or too few reference rows to learn them.
    """
    count = len(codes.known)
    part = np.zeros(count, np.bool_)
    part[:: max(2, round(count / max(len(codes.window), 1)))] = True
    own = replace(codes, window=codes.known[part], known=codes.known[~part])
    beside = [_Company(one.known[part], one.known[~part], one.size) for one in company]
    return bool(_moved(own, beside).pairs)


def _lasts(codes: _Codes, pairs: Sequence[tuple[int, int]], company: Sequence[_Company]) -> bool:
    """Whether the rows still look exchanged without the part with the most evidence.

    Rows in the order of their codes do, too: one part may hold all of one code.
    """
    if np.count_nonzero(np.diff(codes.window)) <= len(codes.levels):
        return True
    part = np.arange(len(codes.window)) * PARTS // len(codes.window)

    def gain(rows: NDArray[np.bool_]) -> tuple[float, _Codes]:
        own = replace(codes, window=codes.window[rows])
        beside = [replace(one, window=one.window[rows]) for one in company]
        return _gain(_costs(own, beside), pairs), own

    best = max(range(PARTS), key=lambda one: gain(part == one)[0])
    left, own = gain(part != best)
    return bool(0 < NATS * np.isin(own.window, [now for now, _ in pairs]).sum() <= left)


def _length(context: FaultContext) -> timedelta | None:
    """Return the window's length; None where its rows have no times."""
    counts = context.counts
    if counts is None or counts.start is None or counts.end is None:
        return None
    return counts.end - counts.start


def _evidence(
    codes: _Codes, pairs: Sequence[tuple[int, int]], company: Sequence[_Company]
) -> float:
    """Return how many nats better all codes fit the other columns; correlated rows count as one.

    All readings of a sensor in an hour share one weather.
    """
    return sum(_gain(_costs(codes, [one]), pairs) / one.effect for one in company)


def _gain(cost: Floats, pairs: Sequence[tuple[int, int]]) -> float:
    now, was = np.array(pairs, np.int64).reshape(-1, 2).T
    return float((cost[now, now] - cost[now, was]).sum())


def _fault(codes: _Codes, pairs: list[tuple[int, int]]) -> Fault:
    shown = [f'"{codes.levels[was]}" as "{codes.levels[now]}"' for now, was in pairs[:SHOWN]]
    dots = ", …" if len(pairs) > SHOWN else ""
    values = tuple(codes.levels[at] for pair in pairs[:SHOWN] for at in pair)
    return Fault(KIND, f"codes look exchanged: {', '.join(shown)}{dots}", values=values)


def _codes(context: FaultContext, name: str) -> _Codes | None:
    """Return the codes of both sides; None where a column has none, or too many."""
    assert context.sample is not None
    cells, known = context.cells(name), context.sample.codes.get(name)
    if known is None or cells.is_number or not 2 <= len(cells.levels) <= CODES_MAX:
        return None
    to = np.minimum(np.arange(cells.size), len(cells.levels))
    return _Codes(cells.levels, to[context.places(name)], to[known])


def _costs(codes: _Codes, company: Sequence[_Company]) -> Floats:
    """Return the misfit of each code's rows to the reference's rows of each other one, in nats."""
    size = len(codes.levels) + 1
    cost = np.zeros((size, size))
    for one in company:
        before = _table(codes.known, one.known, size, one.size)
        usual = before[:-1].sum(axis=0)
        # Which codes a rare value came with is chance.
        often_there = usual >= LEAST_ROWS
        there = _table(codes.window, one.window, size, one.size)[:, often_there]
        share = (usual + 1 / one.size) / (usual.sum() + 1)
        profile = (before + PRIOR * share) / (before.sum(axis=1, keepdims=True) + PRIOR)
        cost -= there @ np.log(profile[:, often_there]).T
    return cost


def _moved(codes: _Codes, company: Sequence[_Company]) -> _Moved:
    """Return which code now stands for which one before, of those that take each other's rows."""
    size = len(codes.levels)
    rows = np.bincount(codes.window, minlength=size + 1)[:size]
    usual = np.bincount(codes.known, minlength=size + 1)[:size]
    often = np.flatnonzero((rows >= LEAST_ROWS) & (usual >= LEAST_ROWS))
    cost = _costs(codes, company)
    if rows.sum() < MIN_VALUES or not len(often) or not cost.any():
        return _Moved()
    best = often[cost[np.ix_(often, often)].argmin(axis=1)]
    gain = cost[often, often] - cost[often, best]
    is_moved = (best != often) & (gain >= NATS_EACH * rows[often])
    while (left := is_moved & np.isin(often, best[is_moved])).sum() < is_moved.sum():
        is_moved = left  # Its rows have no other code: it was not exchanged.
    if gain[is_moved].sum() < NATS * rows[often].sum():
        return _Moved()
    order = np.argsort(-rows[often], kind="stable")
    pairs = [(int(often[at]), int(best[at])) for at in order if is_moved[at]]
    return _Moved(pairs, float(gain[is_moved].sum()))


def _apart(rows: NDArray[np.number], usual: NDArray[np.number]) -> float:
    """Return the total variation of two columns of counts by code."""
    return float(0.5 * np.abs(rows / rows.sum() - usual / usual.sum()).sum())


def _table(codes: Ints, places: Ints, size: int, width: int) -> Floats:
    """Count rows by code and by the other column's cell."""
    flat = np.bincount(codes * width + places, minlength=size * width)
    return flat.reshape(size, width).astype(np.float64)
