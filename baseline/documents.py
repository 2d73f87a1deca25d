"""Builds a baseline from SageMaker's two documents alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.cells import Cells, number_cells, text_cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints, FeatureConstraints
from driftline.baseline.distinct import LevelCounts
from driftline.baseline.moments import Moments
from driftline.baseline.profile import Profile
from driftline.baseline.schema import signature_of
from driftline.baseline.sketch import QuantileSketch
from driftline.baseline.statistics import Statistics
from driftline.errors import InputError
from driftline.signature import JUDGED_ROLES, ColumnType, Signature

# Beyond this a double no longer counts one by one.
MOST_ROWS = 2**53
TYPES: dict[str, ColumnType] = {"Integral": "int64", "Fractional": "double"}


def signature_from_constraints(
    constraints: Constraints, statistics: Statistics | None
) -> Signature:
    """Make a signature with features only; the documents have no roles."""
    blocks = statistics.features if statistics is not None else {}
    names = dict.fromkeys([*blocks, *(feature.name for feature in constraints.features)])
    return signature_of(
        {name: _type(constraints.feature(name), blocks.get(name)) for name in names}
    )


def _type(constraint: FeatureConstraints | None, block: Mapping[str, Any] | None) -> ColumnType:
    """Return a column's type; numbers stay numbers where the constraints call them String.

    Otherwise the type check could not tell a window's numbers from text.
    """
    observed = str(block.get("inferred_type", "Unknown")) if block else None
    declared = constraint.inferred_type if constraint else observed or "Unknown"
    if declared in TYPES:
        return TYPES[declared]
    domains = constraint.domains if constraint else None
    if _is_boolean(domains or _levels(block)):
        return "bool"
    if declared != "String" or domains:
        return "string"
    if observed is None:  # A sign is demanded of numbers only.
        return "string" if constraint is None or constraint.is_non_negative is None else "double"
    return TYPES.get(observed, "string")


def _is_boolean(texts: Iterable[str]) -> bool:
    """Whether these are the two booleans, in JSON's or Python's spelling."""
    return {text.casefold() for text in texts} == {"true", "false"}


def _levels(block: Mapping[str, Any] | None) -> list[str]:
    """Return the texts that a document's block counts; none when it is malformed."""
    found: Any = block
    for key in ("string_statistics", "distribution", "categorical", "buckets"):
        found = found.get(key) if isinstance(found, Mapping) else None
    buckets = found if isinstance(found, list) else []
    return [str(one.get("value")) for one in buckets if isinstance(one, Mapping)]


def profile_from_statistics(statistics: Statistics, signature: Signature) -> Profile:
    """Make a profile with cells and counts, as exact as the document's sketches."""
    profile = Profile.empty(signature)
    profile.row_count = statistics.item_count
    profile.seen = set(statistics.features)
    roles = {column.name: column.role for column in signature.columns}
    for name, block in statistics.features.items():
        if name not in roles:
            raise InputError(
                f'statistics: feature "{name}" is not in signature.json; make the baseline again'
            )
        column = profile.columns[name]
        try:
            _fill(column, block, statistics.item_count)
            if roles[name] not in JUDGED_ROLES:
                column.cells = column.cell_counts = None
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(
                f'statistics: feature "{name}" is not as SageMaker writes it ({error!r})'
            ) from error
    return profile


def _fill(column: ColumnProfile, block: Mapping[str, Any], row_count: int) -> None:
    found = block.get("numerical_statistics") or block.get("string_statistics") or {}
    common = found.get("common", {})
    column.missing_count = int(common.get("num_missing", 0))
    column.row_count = column.missing_count + int(
        common.get("num_present", row_count - column.missing_count)
    )
    if min(column.missing_count, column.present_count) < 0 or column.row_count > MOST_ROWS:
        raise ValueError(f"{column.present_count} values present, {column.missing_count} missing")
    if column.is_number and "numerical_statistics" in block:
        _fill_numbers(column, found)
    elif not column.is_number and "string_statistics" in block:
        _fill_texts(column, found)


def _fill_numbers(column: ColumnProfile, found: Mapping[str, Any]) -> None:
    present = column.present_count
    deviation = _number(found.get("std_dev"))
    column.moments = Moments(
        present,
        _number(found.get("sum")),
        _number(found.get("mean")),
        deviation * deviation * present,
        _number(found.get("min")),
        _number(found.get("max")),
    )
    column.integral_count = present if column.type == "int64" else 0
    kll = found.get("distribution", {}).get("kll", {})
    levels = kll.get("sketch", {}).get("data")
    if levels:
        parameters = kll["sketch"].get("parameters", {})
        column.sketch = QuantileSketch.from_levels(
            levels, int(parameters.get("k", 2048)), float(parameters.get("c", 0.64))
        )
        values, weights = column.sketch.weighted()
        column.cells = number_cells(column.name, column.type, values, weights)
        counts = np.diff(
            column.sketch.ranks(np.asarray(column.cells.edges), inclusive=False),
            prepend=0,
            append=column.sketch.count,
        )
    elif kll.get("buckets"):
        column.cells, counts = _bucket_cells(column, kll["buckets"])
    else:
        return
    total = float(counts.sum())
    scaled = np.round(counts * (present / total)) if total else counts
    column.cell_counts = np.append(scaled, [column.missing_count, 0]).astype(np.int64)


def _bucket_cells(
    column: ColumnProfile, buckets: list[Mapping[str, float]]
) -> tuple[Cells, np.ndarray]:
    """Cut at the buckets' bounds, the finest information there is."""
    lower = [float(bucket["lower_bound"]) for bucket in buckets]
    ends = np.unique([*lower, np.nextafter(float(buckets[-1]["upper_bound"]), np.inf)])
    counts = np.zeros(len(ends) + 1)
    for low, bucket in zip(lower, buckets, strict=True):
        counts[np.searchsorted(ends, low, side="right")] += float(bucket["count"])
    median = ends[min(int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)), len(ends) - 1)]
    cells = Cells(column.name, column.type, edges=tuple(ends.tolist()), median=float(median))
    return cells, counts


def _fill_texts(column: ColumnProfile, found: Mapping[str, Any]) -> None:
    buckets = found.get("distribution", {}).get("categorical", {}).get("buckets")
    if not buckets:
        return
    levels: dict[str, int] = {}
    for bucket in buckets:
        value = str(bucket["value"])
        value = value.casefold() if column.type == "bool" else value
        levels[value] = levels.get(value, 0) + int(bucket["count"])
    column.levels = LevelCounts(
        pa.array(list(levels), pa.string()), np.asarray(list(levels.values()), dtype=np.int64)
    )
    present = column.present_count
    complete = sum(levels.values()) >= present
    column.cells = text_cells(
        column.name, column.type, levels, complete=complete, row_count=present
    )
    chosen = [levels[name] for name in column.cells.levels]
    counts = [*chosen, present - sum(chosen), *([0] if complete else [])]
    column.cell_counts = np.asarray([*counts, column.missing_count, 0], dtype=np.int64)


def _number(found: object) -> float:
    return float(found) if isinstance(found, int | float) else math.nan
