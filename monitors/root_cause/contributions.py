"""The contribution of each row to a violation; over one violation they sum to 1.

A cell with more rows than expected from the reference has an excess, shared among its rows. Where
no cell has any, or the violation has no cells, all rows contribute equally. Over several violations
a row's contributions are weighted by those of the violations.
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
class Contribution:
    """The condition of a violation, and what its rows contribute."""

    feature: str
    predicate: Condition
    share_of_blame: float  # Of the feature, 0-1; all of its violations carry it.


def contributions_of(violations: Sequence[Violation]) -> list[Contribution]:
    """Return the contributions of the violations that have rows behind them."""
    found = [
        Contribution(violation.feature_name, violation.predicate, violation.share_of_blame)
        for violation in violations
        if violation.predicate is not None
    ]
    if not found and len(violations) == 1:
        only = violations[0]
        raise InputError(f"{only.feature_name}: {only.constraint_check_type} has no rows behind it")
    if not found:
        raise InputError("no violation has rows behind it")
    return found


@dataclass(slots=True)
class RowContributions:
    """The contribution of each row; made by `weigh`."""

    contributions: Sequence[Contribution]
    weights: Floats  # Sum to 1.
    # Of each, the cells whose excess is shared; None: all rows bear the same.
    cells: Sequence[Cells | None]
    # Of each, what a row of a cell bears, shape (cells,); shape (1,) without cells.
    per_row: list[Floats] = field(default_factory=list)
    row_count: int = 0

    def of(self, batch: pa.RecordBatch) -> tuple[NDArray[np.bool_], Floats]:
        """Return which rows of a batch contribute, (rows,), and how much, 0-1, (rows,).

        Over all weighed rows the second sums to 1.
        """
        found = np.zeros(batch.num_rows, np.bool_)
        total = np.zeros(batch.num_rows)
        for contribution, weight, cells, per_row in zip(
            self.contributions, self.weights, self.cells, self.per_row, strict=True
        ):
            mask = contribution.predicate.mask(batch).to_numpy(zero_copy_only=False)
            total[mask] += weight * per_row[_codes(batch, contribution, cells, mask)]
            found |= mask
        return found, total


def weigh(
    batches: Iterable[pa.RecordBatch],
    contributions: Sequence[Contribution],
    references: Mapping[str, ReferenceColumn],
) -> RowContributions:
    """Read rows once to compute their contributions."""
    often = Counter(contribution.feature for contribution in contributions)
    weights = np.array(
        [
            contribution.share_of_blame / often[contribution.feature]
            for contribution in contributions
        ]
    )
    known = [_reference(contribution, references) for contribution in contributions]
    cells = [None if one is None else one.cells for one in known]
    counts = [np.zeros(1 if one is None else one.size) for one in cells]
    rows = found = 0
    for batch in batches:
        anywhere = np.zeros(batch.num_rows, np.bool_)
        for one, cell, count in zip(contributions, cells, counts, strict=True):
            mask = one.predicate.mask(batch).to_numpy(zero_copy_only=False)
            count += np.bincount(_codes(batch, one, cell, mask), minlength=count.size)
            anywhere |= mask
        rows, found = rows + batch.num_rows, found + int(anywhere.sum())
    has_rows = np.array([count.sum() > 0 for count in counts])
    weights = np.where(has_rows, weights, 0.0)
    if not weights.sum():  # Of kinds without shares.
        weights = has_rows.astype(np.float64)
    shares = RowContributions(
        contributions, weights / max(weights.sum(), 1e-300), cells, row_count=found
    )
    for reference, count in zip(known, counts, strict=True):
        excess = count
        if reference is not None:
            expected = reference.counts / reference.counts.sum()
            excess = np.maximum(count - rows * expected, 0.0)
            excess = excess if excess.sum() > 0 else count
        per_cell = excess / max(excess.sum(), 1e-300)
        shares.per_row.append(np.divide(per_cell, count, out=np.zeros_like(count), where=count > 0))
    return shares


def _reference(
    one: Contribution, references: Mapping[str, ReferenceColumn]
) -> ReferenceColumn | None:
    """Return the reference of a set of whole cells; None where a condition splits cells."""
    found = references.get(one.predicate.column)
    if found is None or one.predicate not in found.cells.predicates:
        return None
    return found if found.counts.sum() > 0 else None


def _codes(
    batch: pa.RecordBatch, one: Contribution, cells: Cells | None, mask: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the cells of the marked rows."""
    held = int(mask.sum())
    if cells is None or not held:
        return np.zeros(held, np.int64)
    return np.asarray(cells.assign(pc.filter(batch.column(one.predicate.column), pa.array(mask))))
