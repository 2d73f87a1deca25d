"""How much of a violation's blame each row bears; over one violation the shares sum to 1.

A cell that holds more rows than the reference leads to expect has an excess. It is shared among the
cell's rows; where no cell has any, or the violation is about no cells, all rows bear the same. Over
several violations a row bears its share of each, weighted by the violation's share of all blame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.cells import Cells
from driftline.baseline.condition import Condition
from driftline.errors import InputError
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.results.violation import Violation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Blamed:
    """What is blamed: the rows that meet a condition.

    Parameters
    ----------
    feature, predicate
        The violation's.
    share_of_blame
        Of the feature, 0-1; its violations carry the same.
    """

    feature: str
    predicate: Condition
    share_of_blame: float


def blamed_by(violations: Sequence[Violation]) -> list[Blamed]:
    """Give what violations blame: those that have rows behind them.

    Raises
    ------
    InputError
        When none has.
    """
    found = [
        Blamed(one.feature_name, one.predicate, one.share_of_blame)
        for one in violations
        if one.predicate is not None
    ]
    if not found and len(violations) == 1:
        only = violations[0]
        raise InputError(f"{only.feature_name}: {only.constraint_check_type} has no rows behind it")
    if not found:
        raise InputError("no violation has rows behind it")
    return found


@dataclass(slots=True)
class RowShares:
    """Gives rows their share of the blame; made by `weigh`.

    Parameters
    ----------
    blamed, weights
        What is blamed, and how much each counts, summing to 1.
    cells
        Of each, the cells whose excess is shared; None: all rows bear the same.
    per_row
        Of each, what a row of a cell bears, shape (cells,); shape (1,) without cells.
    row_count
        Rows that meet any of the conditions.
    """

    blamed: Sequence[Blamed]
    weights: Floats
    cells: Sequence[Cells | None]
    per_row: list[Floats] = field(default_factory=list)
    row_count: int = 0

    def of(self, batch: pa.RecordBatch) -> tuple[NDArray[np.bool_], Floats]:
        """Mark the blamed rows of a batch, and give what each row bears, 0-1; shape (rows,) both.

        Over all rows that were weighed the second sums to 1.
        """
        found = np.zeros(batch.num_rows, np.bool_)
        total = np.zeros(batch.num_rows)
        for one, weight, cells, per_row in zip(
            self.blamed, self.weights, self.cells, self.per_row, strict=True
        ):
            mask = one.predicate.mask(batch).to_numpy(zero_copy_only=False)
            total[mask] += weight * per_row[_codes(batch, one, cells, mask)]
            found |= mask
        return found, total


def weigh(
    batches: Iterable[pa.RecordBatch],
    blamed: Sequence[Blamed],
    references: Mapping[str, ReferenceColumn],
) -> RowShares:
    """Read rows once to see what each of them bears.

    Parameters
    ----------
    batches
        All rows of the window.
    blamed
        At least one violation that has rows behind it.
    references
        By column: the reference's cells and counts; columns without them have equal shares.
    """
    often = Counter(one.feature for one in blamed)
    weights = np.array([one.share_of_blame / often[one.feature] for one in blamed])
    known = [_reference(one, references) for one in blamed]
    cells = [None if one is None else one.cells for one in known]
    counts = [np.zeros(1 if one is None else one.size) for one in cells]
    rows = found = 0
    for batch in batches:
        anywhere = np.zeros(batch.num_rows, np.bool_)
        for one, cell, count in zip(blamed, cells, counts, strict=True):
            mask = one.predicate.mask(batch).to_numpy(zero_copy_only=False)
            count += np.bincount(_codes(batch, one, cell, mask), minlength=count.size)
            anywhere |= mask
        rows, found = rows + batch.num_rows, found + int(anywhere.sum())
    has_rows = np.array([count.sum() > 0 for count in counts])
    weights = np.where(has_rows, weights, 0.0)
    if not weights.sum():  # Of kinds that blame nobody in particular.
        weights = has_rows.astype(np.float64)
    shares = RowShares(blamed, weights / max(weights.sum(), 1e-300), cells, row_count=found)
    for reference, count in zip(known, counts, strict=True):
        excess = count
        if reference is not None:
            expected = reference.counts / reference.counts.sum()
            excess = np.maximum(count - rows * expected, 0.0)
            excess = excess if excess.sum() > 0 else count
        per_cell = excess / max(excess.sum(), 1e-300)
        shares.per_row.append(np.divide(per_cell, count, out=np.zeros_like(count), where=count > 0))
    return shares


def _reference(one: Blamed, references: Mapping[str, ReferenceColumn]) -> ReferenceColumn | None:
    """Give the reference of a set of whole cells; other conditions cut cells in two."""
    found = references.get(one.predicate.column)
    if found is None or one.predicate not in found.cells.predicates:
        return None
    return found if found.counts.sum() > 0 else None


def _codes(
    batch: pa.RecordBatch, one: Blamed, cells: Cells | None, mask: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Give the cells of the marked rows."""
    held = int(mask.sum())
    if cells is None or not held:
        return np.zeros(held, np.int64)
    return np.asarray(cells.assign(pc.filter(batch.column(one.predicate.column), pa.array(mask))))
