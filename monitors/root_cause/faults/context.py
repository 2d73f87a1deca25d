"""The input of fault recognisers: a window's violated columns and the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.sample import RowSample
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing
from driftline.monitors.drift_test.drift import ReferenceColumn

# Fewer values than this look like anything.
MIN_VALUES = 30
TEXTS = ("string", "bool")
# Violated columns that are looked at: of more nobody asks for the kind of each.
VIOLATED_MAX = 50


@dataclass(frozen=True, slots=True, eq=False)
class FaultContext:
    """One window with its violated columns."""

    violated: tuple[str, ...]  # Columns that break a constraint, the largest contribution first.
    references: Mapping[str, ReferenceColumn]
    profiles: Mapping[str, ColumnProfile]  # Of the reference.
    rows: pa.Table  # Evenly spread rows of the window, of its features.
    sample: RowSample | None = None  # Rows of the reference by cell; None in older baselines.
    # By column: how many times more than independent rows it varies, from 1.
    effects: Mapping[str, float] = field(default_factory=dict)
    _places: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, violated: Iterable[str]) -> FaultContext:
        """Return the same with other violated columns, the largest contribution first."""
        return replace(self, violated=tuple(dict.fromkeys(violated))[:VIOLATED_MAX])

    @property
    def all_cells(self) -> dict[str, Cells]:
        """The cells of all columns of the reference."""
        return {name: one.cells for name, one in self.references.items()}

    def cells(self, name: str) -> Cells:
        """Return the cells of a column."""
        return self.references[name].cells

    def effect(self, *names: str) -> float:
        """Return the design effect of the columns."""
        return max((self.effects.get(name, 1.0) for name in names), default=1.0)

    def known(self, *, is_number: bool) -> list[str]:
        """Return the columns of numbers, or of texts, on both sides."""
        present = {*self.rows.column_names}  # A list of them is made anew at each call.
        return [
            name for name, one in self.references.items()
            if name in present
            and (one.cells.is_number if is_number else one.cells.type in TEXTS)
        ]  # fmt: skip

    def broken(self, *, is_number: bool) -> list[str]:
        """Return the violated ones of these, the largest contribution first."""
        known = set(self.known(is_number=is_number))
        return [name for name in self.violated if name in known]

    def values(self, name: str) -> pa.Array:
        """Return a column's values in the type of the reference; null where there is none."""
        return coerce(self.rows.column(name).combine_chunks(), self.cells(name).type)[0]

    def places(self, name: str) -> np.ndarray:
        """Return the cell of each row's value, looked up once."""
        if name not in self._places:
            self._places[name] = self.cells(name).assign(self.values(name))
        return self._places[name]

    def numbers(self, name: str) -> np.ndarray:
        """Return the finite numbers of a column, float64; fractions of whole numbers, too."""
        numbers = self.all_numbers(name)
        return np.asarray(numbers[np.isfinite(numbers)])

    def all_numbers(self, name: str) -> np.ndarray:
        """Return the numbers of a column, float64, with infinite ones."""
        found = coerce(self.rows.column(name).combine_chunks(), "double")[0].drop_null()
        return np.asarray(found.to_numpy(zero_copy_only=False), np.float64)

    def texts(self, name: str) -> pa.Array:
        """Return a column's texts, those that are there."""
        plain = self.values(name).cast(pa.string())
        return shortened(plain.filter(pc.invert(is_missing(plain))))
