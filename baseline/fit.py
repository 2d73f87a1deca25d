"""Fits reference data in two readings: profile and cells first, then exact counts of the cells.

Cells are counted by hour when there is an event time. Both readings map over the parts of the data
and merge in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline import pairing
from driftline.baseline.blocks import BlockCounter, BlockCounts, event_times
from driftline.baseline.captured_ids import CAPTURED, data_schema
from driftline.baseline.cells import Cells
from driftline.baseline.column_cells import column_cells, repeated_cells
from driftline.baseline.column_order import LEAST_DAYS, Pair, candidate_pairs
from driftline.baseline.constraints import Constraints
from driftline.baseline.derived_columns import (
    DerivedColumn,
    DerivedCounter,
    DerivedCounts,
    choose_derived,
)
from driftline.baseline.engine import Engine, InProcess
from driftline.baseline.gather import Meter, Together, gather
from driftline.baseline.origin import (
    OF_KEY,
    OF_TIME,
    UNIQUE_SHARE,
    are_keys,
    moves_on,
    origin_reason,
)
from driftline.baseline.outcomes import MAX_ROWS, Outcomes, kept_columns, resolve
from driftline.baseline.positive import choose_positive
from driftline.baseline.profile import Profile
from driftline.baseline.sample import RowKeeper
from driftline.baseline.schema import find_column, infer_signature, split_probabilities
from driftline.baseline.segments import SegmentColumn, SegmentCounter, choose_segments
from driftline.baseline.steps import StepCounter
from driftline.baseline.suggest import suggest
from driftline.baseline.times import TimeSummary
from driftline.baseline.value_runs import TimeOrder
from driftline.classes import (
    class_of_name,
    class_order,
    class_text,
    classes_of_columns,
    known_classes,
    merged_classes,
)
from driftline.errors import InputError
from driftline.formats.coercion import some_zoned, zones_of
from driftline.formats.source import Source
from driftline.roles import Roles
from driftline.signature import JUDGED_ROLES, Column, Signature
from driftline.stats.day_scores import StepScores
from driftline.stats.day_variation import REFERENCE_DAYS

# Text with so few values has them listed in the signature.
LISTED_LEVELS = 50


@dataclass(frozen=True)
class Fitted:
    """The result of fitting: the parts of a Baseline."""

    signature: Signature
    profile: Profile
    constraints: Constraints
    cells: dict[str, Cells]
    blocks: BlockCounts | None
    rows: Outcomes | None
    segments: SegmentCounter | None = None
    derived: DerivedCounts | None = None


@dataclass(slots=True)
class FirstReading:
    """What the first reading of the reference gathers."""

    profile: Profile
    rows: RowKeeper  # Some of the rows.
    event_time: str | None  # The column with each row's time.
    # Whether a time that came as text had a zone: both, where the column holds both.
    zoned: frozenset[bool] = frozenset()

    @classmethod
    def start(cls, signature: Signature, roles: Roles, *, is_captured: bool) -> FirstReading:
        """Begin without rows; of captured ones the ids are kept, too."""
        kept = kept_columns(roles)
        types = {
            one.name: one.type
            for one in signature.columns
            if one.role in JUDGED_ROLES or one.name in kept
        }
        if is_captured:
            types[CAPTURED] = "int64"
        rows = RowKeeper(types, MAX_ROWS)
        return cls(Profile.empty(signature), rows, signature.event_time)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        times = None if self.event_time is None else batch.column(self.event_time)
        order = None if times is None else TimeOrder.of(times)
        self.profile.update(batch, order=order)
        self.rows.update(batch)
        if times is not None:
            self.zoned |= zones_of(times)

    def merge(self, other: FirstReading) -> FirstReading:
        """Return the reading of the rows of both, the other's after these."""
        return FirstReading(
            self.profile.merge(other.profile),
            self.rows.merge(other.rows),
            self.event_time,
            self.zoned | other.zoned,
        )


