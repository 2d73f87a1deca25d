"""The reference's counts by hour, as they stand in the table of profile.arrow and its notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounts


def block_notes(blocks: BlockCounts | None) -> dict[str, Any]:
    """Return the hours as plain values: of most columns, then of those with hours of their own.

    Without any of the latter the second key is not there.
    """
    if blocks is None:
        return {"hours": None}
    apart = [{"hours": one.hours.tolist(), "columns": sorted(one.counts)} for one in blocks.apart]
    return {"hours": blocks.hours.tolist()} | ({"apart": apart} if apart else {})


def blocks_of(
    notes: Mapping[str, Any], names: Sequence[str], blocks: pa.ChunkedArray
) -> BlockCounts | None:
    """Read the counts by hour; None when there are none.

    Parameters
    ----------
    notes
        As `block_notes` gives them.
    names, blocks
        The columns, and the counts of each in one line, null where it has none.

    Raises
    ------
    KeyError, TypeError, ValueError
        When they do not belong together.
    """
    if notes["hours"] is None:
        return None
    apart = notes.get("apart", [])
    place = {name: at for at, one in enumerate(apart, 1) for name in one["columns"]}
    hours = [np.asarray(one["hours"], dtype=np.int64) for one in (notes, *apart)]
    counts: list[dict[str, np.ndarray]] = [{} for _ in hours]
    for name, block in zip(names, blocks, strict=True):
        if block.is_valid:
            at = place.get(name, 0)
            flat = block.values.to_numpy(zero_copy_only=False).astype(np.int32)
            lines = len(hours[at])
            counts[at][name] = flat.reshape(lines, -1) if lines else flat.reshape(0, 0)
    first, *rest = (BlockCounts(own, found) for own, found in zip(hours, counts, strict=True))
    return BlockCounts(first.hours, first.counts, tuple(rest))
