"""Distributions as a few bars of equal width, for charts.

Cells hold about equal shares of the reference and would look flat. The same counts are spread over
equal widths between the reference's 1st and 99th percentile; the outermost bars hold the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.cells import Cells

SHAPE_BARS = 24
"""Bars of a column of numbers; joins to 12, 8 and 6 without a rest."""

LEVEL_BARS = 12
TAIL_SHARE = 0.01

Counts = NDArray[np.int64]
Shape = NDArray[np.float64]


def shape_of(cells: Cells, reference: Counts, window: Counts) -> Shape:
    """Lay both sides of one column on the same few bars, shape (2, bars), reference first."""
    return bars_of(cells, reference, window)[0]


def bars_of(cells: Cells, reference: Counts, window: Counts) -> tuple[Shape, Shape]:
    """Return the bars of both sides, as `shape_of` does, and the borders of numeric bars."""
    sides = np.stack([reference, window]).astype(np.float64)
    shares = sides / np.maximum(sides.sum(axis=1, keepdims=True), 1.0)
    own = shares[:, : cells.size - 2]
    if not sides[0].sum() or cells.type == "timestamp" or own.shape[1] <= 1:
        return np.zeros((2, 0)), np.zeros(0)
    if not cells.is_number:
        named = np.arange(own.shape[1]) < len(cells.levels)
        return narrow(own[:, named | own.any(axis=0)], LEVEL_BARS, ordered=False), np.zeros(0)
    few = _values(cells, own)
    return (own[:, few], np.zeros(0)) if few is not None else _stretches(cells, own)


def edges_of(cells: Cells) -> Shape:
    """Return the borders of numeric cells: an integer extends to the next one."""
    edges = np.asarray(cells.edges, dtype=np.float64)
    return np.asarray(np.ceil(edges)) if cells.type == "int64" else edges


def narrow(shares: Shape, bars: int, *, ordered: bool) -> Shape:
    """Join bars until at most `bars` are left, shape (..., bars).

    Ordered bars join their neighbours; of others the first and the last stay, and those between
    become one.
    """
    count = shares.shape[-1]
    if count <= bars:
        return shares
    if ordered:
        # Where the borders of the few lie among the many, which may be inside one of them: groups
        # of unlike size would make steps of what is even.
        below = np.cumsum(shares, axis=-1)
        below = np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1)
        place = np.linspace(0, count, bars + 1)
        left = np.minimum(place.astype(np.int64), count - 1)
        sums = below[..., left] + (place - left) * shares[..., left]
        joined: Shape = np.diff(sums, axis=-1)
        return np.maximum(joined, 0.0)
    kept, rest = shares[..., : bars - 2], shares[..., bars - 2 : -1]
    return np.concatenate([kept, rest.sum(axis=-1, keepdims=True), shares[..., -1:]], axis=-1)


def _values(cells: Cells, own: Shape) -> list[int] | None:
    """Return the cells of single values, when they are few and hold the whole reference."""
    atoms = cells.atom_set
    found = [cell for cell in range(1, own.shape[1]) if cells.edges[cell - 1] in atoms]
    if not 2 <= len(found) <= SHAPE_BARS or own[:, found].sum(axis=1).min() < 0.999:
        return None
    return found


def _stretches(cells: Cells, own: Shape) -> tuple[Shape, Shape]:
    """Spread each cell's rows evenly over its width, and cut that into equal intervals."""
    edges = edges_of(cells)
    # Of each side: the share below each edge. Cell k ends at edge k.
    below = np.cumsum(own, axis=1)[:, : len(edges)]
    borders = _borders(cells, edges, below[0] - below[0][0])
    if not len(borders):
        return np.zeros((2, 0)), borders
    found = np.stack([np.diff(np.interp(borders, edges, side)) for side in below])
    found[:, 0] += [np.interp(borders[0], edges, side) for side in below]
    found[:, -1] = own.sum(axis=1) - found[:, :-1].sum(axis=1)
    is_wide = np.diff(borders).min() > 0
    return np.clip(found, 0.0, 1.0), borders if is_wide else np.zeros(0)


def _borders(cells: Cells, edges: Shape, inside: Shape) -> Shape:
    """Return the borders of the bars, shape (bars + 1,); empty where all values are equal.

    `inside` is the share of the reference from the first edge up to each.
    """
    whole = cells.type == "int64"
    low, high = edges[0], edges[-1]
    if not whole or high - low > SHAPE_BARS:
        low = edges[max(0, int(np.searchsorted(inside, TAIL_SHARE, side="right")) - 1)]
        high = edges[min(len(edges) - 1, int(np.searchsorted(inside, inside[-1] - TAIL_SHARE)))]
    if not np.isfinite([low, high]).all() or not low < high or not np.isfinite(high - low):
        return np.zeros(0)
    if high <= max(low + whole, np.nextafter(low, np.inf)):
        # One value: what is less has a bar before it, and what is more one after it.
        return np.array([low, low, high, high])
    return np.linspace(low, high, min(SHAPE_BARS, int(high - low)) + 1 if whole else SHAPE_BARS + 1)
