"""Rows by cell as numbers that can be correlated: a normal score for a number, 0/1 for a level.

A number's score is the normal quantile of its cell's mid-rank, so that outliers count like all
others; a text or boolean gives one column for each frequent level, and gaps have one of their own.
Shapes: n rows, S score columns.

References
----------
van der Waerden, 1952 (normal scores); docs/reference/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.cells import Cells

Codes = NDArray[np.unsignedinteger]
Matrix = NDArray[np.float32]

# Levels of a column that are looked at, and the rarest of them: pairs of rarer ones meet so seldom
# that nothing can be said of them.
LEVELS_MAX = 8
RAREST = 0.02
# Score columns in all: their pairs are as many as half the square.
SCORES_MAX = 600
# Score columns of all but the last two cells, which are the empty and the unfit.
ABSENT = 2


@dataclass(frozen=True, slots=True)
class Score:
    """One column of scores."""

    column: str
    label: str  # ``temp``, ``carrier = "UA"``, ``tail is empty``.
    # The cell whose rows have 1; None for the normal score of a number, -1 for empty.
    cell: int | None = None


def cell_counts(codes: Mapping[str, Codes], cells: Mapping[str, Cells]) -> dict[str, np.ndarray]:
    """Count the rows in each column's cells, int64, shape (cells,)."""
    return {name: np.bincount(codes[name], minlength=cells[name].size) for name in codes}


def plan_scores(counts: Mapping[str, np.ndarray], cells: Mapping[str, Cells]) -> tuple[Score, ...]:
    """Choose the score columns that vary in a reference, by its rows in each cell.

    Numbers first, at most 600 in all.
    """
    numbers, others = [], []
    for name, found in counts.items():
        cell, rows = cells[name], int(found.sum())
        held = found[: cell.size - ABSENT]
        if not rows:
            continue
        if cell.is_number and np.count_nonzero(held) > 1:
            numbers.append(Score(name, name))
        elif cell.levels:
            others += _levels(name, cell, held)
        if RAREST <= 1.0 - held.sum() / rows <= 1.0 - RAREST:
            others.append(Score(name, f"{name} is empty", -1))
    return tuple([*numbers, *others][:SCORES_MAX])


def _levels(name: str, cell: Cells, held: np.ndarray) -> list[Score]:
    shares = held[: len(cell.levels)] / max(held.sum(), 1)
    chosen = [at for at in np.argsort(-shares, kind="stable") if RAREST <= shares[at] < 1 - RAREST]
    if len(chosen) > 1 and shares[chosen[:2]].sum() > 1.0 - RAREST:
        chosen = chosen[:1]  # The second is what the first is not.
    return [Score(name, f"{name} {cell.describe(at)}", int(at)) for at in chosen[:LEVELS_MAX]]


def score_tables(
    plan: Sequence[Score], counts: Mapping[str, np.ndarray], cells: Mapping[str, Cells]
) -> tuple[list[np.ndarray], NDArray[np.float64]]:
    """Return the score of each cell, by the ranks that these counts give.

    Returns
    -------
    tuple
        For each score column one value for each cell, mean 0 and variance 1 over the counted rows,
        NaN for cells of no value; and, shape (S,), the variance that the scores had before: near 1
        for numbers well spread over their cells, 0 where all rows are in one cell.
    """
    tables, spreads = [], np.zeros(len(plan))
    for place, one in enumerate(plan):
        size, found = cells[one.column].size, counts[one.column].astype(np.float64)
        table = np.full(size, np.nan)
        if one.cell == -1:
            table[:] = np.arange(size) >= size - ABSENT
        elif one.cell is not None:
            table[: size - ABSENT] = np.arange(size - ABSENT) == one.cell
        else:
            held = found[: size - ABSENT]
            ranks = (np.cumsum(held) - held / 2) / max(held.sum(), 1.0)
            table[: size - ABSENT] = special.ndtri(np.clip(ranks, 1e-6, 1 - 1e-6))
        present = ~np.isnan(table)
        weights = found[present] / max(found[present].sum(), 1.0)
        mean = float(weights @ table[present])
        spreads[place] = weights @ (table[present] - mean) ** 2
        tables.append((table - mean) / np.sqrt(spreads[place]) if spreads[place] > 0 else table * 0)
    return tables, spreads


def score_rows(
    plan: Sequence[Score], tables: Sequence[np.ndarray], codes: Mapping[str, Codes]
) -> Matrix:
    """Return each row's scores, shape (n, S), NaN where the row has no value."""
    rows = len(next(iter(codes.values()))) if codes else 0
    found = np.empty((rows, len(plan)), np.float32)
    for place, (one, table) in enumerate(zip(plan, tables, strict=True)):
        found[:, place] = table.astype(np.float32)[codes[one.column]]
    return found
