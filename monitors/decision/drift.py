"""Drift of each column: the window's exact cell counts against the reference's, scanned.

Pure: profiles and a baseline in, one verdict per column out. The rule itself is significance.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.predicate import Predicate
from driftline.monitors.decision.significance import (
    BLOCKS_TRUSTED,
    MIN_ROWS,
    BlockTable,
    Numbers,
    Scan,
    design_effect,
    scan,
    usual_effect,
    wilson_interval,
)
from driftline.monitors.distances.divergences import (
    jensen_shannon_distance,
    population_stability,
)

__all__ = ["ColumnDrift", "ReferenceColumn", "block_tables", "design_effects", "judge_counts"]

# The other side of a cut, for a set that has lost rows: what gained them is what is to be shown.
OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
LONGEST_CHAIN = 6
# At most so much is borrowed from other columns. A slow process such as weather says how values
# hang together, not how many rows lose theirs at once: a column that comes empty must be found.
BORROWED_EFFECT = 30.0


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """What the baseline knows of one column.

    Parameters
    ----------
    cells
        How its rows are counted.
    counts
        The reference's rows per cell, shape (cells,).
    once_count
        Values that occur once in the reference, by which unseen ones are expected (Good-Turing);
        0 for numbers.
    """

    cells: Cells
    counts: Numbers
    once_count: int = 0

    @property
    def row_count(self) -> float:
        """Rows of the reference."""
        return float(self.counts.sum())


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The verdict on one column of one window.

    Parameters
    ----------
    column
        The user's name.
    distance, bound, p_value, evidence
        Of the strongest set; a violation iff ``distance > bound``.
    cell_index, cell
        The strongest set and its words.
    predicate
        The condition that the rows behind it meet: the set itself, or what gained the rows that
        it lost.
    share_reference, share_window, share_interval
        Shares of the rows that meet the predicate, 0-1, and the window's 95 % interval.
    needed
        The evidence at which a violation begins.
    design_effect
        How many times more the set varies than independent rows would.
    unseen_evidence, null_evidence
        Evidence of more unseen values, of more gaps.
    stability, jensen_shannon
        Over all cells, corrected for sample size; for show.
    """

    column: str
    distance: float
    bound: float
    p_value: float
    evidence: float
    cell_index: int
    cell: str
    predicate: Predicate
    share_reference: float
    share_window: float
    share_interval: tuple[float, float]
    needed: float
    design_effect: float
    unseen_evidence: float
    null_evidence: float
    stability: float
    jensen_shannon: float

    @property
    def drifted(self) -> bool:
        """Whether the distance exceeds its bound."""
        return self.distance > self.bound


def design_effects(
    references: Mapping[str, ReferenceColumn],
    tables: Mapping[str, Iterable[np.ndarray]],
    *,
    window_rows: int,
) -> dict[str, Numbers]:
    """Say how much more each column's sets vary than independent rows would.

    A column that the reference never saw empty or unfit does not tell how such rows cluster, so
    they are taken to cluster as the values of the stream's columns usually do: a session that
    comes without a value comes without it in all its rows.

    Parameters
    ----------
    references
        The judged columns.
    tables
        Cell counts of the reference's blocks by column, as ``block_tables`` gives them.
    window_rows
        Rows of the window.

    Returns
    -------
    dict
        By column: factors >= 1, shape (scanned sets,).
    """
    found: dict[str, Numbers] = {}
    usual: list[float] = []
    for name, reference in references.items():
        cells, rows = reference.cells, reference.row_count
        known = cells.scan(reference.counts).astype(np.float64)
        blocks = tuple(
            BlockTable(cells.scan(one).astype(np.float64), one.sum(axis=1).astype(np.float64))
            for one in tables.get(name, ())
        )
        found[name] = design_effect(known, rows, blocks, window_rows=window_rows)
        own = usual_effect(known, rows, found[name])
        if own is not None:
            usual.append(own)
    floor = min(float(np.median(usual)), BORROWED_EFFECT) if usual else 1.0
    for name, effect in found.items():
        never = _never_absent(references[name])
        effect[never] = np.maximum(effect[never], floor)
    return found


def _never_absent(reference: ReferenceColumn) -> NDArray[np.bool_]:
    """Mark the sets of empty and unfit values that hold no row of the reference."""
    cells = reference.cells
    absent = [cells.set_kind(index) in ("null", "unfit") for index in range(cells.scan_size)]
    never: NDArray[np.bool_] = np.asarray(absent) & (cells.scan(reference.counts) == 0)
    return never


def judge_counts(
    reference: ReferenceColumn,
    counts: NDArray[np.int64] | None,
    effect: Numbers,
    *,
    alpha: float,
    tolerance: float,
) -> ColumnDrift | None:
    """Judge one column.

    Parameters
    ----------
    reference
        What the baseline knows.
    counts
        The window's rows per cell, shape (cells,); None when they were not counted.
    effect
        As ``design_effects`` gives it for this column.
    alpha, tolerance
        As in ``significance.scan``.

    Returns
    -------
    ColumnDrift or None
        None when either side has too few rows to be judged.
    """
    rows = 0 if counts is None else int(counts.sum())
    if counts is None or min(rows, reference.row_count) < MIN_ROWS:
        return None
    cells = reference.cells
    known = cells.scan(reference.counts).astype(np.float64)
    found = cells.scan(counts).astype(np.float64)
    expected = _with_unseen(cells, known, found, reference, rows)
    result = scan(
        expected,
        reference.row_count,
        found,
        float(rows),
        alpha=alpha,
        tolerance=tolerance,
        effect=effect,
    )
    return _verdict(reference, counts, expected, found, result)


