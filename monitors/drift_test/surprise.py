"""How surprising the reference's own blocks are to the rest of it, without any drift.

Shapes: W columns, S scanned sets of all of them, H hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.monitors.drift_test.layout import Layout, divide
from driftline.monitors.drift_test.reference_blocks import ReferenceBlocks
from driftline.monitors.drift_test.significance import Numbers, evidence


@dataclass(frozen=True, slots=True)
class Surprise:
    """The evidence against the reference's blocks, all of it false.

    Parameters
    ----------
    mean, largest
        Evidence of each set, over the blocks, shape (S,); 0 for columns that were not asked for.
    block_count
        Blocks; with fewer than 3 nothing is told.
    """

    mean: Numbers
    largest: Numbers
    block_count: int


def measure_surprise(
    layout: Layout,
    columns: Sequence[int],
    reference: BlockCounts,
    cut: ReferenceBlocks,
) -> Surprise:
    """Weigh each block against the rest of the reference, with no tolerance.

    With the tolerance, columns whose rows come in clusters would look calmer than they are
    (drift-methods.md section 6.3).

    Parameters
    ----------
    layout, columns
        All columns, and the places of those to measure.
    reference
        The reference by the hour; holds these columns.
    cut
        Its blocks, of one length, and which hours are alike.
    """
    mean, largest = np.zeros(layout.set_starts[-1]), np.zeros(layout.set_starts[-1])
    block_count = int(cut.keep.sum())
    if block_count < 3:
        return Surprise(mean, largest, block_count)
    rows, expected_rows = cut.rows[cut.keep][:, None], cut.expected_rows[cut.keep][:, None]
    for part in layout.parts(columns, reference.hours.size):
        own = layout.select(part)
        counts = np.concatenate([reference.counts[name] for name in own.names], axis=1)
        held, expected = cut.shares(counts)
        held, expected = own.sets(held), own.sets(expected)
        known_part = own.bases(expected, np.ones_like(rows))
        known = divide(expected, known_part, 0.0)
        of = own.bases(held, rows)
        share = divide(held, of, known)
        found = evidence(
            known,
            np.maximum(expected_rows * known_part, 1.0),
            share,
            np.maximum(of, 1.0),
            tolerance=0.0,
        )
        at = layout.places(part)
        mean[at], largest[at] = found.mean(axis=0), found.max(axis=0)
    return Surprise(mean, largest, block_count)