@dataclass(slots=True)
class CellCounter:
    """Counts rows on cells, column by column."""

    cells: Mapping[str, Cells]  # By column: what is counted on, as `repeated_cells` gives it.
    counts: dict[str, np.ndarray]  # By column: int64, shape (cells,).
    event_time: str | None = None  # Column by whose hours the counts are kept apart, too.
    blocks: BlockCounter | None = None  # Counts by the hour; None without event time.

    @classmethod
    def start(cls, cells: Mapping[str, Cells], event_time: str | None) -> CellCounter:
        """Begin without rows."""
        sizes = {name: cell.size for name, cell in cells.items()}
        zeros = {name: np.zeros(size, dtype=np.int64) for name, size in sizes.items()}
        blocks = None if event_time is None else BlockCounter(sizes)
        return cls(cells, zeros, event_time, blocks)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if self.event_time is None or self.blocks is None:
            for name, cell in self.cells.items():
                self.counts[name] += cell.count(batch.column(name))
            return
        codes = {name: cell.assign(batch.column(name)) for name, cell in self.cells.items()}
        for name, found in codes.items():
            self.counts[name] += np.bincount(found, minlength=self.cells[name].size)
        known, moments = event_times(batch.column(self.event_time))
        self.blocks.update(moments, {name: found[known] for name, found in codes.items()})

    def merge(self, other: CellCounter) -> CellCounter:
        """Return the counts of the rows of both; neither input changes."""
        counts = {name: count + other.counts[name] for name, count in self.counts.items()}
        blocks = self.blocks
        if blocks is not None and other.blocks is not None:
            blocks = blocks.merge(other.blocks)
        return CellCounter(self.cells, counts, self.event_time, blocks)

    def by_hour(self) -> BlockCounts | None:
        """Return the hourly counts, when there is an event time."""
        return None if self.blocks is None else self.blocks.result()


def _second_reading(
    cells: Mapping[str, Cells],
    event_time: str | None,
    times: TimeSummary | None,
    segments: Sequence[SegmentColumn],
    derived: Sequence[DerivedColumn],
) -> Together:
    """Return the counters of the second reading, without rows."""
    found: dict[str, Any] = {
        "cells": CellCounter.start(cells, event_time),
        "derived": DerivedCounter.start(derived, event_time, by_hour=True),
    }
    if segments:
        found["segments"] = SegmentCounter.start(segments, cells, event_time, times)
    if event_time is not None:
        numbers = [name for name, one in cells.items() if one.is_number]
        found["steps"] = StepCounter.start(event_time, numbers)
    return Together(found)


def fit_source(
    source: Source,
    roles: Roles,
    *,
    segments: Iterable[str] = (),
    engine: Engine | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    unjudged: Mapping[str, str] | None = None,
    model_classes: Sequence[str] = (),
    keep_rows: bool = True,
) -> Fitted:
    """Fit opened data; parameters and errors as in `Baseline.fit`.

    `unjudged` gives the columns whose values are not judged, and why; None: they are found here. A
    positive value may be one of `model_classes`, which only the model answers.
    """
    source, roles = split_probabilities(source, roles)
    roles = roles.with_point
    signature = infer_signature(data_schema(source.schema), roles)
    segments = [find_column(name, source.schema.names, what="segment") for name in segments]
    meter = Meter(progress, source.row_count, readings=2)
    place = engine or InProcess()
    first = gather(
        partial(
            FirstReading.start, signature, roles, is_captured=CAPTURED in source.schema.names
        ),
        source.parts(), place, meter.advance,
    )  # fmt: skip
    profile, sample = first.profile, first.rows.table()
    if not profile.row_count:
        raise InputError("the reference data holds no rows; expected at least one")
    _check_event_time(signature, first)
    _check_id(signature, profile)
    if unjudged is None:
        named = (*segments, *roles.facet_columns, roles.group)
        unjudged = _unjudged(
            signature, profile, sample, source.partitions, {*roles.categorical, *named}
        )
    features = [replace(one, unjudged=unjudged.get(one.name)) for one in signature.features]
    signature = replace(signature, features=tuple(features))
    classes = _classes(signature, profile, roles, model_classes)
    roles, reason = _with_positive(roles, classes)
    signature = _with_levels(signature, profile, roles, classes)
    cells = _judged_cells(signature, profile)
    own = {name: repeated_cells(cell, profile.columns[name]) for name, cell in cells.items()}
    chosen = choose_segments(segments, signature, profile)
    rows = Outcomes(roles, sample, profile.row_count, reason, classes or ()).without(
        {*unjudged}.difference(kept_columns(roles))
    )
    if rows.are_outcomes:
        rows = replace(rows, roles=resolve(roles, signature, sample))
    event_time = signature.event_time
    times = None if event_time is None else profile.columns[event_time].times
    counter = partial(
        _second_reading, own, event_time, times, chosen,
        _derived_columns(signature, first, cells, sample),
    )  # fmt: skip
    reading = gather(counter, source.parts(), place, meter.advance).counters
    second: CellCounter = reading["cells"]
    for name, cell in cells.items():
        profile.columns[name].cells = cell
        profile.columns[name].cell_counts = second.counts[name]
    blocks = second.by_hour()
    _keep_steps(profile, reading.get("steps"), blocks)
    return Fitted(
        signature, profile, suggest(profile, {*unjudged, *roles.exclude}), cells, blocks,
        rows if keep_rows else None, reading.get("segments"), DerivedCounts.of(reading["derived"]),
    )  # fmt: skip


