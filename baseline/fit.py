"""Reference data to everything a baseline holds, in two readings.

The first makes the profile and from it the cells; the second counts the cells exactly, by hour
when there is an event time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.cells import Cells, number_cells, text_cells
from driftline.baseline.coercion import coerce
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints
from driftline.baseline.outcomes import OutcomeCollector, Outcomes, resolve
from driftline.baseline.profile import Profile
from driftline.baseline.schema import infer_signature
from driftline.baseline.source import Source
from driftline.baseline.suggest import suggest
from driftline.classes import (
    class_order,
    class_text,
    classes_of_columns,
    known_classes,
    merged_classes,
)
from driftline.errors import InputError
from driftline.roles import Roles
from driftline.signature import Column, Signature

__all__ = ["Fitted", "column_cells", "fit_source"]

# Text with so few values has them listed in the signature.
LISTED_LEVELS = 50
JUDGED_ROLES = ("feature", "prediction", "probability")


@dataclass(frozen=True)
class Fitted:
    """What came out of fitting: the parts of a Baseline."""

    signature: Signature
    profile: Profile
    constraints: Constraints
    cells: dict[str, Cells]
    blocks: BlockCounts | None
    outcomes: Outcomes | None


def fit_source(
    source: Source,
    roles: Roles,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Fitted:
    """Fit opened data; parameters and errors as in `Baseline.fit`."""
    signature = infer_signature(source.schema, roles)
    source = source.buffered()
    steps = _Progress(progress, source.row_count)
    profile = Profile.empty(signature)
    collector = OutcomeCollector(roles, signature)
    for batch in steps.over(source.batches()):
        profile.update(batch)
        collector.add(batch)
    if not profile.row_count:
        raise InputError("the reference data holds no rows; expected at least one")
    _check_event_time(signature, profile)
    signature = _with_levels(signature, profile, roles)
    cells = {
        column.name: column_cells(profile.columns[column.name])
        for column in signature.columns
        if column.role in JUDGED_ROLES
    }
    blocks = _count(steps.over(source.batches()), profile, cells, signature.event_time)
    constraints = suggest(profile)
    outcomes = _outcomes(roles, signature, collector.table(), profile.row_count)
    return Fitted(signature, profile, constraints, cells, blocks, outcomes)


def _outcomes(
    roles: Roles, signature: Signature, table: pa.Table, row_count: int
) -> Outcomes | None:
    """Keep outcomes when there are any: a model's answers, or groups to compare."""
    if roles.prediction is None and not roles.probability and not roles.facets:
        return None
    return Outcomes(resolve(roles, signature, table), table, row_count)


def _check_event_time(signature: Signature, profile: Profile) -> None:
    name = signature.event_time
    if name is None:
        return
    column = profile.columns[name]
    if column.type != "timestamp" or column.unfit_count == column.present_count:
        raise InputError(
            f'timestamp "{name}": the column holds no times; expected such as 2013-01-15T06:00:00Z'
        )


