"""How much of a change of a share lies in each segment of rows, and whether that may be chance.

A share of rows changes because the rate within segments changed, or because segments grew that had
another rate. What a segment holds is measured against its own rate in the reference, and beside
what it would hold if no segment were behind the change: if every row that does not meet the
condition yet were as likely to, and if all rates grew in proportion. So neither a segment nearly
all of whose rows met it already, nor one that rows of this kind come from alone, is named.

References
----------
Kitagawa, "Components of a difference between two rates", JASA 50, 1955 (within and mix).
Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990 (segments tried).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

# A segment is named when it surely holds so much of the change, and so many times what it would if
# no segment were behind it, in so many rows.
HALF = 0.5
LIFT = 1.3
MIN_ROWS = 5
# One-sided 90%.
SURE = 1.28
# Reference rows by which "such rows come from here" is shrunk to the segment's share of all rows.
PRIOR = 5.0
# A cut through the reference's own values is crossed by a column that moved as a whole, and first
# where values lie next to it: then the rest must rest, in deviations, or hold next to nothing.
QUIET = 3.0
NEARLY = 0.9
# A segment of which so many rows changed, and that holds so many of those that did, is the change.
SAME_ROWS = 0.95
# A segment whose growth explains so much of the change is told as that.
GROWTH = 0.8
# Reference rows in a segment and in the set, of those in either, from which on they are the same.
SAME = 0.8
# Chance of a false name for each violation, over all segments tried of a kind.
FALSE_SINGLE, FALSE_PAIR, FALSE_GROWTH = 2e-3, 2e-3, 1e-3
TINY = 1e-9

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Whole:
    """A set of rows in the window and in the reference."""

    rows: float
    matching: float
    reference_rows: float
    reference_matching: float
    # Of the reference's rows those that could have met it: a frequent value such as 0 stays what
    # it is when numbers are multiplied.
    reference_able: float
    is_loss: bool = False  # It lost rows: what is asked is where they are missing.
    is_cut: bool = False  # Numbers beyond a cut that lies inside of the reference's range.
    design_effect: float = 1.0
    is_placed: bool = True  # Whether it is known in which segments the reference had such rows.

    @property
    def rate(self) -> float:
        """Share of the reference's rows."""
        return self.reference_matching / self.reference_rows

    @property
    def change(self) -> float:
        """Rows of the window by which it grew, or shrank where that is asked."""
        gained = self.matching - self.rows * self.rate
        return -gained if self.is_loss else gained


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What lies in each segment, shape (S,)."""

    rows: Floats
    matching: Floats
    reference_rows: Floats
    reference_matching: Floats
    reference_able: Floats
    reference_share: Floats  # Of the reference's rows; NaN where that is not known.
    # Rows gained within all levels of the segment's column: free of how their mix changed.
    within_column: Floats

    def take(self, chosen: NDArray[np.intp] | Bools) -> Parts:
        """Return some of the segments."""
        return Parts(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def whole(self, place: int, around: Whole) -> Whole:
        """Return one of the segments as what is looked at."""
        return replace(
            around,
            rows=float(self.rows[place]),
            matching=float(self.matching[place]),
            reference_rows=max(float(self.reference_rows[place]), 1.0),
            reference_matching=float(self.reference_matching[place]),
            reference_able=float(self.reference_able[place]),
        )

    def joined(self) -> Parts:
        """Return levels of one column as one segment."""
        summed = {one.name: getattr(self, one.name).sum(keepdims=True) for one in fields(self)}
        return Parts(**{**summed, "within_column": self.within_column[:1]})


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What each segment holds of a change, shape (S,)."""

    share: Floats  # Of the change, 0-1.
    base: Floats  # What it would hold if no segment were behind the change, 0-1.
    evidence: Floats  # Against that, in nats.
    is_sure: Bools  # Whether half of the change lies in it beyond chance.
    within: Floats  # Change within it, in rows.
    growth: Floats  # Change by its growth, in rows; NaN where that is not known.
    share_of_rows: Floats
    rest: Floats  # Change within all other segments of the column, in deviations; a fall below 0.
    effect: Floats  # How many times more it varies than independent rows.

    @property
    def score(self) -> Floats:
        """What segments are ranked by."""
        return self.share - self.base

    def stands(self, needed: float, *, is_cut: bool) -> Bools:
        """Return which segments are to be named."""
        found = self.is_sure & (self.share >= HALF) & (self.share >= LIFT * self.base)
        found &= (self.within >= MIN_ROWS) & (self.evidence >= needed)
        return found & ((self.rest < QUIET) | (self.share >= NEARLY)) if is_cut else found