def _judged_cells(signature: Signature, profile: Profile) -> dict[str, Cells]:
    """Choose the cells of the columns whose values are judged."""
    return {
        column.name: column_cells(profile.columns[column.name])
        for column in signature.columns
        if column.role in JUDGED_ROLES and column.unjudged is None
    }


def _keep_steps(profile: Profile, counter: StepCounter | None, blocks: BlockCounts | None) -> None:
    """Store each column's steps, where the reference has enough days."""
    if counter is None or blocks is None or blocks.span_days < REFERENCE_DAYS:
        return
    for name, found in counter.result(since_day=int(blocks.hours[0]) // 24).items():
        profile.columns[name].steps = StepScores.of(found)


def _candidates(
    signature: Signature, first: FirstReading, cells: Mapping[str, Cells], sample: pa.Table
) -> tuple[Pair, ...]:
    """Find pairs of columns that may keep an order; none in a reference of less than a year."""
    times = None if signature.event_time is None else first.profile.columns[signature.event_time]
    if times is None or times.times.span < timedelta(days=LEAST_DAYS):
        return ()
    # A rule quotes its columns by backticks.
    names = [name for name, one in cells.items() if one.is_number and "`" not in name]
    return candidate_pairs(sample.select(names))


def _derived_columns(
    signature: Signature, first: FirstReading, cells: Mapping[str, Cells], sample: pa.Table
) -> tuple[DerivedColumn, ...]:
    features = [one for one in signature.features if one.role == "feature" and one.name in cells]
    runs = [one.runs for one in first.profile.columns.values() if one.runs.time_count]
    orders, own_id = _candidates(signature, first, cells, sample), signature.inference_id
    is_ordered = any(one.is_ordered for one in runs)
    return choose_derived(features, cells, orders, own_id, is_ordered=is_ordered)


def _check_event_time(signature: Signature, first: FirstReading) -> None:
    name = signature.event_time
    if name is None:
        return
    column = first.profile.columns[name]
    if column.type != "timestamp" or column.unfit_count == column.present_count:
        raise InputError(
            f'timestamp "{name}": the column holds no times; expected such as 2013-01-15T06:00:00Z'
        )
    if len(first.zoned) > 1:
        raise some_zoned(name)


def _check_id(signature: Signature, profile: Profile) -> None:
    name = signature.inference_id
    if name is None:
        return
    column = profile.columns[name]
    count = column.distinct_count
    if count < column.present_count * UNIQUE_SHARE:
        raise InputError(
            f'id "{name}": {count:,} different values in {column.present_count:,} rows; expected '
            "one for each row; what only is to be left out of the checks is named by exclude"
        )


def _unjudged(
    signature: Signature,
    profile: Profile,
    sample: pa.Table,
    partitions: Collection[str],
    kept: Collection[str | None],
) -> Mapping[str, str]:
    """Return the features whose values are not judged, and why: they identify a row's origin."""

    def reason(column: Column) -> str | None:
        found = profile.columns[column.name]
        if column.role != "feature" or column.name in kept:
            return None
        origin = origin_reason(
            column.name, list(found.value_counts()), is_partition=column.name in partitions
        )
        if origin is not None or column.type not in ("int64", "timestamp"):
            return origin
        values = sample[column.name].combine_chunks()
        if column.type == "timestamp":
            own = profile.columns.get(signature.event_time or "")
            return OF_TIME if moves_on(found, values, own) else None
        is_key = are_keys(
            values,
            count=found.present_count,
            distinct_count=found.distinct_count,
            span=found.moments.maximum - found.moments.minimum + 1,
        )
        return OF_KEY if is_key else None

    found = {column.name: reason(column) for column in signature.features}
    return {name: why for name, why in found.items() if why is not None}


def _with_positive(roles: Roles, classes: tuple[str, ...] | None) -> tuple[Roles, str]:
    """Return the roles with the positive class, if it is clear, and the reason."""
    is_pair = classes is not None and len(classes) == len(roles.probability) == 2
    may_be = roles.problem is None and (is_pair or len(roles.probability) < 2)
    if roles.positive is not None or classes is None or not (may_be or roles.problem == "binary"):
        return roles, ""
    if len(classes) == 1 and roles.problem is None and not roles.probability:
        return roles, ""  # A number that never changes, as likely.
    found = choose_positive(classes)
    return (roles, "") if found is None else (replace(roles, positive=found.value), found.reason)


def _with_levels(
    signature: Signature, profile: Profile, roles: Roles, classes: tuple[str, ...] | None
) -> Signature:
    """List the values of text columns with few, and the prediction's classes."""

    def levels(column: Column) -> Column:
        found = profile.columns[column.name].levels
        if column.type != "string" or not found.is_exact or len(found.values) > LISTED_LEVELS:
            return column
        return replace(column, levels=tuple(sorted(found.values.to_pylist())))

    features = tuple(levels(column) for column in signature.features)
    if classes is not None:
        last = known_classes(roles.positives, classes)
        classes = tuple(sorted(classes, key=lambda value: (value in last, value)))
    outputs = tuple(
        _with_classes(column, signature, classes, roles.positives) for column in signature.outputs
    )
    return replace(signature, features=features, outputs=outputs)


def _classes(
    signature: Signature, profile: Profile, roles: Roles, model_classes: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the sorted values of label and prediction; None for amounts."""
    if roles.problem == "regression":
        return None
    names = [c.name for c in signature.columns if c.role in ("label", "prediction")]
    sides: dict[str | None, set[str]] = {}
    for name in names:
        column = profile.columns[name]
        if column.is_number:
            values, _ = column.sketch.weighted()
            if not column.distinct.is_exact or column.integral_count < column.present_count:
                return None
            pairing.require_told_apart(name, values, roles)
            sides[name] = {f"{value:.0f}" for value in values}
        elif column.levels.is_exact:
            sides[name] = {class_text(value) for value in column.levels.values.to_pylist()}
    found = set(merged_classes(sorted(set[str]().union(*sides.values()))))
    if len(names) == len(sides):
        _require_positives(roles, names, sides, model_classes)
    labels, answers = sides.get(roles.label, set()), sides.get(roles.prediction, set())
    if len(found) <= LISTED_LEVELS or any(not profile.columns[one].is_number for one in names):
        pairing.require_common_classes(labels, answers, roles, roles.problem)
    if roles.also_positive and pairing.are_apart(labels, answers):
        found = answers  # As the model names them.
    if not 0 < len(found) <= LISTED_LEVELS:
        return None
    return tuple(sorted(found))


def _require_positives(
    roles: Roles,
    names: Sequence[str],
    sides: Mapping[str | None, Collection[str]],
    model_classes: Sequence[str],
) -> None:
    """Refuse a positive value of no column, unless it may be of a side that is missing."""
    spoken = [one for name in roles.probability if (one := class_of_name(name, roles.positives))]
    named = {"label": roles.label, "prediction": roles.prediction}
    columns = {f'{role} "{name}"': sides[name] for role, name in named.items() if name in names}
    others = [*model_classes, *spoken]
    has_both = len(columns) == len(named)
    known = merged_classes([*others, *(text for texts in columns.values() for text in texts)])
    if columns and (has_both or not set(known_classes(roles.positives, known)) & set(known)):
        pairing.require_positives(roles.positives, columns, others)


def _with_classes(
    column: Column,
    signature: Signature,
    classes: tuple[str, ...] | None,
    positives: Sequence[str],
) -> Column:
    """Set the classes: all of the prediction, or the one of each probability."""
    if classes is None:
        return column
    if column.role == "prediction":
        return replace(column, classes=classes)
    names = [other.name for other in signature.outputs if other.role == "probability"]
    if len(names) == 1:
        return replace(column, classes=_of_score(classes, positives))
    order = class_order(classes)
    found = classes_of_columns(names, order) or _by_positive(names, classes, positives)
    if found is None:
        mend = "give one for each class, or end" if len(names) != len(classes) else "end"
        raise InputError(
            f"{len(names)} columns of probabilities ({', '.join(names[:8])}) for {len(classes)} "
            f"classes ({', '.join(class_order(classes)[:8])}); {mend} their names with the classes"
        )
    return replace(column, classes=(found[names.index(column.name)],))


def _of_score(classes: tuple[str, ...], positives: Sequence[str]) -> tuple[str, ...] | None:
    """Return the class of a single probability: the positive one, even if no row has it."""
    if not positives:
        return None if len(classes) < 3 else classes[-1:]
    return classes[-1:] if classes[-1] in known_classes(positives, classes) else (positives[0],)


def _by_positive(
    names: Sequence[str], classes: tuple[str, ...], positives: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the classes of two columns, of which one is named like a positive value."""
    named = [class_of_name(name, positives) is not None for name in names]
    if len(classes) != 2 or sorted(named) != [False, True]:
        return None
    return tuple(classes[is_positive] for is_positive in named)