def block_tables(
    blocks: BlockCounts | None, length: timedelta | None, *, row_share: float
) -> Mapping[str, list[np.ndarray]]:
    """Cut the reference into blocks of the window's length, of half of it, and so on.

    Parameters
    ----------
    blocks
        The reference's cell counts by the hour; None gives no blocks.
    length
        The window's length; None when it is not known: then the blocks that hold as many rows.
    row_share
        Rows of the window over rows of the reference.

    Returns
    -------
    dict
        By column: cell counts, shape (blocks, cells), longest first; ends with the first length
        that has enough blocks to be trusted.
    """
    if blocks is None or blocks.hours.size == 0:
        return {}
    span_h = int(blocks.hours[-1] - blocks.hours[0]) + 1
    wanted_h = row_share * span_h if length is None else length / timedelta(hours=1)
    hours = max(1, min(round(wanted_h), span_h))
    found: dict[str, list[np.ndarray]] = {}
    trusted = 0
    for _ in range(LONGEST_CHAIN):
        table = blocks.blocks(timedelta(hours=hours))
        for name, counts in table.items():
            found.setdefault(name, []).append(counts)
        # Growth is learnt from two lengths that have enough blocks each.
        trusted += min((counts.shape[0] for counts in table.values()), default=0) >= BLOCKS_TRUSTED
        if trusted >= (1 if len(next(iter(found.values()), [])) == 1 else 2) or hours == 1:
            break
        hours = max(1, hours // 2)
    return found


def _with_unseen(
    cells: Cells, known: Numbers, found: Numbers, reference: ReferenceColumn, window_rows: int
) -> Numbers:
    """Expect as many unseen values as values that came once foretell; fewer are no drift.

    The rows that are then not unseen are among the other known values: a window that holds the
    reference's own rows, or returning customers, has no new names at all.

    References
    ----------
    Good, Biometrika 40, 1953; upper bound as in drift-methods.md section 4.2.
    """
    kinds = [cells.set_kind(index) for index in range(cells.scan_size)]
    if not reference.once_count or "unseen" not in kinds:
        return known
    expected, once = known.copy(), reference.once_count
    seen = found / window_rows * reference.row_count
    unseen = kinds.index("unseen")
    expected[unseen] = min(once + 2.42 * math.sqrt(once) + 1, seen[unseen])
    for index, one in enumerate(cells.predicates):
        if one.op == "in":
            missing = max(0.0, known[unseen] - seen[unseen])
            expected[index] = max(known[index], min(seen[index], known[index] + missing))
    return expected


def _verdict(
    reference: ReferenceColumn,
    counts: NDArray[np.int64],
    expected: Numbers,
    found: Numbers,
    result: Scan,
) -> ColumnDrift:
    cells, n, m = reference.cells, reference.row_count, float(counts.sum())
    predicate, known_count, found_count = _what_gained(cells, expected, found, result, n=n, m=m)
    more = np.where(found / m > expected / n, result.set_evidence, 0.0)
    kinds = np.array([cells.set_kind(index) for index in range(cells.scan_size)])
    return ColumnDrift(
        column=cells.column,
        distance=result.distance,
        bound=result.bound,
        p_value=result.p_value,
        evidence=result.evidence,
        cell_index=result.index,
        cell=cells.scan_names[result.index],
        predicate=predicate,
        share_reference=known_count / n,
        share_window=found_count / m,
        share_interval=wilson_interval(found_count, m),
        needed=result.needed,
        design_effect=result.design_effect,
        unseen_evidence=_largest(more, kinds == "unseen"),
        null_evidence=_largest(more, kinds == "null"),
        stability=population_stability(reference.counts, counts, corrected=True),
        jensen_shannon=jensen_shannon_distance(reference.counts, counts, corrected=True),
    )


def _largest(values: Numbers, chosen: np.ndarray) -> float:
    return float(values[chosen].max()) if chosen.any() else 0.0


def _what_gained(
    cells: Cells, known: Numbers, found: Numbers, result: Scan, *, n: float, m: float
) -> tuple[Predicate, float, float]:
    """Give the set that gained rows, with its rows in reference and window.

    A set that lost rows has no rows to show: the other side of its cut has, or, for a level, the
    set with the strongest gain.
    """
    strongest = cells.predicate(result.index)
    if found[result.index] / m >= known[result.index] / n:
        return strongest, float(known[result.index]), float(found[result.index])
    if strongest.op in OPPOSITE and strongest.op != "gt":
        # Every present number lies on one side of the cut or on the other.
        absent = [
            index for index, one in enumerate(cells.predicates) if one.op in ("null", "unfit")
        ]
        flipped = Predicate(strongest.column, OPPOSITE[strongest.op], strongest.value)  # type: ignore[arg-type]  # The table holds operators only.
        return (
            flipped,
            n - float(known[result.index] + known[absent].sum()),
            m - float(found[result.index] + found[absent].sum()),
        )
    gain = np.where(found / m > known / n, result.set_evidence, -1.0)
    ties = found / m - known / n
    index = int(np.lexsort((ties, gain))[-1])
    if gain[index] < 0:  # What came instead is no scanned set, as where nothing was ever there.
        index = result.index
    return cells.predicate(index), float(known[index]), float(found[index])
