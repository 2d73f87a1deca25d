"""What a monitor knows of its reference: shares to expect of a span, and how much they vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.dispersion import Dispersion
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.layout import Indices, Layout
from driftline.monitors.drift_test.season import GRIDS, SeasonTable
from driftline.monitors.drift_test.significance import Numbers
from driftline.monitors.drift_test.spans import Span

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of a span; shapes: W columns, C cells and S sets of all of them.

    Parameters
    ----------
    cells
        Share of each cell, shape (C,).
    rows
        Reference rows that these rest on, shape (W,).
    effect, cluster_effect, shift_effect
        Design effects, shape (S,); see ``clustered_evidence``.
    """

    cells: Numbers
    rows: Numbers
    effect: Numbers
    cluster_effect: Numbers
    shift_effect: Numbers


@dataclass(frozen=True)
class Knowledge:
    """The reference, laid out for judging.

    Parameters
    ----------
    layout
        The judged columns.
    blocks
        The reference by the hour; None when it has no times.
    length
        The windows' length; None when it is not known.
    """

    layout: Layout
    blocks: BlockCounts | None
    length: timedelta | None

    @classmethod
    def of(
        cls,
        references: Mapping[str, ReferenceColumn],
        blocks: BlockCounts | None,
        length: timedelta | None,
    ) -> Knowledge:
        """Lay the columns out."""
        return cls(Layout.of(references), blocks, length)

    @cached_property
    def seasonal(self) -> Dispersion | None:
        """The design effects of spans that are compared with like hours."""
        if self.blocks is None or self.length is None:
            return None
        return Dispersion(self.layout, self.blocks, self._unit_h, seasonal=True)

    @cached_property
    def plain(self) -> Dispersion | None:
        """The design effects of rows of no known time."""
        if self.blocks is None:
            return None
        return Dispersion(self.layout, self.blocks, self._unit_h, seasonal=False)

    @property
    def _unit_h(self) -> int:
        return 1 if self.length is None else max(1, round(self.length / HOUR))

    @cached_property
    def _tables(self) -> list[tuple[SeasonTable, Indices, Indices]]:
        """The reference by like hours: tables, places of their columns' cells, the columns."""
        dispersion, found = self.seasonal, []
        if dispersion is None or self.blocks is None:
            return []
        for grid in GRIDS[1:]:
            columns = [index for index, own in enumerate(dispersion.grids) if own == grid]
            for part in self.layout.parts(columns, self.blocks.hours.size):
                names = [self.layout.names[index] for index in part]
                counts = np.concatenate([self.blocks.counts[name] for name in names], axis=1)
                table = SeasonTable.of(grid, self.blocks.hours, dispersion.hour_rows, counts)
                found.append((table, self.layout.cell_places(part), np.array(part)))
        return found

    def expect(self, span: Span) -> Expectation:
        """Say what the reference expects of a span."""
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
        learnt = dispersion.at(self._length_h(span))
        return Expectation(cells, rows, *learnt.for_rows(layout, span.row_count))

    def _length_h(self, span: Span) -> int:
        """Give the length of the reference's blocks that tell how spans like this one vary."""
        if self.length is not None:
            return max(1, round(span.width * self.length / HOUR))
        assert self.blocks is not None
        hours, known = self.blocks.hours, self.layout.reference_rows
        if not hours.size or not known.size or known.max() <= 0:
            return 1
        # Of rows of no known span: the blocks that hold as many rows.
        reach = int(hours[-1] - hours[0]) + 1
        return max(1, min(round(span.row_count / float(known.max()) * reach), reach))


def _times(span: Span) -> list[tuple[datetime, datetime, float]] | None:
    found = []
    for one in span.windows:
        if one.start is None or one.end is None:
            return None
        found.append((one.start, one.end, float(one.row_count)))
    return found