class _Progress:
    """Tells the caller how many rows are done; each row counts in both readings."""

    def __init__(self, tell: Callable[[int, int | None], None] | None, rows: int | None) -> None:
        self._tell = tell
        self._done = 0
        self._total = None if rows is None else 2 * rows

    def over(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            self._done += batch.num_rows
            if self._tell is not None:
                self._tell(self._done, self._total)


def column_cells(column: ColumnProfile) -> Cells:
    """Choose a column's cells from its profile."""
    if column.is_number:
        values, weights = column.sketch.weighted()
        if column.moments.count:
            # The sketch may have lost the ends; they bound what the reference has seen.
            ends = [column.moments.minimum, column.moments.maximum]
            inside = np.isin(ends, values)
            extra = np.asarray(ends)[~inside]
            order = np.argsort(np.concatenate([values, extra]), kind="stable")
            weights = np.concatenate([weights, np.zeros(len(extra))])[order]
            values = np.concatenate([values, extra])[order]
        few = column.distinct.is_exact and column.distinct.value == len(values)
        return number_cells(column.name, column.type, values, weights, few=few)
    if column.type == "timestamp":
        return Cells(column.name, column.type)
    return text_cells(
        column.name,
        column.type,
        dict(column.levels.ranked()),
        complete=column.levels.is_exact,
        row_count=column.present_count,
    )


def _count(
    batches: Iterator[pa.RecordBatch],
    profile: Profile,
    cells: Mapping[str, Cells],
    event_time: str | None,
) -> BlockCounts | None:
    """Count the reference on its own cells, leaving the counts in the profile."""
    counters = {
        name: _ReferenceCounter(cell, profile.columns[name]) for name, cell in cells.items()
    }
    blocks = None
    if event_time is not None:
        blocks = BlockCounter({name: cell.size for name, cell in cells.items()})
    for batch in batches:
        codes = {
            name: counter.update(batch.column(name), by_row=blocks is not None)
            for name, counter in counters.items()
        }
        if blocks is not None and event_time is not None:
            times, _ = coerce(batch.column(event_time), "timestamp")
            known = times.is_valid().to_numpy(zero_copy_only=False)
            moments = pc.cast(times.drop_null(), pa.int64()).to_numpy(zero_copy_only=False)
            blocks.update(moments, {name: found[known] for name, found in codes.items()})
    for name, counter in counters.items():
        profile.columns[name].cells = counter.cells
        profile.columns[name].cell_counts = counter.counts
    return None if blocks is None else blocks.result()


class _ReferenceCounter:
    """Counts the reference on its own cells.

    A text value that occurred just once is unknown to the rest of the reference, so its row counts
    as unseen: the share of such rows estimates how often a window will bring a new value
    (Good-Turing; drift-methods, 4.2). Counted the plain way that share would always be 0, and a
    column with ever new names would alarm for ever.
    """

    def __init__(self, cells: Cells, column: ColumnProfile) -> None:
        self.cells = cells
        self.counts = np.zeros(cells.size, dtype=np.int64)
        self._repeated = cells
        if cells.known is not None:
            known = set(cells.known)
            single = {value for value, count in column.levels.ranked() if count == 1}
            self._repeated = replace(cells, known=tuple(sorted(known - single)))

    def update(self, array: pa.Array, *, by_row: bool) -> np.ndarray:
        """Add rows; give each row's cell when asked, else nothing."""
        if not by_row:
            self.counts += self._repeated.count(array)
            return np.empty(0, dtype=np.int64)
        codes = self._repeated.assign(array)
        self.counts += np.bincount(codes, minlength=self.cells.size)
        return codes


def _with_levels(signature: Signature, profile: Profile, roles: Roles) -> Signature:
    """List the values of text columns that have few, and the classes of the prediction."""

    def levels(column: Column) -> Column:
        found = profile.columns[column.name].levels
        if column.type != "string" or not found.is_exact or len(found.values) > LISTED_LEVELS:
            return column
        return replace(column, levels=tuple(sorted(found.values.to_pylist())))

    features = tuple(levels(column) for column in signature.features)
    classes = None if roles.problem == "regression" else _classes(signature, profile, roles)
    outputs = tuple(_with_classes(column, signature, classes) for column in signature.outputs)
    return replace(signature, features=features, outputs=outputs)


def _classes(signature: Signature, profile: Profile, roles: Roles) -> tuple[str, ...] | None:
    """Give the label's (or prediction's) values, the positive one last."""
    names = [c.name for c in signature.columns if c.role in ("label", "prediction")]
    found: set[str] = set()
    for name in names:
        column = profile.columns[name]
        if column.is_number:
            values, _ = column.sketch.weighted()
            if not column.distinct.is_exact or column.integral_count < column.present_count:
                return None
            found |= {f"{value:.0f}" for value in values}
        elif column.levels.is_exact:
            found |= {class_text(value) for value in column.levels.values.to_pylist()}
    found = set(merged_classes(sorted(found)))
    last = None if roles.positive is None else known_classes([roles.positive], found)[0]
    if last is not None and names and last not in found:
        raise InputError(
            f'positive "{last}": "{names[0]}" never has this value; '
            f"expected one of {', '.join(sorted(found)[:8])}"
        )
    if not 0 < len(found) <= LISTED_LEVELS:
        return None
    return tuple(sorted(found, key=lambda value: (value == last, value)))


def _with_classes(column: Column, signature: Signature, classes: tuple[str, ...] | None) -> Column:
    """Note the classes: all at the prediction, the last at a single probability, else its own.

    Raises
    ------
    InputError
        When nothing says which of several columns of probabilities is of which class.
    """
    if classes is None:
        return column
    if column.role == "prediction":
        return replace(column, classes=classes)
    names = [other.name for other in signature.outputs if other.role == "probability"]
    if len(names) == 1:
        return replace(column, classes=classes[-1:])
    found = classes_of_columns(names, class_order(classes))
    if found is None:
        raise InputError(
            f"{len(names)} columns of probabilities ({', '.join(names[:8])}) for {len(classes)} "
            f"classes ({', '.join(class_order(classes)[:8])}); give one for each class, or end "
            "their names with the classes"
        )
    return replace(column, classes=(found[names.index(column.name)],))
