"""Numbers laid out so that a baseline's files stay small: bytes of one rank side by side.

The high bytes of small numbers are all alike, and so are those of neighbours in an ascending list;
a compressor finds that only where they stand together.

References
----------
Masui et al., "A compression scheme for radio data in high performance computing", Astronomy and
Computing 12, 2015 (shuffling before compression).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def pack(values: NDArray[Any], kind: str) -> Bytes:
    """Return the bytes of numbers, all the first ones before all the second ones.

    Parameters
    ----------
    values
        Of any shape; they must fit the kind.
    kind
        A type of numpy, little endian, such as ``"<i4"``.

    Returns
    -------
    numpy.ndarray
        As many bytes as the numbers take, one-dimensional.
    """
    flat = np.ascontiguousarray(values, dtype=kind).ravel()
    ranks = flat.view(np.uint8).reshape(-1, flat.itemsize).T
    return np.ascontiguousarray(ranks).ravel()


def unpack(packed: Bytes, kind: str) -> NDArray[Any]:
    """Return the numbers that `pack` was given, one-dimensional; ValueError where bytes lack."""
    ranks = packed.reshape(np.dtype(kind).itemsize, -1)
    return np.ascontiguousarray(ranks.T).view(kind).ravel()


def pack_counts(values: NDArray[np.integer[Any]]) -> Bytes:
    """Return the bytes of counts that are mostly below 16: their last four binary digits in pairs.

    Two that lie together are alike, such as an hour and the next; a compressor counts pairs.
    """
    flat = np.ascontiguousarray(values, dtype="<i4").ravel()
    low = np.append(flat & 15, np.zeros(flat.size % 2, "<i4")).astype(np.uint8)
    return np.concatenate([low[0::2] | low[1::2] << 4, pack(flat >> 4, "<i4")])


def unpack_counts(packed: Bytes) -> NDArray[np.int32]:
    """Return the counts that `pack_counts` was given; ValueError where bytes lack."""
    size = 2 * len(packed) // 9  # Half a byte and four for each.
    pairs = packed[: (size + 1) // 2]
    low = np.stack([pairs & 15, pairs >> 4], axis=1).ravel()[:size]
    high = unpack(packed[len(pairs) :], "<i4")
    return np.asarray((high << 4) + low, np.int32)


def pack_ascending(values: NDArray[np.uint64]) -> Bytes:
    """Return the bytes of ascending numbers, as the steps from each to the next."""
    return pack(np.diff(values, prepend=np.uint64(0)), "<u8")


def unpack_ascending(packed: Bytes) -> NDArray[np.uint64]:
    """Return the numbers that `pack_ascending` was given; ValueError where bytes lack."""
    return np.cumsum(unpack(packed, "<u8"), dtype=np.uint64)
