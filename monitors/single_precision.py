"""Replaces numbers that equal the reference's as float32 by the reference's.

A column may be float32 in training and float64 in production, or the reverse: 0.1 is 0.10000000149
then. Both are the same number, so rows are read with the reference's spelling, once for all
readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.store import Baseline
from driftline.formats.parts import Part

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SingleNumbers:
    """The repeated numbers of a reference's columns."""

    # By column: float64, ascending; no two are equal as float32.
    columns: Mapping[str, Doubles]

    @classmethod
    def of(cls, baseline: Baseline) -> SingleNumbers:
        """Find the columns of fractions of which all numbers, or the frequent ones, are known."""
        found = {}
        for name, cells in baseline.cells.items():
            profile = None if baseline.profile is None else baseline.profile.columns.get(name)
            if profile is None or cells.type != "double":
                continue
            known = profile.numbers.values if profile.numbers.is_complete else cells.atoms
            values = _distinct_as_single(np.asarray(known, np.float64))
            if len(values):
                found[name] = values
        return cls(found)

    def aligned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows with the reference's numbers in place of those that equal them as float32."""
        names = batch.schema.names
        for at, name in enumerate(names):
            known, array = self.columns.get(name), batch.column(at)
            if known is None or not pa.types.is_floating(array.type):
                continue
            numbers = array.to_numpy(zero_copy_only=False).astype(np.float64)
            if _replace(numbers, known):
                values = pa.array(numbers, mask=np.asarray(array.is_null()))
                batch = batch.set_column(at, name, values)
        return batch


@dataclass(frozen=True, slots=True)
class AlignedPart:
    """A part of the rows with the reference's numbers."""

    part: Part
    numbers: SingleNumbers

    @property
    def weight(self) -> int:
        """Bytes of rows that go with it to another process."""
        return self.part.weight

    def batches(
        self, columns: Sequence[str] | None = None, *, coded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows."""
        return map(self.numbers.aligned, self.part.batches(columns, coded=coded))

    def portable(self) -> Part:
        """Return the same part in a form that another process can read."""
        return AlignedPart(self.part.portable(), self.numbers)


def _distinct_as_single(values: Doubles) -> Doubles:
    """Return the values that no other one equals as float32."""
    ordered = np.unique(values[np.isfinite(values)])
    _, first, counts = np.unique(_single(ordered), return_index=True, return_counts=True)
    return np.asarray(ordered[first[counts == 1]])


def _single(values: Doubles) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _replace(numbers: Doubles, known: Doubles) -> bool:
    """Replace numbers by known ones equal as float32; return whether there were any.

    Two numbers that both need float64 stay different.
    """
    is_any = False
    is_single, is_known_single = (_single(one) == one for one in (numbers, known))
    for rows, of_known in ((is_single, ~is_known_single), (~is_single, is_known_single)):
        values, at = known[of_known], np.flatnonzero(rows)
        if len(values) and len(at):
            singles, own = _single(values), _single(numbers[at])
            index = np.minimum(np.searchsorted(singles, own), len(singles) - 1)
            equal = singles[index] == own
            numbers[at[equal]] = values[index[equal]]
            is_any = is_any or bool(equal.any())
    return is_any