def measure(parts: Parts, whole: Whole) -> Held:
    """Measure what each segment holds of a change; a loss is the gain of all other rows.

    Parameters
    ----------
    parts
        The segments, shape (S,) each.
    whole
        The rows that changed, in the window and in the reference.

    Returns
    -------
    Held
        What each holds, shape (S,) each.
    """
    rows, outside = parts.rows, np.maximum(whole.rows - parts.rows, TINY)
    known = parts.reference_rows
    known_outside = np.maximum(whole.reference_rows - known, 0.0)
    usual = whole.rate
    met = parts.reference_matching
    before = (met + usual) / (known + 1)
    left = (whole.reference_matching - met + usual) / (known_outside + 1)
    before_outside = np.clip(np.where(known_outside > 0, left, usual), 0.0, 1.0)
    matching, total, column = parts.matching, whole.matching, parts.within_column
    if whole.is_loss:
        matching, total, column = rows - matching, whole.rows - total, -column
        before, before_outside = 1 - before, 1 - before_outside
    change = whole.change
    now, now_outside = matching / rows, (total - matching) / outside
    within = matching - rows * before
    elsewhere = column - within
    base, expected = _expected(parts, whole, before, before_outside, total)
    share = within / np.maximum(np.maximum(within + elsewhere, change), TINY)
    inside = _Side(rows, now, before, known)
    beside = _Side(outside, now_outside, before_outside, known_outside)
    variance = (1 - HALF) ** 2 * inside.variance + HALF**2 * beside.variance
    # Rows that hang together change together. Where all of a segment did, and hardly any other,
    # that is this segment, whatever its rows share.
    is_same = (now >= SAME_ROWS) & (matching >= SAME_ROWS * total)
    effect = np.where(is_same, 1.0, whole.design_effect)
    deviation = np.sqrt(effect * variance)
    # Where next to none are left, how many they are tells nothing of how far chance takes them.
    usually = _Side(outside, before_outside, before_outside, known_outside)
    around = np.where(elsewhere < 0, usually.variance, beside.variance)
    grown = parts.rows / whole.rows - parts.reference_share
    return Held(
        share=np.clip(share, 0.0, 1.0),
        base=base,
        evidence=_evidence(inside, beside, expected, total) / effect,
        is_sure=(1 - HALF) * within - HALF * elsewhere > SURE * deviation,
        within=within,
        growth=whole.rows * grown * (before - before_outside),
        share_of_rows=rows / whole.rows,
        rest=elsewhere / np.sqrt(whole.design_effect * around),
        effect=effect,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The rows of segments, or all rows beside them."""

    rows: Floats
    now: Floats
    before: Floats
    known: Floats  # Rows of the reference.

    @property
    def variance(self) -> Floats:
        """Of the rows gained: those of the window are a sample, and the reference's too."""
        sampled = self.rows**2 * self.before * (1 - self.before) / np.maximum(self.known, 1)
        return self.rows * self.now * (1 - self.now) + sampled + 0.25


def _expected(
    parts: Parts, whole: Whole, before: Floats, before_outside: Floats, total: float
) -> tuple[Floats, Floats]:
    """Return share of the change and matching rows in each segment if none were behind it."""
    rows, outside = parts.rows, np.maximum(whole.rows - parts.rows, TINY)
    usual = rows * before + outside * before_outside
    left = np.maximum(whole.rows - usual, TINY)
    share = rows / whole.rows
    base = np.maximum(share, rows * (1 - before) / left)
    fresh = rows * (before + (total - usual) / left * (1 - before))
    if not whole.is_loss:
        met = whole.reference_matching
        origin = rows * before / np.maximum(usual, TINY)
        base = np.maximum(base, (met * origin + PRIOR * share) / (met + PRIOR))
        factor = total / np.maximum(usual, TINY)
        possible = (factor * np.maximum(before, before_outside) <= 1) & (met >= PRIOR)
        fresh = np.maximum(fresh, np.where(possible, rows * factor * before, 0.0))
        able = _share_able(parts, whole)
        base = np.maximum(base, able)
        fresh = np.maximum(fresh, rows * before + (total - usual) * able)
    return base, np.clip(fresh, TINY, np.minimum(rows, max(total, TINY)))


def _share_able(parts: Parts, whole: Whole) -> Floats:
    """Return the share of the window's rows that could meet the set which lies in each segment."""
    rows, outside = parts.rows, np.maximum(whole.rows - parts.rows, TINY)
    known_outside = np.maximum(whole.reference_rows - parts.reference_rows, 0.0)
    able, usual = whole.reference_able, whole.reference_able / whole.reference_rows
    inside = rows * (parts.reference_able + usual) / (parts.reference_rows + 1)
    left = np.maximum(able - parts.reference_able, 0.0)
    beside = outside * (left + usual) / (known_outside + 1)
    share = inside / np.maximum(inside + beside, TINY)
    return np.asarray((able * share + PRIOR * rows / whole.rows) / (able + PRIOR))


def _evidence(inside: _Side, beside: _Side, expected: Floats, total: Floats | float) -> Floats:
    """Bound the chance of so many matching rows in a segment (Chernoff), in nats."""
    usual, usual_beside = expected / inside.rows, (total - expected) / beside.rows
    found = inside.rows * divergence(inside.now, usual)
    found += beside.rows * divergence(beside.now, np.clip(usual_beside, 0.0, 1.0))
    spread = inside.known * usual * (1 - usual)
    sampled = inside.rows * inside.before * (1 - inside.before) / np.maximum(spread, TINY)
    return np.where(inside.now > usual, found / (1 + sampled), 0.0)


def divergence(found: Floats, expected: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of two shares in nats.

    Parameters
    ----------
    found, expected
        Shares, 0-1, of shapes that broadcast. `expected` is kept within 1e-12 of 0 and 1, so that
        what was impossible costs much and not without bound.
    """
    wanted = np.clip(expected, 1e-12, 1 - 1e-12)
    present = np.clip(found, 0.0, 1.0)
    return np.asarray(special.rel_entr(present, wanted) + special.rel_entr(1 - present, 1 - wanted))


def needed(share_of_rows: Floats, whole: Whole, chance: float) -> float:
    """Return the evidence that a segment needs among all that could have any (Tarone).

    Parameters
    ----------
    share_of_rows
        Of each segment tried in the window, 0-1, shape (S,).
    whole
        What is looked at.
    chance
        Of a false name among all segments.

    Returns
    -------
    float
        In nats. Segments too small to reach it, whatever they held, are not counted.
    """
    most = np.sort(best_evidence(share_of_rows, whole))[::-1]
    fails = most < np.log(np.arange(1, most.size + 1) / chance)
    tried = int(np.argmax(fails)) + 1 if fails.any() else most.size
    return math.log(max(tried, 1) / chance)


def best_evidence(share_of_rows: Floats, whole: Whole) -> Floats:
    """Return the evidence of segments of such sizes if they held all of a change.

    In nats, of the shape of `share_of_rows` (0-1); 0 where `whole` did not change as asked.
    """
    return max(whole.change, 0.0) * -np.log(np.clip(share_of_rows, TINY, 1.0))


def mixed(parts: Parts, whole: Whole, column: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the columns whose mix of segments explains a gain, with the rates as they were.

    Parameters
    ----------
    parts, whole
        The segments of all columns, and what is looked at.
    column
        The column of each segment, shape (S,).

    Returns
    -------
    numpy.ndarray
        Columns within whose segments at most a fifth of the gain lies, the least first; empty for a
        loss. A column of which one segment is the same rows under another name is none.

    References
    ----------
    Kitagawa, "Components of a difference between two rates", JASA 50, 1955.
    """
    if whole.is_loss or whole.change <= 0:
        return np.zeros(0, np.intp)
    found = np.abs(parts.within_column) <= (1 - GROWTH) * whole.change
    able = np.setdiff1d(column[found], column[_is_same(parts, whole)])
    first = np.array([np.flatnonzero(column == one)[0] for one in able], np.intp)
    return able[np.argsort(np.abs(parts.within_column[first]), kind="stable")]


def _is_same(parts: Parts, whole: Whole) -> Bools:
    """Whether each segment, or all but it, is the same rows of the reference by another name."""
    met = parts.reference_matching
    beside, rest = whole.reference_matching - met, whole.reference_rows - parts.reference_rows
    is_level = met >= SAME * (parts.reference_rows + beside)
    return np.asarray(is_level | ((beside > 0) & (beside >= SAME * (rest + met))))


def gone(parts: Parts, whole: Whole) -> Bools:
    """Return which segments explain a change by having no row left, all others as they were.

    Parameters
    ----------
    parts, whole
        The segments, and what is looked at.

    Returns
    -------
    numpy.ndarray
        Shape (S,); the chance of a false one among all that the reference has is `FALSE_GROWTH`.
    """
    known, met = parts.reference_rows, parts.reference_matching
    beside = np.maximum(whole.reference_rows - known, TINY)
    lost = whole.rows * parts.reference_share
    explained = lost * ((whole.reference_matching - met) / beside - met / np.maximum(known, TINY))
    explained = -explained if whole.is_loss else explained
    change, tried = whole.change, max(int((known > 0).sum()), 1)
    found = (parts.rows == 0) & (known > 0) & (explained >= GROWTH * change)
    found &= (explained <= change / GROWTH) & (change > 0) & ~_is_same(parts, whole)
    found &= lost / whole.design_effect >= math.log(tried / FALSE_GROWTH)
    return np.asarray(found)


def grown(held: Held, parts: Parts, whole: Whole, tried: int) -> Bools:
    """Return which segments explain a change by having grown, with the rates as they were.

    Parameters
    ----------
    held
        What each segment holds of the change, as `measure` says.
    parts, whole
        The segments, and what is looked at.
    tried
        How many segments were tried; the chance of a false one among all is `FALSE_GROWTH`.

    Returns
    -------
    numpy.ndarray
        Shape (S,); none without a change, and none that is the same rows under another name.

    References
    ----------
    Kitagawa, "Components of a difference between two rates", JASA 50, 1955.
    """
    before = np.clip(parts.reference_share, TINY, 1.0)
    evidence = parts.rows * divergence(held.share_of_rows, before) / whole.design_effect
    change = whole.change
    found = (held.growth >= GROWTH * change) & (held.growth <= change / GROWTH)
    found &= (np.abs(held.within) <= (1 - GROWTH) * change) & (change > 0)
    found &= ~_is_same(parts, whole)
    return found & (evidence >= math.log(tried / FALSE_GROWTH))
