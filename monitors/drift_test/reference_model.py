"""The reference model: expected shares of a span, and their variation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.dispersion import Dispersion
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.season import DAY_H, GRIDS, SeasonTable
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.spans import Span

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected shares of a span; W columns, C cells and S sets of all of them."""

    cells: Numbers  # Share of each cell, shape (C,).
    rows: Numbers  # Reference rows behind the shares, shape (W,).
    effect: Numbers  # Design effects, shape (S,); see `Comparison.ratio`.
    cluster_effect: Numbers
    shift_effect: Numbers


@dataclass(frozen=True)
class ReferenceModel:
    """The reference, laid out for judging."""

    layout: Layout
    blocks: BlockCounts | None  # By the hour; None: the reference has no times.
    length: timedelta | None  # Of a window; None: not known.

    @classmethod
    def of(
        cls,
        references: Mapping[str, ReferenceColumn],
        blocks: BlockCounts | None,
        length: timedelta | None,
    ) -> ReferenceModel:
        """Lay the columns out."""
        return cls(Layout.of(references), blocks, length)

    @cached_property
    def seasonal(self) -> Dispersion | None:
        """The design effects of spans that are compared with similar hours."""
        if self.blocks is None or self.length is None:
            return None
        return Dispersion(self.layout, self.blocks, self._unit_h, seasonal=True)

    @cached_property
    def plain(self) -> Dispersion | None:
        """The design effects of rows without times."""
        if self.blocks is None:
            return None
        return Dispersion(self.layout, self.blocks, self._unit_h, seasonal=False)

    @property
    def _unit_h(self) -> int:
        return 1 if self.length is None else max(1, round(self.length / HOUR))

    @cached_property
    def _tables(self) -> list[tuple[SeasonTable, Indices, Indices]]:
        """Season tables, with the indices of their columns' cells, and the columns."""
        dispersion, found = self.seasonal, []
        if dispersion is None or self.blocks is None:
            return []
        hours = self.blocks
        for grid in GRIDS[1:]:
            columns = [index for index, own in enumerate(dispersion.grids) if own == grid]
            for part in self.layout.parts(columns, hours.hours.size):
                names = [self.layout.names[index] for index in part]
                counts = np.concatenate([hours.counts[name] for name in names], axis=1)
                table = SeasonTable.of(grid, hours.hours, dispersion.hour_rows, counts)
                found.append((table, self.layout.cell_places(part), np.array(part)))
        return found

    def expect(self, span: Span) -> Expectation:
        """Return what the reference expects of a span."""
        layout = self.layout
        rows = layout.reference_rows.copy()
        cells = layout.reference_cells / layout.spread_cells(np.maximum(rows, 1.0))
        times = _times(span)
        if times is None:
            dispersion = self.plain
        else:
            dispersion = self.seasonal or self.plain
            weights: dict[str, Numbers] = {}
            for table, places, columns in self._tables:
                if table.grid.name not in weights:
                    weights[table.grid.name] = table.weights(times)
                cells[places], rows[columns] = table.matched(weights[table.grid.name])
        if dispersion is None:
            independent = np.ones(layout.set_starts[-1])
            return Expectation(cells, rows, independent, independent, 0.0 * independent)
        learnt = dispersion.at(self._length_h(span, dispersion.extent_h))
        return Expectation(cells, rows, *learnt.for_rows(layout, span.row_count))

    def _length_h(self, span: Span, extent_h: int) -> int:
        """Return the length of the blocks that show the variation of such spans."""
        if self.length is not None:
            return max(1, round(span.width * self.length / HOUR))
        assert self.blocks is not None
        hours, known = self.blocks.hours, self.layout.reference_rows
        if not hours.size or not known.size or known.max() <= 0:
            return 1
        # Of rows of no known span: the blocks that hold as many rows, whole days from a day on.
        length_h = round(span.row_count / float(known.max()) * extent_h)
        days = round(length_h / DAY_H)
        return max(1, min(days * DAY_H if days else length_h, extent_h))


def _times(span: Span) -> list[tuple[datetime, datetime, float]] | None:
    found = []
    for window in span.windows:
        if window.start is None or window.end is None:
            return None
        found.append((window.start, window.end, float(window.row_count)))
    return found


@dataclass(frozen=True)
class PartedReferenceModel:
    """A reference whose columns were counted over different times.

    Season and variation of a renewed column are learnt from its own hours.
    """

    layout: Layout
    parts: tuple[tuple[ReferenceModel, tuple[int, ...]], ...]

    @classmethod
    def of(
        cls,
        references: Mapping[str, ReferenceColumn],
        blocks: BlockCounts,
        length: timedelta | None,
    ) -> PartedReferenceModel:
        """Group the columns by hours; those without any join the largest group."""
        place = {name: at for at, one in enumerate(blocks.apart, 1) for name in one.counts}
        found = []
        for at, part in enumerate((replace(blocks, apart=()), *blocks.apart)):
            columns = [i for i, name in enumerate(references) if place.get(name, 0) == at]
            own = {
                name: reference
                for name, reference in references.items()
                if place.get(name, 0) == at
            }
            if own:
                found.append((ReferenceModel.of(own, part, length), tuple(columns)))
        return cls(Layout.of(references), tuple(found))

    def expect(self, span: Span) -> Expectation:
        """Return what the reference expects of a span."""
        layout = self.layout
        cells, rows = np.zeros(layout.cell_starts[-1]), np.zeros(len(layout))
        effect, cluster_effect, shift_effect = np.ones((3, layout.set_starts[-1]))
        for known, columns in self.parts:
            found, sets = known.expect(span), layout.places(columns)
            cells[layout.cell_places(columns)] = found.cells
            rows[list(columns)] = found.rows
            effect[sets], cluster_effect[sets] = found.effect, found.cluster_effect
            shift_effect[sets] = found.shift_effect
        return Expectation(cells, rows, effect, cluster_effect, shift_effect)
