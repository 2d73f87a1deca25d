"""Counts of one window as few bytes, and back; which columns and cells they are of is said apart.

Nothing of a row is in them: how many rows lie in a cell, by its number. What the cells are, levels
by name among them, stands in the baseline alone.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.monitors.drift_test.window_counts import WindowCounts

FORMAT = 1
# Bytes of one count: the fewest that hold the window's greatest.
WIDTHS = (1, 2, 4, 8)
HEAD_SIZE = 2

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Which columns were counted, in order, and on which cells.

    Parameters
    ----------
    columns
        Name, id of the cells, and number of cells of each column.
    """

    columns: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, counts: WindowCounts, cell_ids: Mapping[str, str]) -> Layout:
        """Say how the counts of a window lie, given the ids of the cells by column."""
        return cls(
            tuple((name, cell_ids[name], len(counts.cells[name])) for name in sorted(counts.cells))
        )

    @cached_property
    def id(self) -> str:
        """Digest of the columns, 16 hex digits."""
        text = json.dumps(self.columns, ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def cell_count(self) -> int:
        """Number of cells of all columns."""
        return sum(size for _, _, size in self.columns)


def pack(cells: Mapping[str, Counts], layout: Layout) -> bytes:
    """Write the counts of a window.

    Parameters
    ----------
    cells
        By column: counts >= 0, as the layout says.

    Returns
    -------
    bytes
        A byte of format, a byte that says how wide a count is, then the counts of all columns one
        after the other, compressed by zlib.
    """
    arrays = [cells[name] for name, _, _ in layout.columns]
    flat = np.concatenate(arrays) if arrays else np.empty(0, np.int64)
    greatest = int(flat.max(initial=0))
    width = next(one for one in WIDTHS if greatest < 1 << (8 * one))
    return bytes([FORMAT, width]) + zlib.compress(flat.astype(f"<u{width}").tobytes(), 9)


def unpack(data: bytes, layout: Layout) -> dict[str, Counts]:
    """Read what `pack` wrote.

    Raises
    ------
    InputError
        When it is of another format, or of other cells.
    """
    if len(data) < HEAD_SIZE or data[0] != FORMAT or data[1] not in WIDTHS:
        raise InputError(
            f"counts of a window begin with {bytes(data[:HEAD_SIZE]).hex() or 'nothing'}; expected "
            f"format {FORMAT}: a newer driftline wrote them, so upgrade this process, too"
        )
    flat = np.frombuffer(zlib.decompress(data[HEAD_SIZE:]), f"<u{data[1]}").astype(np.int64)
    if flat.size != layout.cell_count:
        raise InputError(
            f"counts of a window on {flat.size} cells; expected {layout.cell_count}, as their "
            "layout says"
        )
    return dict(zip((name for name, _, _ in layout.columns), _parts(flat, layout), strict=True))


def _parts(flat: Counts, layout: Layout) -> Sequence[Counts]:
    ends = np.cumsum([size for _, _, size in layout.columns])
    return np.split(flat, ends[:-1]) if layout.columns else []
