"""What is known of a reference whose columns were counted over different times.

A column that somebody has made anew has hours of its own; what they tell of season and variation is
learnt apart, and laid beside what the others tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.layout import Layout
from driftline.monitors.drift_test.reference_model import Expectation, Knowledge
from driftline.monitors.drift_test.spans import Span


@dataclass(frozen=True)
class Mixture:
    """The reference in parts, each with hours of its own.

    Parameters
    ----------
    layout
        All judged columns.
    parts
        What is known of each part, and which of the columns it holds.
    """

    layout: Layout
    parts: tuple[tuple[Knowledge, tuple[int, ...]], ...]

    @classmethod
    def of(
        cls,
        references: Mapping[str, ReferenceColumn],
        blocks: BlockCounts,
        length: timedelta | None,
    ) -> Mixture:
        """Take the columns apart; those that have no hours go with the most."""
        place = {name: at for at, one in enumerate(blocks.apart, 1) for name in one.counts}
        found = []
        for at, part in enumerate((BlockCounts(blocks.hours, blocks.counts), *blocks.apart)):
            columns = [i for i, name in enumerate(references) if place.get(name, 0) == at]
            own = {name: one for name, one in references.items() if place.get(name, 0) == at}
            if own:
                found.append((Knowledge.of(own, part, length), tuple(columns)))
        return cls(Layout.of(references), tuple(found))

    def expect(self, span: Span) -> Expectation:
        """Say what the reference expects of a span."""
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
